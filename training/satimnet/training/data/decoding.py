"""Decoding of image files in memory, each by the library that was measured to be the fastest.

Microseconds an image on one core of an AMD EPYC, exact decoders only (they give the same values):
JPEG of 64 x 64: simplejpeg 36, imagecodecs 37, OpenCV 51, Pillow 99, GDAL 303. PNG of about 1000 x
1000: GDAL 11,300, pyspng 17,800, imagecodecs 18,900, OpenCV 23,900, Pillow 30,100; of 64 x 64:
imagecodecs 53, Pillow 83, GDAL 233. PNG with a palette, indices wanted: Pillow 35, GDAL 200.
Deflated TIFF of 64 x 64 x 13: imagecodecs 267, tifffile 647, GDAL 764; COG of 1024 x 1024 x 3:
imagecodecs 8,300, tifffile 9,400, GDAL 9,800. All of them let other threads run meanwhile.
"""

from __future__ import annotations

import io
from math import prod
from sys import maxsize
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.errors import BadCatalogError, BadFileError, SatimnetError
from satimnet.builder.imagery.encoding import read_pixels
from satimnet.builder.imagery.headers import MAX_IMAGE_SIZE, read_header

_SMALL_PNG = 64 * 1024
_SMALL_JPEG = 64 * 1024
"""Pixels, and bytes: what can do no harm, whatever it holds."""
_MOST_OF_PILLOW = 2**26
"""Pixels; of more Pillow warns, or refuses what was let through here."""
_JPEG = b"\xff\xd8"
_PNG = b"\x89PNG\r\n\x1a\n"
_PALETTE = 3  # https://www.w3.org/TR/png-3/#11IHDR, colour type
_TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def decode(
    data: bytes | memoryview, bands: int | None = None, size: tuple[int, int] | None = None
) -> NDArray[Any]:
    """Decodes an image file.

    Args:
        data: The bytes of the file.
        bands: How many bands there are, if that is known; a grey JPEG among colour images is given
            as red, green and blue.
        size: Rows and columns that the image must have; None accepts any size.

    Returns:
        The image (y, x, band), of the type of the file; of a palette the indices, not the colours.

    Raises:
        BadCatalogError: The bytes are no image, or the header announces what is not wanted or
            cannot be; nothing is decoded then.
    """
    try:
        found = _size(data)
        if size is None or found == size:
            image = _decode(data, bands)
            return image if image.ndim == 3 else image[..., None]
    except BadFileError as error:
        raise BadCatalogError(f"cannot be decoded ({error.reason}); build it again") from error
    except SatimnetError:
        raise
    except Exception as error:  # every library has errors of its own
        raise BadCatalogError(f"cannot be decoded ({error}); build it again") from error
    raise BadCatalogError(
        f"has {found[0]} x {found[1]} pixels, the first sample {size[0]} x {size[1]}; "
        "batches need images of one size and type"
    )


def room_for(count: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Memory for so many images to be decoded into and read from soon, uint8 (count, *shape).

    It begins beside a multiple of 32 bytes on purpose. Where rows of pixels begin at one,
    libjpeg-turbo writes past the caches, and who reads them next waits for the memory: 10 to 20 %
    of the time for 64 x 64 pixels.
    """
    size = count * prod(shape)
    raw = np.empty(size + 64, np.uint8)
    at = -raw.ctypes.data % 32 + 8
    return raw[at : at + size].reshape(count, *shape)


def are_small_colours(shape: tuple[int, ...]) -> bool:
    """Whether images of that shape (y, x, band) may be left to `decode_small_jpeg`."""
    return shape[2] == 3 and prod(shape[:2]) <= _SMALL_JPEG


def decode_small_jpeg(data: bytes | memoryview, out: NDArray[np.uint8]) -> bool:
    """Decodes a small JPEG straight into an array; the quick way for what `decode` does with it.

    Args:
        data: The bytes of a file.
        out: What it is written to, contiguous, uint8; `are_small_colours` of its shape.

    Returns:
        Whether it was done. If not, the file is another one than was expected, and `decode` does
        it or says what is wrong with it; `out` may have been written to.
    """
    if data[:2] != _JPEG or len(data) > _SMALL_JPEG:
        return False
    import simplejpeg

    try:  # it reads the header first, and decodes nothing that is larger than `out`
        image = simplejpeg.decode_jpeg(data, "RGB", False, False, 0, 0, 1, out)
    except ValueError:
        return False
    return bool(image.shape == out.shape)


def _size(data: bytes | memoryview) -> tuple[int, int]:
    """Rows and columns that the header announces, which is looked at before a decoder is.

    A small JPEG can do no harm, whatever it holds; its header is read by the decoder itself, in a
    fifth of the time.
    """
    if data[:2] == _JPEG:
        import simplejpeg

        rows, columns, *_ = simplejpeg.decode_jpeg_header(data)
        if max(rows * columns, len(data)) <= _SMALL_JPEG:
            return rows, columns
    header = read_header(bytes(data), "image", maxsize, place=False)
    if header.size > MAX_IMAGE_SIZE:
        raise BadCatalogError(
            f"is too large to be decoded whole ({header.size:,} bytes of pixels, at most "
            f"{MAX_IMAGE_SIZE:,}); choose samples without it"
        )
    return header.shape


def _decode(data: bytes | memoryview, bands: int | None) -> NDArray[Any]:
    """The image, (y, x) or (y, x, band), by the library for its format and size."""
    if data[:2] == _JPEG:
        return _decode_jpeg(data, bands)
    head = bytes(data[:26])
    if head[:8] == _PNG and head[25] == _PALETTE:
        if int.from_bytes(head[16:20]) * int.from_bytes(head[20:24]) > _MOST_OF_PILLOW:
            return _decode_any(data)
        from PIL import Image

        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            return np.asarray(image)
    if head[:8] == _PNG and len(data) < _SMALL_PNG:
        import imagecodecs

        return np.asarray(imagecodecs.png_decode(bytes(data)))
    if head[:4] in _TIFFS and bands is not None:
        decoded = _decode_tiff(data, bands)
        if decoded is not None:
            return decoded
    return _decode_any(data)


def _decode_jpeg(data: bytes | memoryview, bands: int | None) -> NDArray[Any]:
    """The image; in grey only if it is grey and not to have three bands."""
    import simplejpeg

    grey = bands != 3 and simplejpeg.decode_jpeg_header(data)[2] == "Gray"
    image: NDArray[Any] = simplejpeg.decode_jpeg(data, colorspace="GRAY" if grey else "RGB")
    return image


def _decode_tiff(data: bytes | memoryview, bands: int) -> NDArray[Any] | None:
    """The first image; None where bands could come first or last."""
    import imagecodecs

    try:
        image = np.asarray(imagecodecs.tiff_decode(bytes(data)))
    except (RuntimeError, ValueError):  # a compression that GDAL may know
        return None
    if image.ndim == 2 and bands == 1:
        return image
    last = image.ndim == 3 and image.shape[2] == bands and image.shape[0] != bands
    return image if last else None


def _decode_any(data: bytes | memoryview) -> NDArray[Any]:
    """The image, by GDAL."""
    return np.moveaxis(read_pixels(bytes(data), "GDAL"), 0, -1)
