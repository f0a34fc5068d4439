"""The peers that pack samples into files of their own, each used as its documentation shows it.

All are given the 13-band GeoTIFFs and yield shuffled batches as float32 and labels, in the order of
axes that they keep. They work in the process that asks (workers 0), as satimnet does with
``threads=0``. None of them compresses, but for rumi, which always does: it gets the method that its
own profile finds fastest to decode.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from examples.networks.torchvision_cpu import import_torchvision
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Batches = Callable[[], Iterator[tuple[Tensor, Tensor]]]
"""An epoch: images and labels, batch by batch."""


def read_image(path: Path) -> NDArray[np.uint16]:
    """The pixels of a GeoTIFF, (band, y, x)."""
    with rasterio.open(path) as image:
        pixels: NDArray[np.uint16] = image.read()
    return pixels


def webdataset(files: Sequence[Path], labels: Sequence[int], folder: Path, size: int) -> Batches:
    """Tar files with an array (.npy) and a class for each sample, shuffled in a buffer of 1,000."""
    import webdataset as wds

    with wds.ShardWriter(f"{folder}/%05d.tar", maxsize=256 * 2**20, verbose=0) as writer:
        for number, (file, label) in enumerate(zip(files, labels, strict=True)):
            writer.write({"__key__": f"{number:06d}", "npy": read_image(file), "cls": label})
    tars = [str(path) for path in sorted(folder.glob("*.tar"))]

    def epoch() -> Iterator[tuple[Tensor, Tensor]]:
        dataset = wds.WebDataset(tars, shardshuffle=100, empty_check=False).shuffle(1000).decode()
        loader = wds.WebLoader(
            dataset.to_tuple("npy", "cls").batched(size), batch_size=None, num_workers=0
        )
        for images, classes in loader:
            yield torch.as_tensor(images).float(), torch.as_tensor(classes)

    return epoch


def litdata(files: Sequence[Path], labels: Sequence[int], folder: Path, size: int) -> Batches:
    """Its optimised chunks of 64 MB."""
    from litdata import StreamingDataLoader, StreamingDataset

    pack_litdata(files, labels, folder)
    dataset = StreamingDataset(str(folder), shuffle=True)
    loader = StreamingDataLoader(dataset, batch_size=size, num_workers=0)
    return partial(of_dictionaries, loader)


def pack_litdata(files: Sequence[Path], labels: Sequence[int], folder: Path) -> None:
    """Writes LitData's chunks."""
    from litdata import optimize

    optimize(
        fn=_litdata_sample,
        inputs=list(zip(map(str, files), labels, strict=True)),
        output_dir=str(folder),
        chunk_bytes="64MB",
        num_workers=1,
        verbose=False,
    )


def _litdata_sample(entry: tuple[str, int]) -> dict[str, Any]:
    return {"image": read_image(Path(entry[0])), "label": entry[1]}


def mosaicml(files: Sequence[Path], labels: Sequence[int], folder: Path, size: int) -> Batches:
    """MDS shards of its usual 64 MiB."""
    import_torchvision()  # it imports it
    from streaming import MDSWriter, StreamingDataset

    columns = {"image": "ndarray", "label": "int"}
    with MDSWriter(out=str(folder), columns=columns) as writer:
        for file, label in zip(files, labels, strict=True):
            writer.write({"image": read_image(file), "label": label})
    dataset = StreamingDataset(local=str(folder), shuffle=True, batch_size=size)
    return partial(of_dictionaries, DataLoader(dataset, batch_size=size))


def taco(files: Sequence[Path], labels: Sequence[int], folder: Path, size: int) -> Batches:
    """An archive of the GeoTIFFs as they are, which rasterio reads at the paths in its table."""
    archive = pack_taco(files, labels, folder)
    return partial(
        of_dictionaries, DataLoader(open_taco(str(archive)), batch_size=size, shuffle=True)
    )


def pack_taco(files: Sequence[Path], labels: Sequence[int], folder: Path) -> Path:
    """Writes the archive."""
    import taco as taco_eo
    from pydantic import create_model

    label = create_model("Label", label=(int, ...))
    contract = taco_eo.Contract(
        structure=["image.tif"], metadata=[taco_eo.Level("sample", eurosat=label)]
    )
    collection = taco_eo.Collection(
        contract=contract,
        id="eurosat",
        description="EuroSAT",
        licenses=["MIT"],
        providers=["benchmark"],
        tasks=["scene-classification"],
    )
    archive = folder / "eurosat.zip"
    with taco_eo.open_writer(collection, archive) as writer:
        for file, number in zip(files, labels, strict=True):
            image = taco_eo.Asset(file, path="image.tif")
            about = taco_eo.Metadata(eurosat=label(label=number))
            writer.add(taco_eo.Sample(id=file.stem, assets=image, metadata=about))
        writer.run()
    return archive


def open_taco(archive: str) -> TacoDataset:
    """The samples of an archive, by its path or URL.

    Its reader asks DuckDB for a time zone, for which DuckDB loads an extension from the network.
    Nothing here has a time, so a connection without one is put in its place.
    """
    import duckdb
    import taco as taco_eo
    from taco.reader import engine

    engine._state.connection = duckdb.connect()
    with warnings.catch_warnings(action="ignore"):  # of how it fetches from DuckDB
        table = taco_eo.read(archive)
    return TacoDataset(table["image.tif::location"].to_pylist(), table["eurosat:label"].to_pylist())


class TacoDataset(Dataset[dict[str, Any]]):
    """The samples of an archive, each read by rasterio."""

    def __init__(self, paths: Sequence[str], labels: Sequence[int]) -> None:
        self._paths, self._labels = paths, labels

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        with rasterio.open(self._paths[index]) as image:
            return {"image": image.read(), "label": self._labels[index]}


def rumi(files: Sequence[Path], labels: Sequence[int], folder: Path, size: int) -> Batches:
    """A file a sample, all bands in one frame; a batch is one call of ``read_many``."""
    import geozl
    import rumi

    rumi.set_num_threads(1)
    method = max(geozl.profile(read_image(files[0])), key=lambda row: row["decode_mbps"])["graph"]
    sources, headers = [], []
    for file in files:
        pixels = read_image(file)
        frames = rumi.frames(
            pixels, "b (row h) (col w) -> row col (b h w)", tile_size=pixels.shape[1]
        )
        for frame in frames:
            frame.compressed = geozl.compress(frame.data, graph=geozl.graph(frame.data, method))
        names = [f"B{band}" for band in range(len(pixels))]
        path = folder / f"{file.stem}.rumi"
        source, header = rumi.write(str(path), frames, bands=names, time=["2017-01-01"])
        sources.append(source)
        headers.append(header)
    classes = torch.tensor(labels)

    def epoch() -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.split(torch.randperm(len(sources)), size):
            pixels = rumi.read_many([sources[k] for k in rows], [headers[k] for k in rows])
            yield torch.from_numpy(pixels.squeeze()).float(), classes[rows]

    return epoch


def of_dictionaries(loader: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of a loader whose samples are dictionaries."""
    for batch in loader:
        yield batch["image"].float(), batch["label"]


FORMATS: dict[str, Callable[[Sequence[Path], Sequence[int], Path, int], Batches]] = {
    "WebDataset": webdataset,
    "LitData": litdata,
    "MosaicML streaming": mosaicml,
    "TACO": taco,
    "rumi": rumi,
}
