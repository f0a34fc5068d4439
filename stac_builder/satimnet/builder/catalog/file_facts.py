"""Facts of a sample's files, as properties of its Item, so that Items can be searched by them.

The assets say the same, but a search reads columns of properties, and not those of every asset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from satimnet.builder.packing.shards import PackedMember

FACTS: Mapping[str, Any] = {
    "satimnet:formats": [str],
    "satimnet:data_types": [str],
    "satimnet:band_counts": [int],
    "satimnet:band_names": [str],
    "satimnet:rows": int,
    "satimnet:columns": int,
    "satimnet:bytes": int,
    "satimnet:has_mask": bool,
    "satimnet:has_annotation": bool,
    "satimnet:georeferenced": bool,
    "satimnet:has_nodata": bool,
}
"""The properties, as ``extensions/README.md`` has them, and the types of their values."""

NO_IMAGE_ROLES = frozenset({"mask", "annotation", "overview", "thumbnail", "metadata", "labels"})
"""Roles of assets that are no images to learn from, though they may have bands."""

_ENDINGS = {"jpeg": "jpg", "tiff": "tif"}


def format_of(media_type: str) -> str:
    """The name of a format: how the files of this media type usually end.

    Example:
        >>> format_of("image/tiff; application=geotiff"), format_of("image/jpeg")
        ('tif', 'jpg')
        >>> format_of("image/jp2"), format_of("application/x-hdf5")
        ('jp2', 'hdf5')
    """
    name = media_type.partition(";")[0].strip().lower().rpartition("/")[2].removeprefix("x-")
    return _ENDINGS.get(name, name)


@dataclass(slots=True)
class FileFacts:
    """The facts of samples of one dataset; those of samples with like files are made once."""

    record: Mapping[str, Any]
    """The content of ``dataset.toml``."""
    _known: dict[tuple[Any, ...], tuple[dict[str, Any], list[int]]] = field(default_factory=dict)

    def of(self, members: Sequence[PackedMember]) -> dict[str, Any]:
        """The properties of the Item that has these members as its files."""
        key = tuple([_kind_of(member) for member in members])
        known = self._known.get(key)
        if known is None:
            images = [at for at, member in enumerate(members) if self.is_image(member)]
            known = self._known[key] = self._made(members), images
        facts, images = known
        if not images:
            return dict(facts)
        return facts | {"satimnet:bytes": sum([members[at].size for at in images])}

    def is_image(self, member: PackedMember) -> bool:
        """Whether it is an image to learn from."""
        return member.header is not None and NO_IMAGE_ROLES.isdisjoint(
            self.record["assets"][member.asset]["roles"]
        )

    def _made(self, members: Sequence[PackedMember]) -> dict[str, Any]:
        """All facts but the number of bytes."""
        specs = [self.record["assets"][member.asset] for member in members]
        roles = {role for spec in specs for role in spec["roles"]}
        facts: dict[str, Any] = {}
        images = [
            (member, member.header, spec)
            for member, spec in zip(members, specs, strict=True)
            if member.header is not None and self.is_image(member)
        ]
        if images:
            headers = [header for _, header, _ in images]
            types = sorted({spec["data_type"] for _, _, spec in images})
            shapes = {header.shape for header in headers}
            # STAC's own fields, where they say all there is to say
            facts |= {"data_type": types[0]} if len(types) == 1 else {}
            facts |= {"proj:shape": list(headers[0].shape)} if len(shapes) == 1 else {}
            rows, columns = max(shapes, key=lambda shape: (shape[0] * shape[1], shape))
            facts |= {
                "satimnet:formats": sorted({format_of(m.type or s["type"]) for m, _, s in images}),
                "satimnet:data_types": types,
                "satimnet:band_counts": band_counts([header.bands for header in headers]),
                "satimnet:band_names": sorted(
                    {band["name"] for _, h, s in images for band in bands_of(s, h.bands)}
                ),
                "satimnet:rows": rows,
                "satimnet:columns": columns,
            }
        return facts | {
            "satimnet:has_mask": "mask" in roles,
            "satimnet:has_annotation": "annotation" in roles,
            "satimnet:georeferenced": any(
                m.header is not None and m.header.crs is not None and m.header.transform is not None
                for m in members
            ),
            "satimnet:has_nodata": any(
                "nodata" in given
                for _, header, spec in images
                for given in (spec, *bands_of(spec, header.bands))
            ),
        }


def _kind_of(member: PackedMember) -> tuple[Any, ...]:
    """All that the facts depend on but the size."""
    header = member.header
    if header is None:
        return member.asset, member.type
    placed = header.crs is not None and header.transform is not None
    return member.asset, member.type, header.shape, header.bands, placed


def bands_of(spec: Mapping[str, Any], number: int) -> Sequence[Mapping[str, Any]]:
    """The bands of an image that has so many, as the record of its asset has them.

    Those of a publisher's mask in colours, which is described as it is, are its colours.
    """
    every: list[Sequence[Mapping[str, Any]]] = [spec["bands"], *spec.get("other_bands", ())]
    colours = [{"name": name} for name in ("red", "green", "blue", "alpha")[:number]]
    return next((bands for bands in every if len(bands) == number), colours)


def band_counts(numbers: Sequence[int]) -> list[int]:
    """The different numbers of bands of images, and where each band is a file, how many there are.

    Example:
        >>> band_counts([3, 13]), band_counts([1] * 12)
        ([3, 13], [1, 12])
    """
    alone = numbers.count(1)
    return sorted({*numbers, alone} if alone > 1 else set(numbers))
