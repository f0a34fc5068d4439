"""The server: a catalog's files, a STAC API on the same engine as local search, and STAC Browser.

``running`` starts the process, ``app`` has the routes, ``endpoints`` the answers of the API,
``served_documents`` the Collections and Items as they look from outside, ``refusals`` the errors.
Nothing else of satimnet imports this wing but the command; it needs the extra ``serve``.
"""
