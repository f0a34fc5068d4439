"""Where a derived collection goes: by default beside what it is made of, and over nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.errors import ArgumentError, SatimnetError
from satimnet.builder.publishing.layout import COLLECTION_NAME
from satimnet.builder.publishing.protocol import read_root, require_room
from satimnet.builder.storage.hrefs import folder_at, is_url, is_web, writable


def place_for(out: str | os.PathLike[str] | None, source: str) -> str:
    """The place of the catalog that a derived collection joins.

    Args:
        out: the place that was asked for; None: the catalog that the collection is made of.
        source: address of that catalog.

    Raises:
        ArgumentError: nothing can be written there.

    Example:
        >>> place_for("other", "demo/catalog/catalog.json")
        'other'
    """
    if out is not None:
        return writable(out)
    if is_web(place := folder_at(source)):
        raise ArgumentError(f"{source}: a catalog on the web is not written; give out", "out")
    return place


def may_replace(id_: str, out: str, is_own: Callable[[str], bool]) -> bool:
    """Whether nothing of an id is in a catalog but what the caller made, or a killed run left.

    Args:
        id_: id of the collection that is to be made.
        out: place of the catalog.
        is_own: whether the text of a collection's recipe is of the caller's kind.
    """
    home = f"{out}/{id_}"
    current = read_root(out).current(id_)
    if current is not None:
        home = f"{out}/{current.folder}"
    elif is_url(out) or not os.path.exists(home):
        return True
    try:
        if current is None:
            require_room(Path(home))
            if not os.path.exists(f"{home}/{COLLECTION_NAME}"):
                return True
        recipe = documents.read(f"{home}/{COLLECTION_NAME}").get("satimnet:recipe")
    except SatimnetError:
        return False
    return isinstance(recipe, dict) and is_own(str(recipe.get("text", "")))
