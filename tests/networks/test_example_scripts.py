"""The scripts of examples/networks on the demo: they are short, and what they train learns."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from examples.networks.torchvision_cpu import import_torchvision, nms

SCRIPTS = Path(__file__).parents[2] / "examples" / "networks"
NEEDS = {"classifier": "timm", "segmenter": "monai", "detector": "torchvision"}


@pytest.mark.parametrize("name", NEEDS)
def test_a_script_is_short(name):
    assert len((SCRIPTS / f"{name}.py").read_text().splitlines()) <= 30


@pytest.mark.slow
@pytest.mark.examples
@pytest.mark.parametrize("name", NEEDS)
def test_a_script_trains_a_network(name, demo, tmp_path):
    import_torchvision()  # others import it
    pytest.importorskip(NEEDS[name], reason="needs the extra examples")
    shutil.copytree(demo / "catalog", tmp_path / "demo" / "catalog")
    done = subprocess.run(
        [sys.executable, SCRIPTS / f"{name}.py"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", done.stdout)]
    assert losses[-1] < 0.7 * losses[0]
    last = done.stdout.splitlines()[-1]
    if name == "classifier":  # ten classes
        right, all_ = map(int, re.findall(r"\d+", last))
        assert right > 0.5 * all_
    elif name == "segmenter":
        assert float(re.findall(r"[\d.]+", last)[0]) > 0.6
    else:  # the demo has too few objects to learn where they are
        assert re.fullmatch(r"P000\d_y\d+_x\d+: \d+ boxes", last)


def test_boxes_are_kept_as_by_hand():
    torch.manual_seed(0)
    corners = 100 * torch.rand(60, 2)
    boxes = torch.cat([corners, corners + 1 + 30 * torch.rand(60, 2)], 1)
    scores = torch.rand(60)
    wanted = []
    for one in sorted(range(60), key=lambda k: -scores[k]):
        if all(overlap(boxes[one].tolist(), boxes[k].tolist()) <= 0.3 for k in wanted):
            wanted.append(one)
    assert nms(boxes, scores, 0.3).tolist() == wanted
    assert nms(boxes[:0], scores[:0], 0.3).tolist() == []


def overlap(one, other):
    """Intersection over union."""
    sides = [min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1)]
    shared = max(0, sides[0]) * max(0, sides[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)
