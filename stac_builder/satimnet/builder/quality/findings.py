"""What the checks of a catalog find, and the table of all checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from satimnet.builder.imagery.headers import MAX_IMAGE_SIZE

Severity = Literal["error", "warning", "info"]
"""``error``: a file or what the catalog says of it is wrong. ``warning``: training or evaluation
may be misled. ``info``: worth knowing."""
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

Ring = tuple[tuple[float, float], ...]
Said = tuple[str, str, Ring]
"""What a check says of one Item: its name, a line of words, and the outline meant (or none)."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked for."""

    severity: Severity
    title: str
    meaning: str
    """What a finding means, with the threshold: a sentence for the report."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    check: str
    """A key of `CHECKS`."""
    rows: tuple[int, ...]
    """The Items by their numbers in the table of results; empty if it is about a collection."""
    message: str
    """One line of words."""
    collections: tuple[str, ...] = ()
    """The collections that it is about, if it is not about Items."""
    outline: Ring = ()
    """The part of the first Item's image that is meant: (x, y) of each corner in pixels."""

    @property
    def severity(self) -> Severity:
        """The severity of its check."""
        return CHECKS[self.check].severity


MOST_OUTSIDE = 1.0
"""Pixels by which an object may leave its image: publishers round, and count from 0 or 1."""
TINY_SIDE = 2.0
"""Pixels; of a narrower object nothing can be seen."""
SATURATED_SHARE = 0.25
"""Share of a band's pixels that have the largest value of the data type."""
EMPTY_SHARE = 0.05
"""Share of an image's pixels that are 0 or NaN in all bands."""
OUTLIER_SCORE = 8.0
"""Robust standard deviations. Iglewicz and Hoaglin (1993) take 3.5 for a normal distribution; the
means of satellite images have several modes and long tails, one for each kind of land."""
FEWEST_FOR_OUTLIERS = 20
"""With fewer Items in a collection, none is called unusual."""
NEAR_AGREEMENT = 0.55
"""The correlation of brightness, without its slow changes, that each of 3 x 3 blocks of the common
part of two images must have. Of 13,000 pairs of EuroSAT's patches with a similar detail, 141 reach
it. All of these show the same ground: their colours, which are not compared, confirm it. Some other
pairs of the same ground reach only 0.3 to 0.5."""
SAME_SHARE = 0.75
"""Share of an image that near-duplicates have in common if they should have the same classes."""
OVERLAP_SHARE = 0.01
"""Share of the smaller footprint; neighbours overlap by less, as coordinates are rounded."""
SOURCE_DISTANCE = 1.0
"""Standard deviations (the root of the mean of both variances) that values of a band have to be
moved by, on average, to be those of another source. What images show makes less: between 90 patches
of EuroSAT and 12 of BigEarthNet it is 0.3 to 0.9 in ten bands of twelve, 1.3 in B01, which haze
brightens before it is corrected for, and 2.8 in B09, of which the SatImNet paper says that it
differs (Section 3.1)."""
FEWEST_TO_COMPARE = 10
"""With fewer Items, what a collection shows decides on its values."""
IMBALANCE = 10.0
"""The most frequent class may have so many times as many Items as the rarest."""

CHECKS: Mapping[str, Check] = {
    "unreadable": Check(
        "error",
        "Unreadable files",
        "A shard is missing or too short, or the bytes of a member are no image of their type.",
    ),
    "checksum": Check(
        "error",
        "Checksums that differ",
        "The bytes of a member are not those that the Item's file:checksum was taken of.",
    ),
    "shape": Check(
        "error",
        "Images that are not as their Item says",
        "Rows, columns, number of bands or data type of the pixels differ from the Item's.",
    ),
    "unknown-class": Check(
        "error",
        "Classes that are not in the class table",
        "Tags, objects or mask values that the collection's class table does not have.",
    ),
    "label-mismatch": Check(
        "error",
        "Labels that contradict each other",
        "The mask or the objects are not what the Item's classes and statistics say.",
    ),
    "mask-shape": Check(
        "error", "Masks on another grid", "A mask has other rows or columns than its image."
    ),
    "odd-image": Check(
        "warning",
        "Images unlike their collection's",
        "The Item is right about its image, but the collection promises another size, data type "
        "or other bands.",
    ),
    "constant": Check("warning", "Constant images", "Every band has one value only."),
    "saturated": Check(
        "warning",
        "Saturated images",
        f"At least {SATURATED_SHARE:.0%} of a band's pixels have the largest value of the data "
        "type.",
    ),
    "no-data": Check(
        "warning",
        "Images with holes",
        f"At least {EMPTY_SHARE:.0%} of the pixels are 0 or NaN in all bands at once.",
    ),
    "duplicate-across-splits": Check(
        "warning",
        "Duplicates across splits",
        "The same pixels in several splits: what a network is tested on, it has seen. Compared are "
        "red, green and blue, or the only band, after decoding.",
    ),
    "duplicate-with-other-labels": Check(
        "warning",
        "Duplicates with different labels",
        "The same pixels, but not the same classes: one of them is wrong.",
    ),
    "duplicate": Check(
        "info", "Duplicates", "The same pixels several times, in the same split or without splits."
    ),
    "near-duplicate-across-splits": Check(
        "warning",
        "Near-duplicates across splits",
        "The same picture but for coding, brightness, size or a shift, in several splits. "
        f"Where they overlap, brightness correlates by at least {NEAR_AGREEMENT} in every ninth.",
    ),
    "near-duplicate-with-other-labels": Check(
        "warning",
        "Near-duplicates with different labels",
        "The same picture but for coding, brightness, size or a shift, with different classes: "
        f"at least {SAME_SHARE:.0%} of the image is the same.",
    ),
    "near-duplicate": Check(
        "info",
        "Near-duplicates",
        "The same picture but for coding, brightness, size or a shift.",
    ),
    "overlap-across-splits": Check(
        "warning",
        "Footprints that overlap across splits",
        f"At least {OVERLAP_SHARE:.0%} of the smaller footprint lies in an Item of another split, "
        "whatever the time.",
    ),
    "two-versions": Check(
        "info",
        "The same place in two versions",
        "Items of two versions of a dataset, linked by satimnet:predecessor, by their splits. They "
        "are no duplicates and no overlap of strangers, and are not reported as such. Where splits "
        "differ, do not test on one version what was trained on the other.",
    ),
    "object-outside": Check(
        "warning",
        "Objects outside of their image",
        f"An outline leaves the image by more than {MOST_OUTSIDE:g} pixel.",
    ),
    "object-empty": Check(
        "warning",
        "Objects without an area",
        "An outline is a point or a line, so that no mask shows it.",
    ),
    "object-tiny": Check(
        "info", "Tiny objects", f"An outline is less than {TINY_SIDE:g} pixels wide or high."
    ),
    "object-identical": Check(
        "warning",
        "Identical objects",
        "Several objects of an image have the same outline: counted twice, or of two classes.",
    ),
    "no-label": Check(
        "warning",
        "Items for training without a label",
        "An Item of the split train or validation has neither classes nor mask nor objects.",
    ),
    "class-missing-in-split": Check(
        "warning",
        "Classes missing in a split",
        "A class has Items in one split and none in another.",
    ),
    "sources-differ": Check(
        "warning",
        "Sources that differ",
        "The same band has other values in another collection of the same instrument, or in a "
        "scene: their distributions are more than "
        f"{SOURCE_DISTANCE:g} standard deviation apart (Wasserstein distance, by the root of the "
        "mean of both variances). What is usual is the median of the images' means. A network "
        "that is trained on one will not do well on the other; processing levels often explain it.",
    ),
    "outlier": Check(
        "info",
        "Unusual images",
        f"A band's mean or standard deviation is more than {OUTLIER_SCORE:g} robust standard "
        "deviations (1.4826 times the median distance to the median) from the collection's "
        "median, in logarithms.",
    ),
    "constant-band": Check(
        "info", "Constant bands", "One band has one value only, others have several."
    ),
    "imbalance": Check(
        "info",
        "Unbalanced classes",
        f"The most frequent class has more than {IMBALANCE:g} times as many Items as the rarest.",
    ),
    "too-large": Check(
        "info",
        "Images too large to be decoded whole",
        f"Images of more than {MAX_IMAGE_SIZE // 2**20} MiB of pixels: only their checksums are "
        "compared.",
    ),
    "class-unused": Check("info", "Classes without an Item", "The class table has them."),
}
"""All checks by name, errors first."""
