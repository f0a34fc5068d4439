"""A catalog to try things with: made-up miniature sources of all datasets, built and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from satimnet.builder.catalog.validation import Findings, validate
from satimnet.builder.datasets import Dataset, installed, miniatures
from satimnet.builder.errors import ArgumentError, SatimnetError, StorageError
from satimnet.builder.pipeline import Report, build
from satimnet.builder.progress import Progress, silent
from satimnet.builder.storage.atomic_files import sync, write


@dataclass(frozen=True)
class Demo:
    """The folder of the catalog, what the build did, and what the check found."""

    catalog: Path
    reports: list[Report]
    findings: Findings


def make_demo(folder: Path, *, schemas: Path | None = None, progress: Progress = silent) -> Demo:
    """Writes miniature sources of all installed datasets, builds their catalog and checks it.

    Args:
        folder: a new or empty folder, or that of an earlier demo, which is replaced.
        schemas: a folder of extension schemas, as `satimnet.builder.validate` takes it.
        progress: is told how far the work is.

    Returns:
        What was made.

    Raises:
        ArgumentError: the folder holds something else.
        StorageError: nothing can be written there.
    """
    sources, catalog = folder / "sources", folder / "catalog"
    mark = folder / ".unfinished-demo"
    if not mark.exists():
        _require_own_demo(folder, catalog)
        write(mark, b"")
    writers = miniatures()
    datasets = {name: _synthetic(d) for name, d in installed().items() if name in writers}
    assigned = {}
    progress("Writing sources", 0, len(datasets), "datasets")
    for done, name in enumerate(datasets, 1):
        try:
            assigned[name] = writers[name](sources / name)
        except SatimnetError:
            raise
        except OSError as error:
            raise StorageError(f"{sources}: {error.strerror}; choose another folder") from error
        progress("Writing sources", done, len(datasets), "datasets")
    sync(sources)
    reports = build([], catalog, assigned=assigned, datasets=datasets, progress=progress)
    mark.unlink()
    findings = validate(catalog, schemas=schemas, checksums=True, progress=progress)
    return Demo(catalog, reports, findings)


def _require_own_demo(folder: Path, catalog: Path) -> None:
    """An earlier demo may be written over, nothing else."""
    try:
        if not any(folder.iterdir()):
            return
        made = [json.loads(path.read_bytes()) for path in catalog.glob("*/collection.json")]
        if made and all(collection["satimnet:synthetic"] for collection in made):
            return
    except FileNotFoundError:
        return
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise ArgumentError(
        f"{folder}: is not empty and no earlier demo; choose another folder", "folder"
    )


def _synthetic(dataset: Dataset) -> Dataset:
    """The dataset, saying of itself that its pixels are made up."""
    title = dataset.record.title
    record = dataset.record.changed(
        title=f"{title} in miniature (synthetic)",
        description=f"Made-up pixels in the official layout of {title}, to try things with. "
        f"Nothing in it was observed; the metadata are those of the real {title}.",
        keywords=[*dataset.record.keywords, "synthetic"],
        collection={**dataset.record.attributes, "satimnet:synthetic": True},
    )
    return replace(dataset, record=record)
