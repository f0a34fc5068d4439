"""GDAL's paths: how GDAL and what is built on it name a file, or the bytes of one in a shard.

See https://gdal.org/en/stable/user/virtual_file_systems.html.
"""

from __future__ import annotations

import re

from satimnet.builder.storage.hrefs import is_url, quoted_url

STORES = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}
"""What GDAL puts before bucket and key, by the schemes of object stores."""

_STORE = re.compile(r"(s3|gs|az)://(?=[^/])", re.IGNORECASE)


def store_scheme(place: str) -> str | None:
    """The scheme of a place in an object store, such as ``s3``; None of any other place."""
    match = _STORE.match(place)
    return match[1].lower() if match else None


def gdal_place(place: str) -> str:
    """How GDAL names the file at an absolute path, a URL or a place in an object store.

    URLs of the web are quoted, keys of stores are not.

    Example:
        >>> gdal_place("/data/a.zip"), gdal_place("https://host/a b.zip")
        ('/data/a.zip', '/vsicurl/https://host/a%20b.zip')
        >>> gdal_place("s3://bucket/a b.zip")
        '/vsis3/bucket/a b.zip'
    """
    scheme = store_scheme(place)
    if scheme is not None:
        return STORES[scheme] + place.partition("://")[2]
    return f"/vsicurl/{quoted_url(place)}" if is_url(place) else place


def member_path(shard: str, name: str, first: int | None, size: int | None) -> str:
    """How GDAL names a member of a shard.

    Args:
        shard: How GDAL names the shard.
        name: The member's name in it.
        first: The member's first byte in the shard; None if it is not known.
        size: Number of the member's bytes; None if ``first`` is.

    Example:
        >>> member_path("/data/a.zip", "a.tif", 64, 100)
        '/vsisubfile/64_100,/data/a.zip'
        >>> member_path("/data/a.zip", "a.tif", None, None)
        '/vsizip/{/data/a.zip}/a.tif'
    """
    if first is None or size is None:
        return f"/vsizip/{{{shard}}}/{name}"
    return f"/vsisubfile/{first}_{size},{shard}"
