"""Places: paths of this machine and URLs, and where a catalog may lead.

A place is an absolute path or a URL of a web server or an object store. What a catalog says is not
trusted: one that is read from the web may point to the web, one in an object store into its own
bucket and to the web, one in a folder into that folder and to the web. Whoever reads it may allow
more, and what `satimnet.builder.transfer.subset.save_found` wrote for this user may also point to
the folders of the shards that it left where they were.
"""

from __future__ import annotations

import errno
import gc
import hashlib
import hmac
import json
import os
import posixpath
import re
import secrets
import stat
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from urllib.parse import quote, urljoin, urlsplit

from satimnet.builder.errors import (
    ArgumentError,
    BadCatalogError,
    CatalogWarning,
    SatimnetError,
    StorageError,
)
from satimnet.builder.storage.stores import address_of, shown
from satimnet.builder.storage.stores import is_url as is_url
from satimnet.builder.storage.stores import is_web as is_web

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_PLACE_SCHEME = re.compile(  # pathlib leaves one of two slashes; NETCDF:/path is GDAL's
    r"[A-Za-z][A-Za-z0-9+.-]+://|[a-z][a-z0-9+.-]+:/"
)
_NAME = re.compile(r"(?!\.)[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff/\\]+")
_TAKEN = ("catalog", "collection", "concepts")
_LONGEST = 200  # bytes; most file systems have room for 255
_SHORT = _LONGEST // 4  # characters, of at most so many bytes each
_IN_URLS = "%/:?#@!$&'()*+,;=~-._"
_ALLOW = "if you trust it, say --allow-outside, or allow_outside=True in Python"


def has_scheme(href: str) -> bool:
    """Whether the href in a document is a URI of any scheme, and no path (RFC 3986, 4.2)."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", href) is not None


def readable(place: str | os.PathLike[str]) -> str:
    """The place to read from, as an absolute path or a URL.

    Raises:
        SatimnetError: it has a scheme that cannot be read, or no host or bucket.
        ArgumentError: it begins like a URL and is none, such as ``http://[``.
    """
    text = os.fspath(place)
    if is_url(text):
        if not is_href(text):
            raise ArgumentError(f"{shown(text):.200}: is no URL; mend its host")
        address_of(text)  # what may be secret in it is known from here on
        return text
    _refuse_scheme(text, "a path, or a URL with http, https, s3, gs or az")
    return os.path.abspath(text)


def on_disk(place: str | os.PathLike[str]) -> Path:
    """The file or folder of this machine, to write to or to read as a whole.

    Raises:
        SatimnetError: it has a scheme, with which nothing can be done there yet.
    """
    _refuse_scheme(os.fspath(place), "a path on this machine")
    return Path(place)


def writable(place: str | os.PathLike[str]) -> str:
    """The folder to write to: a path as it was given, or a URL without a slash at its end.

    Raises:
        SatimnetError: it has another scheme, is on a web server, or has no bucket.
    """
    text = os.fspath(place)
    if is_web(text):
        raise StorageError(
            f"{shown(text)}: a web server cannot be written to; give a path, or s3://, gs://, az://"
        )
    if is_url(text):
        root, key = address_of(text)  # which is how a listing names what lies there
        return f"{root}/{key.strip('/')}".rstrip("/")
    _refuse_scheme(text, "a path, or a URL with s3, gs or az")
    return text


def _refuse_scheme(text: str, wanted: str) -> None:
    """Refuses a place with a scheme."""
    if _PLACE_SCHEME.match(text):
        shown = text if "://" in text else text.replace(":/", "://", 1)
        raise SatimnetError(f"{shown}: cannot be used here; give {wanted}")


def catalog_file(place: str | os.PathLike[str]) -> str:
    """The place of ``catalog.json``, given that or its folder; raises as `readable`."""
    found = readable(place)
    if is_web(found):
        path, mark, query = found.partition("?")
    else:
        path, mark, query = found, "", ""
    named = path.endswith(".json") and (is_url(found) or not os.path.isdir(found))
    return found if named else f"{path.rstrip('/')}/catalog.json{mark}{query}"


def folder_at(place: str) -> str:
    """The folder that a file is in, as a path or URL; without the query that a URL may have."""
    if is_web(place):
        place = place.partition("?")[0]
    return place.rpartition("/")[0]


def file_name(text: str) -> str:
    """The text, which names a file or folder of its own in the folder that it is meant for.

    Ids of collections, Items and classes become names of files, and may be anything.

    Raises:
        SatimnetError: it would lead elsewhere, hide, be a file of the catalog's own, or be none.
    """
    if text.isidentifier() and len(text) <= _SHORT and text.casefold() not in _TAKEN:
        return text  # letters, digits and underscores: nearly all
    if (
        not _NAME.fullmatch(text)
        or text.casefold().removesuffix(".json") in _TAKEN
        or len(text.encode("utf-8", "replace")) > _LONGEST
    ):
        raise SatimnetError(f"{text!r:.80} cannot name a file; give it another id")
    return text


def open_regular(path: str, buffering: int = -1) -> BufferedReader:
    """The file, open for reading; anything else, such as a pipe, might never end.

    Args:
        path: where it is.
        buffering: bytes that are read at a time at least; by default as `open` does.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    return cast(BufferedReader, open(opened_regular(path), "rb", buffering))


def opened_regular(path: str) -> int:
    """The descriptor of a file, as `open_regular` opens it."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        opened = os.open(path, flags)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        gc.collect()  # pystac's objects are cycles, so unused clients keep files open
        opened = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "this is no regular file", path)
    return opened


def is_href(text: str) -> bool:
    """Whether programs can divide it into the parts of a URL: ``http://[`` has none."""
    if "//" not in text and text.isprintable():  # only what follows may be wrong
        return True
    try:
        urlsplit(text)
    except ValueError:
        return False
    return True


def join(href: str, base: str) -> str:
    """The place that ``href`` in the file at ``base`` means, as it stands there.

    What lies on the same web server is asked for with the query of ``base``, which may be a
    signature, unless it has one itself.
    """
    if is_url(href):
        return href
    if is_web(base):
        place = urljoin(base, href)
        _, mark, query = base.partition("?")
        same = "?" not in place and place.split("/", 3)[:3] == base.split("/", 3)[:3]
        return f"{place}{mark}{query}" if same else place
    if is_url(base):
        root, key = address_of(base)
        return f"{root}{posixpath.normpath(posixpath.join('/', posixpath.dirname(key), href))}"
    return os.path.normpath(os.path.join(os.path.dirname(base), href))


def public(place: str, catalog: str) -> str:
    """The place as a file may have it that others will read.

    What `join` handed on to it from the URL by which a catalog was opened, and may be a secret, is
    left out: the query, and user and password. A query of its own stays.

    Args:
        place: path or URL.
        catalog: the URL by which the catalog was opened, or that of another file of it.

    Example:
        >>> public("https://me:pw@host/a.zip?sig=abc", "https://me:pw@host/catalog.json?sig=abc")
        'https://host/a.zip'
        >>> public("https://host/a?file=1", "https://host/catalog.json?sig=abc")
        'https://host/a?file=1'
    """
    if not (is_web(place) and has_secret(catalog)):
        return place
    path, mark, query = place.partition("?")
    if query == catalog.partition("?")[2]:
        mark = query = ""
    given, kept = (url.split("/", 3)[2].rpartition("@")[0] for url in (catalog, path))
    if given and given == kept:
        path = path.replace(f"//{kept}@", "//", 1)
    return f"{path}{mark}{query}"


def has_secret(catalog: str) -> bool:
    """Whether the URL of a catalog has a query or a password, which may be secrets."""
    return is_web(catalog) and ("?" in catalog or "@" in catalog.split("/", 3)[2])


def public_item(item: dict[str, Any], catalog: str) -> dict[str, Any]:
    """The Item with hrefs as `public` gives them."""
    assets, links = item.get("assets"), item.get("links")
    found = dict(item)
    if assets is not None:
        found["assets"] = {
            key: one | {"href": public(one["href"], catalog)} if "href" in one else one
            for key, one in assets.items()
        }
    if links is not None:
        found["links"] = [one | {"href": public(one["href"], catalog)} for one in links]
    return found


def warn_of_secret(catalog: str) -> None:
    """Says that the hrefs that are handed on lack what the URL of their catalog has."""
    if has_secret(catalog):
        warnings.warn(
            CatalogWarning(
                f"{shown(catalog)}: its query or password may be a secret and is left out of the "
                "hrefs that are written; whoever reads them needs one of their own"
            ),
            stacklevel=3,
        )


def relative(place: str, folder: str | os.PathLike[str]) -> str:
    """The href of an absolute path in a file in ``folder``, beginning with "./"; a URL as it is.

    Within a bucket of an object store it is relative as well, so that the bucket can be moved.
    """
    if not is_url(place):
        return f"./{os.path.relpath(place, folder)}"
    home = os.fspath(folder)
    if is_web(place) or is_web(home) or not is_url(home):
        return place
    (root, key), (root_of_home, key_of_home) = address_of(place), address_of(home)
    if root != root_of_home:
        return place
    return f"./{posixpath.relpath(f'/{key}', f'/{key_of_home}')}"


def quoted_url(url: str) -> str:
    """The URL without what no URL may have, such as spaces; what is quoted already stays."""
    start = url.find("/", url.find("://") + 3)
    if start < 0:
        return url
    rest = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", url[start:])
    return url[:start] + quote(rest, safe=_IN_URLS)


def plain_name(path: str) -> str:
    """Another name of a file or folder, with nothing that a program takes for a pattern or a URL.

    It is a link to it, which is there as long as this process.
    """
    link = os.path.join(_links().name, hashlib.sha256(os.fsencode(path)).hexdigest())
    with suppress(FileExistsError):
        os.symlink(path, link)
    return link


@cache
def _links() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="satimnet-")


@dataclass(frozen=True)
class Bounds:
    """Where the files of a catalog may lead whoever reads it."""

    home: str
    """Folder of the catalog, a path or URL; empty is the root of the file system."""
    also: tuple[str, ...] = ()
    """More folders, of this machine or an object store, that a catalog in a folder may point to."""
    everywhere: bool = False
    """Whether a catalog in a folder may point to any file of this machine or an object store."""

    @classmethod
    def of(cls, catalog: str, *, allow_outside: bool = False) -> Bounds:
        """Those of the catalog whose ``catalog.json`` is at this place."""
        return cls(folder_at(catalog), everywhere=allow_outside)

    def of_collection(self, document: Mapping[str, Any], parquet: str) -> Bounds:
        """Those of a collection whose Items are in the file ``parquet``, which lies beside it.

        They are more, if this user saved it.
        """
        folders = () if is_url(parquet) else _vouched(document, parquet)
        return replace(self, also=tuple(join(folder, parquet) for folder in folders))

    def resolve(self, href: str, base: str) -> str:
        """The place that ``href`` in the file at ``base`` means.

        Raises:
            SatimnetError: the catalog may not point there.
        """
        return self._resolve(href, base, {})

    def resolve_all(self, hrefs: Iterable[str], base: str) -> dict[str, str]:
        """Of each href the place, as `resolve` gives it; folders are looked up once."""
        real: dict[str, str] = {}
        return {href: self._resolve(href, base, real) for href in hrefs}

    def _resolve(self, href: str, base: str, real: dict[str, str]) -> str:
        """As `resolve`; ``real`` has the real paths of folders that are known."""
        if is_web(href) and is_href(href):
            return href
        of_store = is_url(href) and not is_web(href) and not is_web(self.home)
        if (_SCHEME.match(href) and not of_store) or "\0" in href or not is_href(href):
            raise BadCatalogError(f"{base}: points to {href:.200}, which is no path and no web URL")
        place = join(href, base)
        if is_web(self.home):
            if not is_web(place):
                raise BadCatalogError(
                    f"{base}: points to {href:.200}; a catalog on the web may only point to the web"
                )
        elif is_url(self.home):
            bucket = address_of(self.home).root
            if not is_web(place) and not f"{place}/".startswith(f"{bucket}/"):
                raise BadCatalogError(
                    f"{base}: points to {href:.200}; a catalog in an object store may only point "
                    "into its own bucket and to the web"
                )
        elif not self.everywhere and not self._has(place, real):
            raise BadCatalogError(
                f"{base}: points to {href:.200}, outside of the catalog's folder {self.home}; "
                f"{_ALLOW}"
            )
        return place

    def _has(self, place: str, real: dict[str, str]) -> bool:
        if is_url(place):
            return f"{place}/".startswith(tuple(f"{folder}/" for folder in self.also))
        folder, name = os.path.split(place)
        if folder not in real:
            real[folder] = os.path.realpath(folder)
        path = os.path.join(real[folder], name)
        if name in ("", "..") or os.path.islink(path):
            path = os.path.realpath(path)
        return f"{path}/".startswith(self._folders)

    @cached_property
    def _folders(self) -> tuple[str, ...]:
        paths = [folder for folder in self.also if not is_url(folder)]
        folders = map(os.path.realpath, (self.home or "/", *paths))
        return tuple(f"{folder.rstrip('/')}/" for folder in folders)


# --- catalogs that this user saved --------------------------------------------------------------

SEALED = "outside"
"""Field of a Collection: the folders outside of its catalog that its Items point to, with a seal
that only whoever saved it can make, for these Items alone: no other catalog can claim it."""


def sealed(collection: str, parquet: str, folders: Iterable[str]) -> dict[str, Any]:
    """What a Collection says of the folders, relative to its own, that it points to.

    ``parquet`` is the file of its Items, as it will stay.

    Raises:
        OSError: this user has no key yet, and it cannot be written.
    """
    key, listed = _key(make=True), sorted(folders)
    return {"folders": listed, "seal": _seal(collection, parquet, listed, key)}


def _vouched(document: Mapping[str, Any], parquet: str) -> tuple[str, ...]:
    """The folders of `sealed`, if this user sealed them for these Items."""
    mark = document.get(SEALED)
    if not isinstance(mark, dict):
        return ()
    folders = mark.get("folders")
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        return ()
    try:
        seal = _seal(str(document["id"]), parquet, folders, _key())
        ours = hmac.compare_digest(seal, str(mark.get("seal")))
    except (OSError, TypeError):  # no key or no Items, or a seal that is no ASCII
        return ()
    return tuple(folders) if ours else ()


def _seal(collection: str, parquet: str, folders: Sequence[str], key: bytes) -> str:
    with open_regular(parquet) as file:
        items = hashlib.file_digest(file, "sha256").hexdigest()
    return hmac.digest(key, json.dumps([collection, items, *folders]).encode(), "sha256").hex()


def _key(*, make: bool = False) -> bytes:
    """This user's key; it never leaves the machine."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    path = Path(state, "satimnet", "key")
    if make and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"key.{secrets.token_hex(8)}")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        with suppress(FileExistsError):  # another process was first
            os.link(part, path)
        part.unlink()
    return path.read_bytes()
