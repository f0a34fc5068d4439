"""Generated sources with known objects, in the official layouts of DOTA and Inria."""

import zipfile

import numpy as np
from PIL import Image, ImageDraw
from planted import scene

from stactools.inria.miniature import ARCHIVE, geotiff
from stactools.inria.miniature import scene as houses

SHIP, TANK = (232, 228, 220), (196, 60, 52)


def write_dota(folder, learned=40, held_out=8, side=512, objects=28, seed=0):
    """Scenes with ships, which lie in any direction, and round tanks; none touches another."""
    for split, count in (("train", learned), ("val", held_out)):
        (folder / split / "images").mkdir(parents=True)
        (folder / split / "labelTxt").mkdir()
        for number in range(count):
            name = f"P{number + (1000 if split == 'val' else 0):04d}"
            rng = np.random.default_rng((seed, number, split == "val"))
            image = Image.fromarray(scene(int(rng.integers(2**31)), side) // 2)
            draw, lines, centres = ImageDraw.Draw(image), ["imagesource:GoogleEarth", "gsd:0.5"], []
            while len(centres) < objects:
                centre = rng.uniform(20, side - 20, 2)
                if any(np.hypot(*(centre - other)) < 44 for other in centres):
                    continue
                centres.append(centre)
                ship = len(centres) % 2 == 0
                length, width = (rng.uniform(24, 36), rng.uniform(13, 18)) if ship else [18, 18]
                turn = rng.uniform(0, np.pi) if ship else 0
                along = length / 2 * np.array([np.cos(turn), np.sin(turn)])
                across = width / 2 * np.array([-np.sin(turn), np.cos(turn)])
                corners = [centre + a * along + b * across for a, b in _CORNERS]
                if ship:
                    draw.polygon([tuple(corner) for corner in corners], fill=SHIP)
                else:
                    draw.ellipse([tuple(centre - 9), tuple(centre + 9)], fill=TANK)
                numbers = " ".join(f"{x:.1f} {y:.1f}" for x, y in corners)
                lines.append(f"{numbers} {'ship' if ship else 'storage-tank'} 0")
            image.save(folder / split / f"images/{name}.png")
            (folder / split / f"labelTxt/{name}.txt").write_text("\n".join(lines))


_CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))


def write_inria(folder, towns=("austin", "vienna"), each=6, seed=0):
    """Houses, streets and trees, as in the demo, with their masks; other ones for each number."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / ARCHIVE, "w") as archive:
        for town in towns:
            for number in range(1, each + 1):
                rng = np.random.default_rng((seed, towns.index(town), number))
                pair = zip(("images", "gt"), houses(rng), strict=True)
                for part, pixels in pair:
                    path = f"AerialImageDataset/train/{part}/{town}{number}.tif"
                    archive.writestr(path, geotiff(pixels, town, number))
