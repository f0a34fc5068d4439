"""What bounds a step of training: the products it needs, and the bytes that it must move.

Both ceilings are measured on the device itself: a large product of bfloat16 matrices, and a copy
within its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.clock import Figures, Setting, step_seconds

_HEAVY = ("convolution", "convolution_backward", "mm", "addmm", "bmm", "baddbmm")
"""Operations whose inputs and outputs must be in memory. Everything between two of them could be
done on the way: normalisation, activation, pooling, dropout."""
_COUNTED = (8, 16)  # examples


@dataclass(frozen=True)
class Ceilings:
    """The most that the device does in a second."""

    products: float
    """Floating-point operations of bfloat16."""
    moved: float
    """Bytes read and written."""

    def described(self) -> Figures:
        """As JSON has it."""
        return {"bf16_flop_per_second": self.products, "bytes_per_second": self.moved}


@dataclass(frozen=True)
class Needed:
    """What a step cannot do without."""

    products: float
    moved: float

    def seconds(self, ceilings: Ceilings) -> float:
        """The least that it can take."""
        return max(self.products / ceilings.products, self.moved / ceilings.moved)


def ceilings_of(setting: Setting) -> Ceilings:
    """Measures them."""
    side = 256 if setting.small else 8192
    like: dict[str, Any] = {"device": setting.device, "dtype": torch.bfloat16}
    one, other = torch.randn(side, side, **like), torch.randn(side, side, **like)
    product = min(step_seconds(lambda: torch.mm(one, other), setting))
    size = 2**22 if setting.small else 2**32
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=setting.device)
    target = torch.empty_like(source)
    copy = min(step_seconds(lambda: target.copy_(source), setting))
    return Ceilings(2 * side**3 / product, 2 * size / copy)


def needed_by(step: Callable[[int], Callable[[], object]]) -> Callable[[int], Needed]:
    """What a step needs, by the size of its batch: told from two small ones, as it grows evenly.

    Args:
        step: Gives the step for a size of batch.
    """
    few, more = (_counted(step(size)) for size in _COUNTED)

    def at(size: int) -> Needed:
        share = (size - _COUNTED[0]) / (_COUNTED[1] - _COUNTED[0])
        return Needed(
            few.products + share * (more.products - few.products),
            few.moved + share * (more.moved - few.moved),
        )

    return at


def _counted(work: Callable[[], object]) -> Needed:
    work()  # what is done only once
    with FlopCounterMode(display=False) as products, _Moved() as moved:
        work()
    return Needed(products.get_total_flops(), moved.bytes)


class _Moved(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Counts the bytes that go into and come out of the heavy operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in _HEAVY:
            self.bytes += sum(x.numel() * x.element_size() for x in _tensors((args, out)))
        return out


def _tensors(values: Any) -> Iterable[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)
