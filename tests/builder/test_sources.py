"""Sources are read in place, and archives are mistrusted."""

import contextlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satimnet.builder import build
from satimnet.builder.errors import BadFileError, SatimnetError
from satimnet.builder.samples import Problem
from satimnet.builder.scanning.tar_headers import PlainFiles, tar_members
from satimnet.builder.scanning.unpacking import Window
from satimnet.builder.sources import MAX_FILE_SIZE, Reader, Source

FILES = {"a/one.bin": os.urandom(5000), "a/b/two.bin": b"x" * 70_000, "three.txt": b""}


def as_folder(top: Path) -> Path:
    for name, data in FILES.items():
        path = top / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return top / "folder"


def as_zip(top: Path) -> Path:
    with zipfile.ZipFile(top / "files.zip", "w") as archive:
        for at, (name, data) in enumerate(FILES.items()):
            archive.writestr(name, data, [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED][at % 2])
    return top / "files.zip"


def as_tar(top: Path, mode: str = "w", name: str = "files.tar") -> Path:
    with tarfile.open(top / name, mode) as archive:
        for member, data in FILES.items():
            info = tarfile.TarInfo("./" + member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return top / name


def as_targz(top: Path) -> Path:
    return as_tar(top, "w:gz", "files.tar.gz")


def as_nested(top: Path) -> Path:
    folder = top / "nested" / "part"
    folder.mkdir(parents=True)
    as_zip(folder)
    return folder.parent


@pytest.mark.parametrize(
    ("make", "prefix"),
    [
        (as_folder, ""),
        (as_zip, "files/"),
        (as_tar, "files/"),
        (as_targz, "files/"),
        (as_nested, "part/files/"),
    ],
)
def test_all_forms_give_the_same_files(make, prefix, tmp_path):
    """An archive counts as a folder of its name, wherever it lies."""
    source = Source((make(tmp_path),), tmp_path / "indexes")
    entries = list(source.entries())
    with source.reader() as reader:
        # backwards, so that nothing depends on reading in order
        read = {entry.path: reader.read(entry) for entry in reversed(entries)}
    assert read == {prefix + name: data for name, data in FILES.items()}
    assert [entry.size for entry in entries] == [len(read[entry.path]) for entry in entries]


LONG = "/".join(f"folder{at:02}" for at in range(20))  # two fields of a ustar header
KINDS = [tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE]
NAMES = ["./a.tif", "b", "ä/ö.tif", "\udcff.tif", LONG, LONG + "/" + "x" * 120, "a" * 100]


@settings(max_examples=150, deadline=None)
@given(
    members=st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from(KINDS),
            st.integers(0, 3000),
            st.sampled_from([0, 1.5, 2**31, 2**40, -5]),
        ),
        max_size=12,
    ),
    form=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    whole=st.booleans(),
    harm=st.none() | st.tuples(st.integers(0, 20_000), st.integers(0, 255)),
)
def test_plain_tar_headers_are_read_as_tarfile_reads_them(members, form, whole, harm):
    packed = io.BytesIO()
    headers = {"comment": "of all", "mtime": "7"} if whole else {}
    with tarfile.open(fileobj=packed, mode="w", format=form, pax_headers=headers) as archive:
        for name, kind, size, time in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mtime = kind, size if kind in KINDS[:3] else 0, time
            with contextlib.suppress(ValueError):  # the form cannot say it
                archive.addfile(info, io.BytesIO(bytes(size)))
    data = bytearray(packed.getvalue())
    if harm and harm[0] < len(data):
        data[harm[0]] = harm[1]

    def read(members_of):
        found = []
        try:
            window = Window(io.BytesIO(data), 0, len(data))
            with tarfile.open(fileobj=window, mode="r:") as archive:
                for one in members_of(archive, window):
                    if isinstance(one, PlainFiles):
                        facts = zip(one.names, one.sizes, one.offsets, one.mtimes, strict=True)
                        found.extend((*fact, True, False) for fact in facts)
                        continue
                    at = one.offset_data
                    found.append((one.name, one.size, at, one.mtime, one.isreg(), one.issparse()))
        except (tarfile.TarError, ValueError, OverflowError) as error:
            found.append(type(error))
        return found

    expected = read(lambda archive, _: iter(archive.next, None))
    assert read(tar_members) == expected
    assert read(partial(tar_members, forward=True)) == expected


def test_targz_readers_use_the_index_of_the_scan(tmp_path):
    source = Source((as_targz(tmp_path),), tmp_path / "indexes")
    entries = list(source.entries())
    assert len(list((tmp_path / "indexes").glob("*.gzidx"))) == 1
    with Reader(tmp_path / "indexes") as reader:
        assert reader.read(entries[1]) == FILES[entries[1].member]


def test_seek_points_of_another_targz_are_not_used(tmp_path):
    """Not even while it is listed, when those of its own are yet to be made."""
    path = as_targz(tmp_path)
    source = Source((path,), tmp_path / "indexes")
    list(source.entries())
    (index,) = (tmp_path / "indexes").glob("*.gzidx")
    index.write_bytes(b"of no use any more")
    changed = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == changed:  # the clock of a file system may tick slowly
        path.write_bytes(path.read_bytes())
    with Reader(tmp_path / "indexes") as reader:
        for entry in source.entries():
            assert reader.read(entry) == FILES[entry.member]


def test_entries_change_stamp_with_content(tmp_path):
    before = {e.path: e.stamp for e in Source((as_zip(tmp_path),)).entries()}
    with zipfile.ZipFile(tmp_path / "files.zip", "w") as archive:
        archive.writestr("a/one.bin", FILES["a/one.bin"][::-1])
    after = {e.path: e.stamp for e in Source((tmp_path / "files.zip",)).entries()}
    assert before["files/a/one.bin"] != after["files/a/one.bin"]


UNSAFE = ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "a\\..\\evil"]


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_zip_names_are_refused(name, tmp_path):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fine", b"1")
        archive.writestr(zipfile.ZipInfo(name), b"2")
    with pytest.raises(SatimnetError, match=r"bad\.zip: member .* would leave the archive"):
        list(Source((path,)).entries())


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_tar_names_are_refused(name, tmp_path):
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(SatimnetError, match=r"bad\.tar: member .* would leave the archive"):
        list(Source((path,)).entries())


def test_links_lead_nowhere(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "out").symlink_to(secret)
    (folder / "real").write_text("r")
    (folder / "in").symlink_to(folder / "real")
    with tarfile.open(folder / "links.tar", "w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert [e.path for e in Source((folder,)).entries()] == ["in", "real"]


@pytest.mark.parametrize("make", [as_zip, as_tar, as_targz])
def test_truncated_archives_are_one_line_errors(make, tmp_path):
    path = make(tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(SatimnetError, match=f"{path.name}: .*download it again"):
        list(Source((path,)).entries())


def test_a_damaged_member_is_a_bad_file(tmp_path):
    path = tmp_path / "files.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a", b"0123456789" * 100)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    source = Source((path,))
    with pytest.raises(BadFileError, match=r"files\.zip!a: damaged"):
        source.read(next(source.entries()))


def test_no_more_is_inflated_than_announced(tmp_path):
    """A member that says 10 bytes and holds a gigabyte must not cost a gigabyte."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"\0" * 2**22)
    data = path.read_bytes().replace((2**22).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(data)
    source = Source((path,))
    entry = next(source.entries())
    assert entry.size == 10
    with pytest.raises(BadFileError):
        source.read(entry)


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(SatimnetError, match="nowhere: no such file or folder"):
        list(Source((tmp_path / "nowhere",)).entries())


STRANGE = "a\n\x1b[2J\udcff.bin"  # as Python names a file whose name has the byte 0xff


def test_names_are_printed_on_one_line(tmp_path):
    (tmp_path / STRANGE).write_bytes(b"1")
    with tarfile.open(tmp_path / "strange.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(STRANGE))
    source = Source((tmp_path,))
    file, member = source.entries()
    assert file.path == r"a\n\x1b[2J\udcff.bin"
    assert member.path == f"strange/{file.path}"
    assert file.label.isprintable()
    assert member.label.isprintable()
    assert source.read(file) == b"1"


def test_messages_are_one_line():
    assert str(SatimnetError("no\nlabel\r of é")) == r"no\nlabel\r of é"
    problem = Problem("a\u2028b", "c\x00")
    assert (problem.path, problem.reason) == (r"a\u2028b", r"c\x00")


def test_a_link_to_itself_is_named(tmp_path):
    (tmp_path / "loop.tif").symlink_to("loop.tif")
    with pytest.raises(SatimnetError, match=r"loop\.tif"):
        build([tmp_path], tmp_path.with_name("out"))
    assert not tmp_path.with_name("out").exists()


@pytest.mark.parametrize("header", [{"mtime": "inf"}, {"mtime": "nan"}, {"size": "-1"}])
def test_absurd_numbers_in_a_tar_are_one_line_errors(header, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a")
        member.pax_headers = header
        archive.addfile(member)
    with pytest.raises(SatimnetError, match=r"a\.tar: not a whole archive"):
        list(Source((tmp_path / "a.tar",)).entries())


def test_a_zip_of_a_version_that_nobody_knows(tmp_path):
    path = as_zip(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 6] = 200
    path.write_bytes(data)
    with pytest.raises(SatimnetError, match="not a whole archive"):
        list(Source((path,)).entries())


def test_files_beyond_the_limit_are_not_read(tmp_path):
    (tmp_path / "a").touch()
    os.truncate(tmp_path / "a", MAX_FILE_SIZE + 1)
    source = Source((tmp_path,))
    with pytest.raises(BadFileError, match=r"over the limit 536870912; .*max_scene_size sets it"):
        source.read(next(source.entries()))


READ = """
import sys
from functools import partial
from pathlib import Path
from satimnet.builder.sources import Reader, Source
(entry,) = Source((Path(sys.argv[1]),)).entries()
with Reader(largest=int(sys.argv[2])) as reader:
    data = reader.read(entry)
print(len(data), data[:5], data[-4:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_files_of_more_than_one_call_of_the_system_are_read_whole(tmp_path, packed):
    (tmp_path / "a").write_bytes(b"first")
    os.truncate(tmp_path / "a", size := 2**31 + 5)
    with (tmp_path / "a").open("r+b") as file:
        file.seek(size - 4)
        file.write(b"last")
    if packed:
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            archive.add(tmp_path / "a", "a")
        (tmp_path / "a").unlink()
    # in a process of its own, for others are asked how much memory they have taken
    code = [sys.executable, "-c", READ, str(tmp_path), str(size)]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{size} b'first' b'last'"


def test_a_name_that_never_ends_is_shortened_in_messages(tmp_path):
    path = tmp_path / "files.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("d/" * 30_000 + "a.tif", b"1")
    source = Source((path,))
    (entry,) = source.entries()
    assert entry.path.endswith("d/d/a.tif")
    assert len(entry.label) < 600
    assert entry.label.startswith(f"{path}!d/d/"[:200])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../" * 20_000 + "a.tif", b"1")
    with pytest.raises(SatimnetError) as refused:
        list(source.entries())
    assert len(str(refused.value)) < 1000
