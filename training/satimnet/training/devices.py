"""What a network is computed on, and how precisely."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from satimnet.builder.errors import SatimnetError


def pick_device(name: str | None) -> torch.device:
    """Return the device of that name; with None the GPU if there is one, else the CPU.

    Raises `SatimnetError` when there is no such device.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise SatimnetError(f"device {name}: torch cannot use it here; use cpu") from error
    return device


def reduced_precision(device: torch.device) -> torch.autocast:
    """Return the context that computes in bfloat16 where the device is faster at it.

    On a processor with AVX512-BF16 training takes half the time; without, bfloat16 is slower.
    """
    capabilities: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    fast = device.type == "cuda" or bool(capabilities().get("avx512_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)
