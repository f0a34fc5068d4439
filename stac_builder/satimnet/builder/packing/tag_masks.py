"""Masks of samples that are labelled as a whole: the class of the patch, in every pixel.

Section 2.3 of the paper speaks of a mask for every single training sample. Where the publisher
drew objects or masks, the builder makes one anyway. Where a tag names the class of the whole patch,
a mask says nothing more than the tag, so it is made on demand.
"""

from __future__ import annotations

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.samples import Problem, Sample

TAG_MASK = "tag-mask"
"""What ``derive`` says of an asset that is a mask of the only tag."""
_SOURCES = "satimnet:attribute_sources"


def with_tag_masks(record: DatasetRecord) -> DatasetRecord:
    """The record with an asset for masks of tags; itself where there is `why_no_tag_masks`.

    Example:
        >>> from stactools.eurosat import dataset
        >>> with_tag_masks(dataset.record).assets["mask"].derive
        'tag-mask'
    """
    if why_no_tag_masks(record) is not None:
        return record
    mask = {
        "title": "Mask of the tag",
        "description": "The class of the whole patch in every pixel: what the tag says, not more",
        "roles": ["mask"],
        "type": "image/png",
        "derive": TAG_MASK,
        "data_type": "uint8",
        "bands": [{"name": "class", "description": "value of the class table"}],
    }
    origin = "build --masks: the tag of a patch fills its mask; the publisher has tags alone"
    sources = {**record.attributes.get(_SOURCES, {}), "satimnet:class_conversion": origin}
    conversion = {"converted": True, "from": "tags", "to": "png"}
    attributes = {
        **record.attributes,
        "satimnet:class_conversion": conversion,
        _SOURCES: sources,
    }
    return record.changed(assets={**record["assets"], "mask": mask}, collection=attributes)


def why_no_tag_masks(record: DatasetRecord) -> str | None:
    """Why no masks are made of the tags of a dataset; None where they are.

    Example:
        >>> from stactools.dota import dataset
        >>> why_no_tag_masks(dataset.record)
        'it has masks anyway'
    """
    if any(asset.is_mask for asset in record.assets.values()):
        return "it has masks anyway"
    if "mask" in record.assets:
        return "it calls another file a mask"
    if record.get("multi_label"):
        return (
            "its tags say which classes occur in a patch, and not where: no mask follows from them"
        )
    if not all(0 <= entry.value <= 255 for entry in record.classes):
        return "its class values are not from 0 to 255"
    return None


def value_of_tag(sample: Sample, record: DatasetRecord) -> int | Problem | None:
    """The class value that fills the mask of a sample.

    Returns:
        The value; a problem where several tags do not say where their classes are; None where the
        sample has no tags, or no such masks are made.
    """
    if not sample.classes or all(asset.derive != TAG_MASK for asset in record.assets.values()):
        return None
    if len(sample.classes) > 1:
        reason = f"{len(sample.classes)} tags do not say where their classes are: it gets no mask"
        return Problem(sample.members[0].label, reason, "incomplete")
    (name,) = sample.classes
    return next((entry.value for entry in record.classes if entry.name == name), None)
