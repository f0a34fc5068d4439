"""Archives of all kinds, in each other as well, are listed and read; bombs and traps are not."""

import bz2
import gzip
import io
import lzma
import os
import socket
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from satimnet.builder import build
from satimnet.builder.datasets import installed, recognise
from satimnet.builder.errors import BadFileError, SatimnetError
from satimnet.builder.samples import Sample
from satimnet.builder.scanning import archives, gzip_streams, unpacking
from satimnet.builder.scanning.entries import layout_path
from satimnet.builder.sources import Source

FILES = {"train/images/P0001.png": os.urandom(3000), "b/two.tif": b"x" * 70_000, "three.txt": b""}


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def stored(files: Mapping[str, bytes]) -> bytes:
    return zipped(files, zipfile.ZIP_STORED)


def tarred(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


def contents(path: Path, scratch: Path) -> dict[str, bytes]:
    """All files of a source, read backwards, so that nothing depends on their order."""
    source = Source((path,), scratch)
    entries = list(source.entries())
    with source.reader() as reader:
        read = {entry.path: reader.read(entry) for entry in reversed(entries)}
    assert sorted(source.names()) == sorted(read)
    return read


def under(folder: str) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in FILES.items()}


@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz", "tar.zst", "tbz2", "txz", "TGZ"])
def test_compressed_tars_are_read(ending, tmp_path):
    form = {"tbz2": "bz2", "txz": "xz", "TGZ": "gz"}.get(ending, ending[4:])
    path = tmp_path / f"data.{ending}"
    path.write_bytes(COMPRESS[form](tarred(FILES)))
    assert contents(path, tmp_path / "scratch") == under("data")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tar.gz", tarred(FILES)),
        ("a.tar", gzip.compress(tarred(FILES))),
        ("a.tar", zipped(FILES)),
        ("a.zip", tarred(FILES)),
        ("a.tar.zst", bz2.compress(tarred(FILES))),
        ("a.tgz", stored(FILES)),
    ],
)
def test_an_archive_is_what_its_first_bytes_say(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    assert contents(tmp_path / name, tmp_path / "scratch") == under("a")


@pytest.mark.parametrize("kind", ["7z\xbc\xaf\x27\x1c", "Rar!\x1a\x07"])
def test_a_foreign_archive_under_a_known_name_is_named(kind, tmp_path):
    (tmp_path / "a.zip").write_bytes(kind.encode("latin-1") + bytes(600))
    with pytest.raises(SatimnetError, match=r"a\.zip: is a .* archive; unpack it"):
        list(Source((tmp_path,)).entries())


OUTER = {
    "zip": stored,
    "deflated.zip": zipped,
    "tar": tarred,
    "tar.gz": lambda files: gzip.compress(tarred(files)),
    "tar.xz": lambda files: lzma.compress(tarred(files)),
}


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("inner", OUTER)
def test_archives_in_archives_are_folders_too(outer, inner, tmp_path):
    path = tmp_path / f"out.{outer}"
    path.write_bytes(OUTER[outer]({f"deep/in.{inner}": OUTER[inner](FILES), "plain.tif": b"1"}))
    folder = path.name.removesuffix(".zip").partition(".tar")[0]
    within = f"in.{inner}".removesuffix(".zip").partition(".tar")[0]
    expected = under(f"{folder}/deep/{within}") | {f"{folder}/plain.tif": b"1"}
    assert contents(path, tmp_path / "scratch") == expected


def test_what_a_build_unpacks_is_whole_on_the_disk(tmp_path, monkeypatch):
    """Also seek points and listings: after a power cut the next build reads what has a name."""
    flushed, fsync = {}, os.fsync

    def noting(descriptor: int) -> None:
        state = os.fstat(descriptor)
        flushed[state.st_ino] = state.st_size
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    for form in ("gz", "zst"):
        (tmp_path / f"a.tar.{form}").write_bytes(COMPRESS[form](tarred(FILES)))
        contents(tmp_path / f"a.tar.{form}", tmp_path / "scratch")
    made = [path.stat() for path in (tmp_path / "scratch").iterdir()]
    assert len(made) == 4
    assert all(flushed.get(state.st_ino) == state.st_size > 0 for state in made)


def test_what_lies_open_in_its_archive_is_not_copied(tmp_path):
    (tmp_path / "a.tar").write_bytes(tarred({"b.zip": stored({"c.tar": tarred(FILES)})}))
    assert contents(tmp_path / "a.tar", tmp_path / "scratch") == under("a/b/c")
    assert {path.suffix for path in (tmp_path / "scratch").iterdir()} == {".listing"}


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.bz2"])
@pytest.mark.parametrize("in_place", [True, False])
def test_another_archive_of_the_same_size_and_time(ending, in_place, tmp_path):
    """Downloads often have the time that their publisher says; what was listed is not believed."""
    files = [{"1.tif": b"a" * 600, "2.tif": b"b" * 600}, {"2.tif": b"c" * 600, "3.tif": b"d" * 600}]
    forms = {"zip": stored, "tar": tarred}
    pack = {"tar.gz": lambda data: gzip.compress(data, 0, mtime=0), "tar.bz2": bz2.compress}
    packed = [forms.get(ending, tarred)(one) for one in files]
    packed = [pack[ending](one) if ending in pack else one for one in packed]
    packed = [one.ljust(max(map(len, packed)), b"\0") for one in packed]  # as bz2 may end
    path, other = tmp_path / f"a.{ending}", tmp_path / "download"
    found, changed = [], 0
    for data in packed:
        if in_place:
            path.write_bytes(data)
        else:
            other.write_bytes(data)
            other.replace(path)
        os.utime(path, ns=(10**18, 10**18))
        while path.stat().st_ctime_ns == changed:  # the clock of a file system may tick slowly
            os.utime(path, ns=(10**18, 10**18))
        changed = path.stat().st_ctime_ns
        found.append(contents(path, tmp_path / "scratch"))
    assert found == [{f"a/{name}": data for name, data in one.items()} for one in files]


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_a_tar_is_gone_through_once(ending, tmp_path, monkeypatch):
    path = tmp_path / f"many.{ending}"
    files = {f"{at // 9}/{at}.tif": b"x" * (at % 5) for at in range(2500)}
    path.write_bytes(COMPRESS["gz"](tarred(files)) if ending == "tar.gz" else tarred(files))
    source = Source((path,), tmp_path / "scratch")
    first = list(source.entries())
    assert [entry.path for entry in first] == [f"many/{name}" for name in files]
    with monkeypatch.context() as patched:
        patched.setattr(tarfile, "open", None)
        assert list(source.entries()) == first
    path.write_bytes(COMPRESS["gz"](tarred(FILES)) if ending == "tar.gz" else tarred(FILES))
    assert [entry.path for entry in source.entries()] == list(under("many"))


def test_messages_name_the_archives_that_a_file_lies_in(tmp_path):
    (tmp_path / "a.tar.xz").write_bytes(lzma.compress(tarred({"b/c.zip": zipped({"d.tif": b"1"})})))
    (entry,) = Source((tmp_path / "a.tar.xz",), tmp_path / "scratch").entries()
    assert entry.label == f"{tmp_path}/a.tar.xz!b/c.zip!d.tif"


def test_what_is_listed_without_a_place_to_unpack_cannot_be_read(tmp_path):
    path = tmp_path / "a.tar.bz2"
    path.write_bytes(bz2.compress(tarred({"b.zip": zipped(FILES)} | FILES)))
    source = Source((path,))
    entries = list(source.entries())
    assert {entry.path for entry in entries} == {*under("a"), *under("a/b")}
    for entry in entries:
        with pytest.raises(BadFileError, match="unpack that first"):
            source.read(entry)


def test_google_drive_s_names_do_not_count(tmp_path):
    for part, name in enumerate(("images/P0001.png", "labelTxt/P0001.txt"), 1):
        path = tmp_path / f"train-20221020T074925Z-1-00{part}.zip"
        path.write_bytes(zipped({name: b"1"}))
    paths = [entry.path for entry in Source((tmp_path,)).entries()]
    assert paths == ["train/images/P0001.png", "train/labelTxt/P0001.txt"]


def test_archives_too_deep_are_files(tmp_path):
    data = stored({"x.tif": b"1"})
    for depth in range(5):
        data = stored({f"{depth}.zip": data})
    (tmp_path / "a.zip").write_bytes(data)
    (entry,) = Source((tmp_path,)).entries()
    assert entry.path == "a/4/3/2.zip"


@pytest.mark.parametrize("form", ["gz", "bz2", "xz", "zst"])
def test_damaged_compressed_tars_are_one_line_errors(form, tmp_path):
    data = COMPRESS[form](tarred({"a.tif": os.urandom(100_000)}))
    path = tmp_path / f"a.tar.{form}"
    spoilt_ones = [data[: len(data) // 2], data[:20]]
    if form != "zst":  # Arrow writes no checksum
        spoilt_ones.append(data[:5000] + b"\xff" * 50 + data[5050:])
    for spoilt in spoilt_ones:
        path.write_bytes(spoilt)
        for source in (Source((path,)), Source((path,), tmp_path / "scratch")):
            with pytest.raises(SatimnetError, match=rf"a\.tar\.{form}: .*(download|publisher)"):
                list(source.entries())
        assert not list((tmp_path / "scratch").glob("*"))


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "_MAX_UNPACKED", 2**20)
    monkeypatch.setattr(unpacking, "_MAX_RATIO", 10)
    zeros = tarred({"a.tif": bytes(2**23)})
    packed = {f"a.tar.{form}": COMPRESS[form](zeros) for form in ("bz2", "xz", "zst")}
    one = COMPRESS["xz"](tarred({"a.tif": bytes(2**20)}))
    packed["many.zip"] = stored({f"{n}.tar": one for n in range(9)})
    packed["in.zip"] = zipped({"in.zip": stored({"a.tif": bytes(2**23)})})
    for name, data in packed.items():
        (tmp_path / name).write_bytes(data)
        for scratch in (None, tmp_path / "scratch"):
            source = Source((tmp_path / name,), scratch)
            with pytest.raises(SatimnetError, match="unpacks to more than any dataset does"):
                list(source.entries())
        unpacked = sum(p.stat().st_size for p in (tmp_path / "scratch").glob("*"))
        assert unpacked <= 2**20 + 10 * len(data)


def test_members_that_overlap_make_no_more_of_one(tmp_path, monkeypatch):
    """A hundred names for the same nested zip."""
    monkeypatch.setattr(unpacking, "_MAX_UNPACKED", 2**16)
    monkeypatch.setattr(unpacking, "_MAX_RATIO", 1)
    inner = stored({"a.tif": bytes(20_000)})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("0.zip", inner)
        first = archive.infolist()[0]
        for number in range(1, 100):
            same = zipfile.ZipInfo(f"{number}.zip")
            same.header_offset, same.CRC = first.header_offset, first.CRC
            same.file_size = same.compress_size = len(inner)
            archive.filelist.append(same)
            archive.NameToInfo[same.filename] = same
    (tmp_path / "a.zip").write_bytes(packed.getvalue())
    with pytest.raises(SatimnetError, match="unpacks to more than any dataset does"):
        list(Source((tmp_path / "a.zip",)).entries())


# --- tar.gz -------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("longest", [2**18, 2**30])
def test_files_of_a_tar_gz_lie_before_behind_and_across_seek_points(
    members, longest, tmp_path, monkeypatch
):
    monkeypatch.setattr(gzip_streams, "SEEK_POINT_SPACING", 2**17)
    monkeypatch.setattr(gzip_streams, "_LONGEST", longest)
    files = {f"{k}.tif": os.urandom(size) for k, size in enumerate((1, 5000, 2**20, 0, 2**17) * 3)}
    files |= {"flat.tif": bytes(2**22), "last.tif": os.urandom(70_000)}  # few blocks, if any
    data = tarred(files)
    step = -(-len(data) // members)
    parts = (gzip.compress(data[at : at + step]) for at in range(0, len(data), step))
    (tmp_path / "a.tar.gz").write_bytes(b"".join(parts))
    found = contents(tmp_path / "a.tar.gz", tmp_path / "scratch")
    assert found == {f"a/{name}": content for name, content in files.items()}
    source = Source((tmp_path / "a.tar.gz",), tmp_path / "scratch")
    with source.reader() as reader:
        for entry in source.entries():
            assert reader.read(entry) == found[entry.path]


@pytest.mark.parametrize("back", [1024, 2**23])
@pytest.mark.parametrize("form", ["gz", "xz"])
def test_archives_in_a_compressed_tar_are_read_though_headers_are_read_ahead(
    back, form, tmp_path, monkeypatch
):
    monkeypatch.setattr(unpacking.Inflated, "BACK", back)
    files = {f"{k}.tif": os.urandom(100) for k in range(40)}
    files["in.zip"] = zipped({"x.tif": b"x" * 5000})
    files |= {f"{k}.tif": os.urandom(2000) for k in range(40, 80)}
    path = tmp_path / f"a.tar.{form}"
    path.write_bytes(COMPRESS[form](tarred(files)))
    names = list(Source((path,)).names())
    assert names == [f"a/{n}" if n != "in.zip" else "a/in/x.tif" for n in files]
    found = contents(path, tmp_path / "scratch")
    assert found.pop("a/in/x.tif") == b"x" * 5000
    assert found == {f"a/{name}": data for name, data in files.items() if name != "in.zip"}


def test_a_stream_that_was_passed_is_opened_to_seek():
    content = os.urandom(2**16)
    chunks = iter([content[at : at + 1000] for at in range(0, len(content), 1000)])
    opened: list[io.BytesIO] = []

    def seeking() -> io.BytesIO:
        opened.append(io.BytesIO(content))
        return opened[0]

    with pytest.MonkeyPatch.context() as patch, gzip_streams.Forwards(chunks, seeking) as stream:
        patch.setattr(unpacking.Inflated, "BACK", 2000)
        for at in (0, 60_000, 58_500):
            stream.seek(at)
            assert stream.read(700) == content[at : at + 700]
        assert not opened
        for at in (100, 65_000):
            stream.seek(at)
            assert stream.read(700) == content[at : at + 700]
    assert len(opened) == 1
    assert opened[0].closed


# --- headers ------------------------------------------------------------------------------------


def header(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def sparse_map(size: int) -> bytes:
    """A file of PAX sparse format 1.0 whose map has more entries than anybody needs."""
    records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    records += b"25 GNU.sparse.name=a.tif\n"
    numbers = (b"%d\n" % size) + b"0\n" * size
    numbers += bytes(-len(numbers) % 512)
    return (
        header("x", len(records), tarfile.XHDTYPE)
        + records.ljust(512, b"\0")
        + header("a.tif", len(numbers), tarfile.REGTYPE)
        + numbers
    )


def long_name(size: int, kind: bytes) -> bytes:
    return header("././@LongLink", size, kind) + b"1" * size


@pytest.mark.parametrize(
    "member",
    [
        long_name(2**25, tarfile.GNUTYPE_LONGNAME),
        long_name(2**25, tarfile.GNUTYPE_LONGLINK),
        long_name(2**25, tarfile.XHDTYPE),
        long_name(2**25, tarfile.XGLTYPE),
        sparse_map(2**20),
        b"".join(long_name(512, tarfile.GNUTYPE_LONGNAME) for _ in range(3000)),
    ],
    ids=["name", "link", "pax", "global pax", "sparse map", "chain of names"],
)
@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.xz"])
def test_headers_have_a_limit(member, form, tmp_path):
    data = header("a", 3, b"0") + b"abc".ljust(512, b"\0") + member
    data += header("b", 3, b"0") + b"abc".ljust(512, b"\0") + bytes(1024)
    path = tmp_path / f"a.{form}"
    path.write_bytes(data if form == "tar" else COMPRESS[form[4:]](data))
    del data
    tracemalloc.start()
    try:
        with pytest.raises(SatimnetError, match=f"a.{form}: not a whole archive"):
            list(Source((path,)).entries())
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


# --- what is no file ----------------------------------------------------------------------------


def odd_files(folder: Path) -> list[str]:
    """A pipe, a socket, and links to a pipe and a device, named like data."""
    folder.mkdir(exist_ok=True)
    os.mkfifo(folder / "more.zip")
    os.mkfifo(folder / "labels.csv")
    (folder / "link.tar.gz").symlink_to(folder / "more.zip")
    (folder / "null.zip").symlink_to("/dev/null")
    listening = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(folder)  # the path of a socket has a limit
    try:
        listening.bind("s.tar")
    finally:
        os.chdir(here)
        listening.close()
    return ["labels.csv", "link.tar.gz", "more.zip", "null.zip", "s.tar"]


def test_only_regular_files_are_opened(tmp_path):
    names = odd_files(tmp_path / "odd")
    (tmp_path / "odd" / "real.txt").write_text("1")
    assert [e.path for e in Source((tmp_path / "odd",)).entries()] == ["real.txt"]
    for name in names:
        assert not stat.S_ISREG((tmp_path / "odd" / name).stat().st_mode)
        with pytest.raises(SatimnetError, match=f"{name}: neither a file nor a folder"):
            list(Source((tmp_path / "odd" / name,)).entries())


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.zst", "a.png"])
def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(name, tmp_path):
    path = tmp_path / "source" / name
    path.parent.mkdir()
    form = name.rpartition(".")[2]
    path.write_bytes(stored(FILES) if form == "zip" else tarred(FILES))
    if form in COMPRESS:
        path.write_bytes(COMPRESS[form](tarred(FILES)))
    source = Source((path,), tmp_path / "scratch")
    entries = source.entries()
    entry = next(entries)
    path.unlink()
    os.mkfifo(path)
    if form != "zst":  # that one was unpacked before
        with source.reader() as reader, pytest.raises(BadFileError, match=r"regular|not exist"):
            reader.read(entry)
    if form != "png":
        with pytest.raises(SatimnetError, match="regular"):
            list(archives.archive_batches(path, "a/", unpacking.Unpacking(tmp_path / "scratch")))


def test_pipes_and_links_beside_a_source_are_in_the_report(miniature, tmp_path):
    for archive in miniature.iterdir():
        (tmp_path / "s").mkdir(exist_ok=True)
        (tmp_path / "s" / archive.name).write_bytes(archive.read_bytes())
    names = odd_files(tmp_path / "s")
    (report,) = build([tmp_path / "s"], tmp_path / "out", overview=False)
    assert report.items
    passed = {Path(problem.path).name for problem in report.of("foreign")}
    assert {*names} <= passed


# --- what is not read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("AerialImageDataset.7z.001", "a part of a split archive"),
        ("images.zip.002", "a part of a split archive"),
        ("images.z01", "a part of a split archive"),
        ("x.part1.rar", "a part of a split archive"),
        ("x.rar", "an archive of a kind"),
        ("x.7Z", "an archive of a kind"),
    ],
)
def test_archives_that_are_not_read_are_named_with_a_remedy(name, reason, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / name).write_bytes(b"7z\xbc\xaf\x27\x1c")
    for path in (tmp_path / "s", tmp_path / "s" / name):
        with pytest.raises(SatimnetError, match=f"{reason}.*give the folder") as refused:
            build([path], tmp_path / "out", overview=False)
        assert "expected" not in str(refused.value)


DEEP = stored({"1.zip": stored({"2.zip": stored({"3.zip": stored({"x.tif": b"1"})})})})


def test_what_was_passed_over_is_in_the_report(miniature, tmp_path):
    """Also what lies in archives; what is for people to read is not."""
    source = tmp_path / "s"
    names = ["a/scene.JPEG", "labels.GeoJSON", "more.7z", "more.zip.002", "in.zip!Forest/x.png"]
    named = {**dict.fromkeys(names[:4], b"1"), "in.zip": stored({"Forest/x.png": b"1"})}
    unnamed = dict.fromkeys(["README.txt", "LICENSE", "how.pdf", "__MACOSX/._x.jpg"], b"1")
    for name, data in {**named, **unnamed, "deep.zip": DEEP}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    for archive in miniature.iterdir():
        (source / archive.name).write_bytes(archive.read_bytes())
    (report,) = build([source], tmp_path / "out", overview=False)
    found = {p.path.removeprefix(f"{source}/"): p.reason for p in report.of("foreign")}
    assert found.keys() >= {*names, "deep.zip!1.zip!2.zip!3.zip"}
    assert not any(name in path for name in unnamed for path in found)
    assert found["a/scene.JPEG"] == found["in.zip!Forest/x.png"] == "not in the dataset's layout"
    assert "7z" in found["more.zip.002"]
    assert "unpack it" in found["more.7z"]
    assert "inside too many others" in found["deep.zip!1.zip!2.zip!3.zip"]


def test_very_many_files_passed_over_are_counted(miniature, tmp_path, monkeypatch):
    monkeypatch.setattr("satimnet.builder.scanning.passed_over._MOST_NAMED", 3)
    for number in range(10):
        (tmp_path / "s" / "x").mkdir(parents=True, exist_ok=True)
        (tmp_path / "s" / "x" / f"{number}.png").write_bytes(b"1")
    for archive in miniature.iterdir():
        (tmp_path / "s" / archive.name).write_bytes(archive.read_bytes())
    (report,) = build([tmp_path / "s"], tmp_path / "out", overview=False)
    found = [p for p in report.of("foreign") if p.path.endswith(".png")]
    assert [Path(p.path).name for p in found] == ["0.png", "1.png", "2.png", "9.png"]
    assert "nor are 6 more files" in found[-1].reason


ENDINGS = {".tif": ".TIFF", ".jpg": ".Jpeg", ".png": ".PNG", ".txt": ".TXT", ".geojson": ".GEOJSON"}


@pytest.mark.parametrize("name", installed())
def test_endings_do_not_matter_to_any_dataset(name, sources, tmp_path):
    original = Source(tuple(sources[name]), tmp_path / "scratch")
    with original.reader() as reader:
        for entry in original.entries():
            path = tmp_path / "other" / entry.path
            path = path.with_suffix(ENDINGS.get(path.suffix, path.suffix))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(reader.read(entry))
    groups, unknown = recognise([tmp_path / "other"], installed())
    assert (list(groups), unknown) == ([name], [])
    both = [list(installed()[name].scan(source)) for source in (original, groups[name])]
    expected, found = ({s.id: s for s in some if isinstance(s, Sample)} for some in both)
    assert found.keys() == expected.keys()
    for id, sample in found.items():
        assert (sample.classes, sample.split) == (expected[id].classes, expected[id].split)
        assert [m.path for m in sample.members] == [m.path for m in expected[id].members]


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/B.JPG", "a/B.jpg"),
        ("a/b.jpeg", "a/b.jpg"),
        ("a/b.TIFF", "a/b.tif"),
        ("a.TIF/README", "a.TIF/README"),
        ("a/x.tar.GZ", "a/x.tar.gz"),
        ("name", "name"),
        ("a.GeoJSON", "a.geojson"),
    ],
)
def test_endings_are_alike(path, expected):
    assert layout_path(path) == expected


def test_what_systems_leave_behind_is_not_listed(tmp_path):
    names = ["__MACOSX/a/._x.jpg", "a/._x.zip", "a/.DS_Store", "a/Thumbs.db", "a/x.jpg"]
    (tmp_path / "a.zip").write_bytes(stored(dict.fromkeys(names, b"1")))
    for name in names:
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    for source, expected in ((tmp_path / "a.zip", "a/a/x.jpg"), (tmp_path / "folder", "a/x.jpg")):
        assert [entry.path for entry in Source((source,)).entries()] == [expected]
