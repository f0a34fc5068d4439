"""What the fields hold. The JSON Schema says the same, and is what validates."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

ClassificationProblem = Literal[
    "object detection",
    "pixel-based detection",
    "pixel-based classification",
    "patch-based classification",
    "patch-based land cover classification",
]
Task = Literal[
    "object-detection",
    "semantic-segmentation",
    "instance-segmentation",
    "panoptic-segmentation",
    "scene-classification",
    "multi-label-classification",
    "change-detection",
    "regression",
]
AnnotationMethod = Literal[
    "manual", "automated", "semi-automated", "expert", "volunteer", "crowdsourced", "derived"
]
VerificationMethod = Literal["visual", "statistical", "field", "cross-check"]
DocumentationQuality = Literal["not detailed", "moderate", "good", "very good"]
Informative = Literal["no", "yes", "at class level"]
Split = Literal["train", "validation", "test"]
Axis = Literal["y", "x", "band"]

ClassConversion = TypedDict(
    "ClassConversion", {"converted": bool, "from": NotRequired[str], "to": NotRequired[str]}
)
"""Whether the annotations were turned into label images; if so, from and to which format."""


class NamingConvention(TypedDict):
    """What file names tell, and how they are put together (placeholders in braces)."""

    informative: Informative
    pattern: NotRequired[str]


class ResearchUse(TypedDict):
    """A piece of research that used the dataset: at least one of ``href`` and ``doi``."""

    title: str
    purpose: str
    href: NotRequired[str]
    doi: NotRequired[str]


class CitationCount(TypedDict):
    """How often the dataset was cited, according to whom, on which day (YYYY-MM-DD)."""

    count: int
    source: str
    date: str


class RecipeText(TypedDict):
    """The recipe that a dataset was fused by, and the names of the layers its masks are cut from.

    ``sha256`` is that of ``text`` in UTF-8, hexadecimal.
    """

    text: str
    sha256: str
    layers: list[str]


class Pixels(TypedDict):
    """Where uncompressed pixels lie, such that ``numpy.frombuffer`` needs nothing else.

    ``offset`` counts bytes from the start of the file that the asset's ``href`` names, ``dtype`` is
    a NumPy type string with byte order (``<u2``, ``|u1``), ``shape`` has one length per axis of
    ``order``, the slowest axis first.
    """

    offset: int
    dtype: str
    shape: list[int]
    order: list[Axis]


ClassStatistics = TypedDict(
    "ClassStatistics", {"class": str, "count": NotRequired[int], "pixels": NotRequired[int]}
)
"""How many annotated objects and how many pixels of the mask a class has: one of them or both."""

Original = TypedDict("Original", {"path": str, "type": str, "file:size": int, "file:checksum": str})
"""The publisher's file: path in the distribution, media type, size in bytes and multihash."""
