"""Sources in object stores and on the web give what they give from disk, and are read by ranges."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shutil
import tarfile
import time
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from faulty_host import hosting
from hypothesis import given
from hypothesis import strategies as st
from stactools.cli.cli import cli

from satimnet.builder import build, search
from satimnet.builder.datasets import installed, recognise
from satimnet.builder.errors import BadFileError, NotFoundError, SatimnetError, StorageError
from satimnet.builder.scanning import reading_ahead, seek_points
from satimnet.builder.scanning.prefixes import in_order_of_folders
from satimnet.builder.sources import Entry, Reader, Source, source_place
from satimnet.builder.storage import objects
from satimnet.builder.storage.objects import Object
from satimnet.builder.storage.remote_files import SteadyFile

Put = Callable[[Path], str]
"""Puts a file or folder into the store, and gives its place."""


@pytest.fixture
def put(bucket) -> Put:
    def put_source(path: Path) -> str:
        root = f"{bucket}/{uuid.uuid4()}/{path.name}"
        if path.is_file():
            objects.write(root, path)
        else:
            for file in objects.files_below(str(path)):
                objects.write(f"{root}/{os.path.relpath(file.place, path)}", Path(file.place))
        return root

    return put_source


def contents(catalog: Path) -> tuple[list[str], dict[str, str]]:
    """All Items of a catalog, and the checksums of its shards by name."""
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in catalog.rglob("*.zip")
    }
    items = [json.dumps(item, sort_keys=True) for item in search(catalog)]
    return sorted(item.replace(str(catalog), "") for item in items), digests


def built(sources, out: Path) -> tuple[list[str], dict[str, str]]:
    build(sources, out, overview=False, scheduler="threads", items="none")
    found = contents(out)
    assert found[0]
    assert found[1]
    return found


# --- the same as from disk ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["eurosat", "bigearthnet", "dota", "xview"])
def test_a_store_gives_what_the_disk_gives(name, sources, put, tmp_path):
    """A zip; a tar.gz with lists beside; a folder of zips in folders; a folder of files."""
    home = next(p for p in (sources[name][0], *sources[name][0].parents) if p.parent.name == "all")
    place = put(home)
    here = [place + str(path).removeprefix(str(home)) for path in sources[name]]
    assert built(here, tmp_path / "store") == built(sources[name], tmp_path / "disk")


def test_several_datasets_below_one_prefix(sources, put, tmp_path):
    folder = tmp_path / "both"
    for name in ("eurosat", "xview"):
        home = next(
            p for p in (sources[name][0], *sources[name][0].parents) if p.parent.name == "all"
        )
        shutil.copytree(home, folder / name)
    groups, problems = recognise([put(folder)], installed())
    assert sorted(groups) == ["eurosat", "xview"]
    assert problems == []
    local, _ = recognise([folder], installed())
    for name, source in groups.items():
        there = [entry.path for entry in source.entries()]
        assert there == [entry.path for entry in local[name].entries()]


def as_tar(folder: Path, path: Path, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        archive.add(folder, folder.name)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_tars_in_a_store(mode, miniature, put, tmp_path):
    """Of zips, which are stored in them or, in a compressed one, have to be unpacked."""
    ending = mode.replace("w", "tar").replace(":", ".")
    path = as_tar(miniature, tmp_path / f"all.{ending}", mode)
    assert built([put(path)], tmp_path / "store") == built([path], tmp_path / "disk")


def test_a_zip_on_the_web_with_a_signature(miniature, tmp_path):
    path = miniature / "EuroSAT.zip"
    with hosting({"/a/EuroSAT.zip": path.read_bytes()}, "token", "no HEAD") as host:
        url = f"{host.url}/a/EuroSAT.zip?sig=a/b%3D"
        assert built([url], tmp_path / "web") == built([path], tmp_path / "disk")
    written = [file for file in (tmp_path / "web").rglob("*") if file.is_file()]
    assert not any(b"sig=" in file.read_bytes() for file in written)


def test_the_command_and_named_datasets(miniature, put, tmp_path):
    place = put(miniature / "EuroSAT.zip")
    for at, arguments in enumerate([[place], ["--dataset", f"eurosat={place}"]]):
        out = tmp_path / str(at)
        arguments = ["satimnet", "build", *arguments, "--out", str(out), "--scheduler", "threads"]
        done = CliRunner().invoke(cli, [*arguments, "--no-overview"])
        assert done.exit_code == 0, done.output
        assert len(search(out)) == 40


@pytest.mark.real
def test_real_eurosat_by_ranges(real, put, serve, tmp_path):
    path = real / "EuroSAT.zip"
    disk = built([path], tmp_path / "disk")
    assert built([put(path)], tmp_path / "store") == disk
    with hosting({"/EuroSAT.zip": path.read_bytes()}) as host:
        assert built([f"{host.url}/EuroSAT.zip"], tmp_path / "web") == disk
        sizes = [_length(headers.get("range")) for _, _, headers in host.requests]
    assert sum(sizes) < 1.5 * path.stat().st_size
    assert len(sizes) < 22_950 / 50


def _length(wanted: str | None) -> int:
    match = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted or "")
    assert match, wanted
    return int(match[2]) - int(match[1]) + 1


# --- few requests ---------------------------------------------------------------------------------


def big_zip(count: int) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for at in range(count):
            name = f"2750/Forest/Forest_{at + 1}.jpg"
            archive.writestr(zipfile.ZipInfo(name), random.Random(at).randbytes(500))
    return data.getvalue()


def test_a_directory_takes_four_requests(tmp_path):
    with hosting({"/big.zip": big_zip(27_000)}) as host:
        source = Source((f"{host.url}/big.zip",))
        entries = list(source.entries())
        assert len(entries) == 27_000
        assert len(host.requests) <= 4
        before = len(host.requests)
        with Reader() as reader:
            reader.expect(entries)
            for entry in entries[:5000]:
                assert len(reader.read(entry)) == 500
        assert len(host.requests) - before < 20


def test_a_tar_of_large_files_is_hopped_through(tmp_path):
    path = tmp_path / "large.tar"
    with tarfile.open(path, "w") as archive:
        for at in range(5):
            info = tarfile.TarInfo(f"a/{at}.tif")
            info.size = 3_000_000
            archive.addfile(info, io.BytesIO(random.Random(at).randbytes(info.size)))
    with hosting({"/large.tar": path.read_bytes()}) as host:
        source = Source((f"{host.url}/large.tar",), tmp_path / "indexes")
        entries = list(source.entries())
        assert [entry.path for entry in entries] == [f"large/a/{at}.tif" for at in range(5)]
        assert sum(_length(headers["range"]) for *_, headers in host.requests) < 2_000_000
        before = len(host.requests)
        assert list(source.entries()) == entries
        assert len(host.requests) == before + 1  # that it is the same file
        assert source.read(entries[3]) == random.Random(3).randbytes(3_000_000)


def test_a_tar_of_small_files_is_gone_through_once(tmp_path):
    path = tmp_path / "small.tar"
    with tarfile.open(path, "w") as archive:
        for at in range(3000):
            info = tarfile.TarInfo(f"a/{at}.tif")
            info.size = 2000
            archive.addfile(info, io.BytesIO(random.Random(at).randbytes(info.size)))
    data = path.read_bytes()
    with hosting({"/small.tar": data}) as host:
        source = Source((f"{host.url}/small.tar",), tmp_path / "indexes")
        with source.reader() as reader:  # as a scan that reads labels on the way
            for at, entry in enumerate(source.entries()):
                if at % 10 == 0:
                    assert reader.read(entry) == random.Random(at).randbytes(2000)
        assert len(host.requests) < 20
        assert sum(_length(headers["range"]) for *_, headers in host.requests) < 1.2 * len(data)


def many_in_targz(tmp_path: Path) -> tuple[bytes, list[bytes]]:
    members = [random.Random(at).randbytes(10_000) for at in range(600)]
    with tarfile.open(tmp_path / "many.tar.gz", "w:gz", compresslevel=1) as archive:
        for at, data in enumerate(members):
            info = tarfile.TarInfo(f"a/{at}.tif")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return (tmp_path / "many.tar.gz").read_bytes(), members


def test_a_targz_is_read_twice_to_be_scanned(tmp_path):
    """Once for its index, once for its listing and the labels on the way."""
    data, members = many_in_targz(tmp_path)
    with hosting({"/many.tar.gz": data}) as host:
        source = Source((f"{host.url}/many.tar.gz",), tmp_path / "indexes")
        with source.reader() as reader:
            for at, entry in enumerate(source.entries()):
                if at % 10 == 0:
                    assert reader.read(entry) == members[at]
        assert len(host.requests) < 30
        assert sum(_length(headers["range"]) for *_, headers in host.requests) < 2.2 * len(data)


@pytest.mark.parametrize("doing", ["indexing", "listing", "reading"])
def test_a_host_that_fails_on_the_way(doing, tmp_path, monkeypatch):
    monkeypatch.setattr("satimnet.builder.storage.remote_files._ROOM", 100_000)
    data, _ = many_in_targz(tmp_path)
    with hosting({"/many.tar.gz": data}) as host:
        url = f"{host.url}/many.tar.gz?sig=secret"
        entries = (
            [] if doing == "indexing" else list(Source((url,), tmp_path / "indexes").entries())
        )
        source = Source((url,), None if doing == "listing" else tmp_path / "indexes")
        source.containers.file(url)
        failing = len(host.requests)
        host.faults.add("always 503")
        with pytest.raises(StorageError) as caught, source.reader() as reader:
            _ = (
                [reader.read(entry) for entry in entries]
                if doing == "reading"
                else list(source.entries())
            )
        assert len(host.requests) > failing
    one_line(caught.value, "/many.tar.gz?…: cannot be read", "answered 503, 4 times")
    assert "secret" not in str(caught.value)


# --- workers that share nothing but the store -----------------------------------------------------


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_worker_needs_no_index_of_the_scan(mode, miniature, put, tmp_path):
    path = as_tar(miniature, tmp_path / f"all.{mode.replace('w', 'tar').replace(':', '.')}", mode)
    with zipfile.ZipFile(miniature / "EuroSAT.zip") as archive:
        archive.extractall(tmp_path / "plain")
    path = as_tar(tmp_path / "plain", path, mode)
    place = put(path)
    entries = list(Source((place,), tmp_path / "indexes").entries())
    with Reader(tmp_path / "of another machine") as reader:
        reader.expect(entries)
        read = {entry.path: reader.read(entry) for entry in entries}
    local = Source((path,), tmp_path / "local")
    assert read == {entry.path: local.read(entry) for entry in local.entries()}
    assert not (tmp_path / "of another machine").exists()


def test_what_was_unpacked_elsewhere_is_one_line(miniature, put, tmp_path):
    place = put(as_tar(miniature, tmp_path / "all.tar.xz", "w:xz"))
    entries = list(Source((place,), tmp_path / "indexes").entries())
    shutil.rmtree(tmp_path / "indexes")
    with Reader() as reader, pytest.raises(StorageError, match=r"all\.tar\.xz.*unpack it yourself"):
        reader.read(entries[0])


# --- reading ahead --------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["same", "backwards", "shuffled", "some"])
def test_reading_ahead_gives_every_file_in_any_order(order, put, tmp_path, monkeypatch):
    monkeypatch.setattr(reading_ahead, "_BATCH", 20_000)
    monkeypatch.setattr(reading_ahead, "_LARGE", 9_000)
    monkeypatch.setattr(reading_ahead, "MOST", 40_000)
    folder = tmp_path / "files"
    folder.mkdir()
    draw = random.Random(5)
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for at in range(60):
            archive.writestr(f"{at}.bin", draw.randbytes(draw.randrange(5000)))
    for at in range(20):
        (folder / f"{at}.bin").write_bytes(draw.randbytes(draw.choice([0, 10, 4000, 12_000])))
    entries = list(Source((put(folder),)).entries())
    local = Source((folder,))
    expected = {entry.path: local.read(entry) for entry in local.entries()}
    assert len(expected) == 80
    asked = list(entries)
    if order == "backwards":
        asked.reverse()
    elif order == "shuffled":
        draw.shuffle(asked)
    elif order == "some":
        asked = asked[::7]
    with Reader() as reader:
        reader.expect(entries)
        for entry in asked:
            assert reader.read(entry) == expected[entry.path]
            assert reader._ahead is not None
            assert sum(batch.size for batch in reader._ahead._batches) < 80_000


def test_requests_run_side_by_side_before_anything_is_asked_for():
    with hosting({f"/{at}.bin": bytes(1000) for at in range(200)}) as host:
        urls = [f"{host.url}/{at}.bin" for at in range(200)]
        stamp = objects.look(urls[0], 0, 1)[1].stamp  # all have one tag and size
        entries = [Entry(url, 1000, url, "file", 0, 1000, stamp) for url in urls]
        with Reader() as reader:
            reader.expect(entries)
            waited = time.monotonic() + 60
            while len(host.requests) <= len(urls) and time.monotonic() < waited:
                time.sleep(0.01)
            assert len(host.requests) == len(urls) + 1
            assert all(reader.read(entry) == bytes(1000) for entry in entries)
            assert len(host.requests) == len(urls) + 1


def test_steady_files_read_like_files(put, tmp_path):
    data = random.Random(3).randbytes(5_000_000)
    (tmp_path / "x.bin").write_bytes(data)
    file = SteadyFile(put(tmp_path / "x.bin"))
    draw = random.Random(4)
    at = 0
    for _ in range(300):
        if draw.random() < 0.2:
            at = draw.randrange(len(data) + 10)
        size = draw.choice([1, 512, 70_000, 1_500_000, 300_000])
        file.seek(at)
        assert file.read(size) == data[at : at + size]
        at += size
    file.seek(0)
    assert file.read() == data


names = st.lists(
    st.lists(st.text("ab.-/ 0", min_size=1, max_size=4), min_size=1, max_size=3).map("/".join),
    max_size=12,
).map(lambda found: sorted({name for name in found if re.fullmatch(r"[^/]+(/[^/]+)*", name)}))


@given(names)
def test_prefixes_are_gone_through_as_folders_are(found):
    listed = [Object(f"s3://b/p/{name}", 1) for name in found]
    paths = [path for path, _ in in_order_of_folders(listed, "s3://b/p/")]
    assert paths == ["/".join(parts) for parts in sorted(name.split("/") for name in found)]


def test_markers_of_folders_are_no_files(bucket):
    import boto3

    root = f"{uuid.uuid4()}"
    client = boto3.client(
        "s3", region_name="us-east-1", endpoint_url=os.environ["AWS_ENDPOINT_URL"]
    )
    for key in ("", "a/", "a/1.jpg", "b.jpg"):
        body = b"" if key.endswith("/") or not key else b"x"
        client.put_object(Bucket="trial", Key=f"{root}/{key}", Body=body)
    entries = list(Source((f"{bucket}/{root}",)).entries())
    assert [entry.path for entry in entries] == ["a/1.jpg", "b.jpg"]
    assert objects.children(f"{bucket}/{root}", 10) == {"a": True, "b.jpg": False}


# --- what goes wrong ------------------------------------------------------------------------------


def one_line(error: BaseException, *parts: str) -> None:
    text = str(error)
    assert "\n" not in text
    for part in parts:
        assert part in text, text


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("no-such-bucket-of-tests/EuroSAT.zip", "there is no such bucket"),
        ("no-such-bucket-of-tests/eurosat", "there is no such bucket"),
        ("trial/nowhere/EuroSAT.zip", "no such file or folder"),
        ("trial/nowhere/eurosat/", "no such file or folder"),
    ],
)
def test_what_is_not_there(bucket, key, said, tmp_path):
    with pytest.raises(NotFoundError) as caught:
        build([f"s3://{key}"], tmp_path / "out")
    one_line(caught.value, f"s3://{key}".rstrip("/"), said)
    assert not (tmp_path / "out").exists()


def test_the_web(miniature, tmp_path):
    data = (miniature / "EuroSAT.zip").read_bytes()
    with (
        hosting({"/EuroSAT.zip": data}, "no ranges") as host,
        pytest.raises(StorageError) as caught,
    ):
        build([f"{host.url}/EuroSAT.zip"], tmp_path / "out")
    one_line(caught.value, "/EuroSAT.zip", "must answer byte ranges")
    with hosting({"/EuroSAT.zip": data}) as host:
        for path in ("eurosat/", "eurosat", "labels.csv"):
            with pytest.raises(StorageError) as caught:
                build([f"{host.url}/{path}?sig=secret"], tmp_path / "out")
            one_line(caught.value, path, "a web server cannot be listed", "URL of an archive")
            assert "secret" not in str(caught.value)
        with pytest.raises(NotFoundError, match="nothing is there"):
            build([f"{host.url}/Euro.zip"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_url_as_a_path(tmp_path):
    with pytest.raises(SatimnetError, match=r"s3://bucket/x: a URL is no path; give it as a text"):
        build([Path("s3://bucket/x")], tmp_path / "out")
    assert source_place("s3://bucket/x/") == "s3://bucket/x"
    assert source_place("some/path") == Path("some/path")


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "folder"])
@pytest.mark.parametrize("expected", [True, False])
def test_a_source_that_changes(ending, expected, put, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for at in range(3):
        (folder / f"{at}.bin").write_bytes(random.Random(at).randbytes(100_000))
    path = folder
    if ending == "zip":
        path = Path(shutil.make_archive(str(tmp_path / "files"), "zip", folder))
    elif ending != "folder":
        path = as_tar(folder, tmp_path / f"files.{ending}", "w:gz" if ending[3:] else "w")
    place = put(path)
    entries = list(Source((place,), tmp_path / "indexes").entries())
    for entry in entries:
        was = objects.read(entry.container)
        objects.write(entry.container, was[:-20_000] + bytes(20_000))
    with Reader(tmp_path / "indexes") as reader:
        if expected:
            reader.expect(entries)
        kind = BadFileError if ending == "zip" else StorageError
        with pytest.raises(kind) as caught:
            _ = [reader.read(entry) for entry in entries]
    one_line(caught.value, place.rpartition("/")[2])
    if ending != "zip":
        one_line(caught.value, "changed since the scan; build again")


def test_a_source_that_changes_while_it_is_listed(put, tmp_path):
    (tmp_path / "x.bin").write_bytes(bytes(3_000_000))
    place = put(tmp_path / "x.bin")
    file = SteadyFile(place)
    objects.write(place, b"1" * 3_000_000)
    file.seek(1_000_000)
    with pytest.raises(StorageError, match="changed while it was read"):
        file.read(10)


def test_hostile_archives_are_as_bounded_as_on_disk(put, tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"\0" * 2**22)
    data = (tmp_path / "bomb.zip").read_bytes()
    data = data.replace((2**22).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    (tmp_path / "bomb.zip").write_bytes(data)
    source = Source((put(tmp_path / "bomb.zip"),))
    (entry,) = source.entries()
    with pytest.raises(BadFileError, match="CRC-32 differs"):
        source.read(entry)
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../evil", b"1")
    with pytest.raises(BadFileError, match=r"evil\.zip: member .* would leave the archive"):
        list(Source((put(tmp_path / "evil.zip"),)).entries())
    (tmp_path / "half.zip").write_bytes(big_zip(10)[:2000])
    with pytest.raises(BadFileError, match="not a whole archive"):
        list(Source((put(tmp_path / "half.zip"),)).entries())
    (tmp_path / "empty.zip").write_bytes(b"")
    with pytest.raises(BadFileError, match="not a whole archive"):
        list(Source((put(tmp_path / "empty.zip"),)).entries())


@pytest.mark.parametrize("fault", ["503", "429", "cut", "drops", "no size", "redirects"])
def test_hosts_with_faults(fault, miniature, tmp_path):
    path = miniature / "EuroSAT.zip"
    with hosting({"/EuroSAT.zip": path.read_bytes()}, fault) as host:
        source = Source((f"{host.url}/EuroSAT.zip",))
        entries = list(source.entries())
        with source.reader() as reader:
            reader.expect(entries)
            read = [reader.read(entry) for entry in entries]
    local = Source((path,))
    assert read == [local.read(entry) for entry in local.entries()]


def test_seek_points_are_made_once(put, tmp_path, monkeypatch):
    (tmp_path / "a.bin").write_bytes(random.Random(1).randbytes(500_000))
    place = put(as_tar(tmp_path / "a.bin", tmp_path / "a.tar.gz", "w:gz"))
    (entry,) = Source((place,)).entries()
    found = {seek_points.seek_points(place, entry.stamp) for _ in range(2)}
    assert len(found) == 1
    assert found.pop().exists()
