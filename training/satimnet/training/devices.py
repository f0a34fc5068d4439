"""What a network is computed on, how precisely, and by how many processes."""

from __future__ import annotations

import atexit
import os
import pickle
import platform
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from satimnet.builder.errors import ArgumentError, SatimnetError
from satimnet.builder.storage.parallel import end_with_parent

R = TypeVar("R")

_SECONDS_BETWEEN_NEWS = 0.1
_LONGEST_WAIT = timedelta(hours=6)
"""How long processes wait for the first one, which may have to hash many files before a training.

torchrun ends all of them as soon as one has failed.
"""
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def pick_device(name: str | None) -> torch.device:
    """The device of that name; with None the GPU if there is one, else the CPU.

    Raises:
        ArgumentError: there is no such device here.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise ArgumentError(
            f"device {name}: torch cannot use it here; use cpu", "device"
        ) from error
    return device


def device_name(device: torch.device) -> str:
    """What the device is called, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores"


def reduced_precision(device: torch.device) -> torch.autocast:
    """The context that computes in bfloat16 where the device is faster at it.

    On a processor with AVX512-BF16 training takes half the time; without, bfloat16 is slower.
    """
    capabilities: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    fast = device.type == "cuda" or bool(capabilities().get("avx512_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def finished(device: torch.device) -> None:
    """Waits until the device has finished its work: Python does not wait for a GPU by itself.

    Whoever takes the time asks this first.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Rank:
    """One of `count` processes that train a network together, and its device."""

    device: torch.device
    number: int = 0
    count: int = 1


@dataclass(frozen=True)
class Launched:
    """This process among the `count` that torchrun started, on one machine or several.

    here, count_here: the same on this machine.
    """

    number: int
    count: int
    here: int
    count_here: int

    @classmethod
    def found(cls) -> Launched | None:
        """What the environment says; None where torchrun has not started several processes.

        Raises:
            ArgumentError: the environment does not say it in numbers that can be.
        """
        if any(name not in os.environ for name in _TORCHRUN):
            return None
        try:
            number, count, here = (int(os.environ[name]) for name in _TORCHRUN[:3])
            count_here = int(os.environ.get("LOCAL_WORLD_SIZE", count))
        except ValueError as error:
            raise ArgumentError(f"RANK, WORLD_SIZE or LOCAL_RANK: {error}") from error
        if not (0 <= number < count and 0 <= here < count_here):
            raise ArgumentError(
                f"RANK {number}, WORLD_SIZE {count}, LOCAL_RANK {here}: there is no such process; "
                "start it by torchrun"
            )
        return cls(number, count, here, count_here) if count > 1 else None

    def require_devices(self, devices: int) -> int:
        """The number of processes; refuses another one than 1, which stands for any."""
        if devices not in (1, self.count):
            raise ArgumentError(
                f"devices {devices}: torchrun has started {self.count} processes; leave it out",
                "devices",
            )
        return self.count

    def join(self, kind: str) -> Rank:
        """This process with its device, in torch's default process group with the others.

        The group is made at the first call, and stays until the process ends.

        Raises:
            ArgumentError: there are not so many GPUs here.
        """
        if kind == "cuda":
            if self.count_here > torch.cuda.device_count():
                raise ArgumentError(
                    f"torchrun has started {self.count_here} processes here, and there are "
                    f"{torch.cuda.device_count()} GPUs; start one for each",
                    "devices",
                )
            torch.cuda.set_device(self.here)
            device = torch.device("cuda", self.here)
        else:
            device = torch.device("cpu")
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // self.count_here))
        if not torch.distributed.is_initialized():
            backend = "nccl" if kind == "cuda" else "gloo"
            torch.distributed.init_process_group(backend, timeout=_LONGEST_WAIT)
            atexit.register(_leave_group)
        return Rank(device, self.number, self.count)


def _leave_group() -> None:
    with suppress(Exception):  # others may have ended before
        torch.distributed.destroy_process_group()


def first_alone(rank: Rank, work: Callable[[], R]) -> R:
    """What `work` returns in the first process of the group, for all of them.

    Raises:
        SatimnetError: the first process raised it; all of them do then.
    """
    outcome: list[Any] = [None, None]
    if rank.number == 0:
        try:
            outcome[0] = work()
        except SatimnetError as refusal:
            outcome[1] = refusal
    torch.distributed.broadcast_object_list(outcome, src=0, device=rank.device)
    value, error = outcome
    if error is not None:
        raise error
    found: R = value
    return found


def run_on(
    device: torch.device,
    count: int,
    function: Callable[..., None],
    *arguments: object,
    hear: Callable[..., None],
) -> None:
    """Calls ``function(rank, tell, *arguments)`` here, or in several processes at once.

    Of several processes each has a GPU of its own, or a share of the cores, and they form torch's
    default process group (NCCL on GPUs, Gloo on the CPU). Function and arguments must pickle.

    Args:
        device: the device, or the kind of all devices.
        count: how many processes.
        function: what they do.
        arguments: of the function.
        hear: called here with whatever the first process calls ``tell`` with.

    Raises:
        ArgumentError: there are not so many GPUs.
        SatimnetError: the function raised it.
    """
    if count == 1:
        function(Rank(device), hear, *arguments)
        return
    if device.type == "cuda" and count > torch.cuda.device_count():
        raise ArgumentError(
            f"devices {count}: there are {torch.cuda.device_count()} GPUs", "devices"
        )
    with TemporaryDirectory() as folder:
        receiver, sender = get_context("spawn").Pipe(duplex=False)
        spawned = (device.type, count, folder, sender, function, arguments)
        processes = spawn(_member, spawned, nprocs=count, join=False)  # type: ignore[no-untyped-call]  # torch's
        sender.close()  # the processes have it
        try:
            while not processes.join(timeout=_SECONDS_BETWEEN_NEWS):
                _hear_all(receiver, hear)
            _hear_all(receiver, hear)
        except ProcessExitedException:
            file = Path(folder, "error")
            if not file.exists():
                raise
            error: SatimnetError = pickle.loads(file.read_bytes())
            raise error from None
        finally:
            receiver.close()
            for process in processes.processes:  # some are left where `hear` raised
                process.terminate()
                process.join()


def _hear_all(receiver: Connection[Any, Any], hear: Callable[..., None]) -> None:
    """Passes on what has been told so far."""
    try:
        while receiver.poll():
            hear(*receiver.recv())
    except EOFError:  # all processes have ended
        pass


def _member(
    number: int,
    kind: str,
    count: int,
    folder: str,
    sender: Connection[Any, Any],
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

    def tell(*news: object) -> None:
        if number == 0:
            sender.send(news)

    try:
        function(Rank(device, number, count), tell, *arguments)
    except SatimnetError as error:  # a traceback would be no help: the message goes to the parent
        Path(folder, "error").write_bytes(pickle.dumps(error))
        os._exit(1)  # without waiting for the others, whom the parent ends
    torch.distributed.destroy_process_group()
    sys.stdout.flush()
