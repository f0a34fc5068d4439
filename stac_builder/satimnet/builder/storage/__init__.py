"""Storage: bytes by path or URL, files that are whole or not there, and many tasks at a time.

Everything else stands on this wing. It knows no datasets and no STAC: hrefs come in, bytes and
finished files go out.
"""
