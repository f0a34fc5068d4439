"""The columns of ``items.parquet``: the Arrow types of what an Item says.

They are the same for every shard of a dataset, so that tables of shards can be joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from satimnet.builder.catalog.file_facts import FACTS

if TYPE_CHECKING:
    import pyarrow as pa

BBOX = ("xmin", "ymin", "xmax", "ymax")
"""Fields of the bbox column. As in STAC, xmin is the larger number across 180 degrees: so says
https://geoparquet.org/releases/v1.1.0/ (bounding box columns)."""


@cache
def _schema_parts() -> dict[str, Any]:
    import pyarrow as pa

    strings = pa.list_(pa.string())
    doubles = pa.list_(pa.float64())
    integers = pa.list_(pa.int64())
    time = pa.timestamp("us", tz="UTC")
    member = pa.struct(
        {
            "href": pa.string(),
            "type": pa.string(),
            "range": integers,
            "file:size": pa.int64(),
            "file:checksum": pa.string(),
        }
    )
    projection = {
        "proj:code": pa.string(),
        "proj:wkt2": pa.string(),
        "proj:shape": integers,
        "proj:transform": doubles,
    }
    pixels = {"offset": pa.int64(), "dtype": pa.string(), "shape": integers, "order": strings}
    original = {
        "path": pa.string(),
        "type": pa.string(),
        "file:size": pa.int64(),
        "file:checksum": pa.string(),
    }
    statistic = {"class": pa.string(), "count": pa.int64(), "pixels": pa.int64()}
    concept = pa.struct({"id": pa.string(), "title": pa.string()})
    theme = {"scheme": pa.string(), "concepts": pa.list_(concept)}
    return {
        "head": {
            "type": pa.string(),
            "stac_version": pa.string(),
            "stac_extensions": strings,
            "id": pa.string(),
        },
        "links": pa.list_(
            pa.struct({"href": pa.string(), "rel": pa.string(), "type": pa.string()})
        ),
        "asset": pa.struct(
            {
                "href": pa.string(),
                "type": pa.string(),
                "title": pa.string(),
                "roles": strings,
                "data_type": pa.string(),
                "bands": pa.list_(pa.struct({"name": pa.string()})),
                "file:size": pa.int64(),
                "archive": pa.list_(member),
                **projection,
                "satimnet:pixels": pa.struct(pixels),
                "satimnet:original": pa.struct(original),
            }
        ),
        "properties": {
            "title": pa.string(),
            "datetime": time,
            "start_datetime": time,
            "end_datetime": time,
            **projection,
            "satimnet:classes": strings,
            "satimnet:concepts": strings,
            "themes": pa.list_(pa.struct(theme)),
            "satimnet:statistics": pa.list_(pa.struct(statistic)),
            "satimnet:split": pa.string(),
            "satimnet:fold": pa.int64(),
            "data_type": pa.string(),
            **{name: _of_python(kind) for name, kind in FACTS.items()},
        },
    }


def _of_python(kind: Any) -> pa.DataType:
    """Arrow type of what `FACTS` has."""
    import pyarrow as pa

    if isinstance(kind, list):
        return pa.list_(_of_python(kind[0]))
    return {str: pa.string(), int: pa.int64(), bool: pa.bool_()}[kind]


def bbox_type() -> pa.StructType:
    """Arrow type of the bbox column."""
    import pyarrow as pa

    return pa.struct([(key, pa.float64()) for key in BBOX])


def common_properties() -> list[str]:
    """Names of the properties that any dataset may have."""
    return list(_schema_parts()["properties"])


def property_type(name: str) -> pa.DataType:
    """Arrow type of a property that any dataset may have; null type of others."""
    import pyarrow as pa

    return _schema_parts()["properties"].get(name, pa.null())


def item_schema(record: Mapping[str, Any]) -> pa.Schema:
    """Arrow schema of a dataset's rows, the same for every shard."""
    import pyarrow as pa

    parts = _schema_parts()
    own = {key: pa.array([value]).type for key, value in record["properties"].items()}
    own |= {key: _type(name) for key, name in record.get("fields", {}).items()}
    return pa.schema(
        {
            **parts["head"],
            "geometry": pa.binary(),
            "bbox": bbox_type(),
            "links": parts["links"],
            "assets": pa.struct({key: _asset_type(spec) for key, spec in record["assets"].items()}),
            "collection": pa.string(),
            **parts["properties"],
            **own,
        }
    )


def has_number_for_nodata(spec: Mapping[str, Any]) -> bool:
    """Whether the files of an asset have a no-data value that its Items repeat.

    "nan" stands in the Collection alone: it has no number in JSON, and a column has one type.
    """
    return isinstance(spec.get("nodata"), int | float)


def _asset_type(spec: Mapping[str, Any]) -> pa.StructType:
    """Arrow type of an asset; only those that may have a time or a no-data value have its field."""
    import pyarrow as pa

    fields = list(_schema_parts()["asset"])
    if has_number_for_nodata(spec):
        fields.append(pa.field("nodata", pa.array([spec["nodata"]]).type))
    if spec.get("own_datetime"):
        fields.append(pa.field("datetime", pa.string()))
    return pa.struct(fields)


def _type(name: str | list[str]) -> pa.DataType:
    """Arrow type of a name as ``[fields]`` has it: JSON's, in a list where it is a list."""
    import pyarrow as pa

    if isinstance(name, list):
        return pa.list_(_type(name[0]))
    types = {"string": pa.string(), "number": pa.float64(), "integer": pa.int64()}
    return {**types, "boolean": pa.bool_()}[name]
