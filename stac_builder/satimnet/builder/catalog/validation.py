"""The validation of a whole catalog: schemas, links, byte ranges, and the parquet.

The parquet, which searches read, must say the same as the files of the Items.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from satimnet.builder.arguments import checked
from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.geoparquet import PARQUET_NAME, items_of
from satimnet.builder.catalog.items import SHA256
from satimnet.builder.catalog.schemas import Schemas
from satimnet.builder.errors import ArgumentError, NotFoundError, SatimnetError, printable
from satimnet.builder.progress import Progress, silent
from satimnet.builder.storage.hrefs import Bounds, has_scheme, is_url, join, readable

_SHOWN = 1000  # problems beyond these are counted, not kept
_PAGE = "FeatureCollection"
_BATCH = 1000  # rows that are Items at a time
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

    def add_error(self, path: Path, error: SatimnetError) -> None:
        """Adds an error whose message names the file already."""
        self.add(path, str(error).removeprefix(f"{path}: "))

    def add(self, path: Path, problem: str) -> None:
        """Adds a problem of a file."""
        self.count += 1
        if len(self.problems) < _SHOWN:
            self.problems.append(printable(f"{path}: {problem}"))


@checked()
def validate(
    catalog: Path,
    *,
    schemas: Path | None = None,
    checksums: bool = False,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> Findings:
    """Checks every object that ``catalog.json`` leads to, and each collection's parquet.

    Args:
        catalog: Path of ``catalog.json`` or of its folder.
        schemas: Folder of extension schemas with an ``index.json`` of URI to file; without it they
            come from the cache of an earlier validation, or from the network.
        checksums: Whether to read every member, too, and compare it with its ``file:checksum``.
        allow_outside: Whether files that lie outside of the catalog's folder are checked as well.
        progress: Is told how many Items were checked.

    Returns:
        What was checked, and what is wrong with it.

    Raises:
        NotFoundError: there is no catalog.
        ArgumentError: it lies on the web, or ``schemas`` is no folder of schemas.

    Example:
        >>> from pathlib import Path
        >>> from satimnet.builder import validate
        >>> found = validate(Path("catalog"))
        >>> found.problems
        []
    """
    if is_url(os.fspath(catalog)):
        raise ArgumentError(
            f"{catalog}: only catalogs on disk are checked; copy it here first", "catalog"
        )
    readable(catalog)
    start = catalog / "catalog.json" if catalog.is_dir() else catalog
    if not start.is_file():
        raise NotFoundError(f"{start}: no such file; give a catalog's folder or its catalog.json")
    findings = Findings()
    scope = _Scope(Bounds.of(str(start.absolute()), allow_outside=allow_outside))
    objects = _Objects(Schemas(schemas), scope, findings, checksums, progress)
    linked: dict[Path, str] = {}
    for path, content, wrong in _walk(start, scope, findings):
        objects.check(path, content, wrong)
        home = path.absolute().parent
        if content.get("type") == "Collection" or home not in linked:
            linked[home] = str(content.get("id"))
    folder = start.parent.absolute()
    findings.leftovers += _leftovers(folder, set(linked))
    for file in sorted(folder.rglob(PARQUET_NAME)):
        if file.parent not in linked:
            continue
        if linked[file.parent] in objects.seen:
            _check_parquet(file, objects.seen, findings)
            continue
        for item in _rows(file, findings):  # the tree has no Items: these are all there are
            objects.check(file, item)
    items = findings.objects["Feature"]
    progress("Validating items", items, items, "items")
    findings.checked = objects.schemas.checked()
    findings.unavailable = sorted(objects.schemas.unavailable)
    return findings


def _leftovers(folder: Path, linked: set[Path]) -> Iterator[Path]:
    homes = {path for one in linked for path in (one, one.parent)}  # and copies of the current
    for file in sorted(folder.glob("*/collection.json")):
        if file.parent not in homes:
            yield file.parent
    yield from folder.parent.glob(f".{glob.escape(folder.name)}.*ing")
    yield from folder.rglob("*.part")


@dataclass
class _Objects:
    """The checks of one STAC object after the other."""

    schemas: Schemas
    scope: _Scope
    findings: Findings
    checksums: bool
    progress: Progress
    seen: Seen = field(default_factory=dict)
    """The Items that were checked."""
    _shards: dict[Path, int] = field(default_factory=dict)

    def check(self, path: Path, content: dict[str, Any], wrong: str | None = None) -> None:
        """Checks the object of a file; ``wrong`` is the problem for which it is not followed."""
        findings, kind = self.findings, str(content.get("type"))
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
            own[str(content.get("id"))] = _fingerprint(content, path.parent)
            _check_members(path, content, self.scope, self._shards, self.checksums, findings)
            self.progress("Validating items", findings.objects[kind], None, "items")
        elif kind == "Collection":
            _check_assets(path, content, findings)


class _Scope:
    """Where each file of a catalog may lead: as its collection says, or else the catalog."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._of_folder: dict[Path, Bounds] = {}

    def add(self, path: Path, collection: dict[str, Any]) -> None:
        """Adds what a Collection says about its files."""
        folder = path.absolute().parent
        parquet = str(folder / PARQUET_NAME)
        self._of_folder[folder] = self._bounds.of_collection(collection, parquet)

    def resolve(self, href: str, path: Path) -> str:
        """The place of an href in a file; raises `SatimnetError` where it may not lead there."""
        path = path.absolute()
        home = next((up for up in path.parents if up in self._of_folder), None)
        bounds = self._bounds if home is None else self._of_folder[home]
        return bounds.resolve(href, str(path))


def _walk(
    start: Path, scope: _Scope, findings: Findings
) -> Iterator[tuple[Path, dict[str, Any], str | None]]:
    """Objects by ``child`` and ``item`` links and through pages, depth first.

    With each comes the problem for which it is not followed, or None. Other links must lead
    somewhere. A page comes before its Items.
    """
    todo = [start]
    walked: set[Path] = set()
    exists: dict[Path, bool] = {}
    while todo:
        path = todo.pop()
        if path in walked:  # pages may lead in circles
            continue
        walked.add(path)
        try:
            content = documents.read(str(path), "a link leads there")
        except SatimnetError as error:
            reason = str(error).removeprefix(f"{path}: ")
            findings.add(path, f"cannot be read as JSON ({reason})")
            continue
        following = []
        for one in (content, *_features(content)):
            wrong = documents.problem(one)
            if wrong is None:
                if one.get("type") == "Collection":
                    scope.add(path, one)
                following += _following(path, one, scope, exists, findings)
            yield path, one, wrong
        todo.extend(reversed(following))


def _features(content: dict[str, Any]) -> list[Any]:
    """The Items of a page; empty for any other object."""
    features = content.get("features") if content.get("type") == _PAGE else None
    return features if isinstance(features, list) else []


def _following(
    path: Path,
    content: dict[str, Any],
    scope: _Scope,
    exists: dict[Path, bool],
    findings: Findings,
) -> list[Path]:
    """The files to go on with; what the other links lead to must be there."""
    following = []
    for link in content.get("links", ()):
        href = link["href"]
        if has_scheme(href) or link["rel"] in ("derived_from", "predecessor-version"):
            continue  # the one may be kept elsewhere, the other be pruned
        target = Path(os.path.normpath((path.parent / href).absolute()))
        if link["rel"] in _FOLLOWED:
            try:
                following.append(Path(scope.resolve(href, path)))
            except SatimnetError as error:
                findings.add_error(path, error)
            continue
        if target not in exists:
            exists[target] = os.path.isfile(target)  # no name is too long for that
        if not exists[target]:
            findings.add(path, f"link {link['rel']} leads to no file: {href}")
    return following


def _check_members(
    path: Path,
    item: dict[str, Any],
    scope: _Scope,
    shards: dict[Path, int],
    checksums: bool,
    findings: Findings,
) -> None:
    for key, asset in item.get("assets", {}).items():
        if is_url(asset["href"]):
            findings.elsewhere += len(asset.get("archive", ())) or 1
            continue
        try:
            shard = Path(scope.resolve(asset["href"], path))
        except SatimnetError as error:
            findings.add(path, f"asset {key}: {error}")
            continue
        if shard not in shards:
            shards[shard] = shard.stat().st_size if os.path.isfile(shard) else -1
        size = shards[shard]
        if size < 0:
            findings.add(path, f"asset {key}: no file {asset.get('href')}")
            continue
        if asset.get("file:size", size) != size:
            findings.add(path, f"asset {key}: {shard.name} has {size} bytes, not the size given")
        for member in asset.get("archive", ()):
            first, last = (*member.get("range", ()), 0, -1)[:2]
            length = last - first + 1
            if not 0 <= first <= last + 1 <= size or length != member.get("file:size", length):
                findings.add(path, f"asset {key}: range of {member.get('href')} does not fit")
            elif checksums and "file:checksum" in member:
                with shard.open("rb") as file:
                    file.seek(first)
                    found = SHA256 + hashlib.sha256(file.read(last - first + 1)).hexdigest()
                findings.members += 1
                if found != member["file:checksum"]:
                    findings.add(path, f"asset {key}: checksum of {member.get('href')} differs")


def _check_assets(path: Path, collection: dict[str, Any], findings: Findings) -> None:
    for key, asset in collection.get("assets", {}).items():
        href = asset["href"]
        if not has_scheme(href) and not os.path.isfile(path.parent / href):
            findings.add(path, f"asset {key}: no file {href}")


def _rows(file: Path, findings: Findings) -> Iterator[dict[str, Any]]:
    """The Items of a parquet, a few at a time in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.is_file():  # a pipe would be waited for
        findings.add(file, "is no file")
        return
    try:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(_BATCH):
                yield from items_of(pa.Table.from_batches([batch]), str(file.absolute()))
    except SatimnetError as error:
        findings.add_error(file, error)
    except (OSError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        # columns of any type: nothing of them is certain
        findings.add(file, f"cannot be read as items ({error})")


def _check_parquet(file: Path, seen: Seen, findings: Findings) -> None:
    """The parquet, which search reads, must say of each Item what the Item's own file says."""
    before = findings.count
    listed: Seen = {}
    for item in _rows(file, findings):
        own = listed.setdefault(str(item["collection"]), {})
        if item["id"] in own:
            findings.add(file, f"id {item['id']} is there twice")
        own[item["id"]] = _fingerprint(item, file.parent)
    if findings.count > before:
        return
    for collection, own in listed.items():
        in_tree = seen.get(collection, {})
        for what, odd in (("parquet", own.keys() - in_tree), ("tree", in_tree.keys() - own)):
            if odd:
                findings.add(file, f"{len(odd)} items only in the {what}, as {min(odd, key=str)}")
        for name in own.keys() & in_tree.keys():
            if own[name] != in_tree[name]:
                findings.add(file, f"{name} is not what its own file says")


def _fingerprint(item: dict[str, Any], folder: Path) -> bytes:
    """Digest of all that search and training use of an Item, wherever it was read."""
    assets = {
        key: asset | {"href": join(str(asset.get("href")), str(folder.absolute() / "x"))}
        for key, asset in item.get("assets", {}).items()
    }
    content = {k: v for k, v in item.items() if k != "links"} | {"assets": assets}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()
