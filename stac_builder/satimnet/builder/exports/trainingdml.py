"""OGC TrainingDML-AI: a collection as a document of the OGC's language for training data.

Part 2, JSON encoding, 1.0 (https://docs.ogc.org/is/24-006r1/24-006r1.html). A sample with a mask
has a pixel label, one with an annotation an object label for every object, and a tagged one a scene
label for every class. A sample that is known to show nothing has a negative label. Samples with
unknown labels are left out, for the standard asks for at least one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO

import orjson

from satimnet.builder.catalog.collection_document import CollectionDocument, ItemAsset
from satimnet.builder.errors import BadCatalogError
from satimnet.builder.exports.item_batches import asset_keys, batches
from satimnet.builder.exports.links import Links
from satimnet.builder.exports.members_together import read_together
from satimnet.builder.progress import Progress, silent
from satimnet.builder.query.index import IndexedCollection
from satimnet.builder.types import Json

_SPLITS = {"train": "training", "validation": "validation", "test": "test"}
_METHODS = {"manual": "manual", "expert": "manual", "volunteer": "manual", "derived": "automatic"}
_MICROMETRES = "um"
_READ = "(annotation)"
"""Key of a row for the bytes of its annotation; no column has it."""


def write_trainingdml(
    collection: IndexedCollection, links: Links, file: BinaryIO, progress: Progress = silent
) -> int:
    """Writes a collection to ``file``, a batch at a time; returns the number of samples.

    Raises:
        BadCatalogError: the Items cannot be read, or an annotation is no GeoJSON.
        SatimnetError: as `satimnet.builder.read_bytes`.
    """
    plan = _LabelPlan.of(collection, links)
    count, by_class = _counted(plan)
    head = orjson.dumps(_head(collection.document, plan, count, by_class))
    file.write(head.removesuffix(b"}") + b',"data":[')
    written = 0
    for sample in plan.samples():
        file.write((b"," if written else b"") + b"\n" + orjson.dumps(sample))
        written += 1
        if written % 1000 == 0 and written < count:
            progress(f"Writing samples of {collection.id}", written, count, "samples")
    file.write(b"\n]}\n")
    progress(f"Writing samples of {collection.id}", written, written, "samples")
    return written


@dataclass(frozen=True)
class _LabelPlan:
    """Which assets of the Items become images and labels."""

    collection: IndexedCollection
    links: Links
    images: list[ItemAsset]
    mask: str | None
    annotation: str | None
    tags: bool
    """Whether classes are labels of the whole image."""
    cached: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, collection: IndexedCollection, links: Links) -> _LabelPlan:
        keys = asset_keys(collection)
        known = collection.document.item_assets
        images = [known[key] for key in keys if key in known and known[key].is_image]
        mask = next((key for key in keys if key in known and known[key].is_mask), None)
        annotation = "annotation" if "annotation" in keys else None
        patches = any(task.of_whole_images for task in collection.document.tasks)
        return cls(collection, links, images, mask, annotation, patches or not (mask or annotation))

    def rows(self, *, only_labels: bool = False) -> Iterator[Json]:
        """Rows of the Items; ``only_labels``: just the columns that say which labels there are."""
        columns = ["satimnet:classes"]
        if only_labels:
            columns += [f"assets.{key}.href" for key in (self.mask, self.annotation) if key]
        else:
            columns += ["id", "bbox", "datetime", "satimnet:split"]
            columns += [
                f"assets.{key}.{part}"
                for key in (*(image.key for image in self.images), self.mask)
                if key
                for part in ("href", "type", "archive.href", "archive.type")
            ]
            columns += [f"assets.{self.annotation}"] if self.annotation else []
        for batch in batches(self.collection, columns):
            yield from batch if only_labels else self._with_annotations(batch)

    def _with_annotations(self, batch: list[Json]) -> Iterator[Json]:
        """The rows, with the bytes of their annotations: those of many are read together."""
        assets = [self._asset(row, self.annotation) for row in batch]
        for row, data in zip(batch, read_together(self.collection, assets), strict=True):
            yield row | {_READ: data}

    def has_labels(self, row: Json) -> bool:
        return bool(
            self._asset(row, self.mask)
            or self._asset(row, self.annotation)
            or (self.tags and row.get("satimnet:classes") is not None)
        )

    def samples(self) -> Iterator[Json]:
        """The standard's ``AI_EOTrainingData`` of every sample that has a label."""
        for row in self.rows():
            if self.has_labels(row):
                yield self._sample(row, self._labels(row))

    def _sample(self, row: Json, labels: list[Json]) -> Json:
        sample: Json = {
            "type": "AI_EOTrainingData",
            "id": row["id"],
            "datasetId": self.collection.id,
            "dataURL": [
                self._url(asset) for image in self.images if (asset := self._asset(row, image.key))
            ],
            "numberOfLabels": len(labels),
            "labels": labels,
        }
        if box := row.get("bbox"):
            sample["extent"] = [box[key] for key in ("xmin", "ymin", "xmax", "ymax")]
        if time := row.get("datetime"):
            sample["dataTime"] = [_rfc3339(time)]
        if (split := row.get("satimnet:split")) in _SPLITS:
            sample["trainingType"] = _SPLITS[split]
        return sample

    def _labels(self, row: Json) -> list[Json]:
        labels: list[Json] = []
        if self.tags:
            labels += [
                {"type": "AI_SceneLabel", "class": name, "confidence": 1.0}
                for name in row.get("satimnet:classes") or ()
            ]
        if asset := self._asset(row, self.annotation):
            labels += self._objects(asset, row[_READ])
        if asset := self._asset(row, self.mask):
            label = {"type": "AI_PixelLabel", "confidence": 1.0, "imageURL": [self._url(asset)]}
            if kind := (_member(asset) or asset).get("type"):
                label["imageFormat"] = [kind.partition("; profile=")[0]]
            labels.append(label)
        return labels or [{"type": "AI_AbstractLabel", "confidence": 1.0, "isNegative": True}]

    def _objects(self, asset: Json, data: bytes) -> list[Json]:
        """Labels of the objects; coordinates are pixels of the image, as in the annotation."""
        try:
            return [
                {
                    "type": "AI_ObjectLabel",
                    "class": feature["properties"]["class"],
                    "confidence": 1.0,
                    "object": feature,
                }
                for feature in orjson.loads(data)["features"]
            ]
        except (ValueError, LookupError, TypeError) as error:
            place = self.collection.resolve(asset["href"])
            raise BadCatalogError(
                f"{place}: an annotation is no GeoJSON of objects ({error!s:.100})"
            ) from error

    def _asset(self, row: Json, key: str | None) -> Json | None:
        asset: Json | None = row["assets"].get(key) if key and row.get("assets") else None
        return asset if asset and asset["href"] else None

    def _url(self, asset: Json) -> str:
        href = asset["href"]
        if href not in self.cached:
            self.cached[href] = self.collection.resolve(href)
        place, member = self.cached[href], _member(asset)
        return self.links.to_member(place, member["href"]) if member else self.links.to(place)


def _member(asset: Json) -> Json | None:
    """The member of an asset that lies in a shard; None if the asset is a file of its own."""
    first: Json | None = next(iter(asset.get("archive") or ()), None)
    return first if first and first.get("href") else None


def _counted(plan: _LabelPlan) -> tuple[int, Counter[str]]:
    """The number of samples with labels, and of those with each class."""
    count, by_class = 0, Counter[str]()
    for row in plan.rows(only_labels=True):
        if plan.has_labels(row):
            count += 1
            by_class.update(row.get("satimnet:classes") or ())
    return count, by_class


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


# --- the dataset ----------------------------------------------------------------------------------


def _head(
    collection: CollectionDocument, plan: _LabelPlan, count: int, by_class: Counter[str]
) -> Json:
    """The standard's ``AI_EOTrainingDataset`` without its ``data``."""
    rows = collection.classes
    fields = collection.json
    head: Json = {
        "type": "AI_EOTrainingDataset",
        "id": collection.id,
        "name": collection.title,
        "description": collection.description.strip(),
        "license": _licence(collection),
        "doi": next(iter(collection.dois), None),
        "createdTime": fields.get("satimnet:release_date"),
        "providers": [provider["name"] for provider in collection.providers()],
        "keywords": collection.keywords,
        "amountOfTrainingData": count,
        "numberOfClasses": len(rows),
        "classes": [{"key": row.name, "value": row.value} for row in rows],
        "statisticsInfo": [
            {"key": row.name, "value": by_class[row.name]} for row in rows if by_class[row.name]
        ],
        "bands": _bands(plan),
        "imageSize": _image_size(plan),
        "extent": list(collection.box),
        "tasks": _tasks(collection),
        "labeling": _labeling(collection),
    }
    return {key: value for key, value in head.items() if value not in (None, [], "")}


def _licence(collection: CollectionDocument) -> str:
    if collection.has_spdx_license:
        return collection.license
    links = collection.links("license")
    return "; ".join(str(link.get("title", link["href"])) for link in links) or "not stated"


def _tasks(collection: CollectionDocument) -> list[Json]:
    tasks = []
    for number, task in enumerate(collection.tasks, 1):
        tasks.append(
            {
                "type": "AI_EOTask",
                "id": f"{collection.id}-task-{number}",
                "datasetId": collection.id,
                "taskType": task.trainingdml or task.title,
                "description": collection.json.get("satimnet:intended_application", task.title),
            }
        )
    return tasks or [
        {
            "type": "AI_EOTask",
            "id": f"{collection.id}-task-1",
            "datasetId": collection.id,
            "taskType": "unknown",
        }
    ]


def _labeling(collection: CollectionDocument) -> list[Json]:
    methods = collection.json.get("satimnet:annotation_method", ())
    if not methods:
        return []
    procedure = {
        "type": "AI_LabelingProcedure",
        "id": f"{collection.id}-procedure",
        "methods": sorted({_METHODS.get(method, "unknown") for method in methods}),
    }
    labeling = {"type": "AI_Labeling", "id": f"{collection.id}-labeling"}
    return [labeling | {"scope": {"level": "dataset"}, "procedure": procedure}]


def _bands(plan: _LabelPlan) -> list[Json]:
    """ISO 19115's ``MD_Band`` of every band of every image, wavelengths in micrometres."""
    bands: dict[str, Json] = {}
    for image in plan.images:
        for band in image.bands:
            made: Json = {"name": [{"code": band.name}]}
            if band.description:
                made["description"] = band.description
            centre, width = band.center_wavelength, band.full_width_half_max
            if centre is not None and width is not None:
                made["boundMin"] = round(centre - width / 2, 6)
                made["boundMax"] = round(centre + width / 2, 6)
                made["boundUnits"] = _MICROMETRES
            if band.scale is not None:
                made["scaleFactor"] = band.scale
            bands.setdefault(band.name, made)
    return list(bands.values())


def _image_size(plan: _LabelPlan) -> str | None:
    """``width x height`` of the images, if all have the same."""
    sizes = {image.shape for image in plan.images}
    shape = sizes.pop() if len(sizes) == 1 else None
    return f"{shape[1]}x{shape[0]}" if shape else None
