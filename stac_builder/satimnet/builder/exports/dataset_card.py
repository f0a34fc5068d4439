"""The card of a dataset on Hugging Face's hub: ``README.md``, YAML above Markdown.

The fields of the head are those of
https://github.com/huggingface/hub-docs/blob/main/datasetcard.md. What a catalog says is foreign
text: in the head it is quoted as YAML needs it, below it is escaped so that it is no Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from satimnet.builder.catalog.collection_document import CollectionDocument, ItemAsset
from satimnet.builder.errors import printable
from satimnet.builder.exports.citations import bibtex, licence
from satimnet.builder.exports.hub_subsets import Subset
from satimnet.builder.exports.picture_files import is_picture, type_of
from satimnet.builder.types import Json

LICENCES = "LICENSE.md"
"""Name of the file that the head may lead to, one of two that the hub knows."""
_Files = Mapping[str, Mapping[str, Sequence[str]]]
"""Of each collection, by its id, the paths of the files of each split."""

# https://huggingface.co/docs/hub/repositories-licenses, as far as data have them; most are SPDX's
# identifiers in small letters
_LICENCES = {
    **{
        name: name
        for name in (
            *("apache-2.0", "mit", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0"),
            *("cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0"),
            *("cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0"),
            *("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0"),
            *("cdla-permissive-2.0", "etalab-2.0"),
        )
    },
    "odbl-1.0": "odbl",
    "odc-by-1.0": "odc-by",
    "pddl-1.0": "pddl",
}
_ANNOTATORS = {"expert": "expert-generated", "automatic": "machine-generated", "derived": "found"}
_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
_SPECIAL = re.compile(r"([\\`*_\[\]|~@$]|^\s*(?:[-+=#]|\d+[.)]))")


def card(title: str, subsets: Sequence[Subset], files: _Files) -> str:
    """The text of the card.

    Args:
        title: What the dataset is called.
        subsets: The collections.
        files: Of each collection, by its id, the paths of the files of each split.
    """
    import yaml

    head = yaml.safe_dump(
        _head(title, subsets, files), sort_keys=False, allow_unicode=True, width=1000
    )
    lines = [f"# {escaped(title)}", "", *_usage(subsets[0])]
    for subset in subsets:
        lines += ["", *_about(subset)]
    return f"---\n{head}---\n\n" + "\n".join(lines) + "\n"


def licences(subsets: Sequence[Subset]) -> str:
    """The text of the file `LICENCES`: which terms hold for which subset."""
    lines = ["# Licences", ""]
    for subset in subsets:
        lines.append(f"- `{subset.collection.id}`: {escaped(licence(subset.document.json))}")
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """A foreign text on one line, without what Markdown or HTML would take for an order.

    Example:
        >>> escaped("[a](b)  <script>")
        '\\\\[a\\\\](b) &lt;script&gt;'
    """
    plain = printable(" ".join(text.split()))
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(lambda match: f"{match[0][:-1]}\\{match[0][-1]}", plain)


def size_category(rows: int) -> str:
    """The hub's word for a number of rows.

    Example:
        >>> size_category(300), size_category(22_950), size_category(2_000_000)
        ('n<1K', '10K<n<100K', '1M<n<10M')
    """
    above = sum(rows >= 10**power for power in range(3, 3 + len(_SIZES) - 1))
    return f"{_SIZES[above - 1]}<n<{_SIZES[above]}" if above else "n<1K"


# --- the head -------------------------------------------------------------------------------------


def _head(title: str, subsets: Sequence[Subset], files: _Files) -> Json:
    documents = [subset.document for subset in subsets]
    tasks = sorted({task for subset in subsets for task in _tasks(subset)})
    ways = [way for one in documents for way in one.json.get("satimnet:annotation_method", ())]
    head: Json = {
        **_licence(documents),
        "pretty_name": _line(title),
        "size_categories": [size_category(sum(sum(one.counts.values()) for one in subsets))],
        "task_categories": tasks,
        "annotations_creators": sorted({_ANNOTATORS[way] for way in ways if way in _ANNOTATORS}),
        "tags": _once([*(word for one in documents for word in one.keywords), "remote sensing"]),
        "configs": [
            {
                "config_name": name,
                "data_files": [
                    {"split": split, "path": list(paths)} for split, paths in splits.items()
                ],
            }
            for name, splits in files.items()
        ],
    }
    return {key: value for key, value in head.items() if value}


def _licence(documents: Sequence[CollectionDocument]) -> Json:
    """One licence for all, or ``other``: the card below says what is of which collection."""
    known = {_LICENCES.get(one.license.lower()) for one in documents}
    if len(known) == 1 and None not in known:
        return {"license": known.pop()}
    if len(documents) > 1:
        return {"license": "other", "license_name": "several", "license_link": LICENCES}
    links = [str(link["href"]) for link in documents[0].links("license")]
    if not (links or documents[0].has_spdx_license):
        return {"license": "unknown"}
    spdx = documents[0].license if documents[0].has_spdx_license else "terms of the publisher"
    name = re.sub(r"[^a-z0-9.]+", "-", spdx.lower()).strip("-")
    return {"license": "other", "license_name": name, "license_link": next(iter(links), LICENCES)}


def _tasks(subset: Subset) -> Iterator[str]:
    """What the labels are for, in the hub's words.

    https://github.com/huggingface/huggingface.js/blob/main/packages/tasks/src/pipelines.ts
    """
    if subset.document.masks:
        yield "image-segmentation"
    if subset.has_objects:
        yield "object-detection"
    if not (subset.document.masks or subset.has_objects):
        yield "image-classification"


def _line(text: str) -> str:
    return printable(" ".join(text.split()))


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(map(_line, words)))


# --- for people -----------------------------------------------------------------------------------


def _usage(subset: Subset) -> Iterator[str]:
    split = next(iter(subset.counts), "train")
    binary = [name for name, asset in subset.images.items() if not is_picture(asset)]
    yield "```python"
    yield "from datasets import load_dataset"
    yield ""
    yield "# the folder of this file, or its name on the hub"
    arguments = f'"FOLDER", "{subset.collection.id}", split="{split}", streaming=True'
    yield f"dataset = load_dataset({arguments})"
    yield "row = next(iter(dataset))"
    if binary:
        yield "```"
        yield ""
        yield "Images that Pillow does not open are the bytes of their files:"
        yield ""
        yield "```python"
        yield "import rasterio"
        yield ""
        yield f'with rasterio.MemoryFile(row["{binary[0]}"]["bytes"]) as file:'
        yield "    pixels = file.open().read()  # band, row, column"
    yield "```"


def _about(subset: Subset) -> Iterator[str]:
    document = subset.document
    yield f"## {escaped(document.title)}"
    yield ""
    for paragraph in re.split(r"\n\s*\n", document.description.strip()):
        yield escaped(paragraph)
        yield ""
    yield f"- Subset: `{subset.collection.id}`, version {escaped(document.version or 'unknown')}"
    yield f"- Licence: {escaped(licence(document.json))}"
    if document.home:
        yield f"- Publisher: {escaped(document.home)}"
    for doi in document.dois[:1]:
        yield f"- DOI: {escaped(f'https://doi.org/{doi}')}"
    others = [f"`{one.key}`" for one in document.item_assets.values() if not one.bands]
    if others:
        yield f"- Files of the catalog that are not in the tables: {', '.join(others)}"
    yield ""
    yield from _table(("split", "rows"), ((k, f"{n:,}") for k, n in subset.counts.items()))
    yield ""
    yield from _table(("column", "what"), _columns(subset))
    if subset.classes:
        yield ""
        rows = (
            (str(at), escaped(row.name), _text(row.value), escaped(row.title or ""))
            for at, row in enumerate(subset.classes)
        )
        yield from _table(("label", "name", "value in masks", "title"), rows)
    if citation := bibtex(document).strip():
        fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", citation)), default=0))
        yield from ("", "Cite:", "", f"{fence}bibtex")
        yield from map(printable, citation.splitlines())
        yield fence


def _columns(subset: Subset) -> Iterator[tuple[str, str]]:
    yield "`id`", "Id of the sample in the catalog"
    for name, asset in subset.images.items():
        yield f"`{name}`", f"{escaped(asset.title or asset.key)}: {_form(asset)}"
    if subset.classes:
        which = ("`label`", "Class") if subset.single else ("`labels`", "Classes that are present")
        yield which[0], f"{which[1]}; null where nobody tells"
    if subset.has_objects:
        yield (
            "`objects`",
            "Objects in pixels: `bbox` (left, top, width, height), the four `corners` of the "
            "oriented box, `category`; null where nobody annotated the image",
        )
    if subset.folds:
        yield "`fold`", "Fold of cross-validation"
    yield "`datetime`", "Time of acquisition"
    yield "`bbox`", "West, south, east, north in degrees"
    yield "`crs`", "Reference system of the image"


def _form(asset: ItemAsset) -> str:
    """What a column of images holds."""
    if asset.is_mask:
        what = "mask, whose pixels are values of the table below"
    else:
        names = ", ".join(map(escaped, asset.band_names))
        what = f"image, {len(asset.bands)} bands ({names})" if len(asset.bands) > 1 else "image"
    if is_picture(asset):
        return what
    return f"{what}; `bytes` of the file ({type_of(asset)}), `width`, `height`, `dtype`, `bands`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _text(value: int | None) -> str:
    return "" if value is None else str(value)
