"""Scanning: what lies in a source, listed without unpacking it.

Archives and folders come in; `Entry` objects go out to `satimnet.builder.sources`, and a count of
what the scan of a dataset did not use.
"""
