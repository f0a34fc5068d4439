"""Maps described as STAC Items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from satimnet.builder.catalog.checked_documents import STAC_VERSION
from satimnet.builder.catalog.items import (
    FILE_URI,
    PROCESSING_URI,
    PROJECTION_URI,
    SHA256,
)
from satimnet.builder.imagery.footprints import footprints_of
from satimnet.builder.imagery.scenes import Scene
from satimnet.builder.storage.hrefs import is_url
from satimnet.training.maps.cogs import MEDIA_TYPE
from satimnet.training.maps.legends import Legend
from satimnet.training.maps.modelcards import Origin, model_name, relative
from satimnet.training.networks.checkpoints import Checkpoint

CLASSIFICATION_URI = "https://stac-extensions.github.io/classification/v1.1.0/schema.json"


def map_item(
    file: Path,
    scene: Scene,
    maps: Mapping[str, tuple[Path, Legend]],
    networks: Sequence[tuple[Checkpoint, Origin]],
    picture: Path | None,
) -> dict[str, Any]:
    """The Item, to be written into `file`, of the maps of a scene whose time is known.

    maps: by the name of the output. networks: the one that made them, then the one within whose
    patches it did. The Items of these are `<name>.json` in the same folder.
    """
    names = [model_name(trained, origin) for trained, origin in networks]
    footprint = footprints_of([scene])[0]
    assert footprint is not None  # a scene has a place
    how = " within patches chosen by ".join(names)
    source = "the scene" if scene.level is None else f"the Sentinel-2 {scene.level} scene"
    properties = {
        "datetime": scene.sensed,
        "title": f"{scene.id} mapped by {names[0]}",
        "proj:shape": list(scene.shape),
        "proj:transform": list(scene.transform),
        "proj:code" if scene.crs.startswith("EPSG:") else "proj:wkt2": scene.crs,
        "processing:level": "L4",
        "processing:lineage": f"{how} applied to {source} {scene.id}",
        "processing:expression": {"format": "stac-mlm", "expression": f"./{names[0]}.json"},
        "processing:software": {"satimnet": version("satimnet")},
    }
    links = [
        {
            "rel": "derived_from",
            "href": f"./{name}.json",
            "type": "application/geo+json",
            "mlm:name": name,
        }
        for name in names
    ]
    if scene.href is not None:
        href = scene.href if is_url(scene.href) else relative(Path(scene.href), file.parent)
        links.append({"rel": "derived_from", "href": href})
    assets = {
        name: {
            "href": relative(path, file.parent),
            "type": MEDIA_TYPE,
            "title": f"Classes of the output {name}",
            "roles": ["data"],
            "data_type": "uint8",
            "nodata": legend.nodata,
            "classification:classes": legend.classes,
            **_file_info(path),
        }
        for name, (path, legend) in maps.items()
    }
    if picture is not None:
        assets["overview"] = {
            "href": relative(picture, file.parent),
            "type": "image/png",
            "title": "Scene and map with legend",
            "roles": ["overview"],
            **_file_info(picture),
        }
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [CLASSIFICATION_URI, FILE_URI, PROCESSING_URI, PROJECTION_URI],
        "id": file.stem,
        "geometry": footprint.geometry,
        "bbox": footprint.bbox,
        "properties": properties,
        "links": links,
        "assets": assets,
    }


def _file_info(path: Path) -> dict[str, Any]:
    origin = Origin.of(path)
    return {"file:size": origin.size, "file:checksum": SHA256 + origin.sha256}
