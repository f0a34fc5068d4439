"""Publishing: how collections get into a catalog, on disk and in object stores.

One small file of a catalog changes, ``catalog.json``, and it changes in one step. What it links
never changes.
"""
