"""The validation of a whole catalog: schemas, links, byte ranges, and the parquet.

The parquet, which searches read, must say the same as the files of the Items. A catalog in a store
is checked as one on disk is, with many files on the way at a time.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from satimnet.builder.arguments import checked
from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.geoparquet import PARQUET_NAME
from satimnet.builder.catalog.member_checks import MemberChecks
from satimnet.builder.catalog.parquet_writing import part_name
from satimnet.builder.catalog.rows_to_items import items_of
from satimnet.builder.catalog.schemas import Schemas
from satimnet.builder.errors import (
    BadCatalogError,
    NotFoundError,
    SatimnetError,
    printable,
    without_secrets,
)
from satimnet.builder.progress import Progress, silent
from satimnet.builder.storage import objects
from satimnet.builder.storage.hrefs import (
    Bounds,
    catalog_file,
    folder_at,
    has_scheme,
    is_url,
    join,
)
from satimnet.builder.storage.parquet_files import parquet_file
from satimnet.builder.storage.ranges import AT_ONCE, soon
from satimnet.builder.storage.stores import DeniedError, shown

_SHOWN = 1000  # problems beyond these are counted, not kept
_PAGE = "FeatureCollection"
_BATCH = 1000  # rows that are Items at a time
_LED = "a link leads there"
_FOLLOWED = ("child", "item", "items", "first", "prev", "next", "last")

Seen = dict[str, dict[str, bytes]]
"""Collection to the ids of its Items and what each says, as a digest."""


@dataclass
class Findings:
    """What a validation looked at and found."""

    objects: Counter[str] = field(default_factory=Counter)
    """How many of each type (Catalog, Collection, Feature, page of Items) were checked."""
    members: int = 0
    """How many members' bytes were compared with their checksums."""
    elsewhere: int = 0
    """How many members lie at URLs, as in a saved part of a catalog on the web; none was read."""
    checked: list[str] = field(default_factory=list)
    """URIs of the schemas that objects were checked against."""
    unavailable: list[str] = field(default_factory=list)
    """URIs of declared schemas that could not be fetched; nothing was checked against them."""
    problems: list[str] = field(default_factory=list)
    """A line for each; it begins with the file."""
    count: int = 0
    """How many problems there are; the list stops at a thousand."""
    leftovers: list[Path] = field(default_factory=list)
    """What is not part of the catalog: collections that it does not link, and hidden folders and
    unfinished files of runs that still work or were killed."""

    def add_error(self, path: str, error: SatimnetError) -> None:
        """Adds an error whose message names the file already."""
        self.add(path, str(error).removeprefix(f"{shown(path)}: "))

    def add(self, path: str, problem: str) -> None:
        """Adds a problem of the file at a place."""
        self.count += 1
        if len(self.problems) < _SHOWN:
            self.problems.append(printable(without_secrets(f"{shown(path)}: {problem}")))


@checked()
def validate(
    catalog: str | os.PathLike[str],
    *,
    schemas: Path | None = None,
    checksums: bool = False,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> Findings:
    """Checks every object that ``catalog.json`` leads to, and each collection's parquet.

    Args:
        catalog: Path or URL of ``catalog.json`` or of its folder.
        schemas: Folder of extension schemas with an ``index.json`` of URI to file; without it they
            come from the cache of an earlier validation, or from the network.
        checksums: Whether to read every member, too, and compare it with its ``file:checksum``.
        allow_outside: Whether files that lie outside of the catalog's folder are checked as well.
        progress: Is told how many Items were checked.

    Returns:
        What was checked, and what is wrong with it.

    Raises:
        NotFoundError: there is no catalog.
        StorageError: the host of the catalog does not answer.
        ArgumentError: ``schemas`` is no folder of schemas.

    Example:
        >>> from pathlib import Path
        >>> from satimnet.builder import validate
        >>> found = validate(Path("catalog"))
        >>> found.problems
        []
    """
    start = catalog_file(catalog)
    if not objects.exists(start):
        given = shown(os.fspath(catalog))
        raise NotFoundError(f"{given}: no such file; give a catalog's folder or its catalog.json")
    findings = Findings()
    scope = _Scope(Bounds.of(start, allow_outside=allow_outside))
    linked = _Linked(findings)
    objects_ = _Objects(Schemas(schemas), scope, findings, checksums, progress)
    parquets: dict[tuple[str, ...], str] = {}
    """The files of each collection."""
    folders = set()
    for path, content, wrong in _walk(start, scope, linked, findings):
        objects_.check(path, content, wrong)
        folders.add(folder_at(path))
        if content.get("type") == "Collection" and wrong is None:
            _check_assets(path, content, linked)
            if own := scope.parquets_of(path, content, findings):
                parquets.setdefault(tuple(own), content["id"])
    linked.finish()
    if not is_url(start):
        findings.leftovers += _leftovers(folder_at(start), folders)
    for files, collection in sorted(parquets.items()):
        there = [file for file in files if objects.exists(file)]
        for file in set(files).difference(there):
            if os.path.lexists(file):  # a pipe would be waited for
                findings.add(file, "is no file")
        if len(there) < len(files):
            continue
        if collection in objects_.seen:
            _check_parquet(files, objects_.seen, findings)
            continue
        for file in files:
            for item in _rows(file, findings):  # the tree has no Items: these are all there are
                objects_.check(file, item)
    objects_.finish()
    items = findings.objects["Feature"]
    progress("Validating items", items, items, "items")
    findings.checked = objects_.schemas.checked()
    findings.unavailable = sorted(objects_.schemas.unavailable)
    return findings


def _leftovers(folder: str, linked: set[str]) -> Iterator[Path]:
    top = Path(folder)
    for file in sorted(top.glob("*/collection.json")):
        if not any(f"{one}/".startswith(f"{file.parent}/") for one in linked):
            yield file.parent
    yield from top.parent.glob(f".{glob.escape(top.name)}.*ing*")
    yield from top.rglob("*.part")


class _Objects:
    """The checks of one STAC object after the other."""

    def __init__(
        self,
        schemas: Schemas,
        scope: _Scope,
        findings: Findings,
        checksums: bool,
        progress: Progress,
    ) -> None:
        self.schemas = schemas
        self.seen: Seen = {}
        """The Items that were checked."""
        self._findings = findings
        self._members = MemberChecks(scope.resolve, findings.add, checksums=checksums)
        self._progress = progress

    def check(self, path: str, content: dict[str, Any], wrong: str | None = None) -> None:
        """Checks the object of a file; ``wrong`` is the problem for which it is not followed."""
        findings, kind = self._findings, str(content.get("type"))
        findings.objects[kind] += 1
        if kind == _PAGE:  # its Items follow, one by one
            return
        problem = self.schemas.problem(content) or wrong
        if problem is not None:
            findings.add(path, problem)
        if wrong is not None:  # nothing in it is certain
            return
        if kind == "Feature":
            own = self.seen.setdefault(str(content.get("collection")), {})
            if content.get("id") in own:
                findings.add(path, f"id {content['id']} is there twice in its collection")
            own[str(content.get("id"))] = _fingerprint(content, path)
            self._members.add(path, content)
            self._progress("Validating items", findings.objects[kind], None, "items")

    def finish(self) -> None:
        """Checks what was left for later, to be read together."""
        self._members.finish()
        self._findings.members = self._members.compared
        self._findings.elsewhere = self._members.elsewhere


class _Scope:
    """Where each file of a catalog may lead: as its collection says, or else the catalog."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._of_folder: dict[str, Bounds] = {}

    def add(self, path: str, collection: dict[str, Any]) -> None:
        """Adds what a Collection says about its files."""
        parquet = join(next(iter(_mirrors(collection)), f"./{PARQUET_NAME}"), path)
        self._of_folder[folder_at(path)] = self._bounds.of_collection(collection, parquet)

    def parquets_of(self, path: str, collection: dict[str, Any], findings: Findings) -> list[str]:
        """The places of a Collection's parquet, where it names one and may, and of its parts."""
        found: list[str] = []
        for href in _mirrors(collection):
            if has_scheme(href):
                continue
            try:
                found.append(self.resolve(href, path))
            except SatimnetError as error:
                findings.add_error(path, error)
        folder, slash, name = found[0].rpartition("/") if found else ("", "", "")
        parts = {f"{folder}{slash}{part_name(name, at)}" for at in range(1, len(found))}
        return [file for at, file in enumerate(found) if at == 0 or file in parts]

    def resolve(self, href: str, path: str) -> str:
        """The place of an href in a file; raises `SatimnetError` where it may not lead there."""
        folder = folder_at(path)
        while folder and folder not in self._of_folder:
            folder = folder.rpartition("/")[0]
        return self._of_folder.get(folder, self._bounds).resolve(href, path)


def _mirrors(collection: dict[str, Any]) -> list[str]:
    """The hrefs of a Collection's parquet, if it names one."""
    assets = collection.get("assets", {}).values()
    return [str(asset["href"]) for asset in assets if "collection-mirror" in asset.get("roles", ())]


class _Linked:
    """Files that links and assets lead to, which must be there; those in stores are asked for
    side by side, and what is missing is told at the end."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._there: dict[str, bool] = {}
        self._asked: dict[str, Future[bool]] = {}
        self._waiting: list[tuple[str, str, str]] = []

    def add(self, place: str) -> None:
        """Notes a file that was read, so is there."""
        self._there[place] = True

    def require(self, place: str, path: str, problem: str) -> None:
        """Has the problem of the file at ``path`` told, if nothing is at ``place``."""
        if is_url(place) and place not in self._there:
            if place not in self._asked:
                self._asked[place] = soon(_is_there, place)
            self._waiting.append((place, path, problem))
            return
        if place not in self._there:
            self._there[place] = os.path.isfile(place)  # no name is too long for that
        if not self._there[place]:
            self._findings.add(path, problem)

    def finish(self) -> None:
        """Tells what is not there."""
        for place, path, problem in self._waiting:
            if not self._asked[place].result():
                self._findings.add(path, problem)


def _is_there(place: str) -> bool:
    try:
        return objects.exists(place)
    except DeniedError:  # as many hosts say of what is not there
        return False


class _Documents:
    """The documents that links lead to; in stores those that come next are read ahead."""

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._coming: dict[str, Future[dict[str, Any]]] = {}

    def read(self, place: str, next_ones: list[str]) -> dict[str, Any]:
        """The document at a place; the last of ``next_ones`` is wanted next."""
        if not is_url(place):
            return documents.read(place, _LED)
        for one in (place, *reversed(next_ones[-AT_ONCE:])):
            if one not in self._asked:
                self._asked.add(one)
                self._coming[one] = soon(documents.read, one, _LED)
        return self._coming.pop(place).result()


def _walk(
    start: str, scope: _Scope, linked: _Linked, findings: Findings
) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    """Objects by ``child`` and ``item`` links and through pages, depth first.

    With each comes the problem for which it is not followed, or None. Other links must lead
    somewhere. A page comes before its Items.
    """
    todo = [start]
    walked: set[str] = set()
    read = _Documents().read
    while todo:
        path = todo.pop()
        if path in walked:  # pages may lead in circles
            continue
        walked.add(path)
        try:
            content = read(path, todo)
        except SatimnetError as error:
            if not _is_of_file(error, path):
                raise
            reason = str(error).removeprefix(f"{shown(path)}: ")
            findings.add(path, f"cannot be read as JSON ({reason})")
            continue
        linked.add(path)
        following = []
        for one in (content, *_features(content)):
            wrong = documents.problem(one)
            if wrong is None:
                if one.get("type") == "Collection":
                    scope.add(path, one)
                following += _following(path, one, scope, linked, findings)
            yield path, one, wrong
        todo.extend(reversed(following))


def _is_of_file(error: SatimnetError, path: str) -> bool:
    """Whether it is the fault of this file, and not of a host that does not answer."""
    return not is_url(path) or isinstance(error, NotFoundError | DeniedError | BadCatalogError)


def _features(content: dict[str, Any]) -> list[Any]:
    """The Items of a page; empty for any other object."""
    features = content.get("features") if content.get("type") == _PAGE else None
    return features if isinstance(features, list) else []


def _following(
    path: str, content: dict[str, Any], scope: _Scope, linked: _Linked, findings: Findings
) -> list[str]:
    """The files to go on with; what the other links lead to must be there."""
    following = []
    for link in content.get("links", ()):
        href = link["href"]
        if has_scheme(href) or link["rel"] in ("derived_from", "predecessor-version"):
            continue  # the one may be kept elsewhere, the other be pruned
        if link["rel"] in _FOLLOWED:
            try:
                following.append(scope.resolve(href, path))
            except SatimnetError as error:
                findings.add_error(path, error)
        else:
            problem = f"link {link['rel']} leads to no file: {href}"
            linked.require(join(href, path), path, problem)
    return following


def _check_assets(path: str, collection: dict[str, Any], linked: _Linked) -> None:
    for key, asset in collection.get("assets", {}).items():
        href = asset["href"]
        if not has_scheme(href):
            linked.require(join(href, path), path, f"asset {key}: no file {href}")


def _rows(file: str, findings: Findings) -> Iterator[dict[str, Any]]:
    """The Items of a parquet, a few at a time in memory."""
    import pyarrow as pa

    try:
        with parquet_file(file) as opened:
            for batch in opened.iter_batches(_BATCH):
                yield from items_of(pa.Table.from_batches([batch]), file)
    except SatimnetError as error:
        if not _is_of_file(error, file):
            raise
        findings.add_error(file, error)
    except (OSError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        # columns of any type: nothing of them is certain
        findings.add(file, f"cannot be read as items ({error})")


def _check_parquet(files: Sequence[str], seen: Seen, findings: Findings) -> None:
    """The parquet, which search reads, must say of each Item what the Item's own file says."""
    before = findings.count
    listed: Seen = {}
    for file in files:
        for item in _rows(file, findings):
            own = listed.setdefault(str(item["collection"]), {})
            if item["id"] in own:
                findings.add(file, f"id {item['id']} is there twice")
            own[item["id"]] = _fingerprint(item, file)
    if findings.count > before:
        return
    file = files[0]
    for collection, own in listed.items():
        in_tree = seen.get(collection, {})
        for what, odd in (("parquet", own.keys() - in_tree), ("tree", in_tree.keys() - own)):
            if odd:
                findings.add(file, f"{len(odd)} items only in the {what}, as {min(odd, key=str)}")
        for name in own.keys() & in_tree.keys():
            if own[name] != in_tree[name]:
                findings.add(file, f"{name} is not what its own file says")


def _fingerprint(item: dict[str, Any], path: str) -> bytes:
    """Digest of all that search and training use of an Item, wherever it was read."""
    assets = {
        key: asset | {"href": join(str(asset.get("href")), path)}
        for key, asset in item.get("assets", {}).items()
    }
    content = {k: v for k, v in item.items() if k != "links"} | {"assets": assets}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()
