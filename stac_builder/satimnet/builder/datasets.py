"""Datasets: the record in ``dataset.toml`` plus the function that scans a source."""

from __future__ import annotations

import importlib
import pkgutil
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from satimnet.builder.errors import SatimnetError
from satimnet.builder.samples import Problem, Sample, Scan
from satimnet.builder.sources import Source


@dataclass(frozen=True)
class Dataset:
    """One published training set, as its package under ``stactools`` describes it."""

    record: Mapping[str, Any]
    """The content of ``dataset.toml``; its fields are STAC's own (see ``docs/``)."""
    scan_source: Scan

    @classmethod
    def load(cls, record: Path, scan: Scan) -> Dataset:
        """The dataset whose record is the TOML file ``record`` and whose reader is ``scan``."""
        return cls(tomllib.loads(record.read_text("utf-8")), scan)

    @property
    def id(self) -> str:
        """Id of the Collection."""
        return str(self.record["id"])

    @property
    def classes(self) -> list[str]:
        """Class names in the order of their values."""
        return [str(row["name"]) for row in self.record["classes"]]

    def scan(self, source: Source) -> Iterator[Sample | Problem]:
        """Samples of a source, and the files that are none; reads no pixels."""
        return self.scan_source(source, self.record)

    def recognises(self, path: str) -> bool:
        """Whether a path inside a source is one that this dataset's layout has."""
        return re.search(self.record["signature"], path) is not None


def installed() -> dict[str, Dataset]:
    """All datasets of installed packages: every ``stactools.<name>`` that holds a record.

    A package of anybody's own counts as soon as it is installed; only those with a
    ``dataset.toml`` are imported.
    """
    import stactools

    found = {}
    for module in pkgutil.iter_modules(stactools.__path__):
        folder = Path(getattr(module.module_finder, "path", ""), module.name)
        if (folder / "dataset.toml").is_file():
            dataset = importlib.import_module(f"stactools.{module.name}").dataset
            found[dataset.id] = dataset
    return found


def recognise(
    paths: Iterable[Path], datasets: Mapping[str, Dataset], indexes: Path | None = None
) -> dict[str, Source]:
    """Dataset ids to their sources, each path recognised by the first file that fits a layout.

    Paths of one dataset (its editions, say) become one source.

    Raises:
        SatimnetError: a path is empty or fits no dataset.
    """
    groups: dict[str, list[Path]] = {}
    for path in paths:
        empty = True
        for entry in Source((path,)).entries():
            empty = False
            name = next((n for n, d in datasets.items() if d.recognises(entry.path)), None)
            if name is not None:
                groups.setdefault(name, []).append(path)
                break
        else:
            layouts = "; ".join(f"{n}: {d.record['layout']}" for n, d in datasets.items())
            what = "an empty source" if empty else "not the layout of a known dataset"
            raise SatimnetError(f"{path}: {what}; expected {layouts}")
    return {name: Source(tuple(group), indexes) for name, group in groups.items()}
