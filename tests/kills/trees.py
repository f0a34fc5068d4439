"""Folders as their digests: what must be the same whether a run was killed or not."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

_TIMES = ("seconds", "examples_per_second")


def digests(folder: Path) -> dict[str, str]:
    """Digest of each file below a folder, hidden ones and empty folders included.

    Without what differs from run to run because it is measured: how long a training took.
    """
    return {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() or not any(path.iterdir())
    }


def _digest(path: Path) -> str:
    if path.is_dir():
        return "an empty folder"
    data = path.read_bytes()
    if path.suffix == ".pt":
        data = _state(path)
    elif path.name == "table.json":
        data = json.dumps(_timeless(json.loads(data))).encode()
    elif path.name == "table.md":
        data = re.sub(rb"- Training time: .*", b"", data)
    return hashlib.sha256(data).hexdigest()


def _state(path: Path) -> bytes:
    import torch

    return repr(_timeless(torch.load(path, weights_only=True))).encode()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in _TIMES}
    if isinstance(value, list | tuple):
        return [_timeless(v) for v in value]
    return value.numpy().tobytes() if hasattr(value, "numpy") else value
