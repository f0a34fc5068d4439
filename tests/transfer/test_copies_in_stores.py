"""Copies to folders and to object stores: the same bytes, added to what is there, nothing lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from published import home_of
from stactools.cli.cli import cli
from trial_catalog import write_catalog

from satimnet.builder import SatimnetError, build, open, prune, search, versions
from satimnet.builder.errors import ArgumentError, BadCatalogError, StorageError
from satimnet.builder.publishing import protocol
from satimnet.builder.storage import objects
from satimnet.builder.transfer import destinations, mirror
from satimnet.builder.transfer.mirror import copy_catalog
from stactools.eurosat.miniature import write_miniature
from stactools.uc_merced.miniature import write_miniature as write_uc_merced


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of EuroSAT; read-only."""
    folder = tmp_path_factory.mktemp("old")
    write_miniature(folder / "source", 1)
    build([folder / "source"], folder / "catalog", overview=False)
    return folder / "catalog"


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory, old: Path) -> Path:
    """The same with a second version of EuroSAT, and UC Merced; read-only."""
    folder = tmp_path_factory.mktemp("new")
    write_miniature(folder / "source", 2)
    write_uc_merced(folder / "uc-merced", 1)
    shutil.copytree(old, folder / "catalog")
    build([folder / "source", folder / "uc-merced"], folder / "catalog", overview=False)
    return folder / "catalog"


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a catalog can be written to: a folder, or a prefix of a bucket."""
    if request.param == "disk":
        return str(tmp_path / "there" / "catalog")
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]
    return f"{request.getfixturevalue('bucket')}/copies/{name}"


def files(place: str | Path) -> dict[str, str]:
    """Digest of each file of a catalog."""
    home = str(place)
    return {
        one.place[len(home) + 1 :]: hashlib.sha256(objects.read(one.place)).hexdigest()
        for one in objects.files_below(home)
    }


def ids(place: str | Path, **more: Any) -> set[str]:
    return {item.id for item in open(place, **more).search(collections=["eurosat"]).items()}


def nothing_is_left(place: str, tmp_path: Path) -> bool:
    """Whether no workspace, lock or note is there."""
    if "://" in place:
        return not any(path.startswith(".") for path in files(place))
    return [path.name for path in Path(place).parent.iterdir()] == ["catalog"]


# --- what is copied


def test_a_copy_has_the_same_bytes_wherever_it_lies(old, place, tmp_path, bucket):
    copied = copy_catalog(old, place)
    assert files(place) == files(old)
    assert (copied.collections, copied.there, copied.left) == (("eurosat",), (), ())
    assert nothing_is_left(place, tmp_path)
    copy_catalog(place, tmp_path / "back")  # and from there
    assert files(tmp_path / "back") == files(old)
    further = f"{bucket}/further/{place.rpartition('/')[2]}"
    copy_catalog(place, further)
    assert files(further) == files(old)


def test_a_copy_from_the_web_to_a_store(old, bucket, serve):
    with serve(old) as url:
        copy_catalog(url, f"{bucket}/from-the-web")
    assert files(f"{bucket}/from-the-web") == files(old)


def test_the_current_version_is_copied_and_its_history_is_what_is_there(old, new, place):
    copied = copy_catalog(new, place)
    assert copied.collections == ("eurosat", "uc-merced")
    assert [(one.collection, one.current) for one in versions(place)] == [
        ("eurosat", True),
        ("uc-merced", True),
    ]
    current = home_of(new).name
    original = files(new)
    assert {path for path, digest in files(place).items() if original[path] != digest} == {
        "catalog.json"
    }
    earlier = home_of(old).name
    assert not any(path.startswith(f"eurosat/{earlier}/") for path in files(place))
    assert any(path.startswith(f"eurosat/{current}/") for path in files(place))
    assert prune(place, older_than=0).files == ()  # no shard of the earlier one either


def test_a_version_is_added_to_those_that_are_there(old, new, place):
    copy_catalog(old, place)
    was = ids(place)
    before = files(place)
    copied = copy_catalog(new, place, collections=["eurosat"])
    assert (copied.collections, copied.there) == (("eurosat",), ())
    first, second = versions(place)
    assert (first.name, first.current) == (home_of(old).name, False)
    assert (second.name, second.current) == (home_of(new).name, True)
    assert ids(place, version=first.name) == was
    assert ids(place) == ids(new)
    now = files(place)
    changed = {"catalog.json", "eurosat/collection.json"}
    assert {path for path in before if now.get(path) != before[path]} == changed
    copy_catalog(new, place)
    prune(place, older_than=0)
    expected = files(new)
    assert {k: v for k, v in files(place).items() if expected.get(k) != v} == {}

    again = copy_catalog(new, place)
    assert again.there == ("eurosat", "uc-merced")
    assert again.files == 1  # the root, which was read
    assert {k: v for k, v in files(place).items() if expected.get(k) != v} == {}


def test_some_collections_are_the_catalog_that_a_build_of_them_makes(new, place, tmp_path):
    write_uc_merced(tmp_path / "uc-merced", 1)
    build([tmp_path / "uc-merced"], tmp_path / "built", overview=False)
    copy_catalog(new, place, collections=["uc-merced"])
    assert files(place) == files(tmp_path / "built")


def test_concepts_come_with_a_collection_and_those_that_are_there_stay(old, new, place, tmp_path):
    """Also without the package of the dataset; a copy changes no word of what others say."""
    theirs = Path(shutil.copytree(new, tmp_path / "theirs"))
    root = json.loads((theirs / "catalog.json").read_bytes())
    (link,) = (link for link in root["links"] if link["rel"] == "glossary")
    scheme = json.loads((theirs / link["href"]).read_bytes())
    for node in scheme["@graph"]:
        if "prefLabel" in node:
            node["prefLabel"] = f"{node['prefLabel']}, as they say"
    (theirs / link["href"]).write_text(json.dumps(scheme))
    copy_catalog(old, place)
    labels = {one.id: one.label for one in open_scheme(place).concepts.values()}
    copy_catalog(theirs, place, collections=["uc-merced"])
    now = {one.id: one.label for one in open_scheme(place).concepts.values()}
    assert {id_: now[id_] for id_ in labels} == labels
    assert [label for id_, label in now.items() if id_ not in labels]
    assert all(", as they say" in label for id_, label in now.items() if id_ not in labels)
    assert {class_.collection for class_ in open_scheme(place).classes} == {"eurosat", "uc-merced"}


def open_scheme(place: str) -> Any:
    found = protocol.scheme_of(protocol.read_root(place), place)
    assert found is not None
    return found


def test_catalogs_without_versions(place, tmp_path):
    write_catalog(tmp_path / "trial")
    copy_catalog(tmp_path / "trial", place, collections=["clouds"])
    copy_catalog(tmp_path / "trial", place, collections=["eurosat"])
    expected = files(tmp_path / "trial")
    assert {path for path, digest in files(place).items() if expected.get(path) != digest} <= {
        "catalog.json"
    } | {path for path in files(place) if path.startswith("concepts")}
    assert sorted((i["collection"], i["id"]) for i in search(place)) == sorted(
        (i["collection"], i["id"]) for i in search(tmp_path / "trial")
    )
    before = files(place)
    copied = copy_catalog(tmp_path / "trial", place)
    assert set(copied.there) == {"eurosat", "clouds"}
    assert files(place) == before
    assert nothing_is_left(place, tmp_path)
    other = json.loads((tmp_path / "trial" / "clouds" / "collection.json").read_bytes())
    other["description"] = "Other clouds."
    (tmp_path / "trial" / "clouds" / "collection.json").write_text(json.dumps(other))
    with pytest.raises(StorageError, match="has a collection clouds already"):
        copy_catalog(tmp_path / "trial", place)
    assert files(place) == before


# --- what is refused


def test_what_cannot_be_copied_there(old, place, tmp_path):
    objects.write(f"{place}/catalog.json", b'{"id": "theirs", "links": []}')
    with pytest.raises((BadCatalogError, StorageError), match="is no catalog of satimnet"):
        copy_catalog(old, place)
    assert set(files(place)) == {"catalog.json"}
    with pytest.raises(SatimnetError, match="a web server cannot be written to"):
        copy_catalog(old, "https://127.0.0.1:9/catalog")
    with pytest.raises(SatimnetError, match="cannot be used here"):
        copy_catalog(old, "ftp://127.0.0.1/catalog")


def test_a_catalog_in_a_store_is_not_copied_into_itself(old, bucket):
    copy_catalog(old, f"{bucket}/itself")
    for inside in ("itself", "itself/copy"):
        with pytest.raises(ArgumentError, match="lies inside the catalog"):
            copy_catalog(f"{bucket}/itself", f"{bucket}/{inside}")
    copy_catalog(f"{bucket}/itself", f"{bucket}/itself-2")


def test_no_shard_of_the_catalog_that_is_there_is_replaced(old, new, place, tmp_path):
    """Not by one of the same name, whatever the other catalog says that it is."""
    evil = Path(shutil.copytree(new, tmp_path / "evil"))
    copy_catalog(old, place)
    before = files(place)
    mine = next(path for path in before if "/shards/" in path)
    (evil / mine).write_bytes(b"no shard")
    root = home_of(evil) / "collection.json"
    document = json.loads(root.read_bytes())
    document["assets"]["x"] = {"href": f"../../{mine}"}
    root.write_text(json.dumps(document))
    with pytest.raises(StorageError, match=r"there already with .* bytes, and the new one has 8"):
        copy_catalog(evil, place, collections=["eurosat"])
    now = files(place)
    assert {path for path in before if now.get(path) != before[path]} == set()


def test_two_collections_without_versions_are_not_mixed(bucket, tmp_path, monkeypatch):
    """The second one finds the note of the first, which was killed, and says what to do."""
    place = f"{bucket}/mixed"
    write_catalog(tmp_path / "trial")
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "replace_root", killed)
        with pytest.raises(KeyboardInterrupt):
            copy_catalog(tmp_path / "trial", place, collections=["clouds"])
    before = files(place)
    shutil.copytree(tmp_path / "trial", tmp_path / "other")
    file = tmp_path / "other" / "clouds" / "collection.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {"description": "Other clouds."}))
    with pytest.raises(StorageError, match=r"copying-clouds: another run writes there, or was"):
        copy_catalog(tmp_path / "other", place, collections=["clouds"])
    assert files(place) == before
    copy_catalog(tmp_path / "trial", place, collections=["clouds"])
    assert not any(path.startswith(".") for path in files(place))


# --- copies that were killed


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def after(calls: int, call: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which ends the program when it was called so often."""
    left = [calls]

    def run(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return call(*arguments, **options)

    return run


KILLS: list[tuple[str, Callable[[pytest.MonkeyPatch], None]]] = [
    ("disk", lambda patch: patch.setattr(mirror, "copy_file", after(30, mirror.copy_file))),
    ("disk", lambda patch: patch.setattr(protocol, "give", after(2, protocol.give))),
    ("disk", lambda patch: patch.setattr(destinations, "place", killed)),
    ("disk", lambda patch: patch.setattr(protocol, "link", killed)),
    ("disk", lambda patch: patch.setattr(protocol, "root_json", killed)),
    ("disk", lambda patch: patch.setattr(protocol, "_copy_of", killed)),
    ("s3", lambda patch: patch.setattr(objects, "write", after(30, objects.write))),
    ("s3", lambda patch: patch.setattr(protocol, "replace_root", killed)),
    ("s3", lambda patch: patch.setattr(objects, "replace", killed)),
    ("s3", lambda patch: patch.setattr(protocol, "_copy_of", killed)),
]


@pytest.mark.parametrize("onto", ["nothing", "a catalog"])
@pytest.mark.parametrize("kill", range(len(KILLS)))
def test_a_killed_copy_goes_on(kill, onto, old, new, tmp_path, request, monkeypatch):
    kind, end = KILLS[kill]
    calm = tmp_path / "calm" / "catalog"
    out = str(tmp_path / "out" / "catalog")
    if kind == "s3":
        out = f"{request.getfixturevalue('bucket')}/killed-{kill}-{onto[0]}"
    if onto == "a catalog":
        for one in (calm, out):
            copy_catalog(old, one)
    before = protocol.read_root(out)
    copy_catalog(new, calm)
    protocol.require_one_by_one(out)  # is asked once, not in the middle of what follows
    with monkeypatch.context() as patch:
        end(patch)
        try:
            copy_catalog(new, out)
            ended = False
        except KeyboardInterrupt:
            ended = True
    if ended:
        assert protocol.read_root(out) in (before, protocol.read_root(str(calm)))
    fetched: list[str] = []
    copy_file = mirror.copy_file
    monkeypatch.setattr(mirror, "copy_file", lambda *a: (fetched.append(a[1]), copy_file(*a)))
    copy_catalog(new, out)
    assert files(out) == files(calm)
    assert nothing_is_left(out, tmp_path)
    if not ended:  # a new catalog is made in another way, in which this is not called
        assert onto == "nothing"
    elif kind == "s3" and kill != 6:
        assert not [path for path in fetched if path.endswith(".zip")]


# --- several at once


def test_two_copies_at_once_lose_nothing(old, new, place, tmp_path):
    write_catalog(tmp_path / "trial")
    errors: list[BaseException] = []
    barrier = threading.Barrier(3)

    def run(source: Path, name: str) -> None:
        try:
            barrier.wait()
            copy_catalog(source, place, collections=[name])
        except BaseException as error:
            errors.append(error)

    jobs = [(old, "eurosat"), (new, "uc-merced"), (tmp_path / "trial", "clouds")]
    threads = [threading.Thread(target=run, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert {item["collection"] for item in search(place)} == {"eurosat", "uc-merced", "clouds"}
    assert {class_.collection for class_ in open_scheme(place).classes} >= {"eurosat", "uc-merced"}
    assert nothing_is_left(place, tmp_path)


def test_two_copies_of_the_same_at_once(old, bucket):
    place = f"{bucket}/the-same"
    errors: list[BaseException] = []

    def run() -> None:
        try:
            copy_catalog(old, place)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert files(place) == files(old)


# --- the command


def test_the_command(old, place):
    def run() -> str:
        done = CliRunner().invoke(cli, ["satimnet", "copy", str(old), place])
        assert done.exit_code == 0, done.output
        return done.output

    assert f"{place}/catalog.json is ready" in run()
    assert "eurosat: this version is there already" in run()
    assert files(place) == files(old)
