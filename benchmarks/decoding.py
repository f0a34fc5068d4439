"""Decoding JPEGs into shuffled batches: satimnet, and the decoders that people use."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from examples.networks.torchvision_cpu import import_torchvision
from PIL import Image
from torch import Tensor

from benchmarks.building import catalog_of
from benchmarks.data import Data
from benchmarks.reading import BATCH, digest, read_ours
from benchmarks.table import Row
from benchmarks.timing import Contender, race
from satimnet.training import open_samples

_CONTRACT = 1
_REPEATED = 3
"""Times that everybody but WebDataset reads the images in a lap, which else is short."""

Decode = Callable[[bytes], Any]
"""Gives the image, (y, x, band)."""


def decoding_rows(data: Data, rounds: int) -> Iterator[Row]:
    """Rows for the RGB edition. The peers find the files' bytes in memory; we read our shards."""
    torch.set_num_threads(1)
    catalog = data.folder / "jpegs"
    catalog_of(data.jpeg_source, catalog)
    samples = open_samples(catalog).search(collections=["eurosat"])
    truth = digest((batch.images, batch.labels) for batch in samples.to_batches(BATCH))
    epoch = samples.subset(np.tile(np.arange(len(samples)), _REPEATED))
    contenders = {"satimnet": Contender(partial(read_ours, epoch, "cpu", 0))}
    absent = {}
    labels = [samples.classes.index(file.parent.name) for file in data.jpegs]
    files = [file.read_bytes() for file in data.jpegs]
    for name, find in _PEERS.items():
        try:
            decode = find()
            decode(files[0])
        except (ImportError, RuntimeError, OSError) as error:
            absent[name] = f"{name}: cannot be had here ({str(error).partition('.')[0]})"
            continue
        if digest(_batches(files, labels, decode)) != truth:
            raise AssertionError(f"{name} gives other pixels")
        epochs = partial(_batches, files * _REPEATED, labels * _REPEATED, decode)
        contenders[name] = Contender(partial(_count, epochs))
    try:
        tars = _webdataset(data.jpegs, labels, data.folder / "jpeg-tars")
        contenders["WebDataset"] = Contender(partial(_count, tars))
        if digest(tars()) != truth:
            raise AssertionError("WebDataset gives other pixels")
    except ImportError as error:
        absent["WebDataset"] = f"WebDataset: cannot be had here ({error})"
    for contender in contenders.values():
        contender.work()
    laps = race(contenders, rounds)
    for name in [*_PEERS, "WebDataset"]:
        what = "JPEG batches, no threads: images"
        yield Row(what, absent.get(name, name), laps["satimnet"], laps.get(name), _CONTRACT)


def _batches(
    files: list[bytes], labels: list[int], decode: Decode
) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches by a plain loop over a decoder."""
    first = np.asarray(decode(files[0]))
    out = np.empty((BATCH, *first.shape), np.float32)
    classes = torch.tensor(labels)
    for rows in torch.split(torch.randperm(len(files)), BATCH):
        for place, row in enumerate(rows.tolist()):
            out[place] = decode(files[row])
        yield torch.from_numpy(out[: len(rows)]).permute(0, 3, 1, 2), classes[rows]


def _count(batches: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> int:
    return sum(len(images) for images, _ in batches())


def _pillow() -> Decode:
    return lambda data: np.asarray(Image.open(io.BytesIO(data)))


def _opencv() -> Decode:
    import cv2

    cv2.setNumThreads(1)
    return lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def _turbojpeg() -> Decode:
    import turbojpeg

    decoder = turbojpeg.TurboJPEG()
    return lambda data: decoder.decode(data, pixel_format=turbojpeg.TJPF_RGB)


def _imagecodecs() -> Decode:
    import imagecodecs

    decode: Decode = imagecodecs.jpeg8_decode
    return decode


def _torchvision() -> Decode:
    import_torchvision()
    from torchvision.io import decode_jpeg

    def decode(data: bytes) -> Any:
        with warnings.catch_warnings(action="ignore"):  # the bytes are not writable; nobody writes
            encoded = torch.frombuffer(data, dtype=torch.uint8)
        return decode_jpeg(encoded).permute(1, 2, 0).numpy()

    return decode


_PEERS: dict[str, Callable[[], Decode]] = {
    "torchvision": _torchvision,
    "Pillow": _pillow,
    "OpenCV": _opencv,
    "PyTurboJPEG": _turbojpeg,
    "imagecodecs": _imagecodecs,
}


def _webdataset(
    files: list[Path], labels: list[int], folder: Path
) -> Callable[[], Iterator[tuple[Tensor, Tensor]]]:
    import webdataset as wds

    folder.mkdir()
    with wds.ShardWriter(f"{folder}/%05d.tar", maxsize=256 * 2**20, verbose=0) as writer:
        for file, label in zip(files, labels, strict=True):
            writer.write({"__key__": file.stem, "jpg": file.read_bytes(), "cls": label})
    tars = [str(path) for path in sorted(folder.glob("*.tar"))]

    def epoch() -> Iterator[tuple[Tensor, Tensor]]:
        dataset = wds.WebDataset(tars, shardshuffle=100, empty_check=False).shuffle(1000)
        pairs = dataset.decode("rgb8").to_tuple("jpg", "cls").batched(BATCH)
        for images, classes in wds.WebLoader(pairs, batch_size=None, num_workers=0):
            tensor = torch.as_tensor(images).permute(0, 3, 1, 2).float()
            yield tensor, torch.as_tensor(classes)

    return epoch
