"""Which image assets of samples have the bands that are wanted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from satimnet.builder.errors import ArgumentError
from satimnet.training.data.sample_table import ONE_COLLECTION, Collection, SampleTable


def have_bands(samples: SampleTable, bands: Sequence[str]) -> NDArray[np.bool_]:
    """Whether the images of a sample have all of `bands`, bool (sample).

    Raises:
        ArgumentError: No images of their collections have them.
    """
    homes = samples.table["collection"]
    found = np.zeros(len(samples), np.bool_)
    for name in with_bands(samples.collections, bands):
        own = np.asarray(pc.equal(homes, name))
        whole, single = _candidates(samples.collections[name].bands, bands)
        found |= own & have_assets(samples.table, whole).any(axis=1)
        if single:
            found |= own & have_assets(samples.table, single).all(axis=1)
    return found


def with_bands(
    collections: Mapping[str, Collection], bands: Sequence[str]
) -> dict[str, Collection]:
    """The collections that have images with all of `bands`.

    Raises:
        ArgumentError: None has.
    """
    found = {
        name: home for name, home in collections.items() if any(_candidates(home.bands, bands))
    }
    if not found:
        raise _no_bands(bands, [home.bands for home in collections.values()])
    return found


def images_of(samples: SampleTable, bands: Sequence[str] | None) -> dict[str, tuple[str, ...]]:
    """The image assets that are read for some bands, by key, with the names of all their bands.

    Args:
        samples: The samples.
        bands: Names of the bands wanted; None for all that all samples have.

    Returns:
        The one image that has all of the bands, or one image for each band.

    Raises:
        ArgumentError: There are no samples, no images have the bands, or not all samples have the
            same image.
    """
    require_samples(samples)
    known = samples.bands
    if not known:
        raise _no_bands(bands or (), [known])
    if bands is not None:
        whole, single = _candidates(known, bands)
        if not (whole or single):
            raise _no_bands(bands, [known])
    elif all(len(names) == 1 for names in known.values()):
        whole, single = [], list(known)
    else:
        whole, single = list(known), []
    having = have_assets(samples.table, whole)
    complete = [key for key, column in zip(whole, having.T, strict=True) if column.all()]
    if complete:
        best = max(complete, key=lambda key: len(known[key]))
        return {best: known[best]}
    if single and have_assets(samples.table, single).all():
        return {key: known[key] for key in single}
    raise _unlike_images(samples, bands, whole, single)


def _unlike_images(
    samples: SampleTable, bands: Sequence[str] | None, whole: Sequence[str], single: Sequence[str]
) -> ArgumentError:
    """What is wrong with samples that do not all have the same image, and what to do."""
    known = samples.bands
    keys = list(dict.fromkeys([*whole, *single]))
    counts = have_assets(samples.table, keys).sum(axis=0).tolist()
    listing = ", ".join(f"{count} have {key}" for key, count in zip(keys, counts, strict=True))
    if bands is not None:
        needed, lacking = list(bands), not have_bands(samples, bands).all()
    else:
        most = keys[int(np.argmax(counts))]
        needed = list(known[most]) if whole else [known[key][0] for key in single]
        lacking = True
    if len(samples.collections) > 1:
        advice, argument = ONE_COLLECTION, "collections"
    elif lacking:
        advice, argument = (
            f"search for those that have it, with bands={json.dumps(needed)}",
            "bands",
        )
    else:  # all have the bands, some in one image and some in another
        advice, argument = "read the samples of each image by themselves", "samples"
    return ArgumentError(
        f"the {len(samples)} samples do not all have the same image ({listing}); {advice}", argument
    )


def _candidates(
    known: Mapping[str, tuple[str, ...]], bands: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The assets with all of the bands; the assets with one band each that have them together."""
    if not bands:
        raise ArgumentError("bands: name at least one, or give None for all", "bands")
    whole = [key for key, names in known.items() if set(bands) <= set(names)]
    homes = {names[0]: key for key, names in known.items() if len(names) == 1}
    single = [homes[band] for band in bands] if set(bands) <= set(homes) else []
    return whole, single


def _no_bands(
    bands: Sequence[str], known: Iterable[Mapping[str, tuple[str, ...]]]
) -> ArgumentError:
    """What is wrong with bands that no image has, and which bands there are."""
    images = [f"{key}: {', '.join(names)}" for own in known for key, names in own.items()]
    if not images:
        return ArgumentError(
            "no collection searched names bands of its images (item_assets); search others",
            "collections",
        )
    listing = "; ".join(dict.fromkeys(images))
    return ArgumentError(f"no image has the bands {', '.join(bands)}; there are {listing}", "bands")


def require_samples(samples: SampleTable) -> None:
    """Refuses to read no samples at all."""
    if not len(samples):
        raise ArgumentError("there are no samples to read: the search found none", "samples")


def have_assets(table: pa.Table, keys: Sequence[str]) -> NDArray[np.bool_]:
    """Which samples (rows) have which of the assets (columns)."""
    assets = table["assets"]
    present = np.zeros((len(table), len(keys)), np.bool_)
    for k, key in enumerate(keys):
        asset = field_of(assets, key)
        if asset is not None:
            present[:, k] = asset.is_valid().to_numpy()
    return present


def field_of(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray | None:
    """A field of a struct column, null where the struct is null; None where there is no field."""
    if column.type.get_field_index(name) < 0:
        return None
    return pc.struct_field(column, [name])
