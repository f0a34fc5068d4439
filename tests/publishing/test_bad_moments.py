"""Publishing and pruning at bad moments: kills, lost answers, others who write, strange names."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError

import pytest

from satimnet.builder import SatimnetError, build, open, pipeline, prune, versions
from satimnet.builder.publishing import protocol, pruning
from satimnet.builder.publishing.layout import Location, location_of
from satimnet.builder.publishing.protocol import Made, Vocabulary
from satimnet.builder.publishing.roots import root_of
from satimnet.builder.storage import objects, stores
from stactools.eurosat.miniature import write_miniature


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_miniature(folder, 1)
    return folder


@pytest.fixture
def prefix(request: pytest.FixtureRequest, bucket: str) -> str:
    """An empty prefix of a bucket."""
    return f"{bucket}/{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]}"


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "catalog")
    return str(request.getfixturevalue("prefix"))


def files(place: str) -> dict[str, str]:
    return {
        one.place[len(place) + 1 :]: hashlib.sha256(objects.read(one.place)).hexdigest()
        for one in objects.files_below(place)
    }


def publish(place: str, folder: Path, name: str, version: str) -> None:
    """Publishes a version with an index that has no rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made, staging = folder / f"{name}-{version}", folder / f"staging-{name}-{version}"
    for path in (made, staging):
        path.mkdir(parents=True, exist_ok=True)
    asset = pa.struct([("href", pa.string()), ("file:size", pa.int64())])
    rows = pa.table({"assets": pa.array([], pa.struct([("image", asset)]))})
    pq.write_table(rows, made / "items.parquet")
    collection = {"type": "Collection", "id": name, "title": name.title(), "links": []}
    protocol.publish(place, [Made(collection, version, made)], Vocabulary({}), staging=staging)


def version_now(place: str, name: str) -> str:
    """The version that the stable address of a collection tells."""
    return str(json.loads(objects.read(f"{place}/{name}/collection.json"))["version"])


def age(place: str) -> None:
    """Makes all files of a place two days old."""
    if not place.startswith("s3:"):
        for path in Path(place).rglob("*"):
            os.utime(path, (1e9, 1e9))
        return
    from moto.s3.models import s3_backends

    bucket, _, key = place.removeprefix("s3://").partition("/")
    for backend in s3_backends.values():
        for name, found in backend["aws"].buckets[bucket].keys.items():
            if name.startswith(f"{key}/"):
                found.last_modified -= timedelta(days=2)


V1, V2 = "1" * 12, "2" * 12

# --- what a root says ---------------------------------------------------------------------------


def test_names_that_lead_elsewhere_count_as_none():
    for href in ("./a\\b/collection.json", "./a\n/collection.json", "./../collection.json"):
        assert location_of(href) is None
    listed = {
        "eurosat": ["1", "2"],
        **{"../other": ["1"], "a/..": ["1"], "x/../../y": ["1"], "..": ["1"], ".": ["1"]},
        **{f"s{k}": ["1", name] for k, name in enumerate(("..", ".", "a/b", "../x", "", "c\\d"))},
    }
    root = root_of({"id": "satimnet", "links": [], "satimnet:versions": listed}, "here")
    assert root.versions == {"eurosat": ("1", "2")}


def test_what_is_linked_is_the_current_version_whatever_is_listed(place, tmp_path):
    publish(place, tmp_path, "trees", V1)
    publish(place, tmp_path, "trees", V2)
    root = json.loads(objects.read(f"{place}/catalog.json"))
    root["satimnet:versions"] = {"trees": [V1]}
    objects.write(f"{place}/catalog.json", json.dumps(root).encode())
    age(place)
    assert prune(place, keep=1).versions == (f"trees@{V1}",)
    assert objects.exists(f"{place}/trees/{V2}/items.parquet")
    assert [version.name for version in versions(place)] == [V2]


# --- pruning ------------------------------------------------------------------------------------


def test_nothing_is_removed_if_an_index_cannot_be_read(source, place):
    build([source], place, overview=False)
    (version,) = versions(place)
    index = f"{place}/eurosat/{version.name}/items.parquet"
    whole = objects.read(index)
    age(place)
    for broken in (b"PAR1", None):
        objects.delete(index) if broken is None else objects.write(index, broken)
        before = files(place)
        with pytest.raises(SatimnetError, match="tells what is needed"):
            prune(place, older_than=0)
        assert files(place) == before
    objects.write(index, whole)
    assert prune(place, older_than=0).files == ()


def test_folders_that_only_look_like_versions_stay(place, tmp_path):
    publish(place, tmp_path, "trees", V1)
    objects.write(f"{place}/cache/{V2}/data.bin", b"of somebody else")
    age(place)
    assert prune(place).files == ()


def test_a_link_to_nothing_is_no_file(tmp_path):
    place = str(tmp_path / "catalog")
    publish(place, tmp_path, "trees", V1)
    (tmp_path / "catalog" / "gone").symlink_to(tmp_path / "nothing")
    assert prune(place, older_than=0).files == ()


def test_a_bucket_followed_by_two_slashes_is_pruned_like_any_other(bucket, tmp_path):
    place = f"{bucket}//twice"
    publish(f"{bucket}/twice", tmp_path, "trees", V1)
    age(f"{bucket}/twice")
    assert prune(place).files == ()
    assert objects.exists(f"{bucket}/twice/trees/{V1}/collection.json")


def test_what_a_build_in_a_store_may_need_stays_while_it_runs(prefix, tmp_path):
    publish(prefix, tmp_path, "trees", V1)
    left = f"{prefix}/trees/shards/a-00000-0123456789abcdef.zip"
    objects.write(left, b"of a build that was killed and goes on now")
    age(prefix)
    protocol.note_build(prefix, "trees-abc")
    assert prune(prefix).files == ()
    age(prefix)
    assert prune(prefix).files == (f"{prefix}/.building/trees-abc/begun", left)


def test_a_version_that_is_published_again_meanwhile_stays(prefix, tmp_path, monkeypatch):
    publish(prefix, tmp_path, "trees", V1)
    publish(prefix, tmp_path, "trees", V2)
    age(prefix)
    replace_root = protocol.replace_root

    def and_again(*given: object, **more: object) -> None:
        replace_root(*given, **more)
        monkeypatch.undo()
        publish(prefix, tmp_path, "trees", V1)

    monkeypatch.setattr(pruning.protocol, "replace_root", and_again)
    assert prune(prefix, keep=1).files == ()
    assert objects.exists(f"{prefix}/trees/{V1}/items.parquet")
    assert version_now(prefix, "trees") == V1


def test_of_a_version_its_collection_goes_first(place, tmp_path, monkeypatch):
    publish(place, tmp_path, "trees", V1)
    publish(place, tmp_path, "trees", V2)
    age(place)
    removed: list[str] = []
    delete_all = objects.delete_all

    def killed(places: list[str]) -> None:
        if removed:
            raise KeyboardInterrupt
        removed.extend(places)
        delete_all(places)

    with monkeypatch.context() as patch:
        patch.setattr(objects, "delete_all", killed)
        with pytest.raises(KeyboardInterrupt):
            prune(place, keep=1)
    assert removed == [f"{place}/trees/{V1}/collection.json"]
    shutil.rmtree(tmp_path / f"trees-{V1}", ignore_errors=True)
    publish(place, tmp_path, "trees", V1)
    assert objects.exists(f"{place}/trees/{V1}/items.parquet")


# --- on disk ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("killed_in", "call"),
    [("give", 3), ("place", 1), ("place", 2), ("root_json", 1), ("_copy_of", 1)],
)
def test_the_first_build_of_a_catalog_goes_on(killed_in, call, source, tmp_path, monkeypatch):
    out, calm = tmp_path / "out", tmp_path / "calm"
    build([source], calm, overview=False)
    calls, real = 0, getattr(protocol, killed_in)

    def killed(*given: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(protocol, killed_in, killed)
        with pytest.raises(KeyboardInterrupt):
            build([source], out, overview=False)
    assert not out.exists()
    build([source], out, overview=False)
    assert files(str(out)) == files(str(calm))
    assert list(tmp_path.glob(".*")) == []


def test_what_somebody_put_into_an_empty_folder_meanwhile_stays(source, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    described = pipeline._described

    def and_somebody_writes(*given: object) -> object:
        (out / "notes.txt").write_text("mine")
        return described(*given)

    monkeypatch.setattr(pipeline, "_described", and_somebody_writes)
    with pytest.raises(SatimnetError, match="somebody else wrote into it meanwhile"):
        build([source], out, overview=False)
    assert files(str(out)).keys() == {"notes.txt"}


def test_a_collection_whose_folder_was_removed_does_not_keep_others_out(tmp_path):
    place = str(tmp_path / "catalog")
    publish(place, tmp_path, "trees", V1)
    shutil.rmtree(tmp_path / "catalog" / "trees")
    publish(place, tmp_path, "roads", V1)
    assert version_now(place, "roads") == V1


def test_a_run_killed_while_it_copies_the_first_version_is_given_again(tmp_path):
    place = str(tmp_path / "catalog")
    publish(place, tmp_path, "trees", V1)
    publish(place, tmp_path, "roads", V1)
    copy = tmp_path / "catalog" / "roads" / "collection.json"
    copy.rename(f"{copy}.part")
    publish(place, tmp_path, "roads", V1)
    assert version_now(place, "roads") == V1
    assert not Path(f"{copy}.part").exists()


def test_a_version_that_a_kill_left_names_the_one_that_is_before_it_now(tmp_path, monkeypatch):
    place = str(tmp_path / "catalog")
    publish(place, tmp_path, "trees", V1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(protocol, "link", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(place, tmp_path, "trees", V2)
    publish(place, tmp_path, "trees", "3" * 12)
    publish(place, tmp_path, "trees", V2)
    links = json.loads(objects.read(f"{place}/trees/{V2}/collection.json"))["links"]
    assert f"../{'3' * 12}/collection.json" in {link["href"] for link in links}


# --- in a store ---------------------------------------------------------------------------------


@contextmanager
def between(endpoint: str, fault: Callable[..., int | None]) -> Iterator[str]:
    """Stands before a store; what ``fault`` says of a request and its answer is answered instead.

    It is called with the method, the path, the headers and whether the store has answered; 0
    breaks the connection.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            status = fault(self.command, self.path, headers, False)
            if status is None:
                url = endpoint + self.path
                request = urllib.request.Request(url, body, headers, method=self.command)
                try:
                    answer = urllib.request.urlopen(request)
                except HTTPError as error:
                    answer = error
                data = answer.read()
                status = fault(self.command, self.path, headers, True)
            if status == 0:
                self.close_connection = True
                return
            if status is not None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
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
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
            stores._store.cache_clear()
            protocol._is_conditional.cache_clear()
            yield "in between"
    finally:
        stores._store.cache_clear()
        protocol._is_conditional.cache_clear()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("status", [0, 409, 412, 500, 503])
def test_a_store_that_fails_while_the_root_is_replaced(status, done, prefix, tmp_path):
    publish(prefix, tmp_path, "roads", V1)
    failed = 0

    def fault(method: str, path: str, headers: object, answered: bool) -> int | None:
        nonlocal failed
        if method != "PUT" or not path.endswith("/catalog.json") or answered != done or failed:
            return None
        failed += 1
        return status

    with between(os.environ["AWS_ENDPOINT_URL"], fault):
        try:
            publish(prefix, tmp_path, "trees", V1)
        except SatimnetError:
            assert not done  # it was not: nothing is there, and the user is told
            assert {at.id for at in protocol.read_root(prefix).titles} == {"roads"}
            publish(prefix, tmp_path, "trees", V1)
    assert failed == 1
    assert {at.id for at in protocol.read_root(prefix).titles} == {"roads", "trees"}
    assert [version.name for version in versions(prefix)] == [V1, V1]
    assert version_now(prefix, "trees") == V1


def test_answers_that_are_lost_while_the_store_is_probed(prefix):
    seen: set[str] = set()

    def fault(method: str, path: str, headers: object, answered: bool) -> int | None:
        if method == "PUT" and "/probe-" in path and answered and path not in seen:
            seen.add(path)
            return 503
        return None

    with between(os.environ["AWS_ENDPOINT_URL"], fault):
        protocol.require_one_by_one(prefix)
    assert seen
    assert files(prefix) == {}


def test_a_store_that_only_keeps_two_from_creating_is_refused(prefix):
    def fault(method: str, path: str, headers: dict[str, str], answered: bool) -> int | None:
        for name in [name for name in headers if name.lower() == "if-match"]:
            del headers[name]
        return None

    with (
        between(os.environ["AWS_ENDPOINT_URL"], fault),
        pytest.raises(SatimnetError, match="overwrites what another run writes"),
    ):
        protocol.require_one_by_one(prefix)
    assert files(prefix) == {}


def test_the_stable_address_tells_the_current_version_after_a_race(prefix, tmp_path, monkeypatch):
    copy_of = protocol._copy_of

    def late(*given: object) -> bytes:
        monkeypatch.undo()
        publish(prefix, tmp_path, "trees", V2)
        return copy_of(*given)

    monkeypatch.setattr(protocol, "_copy_of", late)
    publish(prefix, tmp_path, "trees", V1)
    assert [version.name for version in versions(prefix) if version.current] == [V2]
    assert version_now(prefix, "trees") == V2


def test_shards_that_somebody_removed_meanwhile_are_not_linked(source, prefix, monkeypatch):
    upload = protocol.upload

    def and_removed(folder: Path, place: str, *more: object) -> None:
        upload(folder, place, *more)
        shards = objects.files_below(f"{prefix}/eurosat/shards")
        objects.delete(min(shard.place for shard in shards))

    with monkeypatch.context() as patch:
        patch.setattr(protocol, "upload", and_removed)
        with pytest.raises(SatimnetError, match="somebody removed it meanwhile; start again"):
            build([source], prefix, overview=False)
    assert protocol.read_root(prefix).titles == {}
    build([source], prefix, overview=False)
    assert len(list(open(prefix).search(collections=["eurosat"]).items())) == 10


def test_another_run_of_the_same_build_may_be_done_first(source, prefix, monkeypatch):
    fetch = pipeline._fetch_rows

    def too_late(*given: object) -> None:
        monkeypatch.undo()
        build([source], prefix, overview=False)
        fetch(*given)

    monkeypatch.setattr(pipeline, "_fetch_rows", too_late)
    build([source], prefix, overview=False)
    assert len(versions(prefix)) == 1
    assert len(list(open(prefix).search(collections=["eurosat"]).items())) == 10
    assert not any(path.startswith(".building/") for path in files(prefix))


def test_locations_are_what_their_hrefs_tell():
    for at in (Location("eurosat", V1), Location("a b#c?d%20e", None), Location("é", "1.0-x")):
        assert location_of(at.href) == at


def test_what_a_run_left_that_was_killed_while_it_probed_is_removed(prefix, monkeypatch):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    protocol._is_conditional.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "_refuses", killed)
        patch.setattr(objects, "delete", lambda place: None)
        patch.setattr(os, "getpid", lambda: 2**22 + 1)  # no process has such a number
        with pytest.raises(KeyboardInterrupt):
            protocol.require_one_by_one(prefix)
    assert len(files(prefix)) == 1
    protocol.require_one_by_one(prefix)
    assert files(prefix) == {}
