"""The skeleton of a dataset package: what ``new-dataset`` and ``harvest`` write.

It is made of the templates beside this file: a package that works, with gaps for its names.
"""

from __future__ import annotations

import hashlib
import importlib.util
import keyword
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import click

from satimnet.builder.errors import ArgumentError
from satimnet.builder.storage.atomic_files import place, sync, write
from satimnet.builder.storage.staging import announce, placed, workspace

_TEMPLATES = Path(__file__).with_name("templates")
_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_CHECKOUT = Path("collections", "stactools", "satimnet")
_STACTOOLS = frozenset(
    [
        "add",
        "add-asset",
        "add-raster",
        "copy",
        "create-item",
        "describe",
        "info",
        "layout",
        "lint",
        "merge",
        "migrate",
        "move-assets",
        "summary",
        "update-extent",
        "update-geometry",
        "validate",
        "version",
    ]
)
"""What ``stac`` itself calls its commands; `satimnet` alone does not load them."""


def in_checkout(folder: Path) -> bool:
    """Whether a folder is a checkout of satimnet, among whose datasets the package goes."""
    return (folder / _CHECKOUT).is_dir()


_MASK = """[assets.mask]
title = "Mask"
description = "Class of each pixel"
roles = ["mask"]
type = "image/png"
data_type = "uint8"
shape = [64, 64]
bands = [{ name = "class", description = "value of the class table" }]
"""
_OBJECTS = """[assets.annotation]
title = "Objects"
description = "Every object in image coordinates"
roles = ["annotation"]
type = "application/geo+json"
derive = "annotation"
"""
_LABELS = {
    "masks": f"{_MASK}\n",
    **dict.fromkeys(
        ("coco", "yolo", "voc"),
        _MASK.replace('type = "image/png"', 'type = "image/png"\nderive = "mask"')
        + f"\n{_OBJECTS}\n",
    ),
}
"""What ``dataset.toml`` says of the labels of a layout."""


def skeleton(
    name: str, folder: Path, *, layout: str = "package", like: str | None = None
) -> dict[Path, str]:
    """What each file of the package for ``name`` says.

    Args:
        name: id of the dataset.
        folder: where the package goes.
        layout: the folder of templates with the reader, the miniature and their test: ``package``,
            or ``harvested`` for classes and images of any kind.
        like: the layout of `satimnet.builder.layouts` that the reader is to read; None is folders
            of classes, with a reader to be changed.

    Raises:
        ArgumentError: the name cannot be one.
    """
    _require_sound(name)
    layout = layout if like is None else "like"
    module = name.replace("-", "_")
    if in_checkout(folder):
        package = folder / _CHECKOUT.with_name(module)
        test, around = folder / "tests" / "datasets", {}
    else:
        package = folder / name / "src" / "stactools" / module
        test = folder / name / "tests"
        around = {folder / name / f: f for f in ("pyproject.toml", "README.md")}
    inside = dict.fromkeys(("__init__.py", "dataset.toml", "py.typed"), "package")
    inside |= dict.fromkeys(("source.py", "miniature.py"), layout)
    templates = {
        **around,
        **{package / file: f"{kind}/{file}" for file, kind in inside.items()},
        test / f"test_{module}.py": "test.py" if layout == "package" else f"{layout}/test.py",
    }
    return {path: _filled(template, name, like) for path, template in templates.items()}


def write_package(name: str, folder: Path, files: Mapping[Path, str]) -> None:
    """Writes the files of a package, which is there as a whole afterwards or not at all.

    Raises:
        ArgumentError: its name is taken, or something of this name is there already.
    """
    package = folder / _CHECKOUT.with_name(name.replace("-", "_"))
    if not in_checkout(folder):
        package = folder / name
    if not package.exists():
        _require_free(name)
    made_of = hashlib.sha256(repr(files).encode()).hexdigest()
    # The package comes last and at once: what a kill leaves before it is no package of this name.
    beside = {path: text for path, text in files.items() if not path.is_relative_to(package)}
    with workspace(package, "writing") as staging:
        if not placed(package, package, made_of):
            _require_absent(package, beside)
            _write(package, files, beside, staging, made_of)


def _write(
    package: Path,
    files: Mapping[Path, str],
    beside: Mapping[Path, str],
    staging: Path,
    made_of: str,
) -> None:
    made = staging / "package"
    shutil.rmtree(made, ignore_errors=True)  # of a run that was killed
    for path in files.keys() - beside.keys():
        target = made / path.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(files[path], "utf-8")
    for path, text in beside.items():
        write(path, text.encode())
    sync(made)
    announce(package, made_of, made)
    place(made, package)


def _filled(template: str, name: str, like: str | None) -> str:
    text = (_TEMPLATES / f"{template}.txt").read_text("utf-8")
    words = name.replace("-", " ")
    gaps = {"id": name, "module": name.replace("-", "_"), "title": words[0].upper() + words[1:]}
    if like is None:
        gaps |= {"layout": "<class>/<name>.png (at any depth), for example forest/1.png"}
        gaps |= {"signature": r"(^|/)(forest|water)/[^/]+\.png$", "labels": ""}
    else:
        gaps |= {"layout": f"the layout {like} in a folder or an archive named {name}"}
        gaps |= {"signature": f"(^|/){name}/", "labels": _LABELS.get(like, ""), "like": like}
    for gap, value in gaps.items():
        text = text.replace("{{" + gap + "}}", value)
    return text


def _require_sound(name: str) -> None:
    if _ID.fullmatch(name) is None or keyword.iskeyword(name.replace("-", "_")):
        raise ArgumentError(
            f"{name!r}: no name for a dataset; take lower-case letters, digits and single hyphens, "
            "a letter first, as in city-trees",
            "name",
        )


def _require_free(name: str) -> None:
    root = click.get_current_context().find_root().command
    taken = isinstance(root, click.Group) and name in root.commands
    if (
        taken
        or name in _STACTOOLS
        or importlib.util.find_spec(f"stactools.{name.replace('-', '_')}") is not None
    ):
        raise ArgumentError(
            f"{name}: is taken by a command or a package; take another name", "name"
        )


def _require_absent(package: Path, beside: Mapping[Path, str]) -> None:
    """A file beside the package may be there if it is what will be written, as after a kill."""
    others = [path for path, text in beside.items() if path.exists() and path.read_text() != text]
    for path in (package, *others):
        if path.exists():
            raise ArgumentError(f"{path}: is there already; move it or take another name", "name")
