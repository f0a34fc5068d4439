"""Assets: access to their files, whether members of a shard or files of their own.

An asset's ``href`` names the shard and its ``archive`` (STAC archive extension) the member with
its byte range, so a member is read by offset: no central directory, no unpacking. GDAL's virtual
paths never stand in the JSON, where pystac would corrupt them; they are derived here.
"""

from __future__ import annotations

import io
import os
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, TypeVar

import orjson

from satimnet.builder.errors import (
    ArgumentError,
    BadCatalogError,
    SatimnetError,
    WrongTypeError,
)
from satimnet.builder.storage import objects
from satimnet.builder.storage.checked_offsets import span_of
from satimnet.builder.storage.gdal_paths import gdal_place, member_path
from satimnet.builder.storage.hrefs import Bounds, is_url, is_web, open_regular, readable
from satimnet.builder.storage.stores import gdal_settings

if TYPE_CHECKING:
    import pystac

T = TypeVar("T")

_LARGEST_DOCUMENT = 2**26  # bytes; a catalog with thousands of links has a few hundred KiB


def gdal_path(
    asset: pystac.Asset | dict[str, Any], member: int = 0, *, allow_outside: bool = False
) -> str:
    """Path under which GDAL and rasterio open the asset's file, on disk, the web or in a store.

    For the path of an object store, GDAL's own settings are put into the environment where they are
    not there: `AWS_S3_ENDPOINT`, `AWS_HTTPS`, `AWS_VIRTUAL_HOSTING` and `AWS_NO_SIGN_REQUEST`.

    Args:
        asset: of an Item that pystac read, or a dict whose href is taken as it is.
        member: number of the file among the entries of the asset's ``archive``.
        allow_outside: whether the asset may lead out of its Item's catalog.

    Returns:
        ``/vsisubfile/first_size,shard`` where the byte range is known, else
        ``/vsizip/{shard}/name``.

    Raises:
        ArgumentError: the asset has no such member, or a relative href and no owner.
        BadCatalogError: the asset may not lead there, or has no list of members.
        SatimnetError: the byte range cannot be.

    Example:
        >>> shard = {"href": "/data/a.zip", "archive": [{"href": "a.tif", "range": [64, 163]}]}
        >>> gdal_path(shard)
        '/vsisubfile/64_100,/data/a.zip'
    """
    href, entry = _place(asset, member, allow_outside)
    if is_url(href) and not is_web(href):
        tell_gdal()
    path = gdal_place(href)
    if entry is None:
        return path
    first, size = None, None
    if "range" in entry:
        first, size = span_of(entry, f"{href}, member {member}")
    return member_path(path, entry["href"], first, size)


def tell_gdal() -> None:
    """Has GDAL reach the object stores that satimnet reaches, by variables of the environment."""
    for name, value in gdal_settings().items():
        os.environ.setdefault(name, value)


def resolve(found: T, *, allow_outside: bool = False) -> T:
    """Makes every asset that is a member of a shard one that GDAL opens by its ``href``, in place.

    That is for programs that take ``href`` as it is: odc-stac, stackstac, rioxarray. ``found`` is
    an Item or ItemCollection, or one of these as a dict; it is returned. Anything else stays as it
    is, so this can be the ``modifier`` of a pystac-client. Of an asset with several members the
    first counts. What has been resolved must not be saved: a path of GDAL's is no link.

    Files of this machine must lie in the catalog's folder unless ``allow_outside``. Which catalog
    a dict is of, its ``root`` link tells.

    Args:
        found: an Item or ItemCollection of pystac, or one of these as a dict.
        allow_outside: whether an asset may lead out of its Item's catalog.

    Returns:
        The same object.

    Raises:
        SatimnetError: an asset has a relative href and no owner, or may not lead there.

    Example:
        >>> import pystac, tempfile
        >>> from pathlib import Path
        >>> from satimnet.builder import build
        >>> from stactools.eurosat.miniature import write_miniature
        >>> folder = Path(tempfile.mkdtemp())
        >>> sources = write_miniature(folder / "source", 1, bands=False)
        >>> _ = build(sources, folder / "catalog", overview=False)
        >>> catalog = pystac.Catalog.from_file(str(folder / "catalog" / "catalog.json"))
        >>> item = next(catalog.get_items(recursive=True))
        >>> resolve(item).assets["rgb"].href.startswith("/vsisubfile/")
        True
    """
    for item in _items(found):
        for asset in (item["assets"] if isinstance(item, dict) else item.assets).values():
            fields = asset if isinstance(asset, dict) else asset.extra_fields
            if not fields.get("archive"):
                continue
            if isinstance(asset, dict) and not allow_outside:
                _require_inside(asset["href"], item)
            path = gdal_path(asset, allow_outside=allow_outside)
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


def read_bytes(
    asset: pystac.Asset | dict[str, Any], member: int = 0, *, allow_outside: bool = False
) -> bytes:
    """The bytes of the asset's file; of a member on the web or in a store only these are read.

    Takes the arguments of `gdal_path` and raises what it does.

    Raises:
        NotFoundError: the file is missing.
        BadCatalogError: it is shorter than the asset says, or the asset may not lead there.
        StorageError: it cannot be read.

    Example:
        >>> import pystac, tempfile
        >>> from pathlib import Path
        >>> from satimnet.builder import build
        >>> from stactools.eurosat.miniature import write_miniature
        >>> folder = Path(tempfile.mkdtemp())
        >>> sources = write_miniature(folder / "source", 1, bands=False)
        >>> _ = build(sources, folder / "catalog", overview=False)
        >>> catalog = pystac.Catalog.from_file(str(folder / "catalog" / "catalog.json"))
        >>> item = next(catalog.get_items(recursive=True))
        >>> read_bytes(item.assets["rgb"])[6:10]
        b'JFIF'
    """
    href, entry = _place(asset, member, allow_outside)
    first, size = 0, None
    if entry is not None:
        first, size = span_of(entry, f"{href}, member {member}")
    return objects.read(href, first, size)


def open_asset(
    asset: pystac.Asset | dict[str, Any], member: int = 0, *, allow_outside: bool = False
) -> IO[bytes]:
    """The asset's file, open for reading. Takes and raises what `read_bytes` does.

    Example:
        >>> import pystac, tempfile
        >>> from pathlib import Path
        >>> from satimnet.builder import build
        >>> from stactools.eurosat.miniature import write_miniature
        >>> folder = Path(tempfile.mkdtemp())
        >>> sources = write_miniature(folder / "source", 1, bands=False)
        >>> _ = build(sources, folder / "catalog", overview=False)
        >>> catalog = pystac.Catalog.from_file(str(folder / "catalog" / "catalog.json"))
        >>> item = next(catalog.get_items(recursive=True))
        >>> with open_asset(item.assets["rgb"]) as file:
        ...     len(file.read()) == item.assets["rgb"].extra_fields["archive"][0]["file:size"]
        True
    """
    return io.BytesIO(read_bytes(asset, member, allow_outside=allow_outside))


def _place(
    asset: pystac.Asset | dict[str, Any], member: int, allow_outside: bool
) -> tuple[str, dict[str, Any] | None]:
    """Place of the file, and the archive's entry if it is an archive."""
    if not ("href" in asset if isinstance(asset, dict) else hasattr(asset, "get_absolute_href")):
        raise WrongTypeError(_no_asset(asset), "asset")
    if isinstance(asset, dict):
        href, archive = asset["href"], asset.get("archive")
    else:
        href, archive = asset.get_absolute_href(), asset.extra_fields.get("archive")
    if href is None:
        raise ArgumentError(
            f"{asset}: relative href without an owner; open its Item from a file", "asset"
        )
    if not isinstance(asset, dict):
        href = _reachable(href, asset, allow_outside)
    href = readable(href)
    if archive is None:
        return href, None
    if not isinstance(archive, list | tuple):
        raise BadCatalogError(f"{href}: its archive is no list of members; build the catalog again")
    if not 0 <= member < len(archive):
        raise ArgumentError(f"{href}: no member {member}, the asset has {len(archive)}", "member")
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


# --- where an asset may lead --------------------------------------------------------------------


def _reachable(href: str, asset: pystac.Asset, allow_outside: bool) -> str:
    """The place of an asset of pystac's; raises where its catalog may not lead there."""
    owner: Any = asset.owner
    link = owner.get_root_link() if owner is not None else None
    root: Any = link.target if link is not None and link.is_resolved() else None
    own = owner.get_self_href() if owner is not None else None
    # what pystac read is known by the place that it read it from
    home = root.get_self_href() if root is not None else None
    home = home or _home(own, link.get_absolute_href() if link is not None else None)
    if home is None:
        if not (allow_outside or is_url(href)):
            raise _homeless(getattr(owner, "id", str(asset)), href)
        return href
    known = getattr(root, "bounds_of", None)  # a client of ours knows more
    bounds: Bounds = Bounds.of(home) if known is None else known(owner)
    if allow_outside:
        bounds = replace(bounds, everywhere=True)
    return bounds.resolve(href, own or home)


def _require_inside(href: str, item: dict[str, Any]) -> None:
    """Raises where an asset of a dict, which may come from anywhere, leads out of its catalog."""
    if is_url(href):
        return
    links = {link["rel"]: link["href"] for link in item.get("links", ())}
    named = [links[rel] for rel in ("self", "root", "collection") if rel in links]
    home = None if any(map(is_url, named)) else _home(None, links.get("root"))
    if home is None:
        raise _homeless(str(item.get("id")), href)
    Bounds.of(home).resolve(os.path.abspath(href), home)


def _home(own: str | None, root: str | None) -> str | None:
    """The place of the catalog that the file ``own`` is of: ``root``, if it is one of this machine.

    It may be any path, for an Item says so itself; a catalog must be there.
    """
    if own is not None and is_url(own):
        return own
    if root is None or not os.path.isabs(root) or not _is_catalog(root):
        return own
    return root if own is None or own.startswith(f"{os.path.dirname(root)}/") else own


def _is_catalog(path: str) -> bool:
    """Whether the file is a STAC Catalog; what is too large for one is not read."""
    try:
        with open_regular(path) as file:
            content = file.read(_LARGEST_DOCUMENT + 1)
        return len(content) <= _LARGEST_DOCUMENT and orjson.loads(content)["type"] == "Catalog"
    except (SatimnetError, OSError, ValueError, LookupError, TypeError):
        return False


def _homeless(id_: str, href: str) -> SatimnetError:
    """What to say of an asset on this machine that is of no catalog."""
    return SatimnetError(
        f"{id_}: points to {href:.200} on this machine, and is of no catalog there; if you trust "
        "it, say allow_outside=True"
    )
