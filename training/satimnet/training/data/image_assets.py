"""Which image assets of samples have the bands that are wanted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from satimnet.builder.errors import ArgumentError, WrongTypeError
from satimnet.training.data.array_types import Images
from satimnet.training.data.sample_table import ONE_COLLECTION, Collection, SampleTable

Assets = Mapping[str | None, Mapping[str, tuple[str, ...]]]
"""The image assets that are read, with the names of all their bands, by the name of the image."""


def have_bands(samples: SampleTable, bands: Sequence[str]) -> NDArray[np.bool_]:
    """Whether the images of a sample have all of `bands`, bool (sample).

    Raises:
        ArgumentError: No images of their collections have them.
    """
    homes = samples.table["collection"]
    found = np.zeros(len(samples), np.bool_)
    for name in with_bands(samples.collections, bands):
        own = np.asarray(pc.equal(homes, name))
        found |= own & _have(samples.table, *_candidates(samples.collections[name].bands, bands))
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


def have_images(samples: SampleTable, images: Images) -> NDArray[np.bool_]:
    """Whether a sample has all of several images, bool (sample); see `named_images`.

    Raises:
        ArgumentError: No collection has them all.
    """
    homes = samples.table["collection"]
    found = np.zeros(len(samples), np.bool_)
    for name in with_images(samples.collections, images):
        whole = np.array(pc.equal(homes, name))
        for image, bands in images.items():
            known = samples.collections[name].bands
            whole &= _have(samples.table, *_candidates_named(known, image, bands))
        found |= whole
    return found


def with_images(collections: Mapping[str, Collection], images: Images) -> dict[str, Collection]:
    """The collections that have all of several images.

    Raises:
        ArgumentError: None has.
    """
    _require_images(images)
    found = dict(collections)
    for image, bands in images.items():
        having = {
            name: home
            for name, home in found.items()
            if any(_candidates_named(home.bands, image, bands))
        }
        if not having:
            raise _no_image(image, bands, [home.bands for home in found.values()])
        found = having
    return found


def named_images(samples: SampleTable, images: Images) -> Assets:
    """The image assets that are read for several images, by the names that these are given.

    Args:
        samples: The samples.
        images: Names and the bands wanted. A name that is the key of an asset with these bands
            means that asset, and there None means all of its bands.

    Returns:
        For each name what `images_of` gives.

    Raises:
        ArgumentError: There are no samples, or not all have all of the images.
    """
    require_samples(samples)
    _require_images(images)
    found: dict[str | None, Mapping[str, tuple[str, ...]]] = {}
    for name, bands in images.items():
        whole, single = _candidates_named(samples.bands, name, bands)
        if not (whole or single):
            raise _no_image(name, bands, [samples.bands])
        complete = [key for key in whole if have_assets(samples.table, [key]).all()]
        if complete:
            best = max(complete, key=lambda key: len(samples.bands[key]))
            found[name] = {best: samples.bands[best]}
        elif single and have_assets(samples.table, single).all():
            found[name] = {key: samples.bands[key] for key in single}
        else:
            raise _unlike_named(samples, name, _have(samples.table, whole, single), images)
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


def _candidates_named(
    known: Mapping[str, tuple[str, ...]], name: str, bands: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """As `_candidates`; the asset alone whose key is the name, if it has the bands."""
    if name in known and (bands is None or (bands and set(bands) <= set(known[name]))):
        return [name], []
    return ([], []) if bands is None else _candidates(known, bands)


def _have(table: pa.Table, whole: Sequence[str], single: Sequence[str]) -> NDArray[np.bool_]:
    """Which samples have one of the assets with all bands, or all of those with one band each."""
    found = np.asarray(have_assets(table, whole).any(axis=1))
    if single:
        found |= have_assets(table, single).all(axis=1)
    return found


def _unlike_named(
    samples: SampleTable, name: str, having: NDArray[np.bool_], images: Images
) -> ArgumentError:
    """What is wrong with samples that do not all have an image, and what to do."""
    if having.all():
        advice = ONE_COLLECTION if len(samples.collections) > 1 else "read each by itself"
        return ArgumentError(f"{name} is in several images of the samples; {advice}", "images")
    return ArgumentError(
        f"only {int(having.sum()):,} of the {len(samples):,} samples have {name}; search for those "
        f"that have all, with images={dict(images)}",
        "images",
    )


def _require_images(images: Images) -> None:
    """Refuses what are no names and bands of images."""
    if not images:
        raise ArgumentError("images: name at least one, with its bands", "images")
    for name, bands in images.items():
        if not isinstance(name, str) or not name:
            raise WrongTypeError(f"images: {name!r:.60} is no name; give a text", "images")
        listed = isinstance(bands, list | tuple) and all(isinstance(one, str) for one in bands)
        if bands is not None and not listed:
            raise WrongTypeError(
                f"images: the bands of {name} are {bands!r:.60}; give a list of names, or None for "
                f"all bands of the asset {name}",
                "images",
            )


def _no_image(
    name: str, bands: Sequence[str] | None, known: Sequence[Mapping[str, tuple[str, ...]]]
) -> ArgumentError:
    """What is wrong with an image that no asset is, and which there are."""
    if bands is not None:
        return _no_bands(bands, known)
    keys = ", ".join(dict.fromkeys(key for own in known for key in own))
    return ArgumentError(
        f"images: no image asset is called {name}; there are {keys}; or give the bands of {name}",
        "images",
    )


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
