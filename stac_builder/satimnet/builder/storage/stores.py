"""Stores: web servers and object stores, by the URL of what lies there.

``http`` and ``https`` are read only; ``s3``, ``gs`` and ``az`` are read and written. All of them
are spoken to by obstore. Addresses of endpoints and credentials come from the environment as the
usual tools read it, never from a catalog.

There is one rule of trying again: an answer 429 or 5xx, a connection that drops and a body that
breaks off are asked for again up to `TRIES` times, with growing pauses. And one limit of waiting:
nothing may arrive for `PATIENCE` seconds.
"""

from __future__ import annotations

import configparser
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from satimnet.builder.errors import (
    BadCatalogError,
    NotFoundError,
    SatimnetError,
    StorageError,
    hide,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

SCHEMES = ("http", "https", "s3", "gs", "az")
"""Of places that are not on this machine."""
WRITTEN = ("s3", "gs", "az")
"""Of those that can be written to."""

TRIES = 4
"""Of one request, all together."""
PATIENCE = 10.0
"""Seconds without a byte after which a request counts as failed."""
_LONGEST = 20.0
"""Seconds after which a failed request is not tried again."""
PAUSE = 0.2
"""Seconds before the second try; twice as many before each further one."""

_KEYS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "gs": (
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    "az": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_ACCESS_KEY"),
}
_SECRETS = (
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_SERVICE_ACCOUNT_KEY"),
    *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_SAS_TOKEN"),
    "AZURE_CLIENT_SECRET",
)
_SECRET_LENGTH = 8
"""Characters of the shortest secret that is kept out of messages; shorter ones are words."""
_UNSIGNED = {
    "s3": "AWS_SKIP_SIGNATURE",
    "gs": "GOOGLE_SKIP_SIGNATURE",
    "az": "AZURE_SKIP_SIGNATURE",
}
_OTHER_SIGNERS = {
    "s3": ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
    "gs": (),
    "az": ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_SECRET"),
}


_WEB = re.compile(r"https?://", re.IGNORECASE)
_URL = re.compile(r"(?:https?|s3|gs|az)://", re.IGNORECASE)
_NO_KEY = re.compile(r"//|%2f", re.IGNORECASE)


class Address(NamedTuple):
    """Where an object is: the root of its store, and its key there."""

    root: str
    """``scheme://bucket`` or ``scheme://host``, with the query of the URL if it has one."""
    key: str
    """Not quoted, without a slash at its beginning."""

    @property
    def scheme(self) -> str:
        """In lower case."""
        return self.root.partition(":")[0]


def is_url(place: str) -> bool:
    """Whether the place is a URL of one of `SCHEMES`; any other is a path of this machine."""
    return "://" in place and _URL.match(place) is not None  # asked of every file


def is_web(place: str) -> bool:
    """Whether the place is a URL of a web server."""
    return _WEB.match(place) is not None


def address_of(place: str) -> Address:
    """The store and the key of a URL.

    A URL of a web server is quoted, one of an object store is not. A query stays with the store, so
    that it is sent with every request.

    Raises:
        StorageError: it has no host or bucket.
    """
    scheme = place.partition(":")[0].lower()
    if not is_web(place):
        bucket, _, key = place.partition("://")[2].partition("/")
        if not bucket:
            raise StorageError(f"{shown(place)}: names no bucket; give {scheme}://BUCKET/PATH")
        return Address(f"{scheme}://{bucket}", key)
    try:
        parts = urlsplit(place)
        host = parts.hostname
    except ValueError:
        host = None
    if not host:
        raise StorageError(f"{shown(place)}: is no URL; give {scheme}://HOST/PATH")
    if parts.query:
        hide(f"?{parts.query}", "?…")
    if "@" in parts.netloc:
        hide(f"{parts.netloc.rpartition('@')[0]}@", "")
    if _NO_KEY.search(parts.path):  # which obstore has no keys for
        return Address(urlunsplit((scheme, *parts[1:4], "")), "")
    root = urlunsplit((scheme, parts.netloc, "/" if parts.query else "", parts.query, ""))
    return Address(root, unquote(parts.path).lstrip("/"))


def shown(place: str) -> str:
    """The place as messages may show it: a query or a password may be a secret.

    Example:
        >>> shown("https://me:secret@host/a/catalog.json?sig=abc")
        'https://host/a/catalog.json?…'
        >>> shown("catalogs/eurosat")
        'catalogs/eurosat'
    """
    if not is_url(place):
        return place
    scheme, _, rest = place.partition("://")
    host, slash, path = rest.partition("/")
    if not is_web(place):
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    path, query, _ = path.partition("?")
    host, in_host, _ = host.partition("?")
    hidden = "?…" if query or in_host else ""
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{hidden}"


def store_of(place: str) -> tuple[ObjectStore, str]:
    """The store of a URL, and the key there.

    Raises:
        StorageError: there are no credentials for it, or this process was forked from one that
            used a store.
    """
    address = address_of(place)
    refuse_fork(place)
    _used.set()
    return _store(address.root), address.key


def refuse_fork(place: str) -> None:
    """Refuses to go on in a process forked from one that used a store, where all would hang.

    Raises:
        StorageError: it is such a process.
    """
    if _forked:
        raise StorageError(
            f"{shown(place)}: a process that was forked cannot read stores; start it with the "
            'method "spawn" (DataLoader: multiprocessing_context="spawn")'
        )


@lru_cache(maxsize=256)
def _store(root: str) -> ObjectStore:
    from obstore import store as stores

    scheme, _, bucket = root.partition("://")
    retry: Any = {
        "max_retries": TRIES - 1,
        "retry_timeout": timedelta(seconds=_LONGEST),
        "backoff": {
            "init_backoff": timedelta(seconds=PAUSE),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }
    # What is given here stands in place of obstore's own look at AWS_ALLOW_HTTP and the like.
    client: Any = {
        "allow_http": scheme == "http" or _is_true(f"{_PREFIX.get(scheme, '')}ALLOW_HTTP"),
        "connect_timeout": timedelta(seconds=PATIENCE),
        "read_timeout": timedelta(seconds=PATIENCE),
        "timeout": timedelta(hours=1),
        "pool_max_idle_per_host": "128",
    }
    how: dict[str, Any] = {"client_options": client, "retry_config": retry}
    if scheme in ("http", "https"):
        return stores.HTTPStore(root, **how)
    signing = _signing(scheme, root)
    if scheme == "s3":
        return stores.S3Store(bucket, **how, **signing)
    if scheme == "gs":
        return stores.GCSStore(bucket, **how, **signing)
    return stores.AzureStore(bucket, **how, **signing)


_PREFIX = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}


def _is_true(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "yes", "on")


def _signing(scheme: str, root: str) -> dict[str, Any]:
    """What a store is given besides what it reads from the environment itself.

    A store without credentials would ask an address of the cloud's for some, which anywhere else is
    a long wait; so they must be named.
    """
    if _is_true(_UNSIGNED[scheme]):
        return {"skip_signature": True}
    for name in _SECRETS:
        _hide(os.environ.get(name, ""))
    needed, others = _KEYS[scheme], _OTHER_SIGNERS[scheme]
    there = [name for name in needed if os.environ.get(name)]
    if (len(there) == len(needed)) if scheme == "s3" else there:
        return {}
    if any(os.environ.get(name) for name in others) or _is_true("SATIMNET_INSTANCE_CREDENTIALS"):
        return {}
    if scheme == "s3" and (keys := _shared_keys()):
        return keys
    raise StorageError(
        f"{root}: no credentials; set {' and '.join(needed) if scheme == 's3' else needed[0]}, or "
        f"{_UNSIGNED[scheme]}=true if everybody may read it"
    )


def _hide(secret: str) -> None:
    """Keeps a key out of all messages, unless it is so short that it may be a word of them."""
    if len(secret) >= _SECRET_LENGTH:
        hide(secret, "…")


def _shared_keys() -> dict[str, str]:
    """The keys in the file that Amazon's tools share; obstore does not read it.

    https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
    """
    path = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    profile = os.environ.get("AWS_PROFILE") or "default"
    file = configparser.RawConfigParser()
    try:
        file.read(os.path.expanduser(path))
        section: Mapping[str, str] = file[profile] if file.has_section(profile) else {}
    except (configparser.Error, UnicodeDecodeError):
        return {}
    if not {"aws_access_key_id", "aws_secret_access_key"} <= set(section):
        return {}
    for name in ("aws_secret_access_key", "aws_session_token"):
        _hide(section.get(name, ""))
    keys = {
        "access_key_id": section["aws_access_key_id"],
        "secret_access_key": section["aws_secret_access_key"],
    }
    if "aws_session_token" in section:
        keys["session_token"] = section["aws_session_token"]
    return keys


def web_address(place: str) -> str:
    """The URL at which a web browser finds an object that everybody may read.

    Any place that is not in an object store stays as it is. The endpoint of S3 is that of the
    environment.

    Raises:
        StorageError: the environment does not say whose container it is.

    Example:
        >>> web_address("gs://bucket/my data/catalog.json")
        'https://storage.googleapis.com/bucket/my%20data/catalog.json'
        >>> web_address("../catalog.json")
        '../catalog.json'
    """
    if not is_url(place) or is_web(place):
        return place
    address = address_of(place)
    bucket, key = address.root.partition("://")[2], quote(address.key)
    if address.scheme == "gs":
        return f"https://storage.googleapis.com/{bucket}/{key}"
    if address.scheme == "az":
        account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
        if not account:
            raise StorageError(f"{place}: whose container it is, AZURE_STORAGE_ACCOUNT_NAME says")
        return f"https://{account}.blob.core.windows.net/{bucket}/{key}"
    endpoint = _s3_endpoint()
    if endpoint is None:
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
        return f"https://{bucket}.s3.{region}.amazonaws.com/{key}"
    if _is_true("AWS_VIRTUAL_HOSTED_STYLE_REQUEST"):
        return f"{endpoint.rstrip('/')}/{key}"  # which has the bucket in its name
    return f"{endpoint.rstrip('/')}/{bucket}/{key}"


def _s3_endpoint() -> str | None:
    variables = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next((url for name in variables if (url := os.environ.get(name))), None)


def gdal_settings() -> dict[str, str]:
    """What GDAL is to be told, by variables of the environment, to reach the same S3 endpoint."""
    found: dict[str, str] = {}
    endpoint = _s3_endpoint()
    if endpoint is not None:
        scheme, _, host = endpoint.rpartition("://")
        found["AWS_S3_ENDPOINT"] = host.rstrip("/")
        found["AWS_HTTPS"] = "NO" if scheme == "http" else "YES"
        virtual = _is_true("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")
        found["AWS_VIRTUAL_HOSTING"] = "TRUE" if virtual else "FALSE"
    for setting, variable in (
        ("AWS_NO_SIGN_REQUEST", _UNSIGNED["s3"]),
        ("GS_NO_SIGN_REQUEST", _UNSIGNED["gs"]),
        ("AZURE_NO_SIGN_REQUEST", _UNSIGNED["az"]),
    ):
        if _is_true(variable):
            found[setting] = "YES"
    return found


# --- errors ---------------------------------------------------------------------------------------


class ChangedError(StorageError):
    """An object is not the one that was to be replaced: somebody else was faster."""


class DeniedError(StorageError):
    """An object may not be read or written; many hosts say so of what is not there as well."""


class SizeError(StorageError, BadCatalogError):
    """A file is not as long as the catalog says, or longer than any of its kind."""


@contextmanager
def told(place: str, doing: str = "read") -> Iterator[None]:
    """Raises what obstore raises as one line that names the place, the host and the reason.

    Raises:
        NotFoundError: nothing is there.
        DeniedError: it may not be read or written.
        ChangedError: the object is another one than was expected.
        SizeError: it ends before what was asked for.
        StorageError: it cannot be read or written.
    """
    from obstore import exceptions as theirs

    try:
        yield
    except SatimnetError:  # some are ValueErrors, too
        raise
    except FileNotFoundError as error:
        raise NotFoundError(f"{shown(place)}: nothing is there") from error
    except (theirs.AlreadyExistsError, theirs.PreconditionError) as error:
        raise ChangedError(f"{shown(place)}: somebody else wrote it meanwhile") from error
    except (theirs.PermissionDeniedError, theirs.UnauthenticatedError) as error:
        raise DeniedError(
            f"{shown(place)}: access is denied; check the credentials, or whether it is there"
        ) from error
    except (theirs.BaseError, ValueError) as error:
        if "410 Gone" in str(error):
            raise NotFoundError(f"{shown(place)}: nothing is there") from error
        reason = reason_of(place, error)
        kind = SizeError if reason == TOO_SHORT else StorageError
        raise kind(f"{shown(place)}: cannot be {doing} ({reason})") from error


TOO_SHORT = "it is shorter than the catalog says"
_BROKE_OFF = re.compile(r"kind: (?:Body|Decode|Interrupted)|IncompleteBody|IncompleteMessage")


def reason_of(place: str, error: Exception) -> str:
    """The reason in our own words: theirs are pages long and may have secrets in them."""
    text = f"{error} {error!r}"
    host = shown(address_of(place).root).partition("://")[2].rstrip("/?…")
    status = re.search(r"\bstatus(?: code)?: ([45]\d\d)\b", text)
    if re.search(r"TimedOut|timed out|Timeout", text):
        return f"{host} sent nothing for {PATIENCE:g} seconds"
    if status and status[1] == "416":
        return TOO_SHORT
    if status:
        often = f", {TRIES} times" if status[1] >= "5" else ""
        return f"{host} answered {status[1]}{often}"
    if "builder error" in text:
        return "plain http is not allowed; set AWS_ALLOW_HTTP=true"
    if _BROKE_OFF.search(text):
        return f"the answer of {host} broke off"
    if re.search(r"[Cc]onnect", text):
        return f"{host} cannot be reached"
    if isinstance(error, ValueError):
        return "no store can have such a path"
    return type(error).__name__


def again(call: Callable[[], T]) -> T:
    """What the call returns, which is made again where the body of an answer broke off.

    obstore itself tries again what fails before the body begins.
    """
    from obstore import exceptions as theirs

    for attempt in range(TRIES - 1):
        try:
            return call()
        except theirs.GenericError as error:
            if not broke_off(error):
                raise
        time.sleep(PAUSE * 2**attempt * random.uniform(0.5, 1.5))
    return call()


def broke_off(error: Exception) -> bool:
    """Whether the body of an answer did not come to its end."""
    return _BROKE_OFF.search(f"{error!r}") is not None


# --- processes that fork --------------------------------------------------------------------------

_used = threading.Event()
_forked = False


def _note_fork() -> None:
    global _forked
    _forked = _used.is_set()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
