"""Maps of whole scenes: a trained network gives every pixel, or every patch, its class.

The scene goes through the network in strips of rows, so memory does not grow with its height. The
strips may be computed by the workers of a dask cluster.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from satimnet.builder.arguments import checked
from satimnet.builder.errors import ArgumentError, SatimnetError, StorageError
from satimnet.builder.imagery.scenes import Scene, open_scene
from satimnet.builder.progress import Progress, silent
from satimnet.builder.storage.atomic_files import write_json
from satimnet.builder.storage.hrefs import on_disk, readable
from satimnet.builder.storage.parallel import is_cluster, require_scheduler
from satimnet.builder.storage.staging import lock
from satimnet.training.devices import pick_device
from satimnet.training.maps.cogs import GrowingMap
from satimnet.training.maps.labelling import check_refinement
from satimnet.training.maps.legends import Legend, legend_of
from satimnet.training.maps.map_items import map_item
from satimnet.training.maps.modelcards import Origin, model_item
from satimnet.training.maps.quicklooks import draw
from satimnet.training.maps.strip_labels import Work, labels_from
from satimnet.training.maps.strips import STRIP
from satimnet.training.networks.checkpoints import KINDS, Checkpoint, load
from satimnet.training.networks.models import PATCH, WINDOW
from satimnet.training.networks.training_plan import CODE


@dataclass(frozen=True)
class Maps:
    """The files that a mapping wrote.

    images: a COG for each output of the network. picture: None if none was wanted. item: the STAC
    Item of the map, None if the scene's time is not known. models: the Items of the networks.

    Example:
        >>> maps = Maps((Path("maps/scene_cnn-segm_mask.tif"),), None, None, ())
        >>> maps.images[0].name
        'scene_cnn-segm_mask.tif'
    """

    images: tuple[Path, ...]
    picture: Path | None
    item: Path | None
    models: tuple[Path, ...]


@checked()
def map_scene(
    path: str,
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    within: str | os.PathLike[str] | None = None,
    bands: Sequence[str] | None = None,
    offset: float = 0,
    sensed: str | None = None,
    device: str | None = None,
    scheduler: str = "direct",
    picture: bool = True,
    progress: Progress = silent,
) -> Maps:
    """Maps a scene with a trained network.

    For each output of the network that is a COG of class values (see `legend_of`), on the grid of
    the scene; then a picture, a STAC Item of the map and one of each network. Pixels without an
    observation have no class in the map; to the network they look like the mean of its training
    set.

    CNN-class gives a class to patches of 64 x 64 pixels side by side, from the upper left corner.
    Where the last ones would reach beyond the scene, they are moved back into it, and only their
    pixels that have no class yet get one. With `within`, a checkpoint of CNN-class, CNN-segm is
    applied solely to patches that are of a class of water or built-up area (Section 3.1 of the
    paper); all other pixels are of the class other.

    A run that was killed goes on when the same call is made again.

    Args:
        path: a Sentinel-2 product (its ``.SAFE`` folder), or any raster that GDAL reads, also at a
            URL of the web or of an object store.
        checkpoint: the file of the network, a path or URL.
        out: the folder of all files.
        within: the file of a CNN-class, see above.
        bands: names of the bands of a raster that does not name them.
        offset: added to the values of a raster (see `open_scene`).
        sensed: when the scene was taken (RFC 3339), if it does not say; unless either does, the
            map has no Item.
        device: ``cpu`` or ``cuda``; None: the GPU if there is one.
        scheduler: ``direct``, or the address of a dask cluster whose workers read the scene and
            compute its rows; all files are written here.
        picture: whether a picture is drawn.
        progress: is called as the work goes on.

    Returns:
        The files that were written.

    Raises:
        BadFileError: the scene cannot be read, or lacks bands.
        ArgumentError: an argument does not go with the scene or the network.
        StorageError: nothing can be written.
        SatimnetError: a checkpoint cannot be used, or another run is writing the map.

    Example:
        >>> from satimnet.training import open_samples, train
        >>> learned, held = open_samples("catalog").search().holdout(0.25)
        >>> how = {"model": "segm", "width": 4, "epochs": 1, "device": "cpu"}
        >>> checkpoint = train(learned, held, "run/segm.pt", windows_per_epoch=2000, **how)
        >>> maps = map_scene("scene.tif", "run/segm.pt", "maps", device="cpu", picture=False)
        >>> [image.name for image in maps.images]
        ['scene_cnn-segm_mask.tif']
    """
    plan = planned(
        path,
        checkpoint,
        out,
        within=within,
        bands=bands,
        offset=offset,
        sensed=sensed,
        device=device,
        scheduler=scheduler,
    )
    return carry_out(plan, picture, progress)


@dataclass(frozen=True)
class Plan:
    """A mapping that can be done, as far as can be seen before it is.

    networks: the one that maps, then the one within whose patches it does.
    """

    target: Path
    work: Work
    networks: tuple[tuple[Checkpoint, Origin], ...]
    scheduler: str

    @property
    def scene(self) -> Scene:
        """The scene that is mapped."""
        return self.work.scene

    @property
    def trained(self) -> Checkpoint:
        """The network that maps."""
        return self.networks[0][0]

    @property
    def maps(self) -> dict[str, tuple[Path, Legend]]:
        """The file and the legend of each output."""
        return {
            output.name: (
                self.target.with_name(f"{self.target.name}_{output.name}.tif"),
                legend_of(output),
            )
            for output in self.trained.outputs
        }


def planned(
    path: str,
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    within: str | os.PathLike[str] | None,
    bands: Sequence[str] | None,
    offset: float,
    sensed: str | None,
    device: str | None,
    scheduler: str,
) -> Plan:
    """Opens scene and networks and checks that they go together; as `map_scene`."""
    on_disk(out)
    readable(path)
    require_scheduler(scheduler, "direct")
    where = "cpu" if is_cluster(scheduler) else str(pick_device(device))
    trained = load(checkpoint, where, kinds=KINDS if within is None else ("cnn-segm",))
    networks = [(trained, Origin.of(checkpoint))]
    finder = None
    if within is not None:
        finder = load(within, where, kinds=("cnn-class",), bands=trained.bands)
        networks.append((finder, Origin.of(within)))
        check_refinement(trained, finder)
    scene = open_scene(path, trained.bands, order=bands, offset=offset)
    scene = replace(scene, sensed=_moment(sensed) or scene.sensed)
    least = PATCH if finder is not None or not trained.dense else WINDOW
    if min(scene.shape) < least:
        rows, columns = scene.shape
        raise ArgumentError(
            f"{path}: {rows} x {columns} pixels; {least} x {least} are the least", "path"
        )
    stem = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', scene.id)}_{trained.kind}"
    target = Path(out, stem if finder is None else f"{stem}-within")
    return Plan(target, Work(scene, trained, finder, device), tuple(networks), scheduler)


def carry_out(plan: Plan, picture: bool, progress: Progress) -> Maps:
    """Maps, and writes the files."""
    with lock(plan.target):
        return _write(plan, picture, progress)


def _write(plan: Plan, picture: bool, progress: Progress) -> Maps:
    target, scene, networks, maps = plan.target, plan.scene, plan.networks, plan.maps
    try:
        made_of = repr((CODE, scene.stamp, [origin.identity for _, origin in networks]))
        digest = hashlib.sha256(made_of.encode())
        growing = [GrowingMap(file, scene, digest.hexdigest()[:12]) for file, _ in maps.values()]
        legends = [legend for _, legend in maps.values()]
        try:
            _fill(growing, plan.work, plan.scheduler, progress)
        except Exception:
            for unfinished in growing:
                unfinished.discard()
            raise
        progress("Writing COGs", 0, len(maps), "files")
        for done, (unfinished, legend) in enumerate(zip(growing, legends, strict=True), 1):
            unfinished.finish(legend)
            progress("Writing COGs", done, len(maps), "files")
        drawn = target.with_name(f"{target.name}.png") if picture else None
        if drawn is not None:
            draw(scene, plan.trained.bands, maps, drawn)
        models = []
        for network, origin in networks:
            described = model_item(network, origin, target.parent)
            models.append(target.with_name(f"{described['id']}.json"))
            write_json(described, models[-1])
        item = target.with_name(f"{target.name}.json") if scene.sensed is not None else None
        if item is not None:
            write_json(map_item(item, scene, maps, networks, drawn), item)
    except SatimnetError:
        raise
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror})") from error
    return Maps(tuple(file for file, _ in maps.values()), drawn, item, tuple(models))


def _moment(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        if datetime.fromisoformat(text).tzinfo is not None:
            return text
    except ValueError:
        pass
    raise ArgumentError(
        f"sensed {text}: no date and time with zone, such as 2020-07-17T22:19:41Z", "sensed"
    )


def _fill(maps: Sequence[GrowingMap], work: Work, scheduler: str, progress: Progress) -> None:
    """Computes the rows that are not there yet."""
    height = work.scene.shape[0]
    done = min(growing.done for growing in maps)
    if done < height:
        done -= done % STRIP
    for growing in maps:
        growing.keep(done)
    progress("Mapping rows", done, height, "rows")
    for bottom, found in labels_from(work, done, scheduler):
        for growing, labels in zip(maps, found, strict=True):
            growing.append(labels)
        progress("Mapping rows", bottom, height, "rows")
