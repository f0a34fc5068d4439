"""Queries: the Items of a catalog found, without a server.

A catalog and a question come in; ``index`` opens the ``items.parquet`` of its collections,
``search`` answers from them, ``stac_api`` and ``client`` give the answers in the words of others.
"""
