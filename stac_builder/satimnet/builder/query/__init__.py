"""Queries: how the Items of a catalog are found, without a server.

A catalog and a question come in. ``index`` opens the ``items.parquet`` of the collections.
``search`` makes one condition of the question: ``cql2_text`` and ``cql2_json`` read a filter,
``cql2_to_sql`` compiles it, ``bounded_sql`` runs it. ``search_results`` gives the Items that were
found, ``stac_api`` the answers of a STAC API, ``client`` those to pystac-client.
"""
