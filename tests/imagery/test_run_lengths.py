"""Run-length codes are decoded, drawn and outlined, and what is no code is refused."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.features import rasterize

from satimnet.builder.imagery import run_lengths
from satimnet.builder.imagery.run_lengths import decode_runs, draw_runs, shape_of_runs

ROWS, COLUMNS = 6, 5


def encode(mask: np.ndarray) -> bytes:
    """The code of a mask (y, x), by the book: pixels from 1, down the columns."""
    flat = np.concatenate([[0], mask.T.ravel() != 0, [0]]).astype(int)
    starts, ends = (np.flatnonzero(np.diff(flat) == step) for step in (1, -1))
    return b" ".join(b"%d %d" % (s + 1, e - s) for s, e in zip(starts, ends, strict=True))


@given(st.integers(0, 2 ** (ROWS * COLUMNS) - 1))  # drawn much faster than as many booleans
def test_what_is_decoded_draws_and_outlines_the_mask_that_was_encoded(pixels):
    bits = pixels.to_bytes(-(-ROWS * COLUMNS // 8))
    mask = np.unpackbits(np.frombuffer(bits, np.uint8))[-ROWS * COLUMNS :].reshape(ROWS, COLUMNS)
    runs = decode_runs(encode(mask), mask.size)
    np.testing.assert_array_equal(draw_runs([(runs, 1)], mask.shape, 0, ROWS), mask)
    strip = draw_runs([(runs, 1)], mask.shape, 2, 3)
    np.testing.assert_array_equal(strip, mask[2:5])
    if mask.any():
        shape = shape_of_runs(runs, mask.shape)
        np.testing.assert_array_equal(rasterize([shape], mask.shape), mask)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"1", "pairs"),
        (b"1 -2", "pairs"),
        (b"0 1", "run 0 1"),
        (b"1 0", "run 1 0"),
        (b"3 2 4 1", "run 4 1"),
        (b"30 2", "run 30 2"),
        (b"1 1 " * 40, "more runs"),
        (b"100 1", "pairs"),
    ],
)
def test_what_is_no_code_of_the_image_is_refused(code, message):
    with pytest.raises(ValueError, match=message):
        decode_runs(code, 30)


def test_the_example_is_right():
    assert doctest.testmod(run_lengths) == (0, 1)
