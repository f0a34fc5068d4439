"""The fields on pystac objects, and the hooks by which pystac knows the extension."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast, overload

from pystac import (
    Asset,
    Collection,
    ExtensionTypeError,
    Item,
    ItemAssetDefinition,
    RangeSummary,
    STACObjectType,
)
from pystac.extensions.base import (
    ExtensionManagementMixin,
    PropertiesExtension,
    SummariesExtension,
)
from pystac.extensions.hooks import ExtensionHooks

from satimnet.extension._schema import PREFIX, SCHEMA_URI, SCHEMA_URIS
from satimnet.extension._types import (
    AnnotationMethod,
    CitationCount,
    ClassConversion,
    ClassificationProblem,
    ClassStatistics,
    DocumentationQuality,
    NamingConvention,
    Original,
    Pixels,
    RecipeText,
    ResearchUse,
    Split,
    Task,
    VerificationMethod,
)

V = TypeVar("V")


class _Field(Generic[V]):
    """The field ``satimnet:<attribute name>``: None where it is absent, setting None removes it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = PREFIX + name

    @overload
    def __get__(self, obj: None, owner: type) -> _Field[V]: ...
    @overload
    def __get__(self, obj: PropertiesExtension, owner: type) -> V | None: ...
    def __get__(self, obj: PropertiesExtension | None, owner: type) -> _Field[V] | V | None:
        return self if obj is None else cast("V | None", obj.properties.get(self._key))

    def __set__(self, obj: PropertiesExtension, value: V | None) -> None:
        obj._set_property(self._key, value)


class _Summary(Generic[V]):
    """The summary of ``satimnet:<attribute name>``: None as in `_Field`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = PREFIX + name

    @overload
    def __get__(self, obj: None, owner: type) -> _Summary[V]: ...
    @overload
    def __get__(self, obj: SummariesExtension, owner: type) -> V | None: ...
    def __get__(self, obj: SummariesExtension | None, owner: type) -> _Summary[V] | V | None:
        if obj is None:
            return self
        summaries = obj.summaries
        return cast("V | None", summaries.get_list(self._key) or summaries.get_range(self._key))

    def __set__(self, obj: SummariesExtension, value: V | None) -> None:
        summaries = obj.summaries
        summaries.remove(self._key)  # a range would else outlive the list that replaces it
        if isinstance(value, list):
            # pystac silently leaves out lists of maxcount and more when it writes, and 25 classes
            # are not many.
            summaries.maxcount = max(summaries.maxcount, len(value) + 1)
        obj._set_summary(self._key, cast("Any", value))


class CollectionSatimnetExtension(PropertiesExtension):
    """The fields of a dataset, at the top level of its Collection.

    Each attribute is the value in the JSON, or None where there is none; None removes it.

    Args:
        collection: The Collection whose fields are read and written.

    Example:
        >>> from datetime import UTC, datetime
        >>> from pystac import Collection, Extent, SpatialExtent, TemporalExtent
        >>> start = datetime(2020, 1, 1, tzinfo=UTC)
        >>> extent = Extent(SpatialExtent([3, 50, 5, 52]), TemporalExtent([[start, None]]))
        >>> collection = Collection("harbours", "Ships in harbours", extent)
        >>> fields = SatimnetExtension.ext(collection, add_if_missing=True)
        >>> fields.annotation_method = ["manual", "expert"]
        >>> collection.to_dict()["satimnet:annotation_method"]
        ['manual', 'expert']
    """

    classification_problem = _Field[list[ClassificationProblem]]()
    """Families of supervised learning problems that the dataset serves."""
    tasks = _Field[list[Task]]()
    """Tasks of supervised learning that the dataset serves, in the words of STAC's vocabularies."""
    intended_application = _Field[str]()
    """The primary purpose of the dataset according to its designers."""
    class_definition = _Field[str]()
    """How the class annotations are provided by the dataset designer."""
    class_conversion = _Field[ClassConversion]()
    """Whether, from what and to what the annotations were converted into label images."""
    annotation_method = _Field[list[AnnotationMethod]]()
    """How the labels came about."""
    annotation_description = _Field[str]()
    """How the labels came about, in words."""
    verification_method = _Field[list[VerificationMethod]]()
    """How the labels were checked."""
    geographic_coverage = _Field[str]()
    """The places that the dataset covers, in words."""
    timestamp = _Field[str]()
    """Sensing time as the publisher states it, in words."""
    data_volume = _Field[int]()
    """Size of the published dataset in bytes."""
    naming_convention = _Field[NamingConvention]()
    """Whether file names carry information, and how they are put together."""
    documentation_quality = _Field[DocumentationQuality]()
    """Whether there is enough explanatory material: a judgement."""
    continuous_development = _Field[bool]()
    """Whether the dataset is still corrected and improved."""
    temporal_resolution = _Field[str]()
    """Time between two images of the same place, as an ISO 8601 duration."""
    original_imagery = _Field[str]()
    """What the images were made from, in words."""
    georeferenced = _Field[bool]()
    """Whether the images, at least in one edition, say where they lie."""
    orientation = _Field[str]()
    """Rotation and rectification of images or targets."""
    embedded_metadata = _Field[bool]()
    """Whether the image files carry metadata such as place and time."""
    research_usage = _Field[list[ResearchUse]]()
    """Research that used the dataset, and what for."""
    citation_count = _Field[CitationCount]()
    """How often the dataset was cited, according to whom and when."""
    impact = _Field[str]()
    """What the dataset has brought about, in words."""
    release_date = _Field[str]()
    """The day the dataset was released (YYYY-MM-DD); not a sensing time."""
    synthetic = _Field[bool]()
    """True where the pixels are made up."""
    recipe = _Field[RecipeText]()
    """How the dataset was fused from others."""
    attribute_sources = _Field[dict[str, str]]()
    """By name of a field, where its value comes from."""
    attribute_notes = _Field[dict[str, str]]()
    """By name of a field, what has to be known beside its value."""

    def __init__(self, collection: Collection) -> None:
        self.properties = collection.extra_fields


class ItemSatimnetExtension(PropertiesExtension):
    """The fields of a sample, in the properties of its Item.

    Each attribute is the value in the JSON, or None where there is none; None removes it.

    Args:
        item: The Item whose fields are read and written.

    Example:
        >>> from datetime import UTC, datetime
        >>> from pystac import Item
        >>> item = Item("a", None, None, datetime(2020, 1, 1, tzinfo=UTC), {})
        >>> fields = SatimnetExtension.ext(item, add_if_missing=True)
        >>> fields.split = "train"
        >>> item.properties["satimnet:split"], fields.fold
        ('train', None)
    """

    classes = _Field[list[str]]()
    """Names of the classes present; an empty list where annotators found none."""
    concepts = _Field[list[str]]()
    """Ids of the concepts of the semantic metalayer that these classes stand for."""
    split = _Field[Split]()
    """The part of the dataset the sample belongs to."""
    fold = _Field[int]()
    """The fold of a cross-validation the sample belongs to, from 0."""
    country = _Field[str]()
    """English short name of the country the sample lies in, as the publisher says."""
    source = _Field[str]()
    """Id of the Collection that a fused sample was taken from."""
    predecessor = _Field[str]()
    """Ids of Collection and Item of the same place in the version before: ``collection/item``."""
    statistics = _Field[list[ClassStatistics]]()
    """Objects and mask pixels of each class."""
    synthetic = _Field[bool]()
    """True where the pixels are made up."""
    formats = _Field[list[str]]()
    """Formats of the images, such as ``jpg``, ``png`` and ``tif``."""
    data_types = _Field[list[str]]()
    """Data types of the images, as STAC names them: ``uint16``."""
    band_counts = _Field[list[int]]()
    """How many bands an image has; also all together, where each band is a file of its own."""
    band_names = _Field[list[str]]()
    """Names of the bands of all images."""
    rows = _Field[int]()
    """Rows of the image with the most pixels."""
    columns = _Field[int]()
    """Columns of the image with the most pixels."""
    bytes = _Field[int]()
    """Bytes of the image files together, without masks and annotations."""
    has_mask = _Field[bool]()
    """Whether there is an asset with the role ``mask``."""
    has_annotation = _Field[bool]()
    """Whether there is an asset with the role ``annotation``."""
    georeferenced = _Field[bool]()
    """Whether an image says where it lies."""
    has_nodata = _Field[bool]()
    """Whether an image has a no-data value."""

    def __init__(self, item: Item) -> None:
        self.properties = item.properties


class AssetSatimnetExtension(PropertiesExtension):
    """The fields of an image file, in its asset.

    Args:
        asset: The asset whose fields are read and written.

    Example:
        >>> from pystac import Asset
        >>> asset = Asset("./a.tif")
        >>> fields = AssetSatimnetExtension(asset)
        >>> fields.pixels = {"offset": 0, "dtype": "|u1", "shape": [4, 4], "order": ["y", "x"]}
        >>> asset.extra_fields["satimnet:pixels"]["shape"]
        [4, 4]
    """

    pixels = _Field[Pixels]()
    """Where the pixels lie, uncompressed and in one run, in the file that ``href`` names."""
    original = _Field[Original]()
    """The publisher's file, where the asset is a lossless recoding of it."""

    def __init__(self, asset: Asset) -> None:
        self.properties = asset.extra_fields


class ItemAssetSatimnetExtension(PropertiesExtension):
    """What the assets of a key have in common, in ``item_assets`` of their Collection.

    Args:
        definition: The Item Asset Definition whose fields are read and written.

    Example:
        >>> from pystac import ItemAssetDefinition
        >>> definition = ItemAssetDefinition({"type": "application/zip"})
        >>> ItemAssetSatimnetExtension(definition).member_type = "image/tiff"
        >>> definition.properties["satimnet:member_type"]
        'image/tiff'
    """

    member_type = _Field[str]()
    """Media type of the members of the shards, where the assets are such."""

    def __init__(self, definition: ItemAssetDefinition) -> None:
        self.properties = definition.properties


class SummariesSatimnetExtension(SummariesExtension):
    """What the fields of the Items hold, in the summaries of their Collection.

    Each attribute is a list of all values that occur, or a range; None where there is none.

    Example:
        >>> from datetime import UTC, datetime
        >>> from pystac import Collection, Extent, SpatialExtent, TemporalExtent
        >>> start = datetime(2020, 1, 1, tzinfo=UTC)
        >>> extent = Extent(SpatialExtent([3, 50, 5, 52]), TemporalExtent([[start, None]]))
        >>> collection = Collection("harbours", "Ships in harbours", extent)
        >>> summaries = SatimnetExtension.summaries(collection, add_if_missing=True)
        >>> summaries.classes = ["ship", "pier"]
        >>> collection.to_dict()["summaries"]
        {'satimnet:classes': ['ship', 'pier']}
    """

    classes = _Summary[list[str]]()
    """All classes that occur."""
    concepts = _Summary[list[str]]()
    """All concepts that occur."""
    split = _Summary[list[Split]]()
    """All splits that occur."""
    fold = _Summary[list[int] | RangeSummary[int]]()
    """All folds that occur, or the first and the last."""
    country = _Summary[list[str]]()
    """All countries that occur."""
    source = _Summary[list[str]]()
    """All Collections that samples were taken from."""
    predecessor = _Summary[list[str]]()
    """All Items of the version before that samples have the place of."""
    synthetic = _Summary[list[bool]]()
    """Whether made-up samples, real ones or both occur."""
    formats = _Summary[list[str]]()
    """All formats of images that occur."""
    data_types = _Summary[list[str]]()
    """All data types that occur."""
    band_counts = _Summary[list[int]]()
    """All numbers of bands that occur."""
    band_names = _Summary[list[str]]()
    """All names of bands that occur."""
    rows = _Summary[list[int] | RangeSummary[int]]()
    """The numbers of rows, or the least and the most."""
    columns = _Summary[list[int] | RangeSummary[int]]()
    """The numbers of columns, or the least and the most."""
    bytes = _Summary[list[int] | RangeSummary[int]]()
    """The sizes in bytes, or the least and the most."""
    has_mask = _Summary[list[bool]]()
    """Whether Items with a mask, without or both occur."""
    has_annotation = _Summary[list[bool]]()
    """Whether Items with an annotation, without or both occur."""
    georeferenced = _Summary[list[bool]]()
    """Whether georeferenced Items, others or both occur."""
    has_nodata = _Summary[list[bool]]()
    """Whether Items with a no-data value, without or both occur."""


class SatimnetExtension(ExtensionManagementMixin[Item | Collection]):
    """Access to the ``satimnet:`` fields of pystac objects.

    ``SatimnetExtension.ext(item).split`` reads a field, assignment writes it, None removes it.
    Values are the JSON ones (strings, lists, dictionaries) and are not checked: the schema does
    that when the object is validated.

    Example:
        >>> from datetime import UTC, datetime
        >>> from pystac import Item
        >>> item = Item("a", None, None, datetime(2020, 1, 1, tzinfo=UTC), {})
        >>> SatimnetExtension.ext(item, add_if_missing=True).classes = ["ship"]
        >>> SatimnetExtension.ext(item).classes
        ['ship']
    """

    @classmethod
    def get_schema_uri(cls) -> str:
        """The URI that objects with ``satimnet:`` fields declare."""
        return SCHEMA_URI

    @overload
    @classmethod
    def ext(cls, obj: Item, add_if_missing: bool = ...) -> ItemSatimnetExtension: ...
    @overload
    @classmethod
    def ext(cls, obj: Collection, add_if_missing: bool = ...) -> CollectionSatimnetExtension: ...
    @overload
    @classmethod
    def ext(cls, obj: Asset, add_if_missing: bool = ...) -> AssetSatimnetExtension: ...
    @overload
    @classmethod
    def ext(
        cls, obj: ItemAssetDefinition, add_if_missing: bool = ...
    ) -> ItemAssetSatimnetExtension: ...
    @classmethod
    def ext(
        cls, obj: Item | Collection | Asset | ItemAssetDefinition, add_if_missing: bool = False
    ) -> (
        ItemSatimnetExtension
        | CollectionSatimnetExtension
        | AssetSatimnetExtension
        | ItemAssetSatimnetExtension
    ):
        """The fields of an Item, a Collection, an Asset or an Item Asset Definition.

        Args:
            obj: The object whose fields are read and written.
            add_if_missing: Whether the object (of an asset: its owner) is to declare the extension
                if it does not yet.

        Returns:
            The fields, as attributes.

        Raises:
            pystac.ExtensionNotImplemented: The object does not declare the extension.
            pystac.ExtensionTypeError: It is an object of another kind.
        """
        match obj:
            case Item():
                cls.ensure_has_extension(obj, add_if_missing)
                return ItemSatimnetExtension(obj)
            case Collection():
                cls.ensure_has_extension(obj, add_if_missing)
                return CollectionSatimnetExtension(obj)
            case Asset():
                cls.ensure_owner_has_extension(obj, add_if_missing)
                return AssetSatimnetExtension(obj)
            case ItemAssetDefinition():
                cls.ensure_owner_has_extension(obj, add_if_missing)
                return ItemAssetSatimnetExtension(obj)
            case _:
                raise ExtensionTypeError(cls._ext_error_message(obj))

    @classmethod
    def summaries(cls, obj: Collection, add_if_missing: bool = False) -> SummariesSatimnetExtension:
        """The summaries of a Collection.

        Args:
            obj: The Collection.
            add_if_missing: As in `ext`.

        Returns:
            The summaries of the ``satimnet:`` fields, as attributes.

        Raises:
            pystac.ExtensionNotImplemented: The Collection does not declare the extension.
        """
        cls.ensure_has_extension(obj, add_if_missing)
        return SummariesSatimnetExtension(obj)


class _Hooks(ExtensionHooks):
    schema_uri = SCHEMA_URI
    prev_extension_ids = set(SCHEMA_URIS[1:])  # noqa: RUF012 - pystac wants a plain class attribute
    stac_object_types = {STACObjectType.ITEM, STACObjectType.COLLECTION}  # noqa: RUF012 - as above


HOOKS: ExtensionHooks = _Hooks()
"""What pystac loads through the entry point group ``pystac.extensions``."""
