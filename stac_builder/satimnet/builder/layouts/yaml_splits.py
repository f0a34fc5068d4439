"""Splits that the ``data.yaml`` of a YOLO set states: folders of images, or lists of them.

``train``, ``val`` and ``test`` have a folder, a list (``.txt``) or several of them, relative to
``path`` (https://docs.ultralytics.com/datasets/detect/#ultralytics-yolo-format). ``path`` is often
that of another machine, so folders and lists are looked for below the file itself, too.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from satimnet.builder.layouts.arranged_files import Files, folder_of

_KEYS = {"train": "train", "val": "validation", "test": "test"}
_MOST = 1000  # folders and lists of a split


def yaml_splits(files: Files, content: Mapping[str, Any], path: str) -> dict[str, str]:
    """Splits by paths of images; an image that several splits name is not among them.

    Args:
        files: the files of the source.
        content: what ``data.yaml`` says.
        path: where it lies in the source.

    Raises:
        BadFileError: a list that it names cannot be read.
    """
    near = folder_of(path)
    root = content.get("path")
    tops = [near] if not isinstance(root, str) else [_joined(near, root), near]
    found: dict[str, str | None] = {}
    for key, split in _KEYS.items():
        stated = content.get(key)
        for text in (stated if isinstance(stated, list) else [stated])[:_MOST]:
            if isinstance(text, str) and text.strip():
                for image in _images(files, text.strip(), [top for top in tops if top is not None]):
                    if found.setdefault(image, split) != split:
                        found[image] = None
    return {image: split for image, split in found.items() if split is not None}


def _images(files: Files, text: str, tops: list[str]) -> Iterator[str]:
    """The paths of the images that a folder or a list has."""
    if text.lower().endswith(".txt"):
        for place in _places(text, tops):
            if place in files.entries:
                yield from _listed(files, place, tops)
                return
        return
    images = [image.path for image in files.images()]
    for place in _places(text, tops):
        folder = f"{place}/" if place else ""
        if inside := [image for image in images if image.startswith(folder)]:
            yield from inside
            return


def _listed(files: Files, place: str, tops: list[str]) -> Iterator[str]:
    near = folder_of(place)
    for line in files.text(files.entries[place]).splitlines():
        image = files.named(line.strip(), near, tops) if line.strip() else None
        if image is not None:
            yield image.path


def _places(text: str, tops: list[str]) -> Iterator[str]:
    """Where something may lie in the source: as it is said, then without the folders above it."""
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".")]
    for at in range(len(parts)):
        for top in tops:
            place = _joined(top, "/".join(parts[at:]))
            if place is not None:
                yield place.rstrip("/")
    if not parts:  # the folder itself
        yield from (top.rstrip("/") for top in tops)


def _joined(folder: str, text: str) -> str | None:
    """A folder below another one, with a slash at its end; None if it is outside of the source."""
    if text.startswith("/") or ":" in text:
        return None
    path = posixpath.normpath(folder + text.replace("\\", "/"))
    if path.startswith(".."):
        return None
    return "" if path == "." else f"{path}/"
