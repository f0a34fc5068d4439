"""Splitting: Items are divided into training, validation and test, or into folds, without leaks.

`item_facts` reads what is known of Items, `item_groups` says which of them must stay together,
`balanced_parts` deals the groups out, and `dividing` writes the table that it makes beside the
catalog (`satimnet.builder.publishing.split_tables`).
"""
