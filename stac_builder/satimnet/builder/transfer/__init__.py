"""Moving data between machines, without changing them.

Archives of publishers are downloaded (``published_files`` says which, ``resumable`` gets them).
Catalogs are copied by ``mirror``: ``catalog_links`` finds the files, ``file_copying`` copies each,
``landing`` keeps them as they come, and ``destinations`` links them when all are there. What a
search found becomes a catalog of its own by ``subset``, and its members a shard by
``member_copying``.
"""
