"""Transfer: what goes from one place to another.

Archives of publishers are downloaded (``published_files`` says which, ``resumable`` gets them).
Catalogs are copied by ``mirror``: ``catalog_links`` finds the files, ``file_copying`` copies each,
``destinations`` puts them in their place. What a search found becomes a catalog of its own by
``subset``, and its members a shard by ``member_copying``.
"""
