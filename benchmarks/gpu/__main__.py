"""``python -m benchmarks.gpu``: what a GPU does for this project, in one run under ten minutes.

Nothing is fetched, and all data is made on the spot. Without a GPU everything runs on the CPU, with
few samples and small networks: that shows that it runs, and not how fast. See README.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.clock import Figures, Setting
from benchmarks.gpu.feeding import batches, epochs, feeds, sizes, trained
from benchmarks.gpu.generated import make
from benchmarks.gpu.roofline import ceilings_of
from benchmarks.gpu.sameness import sameness
from benchmarks.gpu.scenes import maps
from benchmarks.gpu.steps import steps
from benchmarks.table import where
from satimnet.training.devices import device_name, pick_device

_COUNT = 27_000
_FEW = 40
_SECONDS = 540.0
_MEMORY = Path("/dev/shm")
_ROOM = 4 * 2**30


def main() -> None:
    """Measures, prints, and writes JSON after each part; fails if a part has failed."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures")
    parser.add_argument("--device", help="cpu or cuda; by default the GPU if there is one")
    parser.add_argument("--small", action="store_true", help="few samples: a smoke test")
    parser.add_argument("--revision", help="the commit, where there is no git to ask")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="when to end")
    arguments = parser.parse_args()
    end = time.perf_counter() + arguments.seconds
    device = pick_device(arguments.device)
    small = arguments.small or device.type != "cuda"
    failed = []
    with tempfile.TemporaryDirectory(dir=_room(), prefix="bench-gpu-") as folder:
        setting = Setting(device, small, Path(folder), end)
        found = _where(setting, arguments.revision)
        for name, part in _parts(setting):
            print(name, flush=True)
            try:
                for done in _lines(part()):
                    found[name] = done
                    if arguments.json is not None:
                        arguments.json.write_text(json.dumps(found, indent=1))
            except Exception:  # the other parts are worth having
                failed.append(name)
                traceback.print_exc()
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    same = found["sameness"]
    if not (same["draws_equal"] and same["batches_equal"]):
        sys.exit("the device draws or reads otherwise than the CPU")


def _parts(setting: Setting) -> Iterator[tuple[str, Callable[[], Figures | Iterator[Figures]]]]:
    """The parts in their order: those that take long to prepare come last."""
    samples = make(setting.folder, _FEW if setting.small else _COUNT)
    some = samples.subset(np.arange(min(len(samples), 2_000)))
    ceilings = ceilings_of(setting)
    yield "data", lambda: sizes(samples)
    yield "ceilings", ceilings.described
    yield "sameness", lambda: sameness(setting, some)
    yield "batches", lambda: batches(setting, samples)
    yield "feeds", lambda: feeds(setting, samples)
    yield "epochs", lambda: epochs(setting, samples)
    yield "train", lambda: trained(setting, samples)
    yield "maps", lambda: maps(setting)
    yield "steps", lambda: steps(setting, ceilings)


def _lines(part: Figures | Iterator[Figures]) -> Iterator[Figures | list[Figures]]:
    """Prints the figures of a part as they come; gives all that are there so far."""
    if isinstance(part, dict):
        _show(part)
        yield part
        return
    lines: list[Figures] = []
    for line in part:
        _show(line)
        lines.append(line)
        yield lines


def _room() -> Path | None:
    """A folder in memory, if the samples fit into it."""
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM
    return _MEMORY if in_memory else None


def _where(setting: Setting, commit: str | None) -> Figures:
    found = where()
    return {
        **found,
        "revision": commit or found["revision"],
        "device": device_name(setting.device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "small": setting.small,
    }


def _show(line: Figures) -> None:
    print(f"  {', '.join(f'{k} {_shown(v)}' for k, v in line.items())}", flush=True)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        if value.keys() == {"median", "least", "most"}:
            least, most = (_shown(value[key]) for key in ("least", "most"))
            return f"{_shown(value['median'])} ({least} to {most})"
        return f"({', '.join(f'{k} {_shown(v)}' for k, v in value.items())})"
    if isinstance(value, list):
        return f"[{'; '.join(map(_shown, value))}]"
    return str(value)


if __name__ == "__main__":
    main()
