"""A made-up dataset of two sensors, built by the builder: integers of an optical one, and radar in
real numbers, on a grid half as fine, with no-data values and times of its own."""

import numpy as np

from satimnet.builder import build
from satimnet.builder.datasets import Dataset
from satimnet.builder.imagery.encoding import encode_geotiff
from satimnet.builder.imagery.grids import Grid
from satimnet.builder.samples import Member, Sample

FINE, COARSE = 16, 8
OPTICAL, RADAR = ("B02", "B03", "B04", "B08"), ("VV", "VH")
NO_RADAR = -9999.0
CLASSES = ("calm", "wind")
TYPE = "image/tiff; application=geotiff"


def record(radar=COARSE):
    """What the package's ``dataset.toml`` would say; radar images have so many pixels a side."""
    assets = {
        "s2": {
            **{"title": "Optical", "roles": ["data"], "type": TYPE, "data_type": "uint16"},
            **{"shape": [FINE, FINE], "nodata": 0, "bands": [{"name": name} for name in OPTICAL]},
        }
    }
    for name in RADAR:
        assets[name.lower()] = {
            **{"title": name, "roles": ["data"], "type": TYPE, "data_type": "float32"},
            **{"shape": [radar, radar], "bands": [{"name": name, "nodata": NO_RADAR}]},
            "own_datetime": True,
        }
    return {
        **{"id": "pair", "title": "Pair", "description": "Two sensors.", "license": "CC0-1.0"},
        **{"keywords": [], "providers": [], "links": [], "layout": "none", "assets": assets},
        **{"start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2020-12-31T00:00:00Z"},
        **{"bbox": [0, 40, 10, 50], "collection": {}, "properties": {}},
        "classes": [{"value": at, "name": name} for at, name in enumerate(CLASSES, 1)],
    }


def grid(side, number):
    """Where a patch lies: the patches have the same corners in both sensors."""
    step = 10.0 * FINE / side
    return Grid((side, side), "EPSG:32631", (step, 0.0, 5e5 + 200 * number, 0.0, -step, 5e6))


def drawn(count, seed=0, radar=COARSE):
    """Patches: arrays (band, y, x) by asset, with a little no data in each, and a class."""
    generator = np.random.default_rng(seed)
    patches = []
    for number in range(count):
        s2 = generator.integers(1, 4000, (4, FINE, FINE), np.uint16)
        back = generator.normal(-12, 4, (2, radar, radar)).astype(np.float32)
        s2[:, 2, 3] = 0
        back[0, 4:6, 4:6] = NO_RADAR
        images = {"s2": s2, "vv": back[:1], "vh": back[1:]}
        patches.append({"images": images, "class": CLASSES[number % 2]})
    return patches


def samples_of(patches):
    """The samples; radar is of the day after."""
    for number, patch in enumerate(patches):
        name = f"patch_{number:04d}"
        members = tuple(
            Member(key, f"{name}/{key}.tif", encode_geotiff(pixels, grid(pixels.shape[1], number)))
            for key, pixels in patch["images"].items()
        )
        time = f"2020-05-{1 + number % 28:02d}T10:00:00Z"
        after = f"2020-05-{2 + number % 28:02d}T17:30:00Z"
        own = {key: after for key in ("vv", "vh") if key in patch["images"]}
        yield Sample(name, (), members, (patch["class"],), datetime=time, datetimes=own)


def write_pair(folder, patches):
    """The catalog of the patches; the place of its catalog.json."""
    radar = next(patch["images"]["vv"].shape[1] for patch in patches)
    dataset = Dataset(record(radar), lambda *_: samples_of(patches))
    assigned, datasets = {"pair": ()}, {"pair": dataset}
    build([], folder / "catalog", assigned=assigned, datasets=datasets, overview=False)
    return folder / "catalog" / "catalog.json"
