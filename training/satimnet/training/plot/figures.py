"""Figures for notebooks: Items with their labels, arrays as pictures, tables as heat maps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.arguments import at_least, checked
from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import ArgumentError, BadCatalogError, WrongTypeError, printable
from satimnet.builder.imagery.colours import Picture, natural, plain
from satimnet.builder.storage.assets import gdal_path
from satimnet.builder.storage.hrefs import Bounds
from satimnet.builder.types import Json
from satimnet.training.plot.class_legends import LegendEntry, by_name, by_value
from satimnet.training.plot.item_pictures import ItemPicture, Wanted, coloured, read_pictures
from satimnet.training.plot.tile_figures import Tile, draw_tiles, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Overlay = Literal["auto", "mask", "objects"]
"""What is drawn over images; "auto" is the objects of an Item, else its mask, else nothing."""

MOST = 100
"""Pictures of a figure at most."""
_SIZE = 384
"""Pixels of the longer side of a picture at most."""
_OPACITY = 0.45  # of masks
_LONGEST = 26  # characters of a title


@checked()
def items(
    items: Iterable[Any],
    *,
    overlay: Overlay | None = "auto",
    bands: Sequence[str] | None = None,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
) -> Figure:
    """Draws Items: their images, and what is in them by the class table of their collection.

    Args:
        items: Items that a search found, as dicts or of pystac; 100 at most.
        overlay: "mask" or "objects" are drawn over the images of Items that have them; "auto" takes
            objects, else the mask. None draws images alone.
        bands: Names of one band or of three, shown as red, green and blue. By default an image is
            shown in its natural colours, or its first band.
        titles: What stands above each; by default the names of its classes, and its id.
        columns: Pictures in a row.

    Returns:
        The figure. Values of more than 8 bits are stretched, those of a collection alike.

    Raises:
        SatimnetError: No Item can be read, none has what is to be drawn over it, or a collection
            cannot be read.

    Example:
        >>> from satimnet.builder import search
        >>> from satimnet.training import plot
        >>> found = search("catalog", collections="eurosat", limit=6)
        >>> figure = plot.items(found, bands=["B08", "B04", "B03"])
        >>> [axes.get_title() for axes in figure.axes][:2]
        ['Annual crop', 'Annual crop']
    """
    documents: dict[str, CollectionDocument] = {}
    pairs = []
    for item in islice(items, MOST + 1):
        plain_item, place = _as_json(item)
        if place not in documents:
            documents[place] = CollectionDocument.read(place)
        pairs.append((plain_item, documents[place]))
    return draw_items(pairs, overlay=overlay, bands=bands, titles=titles, columns=columns)


def draw_items(
    pairs: Sequence[tuple[Json, CollectionDocument]],
    *,
    overlay: Overlay | None = "auto",
    bands: Sequence[str] | None = None,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    crop: tuple[int, int] | None = None,
) -> Figure:
    """As `items`, of Items whose hrefs are absolute, each with what its collection says.

    Of the images only the middle of ``crop`` (rows, columns) is shown, if that is not None.
    """
    _check(len(pairs), overlay, bands, titles, columns)
    wanted = Wanted(
        _SIZE,
        None if bands is None else tuple(bands),
        mask=overlay in ("auto", "mask"),
        objects=overlay in ("auto", "objects"),
        crop=crop,
    )
    read = list(read_pictures(pairs, wanted))
    if all(one.values is None for one in read):
        raise BadCatalogError(f"none of the {len(read)} can be shown: {read[0].problem}")
    _require_overlay(read, overlay)
    legend: dict[LegendEntry, None] = {}
    several = len({one.document.id for one in read}) > 1
    tiles = [
        _tile(one, picture, overlay == "auto", several, legend)
        for one, picture in zip(read, coloured(read), strict=True)
    ]
    if titles is not None:
        tiles = [
            replace(tile, title=printable(title), note="")
            for tile, title in zip(tiles, titles, strict=True)
        ]
    return draw_tiles(tiles, list(legend), columns)


@checked()
def images(
    images: Any,
    titles: Sequence[str] | None = None,
    *,
    colours: Sequence[str] | None = None,
    columns: int | None = None,
) -> Figure:
    """Draws arrays as pictures, such as the images of a batch.

    Args:
        images: An array or tensor (image, band, y, x), or a list of arrays (band, y, x), of one
            band or of red, green and blue; 100 at most. What is uint8 is shown as it is, a picture
            (y, x, 3) of it as well; other values are stretched, all images alike.
        titles: What stands above each.
        colours: The colours of the titles, as matplotlib names them.
        columns: Pictures in a row.

    Returns:
        The figure.

    Raises:
        ArgumentError: There are no images, too many, or ones of another shape.

    Example:
        >>> import numpy as np
        >>> from satimnet.training import plot
        >>> figure = plot.images(np.random.default_rng(0).random((4, 3, 32, 32)), list("abcd"))
        >>> len(figure.axes)
        4
    """
    arrays = [np.asarray(image) for image in islice(images, MOST + 1)]
    _check(len(arrays), None, None, titles, columns)
    if colours is not None and len(colours) != len(arrays):
        raise ArgumentError(f"{len(colours)} colours for {len(arrays)} images", "colours")
    pictures = _pictures(arrays)
    tiles = [
        Tile(
            picture,
            "" if titles is None else printable(titles[at]),
            colour="black" if colours is None else colours[at],
        )
        for at, picture in enumerate(pictures)
    ]
    return draw_tiles(tiles, (), columns)


@checked()
def matrix(table: pd.DataFrame, title: str = "", colours: str = "Blues") -> Figure:
    """Draws a table of numbers as a heat map, the numbers written in it.

    Args:
        table: The table; its rows and columns have names.
        title: Stands above it.
        colours: Name of a colour map of matplotlib. Colours follow the logarithm of the numbers.

    Returns:
        The figure.

    Example:
        >>> import pandas as pd
        >>> from satimnet.training import plot
        >>> table = pd.DataFrame({"water": [3, 0], "forest": [1, 7]}, index=["dota", "eurosat"])
        >>> figure = plot.matrix(table, "items")
        >>> figure.axes[0].get_title()
        'items'
    """
    numbers = np.asarray(table, float)
    if not numbers.size or (numbers < 0).any():
        raise ArgumentError("table: give one with numbers of 0 or more", "table")
    height, width = numbers.shape
    figure = new_figure(2 + 0.55 * width, 1.6 + 0.36 * height)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    strongest = max(1.6 * np.log1p(numbers).max(), 1e-9)  # so that numbers stay legible
    axes.imshow(np.log1p(numbers), cmap=colours, vmin=0, vmax=strongest, aspect="auto")
    for row, column in np.argwhere(numbers).tolist():
        text = f"{numbers[row, column]:,g}"
        axes.text(column, row, text, ha="center", va="center", fontsize=9)
    names = [[printable(str(name)) for name in axis] for axis in (table.columns, table.index)]
    axes.set_xticks(range(width), names[0], rotation=40, ha="right", parse_math=False)
    axes.set_yticks(range(height), names[1], parse_math=False)
    axes.set_title(title, fontsize=10, parse_math=False)
    return figure


def _check(
    count: int,
    overlay: str | None,
    bands: Sequence[str] | None,
    titles: Sequence[str] | None,
    columns: int | None,
) -> None:
    at_least(1, columns=columns)
    if not 1 <= count <= MOST:
        many = f"more than {MOST}" if count else "none"
        raise ArgumentError(f"{many} to draw; give 1 to {MOST}")
    if overlay not in ("auto", "mask", "objects", None):
        raise ArgumentError(
            f'overlay {overlay}: there are "auto", "mask", "objects" and None', "overlay"
        )
    if bands is not None and len(bands) not in (1, 3):
        raise ArgumentError(f"{len(bands)} bands: give one, or three as red, green, blue", "bands")
    if titles is not None and len(titles) != count:
        raise ArgumentError(f"{len(titles)} titles for {count} pictures", "titles")


def _require_overlay(read: Sequence[ItemPicture], overlay: str | None) -> None:
    """Raises `ArgumentError` where nothing of what was asked for can be drawn."""
    if overlay == "mask" and all(one.mask is None for one in read):
        raise ArgumentError(f"none of the {len(read)} has a mask; give overlay=None", "overlay")
    if overlay == "objects" and all(one.outlines is None for one in read):
        raise ArgumentError(f"none of the {len(read)} has objects; give overlay=None", "overlay")


def _as_json(item: Any) -> tuple[Json, str]:
    """An Item with absolute hrefs, and the place of its collection.

    Raises:
        WrongTypeError: it is no Item.
        SatimnetError: an asset may not lead to where it does.
    """
    if isinstance(item, dict) and "assets" in item:
        links = {link["rel"]: link["href"] for link in item.get("links", ())}
        if not {"root", "collection"} <= links.keys():
            raise ArgumentError(
                f"{item.get('id')}: it has no links to its catalog and its collection", "items"
            )
        # an Item of others may not lead to any file of this machine
        return item, Bounds.of(links["root"]).resolve(links["collection"], links["root"])
    if not hasattr(item, "get_collection"):
        raise WrongTypeError(f"items: give Items, not {item!r:.80}", "items")
    home = item.get_collection()
    place = None if home is None else home.get_self_href()
    if place is None:
        raise ArgumentError(f"{item.id} has no Collection; read the Item from a catalog", "items")
    made = item.to_dict(include_self_link=False, transform_hrefs=False)
    for key, asset in item.assets.items():
        gdal_path(asset)  # refuses what leads out of the catalog
        made["assets"][key]["href"] = asset.get_absolute_href()
    return made, os.fspath(place)


def _tile(
    one: ItemPicture,
    picture: Picture | None,
    auto: bool,
    several: bool,
    legend: dict[LegendEntry, None],
) -> Tile:
    """The picture of an Item with its labels, whose classes are added to the legend."""
    names = by_name(one.document)
    outlines: dict[Any, list[NDArray[np.float64]]] = {}
    if picture is not None and one.mask is not None and not (auto and one.outlines is not None):
        picture = _overlaid(picture, one, legend)
    for name, ring in one.outlines or ():
        entry = names.get(name)
        if entry is not None:
            outlines.setdefault(entry.colour, []).append(ring)
            legend[entry] = None
    classes = one.item["properties"].get("satimnet:classes")
    titles = [names[name].title if name in names else printable(name) for name in classes or ()]
    id_ = printable(one.item["id"])
    notes = [one.document.id] * several + [_shortened(id_)] * bool(titles)
    return Tile(
        picture,
        _listed(titles) or _shortened(id_),
        _shortened(": ".join(notes), _LONGEST + 10),
        missing=f"cannot be read:\n{one.problem[:120]}" if picture is None else "",
        outlines=outlines,
    )


def _overlaid(picture: Picture, one: ItemPicture, legend: dict[LegendEntry, None]) -> Picture:
    """The picture under its mask, in the colours of the classes that are in it."""
    assert one.mask is not None
    mixed = picture.astype(np.float32)
    entries = by_value(one.document)
    for value in np.unique(one.mask).tolist():
        entry = entries.get(value)
        if entry is not None:
            legend[entry] = None
            seen = one.mask == value
            mixed[seen] += _OPACITY * (np.array(entry.colour, np.float32) - mixed[seen])
    return np.rint(mixed).astype(np.uint8)


def _pictures(arrays: Sequence[NDArray[Any]]) -> list[Picture]:
    """Arrays as pictures; all that are not uint8 stretched alike."""
    found: list[Picture | None] = [None] * len(arrays)
    measured = []
    for at, array in enumerate(arrays):
        if array.ndim == 2:
            array = array[None]
        if array.ndim == 3 and array.shape[0] not in (1, 3) and array.dtype == np.uint8:
            array = np.moveaxis(array, 2, 0)[:3]  # is a picture already
        if array.ndim != 3 or array.shape[0] not in (1, 3) or not array.size:
            raise ArgumentError(
                f"image {at} has the shape {array.shape}; give (band, y, x) of one or three bands",
                "images",
            )
        if array.dtype == np.uint8:
            found[at] = plain(array)
        else:
            measured.append((at, array.astype(np.float32)))
    for count in (1, 3):
        alike = [(at, array) for at, array in measured if len(array) == count]
        made = natural([array for _, array in alike]) if alike else []
        for (at, _), picture in zip(alike, made, strict=True):
            found[at] = picture
    return [picture for picture in found if picture is not None]


def _listed(titles: Sequence[str]) -> str:
    """As many of the titles as there is room for, and how many more there are."""
    if not titles:
        return ""
    shown = 1
    while shown < len(titles) and len(", ".join(titles[: shown + 1])) <= _LONGEST - 4:
        shown += 1
    more = f" + {len(titles) - shown}" if shown < len(titles) else ""
    return _shortened(", ".join(titles[:shown]), _LONGEST - len(more)) + more


def _shortened(text: str, length: int = _LONGEST) -> str:
    """The text, or else its beginning and end: ids differ at the end."""
    if len(text) <= length:
        return text
    return f"{text[: length - length // 2 - 1]}…{text[-(length // 2) :]}"
