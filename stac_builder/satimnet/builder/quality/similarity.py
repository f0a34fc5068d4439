"""Which images show the same, though coding, brightness, size or a shift differ.

Works on small copies (see `satimnet.builder.quality.pixel_statistics.small_copy`) in three steps,
none of which compares all with all:

1. Marks: perceptual hashes of the whole image and of windows around its most conspicuous points.
   Their 64 bits are the signs of the lowest frequencies of the discrete cosine transform, as in
   pHash (C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010).
2. Candidates: marks that differ in few bits, found by multi-index hashing: two hashes of four
   16-bit parts that differ in at most three bits have a part in common (M. Norouzi, A. Punjani,
   D. J. Fleet, Fast Search in Hamming Space with Multi-Index Hashing, CVPR 2012). The places of
   the windows say how the images are shifted.
3. Agreement: the correlation of the images where they overlap, which decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from satimnet.builder.quality.pixel_statistics import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Stack = NDArray[np.float32]

POINTS = 16
"""The number of conspicuous points of an image whose windows are marks."""
WINDOW = 16
"""Pixels a side of a window, and of the whole image as it is marked."""
MOST_BITS = 4
"""The most bits in which the hashes of candidates differ."""

_EDGE = WINDOW // 2
_APART = 3  # pixels between two points, at least
_PARTS, _PART_BITS = 4, 16
_MOST_NEIGHBOURS = 1000
"""The most marks with a common part that each is compared with; only flat windows have more."""
_BATCH = 512  # images at a time
_AROUND = 9
"""Pixels a side of the window that the brightness of a pixel is compared with. With a larger one,
the halo of a straight edge, which any field has, would make everything correlate."""
_BLOCKS = 3  # blocks a side that the overlap is divided into
_LEAST_SHARE = 0.15  # of an image; with less in common, blocks are too small
_SEARCH = 1  # pixels around the shift that two marks suggest
_HOPELESS = 0.3  # below this correlation at the shift of two marks, there is no search around it
_PROMISING = 0.5  # below this correlation of the whole overlap, blocks are not compared


@dataclass(frozen=True, slots=True)
class Marks:
    """Perceptual hashes of parts of images."""

    hashes: NDArray[np.uint64]
    images: NDArray[np.int32]
    """Number of the image that each belongs to."""
    places: NDArray[np.int8]
    """Centre of its window (mark, yx); the same of all marks of whole images."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs of images that may show the same."""

    pairs: Numbers
    """(pair, 2): numbers of the images, the smaller one first."""
    shifts: Numbers
    """(pair, yx): pixel (y, x) of the second would be (y, x) + shift of the first."""


@dataclass(frozen=True, slots=True)
class Similar:
    """Two images that may show the same."""

    first: int
    second: int
    agreement: float
    """See `agreement`."""
    share: float
    """Of an image, that the other shows too."""
    shift: tuple[int, int]
    """Pixel (y, x) of the second is pixel (y, x) + shift of the first, in small copies."""


def find_similar(copies: NDArray[np.uint8], chosen: Numbers) -> list[Similar]:
    """Pairs of images that may show the same, in order; the caller judges how well they agree.

    Args:
        copies: Small copies of all images, uint8 (image, y, x).
        chosen: Numbers of the images to compare.
    """
    best: dict[tuple[int, int], Similar] = {}
    for pair in _compared(copies, candidates(mark(copies, chosen))):
        key = pair.first, pair.second
        if key not in best or pair.agreement > best[key].agreement:
            best[key] = pair
    return [pair for _, pair in sorted(best.items())]


def mark(copies: NDArray[np.uint8], chosen: Numbers) -> Marks:
    """The marks of the ``chosen`` images: one of the whole and `POINTS` of windows each."""
    basis = _basis()
    weights = np.uint64(1) << np.arange(64, dtype=np.uint64)
    hashes, images, places = [], [], []
    for start in range(0, len(chosen), _BATCH):
        numbers = chosen[start : start + _BATCH]
        stack = copies[numbers].astype(np.float32)
        points = _conspicuous(stack)
        windows = sliding_window_view(_blurred(stack, 3), (WINDOW, WINDOW), (1, 2))
        at = np.arange(len(stack))[:, None]
        cut = windows[at, points[..., 0] - _EDGE, points[..., 1] - _EDGE]
        step = SIDE // WINDOW
        whole = stack.reshape(len(stack), WINDOW, step, WINDOW, step).mean((2, 4))
        parts = np.concatenate([whole[:, None], cut], axis=1).reshape(-1, WINDOW * WINDOW)
        hashes.append(((parts @ basis > 0) * weights).sum(1, dtype=np.uint64))
        images.append(np.repeat(numbers.astype(np.int32), POINTS + 1))
        centre = np.full((len(stack), 1, 2), -1)
        places.append(np.concatenate([centre, points], axis=1).astype(np.int8).reshape(-1, 2))
    if not hashes:
        return Marks(np.empty(0, np.uint64), np.empty(0, np.int32), np.empty((0, 2), np.int8))
    return Marks(np.concatenate(hashes), np.concatenate(images), np.concatenate(places))


def _basis() -> Stack:
    """The 64 lowest frequencies of the cosine transform of a window, (pixel, frequency)."""
    at = np.arange(WINDOW)
    waves = np.cos(np.pi / WINDOW * (at + 0.5) * at[:, None])
    low = sorted((u + v, u, v) for u in range(WINDOW) for v in range(WINDOW) if u + v)[:64]
    return np.stack([np.outer(waves[u], waves[v]).ravel() for _, u, v in low], 1).astype(np.float32)


def _conspicuous(stack: Stack) -> NDArray[np.int64]:
    """The `POINTS` points (image, point, yx) that differ most from what is around them."""
    contrast = np.abs(_blurred(stack, 3) - _blurred(stack, 9))
    inner = slice(_EDGE, SIDE - _EDGE + 1)
    peaks = contrast == _dilated(contrast, 2 * _APART + 1)
    values = np.where(peaks, contrast, 0)[:, inner, inner]
    flat = values.reshape(len(values), -1)
    top = np.argpartition(-flat, POINTS, axis=1)[:, :POINTS]
    return np.stack(np.divmod(top, values.shape[2]), axis=-1) + _EDGE


def _blurred(stack: Stack, size: int) -> Stack:
    """The mean over ``size`` x ``size`` pixels, mirrored at the edges; size is odd."""
    return _slid(stack, size, np.add) * np.float32(1 / size**2)


def _dilated(stack: Stack, size: int) -> Stack:
    """The largest value of ``size`` x ``size`` pixels; size is odd."""
    return _slid(stack, size, np.maximum)


def _slid(stack: Stack, size: int, operation: np.ufunc) -> Stack:
    """The operation over the ``size`` neighbours of each pixel (image, y, x) along both axes."""
    for axis in (1, 2):
        margins = [(0, 0), (0, 0), (0, 0)]
        margins[axis] = (size // 2, size // 2)
        padded = np.pad(stack, margins, "symmetric")
        length = stack.shape[axis]
        shifted = [padded[:, at : at + length] for at in range(size)]
        if axis == 2:
            shifted = [padded[..., at : at + length] for at in range(size)]
        stack = shifted[0].copy()
        for part in shifted[1:]:
            operation(stack, part, out=stack)
    return stack


def candidates(marks: Marks) -> Candidates:
    """Pairs of images with marks that differ in at most `MOST_BITS` bits."""
    found = [np.empty((0, 4), np.int64)]
    whole = marks.places[:, 0] < 0
    for part in range(_PARTS):
        turn = np.uint64(part * _PART_BITS)
        back = np.uint64((64 - part * _PART_BITS) % 64)
        turned = marks.hashes << turn | marks.hashes >> back
        order = np.argsort(turned, kind="stable")
        key = (turned[order] >> np.uint64(64 - _PART_BITS)).astype(np.uint16)
        ends = np.searchsorted(key, key, "right")
        at = np.arange(len(order))
        for ahead in range(1, _MOST_NEIGHBOURS + 1):
            at = at[at + ahead < ends[at]]
            if not len(at):
                break
            one, other = order[at], order[at + ahead]
            near = np.bitwise_count(marks.hashes[one] ^ marks.hashes[other]) <= MOST_BITS
            near &= (marks.images[one] != marks.images[other]) & (whole[one] == whole[other])
            one, other = one[near], other[near]
            swapped = marks.images[one] > marks.images[other]
            one, other = np.where(swapped, other, one), np.where(swapped, one, other)
            shifts = marks.places[one].astype(np.int64) - marks.places[other]
            found.append(np.column_stack([marks.images[one], marks.images[other], shifts]))
    rows = np.unique(np.concatenate(found), axis=0)
    return Candidates(rows[:, :2], rows[:, 2:])


def _compared(copies: NDArray[np.uint8], found: Candidates) -> Iterator[Similar]:
    """The best agreement of each candidate close to the shift that its marks suggest."""
    around = range(-_SEARCH, _SEARCH + 1)
    for start in range(0, len(found.pairs), _BATCH):
        pairs = found.pairs[start : start + _BATCH]
        shifts = found.shifts[start : start + _BATCH].tolist()
        numbers, places = np.unique(pairs, return_inverse=True)
        details = details_of(copies[numbers])
        for (first, second), (one, other), (dy, dx) in zip(
            pairs.tolist(), places.reshape(-1, 2).tolist(), shifts, strict=True
        ):
            images = details[one], details[other]
            if _correlation(*_overlap(*images, (dy, dx))) < _HOPELESS:
                continue
            tried = [(dy + y, dx + x) for y in around for x in around]
            value, shift = max((agreement(*images, shift), shift) for shift in tried)
            if value > 0:
                yield Similar(first, second, value, _share(shift), shift)


def details_of(stack: NDArray[np.uint8]) -> Stack:
    """The images (image, y, x) without slow changes of brightness, which agree by chance."""
    bright = stack.astype(np.float32)
    return bright - _blurred(bright, _AROUND)


def agreement(first: Stack, second: Stack, shift: tuple[int, int]) -> float:
    """How well two images (y, x) agree where they would overlap, from -1 to 1.

    The overlap is divided into 3 x 3 blocks; the result is the smallest correlation of any block.
    If two pictures have only an edge or a field in common, some block differs.
    """
    if _share(shift) < _LEAST_SHARE:
        return -1.0
    one, other = _overlap(first, second, shift)
    if _correlation(one, other) < _PROMISING:
        return -1.0
    rows, columns = (np.linspace(0, length, _BLOCKS + 1).astype(int) for length in one.shape)
    return min(
        _correlation(one[y:y_end, x:x_end], other[y:y_end, x:x_end])
        for y, y_end in pairwise(rows)
        for x, x_end in pairwise(columns)
    )


def _overlap(first: Stack, second: Stack, shift: tuple[int, int]) -> tuple[Stack, Stack]:
    """The parts of two images (y, x) that cover each other after a shift."""
    dy, dx = shift
    height, width = (length - abs(by) for length, by in zip(first.shape, shift, strict=True))
    one = first[max(0, dy) :, max(0, dx) :][:height, :width]
    return one, second[max(0, -dy) :, max(0, -dx) :][:height, :width]


def _correlation(one: Stack, other: Stack) -> float:
    a, b = one - one.mean(), other - other.mean()
    power = float(np.vdot(a, a)) * float(np.vdot(b, b))
    return float(np.vdot(a, b)) / power**0.5 if power > 0 else 0.0


def _share(shift: tuple[int, int]) -> float:
    dy, dx = shift
    return max(0, SIDE - abs(dy)) * max(0, SIDE - abs(dx)) / SIDE**2
