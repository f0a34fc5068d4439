"""Samples as HTML for notebooks: what there is, in numbers, and a few small pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from html import escape
from time import monotonic

import pyarrow as pa
import pyarrow.compute as pc

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import SatimnetError, printable
from satimnet.builder.imagery.colours import Picture
from satimnet.builder.types import Json
from satimnet.training.data.mixed_choice import mixed_choice
from satimnet.training.data.sample_table import SampleTable
from satimnet.training.data.single_sample import Sample, sample_at

_PICTURES = 12
_SIDE = 96
"""Pixels of the longer side of a picture."""
_MOST_BYTES = 60_000
"""Of all pictures together; text of base64 is a third longer."""
_SECONDS = 1.5
"""Once so long was read since the first, no further picture is: other machines may be slow."""
_MOST_VALUES = 12


def html_of(samples: SampleTable) -> str:
    """The samples as HTML. All text is escaped: catalogs are other people's."""
    names = ", ".join(home.document.title for home in samples.collections.values())
    head = f"<b>{len(samples):,} sample{'' if len(samples) == 1 else 's'}</b> of {_safe(names)}"
    pictures = "".join(_pictures(samples)) if len(samples) else ""
    rows = "".join(
        f'<tr><th style="text-align:left;vertical-align:top">{title}</th>'
        f'<td style="text-align:left">{_safe(text)}</td></tr>'
        for title, text in _facts(samples)
        if text
    )
    wall = f'<div style="display:flex;flex-wrap:wrap;gap:6px;margin:6px 0">{pictures}</div>'
    return f"<div>{head}{wall if pictures else ''}<table>{rows}</table></div>"


def _facts(samples: SampleTable) -> Iterator[tuple[str, str]]:
    table = samples.table
    if len(samples.collections) > 1:
        yield "collections", _counted(table["collection"], {})
    titles = {
        row.name: row.label
        for home in samples.collections.values()
        for row in home.document.classes
    }
    yield "classes", _counted(pc.list_flatten(table["satimnet:classes"]), titles)
    if "satimnet:split" in table.column_names:
        yield "splits", _counted(table["satimnet:split"], {})
    bands: dict[str, None] = {}
    for home in samples.collections.values():
        single = [names[0] for names in home.bands.values() if len(names) == 1]
        several = (f"{key}: {', '.join(own)}" for key, own in home.bands.items() if len(own) > 1)
        bands |= dict.fromkeys([*several, *([", ".join(single)] if single else [])])
    yield "bands", "; ".join(bands)


def _counted(column: pa.ChunkedArray, titles: Mapping[str, str]) -> str:
    """The values with their numbers, the most frequent first."""
    rows = [row for row in pc.value_counts(column).to_pylist() if row["values"] is not None]
    rows.sort(key=lambda row: (-row["counts"], row["values"]))
    said = [f"{titles.get(row['values'], row['values'])} {row['counts']:,}" for row in rows]
    more = len(said) - _MOST_VALUES
    return ", ".join([*said[:_MOST_VALUES], *([f"and {more:,} more"] if more > 0 else [])])


def _pictures(samples: SampleTable) -> Iterator[str]:
    """HTML of some samples; what cannot be read in time has none."""
    from satimnet.training.plot.item_pictures import ItemPicture, Wanted, coloured, read_pictures

    chosen = [sample_at(samples, at) for at in mixed_choice(samples, _PICTURES, 0).tolist()]
    shown: list[Sample] = []

    def pairs() -> Iterator[tuple[Json, CollectionDocument]]:
        for sample in chosen:
            with suppress(SatimnetError):
                pair = sample.item, samples.collections[sample.collection].document
                shown.append(sample)
                yield pair

    read: list[ItemPicture] = []
    end = None
    for one in read_pictures(pairs(), Wanted(_SIDE, crop=samples.crop)):
        read.append(one)
        end = end or monotonic() + _SECONDS  # GDAL may have had to be loaded for the first
        if monotonic() > end:
            break
    room = _MOST_BYTES
    for sample, picture in zip(shown, coloured(read), strict=True):
        if picture is None:
            continue
        data = _jpeg(picture)
        room -= len(data)
        if room < 0:
            return
        yield _figure(sample, data)


def _jpeg(picture: Picture) -> bytes:
    from PIL import Image

    image = Image.fromarray(picture)
    if max(image.size) < _SIDE:  # pixels stay sharp
        factor = _SIDE // max(image.size)
        image = image.resize([side * factor for side in image.size], Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return file.getvalue()


def _figure(sample: Sample, data: bytes) -> str:
    what = _shortened(", ".join(sample.titles) or sample.id)
    text = base64.b64encode(data).decode()
    return (
        f'<figure style="margin:0;width:{_SIDE}px" title="{_safe(sample.id)}">'
        f'<img alt="{_safe(what)}" style="width:{_SIDE}px" src="data:image/jpeg;base64,{text}">'
        f'<figcaption style="font-size:10px;overflow:hidden">{_safe(what)}</figcaption></figure>'
    )


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:38]} …"


def _safe(text: str) -> str:
    return escape(printable(text))
