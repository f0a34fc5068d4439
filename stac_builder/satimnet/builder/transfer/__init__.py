"""Moving data between machines, without changing them.

Files that publishers hand out are downloaded (``published_files`` says which, ``resumable`` gets
them). Catalogs are copied: ``catalog_links`` finds the files, ``file_copying`` copies each,
``mirror`` copies all, ``destinations`` links them when all are there. What a search found becomes a
catalog of its own by ``subset``, its members by ``member_copying``.
"""
