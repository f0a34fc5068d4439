"""A miniature iSAID in its official layout, with made-up pixels, for the demo and the tests.

Three training, two validation and one test scene, drawn as the miniature of DOTA draws them. Label
files have what the real ones have: other category ids in training than in validation, objects of
several outlines, names of the masks with each image, and a second edition with a date.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stactools.dota.miniature import SHAPES, Placed, picture, write_archive

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "ship": (0, 0, 63),
    "storage_tank": (0, 63, 63),
    "tennis_court": (0, 63, 127),
    "Bridge": (0, 127, 63),
    "Large_Vehicle": (0, 127, 127),
    "Small_Vehicle": (0, 0, 127),
    "Swimming_pool": (0, 0, 255),
    "Soccer_ball_field": (0, 127, 191),
    "Harbor": (0, 100, 155),
}
"""Classes of the miniature by their names in label files, with the colours of the masks."""

_Ring = list[tuple[float, float]]
_Scene = tuple[str, tuple[int, int], Sequence[tuple[str, Placed]]]


def write_miniature(folder: Path, seed: int = 0) -> list[Path]:
    """Writes the splits into ``folder`` and returns it; the same seed gives the same pixels."""
    for split, scenes in _scenes().items():
        top = folder / split
        pictures, semantic, instances = {}, {}, {}
        for at, (name, scene) in enumerate(scenes.items()):
            ground, shape, objects = scene
            number = seed + 100 + 10 * len(split) + at
            pictures[f"images/{name}.png"] = picture(
                ground, shape, [item for _, item in objects], number
            )
            drawn = list(_drawn(objects))
            colours = [COLOURS[kind] for kind, _ in drawn]
            semantic[f"images/{name}_instance_color_RGB.png"] = _mask(shape, drawn, colours)
            own = [(75 + 5 * (n // 40), 25 + 5 * (n % 40), 120) for n in range(len(drawn))]
            instances[f"images/{name}_instance_id_RGB.png"] = _mask(shape, drawn, own)
        write_archive(top / "images" / "part1.zip", pictures)
        if split == "test":
            (top / "test_info.json").write_text("{}\n")
            continue
        write_archive(top / "Semantic_masks" / "images.zip", semantic)
        write_archive(top / "Instance_masks" / "images.zip", instances)
        text = json.dumps(_labels(scenes, reverse=split == "val"))
        (top / "Annotations").mkdir()
        (top / "Annotations" / f"iSAID_{split}.json").write_text(text)
        if split == "train":
            (top / "Annotations" / "iSAID_train_20190823_114751.json").write_text(text)
    return [folder]


def _scenes() -> dict[str, dict[str, _Scene]]:
    """Scenes by split and name: ground, (rows, columns) and objects."""
    ships = [
        ("ship", Placed("ship", 50 + 40 * n, 60 + 6 * n, 48, 16, 70 + 8 * n)) for n in range(5)
    ]
    pier = [("Harbor", Placed("harbor", 130, 140, 210, 22, 3))]
    cars = [
        ("Small_Vehicle", Placed("small-vehicle", 40 + 24 * n, 50 + 50 * row, 24, 12, 86))
        for n in range(8)
        for row in range(2)
    ]
    trucks = [
        ("Large_Vehicle", Placed("large-vehicle", 70 + 80 * n, 170, 60, 18, 6)) for n in (0, 1)
    ]
    tanks = [
        ("storage_tank", Placed("storage-tank", 50 + 64 * n, 60 + 64 * row, 44, 44))
        for n in range(3)
        for row in range(2)
    ]
    courts = [("tennis_court", Placed("tennis-court", 60 + 80 * n, 70, 92, 50, 95)) for n in (0, 1)]
    field = [("Soccer_ball_field", Placed("soccer-ball-field", 130, 175, 150, 70, 4))]
    pool = [("Swimming_pool", Placed("swimming-pool", 210, 70, 34, 22, 15))]
    bridge = [("Bridge", Placed("bridge", 120, 100, 330, 24, -20))]
    return {
        "train": {
            "P0000": ("water", (210, 260), [*pier, *ships]),
            "P0001": ("asphalt", (220, 250), [*trucks, *cars]),
            "P0002": ("soil", (200, 240), tanks),
        },
        "val": {
            "P0003": ("grass", (230, 250), [*field, *courts, *pool]),
            "P0004": ("water", (200, 240), [*bridge, *ships[:2]]),
        },
        "test": {"P0006": ("water", (200, 220), ships[1:4])},
    }


def _outlines(item: Placed) -> list[_Ring]:
    """The outlines of an object; a harbour is in two parts, with water between them."""
    whole = SHAPES[item.name][0][0]
    if item.name != "harbor":
        return [item.placed(whole)]
    left = ((-0.5, -0.5), (-0.1, -0.5), (-0.1, 0.5), (-0.5, 0.5))
    right = ((0.1, -0.5), (0.5, -0.5), (0.5, 0.5), (0.1, 0.5))
    return [item.placed(left), item.placed(right)]


def _drawn(objects: Sequence[tuple[str, Placed]]) -> Iterator[tuple[str, list[_Ring]]]:
    """Classes and outlines, in whole pixels as the publisher's."""
    for kind, item in objects:
        yield kind, [[(round(x), round(y)) for x, y in ring] for ring in _outlines(item)]


def _mask(
    shape: tuple[int, int],
    drawn: Sequence[tuple[str, list[_Ring]]],
    colours: Sequence[tuple[int, int, int]],
) -> bytes:
    """The objects as a PNG of their colours on black, later ones on top."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", shape[::-1])
    draw = ImageDraw.Draw(image)
    for (_, rings), colour in zip(drawn, colours, strict=True):
        for ring in rings:
            draw.polygon(ring, fill=colour)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _labels(scenes: Mapping[str, _Scene], *, reverse: bool) -> dict[str, Any]:
    """A label file; the category ids run down where ``reverse``."""
    names = sorted(COLOURS, reverse=reverse)
    ids = {name: number for number, name in enumerate(names, 1)}
    content: dict[str, Any] = {
        "images": [],
        "categories": [{"id": ids[name], "name": name} for name in names],
        "annotations": [],
    }
    for number, (name, (_, (rows, columns), objects)) in enumerate(scenes.items()):
        content["images"].append(
            {
                "id": number,
                "width": columns,
                "height": rows,
                "file_name": f"{name}.png",
                "ins_file_name": f"{name}_instance_id_RGB.png",
                "seg_file_name": f"{name}_instance_color_RGB.png",
            }
        )
        for kind, rings in _drawn(objects):
            x, y = zip(*(point for ring in rings for point in ring), strict=True)
            content["annotations"].append(
                {
                    "id": len(content["annotations"]),
                    "image_id": number,
                    "category_id": ids[kind],
                    "category_name": kind,
                    "iscrowd": 0,
                    "bbox": [min(x), min(y), max(x) - min(x), max(y) - min(y)],
                    "segmentation": [
                        [value for point in ring for value in point] for ring in rings
                    ],
                }
            )
    return content
