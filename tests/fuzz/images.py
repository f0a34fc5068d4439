"""Spoilt images: TIFF directories, PNG chunks, JPEG segments, and bombs of each."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from .texts import Spoil

_SIDES = (0, 1, 2, 63, 65, 5000, 60_000, 65_535, 2**31 - 1, 2**31, 2**32 - 1)
_REALS = (float("nan"), float("inf"), -float("inf"), 0.0, 1e308, -1e308, 1e-320, 180.0, 1e7, -90.1)

# --- TIFF ---------------------------------------------------------------------------------------

_TAGS = (
    *(254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 284, 296, 301, 317, 320),
    *(322, 323, 324, 325, 330, 338, 339, 347, 512, 513, 514, 530, 700, 33432, 33550, 33922),
    *(34264, 34665, 34675, 34735, 34736, 34737, 42112, 42113, 50844, 50909, 65535, 0),
)
_COMPRESSIONS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34661, 34712, 34887, 34925, 50000, 50001)
_WORTH = (0, 1, 2, 3, 4, 7, 8, 16, 24, 32, 63, 64, 65, 255, 4096, 60_000, 65_535)


@dataclass
class _Tiff:
    """A classic TIFF file whose first directory can be changed."""

    data: bytearray
    endian: str
    entries: list[list[int]]
    """Tag, type, count, value or offset."""

    @classmethod
    def of(cls, data: bytes) -> _Tiff | None:
        """None if it is none, or spoilt already."""
        endian = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4], "")
        try:
            (start,) = struct.unpack_from(endian + "I", data, 4)
            (count,) = struct.unpack_from(endian + "H", data, start)
            entries = [
                list(struct.unpack_from(endian + "HHII", data, start + 2 + 12 * at))
                for at in range(count)
            ]
        except struct.error:
            return None
        return cls(bytearray(data), endian, entries) if endian else None

    def append(self, value: bytes) -> int:
        """The place of a value at the end of the file."""
        self.data += bytes(len(self.data) % 2) + value
        return len(self.data) - len(value)

    def file(self, following: int = 0, count: int | None = None) -> bytes:
        """The file with its directory, now the last thing in it."""
        number = len(self.entries) if count is None else count
        rows = (struct.pack(self.endian + "HHII", *entry) for entry in self.entries)
        directory = struct.pack(self.endian + "H", number % 2**16) + b"".join(rows)
        start = self.append(directory + struct.pack(self.endian + "I", following % 2**32))
        struct.pack_into(self.endian + "I", self.data, 4, start)
        return bytes(self.data)


def _tiff_entry(rng: Random, data: bytes) -> bytes:
    tiff = _Tiff.of(data)
    if tiff is None or not tiff.entries:
        return data
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        entry = rng.choice(tiff.entries)
        match rng.randrange(5):
            case 0:
                entry[0] = rng.choice(_TAGS)
            case 1:
                entry[1] = rng.choice((*range(20), 128, 65_535))
            case 2:
                entry[2] = rng.choice((*_WORTH, *_SIDES, 2**28, 2**30))
            case _:
                entry[3] = rng.choice((*_WORTH, *_SIDES, len(data) - 1, len(data)))
    return tiff.file()


def _tiff_size(rng: Random, data: bytes) -> bytes:
    """Width, length, bands, bits, rows a strip, tiles, compression: absurd, but of their type."""
    tiff = _Tiff.of(data)
    if tiff is None:
        return data
    wanted = {256: _SIDES, 257: _SIDES, 277: _WORTH, 258: _WORTH, 278: _SIDES, 322: _SIDES}
    wanted |= {323: _SIDES, 259: _COMPRESSIONS, 339: _WORTH, 262: _WORTH, 284: _WORTH, 317: _WORTH}
    entries = [entry for entry in tiff.entries if entry[0] in wanted]
    for entry in rng.sample(entries, min(len(entries), rng.choice((1, 1, 2, 5)))):
        value = rng.choice(wanted[entry[0]])
        entry[1:] = [4, 1, value] if entry[2] == 1 else [3, 1, value % 2**16]
    if rng.random() < 0.2:  # tiles instead of strips
        tiff.entries += [[322, 4, 1, rng.choice(_SIDES)], [323, 4, 1, rng.choice(_SIDES)]]
        for entry in tiff.entries:
            entry[0] = {273: 324, 279: 325}.get(entry[0], entry[0])
        tiff.entries.sort()
    return tiff.file()


def _tiff_place(rng: Random, data: bytes) -> bytes:
    """Georeference that leads nowhere: scale, tie points, matrix, keys."""
    tiff = _Tiff.of(data)
    if tiff is None:
        return data
    tiff.entries = [entry for entry in tiff.entries if rng.random() < 0.9 or entry[0] < 30_000]

    def set_tag(tag: int, kind: int, letter: str, values: Sequence[float]) -> None:
        tiff.entries = [entry for entry in tiff.entries if entry[0] != tag]
        place = tiff.append(struct.pack(f"{tiff.endian}{len(values)}{letter}", *values))
        tiff.entries.append([tag, kind, len(values), place])

    for _ in range(rng.choice((1, 2, 3))):
        tag = rng.choice((33550, 33922, 34264, 34735, 34735))
        if tag == 34735:
            codes = (
                0,
                1,
                2,
                1024,
                2193,
                3035,
                4326,
                4978,
                5773,
                32633,
                32661,
                32766,
                32767,
                65_535,
            )
            keys = [(1024, 0, 1, rng.choice((0, 1, 2, 3, 32767)))]
            keys += [(1025, 0, 1, rng.choice((0, 1, 2, 3)))]
            for key in rng.sample((2048, 2050, 2052, 2054, 2057, 3072, 3074, 3075, 3076, 4096), 4):
                where = rng.choice((0, 0, 0, 34736, 34737, 34735, 1))
                keys.append((key, where, rng.choice((0, 1, 1, 500)), rng.choice(codes)))
            number = rng.choice((len(keys), len(keys), 0, 65_535))
            flat = [1, 1, rng.choice((0, 1)), number, *(part for key in keys for part in key)]
            set_tag(tag, 3, "H", flat[: rng.choice((len(flat), len(flat), 3, 7))])
        else:
            number = {33550: 3, 33922: 6, 34264: 16}[tag]
            count = rng.choice((number, number, number, 0, 1, 6 * 2000))
            usual = (1.0, 0.0, 10.0, -10.0, 500_000.0, 20.5)
            values = [rng.choice(_REALS if rng.random() < 0.4 else usual) for _ in range(count)]
            set_tag(tag, 12, "d", values)
    if rng.random() < 0.3:
        set_tag(34736, 12, "d", [rng.choice(_REALS) for _ in range(rng.choice((1, 20)))])
    if rng.random() < 0.3:
        text = rng.choice(
            (b"", b"WGS 84|", b"\0", b"a" * 5000, b"ESRI PE String = GEOGCS[", b"\xff|")
        )
        tiff.entries = [entry for entry in tiff.entries if entry[0] != 34737]
        tiff.entries.append([34737, 2, len(text), tiff.append(text)])
    tiff.entries.sort()
    return tiff.file()


def _tiff_chain(rng: Random, data: bytes) -> bytes:
    """Directories that follow themselves, are many, or are no directories."""
    tiff = _Tiff.of(data)
    if tiff is None:
        return data
    match rng.randrange(6):
        case 0:  # itself; where it will lie is known
            here = len(data) + len(data) % 2
            return tiff.file(following=here)
        case 1:
            return tiff.file(following=rng.choice((1, 2, 7, len(data), 2**32 - 1)))
        case 2:
            return tiff.file(count=rng.choice((0, 1, 4097, 65_535)))
        case 3:
            here = len(data) + len(data) % 2
            tiff.entries += [[330, rng.choice((4, 13)), rng.choice((1, 5)), here]]
            tiff.entries.sort()
            return tiff.file()
        case 4:  # a long chain of copies
            first = 0
            for _ in range(rng.choice((5, 70_000 // max(len(tiff.entries), 1)))):
                spoilt = tiff.file(following=first)
                (first,) = struct.unpack_from(tiff.endian + "I", spoilt, 4)
            return spoilt
        case _:
            start = rng.choice((0, 1, 3, 8, len(data) - 3, len(data), 2**32 - 1))
            struct.pack_into(tiff.endian + "I", tiff.data, 4, start)
            return bytes(tiff.data)


def _tiff_tag(rng: Random, data: bytes) -> bytes:
    """A tag more, with a value that its reader may choke on."""
    tiff = _Tiff.of(data)
    if tiff is None:
        return data
    value = rng.choice(
        (
            b"<GDALMetadata>" + b"<Item>" * rng.choice((10, 100_000)),
            b'<GDALMetadata><Item name="SCALE" role="scale" sample="0">nan</Item></GDALMetadata>\0',
            b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><GDALMetadata><Item>&a;</Item></GDALMetadata>\0",
            b"nan\0",
            b"1" * 5000 + b"\0",
            rng.randbytes(768 * 2),
            bytes(1_000_000),
            b"",
        )
    )
    tag = rng.choice(
        (320, 330, 338, 347, 700, 33432, 34675, 42112, 42113, 50844, rng.choice(_TAGS))
    )
    count = rng.choice((len(value), len(value), len(value) // 2, 2**31, 0))
    tiff.entries.append([tag, rng.choice((1, 2, 2, 3, 7)), count, tiff.append(value)])
    if rng.random() < 0.9:
        tiff.entries.sort()
    return tiff.file()


def _tiff_kind(rng: Random, data: bytes) -> bytes:
    return rng.choice((b"II+\0\x08\0\0\0", b"MM\0*", b"MM\0+", b"II\0*", b"IIII")) + data[4:]


def _tiff_bomb(rng: Random, data: bytes) -> bytes:
    """The same kind of image, all zeros, of up to 60,000 x 60,000 pixels, in a small file."""
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.io import MemoryFile

    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    try:
        with MemoryFile(data) as memory, memory.open() as image:
            options = {k: image.profile[k] for k in ("count", "dtype", "crs", "transform")}
    except RasterioError:  # spoilt before
        return data
    side = rng.choice((2000, 5000, 9000, 16_000, 60_000))
    sparse = side > 20_000 or rng.random() < 0.3
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=side,
            height=side,
            compress=rng.choice(("deflate", "lzw", "zstd")),
            interleave="band",
            tiled=rng.random() < 0.5,
            sparse_ok=sparse,
            bigtiff=rng.choice(("yes", "if_safer")),
            **options,
        ):
            pass
        made = bytes(memory.getbuffer())
    return made + bytes(rng.choice((0, 250_000, 1_000_000)))


TIFF: Mapping[str, Spoil] = {
    "TIFF entry": _tiff_entry,
    "TIFF size": _tiff_size,
    "TIFF place": _tiff_place,
    "TIFF chain": _tiff_chain,
    "TIFF tag": _tiff_tag,
    "TIFF kind": _tiff_kind,
}

# --- PNG ----------------------------------------------------------------------------------------

_PNG_START = b"\x89PNG\r\n\x1a\n"
_Chunk = tuple[bytes, bytes]


def _chunks(data: bytes) -> list[_Chunk]:
    found, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def _png(chunks: list[_Chunk]) -> bytes:
    parts = [_PNG_START]
    for kind, content in chunks:
        size, checksum = len(content).to_bytes(4, "big"), zlib.crc32(kind + content)
        parts += [size, kind, content, checksum.to_bytes(4, "big")]
    return b"".join(parts)


def _png_head(rng: Random, data: bytes) -> bytes:
    chunks = _chunks(data)
    if not chunks or len(chunks[0][1]) != 13:
        return data
    head = list(struct.unpack(">IIBBBBB", chunks[0][1]))
    for _ in range(rng.choice((1, 1, 2))):
        field = rng.randrange(7)
        head[field] = (
            rng.choice(_SIDES) if field < 2 else rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        )
    return _png([(b"IHDR", struct.pack(">IIBBBBB", *head)), *chunks[1:]])


def _png_chunk(rng: Random, data: bytes) -> bytes:
    chunks = _chunks(data)
    if not chunks:
        return data
    at = rng.randrange(len(chunks))
    kind, content = chunks[at]
    blown = zlib.compress(bytes(rng.choice((1000, 30_000_000))), 1)
    match rng.randrange(6):
        case 0:
            del chunks[at]
        case 1:
            chunks += [chunks[at]] * rng.choice((1, 10_000))
        case 2:
            rng.shuffle(chunks)
        case 3:
            chunks[at] = kind, rng.choice((b"", rng.randbytes(30), content[: len(content) // 2]))
        case 4:
            chunks[at] = (
                rng.choice((b"IDAT", b"IEND", b"PLTE", b"IHDR", b"\0\0\0\0", b"abcd")),
                content,
            )
        case 5:
            extra = (
                (b"zTXt", b"a\0\0" + blown),
                (b"iCCP", b"a\0\0" + blown),
                (b"iTXt", b"a\0\1\0\0\0" + blown),
                (b"PLTE", rng.randbytes(rng.choice((3, 7, 768, 3000)))),
                (b"tRNS", rng.randbytes(rng.choice((1, 6, 300)))),
                (b"gAMA", bytes(4)),
                (b"cHRM", b"\xff" * 32),
                (b"sBIT", b"\xff" * 3),
                (b"eXIf", rng.randbytes(100)),
                (b"acTL", b"\xff" * 8),
            )
            chunks.insert(rng.choice((1, at)), rng.choice(extra))
    return _png(chunks)


def _png_bomb(rng: Random, data: bytes) -> bytes:
    chunks = _chunks(data)
    if not chunks or len(chunks[0][1]) != 13:
        return data
    _, _, bits, colours, *_ = struct.unpack(">IIBBBBB", chunks[0][1])
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colours, 1)
    side = rng.choice((2000, 5000, 9000, 16_000, 60_000))
    row = 1 + -(-side * samples * bits // 8)
    packer = zlib.compressobj(1)
    rows = packer.compress(bytes(row * min(side, 9000)))  # what lacks is zeros as well, or an error
    if 9000 < side < 20_000:
        rows += packer.compress(bytes(row * (side - 9000)))
    rows += packer.flush()
    head = struct.pack(">IIBBBBB", side, side, bits, colours, 0, 0, rng.choice((0, 0, 1)))
    palette = [chunk for chunk in chunks if chunk[0] == b"PLTE"]
    return _png([(b"IHDR", head), *palette, (b"IDAT", rows), (b"IEND", b"")])


PNG: Mapping[str, Spoil] = {"PNG head": _png_head, "PNG chunk": _png_chunk}

# --- JPEG ---------------------------------------------------------------------------------------

_SEGMENT = re.compile(rb"\xff([\xc0-\xfe])")
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9})


def _segments(data: bytes) -> tuple[list[bytes], bytes]:
    """Segments up to the first scan, each with its marker, and the rest."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        size = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found.append(data[at : at + size])
        at += size
    return found, data[at:]


def _jpeg_frame(rng: Random, data: bytes) -> bytes:
    """Another size, precision, number or sampling of components, or kind of frame."""
    segments, rest = _segments(data)
    for at, segment in enumerate(segments):
        if segment[1] not in _FRAMES or len(segment) < 11:
            continue
        frame = bytearray(segment)
        match rng.randrange(4):
            case 0:
                side = rng.choice([side for side in _SIDES if side < 2**16])
                struct.pack_into(">H", frame, rng.choice((5, 7)), side)
            case 1:
                struct.pack_into(">HH", frame, 5, 65_500, 65_500)
            case 2:
                frame[1] = rng.choice((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC9, 0xCA, 0xCF))
            case 3:
                frame[rng.randrange(4, len(frame))] = rng.choice((0, 1, 4, 8, 12, 255))
        segments[at] = bytes(frame)
    return data[:2] + b"".join(segments) + rest


def _jpeg_segment(rng: Random, data: bytes) -> bytes:
    segments, rest = _segments(data)
    if not segments:
        return data
    at = rng.randrange(len(segments))
    comment = b"\xff\xfe\xff\xff" + bytes(65_533)
    match rng.randrange(7):
        case 0:
            del segments[at]
        case 1:
            segments += [segments[at]] * rng.choice((1, 3000))
        case 2:
            rng.shuffle(segments)
        case 3:
            segments[at] = (
                segments[at][:2] + rng.choice((b"\0\0", b"\0\1", b"\xff\xff")) + segments[at][4:]
            )
        case 4:
            segments.insert(at, rng.choice((comment * 50, b"\xff" * 1_000_000, b"\xff\x01" * 5000)))
        case 5:
            exif = b"Exif\0\0II*\0\x08\0\0\0" + rng.randbytes(200)
            segments.insert(0, b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif)
        case 6:
            rest = rest[: len(rest) // 2] + b"\xff\xd9" + rng.randbytes(rng.choice((0, 1000)))
    return data[:2] + b"".join(segments) + rest


JPEG: Mapping[str, Spoil] = {"JPEG frame": _jpeg_frame, "JPEG segment": _jpeg_segment}

BOMBS: Mapping[str, Spoil] = {".tif": _tiff_bomb, ".png": _png_bomb, ".jpg": _jpeg_frame}
