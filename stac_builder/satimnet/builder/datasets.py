"""Datasets: the record in ``dataset.toml`` plus the function that scans a source."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.errors import ArgumentError, SatimnetError
from satimnet.builder.samples import Problem, Sample, Scan
from satimnet.builder.scanning.entries import is_archive, layout_path, unread_archive
from satimnet.builder.sources import Source, source_place
from satimnet.builder.storage.hrefs import is_web
from satimnet.builder.storage.objects import children
from satimnet.builder.storage.stores import shown

UNKNOWN_LAYOUT = "not the layout of a known dataset"
"""What is wrong with a source that no dataset recognises, where nothing better is known."""

_MOST_BESIDE = 100  # more are the patches of one dataset, as of BigEarthNet


@dataclass(frozen=True)
class Dataset:
    """One published training set, as its package under ``stactools`` describes it.

    Example:
        >>> from stactools.eurosat import dataset
        >>> dataset.id, dataset.classes[:2]
        ('eurosat', ['AnnualCrop', 'Forest'])
        >>> dataset.recognises("2750/Forest/Forest_1.jpg")
        True
    """

    record: DatasetRecord
    """What ``dataset.toml`` says; a plain mapping of the same content becomes one."""
    scan_source: Scan

    def __post_init__(self) -> None:
        if not isinstance(self.record, DatasetRecord):  # as satimnet 0.1.0 took it
            object.__setattr__(self, "record", DatasetRecord.of(self.record, "dataset.toml"))

    @classmethod
    def load(cls, record: Path, scan: Scan) -> Dataset:
        """Loads the dataset of a package.

        Args:
            record: its ``dataset.toml``.
            scan: the reader of its sources.

        Raises:
            BadFileError: the file is no TOML, or lacks a key, or has one that cannot be.
        """
        return cls(DatasetRecord.load(record), scan)

    @property
    def id(self) -> str:
        """Id of the Collection."""
        return self.record.id

    @property
    def classes(self) -> list[str]:
        """Class names in the order of their values."""
        return [entry.name for entry in self.record.classes]

    def scan(self, source: Source) -> Iterator[Sample | Problem]:
        """Samples of a source, and a problem for each other file; reads no pixels."""
        return self.scan_source(source, self.record)

    def recognises(self, path: str) -> bool:
        """Whether a path inside a source is one that this dataset's layout has."""
        signature = self.record.signature
        return signature is not None and signature.search(path) is not None

    def refuses(self, path: str) -> str | None:
        """Why a path inside a source is not read, if it is of another edition of the dataset."""
        for edition in self.record.other_editions:
            if edition.signature.search(path):
                return edition.reason
        return None

    def with_options(self, chosen: Mapping[str, str]) -> Dataset:
        """The dataset, to be read with these options, which its record has under ``options``.

        Args:
            chosen: values by the name of the option.

        Raises:
            ArgumentError: there is no such option, or it has no such value.
        """
        known = self.record.options
        for name, value in chosen.items():
            if name not in known:
                there = f"there are {', '.join(known)}" if known else f"{self.id} has none"
                raise ArgumentError(f"{self.id}.{name}: no such option; {there}", "options")
            if value not in known[name].values:
                values = ", ".join(known[name].values)
                raise ArgumentError(f"{self.id}.{name}={value}: give one of {values}", "options")
        options = {
            name: {**table, "value": chosen[name]} if name in chosen else table
            for name, table in self.record.get("options", {}).items()
        }
        return replace(self, record=self.record.changed(options=options)) if chosen else self


def installed() -> dict[str, Dataset]:
    """All datasets of installed packages: every ``stactools.<name>`` that holds a record.

    A package of anybody's own counts as soon as it is installed; only those with a
    ``dataset.toml`` are imported.

    Returns:
        The datasets by id.

    Raises:
        SatimnetError: a package cannot be loaded.

    Example:
        >>> installed()["eurosat"].record.license
        'MIT'
    """
    return {dataset.id: dataset for _, dataset in _packages()}


def miniatures() -> dict[str, Callable[[Path], list[Path]]]:
    """Of installed datasets, by id, the functions that write a synthetic source into a folder.

    That is ``write_demo`` of the package's module ``miniature``, where there is one, or else its
    ``write_miniature``; both return the paths to build from.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> miniatures()["xview"](folder) == [folder]
        True
    """
    found = {}
    for name, dataset in _packages():
        if importlib.util.find_spec(f"{name}.miniature") is not None:
            module = importlib.import_module(f"{name}.miniature")
            found[dataset.id] = getattr(module, "write_demo", None) or module.write_miniature
    return found


def _packages() -> Iterator[tuple[str, Dataset]]:
    """The installed packages that hold a record: their names and datasets."""
    namespace = importlib.import_module("stactools")  # folders alone: no code of stactools runs
    for module in pkgutil.iter_modules(namespace.__path__):
        folder = Path(getattr(module.module_finder, "path", ""), module.name)
        if (folder / "dataset.toml").is_file():
            name = f"stactools.{module.name}"
            try:
                dataset: Dataset = importlib.import_module(name).dataset
            except Exception as error:  # anybody's code may raise anything
                fault = f"{type(error).__name__}: {error}".splitlines()[0]
                raise SatimnetError(
                    f"the dataset package {name} cannot be loaded ({fault}); mend or uninstall it"
                ) from error
            yield name, dataset


def recognise(
    paths: Iterable[Path | str], datasets: Mapping[str, Dataset], indexes: Path | None = None
) -> tuple[dict[str, Source], list[Problem]]:
    """Dataset ids to their sources, each path recognised by the first file that fits a layout.

    Paths of one dataset (its editions, say) become one source. A folder in which several datasets
    lie side by side counts as so many paths.

    Args:
        paths: folders and archives; of texts, URLs are of stores and the web.
        datasets: those that they may be of, by id.
        indexes: as `Source.indexes`.

    Returns:
        The sources, and a problem of each path that is empty or fits no dataset.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> paths = miniatures()["xview"](folder)
        >>> sources, problems = recognise([folder], installed())
        >>> list(sources), problems
        (['xview'], [])
    """
    groups: dict[str, list[Path | str]] = {}
    problems = []
    places = map(source_place, paths)
    every = chain.from_iterable(_beside_each_other(path, datasets, indexes) for path in places)
    for path in every:
        name, reason = _dataset_of(path, "", datasets, indexes)
        if name is not None:
            groups.setdefault(name, []).append(path)
        else:
            problems.append(Problem(shown(str(path)), reason, "foreign"))
    return {name: Source(tuple(group), indexes) for name, group in groups.items()}, problems


def _beside_each_other(
    path: Path | str, datasets: Mapping[str, Dataset], indexes: Path | None
) -> list[Path | str]:
    """What lies in a folder, if it is of several datasets; else the path itself."""
    inside = _children_of_store(path) if isinstance(path, str) else _children_on_disk(path)
    if len(inside) > _MOST_BESIDE:
        return [path]
    names = {
        child: _dataset_of(child, f"{name}/" if is_folder else "", datasets, indexes)[0]
        for child, name, is_folder in inside
    }
    several = {name for name in names.values() if name is not None}
    shared = {datasets[name].record.images_of for name in several} & several
    if several and len(several - shared) == 1:
        # labels beside images of another dataset, unless those are a source by themselves
        of_images = [child for child, name in names.items() if name in shared]
        if not all(_dataset_of(child, "", datasets, indexes)[0] for child in of_images):
            return [path]
    return [child for child, *_ in inside] if len(several) > 1 else [path]


def _children_on_disk(path: Path) -> list[tuple[Path | str, str, bool]]:
    """What lies in a folder: path, name, and whether it is a folder; nothing of a file."""
    if not path.is_dir():
        return []
    return [
        (child, child.name, child.is_dir())
        for child in sorted(path.iterdir())
        if not child.is_symlink() and (child.is_dir() or child.is_file())
    ]


def _children_of_store(url: str) -> list[tuple[Path | str, str, bool]]:
    """As `_children_on_disk`; nothing of an archive, or where there is too much."""
    if is_web(url) or is_archive(layout_path(url)):
        return []
    found = children(url, _MOST_BESIDE) or {}
    return [(f"{url}/{name}", name, is_folder) for name, is_folder in sorted(found.items())]


def _dataset_of(
    path: Path | str, prefix: str, datasets: Mapping[str, Dataset], indexes: Path | None
) -> tuple[str | None, str]:
    """The dataset of the first file that fits a layout; else None, and what the path is instead."""
    reason = "an empty source"
    base: str | None = None  # whose images it has: labels of another dataset may follow
    over: list[Dataset] = []
    for name in Source((path,), indexes).names():
        for dataset in datasets.values() if base is None else over:
            if dataset.recognises(prefix + name):
                over = [one for one in datasets.values() if one.record.images_of == dataset.id]
                if not over:
                    return dataset.id, ""
                base = dataset.id
        if base is None and reason in ("an empty source", UNKNOWN_LAYOUT):
            refused = (dataset.refuses(prefix + name) for dataset in datasets.values())
            reason = next(filter(None, refused), UNKNOWN_LAYOUT)
            if unread := unread_archive(name):
                reason = f"{name.rpartition('/')[2]} is {unread}"
    return base, reason if base is None else ""
