"""What is killed: each command that writes, on small inputs of its own."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from satimnet.builder import build

RECIPE = """
id = "fused"
title = "Fused"
description = "Drawn from one collection."
seed = 1
folds = 2
bands = ["B02", "B03", "B04", "B08"]
size = [64, 64]
resampling = "bilinear"

[[classes]]
value = 1
name = "Forest"
title = "Forest"
concept = "forest"

[[classes]]
value = 2
name = "Water"
title = "Water"
concept = "sea-or-lake"

[[draws]]
collection = "eurosat"
classes = ["Forest"]
number = 2
to = "Forest"

[[draws]]
collection = "eurosat"
classes = ["SeaLake"]
number = 2
to = "Water"
"""
_BANDS = "B02,B03,B04,B08"
_NETWORK = ["--collection", "eurosat", "--width", "4", "--batch-size", "4", "--device", "cpu"]
_NETWORK += ["--save-seconds", "0", "--quiet"]


@dataclass(frozen=True)
class Scenario:
    """A command and what is there before it."""

    name: str
    job: Callable[[Path | str], Any]
    """The arguments of ``stac``, or a download, for the folder that it works in."""
    start: str | None = None
    """The folder of `Inputs` that is copied to ``catalog`` in that folder before."""
    every: int = 1
    """It is killed in one of so many rounds: some take long."""
    in_store: bool = False
    """Whether it works in an object store."""


class Inputs:
    """Sources and catalogs that the commands read, and a web server on this machine."""

    def __init__(self, folder: Path) -> None:
        from stactools.eurosat.miniature import write_miniature as write_eurosat
        from stactools.uc_merced.miniature import write_miniature as write_uc_merced

        self.folder = folder
        write_eurosat(folder / "eurosat", 2)
        write_eurosat(folder / "newer", 1, seed=7)
        write_uc_merced(folder / "uc-merced", 1)
        for name, sources in {
            "one": ["uc-merced"],
            "old": ["newer", "uc-merced"],
            "both": ["eurosat", "uc-merced"],
            "small": ["newer"],
        }.items():
            build([folder / source for source in sources], folder / name, shard_size=2**20)
        (folder / "recipe.toml").write_text(RECIPE)
        self._scene()
        data = random.Random(1).randbytes(3_000_000)
        (folder / "web").mkdir()
        (folder / "web" / "file.bin").write_bytes(data)
        handler = partial(_Handler, directory=str(folder / "web"))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        Thread(target=self._server.serve_forever, daemon=True).start()
        self._download = {
            "url": f"http://127.0.0.1:{self._server.server_port}/file.bin",
            "size": len(data),
            "checksum": f"sha256:{hashlib.sha256(data).hexdigest()}",
        }

    def _scene(self) -> None:
        import numpy as np
        import rasterio
        import torch

        from satimnet.training.networks.checkpoints import Checkpoint
        from satimnet.training.networks.checkpoints import build as network
        from satimnet.training.networks.outputs import Class, Output

        classes = tuple(Class(k, name, None) for k, name in enumerate(("Forest", "River"), 1))
        outputs = (Output("class", classes),)
        torch.manual_seed(0)
        model = network("cnn-class", 4, outputs, 4)
        bands = tuple(_BANDS.split(","))
        mean, std = (1000.0,) * 4, (500.0,) * 4
        Checkpoint(model, "cnn-class", 4, bands, outputs, mean, std).save(self.folder / "net.pt")
        pixels = np.random.default_rng(0).integers(0, 3000, (4, 512, 256), np.uint16)
        profile = {"driver": "GTiff", "height": 512, "width": 256, "count": 4, "dtype": "uint16"}
        profile |= {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
        with rasterio.open(self.folder / "scene.tif", "w", **profile) as dataset:
            dataset.write(pixels)

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()

    def scenarios(self) -> list[Scenario]:
        """All of them, in a fixed order."""
        found = []

        def add(name: str, *arguments: str, **more: Any) -> None:
            found.append(Scenario(name, partial(self._arguments, arguments), **more))

        small = ("--shard-size", "256KiB", "--quiet")
        for scheduler, every in (("threads", 1), ("processes", 2)):
            command = ("build", "IN/eurosat", "--out", "CATALOG", *small, "--scheduler", scheduler)
            add(f"build new, {scheduler}", *command, every=every)
            for doing, start in (("add", "one"), ("replace", "old")):
                add(f"build {doing}, {scheduler}", *command, start=start, every=every)
        for doing, start in (("new", None), ("add", "one"), ("replace", "small")):
            command = ("build", "IN/eurosat", "--out", "CATALOG", "--quiet", "--no-overview")
            command += ("--scheduler", "threads")
            add(f"build {doing}, s3", *command, start=start, in_store=True)
        add(
            "fuse",
            *("fuse", "IN/recipe.toml", "CATALOG", "--without-masks", "--quiet"),
            *("--scheduler", "threads"),
            start="both",
        )
        add("copy new", "copy", "IN/both", "CATALOG", "--quiet")
        add(
            "copy into",
            *("copy", "IN/both", "CATALOG", "--collection", "eurosat", "--quiet"),
            start="one",
        )
        river = ("search", "IN/both", "--class", "River", "--quiet")
        add("search --save", *river, "--save", "OUT/part")
        add("search --copy", *river, "--copy", "OUT/part")
        for form in ("croissant", "trainingdml", "hugging-face"):
            add(f"export {form}", "export", "IN/both", "--format", form, "--out", "OUT", "--quiet")
        for scheduler, every in (("threads", 2), ("processes", 4)):
            command = ("quality", "IN/both", "--out", "OUT/quality", "--quiet")
            add(f"quality, {scheduler}", *command, "--scheduler", scheduler, every=every)
        found.append(
            Scenario("download", lambda work: self._download | {"folder": f"{work}/files"})
        )
        train = ("train", "IN/both", *_NETWORK, "--epochs", "3", "--holdout", "0.5")
        train += ("--out", "OUT/net")
        add("train", *train, every=2)
        add("train, two processes", *train, "--devices", "2", every=6)
        cross = ("--folds", "2", "--epochs", "1", "--out", "OUT/table")
        add("crossvalidate", "crossvalidate", "IN/both", *_NETWORK, *cross, every=3)
        scene = ("map", "IN/scene.tif", "--checkpoint", "IN/net.pt", "--bands", _BANDS)
        add(
            "map",
            *(*scene, "--datetime", "2020-01-01T00:00:00Z", "--device", "cpu"),
            *("--out", "OUT/map", "--quiet"),
            every=2,
        )
        add("new-dataset", "new-dataset", "city-trees", "OUT")
        return found

    def _arguments(self, arguments: tuple[str, ...], work: Path | str) -> list[str]:
        places = {"IN": self.folder, "OUT": work, "CATALOG": f"{work}/catalog"}
        filled = []
        for argument in arguments:
            first, slash, rest = argument.partition("/")
            filled.append(f"{places[first]}{slash}{rest}" if first in places else argument)
        return ["satimnet", *filled]


class _Handler(SimpleHTTPRequestHandler):
    """Sends a file from any byte on, slowly enough to be interrupted."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path)).read_bytes()
        wanted = self.headers.get("Range", "")
        first = int(wanted.removeprefix("bytes=").rstrip("-") or 0)
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", '"same"')
        self.send_header("Content-Length", str(len(data) - first))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        try:
            for at in range(first, len(data), 100_000):
                self.wfile.write(data[at : at + 100_000])
                time.sleep(0.01)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep the output clean."""
