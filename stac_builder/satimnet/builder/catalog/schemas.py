"""Compiled JSON Schemas of STAC and its extensions: local copies first, the network last.

STAC's core and GeoJSON come with pystac, PROJJSON with pyproj, our own extension with this package.
Those of other extensions come from a folder that the user gives, from the cache of an earlier
fetch, or from their URI.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satimnet.builder.errors import ArgumentError
from satimnet.builder.storage.atomic_files import write
from satimnet.extension import SCHEMA_URIS, schema

if TYPE_CHECKING:
    from jsonschema import ValidationError

_CORE = "https://schemas.stacspec.org/v1.1.0/{0}-spec/json-schema/{0}.json"
_KINDS = {"Feature": "item", "Collection": "collection", "Catalog": "catalog"}
_FETCH_SECONDS = 10


@dataclass
class Schemas:
    """Compiled validators by the combination of schemas that an object declares."""

    folder: Path | None = None
    """Folder with an ``index.json`` that maps schema URIs to files in it."""
    unavailable: set[str] = field(default_factory=set)
    """URIs of schemas that were needed and could not be fetched."""
    _given: dict[str, dict[str, Any]] = field(default_factory=dict)
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)
    _compiled: dict[tuple[str, ...], list[tuple[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import pyproj
        from pystac.validation import JsonSchemaSTACValidator

        self._known |= JsonSchemaSTACValidator().schema_cache
        self._known |= {uri: schema(uri) for uri in SCHEMA_URIS}
        projjson = Path(pyproj.datadir.get_data_dir(), "projjson.schema.json")
        if projjson.exists():
            content = json.loads(projjson.read_bytes())
            self._known[content["$id"]] = content
        if self.folder is not None:
            self._given = _folder_schemas(self.folder)

    def problem(self, content: Mapping[str, Any]) -> str | None:
        """What is wrong with a STAC object, in the words of the first schema that it fails."""
        kind = _KINDS.get(str(content.get("type")))
        if kind is None:
            return f"type {content.get('type')!r} is none of STAC's"
        uris = (_CORE.format(kind), *_listed(content.get("stac_extensions")))
        for uri, validator in self._validators(uris):
            if not validator.is_valid(content):
                return f"{self._worded(content, uri)} ({uri})"
        return None

    def checked(self) -> list[str]:
        """URIs of the schemas that objects were checked against."""
        return sorted({uri for pairs in self._compiled.values() for uri, _ in pairs})

    def _validators(self, uris: tuple[str, ...]) -> list[tuple[str, Any]]:
        if uris not in self._compiled:
            self._compiled[uris] = [
                (uri, validator) for uri in uris if (validator := self._compile(uri)) is not None
            ]
        return self._compiled[uris]

    def _compile(self, uri: str) -> Any:
        """The validator of a schema; None if that, or one that it refers to, is not available."""
        import jsonschema_rs

        if uri in self.unavailable:
            return None
        found = self._known.get(uri) or self._given.get(uri) or _cached_or_fetched(uri)
        if found is not None:
            self._known[uri] = found
            try:
                registry = jsonschema_rs.Registry(list(self._known.items()))
                return jsonschema_rs.validator_for(found, registry=registry)
            except ValueError:
                del self._known[uri]
        self.unavailable.add(uri)
        return None

    def _worded(self, content: Mapping[str, Any], uri: str) -> str:
        """The error in the words of Python's jsonschema, which name the field, not the root."""
        import jsonschema
        from referencing import Registry, Resource

        registry: Registry[Any] = Registry().with_resources(
            (known, Resource.from_contents(s)) for known, s in self._known.items()
        )
        found = self._known[uri]
        validator = jsonschema.validators.validator_for(found)(found, registry=registry)
        errors = list(validator.iter_errors(content))
        if not errors:  # the two validators differ in what no JSON has, such as huge numbers
            return "the object does not fit"
        error = _deepest(errors)
        where = "/".join(map(str, error.absolute_path)) or "the object"
        return f"{where}: {error.message[:300]}"


def _listed(uris: Any) -> list[str]:
    return [uri for uri in uris if isinstance(uri, str)] if isinstance(uris, list) else []


def _deepest(errors: list[ValidationError]) -> ValidationError:
    """The error deepest in the object, leaving out alternatives for other types of object.

    STAC's schemas are a ``oneOf`` of Item, Collection and Catalog; only the branch of the object's
    own type says what is wrong with it.
    """
    leaves = []
    for error in errors:
        branches: dict[Any, list[ValidationError]] = {}
        for child in error.context or ():
            branches.setdefault(child.schema_path[0], []).append(child)
        own = [b for b in branches.values() if not any(_is_of_type(child) for child in b)]
        leaves.append(_deepest(min(own or branches.values(), key=len)) if branches else error)
    return max(leaves, key=lambda leaf: len(leaf.absolute_path))


def _is_of_type(error: ValidationError) -> bool:
    return list(error.absolute_path) == ["type"] or any(map(_is_of_type, error.context or ()))


def _folder_schemas(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        index = json.loads((folder / "index.json").read_bytes())
        return {uri: json.loads((folder / name).read_bytes()) for uri, name in index.items()}
    except (OSError, ValueError) as error:
        raise ArgumentError(
            f"{folder}: no folder of schemas ({error}); it needs an index.json of URI to file",
            "schemas",
        ) from error


def _cached_or_fetched(uri: str) -> dict[str, Any] | None:
    if not uri.startswith("https://"):
        return None
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "satimnet", "schemas")
    file = cache / uri.removeprefix("https://").replace("/", "_")
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
        return content
    except (OSError, ValueError):
        pass
    import requests

    try:
        answer = requests.get(uri, timeout=_FETCH_SECONDS)
        answer.raise_for_status()
        content = answer.json()
    except (requests.RequestException, ValueError):
        return None
    with suppress(OSError):  # it works without a cache, too
        write(file, json.dumps(content).encode())
    return content
