"""Chipping: large images become a collection of chips of one size, with their labels.

Call `chip`. ``chip_grid`` says where the chips lie, ``clipping`` cuts objects, and ``chip_files``
cuts pixels when a shard is packed.
"""

from satimnet.builder.chipping.chips import Chipped, chip

__all__ = ["Chipped", "chip"]
