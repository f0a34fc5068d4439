"""Files in memory, opened by GDAL."""

import io

import numpy as np
import pytest
from PIL import Image

from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery.encoding import encode_mask
from satimnet.builder.imagery.headers import read_header
from satimnet.builder.imagery.rasters import opened


def tiff() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(stream, "TIFF")
    return stream.getvalue()


def test_files_in_memory_ask_for_no_keys(monkeypatch):
    """rasterio would start boto3 for each file, which takes twenty times as long as the file."""
    boto3 = pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("boto3 was started")

    monkeypatch.setattr(boto3, "Session", refuse)
    monkeypatch.setattr(boto3.session, "Session", refuse)
    with opened(tiff(), "a.tif") as image:
        assert image.read().shape == (3, 4, 4)
    mask = np.ones((4, 4), np.uint8)
    rows = [{"value": 1, "name": "a", "color_hint": "ff0000"}]
    header = read_header(tiff(), "a.tif")
    assert encode_mask(iter([mask]), header, rows, "image/tiff; application=geotiff", None)


def test_what_gdal_cannot_read_is_a_bad_file():
    with (
        pytest.raises(BadFileError, match=r"^a.tif: GDAL cannot read it"),
        opened(b"II*\0", "a.tif"),
    ):
        pass
