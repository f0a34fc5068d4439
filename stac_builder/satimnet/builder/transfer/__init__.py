"""Transfer: what goes from one place to another.

Archives of publishers are downloaded, catalogs are copied, and what a search found becomes a
catalog of its own.
"""
