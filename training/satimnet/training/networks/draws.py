"""What a training draws: orders, windows and orientations, the same on every device.

torch's generators give other numbers on a GPU than on a CPU, and promise neither. Here a number
follows from the seed and its place alone: number k of a seed is that of SplitMix64, a bijection of
``seed + (k + 1) * step``. So the numbers of a seed are all different, and sorting by them gives one
order. They are made where they are wanted, as a GPU sorts sixteen million windows in no time.

G. Steele, D. Lea, C. Flood: Fast splittable pseudorandom number generators,
https://doi.org/10.1145/2660193.2660195.
"""

from __future__ import annotations

import torch
from torch import Tensor

_STEP = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST = 31


def numbers(count: int, seed: int, device: torch.device | None = None) -> Tensor:
    """The first `count` numbers of a seed: 64 bits each, as int64.

    Args:
        count: How many.
        seed: 0 or more; its last 64 bits count.
        device: Where they are to be; None: on the CPU.

    Returns:
        The numbers, int64 (count).

    Example:
        >>> [f"{number % 2**64:x}" for number in numbers(2, 0).tolist()]
        ['e220a8397b1dcdaf', '6e789e6aa1b965f4']
    """
    found = torch.arange(1, count + 1, dtype=torch.int64, device=device)
    found.mul_(_signed(_STEP)).add_(_signed(seed % 2**64))
    for bits, factor in _MIX:
        found.bitwise_xor_(_shifted(found, bits)).mul_(_signed(factor))
    return found.bitwise_xor_(_shifted(found, _LAST))


def shuffled(count: int, seed: int, device: torch.device | None = None) -> Tensor:
    """The numbers below `count` in an order drawn uniformly by `seed`, int64.

    Args:
        count: How many.
        seed: 0 or more; its last 64 bits count.
        device: Where they are to be; None: on the CPU. The order does not depend on it.

    Returns:
        The order, int64 (count).

    Example:
        >>> shuffled(8, 0).tolist()
        [7, 0, 3, 2, 4, 6, 5, 1]
    """
    return torch.argsort(numbers(count, seed, device))


def orientations(count: int, seed: int) -> Tensor:
    """One of the eight orientations of a square for each of `count` images, int64, on the CPU.

    Args:
        count: How many images.
        seed: 0 or more; its last 64 bits count.

    Returns:
        Numbers from 0 to 7, int64 (count): quarter turns, and 4 more where it is mirrored.

    Example:
        >>> orientations(8, 0).tolist()
        [7, 3, 0, 7, 0, 2, 1, 6]
    """
    return _shifted(numbers(count, seed), 61)


def _signed(value: int) -> int:
    """The same 64 bits as a number of int64; torch's int64 wraps around as unsigned ones do."""
    return value - 2**64 if value >= 2**63 else value


def _shifted(values: Tensor, bits: int) -> Tensor:
    """The bits moved to the right, with zeros from the left."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)
