"""The sources that are spoilt: miniatures of all datasets, cut to a few samples."""

from __future__ import annotations

import inspect
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from satimnet.builder.datasets import installed, miniatures
from satimnet.builder.samples import Sample
from satimnet.builder.sources import Entry, Source

Files = dict[str, bytes]
"""Paths inside a source, archives being folders, to the files' contents."""

_SAMPLES = 3
_IMAGES = (".tif", ".png", ".jpg")


def small_sources() -> dict[str, Files]:
    """By dataset, all files of its miniature but the images of all samples beyond the first few."""
    datasets, found = installed(), {}
    for name, write in miniatures().items():
        with TemporaryDirectory() as folder, TemporaryDirectory() as unpacked:
            few = {"per_class": 2} if "per_class" in inspect.signature(write).parameters else {}
            write(Path(folder), **few)
            source = Source((Path(folder),), Path(unpacked))
            scanned = datasets[name].scan(source)
            samples = islice((s for s in scanned if isinstance(s, Sample)), _SAMPLES)
            members = [m.entry for s in samples for m in s.members if isinstance(m.entry, Entry)]
            kept = {entry.path for entry in members}
            with source.reader() as reader:
                found[name] = {
                    entry.path: reader.read(entry)
                    for entry in source.entries()
                    if entry.path in kept or not entry.path.endswith(_IMAGES)
                }
    return found
