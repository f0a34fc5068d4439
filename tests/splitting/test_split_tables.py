"""Tables of splits lie beside a catalog, on disk and in a store, and are what the catalog links."""

from __future__ import annotations

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places import upload

from satimnet.builder import build, open, prune, search, split, validate
from satimnet.builder.errors import BadCatalogError, NotFoundError, SatimnetError
from satimnet.builder.publishing.split_tables import split_links
from satimnet.builder.storage import objects
from satimnet.builder.transfer.mirror import copy_catalog
from satimnet.training import open_samples

HOW = {"images": False, "shares": [0.5, 0.5]}


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, catalog: Path, tmp_path: Path) -> str:
    """A catalog that can be written to."""
    if request.param == "disk":
        shutil.copytree(catalog, tmp_path / "catalog")
        return str(tmp_path / "catalog")
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]
    root = f"{request.getfixturevalue('bucket')}/{name}"
    upload(catalog, root)
    return root


def files(place: str) -> set[str]:
    return {one.place[len(place) + 1 :] for one in objects.files_below(place)}


def test_it_is_written_linked_and_used(place: str, schemas: Path) -> None:
    before = files(place)
    made = split(place, name="mine", **HOW)
    path = f"splits/mine-{made.link.digest[:12]}.parquet"
    assert files(place) - before == {path}
    data = objects.read(f"{place}/{path}")
    assert hashlib.sha256(data).hexdigest() == made.link.digest
    root = json.loads(objects.read(f"{place}/catalog.json"))
    (link,) = (link for link in root["links"] if link["rel"] == "satimnet:split")
    assert link["href"] == f"./{path}"
    assert link["title"] == "Split mine: by blocks of 10 km, 0.5 : 0.5"
    for asked in ("mine", made.link.cited, f"mine@{made.link.digest}"):
        assert len(search(place, splits=asked, split="test")) == made.parts["test"]
        assert open_samples(place, splits=asked).search(split="train").splits == (
            ["train"] * made.parts["train"]
        )
    assert validate(place, schemas=schemas).count == 0
    assert len(list(open(place).search(collections=["eurosat"]).items())) == len(search(place))


def test_a_build_and_a_pruning_keep_it(place: str, tmp_path: Path, miniature: Path) -> None:
    made = split(place, name="mine", **HOW)
    from stactools.eurosat.miniature import write_miniature

    write_miniature(tmp_path / "other", 2, seed=9)
    build([tmp_path / "other"], place, overview=False)
    stray = f"{place}/splits/mine-0123456789ab.parquet"
    objects.write(stray, b"what a killed run left")
    part = f"{place}/splits/mine-0123456789ab.parquet.part"
    objects.write(part, b"and this")
    foreign = f"{place}/splits/notes.txt"
    objects.write(foreign, b"somebody's own")
    pruned = prune(place, keep=1, older_than=-3600)
    assert {stray, part} <= set(pruned.files)
    assert {f"splits/mine-{made.link.digest[:12]}.parquet", "splits/notes.txt"} <= files(place)
    assert not objects.exists(stray)
    assert len(search(place, splits="mine", split="test"))


def test_a_copy_has_it(place: str, tmp_path: Path) -> None:
    made = split(place, name="mine", **HOW)
    copy_catalog(place, tmp_path / "copy")
    assert len(search(tmp_path / "copy", splits="mine", split="test")) == made.parts["test"]


def test_what_is_not_there_is_named(place: str) -> None:
    with pytest.raises(NotFoundError, match="no split x; make one with satimnet split"):
        search(place, splits="x")
    split(place, name="mine", **HOW)
    with pytest.raises(NotFoundError, match="no split x; there are: mine"):
        open_samples(place, splits="x")
    with pytest.raises(NotFoundError, match=r"no split mine@ab; there are: mine@[0-9a-f]{12}"):
        search(place, splits="mine@ab")


def test_a_table_that_was_changed_is_refused(place: str) -> None:
    made = split(place, name="mine", **HOW)
    file = f"{place}/splits/mine-{made.link.digest[:12]}.parquet"
    objects.write(file, objects.read(file) + b" ")
    with pytest.raises(BadCatalogError, match="is not the file that the catalog links"):
        search(place, splits="mine")
    objects.delete(file)
    with pytest.raises(SatimnetError, match="nothing is there"):
        search(place, splits="mine")


def test_several_at_once_are_all_there(place: str, tmp_path: Path) -> None:
    """Also beside a build, which replaces the root as well."""
    from stactools.eurosat.miniature import write_miniature

    write_miniature(tmp_path / "other", 1, seed=9)
    jobs = [partial(split, place, name=f"mine{k}", seed=k, **HOW) for k in range(3)]
    jobs.append(partial(build, [tmp_path / "other"], place, overview=False))
    with ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result()
    root = json.loads(objects.read(f"{place}/catalog.json"))
    assert {link.name for link in split_links(root)} == {"mine0", "mine1", "mine2"}
    assert len(root["satimnet:versions"]["eurosat"]) == 2
    for k in range(3):
        assert len(search(place, splits=f"mine{k}")) == 10


GOOD = {
    "collection": pa.array(["eurosat"]),
    "id": pa.array(["Forest_1"]),
    "row": pa.array([0]),
    "split": pa.array(["train"]),
    "fold": pa.array([None], pa.int64()),
    "group": pa.array([0]),
}
BAD = {
    "no split": GOOD | {"split": pa.array(["holdout"])},
    "no row": GOOD | {"row": pa.array([None], pa.int64())},
    "no id": GOOD | {"id": pa.array([None], pa.string())},
    "a column less": {name: column for name, column in GOOD.items() if name != "fold"},
    "another type": GOOD | {"fold": pa.array(["first"])},
    "far rows": GOOD | {"row": pa.array([2**60])},
    "rows below": GOOD | {"row": pa.array([-1])},
}


@pytest.mark.parametrize("name", [*BAD, "no parquet", "metadata"])
def test_hostile_tables(name: str, catalog: Path, tmp_path: Path) -> None:
    shutil.copytree(catalog, tmp_path / "catalog")
    place = tmp_path / "catalog"
    root = json.loads((place / "catalog.json").read_bytes())
    version = root["satimnet:versions"]["eurosat"][-1]
    said = {"collections": {"eurosat": {"version": version}}}
    said = ["nothing"] if name == "metadata" else said
    table = pa.table(BAD.get(name, GOOD))
    file = tmp_path / "table.parquet"
    pq.write_table(
        table.replace_schema_metadata({b"satimnet:split": json.dumps(said).encode()}), file
    )
    data = b"PAR1 nothing PAR1" if name == "no parquet" else file.read_bytes()
    link_to(place, root, data)
    with pytest.raises(BadCatalogError, match=r"make (the split|it) again"):
        search(place, splits="mine")
    link_to(place, root, b"", href="../../etc/mine-{}.parquet")
    with pytest.raises(NotFoundError, match="no split mine"):
        search(place, splits="mine")


def link_to(place: Path, root: dict, data: bytes, href: str = "./splits/mine-{}.parquet") -> None:
    digest = hashlib.sha256(data).hexdigest()
    href = href.format(digest[:12])
    if ".." not in href:
        (place / "splits").mkdir(exist_ok=True)
        (place / href).write_bytes(data)
    link = {"rel": "satimnet:split", "href": href, "file:checksum": f"1220{digest}"}
    (place / "catalog.json").write_text(json.dumps(root | {"links": [*root["links"], link]}))
