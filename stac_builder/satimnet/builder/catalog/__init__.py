"""The catalog: Items, Collections and the tree of JSON files around them.

Rows of packed samples come in; Items, ``items.parquet``, ``collection.json`` and ``catalog.json``
go out. The same wing checks what the files of a catalog say.
"""
