"""What a network is computed on, how precisely, and by how many processes."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage.parallel import end_with_parent


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


def device_name(device: torch.device) -> str:
    """Return what the device is called, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores"


def reduced_precision(device: torch.device) -> torch.autocast:
    """Return the context that computes in bfloat16 where the device is faster at it.

    On a processor with AVX512-BF16 training takes half the time; without, bfloat16 is slower.
    """
    capabilities: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    fast = device.type == "cuda" or bool(capabilities().get("avx512_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


@dataclass(frozen=True)
class Rank:
    """One of `count` processes that train a network together, and its device."""

    device: torch.device
    number: int = 0
    count: int = 1


def run_on(
    device: torch.device, count: int, function: Callable[..., None], *arguments: object
) -> None:
    """Call ``function(rank, *arguments)`` here, or in `count` processes at once.

    Of several processes each has a GPU of its own, or a share of the cores, and they form torch's
    default process group (NCCL on GPUs, Gloo on the CPU). Function and arguments must pickle.
    Raises `SatimnetError` when there are not so many GPUs, and what the function raises.
    """
    if count == 1:
        function(Rank(device), *arguments)
        return
    if device.type == "cuda" and count > torch.cuda.device_count():
        raise SatimnetError(f"{count} devices: there are {torch.cuda.device_count()} GPUs")
    with tempfile.TemporaryDirectory() as folder:
        spawned = (device.type, count, folder, function, arguments)
        try:
            spawn(_member, spawned, nprocs=count)  # type: ignore[no-untyped-call]  # torch's
        except ProcessExitedException:
            message = Path(folder, "error")
            if not message.exists():
                raise
            raise SatimnetError(message.read_text()) from None


def _member(
    number: int,
    kind: str,
    count: int,
    folder: str,
    function: Callable[..., None],
    arguments: tuple[object, ...],
) -> None:
    end_with_parent()
    if kind == "cuda":
        torch.cuda.set_device(number)
        device = torch.device("cuda", number)
    else:
        device = torch.device("cpu")
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    torch.distributed.init_process_group(
        "nccl" if kind == "cuda" else "gloo",
        init_method=f"file://{folder}/group",
        rank=number,
        world_size=count,
    )
    try:
        function(Rank(device, number, count), *arguments)
    except SatimnetError as error:  # a traceback would be no help: the message goes to the parent
        Path(folder, "error").write_text(str(error))
        os._exit(1)  # without waiting for the others, whom the parent ends
    torch.distributed.destroy_process_group()
    sys.stdout.flush()
