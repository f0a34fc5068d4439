"""Trained networks described as STAC Items, by the Machine Learning Model extension.

https://github.com/stac-extensions/mlm (v1.5.2)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from satimnet.builder.catalog.checked_documents import STAC_VERSION
from satimnet.builder.catalog.items import FILE_URI, SHA256
from satimnet.builder.storage.digests import sha256_of
from satimnet.builder.storage.hrefs import is_url, public, readable
from satimnet.builder.storage.objects import written_at
from satimnet.builder.vocabulary.tasks import task_of
from satimnet.training.maps.legends import legend_of
from satimnet.training.networks.checkpoints import Checkpoint
from satimnet.training.networks.models import PATCH, keras_parameter_count

MLM_URI = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"


@dataclass(frozen=True)
class Origin:
    """The file that a network was read from. sha256: hexadecimal. written: RFC 3339.

    path: an absolute path or a URL, without what may be secret in it.
    """

    path: str
    size: int
    sha256: str
    written: str

    @property
    def identity(self) -> tuple[str, str]:
        """What tells the file from any other: where it is, and what it is."""
        return self.path, self.sha256

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Origin:
        """What a file on this machine or a URL is. Raises `StorageError` if it cannot be read."""
        place = readable(path)
        sha256, size = sha256_of(place)
        written = written_at(place) or datetime.now(UTC).replace(microsecond=0)
        return cls(public(place, place), size, sha256, written.isoformat().replace("+00:00", "Z"))


def model_name(trained: Checkpoint, origin: Origin) -> str:
    """What a network is called: its kind, and the beginning of its file's digest."""
    return f"{trained.kind}-{origin.sha256[:12]}"


def model_item(trained: Checkpoint, origin: Origin, folder: Path) -> dict[str, Any]:
    """The Item of a network, to be written into `folder`.

    It has no place, as a network keeps none of its training set; its time is when its file was
    written.
    """
    name = model_name(trained, origin)
    task = task_of("semantic-segmentation" if trained.dense else "scene-classification").mlm
    side = -1 if trained.dense else PATCH
    place = ["height", "width"] if trained.dense else []
    takes = "pad images by 2 pixels on each side; " if trained.dense else ""
    bands = [{"name": band} for band in trained.bands]
    properties: dict[str, Any] = {
        "datetime": origin.written,
        "title": f"{trained.kind.replace('cnn', 'CNN')} of {trained.width} filters",
        "bands": bands,
        "mlm:name": name,
        "mlm:architecture": trained.kind.replace("cnn", "CNN"),
        "mlm:tasks": [task],
        "mlm:framework": "PyTorch",
        "mlm:framework_version": torch.__version__,
        "mlm:total_parameters": keras_parameter_count(trained.model),
        "mlm:pretrained": False,
        "mlm:pretrained_source": None,
        "mlm:accelerator": None,
        "mlm:input": [
            {
                "name": "image",
                "description": f"{takes}of Sentinel-2, reflectances times 10,000",
                "bands": list(trained.bands),
                "input": {
                    "shape": [-1, len(trained.bands), side, side],
                    "dim_order": ["batch", "bands", "height", "width"],
                    "data_type": "float32",
                },
                "value_scaling": [
                    {"type": "z-score", "mean": mean, "stddev": std}
                    for mean, std in zip(trained.mean, trained.std, strict=True)
                ],
                "resize_type": None,
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": output.name,
                "description": "logits, in the order of the classes",
                "tasks": [task],
                "result": {
                    "shape": [-1, len(output.classes), *(-1 for _ in place)],
                    "dim_order": [
                        "batch",
                        "class",
                        *place,
                    ],
                    "data_type": "float32",
                },
                "classification:classes": legend_of(output).classes[:-1],
            }
            for output in trained.outputs
        ],
        "mlm:hyperparameters": {"width": trained.width, **trained.settings},
    }
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [MLM_URI, FILE_URI],
        "id": name,
        "geometry": None,
        "properties": properties,
        "links": [],
        "assets": {
            "model": {
                "href": relative(origin.path, folder),
                "type": "application/octet-stream; framework=pytorch",
                "title": "Checkpoint",
                "roles": ["mlm:model", "mlm:checkpoint"],
                "bands": bands,  # STAC wants them here if they are among the properties
                "mlm:artifact_type": "torch.save",
                "file:size": origin.size,
                "file:checksum": SHA256 + origin.sha256,
            }
        },
    }


def relative(path: str | Path, folder: Path) -> str:
    """The href of a file in a JSON file of that folder; a URL as it is."""
    if is_url(str(path)):
        return str(path)
    href = Path(os.path.relpath(path, folder)).as_posix()
    return href if href.startswith("..") else f"./{href}"
