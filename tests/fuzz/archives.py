"""Sources as folders, zips and tars, sound ones and spoilt ones."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from .sources import Files
from .texts import BYTES

_BOMB = 300 * 2**20  # bytes of a member that is all zeros


def strange_names(name: str, outside: Path) -> list[str]:
    """Names that lead out of where they are unpacked to, or that nobody should have to print."""
    last = name.rpartition("/")[2]
    return [
        f"../../../{last}",
        f"a/../../../{name}",
        f"{outside}/{last}",
        f"//{name}",
        f"..\\..\\{last}",
        f"C:\\{last}",
        f"c:{name}",
        f"\\\\host\\share\\{last}",
        f"{name}\0.txt",
        f"./{name}",
        f"a//b/./{name}",
        name.replace(".", "\n.", 1),
        name.replace("/", "/\x1b[2J\r", 1),
        f"\u202e{name}",
        f"{'d/' * 2000}{name}",
        f"{name}{'x' * 300}",
        "x" * 60_000,
        name.upper(),
        f"{name} ",
        f"{name}/",
        "",
        ".",
        f"nested/{last}.zip",
        f"%2e%2e/{name}",
        f"e\u0301/{name}",
    ]


# --- zip (APPNOTE 6.3.10) -----------------------------------------------------------------------


@dataclass
class _Member:
    """What the directory of a zip says of a member; ``data`` is what lies there."""

    name: bytes
    data: bytes
    method: int
    flags: int
    checksum: int
    size: int
    stored: int
    mode: int = 0o100644
    shift: int = 0
    """Bytes by which the directory misses the member."""
    extra: bytes = b""
    version: int = 20
    """Of zip, needed to unpack it."""


def _member(name: str, data: bytes, *, deflate: bool = True) -> _Member:
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    stored = packer.compress(data) + packer.flush() if deflate else data
    flags = 0 if name.isascii() else 1 << 11
    encoded = name.encode("utf-8", "surrogatepass")
    return _Member(encoded, stored, 8 * deflate, flags, zlib.crc32(data), len(data), len(stored))


@lru_cache(1)
def _bomb() -> _Member:
    return _member("bomb", bytes(_BOMB))


def _zip(members: list[_Member], start: bytes = b"", comment: bytes = b"") -> bytes:
    out, central = bytearray(start), bytearray()
    for m in members:
        offset = max(0, len(out) + m.shift) % 2**32
        sizes = m.checksum % 2**32, m.stored % 2**32, m.size % 2**32
        common = struct.pack("<HHHHIIIHH", m.flags, m.method, 0, 0x21, *sizes, len(m.name), 0)
        out += b"PK\3\4" + struct.pack("<H", 20) + common + m.name + m.data
        central += b"PK\1\2" + struct.pack("<HH", 0x0314, m.version) + common[:-2]
        central += struct.pack("<HHHHII", len(m.extra), 0, 0, 0, m.mode << 16, offset)
        central += m.name + m.extra
    place = len(out)
    out += central
    number = len(members) % 2**16
    out += b"PK\5\6" + struct.pack(
        "<HHHHIIH", 0, 0, number, number, len(central), place, len(comment)
    )
    return bytes(out + comment)


def zipped(files: Files) -> bytes:
    """A sound zip of these files."""
    return _zip([_member(name, data) for name, data in files.items()])


_ZIP_FAULTS = (
    *("name", "name bytes", "link", "twice", "encrypted", "size", "method", "version", "place"),
    *("overlap", "bomb", "extra", "directory", "start", "bytes", "nested", "many"),
)


def spoilt_zip(rng: Random, files: Files, outside: Path) -> tuple[str, bytes]:
    """What is wrong with it, and a zip of which that is so."""
    members = [_member(n, d, deflate=rng.random() < 0.8) for n, d in files.items()]
    at = rng.randrange(len(members))
    chosen = members[at]
    what = rng.choice(_ZIP_FAULTS)
    match what:
        case "name":
            name = rng.choice(strange_names(chosen.name.decode(), outside))
            chosen.name, chosen.flags = name.encode()[: 2**16 - 1], 1 << 11
            if rng.random() < 0.5:
                members.insert(at, _member(next(iter(files)), next(iter(files.values()))))
        case "name bytes":
            chosen.name = rng.choice((b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\xae/")) + chosen.name
            chosen.flags = rng.choice((0, 1 << 11))
        case "link":
            target = rng.choice((str(outside), "..", chosen.name.decode(), "/dev/zero"))
            members.append(_member(rng.choice((chosen.name.decode(), "link")), target.encode()))
            members[-1].mode = rng.choice((0o120777, 0o020666, 0o010666, 0o140666, 0o040755))
        case "twice":
            members += [chosen] * rng.choice((1, 50))
        case "encrypted":
            chosen.flags |= rng.choice((1, 1 | 1 << 6, 1 << 13, 1 << 5))
        case "size":
            field = rng.choice(("size", "stored", "checksum"))
            value = rng.choice(
                (0, 1, chosen.size - 1, chosen.size + 1, 2**30, 2**32 - 2, 2**32 - 1)
            )
            setattr(chosen, field, value)
        case "method":
            chosen.method = rng.choice((0, 1, 6, 8, 9, 12, 14, 93, 95, 98, 99, 65_535))
        case "version":
            chosen.version = rng.choice((0, 45, 63, 64, 255, 65_535))
        case "place":
            chosen.shift = rng.choice((-1, 1, -30, 10**6, 2**31, -(10**6)))
        case "overlap":  # all entries of the directory share one member
            for other in members[:at]:
                other.data, other.stored, other.size = b"", chosen.stored, chosen.size
                other.checksum, other.method = chosen.checksum, chosen.method
        case "bomb":
            name = rng.choice((chosen.name.decode(), "bomb.txt"))
            bomb = _bomb()
            members[at:at] = [
                _Member(name.encode(), bomb.data, 8, 0, bomb.checksum, size, bomb.stored)
                for size in rng.choice(((bomb.size,), (1000,), (2**32 - 2,), (bomb.size,) * 3))
            ]
        case "extra":
            zip64 = struct.pack("<HHQQQ", 1, 24, *rng.choices((0, 1, 2**31, 2**63, 2**64 - 1), k=3))
            other_name = struct.pack("<HHBI", 0x7075, 9, 1, zlib.crc32(chosen.name)) + b"../x"
            chosen.extra = rng.choice((zip64, other_name, b"\1", b"\xff" * 5000, zip64[:-3]))
            if rng.random() < 0.7:
                chosen.size = chosen.stored = 2**32 - 1
        case "start":
            return what, _zip(
                members, start=rng.choice((b"MZ" + bytes(500), b"PK\5\6" + bytes(18)))
            )
        case "nested":
            inner = _zip(members)
            for _ in range(rng.choice((1, 30))):
                inner = _zip([_member("inner.zip", inner, deflate=False)])
            return what, inner
        case "many":
            members += [_member(f"{n}", b"", deflate=False) for n in range(20_000)]
        case "directory" | "bytes":
            data = _zip(members, comment=rng.choice((b"", b"PK\5\6" + bytes(60))))
            if what == "bytes":
                return what, BYTES[rng.choice(list(BYTES))](rng, data)
            end = data.rfind(b"PK\5\6", 0, len(data) - 21) if rng.random() < 0.2 else -1
            end = end if end >= 0 else data.rfind(b"PK\5\6")
            spoilt = bytearray(data)
            place, kind = rng.choice(
                ((4, "H"), (8, "H"), (10, "H"), (12, "I"), (16, "I"), (20, "H"))
            )
            limit = 2 ** (8 * struct.calcsize("<" + kind))
            value = rng.choice((0, 1, limit - 1, rng.randrange(limit)))
            if end + place + 4 <= len(spoilt):
                struct.pack_into("<" + kind, spoilt, end + place, value)
            return what, bytes(spoilt)
    return what, _zip(members)


# --- tar (POSIX pax, GNU) -----------------------------------------------------------------------


def tarred(files: Files) -> bytes:
    """A sound tar of these files."""
    return _tar([(_info(name, len(data)), data) for name, data in files.items()])


def _info(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info


def _tar(members: list[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, errors="surrogateescape") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


_TYPES = (
    *(tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE),
    *(tarfile.DIRTYPE, tarfile.CONTTYPE, b"S", b"V", b"Z", b"L", b"K", b"x", b"g", b"X", b"\0"),
)
_FIELDS = {"mode": (100, 8), "size": (124, 12), "mtime": (136, 12), "type": (156, 1)}
_FIELDS |= {"magic": (257, 8), "prefix": (345, 155), "sparse": (386, 24), "real size": (483, 12)}


def spoilt_tar(rng: Random, files: Files, outside: Path) -> tuple[str, bytes]:
    """What is wrong with it, and a tar of which that is so."""
    members = [(_info(name, len(data)), data) for name, data in files.items()]
    at = rng.randrange(len(members))
    info, _ = members[at]
    form = rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    what = rng.choice(("name", "type", "twice", "header", "pax", "sparse", "end", "bytes", "many"))
    match what:
        case "name":
            info.name = rng.choice(strange_names(info.name, outside)) or "x"
        case "type":
            link = _info(rng.choice((info.name, "link")), 0, rng.choice(_TYPES))
            link.linkname = rng.choice((str(outside), "..", "/dev/zero", info.name, "link", ""))
            members.insert(rng.choice((at, at + 1)), (link, b""))
        case "twice":
            members += [members[at]] * rng.choice((1, 50))
        case "header":
            return what, _spoilt_header(rng, _tar(members, form))
        case "pax":
            form = tarfile.PAX_FORMAT
            info.pax_headers = rng.choice(
                (
                    {"size": "9" * 30},
                    {"size": "-1"},
                    {"size": "1e3"},
                    {"size": "nan"},
                    {"path": "../../x.tif"},
                    {"path": "x" * 3_000_000},
                    {"mtime": "1e400"},
                    {"mtime": "nan"},
                    {
                        "GNU.sparse.major": "1",
                        "GNU.sparse.minor": "0",
                        "GNU.sparse.name": info.name,
                    },
                    {"GNU.sparse.map": "0,1,99999999999,5", "GNU.sparse.size": "9" * 15},
                    {"GNU.sparse.size": "1e9", "GNU.sparse.numblocks": "9" * 12},
                    {f"key{n}": "v" * 50 for n in range(5000)},
                    {"hdrcharset": "BINARY", "path": "é\n"},
                )
            )
        case "sparse":
            info.type = tarfile.GNUTYPE_SPARSE
        case "end":
            whole = _tar(members, form)
            end = len(whole.rstrip(b"\0"))
            cut = rng.choice((end, end - 1, end + 512, max(512, end - rng.randrange(end))))
            return what, whole[:cut] + rng.choice((b"", rng.randbytes(5000), whole))
        case "bytes":
            return what, BYTES[rng.choice(list(BYTES))](rng, _tar(members, form))
        case "many":
            members += [(_info(f"{n}", 0), b"") for n in range(1000)]
    return what, _tar(members, form)


def _spoilt_header(rng: Random, data: bytes) -> bytes:
    """A field of a header is strange, its checksum is right."""
    starts = [m for m in range(0, len(data), 512) if data[m + 257 : m + 262] == b"ustar"]
    start = rng.choice(starts)
    block = bytearray(data[start : start + 512])
    at, size = _FIELDS[rng.choice(list(_FIELDS))]
    values = (b"\x80" + b"\xff" * 11, b"\xff" * 12, b"7" * 12, b"-1", b"\x80" + bytes(10) + b"\1")
    value = rng.choice(
        (*values, b"", b"9999", bytes(size), rng.randbytes(size), rng.choice(_TYPES))
    )
    block[at : at + size] = value[:size].ljust(size, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:start] + block + data[start + 512 :]


def spoilt_gzip(rng: Random, tar: bytes) -> tuple[str, bytes]:
    """What is wrong with it, and a gzip file of which that is so."""
    packed = gzip.compress(tar, 1, mtime=0)
    what = rng.choice(("cut", "bytes", "members", "behind", "checksum", "bomb", "head"))
    match what:
        case "cut":
            packed = packed[: rng.choice((0, 1, 10, 18, len(packed) // 2, len(packed) - 1))]
        case "bytes":
            packed = BYTES[rng.choice(list(BYTES))](rng, packed)
        case "members":
            half = len(tar) // 1024 * 512
            packed = gzip.compress(tar[:half], 1) + gzip.compress(tar[half:], 1)
        case "behind":
            packed += rng.choice((bytes(1000), rng.randbytes(1000), packed))
        case "checksum":
            packed = packed[:-8] + rng.randbytes(8)
        case "bomb":
            packed = gzip.compress(tar + bytes(_BOMB), 1)
        case "head":
            packed = packed[:3] + bytes([rng.choice((1, 4, 8, 16, 0xE0, 0xFF))]) + packed[4:]
    return what, packed


# --- folders ------------------------------------------------------------------------------------


def write_folder(files: Files, folder: Path) -> None:
    """Writes files as they are; names that no file system has are left out."""
    for name, data in files.items():
        path = folder / name.lstrip("/")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except (OSError, ValueError):
            continue


_FOLDER_FAULTS = (
    *("name", "bytes in name", "bytes above", "link out", "link within", "loop", "pipe", "folder"),
    *("sparse", "deep", "archive", "empty folder", "gone"),
)


def spoil_folder(rng: Random, files: Files, folder: Path, outside: Path) -> str:
    """Makes something strange of a folder that was written; returns what."""
    path = folder / rng.choice(list(files))
    what = rng.choice(_FOLDER_FAULTS)
    try:
        match what:
            case "name":
                names = ("\n.tif", "\x1b[31m.tif", " .png", "x" * 250, "a\rb.jpg", "\u202etif.a")
                path.rename(path.with_name(rng.choice(names)))
            case "bytes in name":
                os.rename(
                    path, os.fsencode(path.parent) + b"/\xff\xfe\xed\xa0\x80" + path.suffix.encode()
                )
            case "bytes above":
                os.rename(path.parent, os.fsencode(path.parent.parent) + b"/\xff\n")
            case "link out":
                path.unlink()
                path.symlink_to(rng.choice((outside / "secret.txt", outside, Path("/dev/zero"))))
            case "link within":
                path.rename(path.with_name("moved"))
                path.symlink_to(rng.choice(("moved", ".", path.name)))
            case "loop":
                path.with_name("loop").symlink_to("..", target_is_directory=True)
            case "pipe":
                path.unlink()
                os.mkfifo(path)
            case "folder":
                path.unlink()
                path.mkdir()
            case "empty folder":
                path.with_name("x.zip").mkdir()
            case "sparse":
                size = rng.choice((2**29, 2**29 + 1, 2**40))
                for name in rng.choice(([path], [folder / name for name in files])):
                    os.truncate(name, size)
            case "deep":
                at = folder
                for _ in range(rng.choice((50, 400))):
                    at = at / "d"
                at.mkdir(parents=True)
                path.rename(at / path.name)
            case "archive":
                data = rng.choice((b"", b"PK\5\6" + bytes(18), rng.randbytes(1000)))
                path.with_suffix(rng.choice((".zip", ".tar", ".tar.gz"))).write_bytes(data)
            case "gone":
                path.unlink()
    except OSError:  # the file's name was spoilt before, it is not there
        return f"{what} (not possible)"
    return what
