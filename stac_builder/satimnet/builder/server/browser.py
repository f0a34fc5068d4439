"""STAC Browser, built once for all catalogs: https://github.com/radiantearth/stac-browser

Its package on the npm registry has only sources, so it is built here, with the labels of our
fields. The result can be moved: `satimnet.builder.server.running.serve` serves it, and so does a
static host that has it beside a catalog.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from importlib.resources import files
from pathlib import Path

from satimnet.builder.errors import ArgumentError, SatimnetError, StorageError
from satimnet.builder.progress import Progress, one_step, silent
from satimnet.builder.storage.atomic_files import place, sync
from satimnet.builder.storage.hrefs import has_secret, on_disk
from satimnet.builder.storage.staging import workspace
from satimnet.builder.storage.stores import shown, web_address

PACKAGE = "@radiantearth/stac-browser@4.0.1"
_PINNED = {"ol-stac": "1.1.0"}  # newer ones need a newer ol than the package allows
_SIGNS = {"\u26f6": "\u2195", "\u2715": "\u00d7"}
"""Signs on buttons that are in few fonts, so that people see empty boxes, and others for them that
all fonts have (those of WGL4): full screen, and close."""
_SETTINGS = ["--pathPrefix=./", "--historyMode=hash"]
_FIELDS, _STYLE = "fields.config.js", "browser_style.css"
_NPM = ["npm", "--no-audit", "--no-fund", "--no-update-notifier"]


def built() -> Path | None:
    """The folder of the built STAC Browser; None if it has not been built yet."""
    folder = _place()
    return folder if (folder / "index.html").is_file() else None


def build(progress: Progress = silent) -> Path:
    """Builds STAC Browser into the user's cache, unless it is there already; returns the folder.

    This needs npm, takes a few minutes, and uses half a gigabyte of disk until it is done.

    Raises:
        StorageError: the cache cannot be written.
        SatimnetError: there is no npm, the registry cannot be reached, or the build fails.
    """
    if folder := built():
        return folder
    if shutil.which("npm") is None:
        raise SatimnetError("npm: is not installed; STAC Browser is built with Node.js 20 or newer")
    home = _place()
    try:
        with workspace(home, "building") as staging:
            scratch = staging / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
            scratch.mkdir()
            made = _made(scratch, progress)
            sync(made)
            place(made, home)
    except SatimnetError:
        raise
    except OSError as error:
        raise StorageError(f"{error.filename or home}: {error.strerror or error}") from error
    return home


def install(destination: Path, catalog: str, progress: Progress = silent) -> None:
    """Builds STAC Browser and copies it to a new folder, where it shows one catalog.

    Args:
        destination: the new folder.
        catalog: URL of the catalog, which may be relative to the page, such as
            ``../catalog.json``. Of one in an object store the page has the address at which
            browsers read it.
        progress: is told how far the build is.

    Raises:
        ArgumentError: the destination is there already, or the URL has a query or a password,
            which would be written into the page.
        SatimnetError: as `build`.
    """
    on_disk(destination)
    if has_secret(catalog):
        raise ArgumentError(
            f"{shown(catalog)}: its query or password may be a secret, and would be in a page for "
            "everybody; give a URL that needs none",
            "catalog",
        )
    catalog = web_address(catalog)
    folder = build(progress)
    if destination.exists():
        message = f"{destination}: is there already; choose another folder"
        raise ArgumentError(message, "destination")
    with workspace(destination, "copying") as staging:
        made = staging / "browser"
        shutil.rmtree(made, ignore_errors=True)  # of a run that was killed
        shutil.copytree(folder, made)
        url = f"new URL({json.dumps(catalog)}, window.location.href.split('#')[0]).href"
        script = f"window.STAC_BROWSER_CONFIG = {{ catalogUrl: {url} }};\n"
        (made / "config.js").write_text(script)
        sync(made)
        place(made, destination)


def _own(name: str) -> str:
    """A file of ours that goes into the build."""
    return files(__package__).joinpath(name).read_text("utf-8")


def _place() -> Path:
    """The folder of the build, which has another name once anything that goes into it changes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    own = [_own(name) for name in (_FIELDS, _STYLE)]
    content = json.dumps([PACKAGE, _PINNED, _SETTINGS, _SIGNS, *own])
    return cache / "satimnet" / f"stac-browser-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def _made(scratch: Path, progress: Progress) -> Path:
    """The folder of the finished build, below ``scratch``."""
    with one_step(progress, "Fetching STAC Browser"):
        _run([*_NPM, "pack", PACKAGE], scratch)
    (archive,) = scratch.glob("*.tgz")
    with tarfile.open(archive) as packed:
        packed.extractall(scratch, filter="data")
    source = scratch / "package"
    script = _set_up(source)
    with one_step(progress, "Fetching what STAC Browser is made of"):
        _run([*_NPM, "install", "--ignore-scripts", "--no-package-lock"], source)
    with one_step(progress, "Building STAC Browser"):
        _run([*_NPM, "run", "build:minimal", "--", *_SETTINGS], source)
    if script.encode() not in (source / "dist" / "index.html").read_bytes():
        raise SatimnetError(f"{PACKAGE}: its page has no place for our settings; please report it")
    return source / "dist"


def _set_up(source: Path) -> str:
    """Puts what is ours into the sources; returns the line of the page that loads settings."""
    manifest = json.loads((source / "package.json").read_bytes())
    manifest["dependencies"] |= _PINNED
    manifest["overrides"] = _PINNED
    (source / "package.json").write_text(json.dumps(manifest))
    (source / _FIELDS).write_text(_own(_FIELDS), encoding="utf-8")
    for texts in source.glob("src/locales/*/texts.json"):
        words = texts.read_text("utf-8")
        for sign, other in _SIGNS.items():
            words = words.replace(sign, other)
        texts.write_text(words, encoding="utf-8")
    page = source / "public" / "index.html"
    commented = '<!-- <script defer="defer" src="/config.js"></script> -->'
    script = '<script defer="defer" src="./config.js"></script>'
    html = page.read_text("utf-8").replace(commented, script)
    page.write_text(html.replace("</head>", f"<style>{_own(_STYLE)}</style></head>"), "utf-8")
    return script


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = " ".join(lines[-3:])
        raise SatimnetError(f"{' '.join(['npm', *command[len(_NPM) :]])}: failed: {reason:.400}")
