"""Lets torchgeo be imported where torchvision's binaries do not fit torch.

Where only the CPU build of torch is to be had, torchvision may still be the CUDA build of the
package index. It then cannot load its operators, says nothing, and fails when it describes two of
them: "operator torchvision::nms does not exist". torchgeo's EuroSAT uses none of its operators;
it is enough that their names are known.
"""

from __future__ import annotations

import importlib
import sys

import torch

_DESCRIBED = ("nms", "qnms")  # the names that torchvision/_meta_registrations.py asks for


def import_torchvision() -> None:
    """Imports torchvision; where it cannot load its operators, declares their names first."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        if torch.version.cuda is not None:
            raise
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in _DESCRIBED:
            torch.library.define(f"torchvision::{name}", "(Tensor boxes) -> Tensor")
        importlib.import_module("torchvision")
