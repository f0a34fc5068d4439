"""One suite for all stores: a folder, a web server, an object store; then what only some do."""

from __future__ import annotations

import gzip
import io
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from faulty_host import hosting
from hypothesis import given
from hypothesis import strategies as st

from satimnet.builder.errors import BadCatalogError, NotFoundError, SatimnetError, StorageError
from satimnet.builder.storage import objects, ranges, stores
from satimnet.builder.storage.hrefs import Bounds, catalog_file, join, readable
from satimnet.builder.storage.remote_files import TAIL, RemoteFile, files_by_ranges

DATA = bytes(range(256)) * 1200
NAMES = ["plain.bin", "a b+ü.bin", "50% #1?.bin", "[x]*'~.bin", "%41.bin", "deep/er/x.bin"]
Put = Callable[[str, bytes], str]
"""Puts a file of that name into the store, and gives its place."""


@pytest.fixture(params=["disk", "http", "s3"])
def put(request, tmp_path):
    if request.param == "disk":

        def put_file(name: str, data: bytes) -> str:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return str(path)

        yield put_file
    elif request.param == "http":
        with hosting({}) as host:

            def put_url(name: str, data: bytes) -> str:
                host.files[f"/{name}"] = data
                quoted = name.replace("%", "%25").replace("#", "%23").replace("?", "%3F")
                return f"{host.url}/{quoted}"

            yield put_url
    else:
        root = f"{request.getfixturevalue('bucket')}/{uuid.uuid4()}"

        def put_object(name: str, data: bytes) -> str:
            objects.write(f"{root}/{name}", data)
            return f"{root}/{name}"

        yield put_object


@pytest.fixture
def writable(bucket, tmp_path):
    return {"disk": str(tmp_path), "s3": f"{bucket}/{uuid.uuid4()}"}


@pytest.mark.parametrize("name", NAMES)
def test_reading(put, name):
    place = put(name, DATA)
    assert objects.read(place) == DATA
    assert objects.read(place, 5) == DATA[5:]
    assert objects.read(place, 5, 7) == DATA[5:12]
    assert objects.read(place, len(DATA) - 3, 3) == DATA[-3:]
    assert objects.read(place, 5, 0) == b""
    assert objects.read(place, most=len(DATA)) == DATA
    assert objects.size_of(place) == len(DATA)
    assert objects.exists(place)
    with pytest.raises(BadCatalogError, match=r"more than|where the catalog says"):
        objects.read(place, most=len(DATA) - 1)


def test_empty_files(put):
    place = put("empty.bin", b"")
    assert objects.read(place) == b""
    assert objects.size_of(place) == 0
    assert objects.exists(place)


@pytest.mark.parametrize(("first", "size"), [(len(DATA) - 5, 6), (len(DATA), 1), (10**9, 5)])
def test_what_is_shorter_than_it_should_be(put, first, size):
    place = put("short.bin", DATA)
    with pytest.raises(BadCatalogError, match="catalog says") as caught:
        objects.read(place, first, size)
    assert isinstance(caught.value, StorageError)
    assert str(caught.value).startswith(place)


def test_what_is_not_there(put):
    place = put("there.bin", DATA).replace("there", "nowhere")
    for call in (objects.read, objects.size_of, lambda p: objects.read(p, 1, 1)):
        with pytest.raises(NotFoundError, match="nothing is there") as caught:
            call(place)
        assert str(caught.value).startswith(place)
        assert "\n" not in str(caught.value)
    assert not objects.exists(place)


def test_downloads(put, tmp_path):
    objects.download(put("x.bin", DATA), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == DATA


def test_many_ranges(put):
    places = [put("one.bin", DATA), put("two.bin", DATA[::-1])]
    if not stores.is_url(places[0]):
        pytest.skip("files of this machine are mapped")
    hrefs = [places[k % 2] for k in range(200)]
    starts = [k * 7919 % (len(DATA) - 100) for k in range(200)]
    sizes = [k % 90 for k in range(200)]
    found = ranges.fetch(hrefs, starts, sizes)
    whole = dict(zip(places, (DATA, DATA[::-1]), strict=True))
    for href, start, size, data in zip(hrefs, starts, sizes, found, strict=True):
        assert data == whole[href][start : start + size]


def test_as_a_file(put):
    place = put("x.bin", DATA * 3)
    if not stores.is_url(place):
        pytest.skip("files of this machine are opened")
    theirs, ours = io.BytesIO(DATA * 3), RemoteFile(place)
    for offset, whence, size in [
        *((-10, 2, 5), (0, 0, 10), (5, 1, 300_000), (200_000, 0, 100_000), (-TAIL - 4, 2, 9)),
        *((10**9, 0, 4), (-1, 2, 50), (0, 0, -1)),
    ]:
        assert ours.seek(offset, whence) == theirs.seek(offset, whence)
        assert ours.read(size) == theirs.read(size)
        assert ours.tell() == theirs.tell()
    other = ours.copy()
    assert other.tell() == 0
    assert other.read(3) == DATA[:3]


# --- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["disk", "s3"])
@pytest.mark.parametrize("name", NAMES)
def test_writing(writable, kind, name, tmp_path):
    place = f"{writable[kind]}/{name}"
    if kind == "disk":
        Path(place).parent.mkdir(parents=True, exist_ok=True)
    objects.write(place, b"one")
    objects.write(place, b"two")
    assert objects.read(place) == b"two"
    (tmp_path / "source").write_bytes(DATA)
    objects.write(place, tmp_path / "source")
    assert objects.read(place) == DATA
    objects.delete(place)
    objects.delete(place)
    assert not objects.exists(place)


@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_listing(writable, kind):
    root = f"{writable[kind]}/some"
    names = {"a.bin": 1, "b/c.bin": 2, "b/d e.bin": 3}
    for name, size in names.items():
        if kind == "disk":
            Path(root, name).parent.mkdir(parents=True, exist_ok=True)
        objects.write(f"{root}/{name}", b"x" * size)
    found = {file.place.removeprefix(f"{root}/"): file.size for file in objects.files_below(root)}
    assert found == names


def test_replacing(bucket):
    place = f"{bucket}/{uuid.uuid4()}.json"
    objects.replace(place, b"1", None)
    with pytest.raises(stores.ChangedError, match="somebody else"):
        objects.replace(place, b"2", None)
    data, tag = objects.read_tagged(place)
    assert data == b"1"
    objects.replace(place, b"3", tag)
    with pytest.raises(stores.ChangedError, match="somebody else"):
        objects.replace(place, b"4", tag)
    objects.delete(place)
    with pytest.raises(stores.ChangedError):
        objects.replace(place, b"5", tag)
    assert not objects.exists(place)


def test_media_types(bucket):
    import boto3

    objects.write(f"{bucket}/typed.json", b"{}")
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    assert client.head_object(Bucket="trial", Key="typed.json")["ContentType"] == "application/json"


def test_web_servers_are_only_read():
    for call in (
        lambda: objects.write("http://127.0.0.1:9/x", b""),
        lambda: objects.delete("http://127.0.0.1:9/x"),
        lambda: list(objects.files_below("http://127.0.0.1:9/x")),
    ):
        with pytest.raises(StorageError, match="a web server cannot be"):
            call()


# --- hosts with faults --------------------------------------------------------------------------

FILES = {"/a b/x.bin": DATA, "/x.json": b"{}" * 500}


@pytest.mark.parametrize(
    "faults",
    [
        *(("503",), ("429",), ("drops",), ("cut",), ("no HEAD",), ("no size",), ("redirects",)),
        *(("no length",), ("no length", "no HEAD"), ("no size", "503")),
    ],
    ids=" and ".join,
)
def test_faults_that_pass(faults, monkeypatch):
    monkeypatch.setattr(stores, "PAUSE", 0.01)
    with hosting(dict(FILES), *faults) as host:
        place = f"{host.url}/a b/x.bin"
        for first in range(0, 50_000, 10_000):
            assert objects.read(place, first, 5000) == DATA[first : first + 5000]
        assert objects.read(place) == DATA
        assert objects.read(f"{host.url}/x.json", most=1000) == FILES["/x.json"]
        with pytest.raises(NotFoundError):
            objects.read(f"{host.url}/none")
        assert objects.size_of(place) == len(DATA)


def test_a_host_that_compresses():
    with hosting(dict(FILES), "compresses") as host:
        assert objects.read(f"{host.url}/x.json") == FILES["/x.json"]
        with pytest.raises(StorageError, match="must answer byte ranges"):
            objects.read(f"{host.url}/x.json", 3, 4)


FAR = bytes(range(256)) * 16_384  # ranges in it lie so far apart that each is a request
SPREAD = list(range(0, len(FAR) - 1000, ranges.GAP * 2))


@pytest.mark.parametrize("fault", ["none", "cut", "no size", "redirects"])
def test_many_far_ranges_of_one_file(fault, monkeypatch):
    monkeypatch.setattr(stores, "PAUSE", 0.01)
    with hosting({"/far.bin": FAR}, fault) as host:
        place = f"{host.url}/far.bin"
        found = ranges.fetch([place] * len(SPREAD), SPREAD[::-1], [1000] * len(SPREAD))
    assert len(SPREAD) > 30
    assert [bytes(data) for data in found] == [FAR[at : at + 1000] for at in SPREAD[::-1]]


def test_of_many_ranges_that_fail_the_first_is_named():
    with hosting({f"/{name}.bin": FAR for name in "ac"}) as host:
        places = [f"{host.url}/{name}.bin" for name in "abcd" for _ in SPREAD]
        got = []
        for _ in range(5):
            with pytest.raises(NotFoundError, match=r"/b\.bin: nothing is there"):
                ranges.fetch_each(
                    places, SPREAD * 4, [10] * len(places), lambda k, _: got.append(k)
                )
        assert len(got) < 5 * len(places) / 2


def test_what_goes_wrong_with_a_range_stops_the_others():
    def use(number, data):
        assert data == FAR[SPREAD[number] : SPREAD[number] + 10]
        used.append(number)
        if number >= 3:
            raise ValueError(number)

    with hosting({"/far.bin": FAR}) as host:
        for _ in range(5):
            used: list[int] = []
            with pytest.raises(ValueError, match=r"^3$"):
                ranges.fetch_each(
                    [f"{host.url}/far.bin"] * len(SPREAD), SPREAD, [10] * len(SPREAD), use
                )
            assert {0, 1, 2, 3} <= set(used)


def test_a_range_past_the_end_among_many():
    with hosting({"/far.bin": FAR}) as host:
        sizes = [1000] * (len(SPREAD) - 1) + [len(FAR)]
        with pytest.raises(BadCatalogError, match=r"far\.bin: .*catalog says"):
            ranges.fetch([f"{host.url}/far.bin"] * len(SPREAD), SPREAD, sizes)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("always 503", "answered 503, 4 times"),
        ("always cut", "broke off"),
        ("no ranges", "must answer byte ranges"),
        ("416", "shorter than the catalog says"),
        ("token", "access is denied"),
    ],
)
def test_faults_that_stay(fault, reason):
    with hosting(dict(FILES), fault) as host:
        with pytest.raises(StorageError, match=reason) as caught:
            objects.read(f"{host.url}/a b/x.bin", 3, 400)
        assert str(caught.value).startswith(f"{host.url}/a b/x.bin")
        assert "\n" not in str(caught.value)
        # what breaks off is continued by obstore, and begun again here
        assert len(host.requests) <= stores.TRIES ** (1 + (fault == "always cut"))


def test_a_host_that_hangs(monkeypatch):
    monkeypatch.setattr(stores, "PATIENCE", 0.5)
    monkeypatch.setattr(stores, "_LONGEST", 1.0)
    with hosting(dict(FILES), "hangs") as host:
        start = time.monotonic()
        with pytest.raises(StorageError, match=r"127\.0\.0\.1:\d+ sent nothing for 0\.5 seconds"):
            objects.read(f"{host.url}/x.json")
        assert time.monotonic() - start < 20


def test_a_host_that_is_not_there():
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:9 cannot be reached"):
        objects.read("http://127.0.0.1:9/x")


def test_what_was_compressed_is_never_asked_for():
    with hosting(dict(FILES)) as host:
        objects.read(f"{host.url}/x.json")
        objects.read(f"{host.url}/x.json", 1, 2)
        encodings = {headers.get("accept-encoding", "identity") for *_, headers in host.requests}
        assert encodings == {"identity"}


# --- queries and secrets ------------------------------------------------------------------------


def test_what_lies_beside_a_signed_url_is_signed_as_well():
    signed = "http://host/a/catalog.json?sig=a/b%3D"
    assert catalog_file(signed) == signed
    assert catalog_file("http://host/a?sig=1") == "http://host/a/catalog.json?sig=1"
    assert join("./b/x.zip", signed) == "http://host/a/b/x.zip?sig=a/b%3D"
    assert join("../x.zip?own", signed) == "http://host/x.zip?own"
    assert join("//other/x.zip", signed) == "http://other/x.zip"
    assert join("https://host/x.zip", signed) == "https://host/x.zip"
    bounds = Bounds.of(signed)
    assert bounds.home == "http://host/a"
    assert bounds.resolve("./b/x.zip", signed) == "http://host/a/b/x.zip?sig=a/b%3D"
    with hosting(dict(FILES), "token") as host:
        assert objects.read(f"{host.url}/x.json?sig=a/b%3D") == FILES["/x.json"]
        assert objects.read(f"{host.url}/a b/x.bin?sig=a/b%3D", 1, 2) == DATA[1:3]


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.1:9/x.json?sig=very-secret",
        "http://me:very-secret@127.0.0.1:9/x.json",
        "http://127.0.0.1:9/a//x.json?sig=very-secret",
    ],
)
def test_secrets_of_urls_stand_in_no_message(place):
    for call in (
        lambda: objects.read(place),
        lambda: objects.size_of(place),
        lambda: ranges.fetch([place], [0], [5]),
        lambda: objects.write(place, b""),
    ):
        with pytest.raises(StorageError) as caught:
            call()
        assert "very-secret" not in str(caught.value)
    readable(place)
    assert "very-secret" not in str(BadCatalogError(f"{place}: is wrong"))


def test_credentials_stand_nowhere(bucket, caplog, tmp_path):
    planted = [os.environ[name] for name in os.environ if name.startswith("AWS_")]
    secrets = [value for value in planted if value.startswith("planted")]
    assert len(secrets) == 3
    caplog.set_level(0)
    said = []
    for call in (
        lambda: objects.read(f"{bucket}/none"),
        lambda: objects.read("s3://no-such-bucket/none"),
        lambda: objects.read(f"{bucket}/a//b"),
        lambda: objects.replace(f"{bucket}/none", b"", {"e_tag": '"0"'}),
    ):
        with pytest.raises((StorageError, NotFoundError)) as caught:
            call()
        said.append(str(caught.value))
    place = f"{bucket}/x.bin"
    objects.write(place, DATA)
    said += [repr(stores.store_of(place)), caplog.text, repr(RemoteFile(place))]
    objects.download(place, tmp_path / "x")
    kept = pickle.dumps(stores.address_of(place)) + (tmp_path / "x").read_bytes()
    for secret in secrets:
        assert not any(secret in text for text in said)
        assert secret.encode() not in kept


def test_credentials_are_asked_for_first(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    for name in [*os.environ]:
        if name.startswith(("AWS_ACCESS", "AWS_SECRET", "AWS_SKIP", "GOOGLE_", "AZURE_")):
            monkeypatch.delenv(name)
    for place, remedy in [
        ("s3://nobody/x", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE"),
        ("gs://nobody/x", "GOOGLE_SKIP_SIGNATURE=true"),
        ("az://nobody/x", "AZURE_SKIP_SIGNATURE=true"),
    ]:
        with pytest.raises(StorageError, match=remedy):
            objects.read(place)
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    assert stores._signing("s3", "s3://x") == {"access_key_id": "a", "secret_access_key": "b"}


# --- where a catalog may lead -------------------------------------------------------------------


def test_a_catalog_in_a_store_leads_into_its_bucket_and_to_the_web():
    here = "s3://bucket/a/catalog.json"
    bounds = Bounds.of(here)
    for href, place in {
        "./b/x.zip": "s3://bucket/a/b/x.zip",
        "../x #1?.zip": "s3://bucket/x #1?.zip",
        "../../../x.zip": "s3://bucket/x.zip",
        "s3://bucket/y.zip": "s3://bucket/y.zip",
        "https://host/x.zip": "https://host/x.zip",
    }.items():
        assert bounds.resolve(href, here) == place
    for href in (
        *("s3://other/x.zip", "s3://bucket2/x.zip", "gs://bucket/x.zip"),
        *("file:///etc/passwd", "ftp://host/x"),
    ):
        with pytest.raises(BadCatalogError):
            bounds.resolve(href, here)


@pytest.mark.parametrize("home", ["http://host/a/catalog.json", "/srv/a/catalog.json"])
def test_no_other_catalog_leads_into_a_store(home):
    with pytest.raises(BadCatalogError, match="points to s3://bucket/x"):
        Bounds.of(home).resolve("s3://bucket/x", home)
    if home.startswith("/"):
        allowed = Bounds.of(home, allow_outside=True)
        assert allowed.resolve("s3://bucket/x", home) == "s3://bucket/x"


# --- the planner --------------------------------------------------------------------------------

RANGES = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.integers(0, 20)), max_size=12
)


@given(RANGES, st.integers(0, 10), st.integers(1, 40))
def test_plans(wanted, gap, block):
    hrefs, starts, sizes = (
        [one[0] for one in wanted],
        [one[1] for one in wanted],
        [one[2] for one in wanted],
    )
    requests = ranges.plan(hrefs, starts, sizes, gap=gap, block=block)
    assert sorted(k for request in requests for k in request.ranges) == list(range(len(wanted)))
    for request in requests:
        inside = [wanted[k] for k in request.ranges]
        assert {href for href, _, _ in inside} == {request.href}
        assert request.first == min(start for _, start, _ in inside)
        assert request.first + request.size == max(start + size for _, start, size in inside)
        assert request.size <= block or request.size == max(size for _, _, size in inside)
        covered = sorted((start, start + size) for _, start, size in inside)
        end = covered[0][1]
        for first, stop in covered:
            assert first <= end + gap
            end = max(end, stop)
    for one, two in pairwise(requests):  # none could be one request
        if one.href == two.href and two.first <= one.first + one.size + gap:
            assert two.first + two.size - one.first > block


# --- processes ----------------------------------------------------------------------------------

FORKED = """
import multiprocessing, sys
from satimnet.builder.storage import objects, ranges
ranges.fetch([sys.argv[1]], [0], [2])
def child(place):
    for call in (lambda: objects.read(place), lambda: ranges.fetch([place], [0], [2])):
        try:
            call()
        except OSError as error:
            print(error, flush=True)
process = multiprocessing.get_context("fork").Process(target=child, args=[sys.argv[1]])
process.start(); process.join(60); process.kill()
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="has no fork")
def test_forked_processes_do_not_hang():
    with hosting(dict(FILES)) as host:
        arguments = [sys.executable, "-c", FORKED, f"{host.url}/x.json"]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.count('start it with the method "spawn"') == 2


# --- DuckDB's files -----------------------------------------------------------------------------


def test_files_for_duckdb_are_asked_for_once():
    with hosting({"/q[1]*.parquet": DATA}) as host:
        files = files_by_ranges()
        place = f"{host.url}/q[1]*.parquet"
        for _ in range(3):
            assert files.glob(place) == [place]
            assert files.exists(place)
            assert files.size(place) == len(DATA)
            file = files.open(place, "rb")
            file.seek(-100, 2)
            assert file.read() == DATA[-100:]
        assert len(host.requests) == 2
        assert not files.exists(f"{host.url}/none")


def test_a_compressed_answer_that_breaks_off_is_an_error_and_no_shorter_file():
    whole = gzip.compress(b"0123456789" * 1000)
    assert b"".join(objects._expanded("http://host/x", iter([whole[:9], whole[9:]]))) == (
        b"0123456789" * 1000
    )
    with pytest.raises(StorageError, match=r"http://host/x: the answer broke off; try again"):
        list(objects._expanded("http://host/x", iter([whole[:-12]])))
    with pytest.raises(StorageError, match="was compressed on the way and cannot be read"):
        list(objects._expanded("http://host/x", iter([whole, whole])))


@pytest.mark.parametrize("url", ["http://me:secret@/x", "http://me:secret@[bad/x"])
def test_what_is_no_url_is_refused_without_its_password(url):
    with pytest.raises(SatimnetError, match="is no URL") as refused:
        readable(url)
    assert "secret" not in str(refused.value)


def test_an_answer_that_comes_late_does_not_make_an_upload_fail(bucket, monkeypatch):
    """The request that puts the parts together is sent again, and its upload is gone by then."""
    from moto.s3.models import S3Backend

    put_object, calls = S3Backend.put_object, []

    def late(self, *arguments, **named):
        calls.append(arguments)
        time.sleep(3)
        return put_object(self, *arguments, **named)

    monkeypatch.setattr(S3Backend, "put_object", late)
    monkeypatch.setattr(stores, "PATIENCE", 1.0)
    stores._store.cache_clear()
    place = f"{bucket}/{uuid.uuid4()}/large.bin"
    data = DATA * 80
    try:
        objects.write(place, data)
    finally:
        stores._store.cache_clear()
    assert len(calls) == 1
    assert objects.read(place) == data
