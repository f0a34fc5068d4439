"""Files and folders that are whole or not there, and readers of what is replaced meanwhile."""

import ctypes
import errno
import json
import os
import pickle
import shutil

import pytest
from click.testing import CliRunner
from published import home_of, shard_of
from stactools.cli.cli import cli

from satimnet.builder.catalog.validation import validate
from satimnet.builder.errors import SatimnetError
from satimnet.builder.exports import export
from satimnet.builder.exports.item_batches import row_count
from satimnet.builder.pipeline import build
from satimnet.builder.quality.assessment import assess
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import count, search
from satimnet.builder.storage import atomic_files as files
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.storage.staging import announce, lock, placed, workspace
from satimnet.builder.transfer import mirror as copies
from satimnet.builder.transfer import resumable as fetching
from satimnet.builder.transfer import subset as extracts
from satimnet.builder.transfer.published_files import Download
from stactools.eurosat.miniature import write_miniature


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file"
    files.write(path, b"one")
    with pytest.raises(TypeError), files.writing(path) as part:
        part.open("x").write(b"two")
    assert path.read_bytes() == b"one"
    assert os.listdir(path.parent) == ["file"]


@pytest.fixture
def steps(monkeypatch):
    """What is flushed and what is renamed, in order: ("flush", path) or ("rename", to)."""
    seen = []
    flush, rename, replace = os.fsync, os.rename, os.replace

    def fsync(opened):
        seen.append(("flush", os.readlink(f"/proc/self/fd/{opened}")))
        flush(opened)

    def renamed(how):
        def rename(old, new):
            how(old, new)
            seen.append(("rename", str(new)))

        return rename

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", renamed(rename))
    monkeypatch.setattr(os, "replace", renamed(replace))
    return seen


def test_a_file_is_flushed_before_it_gets_its_name_and_its_folder_after(tmp_path, steps):
    """Else a power cut may leave the name with nothing behind it, or neither."""
    path = tmp_path / "file"
    for write in (files.write, lambda path, content: files.write_json(content.decode(), path)):
        write(path, b"one")
        assert steps == [
            ("flush", f"{path}.part"),
            ("rename", str(path)),
            ("flush", str(tmp_path)),
        ]
        steps.clear()


@pytest.mark.parametrize("exchanges", [True, False])
def test_the_name_of_a_folder_is_flushed(tmp_path, steps, monkeypatch, exchanges):
    if not exchanges:
        monkeypatch.setattr(files, "_exchanged", lambda a, b: False)
    for there in (False, True):
        (tmp_path / "made").mkdir()
        (tmp_path / "made/new").write_text(str(there))
        files.place(tmp_path / "made", tmp_path / "out")
        assert (tmp_path / "out/new").read_text() == str(there)
        assert steps[-1] == ("flush", str(tmp_path))
        steps.clear()
    assert (tmp_path / "made/new").read_text() == "False"


def test_all_files_of_a_folder_are_flushed(tmp_path, steps, monkeypatch):
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/file").touch()
    flushed = []

    class System:
        """Flushes a file system."""

        def syncfs(self, opened):
            flushed.append(os.readlink(f"/proc/self/fd/{opened}"))
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: System())
    files.sync(tmp_path / "deep")
    assert flushed == [str(tmp_path / "deep")]
    assert steps == []
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())  # has no way to do so
    files.sync(tmp_path / "deep")
    places = [tmp_path / "deep", tmp_path / "deep/er", tmp_path / "deep/er/file"]
    assert sorted(path for _, path in steps) == list(map(str, places))


def test_a_disk_that_cannot_flush_is_told_and_changes_nothing(tmp_path, monkeypatch):
    files.write(tmp_path / "file", b"one")

    def failing(code):
        def fsync(opened):
            raise OSError(code, os.strerror(code))

        return fsync

    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        files.write(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))  # a file system that knows no flushing
    files.write(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"two"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_replaced_by_one(make, tmp_path):
    make(tmp_path / "there")
    before = os.lstat(tmp_path / "there")
    with pytest.raises(OSError, match="this is no regular file"):
        files.write(tmp_path / "there", b"one")
    assert os.path.samestat(os.lstat(tmp_path / "there"), before)
    assert os.listdir(tmp_path) == ["there"]


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "other")
    files.write(tmp_path / "other", b"one")
    files.write(tmp_path / "link", b"two")
    assert (tmp_path / "other").read_bytes() == b"one"
    assert (tmp_path / "link").read_bytes() == b"two"


def test_folders_are_exchanged(tmp_path):
    for name in ("made", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    files.place(tmp_path / "made", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["made"]
    assert os.listdir(tmp_path / "made") == ["out"]
    files.place(tmp_path / "made", tmp_path / "new")
    assert os.listdir(tmp_path) == ["out", "new"] or os.listdir(tmp_path) == ["new", "out"]


def test_what_left_a_workspace_is_known_after_a_kill(tmp_path):
    out = tmp_path / "out"
    with workspace(out, "making", kept_on_error=True) as staging:
        (staging / "made").mkdir()
        announce(out, "these", staging / "made")
        assert not placed(out, out, "these")
        files.place(staging / "made", out)
        assert placed(out, out, "these")
        assert not placed(out, out, "others")
        out.rmdir()
        out.mkdir()  # it may get the number of the one before
        assert not placed(out, out, "these")


@pytest.fixture
def newer(tmp_path):
    """A source of the same dataset with other, fewer patches."""
    write_miniature(tmp_path / "newer", 1, seed=5)
    return tmp_path / "newer"


@pytest.fixture
def own(catalog, tmp_path):
    return shutil.copytree(catalog, tmp_path / "own")


def test_an_open_index_keeps_the_items_that_it_opened(own, newer):
    index = Index(own)
    found = search(index, classes=["River"])
    numbers = len(found)
    build([newer], own, overview=False)
    assert len(search(index)) == 40
    assert [item["id"] for item in found] == [f"River_{k}" for k in range(1, numbers + 1)]
    assert len(search(own)) == 10


def test_an_open_index_answers_from_a_file_that_was_removed(own):
    index = Index(own)
    (home_of(own) / "items.parquet").unlink()
    assert len(list(search(index))) == count(index) == 40


def test_another_process_opens_the_file_anew(catalog):
    index = Index(catalog)
    sent = pickle.dumps(index.collections["eurosat"])
    del index
    assert row_count(pickle.loads(sent)) == 40


def test_an_open_index_is_exported_as_it_was_opened(own, newer, tmp_path):
    index = Index(own)
    build([newer], own, overview=False)
    (path,) = export(index, "trainingdml", tmp_path)
    assert len(json.loads(path.read_bytes())["data"]) == len(search(index)) == 40


def test_a_new_version_does_not_disturb_an_assessment(own, newer, tmp_path):
    built = []

    def publish(what: str, done: int, total: int | None, unit: str) -> None:
        if what == "Comparing images" and not built:
            built.append(build([newer], own, overview=False))

    assert len(assess(own, tmp_path / "old", progress=publish).summaries[0].rows) == 40
    assert len(assess(own, tmp_path / "new").summaries[0].rows) == 10


def test_a_catalog_that_is_changed_while_it_is_assessed(own, tmp_path):
    shard = shard_of(own, "River-00000")

    def change(what: str, done: int, total: int | None, unit: str) -> None:
        if what == "Comparing images":
            shard.write_bytes(shard.read_bytes() + b"more")

    with pytest.raises(SatimnetError, match="was changed while it was read; run it again"):
        assess(own, tmp_path / "report", progress=change)
    assert not (tmp_path / "report").exists()


def test_members_of_an_earlier_version_are_copied(own, newer, tmp_path):
    found = search(own, classes=["River"])
    before = [read_bytes(item["assets"]["rgb"]) for item in found]
    assert len(before) == 4
    build([newer], own, overview=False)
    extracts.copy_found(found, tmp_path / "part")
    copied = search(tmp_path / "part")
    assert [read_bytes(item["assets"]["rgb"]) for item in copied] == before


def test_members_that_were_replaced_are_not_copied(own, tmp_path):
    found = search(own, classes=["River"])
    shutil.copyfile(shard_of(own, "Forest-00000"), shard_of(own, "River-00000"))
    with pytest.raises(SatimnetError, match="River"):
        extracts.copy_found(found, tmp_path / "part")
    assert not (tmp_path / "part").exists()


def test_a_catalog_that_is_replaced_while_it_is_copied(own, newer, tmp_path):
    replaced = []

    def replace(what: str, done: int, total: int | None, unit: str) -> None:
        if not replaced:
            replaced.append(build([newer], own, overview=False))

    for name, number in {"during": 40, "after": 10}.items():
        copies.copy_catalog(own, tmp_path / name, progress=replace)
        assert validate(tmp_path / name, checksums=True).problems == []
        assert len(search(tmp_path / name)) == number


def test_leftovers_are_told(own, tmp_path):
    assert validate(own).leftovers == []
    shutil.copytree(own / "eurosat", own / "unlinked")
    (tmp_path / ".own.copying").mkdir()
    (own / "catalog.json.part").touch()
    findings = validate(own)
    assert findings.problems == []
    assert dict(findings.objects)["Feature"] == 40
    left = [own / "unlinked", tmp_path / ".own.copying", own / "catalog.json.part"]
    assert findings.leftovers == left
    done = CliRunner().invoke(cli, ["satimnet", "validate", str(own)])
    assert done.exit_code == 0
    for path in left:
        assert f"{path}: no part of the catalog" in done.output


def test_an_export_may_find_what_it_would_write(catalog, tmp_path):
    (path,) = export(Index(catalog), "croissant", tmp_path)
    before = path.read_bytes()
    assert export(Index(catalog), "croissant", tmp_path) == [path]
    path.write_bytes(before + b" ")
    with pytest.raises(SatimnetError, match="is there already; choose another folder"):
        export(Index(catalog), "croissant", tmp_path)
    assert path.read_bytes() == before + b" "
    assert os.listdir(tmp_path) == [path.name]


def test_a_second_download_is_refused(tmp_path):
    download = Download("http://127.0.0.1:9/file.bin", 3, None)
    (tmp_path / "file.bin.part").write_bytes(b"12")
    with lock(tmp_path / "file.bin"), pytest.raises(SatimnetError, match="another run is writing"):
        fetching.fetch(download, tmp_path)
    assert (tmp_path / "file.bin.part").read_bytes() == b"12"


def test_a_killed_build_of_other_sources_leaves_nothing_in_a_catalog(miniature, tmp_path):
    left = tmp_path / ".out.building" / "catalog" / "other"
    left.mkdir(parents=True)
    (left / "collection.json").write_text(json.dumps({"id": "other", "title": "Half"}))
    build([miniature], tmp_path / "out", overview=False)
    assert not (tmp_path / "out" / "other").exists()
    assert "Half" not in (tmp_path / "out" / "catalog.json").read_text()


@pytest.mark.slow
def test_a_demo_that_was_killed_goes_on(tmp_path):
    (tmp_path / "demo" / "sources" / "eurosat").mkdir(parents=True)
    (tmp_path / "demo" / "sources" / "eurosat" / "EuroSAT.zip").write_bytes(b"half")
    refused = CliRunner().invoke(cli, ["satimnet", "demo", str(tmp_path / "demo")])
    assert "no earlier demo" in refused.output
    (tmp_path / "demo" / ".unfinished-demo").touch()
    done = CliRunner().invoke(cli, ["satimnet", "demo", str(tmp_path / "demo"), "--quiet"])
    assert done.exit_code == 0, done.output
    assert sorted(os.listdir(tmp_path / "demo")) == ["catalog", "sources"]
