"""Preview shards: small JPEGs of the images that a browser cannot show, one after another.

They are drawn from the shards, a task each, and lie in ``previews/`` beside the columns, which tell
where each of them begins. Neighbours on the wall are neighbours in a file, so that one request
fetches many.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.arguments import checked
from satimnet.builder.errors import NotFoundError, SatimnetError
from satimnet.builder.explorer.common_stretch import GAMMA, Stretch, stretch_of
from satimnet.builder.explorer.explorer_columns import Columns
from satimnet.builder.explorer.explorer_files import (
    Indexed,
    header_of,
    read_columns,
    write_files,
)
from satimnet.builder.overview.previews import true_colour
from satimnet.builder.progress import Progress, silent
from satimnet.builder.query.index import Index, IndexedCollection
from satimnet.builder.query.parquet_rows import rows_at
from satimnet.builder.storage import objects
from satimnet.builder.storage.assets import gdal_path
from satimnet.builder.storage.checked_offsets import run_of, span_of
from satimnet.builder.storage.hrefs import Bounds, folder_at
from satimnet.builder.storage.parallel import run_tasks
from satimnet.builder.storage.parquet_files import parquet_file
from satimnet.builder.storage.worker import from_here
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "previews"
SIDE = 64
"""Pixels of a preview's longer side, of patches."""
SCENE_SIDE = 160
"""The same of scenes, which are larger than `_PATCH` and have objects in them."""

_PATCH = 256
_QUALITY = 85
_MOST_ROWS = 1_000  # of a task: a file of 2 MB
_LARGEST = 60_000_000  # pixels that are decoded for a preview
_SEEN = 48  # images that the common stretch is chosen by
_SEEN_SIDE = 128
_MARK = b"satimnet-previews-1\n"
_LEAVES = ("href", "archive", "bands", "roles", "satimnet:pixels")


@dataclass(frozen=True, slots=True)
class PreviewTask:
    """The previews of some rows, which are drawn into one file."""

    parquets: tuple[str, ...]
    bounds: Bounds
    rows: NDArray[np.int64]
    item_assets: Mapping[str, Any]
    assets: tuple[str, ...]
    """Keys of the assets that may be looked at."""
    stretch: Stretch | None
    side: int
    out: str
    made_of: str
    """What the file is made of; one of an earlier run that is of the same is kept."""


@dataclass(frozen=True)
class Drawn:
    """Of the rows of a task the bytes of their previews, 0 where there is none."""

    task: int
    sizes: NDArray[np.int64]


@checked()
def draw_previews(
    catalog: str | os.PathLike[str],
    *,
    collections: Sequence[str] | None = None,
    scheduler: str = "threads",
    allow_outside: bool = False,
    progress: Progress = silent,
) -> list[Indexed]:
    """Draws previews for what a browser cannot show, and writes the explorer's columns anew.

    A run that was killed goes on from the files that are finished. Images that cannot be read have
    no preview.

    Args:
        catalog: place of the catalog, a path or the URL of an object store.
        collections: ids of those that are drawn; None is all.
        scheduler: ``threads``, ``processes``, or the address of a dask cluster.
        allow_outside: the catalog in a folder may lead to any file of this machine.
        progress: is told how many files are done.

    Raises:
        SatimnetError: the catalog cannot be read.
        StorageError: it cannot be written.

    Example:
        >>> from satimnet.builder.explorer.preview_shards import draw_previews
        >>> [one.collection for one in draw_previews("catalog", collections=["eurosat"])]
        ['eurosat']
    """
    index = Index(catalog, allow_outside=allow_outside)
    return [
        _drawn(index.collections[name], scheduler, progress) for name in index.readable(collections)
    ]


def _drawn(collection: IndexedCollection, scheduler: str, progress: Progress) -> Indexed:
    columns = read_columns(collection)
    before = header_of(collection)
    shown = columns.values["picture_sizes"] > 0 if columns.ids else np.zeros(0, bool)
    keys = _keys(columns)
    rows = np.flatnonzero(~shown) if keys else np.zeros(0, np.int64)
    previews: Json = {"items": 0}
    if len(rows):
        previews = _draw(collection, columns, rows, keys, scheduler, progress)
    if before is not None and before.get("previews", {"items": 0}) == previews:
        header = before
    else:
        if previews["items"]:
            columns.header["previews"] = previews
        if before is not None and "findings" in before:
            columns.header["findings"] = before["findings"]
        header = write_files(collection, columns)
    name = collection.id
    return Indexed(name, header["items"], header["data"]["size"], previews["items"])


def _keys(columns: Columns) -> tuple[str, ...]:
    """Assets that have bands and are no masks."""
    return tuple(
        key
        for key, told in columns.header["assets"].items()
        if told["bands"] and "mask" not in (told["roles"] or ())
    )


def _draw(
    collection: IndexedCollection,
    columns: Columns,
    rows: NDArray[np.int64],
    keys: tuple[str, ...],
    scheduler: str,
    progress: Progress,
) -> Json:
    """Draws the previews of these rows; adds them to the columns, and says what there is."""
    widths, heights = (columns.values[name][rows] for name in ("widths", "heights"))
    side = SCENE_SIDE if max(widths.max(), heights.max()) > _PATCH else SIDE
    folder = folder_at(collection.parquet)
    # not by its place, which may be a file that only this process has open
    parquets, specs = collection.parquets, collection.document.json.get("item_assets", {})
    stretch = _stretch(parquets, collection.bounds, specs, keys, rows)
    made_of = hashlib.sha256(
        repr((_MARK, columns.ids, side, stretch, _QUALITY, columns.header["shards"])).encode()
    ).hexdigest()
    parts = _parts(rows)
    jobs = [
        (
            at,
            PreviewTask(
                tuple(parquets), collection.bounds, part, specs, keys, stretch, side,
                f"{folder}/{FOLDER}/{_name(at)}", f"{made_of}-{part[0]}-{len(part)}",
            ),
        )
        for at, part in enumerate(parts)
    ]  # fmt: skip
    count = len(columns.ids)
    files, sizes = np.zeros(count, np.int64), np.zeros(count, np.int64)
    what = f"Drawing previews of {collection.id}"
    for outcome in run_tasks(make_previews, jobs, scheduler, what, progress, "files"):
        if isinstance(outcome, str):
            raise SatimnetError(outcome)
        part = parts[outcome.task]
        files[part], sizes[part] = outcome.task, outcome.sizes
    # where each begins, its file and the sizes of those before it in that file tell
    columns.values |= {"preview_files": files, "preview_sizes": sizes}
    drawn: Json = {
        "items": int((sizes > 0).sum()),
        "files": [f"./{FOLDER}/{_name(at)}" for at in range(len(parts))],
        "side": side,
    }
    if stretch is not None:
        drawn["stretch"] = {
            "black": list(stretch.black),
            "white": list(stretch.white),
            "gamma": GAMMA,
        }
    return drawn


def _name(at: int) -> str:
    return f"previews-{at:05d}.bin"


def _parts(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows in parts, a file each."""
    return [rows[at : at + _MOST_ROWS] for at in range(0, len(rows), _MOST_ROWS)]


def _stretch(
    parquets: Sequence[str],
    bounds: Bounds,
    specs: Mapping[str, Any],
    keys: Sequence[str],
    rows: NDArray[np.int64],
) -> Stretch | None:
    """The stretch of values that are no grey values, by images all over the collection."""
    some = np.unique(rows[np.linspace(0, len(rows) - 1, min(_SEEN, len(rows))).astype(int)])
    by_bands: dict[int, list[NDArray[Any]]] = {}
    with _quiet_gdal():
        for _, found in _images(parquets, bounds, some, specs, keys, _SEEN_SIDE):
            if found is not None and found.dtype != np.uint8:
                by_bands.setdefault(len(found), []).append(found)
    return stretch_of(by_bands[max(by_bands)]) if by_bands else None


def make_previews(at: int, task: PreviewTask) -> Drawn | str:
    """Draws the previews of a task, unless an earlier run did.

    Returns:
        Their sizes; or what to tell the user if they cannot be drawn, since errors of worker
        processes would come back wrapped.
    """
    try:
        sizes = _finished(task)
        if sizes is None:
            sizes = _made(task)
        return Drawn(at, sizes)
    except SatimnetError as error:
        return from_here(str(error))
    except OSError as error:
        reason = error.strerror or error
        return from_here(f"{task.out}: {reason}; mend it and start the command again")


def _made(task: PreviewTask) -> NDArray[np.int64]:
    data, sizes = bytearray(), np.zeros(len(task.rows), np.int64)
    with _quiet_gdal():
        images = _images(
            *(task.parquets, task.bounds, task.rows),
            *(task.item_assets, task.assets, task.side),
        )
        for at, image in images:
            if image is not None:
                preview = _jpeg(image, task.stretch, task.side)
                data += preview
                sizes[at] = len(preview)
    data += sizes.astype("<u4").tobytes() + _tail(task)
    objects.write(task.out, bytes(data))
    return sizes


def _tail(task: PreviewTask) -> bytes:
    """The end of a finished file: what it is made of, and of how many rows."""
    made_of = hashlib.sha256(task.made_of.encode()).digest()
    return made_of + struct.pack("<I", len(task.rows)) + _MARK


def _finished(task: PreviewTask) -> NDArray[np.int64] | None:
    """The sizes of the previews in a file that an earlier run finished."""
    tail = _tail(task)
    count = len(task.rows)
    try:
        size = objects.size_of(task.out)
        length = 4 * count + len(tail)
        if size < length:
            return None
        end = objects.read(task.out, size - length, length)
    except NotFoundError:
        return None
    sizes = np.frombuffer(end[: 4 * count], "<u4").astype(np.int64)
    return sizes if end[4 * count :] == tail and sizes.sum() + length == size else None


# --- images -------------------------------------------------------------------------------------


def _images(
    parquets: Sequence[str],
    bounds: Bounds,
    rows: NDArray[np.int64],
    specs: Mapping[str, Any],
    keys: Sequence[str],
    side: int,
) -> Iterator[tuple[int, NDArray[Any] | None]]:
    """Number in ``rows`` and values (band, y, x) of each image; None where it cannot be read."""
    from rasterio.errors import RasterioError

    for start in range(0, len(rows), 500):
        table = _read(parquets, rows[start : start + 500], keys)
        for at, row in enumerate(table.to_pylist(), start):
            assets = {key: asset for key, asset in row["assets"].items() if _is_there(asset)}
            try:
                for asset in assets.values():
                    asset["href"] = bounds.resolve(asset["href"], parquets[0])
                yield at, _values(assets, specs, side)
            except (RasterioError, SatimnetError, OSError, ValueError, TypeError):
                yield at, None


def _is_there(asset: Any) -> bool:
    return asset is not None and asset["href"] is not None and bool(asset["archive"])


def _read(parquets: Sequence[str], rows: NDArray[np.int64], keys: Sequence[str]) -> pa.Table:
    """The assets of rows that are numbered through all files."""
    import pyarrow as pa

    tables: list[pa.Table] = []
    places = np.empty(len(rows), np.int64)
    first = done = 0
    for parquet in parquets:
        if done and first > rows.max():
            break
        with parquet_file(parquet) as file:
            count = file.metadata.num_rows
            own = (first <= rows) & (rows < first + count)
            type_ = file.schema_arrow.field("assets").type
            leaves = [
                f"assets.{key}.{name}"
                for key in keys
                for name in _LEAVES
                if name in {inner.name for inner in type_.field(key).type}
            ]
            if own.any():
                table, at = rows_at(file, rows[own] - first, leaves)
                places[own] = at + done
                done += len(table)
                tables.append(table)
            first += count
    return pa.concat_tables(tables).take(places)


def _values(assets: Mapping[str, Any], specs: Mapping[str, Any], side: int) -> NDArray[Any] | None:
    """Red, green and blue of an image, or its only band, hardly larger than the preview."""
    assets = {key: _plain(asset) for key, asset in assets.items()}
    bands = true_colour(assets, specs)
    parts: list[NDArray[Any]] = []
    for key, group in groupby(bands, key=lambda band: band[0]):
        numbers = [number for _, number in group]
        found = _by_offset(assets[key], numbers, key)
        found = _by_gdal(assets[key], numbers, side) if found is None else found
        if found is None:
            return None
        parts.append(found)
    return np.concatenate(parts) if len({part.shape[1:] for part in parts}) == 1 else None


def _plain(asset: Mapping[str, Any]) -> dict[str, Any]:
    """The asset as JSON has it: without what is null."""
    found = {name: value for name, value in asset.items() if value is not None}
    found["bands"] = [
        {name: value for name, value in band.items() if value is not None}
        for band in asset.get("bands") or ()
    ]
    return found


def _by_offset(asset: Mapping[str, Any], numbers: list[int], label: str) -> NDArray[Any] | None:
    """The bands of an image whose pixels lie in one run; None if they do not, or are many."""
    if "satimnet:pixels" not in asset:
        return None
    run = run_of(asset["satimnet:pixels"], label)
    first, size = span_of(asset["archive"][0], label)
    if run.size > 2**22 or run.offset < first or run.offset + run.size > first + size:
        return None
    data = objects.read(asset["href"], run.offset, run.size)
    values = np.frombuffer(data, run.dtype).reshape(run.shape)
    values = np.moveaxis(values, [run.order.index(axis) for axis in ("band", "y", "x")], (0, 1, 2))
    if max(numbers) > len(values):
        return None
    return values[[number - 1 for number in numbers]]


def _by_gdal(asset: dict[str, Any], numbers: list[int], side: int) -> NDArray[Any] | None:
    """The bands of any other image, resampled; None if that would take seconds."""
    import rasterio
    from rasterio.enums import Resampling

    with rasterio.open(gdal_path(asset)) as image:
        scale = min(1.0, side / max(image.width, image.height))
        steps = image.overviews(1) if image.driver == "GTiff" else []
        step = max((step for step in steps if step * scale <= 1), default=1)
        if image.width * image.height > _LARGEST * step**2 or max(numbers) > image.count:
            return None
        shape = [max(1, round(length * scale)) for length in image.shape]
        values: NDArray[Any] = image.read(
            numbers, out_shape=(len(numbers), *shape), resampling=Resampling.average
        )
    return values


class _quiet_gdal:
    """GDAL looks for no files beside the shards, and writes none there."""

    def __enter__(self) -> None:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning

        # For the whole process: catch_warnings() is not for several threads.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
        self._environment = rasterio.Env(**options)
        self._environment.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._environment.__exit__(*error)


def _jpeg(image: NDArray[Any], stretch: Stretch | None, side: int) -> bytes:
    """A JPEG of values (band, y, x), its longer side at most ``side`` pixels."""
    from PIL import Image

    if image.dtype == np.uint8:
        grey = np.moveaxis(image, 0, 2)
    else:
        if stretch is None or len(stretch.black) != len(image):
            stretch = stretch_of([image]) or Stretch((0.0,) * len(image), (1.0,) * len(image))
        grey = stretch.applied(image)
    if grey.shape[2] == 1:
        grey = np.repeat(grey, 3, axis=2)
    picture = Image.fromarray(np.ascontiguousarray(grey))
    scale = side / max(picture.size)
    if scale < 1:
        width, height = picture.size
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = picture.resize(size, Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue()
