"""A catalog changes in one step, by whomever and wherever it is written; nothing is lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError

import pytest
from published import home_of

from satimnet.builder import SatimnetError, build, open, prune, search, versions
from satimnet.builder.publishing import protocol
from satimnet.builder.publishing.layout import Location, location_of, stable_copy
from satimnet.builder.publishing.protocol import Made, Vocabulary
from satimnet.builder.storage import objects
from stactools.eurosat.miniature import write_miniature
from stactools.uc_merced.miniature import write_miniature as write_uc_merced


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of EuroSAT."""
    folder = tmp_path_factory.mktemp("old")
    write_miniature(folder, 1)
    return folder


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another source of EuroSAT."""
    folder = tmp_path_factory.mktemp("new")
    write_miniature(folder, 2)
    return folder


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a catalog can be written to: a folder, or a prefix of a bucket."""
    if request.param == "disk":
        return str(tmp_path / "catalog")
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]
    return f"{request.getfixturevalue('bucket')}/{name}"


def files(place: str) -> dict[str, str]:
    """Digest of each file of a catalog."""
    return {
        one.place[len(place) + 1 :]: hashlib.sha256(objects.read(one.place)).hexdigest()
        for one in objects.files_below(place)
    }


def ids(place: str, **more: object) -> set[str]:
    return {item.id for item in open(place, **more).search(collections=["eurosat"]).items()}


def test_the_same_source_gives_the_same_version_and_changes_nothing(old, place):
    build([old], place, overview=False)
    before = files(place)
    build([old], place, overview=False)
    assert files(place) == before
    (only,) = versions(place)
    assert only.current
    assert before.keys() > {"catalog.json", "eurosat/collection.json", "concepts.json"}
    assert all(
        path.startswith((f"eurosat/{only.name}/", "eurosat/shards/", "concepts"))
        or path in ("catalog.json", "eurosat/collection.json")
        for path in before
    )


def test_a_store_has_the_same_bytes_as_a_folder(new, tmp_path, bucket):
    build([new], tmp_path / "catalog")
    build([new], f"{bucket}/equal")
    assert files(f"{bucket}/equal") == files(str(tmp_path / "catalog"))


def test_how_items_are_shown_is_a_part_of_the_version(old, tmp_path):
    for items in ("json", "pages", "none"):
        build([old], tmp_path / "catalog", items=items, overview=False)
    assert len(versions(tmp_path / "catalog")) == 3
    assert len(list(home_of(tmp_path / "catalog").rglob("*.json"))) == 13  # of 10 nodes


@pytest.mark.parametrize("items", ["pages", "none"])
def test_pages_and_bare_indexes_are_the_same_in_a_store(items, old, tmp_path, bucket):
    build([old], tmp_path / "catalog", items=items, overview=False)
    build([old], f"{bucket}/{items}", items=items, overview=False)
    assert files(f"{bucket}/{items}") == files(str(tmp_path / "catalog"))


def test_versions_are_kept_opened_and_pruned(old, new, place):
    build([old], place, overview=False)
    (first,) = versions(place)
    was, kept = ids(place), files(place)
    build([new], place, overview=False)
    one, two = versions(place)
    assert (one.name, one.current, two.current) == (first.name, False, True)
    assert len(ids(place)) == 2 * len(was)
    assert ids(place, version=first.name) == ids(place, version=f"eurosat@{first.name}") == was
    now = files(place)
    changed = {"catalog.json", "eurosat/collection.json"}
    assert {path for path in kept if now.get(path) != kept[path]} == changed
    document = json.loads(objects.read(two.href))
    assert document["version"] == two.name
    (link,) = (link for link in document["links"] if link["rel"] == "predecessor-version")
    assert link["href"] == f"../{one.name}/collection.json"

    assert prune(place, older_than=0).files == ()
    would = prune(place, keep=1, older_than=0, dry_run=True)
    assert files(place) == now
    done = prune(place, keep=1, older_than=0)
    assert (done.versions, set(done.files)) == (would.versions, set(would.files))
    assert done.versions == (f"eurosat@{one.name}",)
    assert [version.name for version in versions(place)] == [two.name]
    assert len(ids(place)) == 2 * len(was)
    assert not any(path.startswith(f"eurosat/{one.name}/") for path in files(place))
    with pytest.raises(SatimnetError, match=f"no version {one.name}; there are: eurosat@"):
        open(place, version=one.name)
    build([old], place, overview=False)  # what was pruned can be built again
    assert ids(place) == was


def test_pruning_leaves_what_others_wrote_and_what_may_be_needed_soon(old, new, place):
    build([old], place, overview=False)
    mine = ("notes.txt", "eurosat/notes.txt", "eurosat/quality/report.html", "mine/shards/a.zip")
    for path in mine:
        objects.write(f"{place}/{path}", b"mine")
    left = (
        "eurosat/shards/Forest-00000-0123456789abcdef.zip",
        "eurosat/0123456789ab/items.parquet",
    )
    for path in left:
        objects.write(f"{place}/{path}", b"of a build that was killed, or still runs")
    before = files(place)
    assert prune(place).files == ()
    assert {path[len(place) + 1 :] for path in prune(place, older_than=0).files} == set(left)
    assert {k: v for k, v in before.items() if k not in left} == files(place)


def test_unchanged_shards_are_shared_by_versions(old, place, tmp_path):
    source = shutil.copytree(old, tmp_path / "source")
    build([source], place, overview=False)
    shards = {path for path in files(place) if "/shards/" in path}
    (source / "train.txt").write_text("Forest_1.jpg\n")  # the index changes, no image does
    build([source], place, overview=False)
    assert len(versions(place)) == 2
    assert {path for path in files(place) if "/shards/" in path} == shards


@pytest.mark.parametrize("killed_in", ["give", "place", "root_json", "_copy_of"])
def test_a_build_killed_while_it_publishes_goes_on(killed_in, old, new, tmp_path, monkeypatch):
    out, calm = tmp_path / "out", tmp_path / "calm"
    for one in (out, calm):
        build([old], one, overview=False)
    was = ids(str(out))
    build([new], calm, overview=False)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(protocol, killed_in, killed)
        with pytest.raises(KeyboardInterrupt):
            build([new], out, overview=False)
    assert ids(str(out)) in (was, ids(str(calm)))
    build([new], out, overview=False)
    assert files(str(out)) == files(str(calm))
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("killed_in", ["upload", "replace_root", "_copy_of"])
def test_a_build_into_a_store_goes_on(killed_in, old, new, tmp_path, monkeypatch, bucket):
    out, calm = f"{bucket}/killed-{killed_in.strip('_')}", str(tmp_path / "calm")
    for one in (out, calm):
        build([old], one, overview=False)
    was = ids(out)
    build([new], calm, overview=False)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(protocol, killed_in, killed)
        with pytest.raises(KeyboardInterrupt):
            build([new], out, overview=False)
    assert ids(out) == (ids(calm) if killed_in == "_copy_of" else was)
    build([new], out, overview=False)
    assert files(out) == files(calm)


# --- several at once ----------------------------------------------------------------------------


def made(folder: Path, name: str, content: str) -> Made:
    """A version of a collection with one file."""
    (folder / name / content).mkdir(parents=True)
    (folder / name / content / "items.parquet").write_text(content)
    collection = {"type": "Collection", "id": name, "title": name.title(), "links": []}
    return Made(collection, content, folder / name / content)


def test_two_that_publish_at_once_lose_nothing(place, tmp_path):
    """Each of four writers publishes five collections, while a reader looks."""
    wrong: list[str] = []
    ended = threading.Event()

    def write(writer: int) -> None:
        staging = tmp_path / f"staging-{writer}"
        staging.mkdir()
        for number in range(5):
            one = made(staging, f"set-{writer}-{number}", "a1")
            protocol.publish(place, [one], Vocabulary({}), staging=staging)

    def read() -> None:
        seen: set[str] = set()
        while not ended.wait(0.01):
            root = protocol.read_root(place)
            now = {at.id for at in root.titles}
            if not now >= seen:
                wrong.append(f"lost {seen - now}")
            seen = now
            for at in root.titles:
                if not objects.exists(f"{place}/{at.folder}/items.parquet"):
                    wrong.append(f"{at} is linked and not there")

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    reader.join()
    assert wrong == []
    assert len(protocol.read_root(place).titles) == 20


def test_two_builds_of_different_collections_at_once(old, place, tmp_path):
    write_uc_merced(tmp_path / "uc-merced", 1)
    errors: list[BaseException] = []

    def run(source: Path) -> None:
        try:
            build([source], place, overview=False)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in (old, tmp_path / "uc-merced")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(open(place).search().item_collection_as_dict()["features"][0]) != []
    found = {item["collection"] for item in search(place)}
    assert found == {"eurosat", "uc-merced"}
    scheme = json.loads(objects.read(f"{place}/concepts.json"))
    schemes = {node["id"] for node in scheme["@graph"] if node["type"] == "ConceptScheme"}
    assert {one.rpartition("/")[2] for one in schemes} >= {"eurosat", "uc-merced"}


# --- stores that do not keep the rules ----------------------------------------------------------


@contextmanager
def careless(endpoint: str) -> Iterator[str]:
    """A store that takes every put, as one S3 server does: conditions are ignored."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("if-none-match", "if-match", "connection")
            }
            url = endpoint + self.path
            request = urllib.request.Request(url, body, headers, method=self.command)
            try:
                answer = urllib.request.urlopen(request)
            except HTTPError as error:
                answer = error
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = answer.headers.get("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def careless_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import os

    from satimnet.builder.storage import stores

    with careless(os.environ["AWS_ENDPOINT_URL"]) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        stores._store.cache_clear()
        protocol._is_conditional.cache_clear()
        yield bucket
    stores._store.cache_clear()
    protocol._is_conditional.cache_clear()


def test_a_store_without_conditions_is_refused_before_anything_is_done(old, careless_bucket):
    place = f"{careless_bucket}/careless"
    with pytest.raises(SatimnetError, match=r"overwrites what another run .* single_writer=True"):
        build([old], place)
    assert files(place) == {}
    build([old], place, overview=False, single_writer=True)
    assert len(ids(place)) == 10


# --- catalogs of earlier versions ---------------------------------------------------------------


def as_before(catalog: Path, out: Path) -> None:
    """Writes the catalog as satimnet 0.1 and 0.2 did: one version, in the folder of the id."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    home = home_of(catalog)
    for path in (path for path in home.rglob("*") if path.is_file()):
        target = out / "eurosat" / path.relative_to(home)
        target.parent.mkdir(parents=True, exist_ok=True)
        depth = len(path.relative_to(home).parts) - 1
        data = path.read_bytes()
        if path.suffix == ".json":
            up = b"../" * depth
            data = data.replace(up + b"../../catalog.json", up + b"../catalog.json")
            data = data.replace(up + b"../shards/", up + b"shards/")
        target.write_bytes(data)
    shutil.copytree(catalog / "eurosat" / "shards", out / "eurosat" / "shards")
    table = pq.read_table(home / "items.parquet")
    for name in ("links", "assets"):
        text = json.dumps(table[name].to_pylist()).encode()
        text = text.replace(b"../../catalog.json", b"../catalog.json")
        rows = json.loads(text.replace(b"./../shards/", b"./shards/"))
        column = pa.array(rows, table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, out / "eurosat" / "items.parquet")
    document = json.loads((out / "eurosat" / "collection.json").read_bytes())
    del document["version"]
    (out / "eurosat" / "collection.json").write_text(json.dumps(document))
    shutil.copyfile(catalog / "concepts.json", out / "concepts.json")
    root = json.loads((catalog / "catalog.json").read_bytes())
    del root["satimnet:versions"]
    for link in root["links"]:
        if link["rel"] == "child":
            link["href"] = "./eurosat/collection.json"
        if link["rel"] == "glossary":
            link["href"] = "./concepts.json"
    (out / "catalog.json").write_text(json.dumps(root))


def test_catalogs_of_earlier_versions_are_read_and_added_to(old, new, tmp_path):
    build([old], tmp_path / "now", overview=False)
    out = tmp_path / "before"
    as_before(tmp_path / "now", out)
    before = files(str(out))
    was = ids(str(out))
    assert was == ids(str(tmp_path / "now"))
    assert versions(out) == []
    write_uc_merced(tmp_path / "uc-merced", 1)
    build([tmp_path / "uc-merced"], out, overview=False)
    now = files(str(out))
    assert {path for path in before if now[path] != before[path]} == {
        "catalog.json",
        "concepts.json",
    }
    assert ids(str(out)) == was
    assert {item["collection"] for item in search(out)} == {"eurosat", "uc-merced"}
    build([new], out, overview=False)
    assert len(ids(str(out))) == 2 * len(was)
    assert [version.collection for version in versions(out)] == ["eurosat", "uc-merced"]


# --- refusals -----------------------------------------------------------------------------------


def test_what_is_no_catalog_of_satimnet_is_left_alone(old, place):
    objects.write(f"{place}/catalog.json", b'{"id": "theirs", "links": []}')
    with pytest.raises(SatimnetError, match="is there already and is no catalog of satimnet"):
        build([old], place)
    assert set(files(place)) == {"catalog.json"}


def test_places_that_cannot_be_written_to_are_refused_at_once(old, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place, reason in {
        "https://host/catalog": "a web server cannot be written to",
        "ftp://host/catalog": "cannot be used here; give a path, or a URL with s3, gs or az",
        "s3://": "names no bucket",
    }.items():
        with pytest.raises(SatimnetError, match=reason):
            build([old], place)
    assert list(tmp_path.iterdir()) == []


def test_locations():
    assert location_of("./eurosat/collection.json") == Location("eurosat", None)
    assert location_of("./eurosat/0a1b/collection.json") == Location("eurosat", "0a1b")
    for href in ("../x/collection.json", "/x/collection.json", "https://x/y/collection.json", 7):
        assert location_of(href) is None

    def at(href: str) -> str:
        copied = stable_copy({"links": [{"href": href}]}, "v1")
        return str(copied["links"][0]["href"])

    assert at("./items.parquet") == "./v1/items.parquet"
    assert at("../../catalog.json") == "../catalog.json"
    assert at("../v0/collection.json") == "./v0/collection.json"
    assert at("https://host/x") == "https://host/x"
