"""Chipping: large images become a collection of chips of one size, with their labels.

`chip` is the whole of it. ``chip_grid`` says where the chips lie, ``clipping`` what becomes of
objects, ``chip_files`` cuts pixels when a shard is packed.
"""

from satimnet.builder.chipping.chips import Chipped, chip

__all__ = ["Chipped", "chip"]
