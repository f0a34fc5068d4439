"""Lets torchvision be imported where its binaries do not fit torch.

Where only the CPU build of torch is to be had, torchvision may still be the CUDA build of the
package index. It then cannot load its operators, says nothing, and fails when it describes two of
them: "operator torchvision::nms does not exist". Networks need none of them to learn, and detectors
only ``nms`` to predict, which is written here. timm, torchgeo, torchmetrics and lightning import
torchvision if it is there.
"""

from __future__ import annotations

import importlib
import sys

import torch
from torch import Tensor

_DESCRIBED = {  # what torchvision/_meta_registrations.py asks for
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def import_torchvision() -> None:
    """Imports torchvision, if it is there, also where it cannot load its operators."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return
    except RuntimeError:
        if torch.version.cuda is not None:
            raise
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name, signature in _DESCRIBED.items():
            torch.library.define(f"torchvision::{name}", signature)
        torch.library.impl("torchvision::nms", "CPU", nms)
        importlib.import_module("torchvision")
        boxes = importlib.import_module("torchvision.ops.boxes")
        boxes._assert_has_ops = lambda: None  # type: ignore[attr-defined]  # it has this one


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """The boxes that overlap none with a higher score by more than a threshold.

    Args:
        boxes: float32 (box, 4): left, top, right, bottom.
        scores: float32 (box).
        iou_threshold: intersection over union.

    Returns:
        Which boxes, int64, the highest score first.
    """
    order = scores.sort(descending=True, stable=True).indices
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        first = boxes[order, :2].maximum(boxes[best, :2])
        last = boxes[order, 2:].minimum(boxes[best, 2:])
        shared = (last - first).clamp(min=0).prod(1)
        order = order[shared <= iou_threshold * (areas[order] + areas[best] - shared)]
    return torch.stack(kept) if kept else order
