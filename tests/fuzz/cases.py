"""Cases: a seed to a source on disk with something wrong in it, and how it is built."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from random import Random
from typing import Literal

from . import archives
from .catalogs import CATALOG, CatalogCase, make_catalog
from .images import BOMBS, JPEG, PNG, TIFF
from .sources import Files
from .texts import BYTES, JSON, LABELS, TEXTS, Spoil, packed_by_bzip2

_IMAGES = {".tif": TIFF, ".png": PNG, ".jpg": JPEG}
_BOMBS, _COMMANDS = 0.004, 0.02  # shares of cases that take seconds


@dataclass(frozen=True)
class Case:
    """A malformed source, and how it is to be built."""

    seed: int
    dataset: str
    spoilt: tuple[str, ...]
    """What was done to it."""
    source: Path
    assigned: bool
    """Whether the build is told the dataset, or has to recognise it."""
    bad_files: Literal["stop", "few", "any"]
    command: bool
    """Whether it is built by the command, in a process of its own."""


def make(
    seed: int, sources: Mapping[str, Files], folder: Path, outside: Path
) -> Case | CatalogCase:
    """Writes the source of a case into ``folder``; what leads out of it leads to ``outside``.

    Every other case is a catalog, if there is a sound one among the sources.
    """
    if CATALOG in sources and (seed % 2 or len(sources) == 1):
        return make_catalog(seed, sources[CATALOG], folder, outside)
    rng = Random(seed)
    dataset = rng.choice(sorted(sources.keys() - {CATALOG}))
    files = dict(sources[dataset])
    spoilt: list[str] = []
    in_archive = rng.random() < 0.3
    for _ in range(rng.choice((1, 1, 1, 2, 3)) - (in_archive and rng.random() < 0.8)):
        spoilt.append(_spoil_file(rng, files))
    source = _write(rng, files, in_archive, folder, outside, spoilt)
    return Case(
        seed,
        dataset,
        tuple(spoilt),
        source,
        rng.random() < 0.4,
        rng.choice(("any", "any", "any", "few", "stop")),
        rng.random() < _COMMANDS,
    )


def _spoil_file(rng: Random, files: Files) -> str:
    """Spoils one file, by what its ending says or just any bytes; returns what was done."""
    if rng.random() < 0.08:
        return _spoil_tree(rng, files)
    # There are few label files and many images: each ending has the same chance.
    by_ending: dict[str, list[str]] = {}
    for name in files:
        by_ending.setdefault(PurePosixPath(name).suffix, []).append(name)
    ending = rng.choice(sorted(by_ending))
    name = rng.choice(by_ending[ending])
    image = _IMAGES.get(ending)
    if image is not None and rng.random() < _BOMBS * 2:
        kind, spoil = f"{ending} bomb", BOMBS[ending]
    elif image is not None and rng.random() < 0.75:
        kind, spoil = _one(rng, image)
    elif image is not None or rng.random() < 0.15:
        kind, spoil = _one(rng, BYTES)
    else:
        text = PurePosixPath(name.removesuffix(".bz2")).suffix
        choices = {**TEXTS, **LABELS.get(text, {}), **(JSON if "json" in text else {})}
        kind, spoil = _one(rng, choices)
        spoil = packed_by_bzip2(spoil) if ending == ".bz2" else spoil
    files[name] = spoil(rng, files[name])
    return kind


def _one(rng: Random, choices: Mapping[str, Spoil]) -> tuple[str, Spoil]:
    kind = rng.choice(sorted(choices))
    return kind, choices[kind]


def _spoil_tree(rng: Random, files: Files) -> str:
    """Files are missing, elsewhere, there twice, or another's."""
    name, other = rng.choice(list(files)), rng.choice(list(files))
    what = rng.choice(("missing", "moved", "twice", "swapped", "renamed", "empty", "stranger"))
    match what:
        case "missing":
            del files[name]
        case "moved":
            files[f"elsewhere/{name}"] = files.pop(name)
        case "twice":
            files[f"elsewhere/{name}"] = files[name]
        case "swapped":
            files[name], files[other] = files[other], files[name]
        case "renamed":
            at = rng.randrange(len(name))
            files[name[:at] + rng.choice("x0_. é") + name[at + 1 :]] = files.pop(name)
        case "empty":
            files[name] = b""
        case "stranger":
            files[f"{PurePosixPath(name).parent}/notes.{rng.choice(('tif', 'txt', 'csv'))}"] = b"?"
    return f"file {what}"


def _write(
    rng: Random, files: Files, spoil: bool, folder: Path, outside: Path, spoilt: list[str]
) -> Path:
    """Writes the files as folder or archive, which is spoilt as well if wanted."""
    kind = rng.choice(("folder", "folder", "zip", "tar", "tar.gz"))
    if not spoil:
        kind = rng.choice(("folder", "folder", "folder", kind))
    if kind == "folder" or not files:
        source = folder / "source"
        source.mkdir(parents=True)
        archives.write_folder(files, source)
        if spoil and files:
            spoilt.append(f"folder: {archives.spoil_folder(rng, files, source, outside)}")
        return source
    what, data = "", b""
    if kind == "zip":
        what, data = (
            archives.spoilt_zip(rng, files, outside) if spoil else ("", archives.zipped(files))
        )
    elif kind == "tar" or (spoil and rng.random() < 0.5):
        what, data = (
            archives.spoilt_tar(rng, files, outside) if spoil else ("", archives.tarred(files))
        )
        data = gzip.compress(data, 1, mtime=0) if kind == "tar.gz" else data
    elif spoil:
        what, data = archives.spoilt_gzip(rng, archives.tarred(files))
    else:
        data = gzip.compress(archives.tarred(files), 1, mtime=0)
    if spoil:
        spoilt.append(f"{kind}: {what}")
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"source.{kind}"
    source.write_bytes(data)
    return source
