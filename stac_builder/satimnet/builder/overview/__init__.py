"""The overview: one picture of each collection.

Rows of a collection come in; ``representatives`` chooses a few, ``previews`` reads them,
``contact_sheet`` puts them on one page, which goes out as PNG.
"""
