"""Small scenes, and narrow networks that tell their pixels apart."""

import numpy as np
import rasterio
import torch
from rasterio import Affine
from torch import nn

from satimnet.training.networks.checkpoints import Checkpoint, build
from satimnet.training.networks.outputs import Class, Output

BANDS = ("B02", "B03", "B04", "B08")
LAND_COVER = Output(
    "class",
    tuple(
        Class(value, name, color)
        for value, (name, color) in enumerate(
            {
                "AnnualCrop": "E8C468",
                "Forest": "1B7837",
                "HerbaceousVegetation": "A6D96A",
                "Highway": None,
                "Industrial": "9E4FA5",
                "Pasture": "66C2A5",
                "PermanentCrop": "F28E2B",
                "Residential": "D7301F",
                "River": "6BAED6",
                "SeaLake": "08519C",
            }.items(),
            1,
        )
    ),
)
MASK = Output(
    "mask", (Class(1, "water", "0000FF"), Class(2, "built-up", "FF0000"), Class(3, "other"))
)
OUTPUTS = {"cnn-class": (LAND_COVER,), "cnn-segm": (MASK,), "cnn-dual": (LAND_COVER, MASK)}
MEAN, STD = (900.0, 1000.0, 1100.0, 2000.0), (400.0, 500.0, 600.0, 900.0)
PLACE = Affine(10, 0, 600000, 0, -10, 5000040)
SENSED = "2020-07-17T22:19:41.024Z"


def trained(kind, outputs, bands=BANDS):
    torch.manual_seed(7)
    width = 8
    model = build(kind, len(bands), outputs, width)
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if name.endswith(("bias", "mean")):
            nn.init.normal_(value, std=0.1)
        elif name.endswith("var"):
            nn.init.uniform_(value, 0.05, 0.3)
    mean, std = MEAN[: len(bands)], STD[: len(bands)]
    return Checkpoint(model, kind, width, bands, outputs, mean, std, {"seed": 7})


def texture(rows, columns, seed=0):
    """Values (band, y, x), uint16, in blotches of 16 and of 3 pixels; none is 0."""
    rng = np.random.default_rng(seed)
    image = np.zeros((4, rows, columns))
    for size, most in ((16, 3000), (3, 800)):
        shape = (4, rows // size + 1, columns // size + 1)
        blotches = rng.uniform(1, most, shape).repeat(size, 1).repeat(size, 2)
        image += blotches[:, :rows, :columns]
    return image.astype(np.uint16)


def write_scene(path, image, *, names=BANDS, crs="EPSG:32632", transform=PLACE, **options):
    _, rows, columns = image.shape
    profile = {"height": rows, "width": columns, "count": len(image), "dtype": image.dtype}
    with rasterio.open(
        path, "w", driver="GTiff", crs=crs, transform=transform, **profile, **options
    ) as file:
        file.write(image)
        for band, name in enumerate(names, 1):
            file.set_band_description(band, name)
    return path
