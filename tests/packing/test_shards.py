"""Shards are plain zip files whose members can be read by offset, the same bytes every time."""

import hashlib
import re
import zipfile
from pathlib import Path

import pytest

from satimnet.builder.errors import SatimnetError
from satimnet.builder.packing.shard_plans import MAX_SHARD_SIZE, plan
from satimnet.builder.packing.shards import ALIGNMENT, ContentDigest, pack
from satimnet.builder.samples import Member, Sample
from satimnet.builder.sources import Entry, Reader, Source
from stactools.eurosat import dataset

RECORD = dataset.record


def samples_of(source: Source) -> list[Sample]:
    return [found for found in dataset.scan(source) if isinstance(found, Sample)]


def test_a_shard_is_a_zip_of_the_sources_bytes(miniature, tmp_path):
    source = Source((miniature,))
    shard_plan = plan(samples_of(source))[0]
    with source.reader() as reader:
        shard = pack(shard_plan, reader, RECORD, tmp_path)
        wanted = {m.path: reader.read(m.entry) for s in shard_plan.samples for m in s.members}
    path = tmp_path / shard.file
    assert shard.size == path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == wanted
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    data = path.read_bytes()
    for packed in shard.samples:
        for member in packed.members:
            own = data[member.first : member.first + member.size]
            assert member.first % ALIGNMENT == 0
            assert own == wanted[member.path]
            assert hashlib.sha256(own).hexdigest() == member.sha256


def test_checksums_that_a_zip_brings_are_those_of_its_bytes(miniature, tmp_path):
    """Zips, deflated or not, and the files that were in them give the same shard."""
    methods = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}
    for original in sorted(Path(miniature).rglob("*.zip")):
        unpacked = tmp_path / "files" / original.stem
        with zipfile.ZipFile(original) as archive:
            archive.extractall(unpacked)
        for name, method in methods.items():
            (tmp_path / name).mkdir(exist_ok=True)
            with zipfile.ZipFile(tmp_path / name / original.name, "w", method) as archive:
                for file in sorted(unpacked.rglob("*.*")):
                    archive.write(file, file.relative_to(unpacked))
    kinds, shards = set(), set()
    for name in ("files", *methods):
        source = Source((tmp_path / name,))
        samples = samples_of(source)
        kinds |= {(m.entry.kind, m.entry.method) for s in samples for m in s.members}
        with source.reader() as reader:
            shard = pack(plan(samples)[0], reader, RECORD, tmp_path)
        with zipfile.ZipFile(tmp_path / shard.file) as archive:
            assert archive.testzip() is None
        shards.add((tmp_path / shard.file).read_bytes())
    assert kinds == {("file", 0), ("zip", zipfile.ZIP_STORED), ("zip", zipfile.ZIP_DEFLATED)}
    assert len(shards) == 1


def test_the_members_of_a_sample_lie_side_by_side(miniature, tmp_path):
    source = Source((miniature,))
    with source.reader() as reader:
        shard = pack(plan(samples_of(source))[0], reader, RECORD, tmp_path)
    for packed in shard.samples:
        jpeg, tiff = packed.members
        assert (jpeg.asset, tiff.asset) == ("rgb", "multispectral")
        assert 0 <= tiff.first - (jpeg.first + jpeg.size) < ALIGNMENT + 100


def test_packing_twice_gives_the_same_bytes(miniature, tmp_path):
    source = Source((miniature,))
    shard_plan = plan(samples_of(source))[0]
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with source.reader() as reader:
            files.append(tmp_path / name / pack(shard_plan, reader, RECORD, tmp_path / name).file)
    assert files[0].name == files[1].name
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_name_of_a_shard_tells_its_members():
    def name(*members: tuple[str, str]) -> str:
        digest = ContentDigest()
        for path, sha256 in members:
            digest.add(path, sha256)
        return digest.file_name("a-00000")

    assert re.fullmatch(r"a-00000-[0-9a-f]{16}\.zip", name(("x", "1")))
    assert name(("x", "1")) == name(("x", "1"))
    others = [name(("x", "2")), name(("y", "1")), name(), name(("x", "1"), ("y", "1"))]
    others.append(name(("y", "1"), ("x", "1")))
    assert len({name(("x", "1")), *others}) == 6


def sample(at: int, size: int, level: tuple[str, ...] = ("a",)) -> Sample:
    entry = Entry(f"{at}", size, f"{at}", "file", 0, size, at)
    return Sample(f"{at}", level, (Member("rgb", f"{at}", entry),))


def test_plans_fill_shards_up_to_the_size_in_order():
    plans = plan([sample(at, 10_000) for at in range(100)], shard_size=100_000)
    assert [s.id for p in plans for s in p.samples] == [str(at) for at in range(100)]
    assert [p.name for p in plans][:2] == ["a-00000", "a-00001"]
    assert {len(p.samples) for p in plans[:-1]} == {9}  # 10,000 and what the zip adds


def test_plans_keep_levels_apart_and_under_the_members_limit():
    (member,) = sample(0, 1).members
    of_100 = [Sample(f"{at}", (("a", "b")[at % 2],), (member,) * 100) for at in range(1400)]
    plans = plan(of_100, 2**31)
    assert [len(p.samples) for p in plans] == [650, 50] * 2  # 65,000 members and 5,000
    assert len({p.name for p in plans}) == 4


def test_plan_digests_follow_the_files():
    def digest(size: int, stamp: int) -> str:
        entry = Entry("x", size, "x", "file", 0, size, stamp)
        return plan([Sample("x", ("a",), (Member("rgb", "x", entry),))])[0].digest

    assert digest(1, 1) == digest(1, 1)
    assert len({digest(1, 1), digest(2, 1), digest(1, 2)}) == 3


def test_a_sample_too_large_for_any_shard_is_named():
    entry = Entry("huge", MAX_SHARD_SIZE, "huge", "file", 0, MAX_SHARD_SIZE, 0)
    with pytest.raises(SatimnetError, match="huge"):
        plan([Sample("x", (), (Member("rgb", "x", entry),))])


def test_an_interrupted_shard_is_not_there(miniature, tmp_path):
    source = Source((miniature,))
    shard_plan = plan(samples_of(source))[0]

    class Broken(Reader):
        def read(self, entry: Entry) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(shard_plan, Broken(), RECORD, tmp_path)
    assert [p.suffix for p in Path(tmp_path).iterdir()] == [".part"]
