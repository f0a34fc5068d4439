"""Headers of tars: those of plain files, many at a time; what is unusual is left to tarfile.

BigEarthNet has 7.7 million files in one tar, and tarfile makes an object of each header.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.scanning.unpacking import ENDLESS, Inflated, Window

_TOGETHER = 1024
# POSIX ustar (IEEE Std 1003.1, pax); the texts end at the first zero
_HEADER = np.dtype(
    [
        *(("name", "S100"), ("who", "V24"), ("size", "S12"), ("mtime", "S12")),
        *(("checksum", "S8"), ("kind", "S1"), ("link", "V100"), ("magic", "S8")),
        *(("owner", "V80"), ("prefix", "S155"), ("rest", "V12")),
    ]
)
_CHECKSUM = slice(148, 156)
_DIGITS = {8: 6, 12: 11}
"""By the bytes of a field the digits that nearly all writers put there; a zero follows."""
_MANY = 16  # fields that are sooner read as one array
_KIND = slice(156, 157)
_MAGIC = slice(257, 262)
_SIZE = slice(124, 136)


@dataclass(frozen=True, slots=True)
class PlainFiles:
    """Files that follow each other in a tar; one list for each of their properties."""

    names: list[str]
    sizes: list[int]
    offsets: list[int]
    """Where their data begin."""
    mtimes: list[int]
    end: int
    """Where the next header is."""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All files of several of them, one after the other."""
        lists = [(part.names, part.sizes, part.offsets, part.mtimes) for part in parts]
        names, sizes, offsets, mtimes = (list(chain(*column)) for column in zip(*lists))
        return cls(names, sizes, offsets, mtimes, parts[-1].end)


def plain_files(window: Window, start: int, tar: tarfile.TarFile, reach: int) -> PlainFiles:
    """The files from ``start`` on whose headers say all, up to the first header that does not.

    They are what tarfile makes of them.

    Args:
        window: the tar.
        start: where the first header is.
        tar: knows how names are encoded.
        reach: bytes from the first header to the last one that is read.
    """
    headers, sizes, offsets = _chain(window.block, start, start + reach)
    fields = np.frombuffer(b"".join(headers), _HEADER)
    fields = fields[: _count_of_sound(fields)]
    mtimes = _numbers(fields["mtime"])  # up to one that is too large for digits
    count = len(mtimes)
    names = fields["name"].tolist()[:count]
    prefixes = fields["prefix"].tolist()[:count]
    if any(prefixes):
        names = [
            _text(p) + b"/" + _text(n) if _text(p) else n
            for p, n in zip(prefixes, names, strict=True)
        ]
    joined = b"\0".join(names)
    if joined.count(b"\0") >= count:  # something stands behind the zero at the end of a name
        joined = b"\0".join(map(_text, names))
    text = joined.decode(tar.encoding or "utf-8", tar.errors or "strict")
    end = offsets[count - 1] + sizes[count - 1] if count else start
    end += -end % tarfile.BLOCKSIZE
    return PlainFiles(
        text.split("\0") if count else [], sizes[:count], offsets[:count], mtimes, end
    )


def tar_members(
    tar: tarfile.TarFile, window: Window, *, forward: bool = False
) -> Iterator[tarfile.TarInfo | PlainFiles]:
    """The members of a tar, plain files many at a time.

    Args:
        tar: it, of which nothing was read yet.
        window: its file.
        forward: whether that is a stream, in which what is more than `Inflated.BACK` bytes back
            cannot be read again.
    """
    reach = Inflated.BACK if forward else ENDLESS
    member = tar.next()
    while member is not None:
        # Those of BigEarthNet's 7.7 million files would take 8 GB; typeshed does not know them.
        tar.members.clear()  # type: ignore[attr-defined]
        yield member
        while not tar.pax_headers:  # those of the archive hold for what follows
            found = plain_files(window, tar.offset, tar, reach)
            if not found.names:
                break
            tar.offset = found.end
            yield found
        window.renew()
        member = tar.next()


def _chain(
    block: Callable[[int], bytes], at: int, end: int
) -> tuple[list[bytes], list[int], list[int]]:
    """Headers of files with their sizes and the places of their data, each header found by the one
    before it."""
    headers: list[bytes] = []
    sizes: list[int] = []
    offsets: list[int] = []
    for _ in range(_TOGETHER):
        if at > end:
            break
        header = block(at)
        if header[_KIND] != tarfile.REGTYPE or header[_MAGIC] != b"ustar" or len(header) < 512:
            break
        try:
            size = int(header[_SIZE].partition(b"\0")[0], 8)
        except ValueError:  # a number too large for digits
            break
        if size < 0:
            break
        at += tarfile.BLOCKSIZE
        headers.append(header)
        sizes.append(size)
        offsets.append(at)
        at += size + -size % tarfile.BLOCKSIZE
    return headers, sizes, offsets


def _count_of_sound(headers: NDArray[np.void]) -> int:
    """How many of the headers, from the first on, have the right checksum."""
    content = headers.view(np.uint8).reshape(len(headers), tarfile.BLOCKSIZE)
    sums = content.sum(axis=1, dtype=np.uint32) - content[:, _CHECKSUM].sum(axis=1, dtype=np.uint32)
    expected = _numbers(headers["checksum"])
    right = sums[: len(expected)] + 8 * ord(" ") == expected
    return len(expected) if right.all() else int(right.argmin())


def _numbers(fields: NDArray[np.bytes_]) -> list[int]:
    """The numbers in octal digits, up to the first field that is none."""
    if len(fields) >= _MANY:
        letters = np.ascontiguousarray(fields).view(np.uint8).reshape(len(fields), -1)
        count = _DIGITS[fields.itemsize]
        digits = letters[:, :count] - ord("0")
        if (digits < 8).all() and not letters[:, count].any():
            numbers: list[int] = (digits @ 8 ** np.arange(count)[::-1]).tolist()
            return numbers
    found = []
    for field in fields.tolist():
        try:
            found.append(int(_text(field), 8))
        except ValueError:
            break
    return found


def _text(field: bytes) -> bytes:
    """A text without what stands behind the zero at its end."""
    return field.partition(b"\0")[0]
