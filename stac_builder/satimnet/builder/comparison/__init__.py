"""Versions of a catalog or a collection, and what differs between two of them.

`comparing` opens both and puts the answer together; `item_changes` compares the Items in columns,
`document_changes` what the Collections say. `change_reports` words the answer.
"""
