"""The types of arrays and labels that the modules of this wing share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Pixels, of the dtype of their files or of the batch."""
Numbers = NDArray[np.int64]
"""Row numbers, class numbers or positions in files."""
Labels = Literal["auto", "class", "classes"]
"""What to learn of a sample: its one class, any number of classes, or whichever fits all."""

Objects = Literal["boxes", "oriented", "polygons", "masks"]
"""What is given of objects beside their labels; boxes always are."""
WindowsBy = Literal["random", "grid"]
"""Whether windows are drawn by seed, or lie side by side."""
Images = Mapping[str, Sequence[str] | None]
"""Images of several sensors: names, and the bands of each; None: all of the asset of that name."""
Resample = Literal["nearest", "bilinear"]
"""How images are brought to another grid."""
Dtype = Literal["float32", "stored"]
"""Whether values are given as float32, or as they are stored."""
