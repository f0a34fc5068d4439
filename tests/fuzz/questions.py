"""``python -m tests.fuzz.questions``: malformed requests to ``serve``, made from a seed.

From the repository's root. Chains, deep and wide filters, spatial literals without end, bodies of
every wrong type, numbers without end, odd paths, ranges and headers. No answer may have a status
of 500 or more, take long, or tell where the catalog lies; the server must live on.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from satimnet.builder import build
from stactools.eurosat.miniature import write_miniature

_SECONDS = 30  # that an answer may take: the limit of a search is 10, and the machine may be busy
_CLIENTS = 4
_LONGEST_LINE = 60_000  # bytes of a request line that the HTTP library takes


@dataclass(frozen=True)
class Request:
    """What is sent, and what kind of malice it is."""

    kind: str
    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


# --- filters ------------------------------------------------------------------------------------

_PROPERTIES = ("id", "title", "datetime", "geometry", '"satimnet:classes"', "nothing", "gsd")
_VALUES = ("'a'", "1", "-1e9", "TRUE", "NULL", "DATE('2018-01-01')", "''", "'%'", "POINT(1 2)")
_CHAINED = (
    *("=", "<>", "!=", "<", "<=", ">", ">=", "like", "not like", "in", "not in", "div", "+", "-"),
    *("*", "/", "%", "^", "and", "or", "and not", "or not", ",", "is null and", "between", "||"),
)
_OPENED = (
    *("(", "((", "[", "not ", "not (", "-", "+", "casei(", "a_contains(id, (", "id in (", "f("),
    *("s_intersects(geometry, ", "POINT(", "POLYGON((", "MULTIPOLYGON(((", "BBOX("),
    *("GEOMETRYCOLLECTION(", "INTERVAL(", "TIMESTAMP(", "'", '"', "id between (", "1 + (", "{"),
)


def _length(rng: random.Random) -> int:
    return int(10 ** rng.uniform(0, 4.3))


def _chain(rng: random.Random) -> str:
    operator, value = (
        rng.choice(_CHAINED),
        rng.choice((*_VALUES, *_PROPERTIES, "(1)", "('a', 'b')")),
    )
    return rng.choice(_PROPERTIES) + f" {operator} {value}" * _length(rng)


def _deep(rng: random.Random) -> str:
    opened = rng.choice(_OPENED)
    depth = _length(rng)
    closed = ")" * (opened.count("(") * depth) if rng.random() < 0.5 else ""
    return opened * depth + rng.choice((*_VALUES, "id = 'a'", "", "1 2")) + closed


def _wide(rng: random.Random) -> str:
    many = range(_length(rng))
    values = ", ".join(rng.choice(_VALUES) for _ in many)
    match rng.randrange(7):
        case 0:
            return f"{rng.choice(_PROPERTIES)} in ({values})"
        case 1:
            return f'a_overlaps("satimnet:classes", ({values}))'
        case 2:
            return f"s_intersects(geometry, LINESTRING({', '.join('1 2' for _ in many)}, 3 -4))"
        case 3:
            return " or ".join(f"id = '{n}'" for n in many)
        case 4:
            return " or ".join(f"title like '%{n}%{n}%'" for n in many)
        case 5:
            return " and ".join(f"casei(title) <> '{n}'" for n in many)
    return f"f({values})"


def _spoilt(rng: random.Random) -> str:
    text = rng.choice(
        (
            "\"satimnet:split\" = 'train' and (id like 'a%' or not title is null)",
            "t_during(datetime, INTERVAL('2018-01-01', '..'))",
            "s_within(geometry, POLYGON((0 0, 9 0, 9 9, 0 9, 0 0))) and id in ('a', 'b')",
            "a_contains(\"satimnet:classes\", ('River')) or id between 'a' and 'b'",
            "casei(accenti(title)) = casei('x') and 1 + 2 * 3 ^ 2 > 4 div 5",
        )
    )
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        piece = rng.choice((*_CHAINED, *_OPENED, *_VALUES, ")", "\0", "é", "\ud800", "\n", "٣"))
        text = text[:at] + piece + text[at + rng.choice((0, 0, 1, 5)) :]
    return text


_FILTERS: tuple[Callable[[random.Random], str], ...] = (_chain, _deep, _wide, _spoilt)


def _tree(rng: random.Random, depth: int) -> Any:
    if depth <= 0 or rng.random() < 0.2:
        return _odd(rng, 1)
    op = rng.choice(("and", "or", "not", "=", "<", "in", "like", "between", "casei", "+", "div"))
    op = rng.choice((op, "s_intersects", "t_after", "a_contains", "isNull", "f", ""))
    args = [_tree(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return {"op": op, "args": args} | ({rng.choice(("x", "type")): 1} if rng.random() < 0.1 else {})


def _nested(rng: random.Random) -> Any:
    node = _odd(rng, 0)
    for _ in range(min(400, _length(rng))):
        node = rng.choice(
            (
                {"op": "not", "args": [node]},
                [node],
                {"op": "and", "args": [True, node]},
                {"interval": [node, ".."]},
                {"type": "GeometryCollection", "geometries": [node]},
                {"x": node},
            )
        )
    return node


def _many(rng: random.Random) -> Any:
    op, inner = rng.choice(("and", "or")), rng.choice(("=", "like", "<", "s_intersects"))
    one = {"op": inner, "args": [{"property": rng.choice(("id", "title", "geometry"))}, "a%"]}
    return {"op": op, "args": [one] * min(_length(rng), 9000)}


# --- values -------------------------------------------------------------------------------------


_POINTS = {"type": "MultiPoint", "coordinates": [[1, 2]] * 60_000}


def _odd(rng: random.Random, depth: int) -> Any:
    plain: list[Any] = [
        *(None, True, 0, -1, 1.5, 10**30, 1e308, "", "a", "id", "é\0", "9" * 400, "-" * 50, " "),
        *({"property": "id"}, {"property": 5}, {"timestamp": "2018-01-01T00:00:00Z"}, {"date": 1}),
        *({"bbox": [0, 0, 1, 1]}, {"bbox": ["x"] * 9}, {"interval": []}, {"op": "="}, {"op": []}),
        *({"type": "Point", "coordinates": [1, 2]}, {"type": "Point"}, {"type": 5}, {}, []),
        *({"type": "Polygon", "coordinates": [[[0, 0]] * 4]}, {"type": "Nothing"}),
        _POINTS,
    ]
    if depth and rng.random() < 0.3:
        return [_odd(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    node, other = rng.choice(plain), rng.choice(plain)
    both = isinstance(node, dict) and isinstance(other, dict) and rng.random() < 0.3
    return node | other if both else node


_NAMES = (
    *("collections", "ids", "bbox", "intersects", "datetime", "filter", "filter-lang", "query"),
    *("filter-crs", "q", "sortby", "fields", "limit", "token", "nonsense", "aggregations"),
)


def _body(rng: random.Random) -> Any:
    names = rng.sample(_NAMES, rng.randint(1, 3))
    body: dict[str, Any] = {name: _odd(rng, 2) for name in names}
    if rng.random() < 0.6:
        made = rng.choice((_tree(rng, 4), _nested(rng), _many(rng), rng.choice(_FILTERS)(rng)))
        body[rng.choice(("filter", "filter", "filter", "intersects", "query"))] = made
    if rng.random() < 0.3:
        many = _length(rng)
        name = rng.choice(("ids", "q", "sortby", "fields", "collections"))
        body[name] = [rng.choice(("id", "-title", "a b", "x")) for _ in range(many)]
    return body


def _text(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return rng.choice(("id,", "a ", "-", "[", '{"a":', "9", "+", "a,b,")) * _length(rng)
    return rng.choice(
        (
            *("x", "", "0", "-1", "9" * 5000, "1e9", "null", "[]", "{", "{}", "[[]]", "\0", "%"),
            *("1,2,3,4", "0,0,0,0", "nan,0,1,1", "170,0,-170,5", "inf,inf,inf,inf", "../..", "/"),
            *("2018-01-01T00:00:00Z/..", "2018-01-01T00:00:00+02:00", "0000-00-00T00:00:00Z"),
            json.dumps(_odd(rng, 2))[:20_000],
        )
    )


# --- requests -----------------------------------------------------------------------------------

_API = ("", "/plain")
_PATHS = (
    *("/search", "/search", "/search", "/aggregate", "/collections/eurosat/items", "/collections"),
    *("/collections/eurosat", "/queryables", "/", "/api", "/conformance"),
)
_HEADERS = {
    "Range": ("bytes=-", "bytes=0-0," * 200, "bytes=" + "9" * 5000 + "-", "bytes=5-1", "x=1", "٣"),
    "Host": ("", "[", "a b", "x" * 5000, "[::1", "a:99999999", "//", "é"),
    "X-Forwarded-Prefix": ("//", "/a", "/../..", "x" * 5000, "/catalog", "é", "/a,/b"),
    "X-Forwarded-Host": ("[", "a/b", "x:y", "a,b", "", "example.org:99999999"),
    "X-Forwarded-Proto": ("ftp", "https,http", "", "javascript"),
    "Accept-Encoding": ("gzip", "gzip;q=0", "*", "br, gzip", ""),
    "Accept": ("text/html", "*/*", ""),
    "If-None-Match": ("*", '"x"', "W/"),
    "If-Modified-Since": ("x", "Thu, 99 Xyz 0000 99:99:99 GMT"),
    "If-Range": ("x", '"', "W/"),
    "Content-Type": ("text/plain", "application/json; charset=x", ""),
    "Origin": ("null", "x", "https://a.org"),
}


def _filter_by_get(rng: random.Random) -> Request:
    asked = {"filter": rng.choice(_FILTERS)(rng).encode(errors="surrogatepass"), "limit": "1"}
    if rng.random() < 0.2:
        asked["filter"] = json.dumps(rng.choice((_tree, lambda r, _: _nested(r)))(rng, 4))
    path = rng.choice(("/search", "/aggregate", "/collections/eurosat/items"))
    return Request("filter in a GET", "GET", f"{path}?{urlencode(asked)[:_LONGEST_LINE]}")


def _filter_by_post(rng: random.Random) -> Request:
    text = rng.choice(_FILTERS)(rng) if rng.random() < 0.5 else rng.choice((_nested, _many))(rng)
    return _posted("filter in a POST", {"filter": text, "limit": 1})


def _posted(kind: str, body: Any) -> Request:
    headers = {"Content-Type": "application/json"}
    return Request(kind, "POST", "/search", headers, json.dumps(body).encode())


def _parameters(rng: random.Random) -> Request:
    names = [rng.choice(_NAMES) for _ in range(rng.randint(1, 4))]
    asked = [(name, _text(rng)) for name in names]
    target = f"{rng.choice(_API)}{rng.choice(_PATHS)}?{urlencode(asked)}"
    return Request("parameters", rng.choice(("GET", "GET", "HEAD")), target[:_LONGEST_LINE])


def _broken_body(rng: random.Random) -> Request:
    body = bytearray(json.dumps(_body(rng)).encode())
    for _ in range(rng.randint(1, 5)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    raw = rng.choice(
        (bytes(body), b"[" * 100_000, b'{"a":' * 900, b"", b"NaN", b'{"ids":["\\ud800"]}')
    )
    return Request("broken body", "POST", "/search", {"Content-Type": "application/json"}, raw)


def _paths(rng: random.Random) -> Request:
    digits = rng.choice(("5", "0", "-1", "٣", "9" * 18, "9" * 5000, "", "1-2"))
    piece = rng.choice(
        ("..", ".", ".git", "%00", "%2e%2e", "a" * 300, "%ff", "é", "", "*", "[", "{x}")
    )
    target = rng.choice(
        (
            f"/members/{digits}-{digits}/eurosat/shards/Forest-00000.zip/x",
            f"/members/0-{digits}/{piece}/{piece}/x",
            f"/catalog/{piece}/{piece}",
            f"/catalog/eurosat/{piece}",
            f"/collections/{piece}/items/{piece}",
            f"/thumbnails/eurosat/{piece}.png",
            f"/plain/{piece}",
            f"/{piece}",
            "/catalog/eurosat/shards",
        )
    )
    return Request(
        "path", rng.choice(("GET", "HEAD", "POST", "PUT", "X")), quote(target, "/%{}*[]")
    )


def _headers(rng: random.Random) -> Request:
    names = rng.sample(sorted(_HEADERS), rng.randint(1, 3))
    target = rng.choice(
        (
            "/",
            "/search?limit=1",
            "/catalog/catalog.json",
            "/catalog/eurosat/collection.json",
            "/catalog/eurosat/items.parquet",
            "/browser",
        )
    )
    return Request("headers", "GET", target, {name: rng.choice(_HEADERS[name]) for name in names})


_KINDS: tuple[tuple[Callable[[random.Random], Request], int], ...] = (
    (_filter_by_get, 4),
    (_filter_by_post, 4),
    (lambda rng: _posted("body", _body(rng)), 4),
    (_broken_body, 2),
    (_parameters, 4),
    (_paths, 2),
    (_headers, 2),
)


def make(seed: int) -> Request:
    """The request of a seed, always the same."""
    rng = random.Random(seed)
    makers, weights = zip(*_KINDS, strict=True)
    request: Request = rng.choices(makers, weights)[0](rng)
    return request


# --- asking -------------------------------------------------------------------------------------


def ask(url: str, request: Request) -> tuple[int, bytes, float]:
    """Status, content and seconds; status 0 where the connection was closed without an answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=_SECONDS)
    headers = {k: v.encode(errors="surrogatepass") for k, v in request.headers.items()}
    start = time.perf_counter()
    try:
        skip = "Host" in headers
        connection.putrequest(request.method, request.target, skip_host=skip)
        for name, value in headers.items():
            connection.putheader(name, value)
        if request.method == "POST":
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body or None)
        answer = connection.getresponse()
        return answer.status, answer.read(), time.perf_counter() - start
    except (http.client.HTTPException, ConnectionError):
        return 0, b"", time.perf_counter() - start
    finally:
        connection.close()


def fault_of(url: str, place: bytes, request: Request) -> tuple[int, float, str]:
    """Status, seconds, and what is wrong with the answer, if anything is."""
    try:
        status, content, seconds = ask(url, request)
    except TimeoutError:
        return 0, _SECONDS, "no answer"
    if status >= 500:
        return status, seconds, f"status {status}"
    if status != 200 and place in content:
        return status, seconds, "tells the place"
    return status, seconds, ""


def answers(url: str, place: bytes, seeds: Iterable[int]) -> list[tuple[int, float, str]]:
    """What `fault_of` says of each question, asked by several clients at once."""
    with ThreadPoolExecutor(_CLIENTS) as pool:
        return list(pool.map(lambda seed: fault_of(url, place, make(seed)), seeds))


def main() -> int:
    """Asks, and prints what came of it; 1 if anything was at fault."""
    from ..serving import served  # tests import this module from elsewhere, and serve themselves

    parser = argparse.ArgumentParser("python -m tests.fuzz.questions", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="the first case's; others follow")
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.cases)
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        write_miniature(Path(folder) / "source", 4)
        build([Path(folder) / "source"], Path(folder) / "catalog")
        with served(Path(folder) / "catalog") as (url, process):
            place = folder.encode()
            results = answers(url, place, seeds)
            alive = process.poll() is None and ask(url, Request("last", "GET", "/"))[0] == 200
    faults = [(seed, told) for seed, (*_, told) in zip(seeds, results, strict=True) if told]
    for seed, told in faults[:50]:
        request = make(seed)
        print(f"{seed}: {told}: {request.kind}: {request.method} {request.target[:200]}")
        print(f"  {request.headers} {request.body[:300]!r}")
    statuses = Counter(status for status, *_ in results)
    told = ", ".join(f"{number} of status {status}" for status, number in sorted(statuses.items()))
    slowest, which = max((result[1], seed) for seed, result in zip(seeds, results, strict=True))
    print(
        f"{len(results)} requests in {time.perf_counter() - start:.0f} s: {told}. "
        f"{len(faults)} faults; the slowest answer took {slowest:.1f} s (seed {which}); "
        f"the server is {'alive' if alive else 'dead'}."
    )
    return int(bool(faults) or not alive)


if __name__ == "__main__":
    sys.exit(main())
