"""Access to the file behind an asset, be it a member of a shard or a file of its own.

An asset's ``href`` names the shard and its ``archive`` (STAC archive extension) the member with
its byte range, so a member is read by offset: no central directory, no unpacking. GDAL's virtual
paths never stand in the JSON, where pystac would corrupt them; they are derived here.
"""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, Any, TypeVar

from satimnet.builder.errors import SatimnetError
from satimnet.builder.places import Bounds, is_url, open_regular, quoted_url, readable
from satimnet.builder.spans import span_of

if TYPE_CHECKING:
    import pystac

T = TypeVar("T")


def gdal_path(asset: pystac.Asset | dict[str, Any], member: int = 0) -> str:
    """Path under which GDAL and rasterio open the asset's file, local or over HTTP.

    ``/vsisubfile/first_size,shard`` where the byte range is known, else ``/vsizip/{shard}/name``;
    ``member`` counts the entries of ``archive``.

    Raises:
        SatimnetError: the asset has no such member, the byte range of it cannot be, or the asset
            has a relative href and no owner.
    """
    href, entry = _place(asset, member)
    path = f"/vsicurl/{quoted_url(href)}" if is_url(href) else href
    if entry is None:
        return path
    if "range" in entry:
        first, size = span_of(entry, f"{href}, member {member}")
        return f"/vsisubfile/{first}_{size},{path}"
    return f"/vsizip/{{{path}}}/{entry['href']}"


def resolve(found: T) -> T:
    """Makes every asset that is a member of a shard one that GDAL opens by its ``href``, in place.

    That is for programs that take ``href`` as it is: odc-stac, stackstac, rioxarray. ``found`` is
    an Item or ItemCollection, or one of these as a dict; it is returned. Anything else stays as it
    is, so this can be the ``modifier`` of a pystac-client. Of an asset with several members the
    first counts. What has been resolved must not be saved: a path of GDAL's is no link.

    Raises:
        SatimnetError: an asset has a relative href and no owner.
    """
    for item in _items(found):
        for asset in (item["assets"] if isinstance(item, dict) else item.assets).values():
            fields = asset if isinstance(asset, dict) else asset.extra_fields
            if not fields.get("archive"):
                continue
            path = gdal_path(asset)
            entry = take_member(fields)
            if isinstance(asset, dict):
                asset |= {"href": path, "type": entry["type"]}
            else:
                asset.href, asset.media_type = path, entry["type"]
    return found


def take_member(fields: dict[str, Any]) -> dict[str, Any]:
    """Removes the first entry of an asset's archive, and lets the asset describe this file."""
    entry: dict[str, Any] = {"type": "application/octet-stream"} | fields.pop("archive")[0]
    fields.pop("satimnet:pixels", None)  # it counts from the beginning of the shard
    fields |= {key: entry[key] for key in ("file:size", "file:checksum") if key in entry}
    return entry


def _items(found: Any) -> list[Any]:
    """The Items in what pystac-client hands to a modifier, as they are there."""
    import pystac

    if isinstance(found, pystac.ItemCollection):
        return list(found.items)
    if isinstance(found, dict):
        return list(found.get("features", [found] if found.get("type") == "Feature" else []))
    return [found] if isinstance(found, pystac.Item) else []


def read_bytes(asset: pystac.Asset | dict[str, Any], member: int = 0) -> bytes:
    """The bytes of the asset's file; over HTTP one range request.

    Raises:
        SatimnetError: the file is missing, no regular file, or shorter than the asset says.
    """
    href, entry = _place(asset, member)
    first, size = 0, None
    if entry is not None:
        first, size = span_of(entry, f"{href}, member {member}")
    try:
        data = _read_url(href, first, size) if is_url(href) else _read_file(href, first, size)
    except OSError as error:
        raise SatimnetError(f"{href}: {error.strerror or error}") from error
    if size is not None and len(data) > size:
        raise SatimnetError(f"{href}: the server sends all of it; it must answer byte ranges")
    if size is not None and len(data) < size:
        raise _shorter(href, len(data), size)
    return data


def _read_file(path: str, first: int, size: int | None) -> bytes:
    with open_regular(path) as file:
        # room is made for all bytes before they are read
        there = max(0, os.fstat(file.fileno()).st_size - first)
        if size is not None and there < size:
            raise _shorter(path, there, size)
        file.seek(first)
        return file.read(-1 if size is None else size)


def _read_url(url: str, first: int, size: int | None) -> bytes:
    import aiohttp
    import fsspec

    end = None if size is None else first + size
    try:
        data: bytes = fsspec.filesystem("http").cat_file(url, start=first if end else None, end=end)
    except (aiohttp.ClientError, ValueError) as error:  # what is no URL is a ValueError
        raise OSError(error) from error
    return data


def _shorter(href: str, found: int, stated: int) -> SatimnetError:
    return SatimnetError(f"{href}: {found} bytes where the catalog says {stated}")


def open_asset(asset: pystac.Asset | dict[str, Any], member: int = 0) -> IO[bytes]:
    """The asset's file, open for reading. Raises as `read_bytes` does."""
    return io.BytesIO(read_bytes(asset, member))


def _place(asset: pystac.Asset | dict[str, Any], member: int) -> tuple[str, dict[str, Any] | None]:
    """Place of the file, and the archive's entry if it is an archive."""
    if not ("href" in asset if isinstance(asset, dict) else hasattr(asset, "get_absolute_href")):
        raise SatimnetError(_no_asset(asset))
    if isinstance(asset, dict):
        href, archive = asset["href"], asset.get("archive")
    else:
        href, archive = asset.get_absolute_href(), asset.extra_fields.get("archive")
    if href is None:
        raise SatimnetError(f"{asset}: relative href without an owner; open its Item from a file")
    if not isinstance(asset, dict):
        _require_reachable(href, asset)
    href = readable(href)
    if archive is None:
        return href, None
    if not isinstance(archive, list | tuple):
        raise SatimnetError(f"{href}: its archive is no list of members; build the catalog again")
    if not 0 <= member < len(archive):
        raise SatimnetError(f"{href}: no member {member}, the asset has {len(archive)}")
    return href, archive[member]


def _no_asset(found: Any) -> str:
    """What to do with what was given for an asset."""
    plain = isinstance(found, dict)
    assets = found.get("assets") if plain else getattr(found, "assets", None)
    if not isinstance(assets, dict) or not assets:
        return f"an asset is wanted, of an Item's assets, not {found!r:.80}"
    keys, access = list(assets), "['assets']" if plain else ".assets"
    return (
        f"{found.get('id') if plain else found.id} is an Item; give one of its assets, "
        f"such as item{access}[{keys[0]!r}] (there are {', '.join(keys)})"
    )


def _require_reachable(href: str, asset: pystac.Asset) -> None:
    """What came from the web may only point to the web."""
    owner = asset.owner.get_self_href() if asset.owner is not None else None
    if owner is not None and is_url(owner):
        Bounds.of(owner).resolve(href, owner)
