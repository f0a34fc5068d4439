"""CQL2 text as CQL2-JSON: https://docs.ogc.org/is/21-065r2/21-065r2.html#cql2-text

Filters come from anybody, so this reads them with bounds: each token is looked at once, and time
and memory grow with the length of the text alone. A native parser, with its stack and with a time
that doubles with each bracket that is not closed, cannot be bounded from outside.

What the grammar leaves open is read as the `cql2` package does, which tests hold it against:
``=`` binds looser than ``<``, comparisons group to the right, and one value in brackets is that
value, or a list of one where an operator wants a list.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from satimnet.builder.errors import BadQueryError, TooLargeError

Node = Any  # CQL2-JSON: a dict, list, text, number, bool or None

MOST_TOKENS = 100_000
"""Words, values and signs of a filter at most."""
DEEPEST = 64
"""Levels of nesting at most."""

_TOKEN = re.compile(
    r"""\s*+(?:
    (?P<number>[0-9]++(?:\.[0-9]*+)?(?:[eE][-+]?[0-9]+)?)
    |(?P<text>'(?:[^']|'')*+')
    |(?P<name>"(?:[^"]|"")*+")
    |(?P<word>[^\W\d_][\w.:]*+)
    |(?P<sign><>|!=|<=|>=|[-+*/%^=<>(),])
    |(?P<end>\Z))""",
    re.VERBOSE,
)

_ALTERNATIVE, _BOTH, _NOT, _EQUAL, _ORDER, _LIKE, _IN, _IS, _SUM, _PRODUCT, _POWER, _SIGN = range(
    1, 13
)
_STRENGTHS = {
    **{"or": _ALTERNATIVE, "and": _BOTH, "=": _EQUAL, "like": _LIKE, "in": _IN},
    **{"<>": _ORDER, "!=": _ORDER, "<": _ORDER, "<=": _ORDER, ">": _ORDER, ">=": _ORDER},
    **{"is": _IS, "between": _IS, "+": _SUM, "-": _SUM, "^": _POWER},
    **{"*": _PRODUCT, "/": _PRODUCT, "%": _PRODUCT, "div": _PRODUCT},
}
_GROUP_RIGHT = (_EQUAL, _ORDER, _LIKE)
_VALUES = {"true": True, "false": False, "null": None}
_WANT_LISTS = ("a_equals", "a_contains", "a_containedby", "a_overlaps")

_SHAPES = {
    "point": ("Point", 0),
    "linestring": ("LineString", 1),
    "polygon": ("Polygon", 2),
    "multipoint": ("MultiPoint", 1),
    "multilinestring": ("MultiLineString", 2),
    "multipolygon": ("MultiPolygon", 3),
}
"""By the word of well-known text its name in GeoJSON, and how deep lists of positions nest."""
_COLLECTION = "geometrycollection"
_DIMENSIONS = ("z", "m", "zm")


class _Token(NamedTuple):
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """A keyword, an operator or a bracket as the grammar has it; empty for what is quoted."""
        return self.text.lower() if self.kind in ("word", "sign") else ""


def parse_text(text: str) -> Node:
    """CQL2 text as CQL2-JSON; the names of functions stay as they are written.

    Raises:
        TooLargeError: it has more tokens or levels than are read.
        BadQueryError: this is no CQL2 text.
    """
    parser = _Parser(_tokens(text))
    node = parser.expression(0)
    parser.expect("")
    return node


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].lstrip()
            raise _unexpected(_Token("", rest[0], len(text) - len(rest)))
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        if kind == "end":
            return tokens
        if len(tokens) > MOST_TOKENS:
            raise TooLargeError(f"it has more than {MOST_TOKENS:,} words, values and signs")
        at = match.end()


def _unexpected(token: _Token) -> BadQueryError:
    if token.kind == "end":
        return BadQueryError("it ends too early")
    if token.text in ("'", '"'):
        return BadQueryError(f"the {token.text} at character {token.at + 1} is never closed")
    return BadQueryError(f"{token.text!r:.40} at character {token.at + 1} was not expected")


class _Parser:
    """A Pratt parser: https://doi.org/10.1145/512927.512931"""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    # --- tokens ---

    def _next(self, ahead: int = 0) -> _Token:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def _take(self) -> _Token:
        token = self._next()
        self._at += 1
        return token

    def _taken(self, *words: str) -> str:
        """The next token if it is one of these words, which is then behind; else nothing."""
        word = self._next().word
        if word not in words:
            return ""
        self._at += 1
        return word

    def expect(self, word: str) -> None:
        """Goes past this word or sign; past the end if it is empty."""
        token = self._take()
        if token.word != word or (not word and token.kind != "end"):
            raise _unexpected(token)

    # --- expressions ---

    def expression(self, weakest: int) -> Node:
        """What follows, up to an operator that binds no stronger than ``weakest``."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise TooLargeError("it is nested too deeply; write it flatter")
        node = self._operand()
        while (strength := self._strength()) > weakest:
            node = self._operation(node, strength)
        self._depth -= 1
        return node

    def _operand(self) -> Node:
        if self._taken("-"):
            node = self.expression(_SIGN)
            is_number = isinstance(node, float)
            return -node if is_number else {"op": "*", "args": [-1.0, node]}
        if self._taken("not"):
            return {"op": "not", "args": [self.expression(_NOT)]}
        return self._atom()

    def _strength(self) -> int:
        """How strong the operator that comes next binds; 0 if there is none."""
        word = self._next().word
        if word == "not":
            word = self._next(1).word
            return _STRENGTHS[word] if word in ("like", "in", "between") else 0
        return _STRENGTHS.get(word, 0)

    def _operation(self, left: Node, strength: int) -> Node:
        negated = bool(self._taken("not"))
        op = self._take().word
        if op == "is":
            negated = bool(self._taken("not"))
            self.expect("null")
            node = {"op": "isNull", "args": [left]}
        elif op == "between":
            low = self.expression(_IS)
            self.expect("and")
            node = {"op": "between", "args": [left, low, self.expression(_IS)]}
        else:
            right = self.expression(strength - (strength in _GROUP_RIGHT))
            if op in ("and", "or") and isinstance(left, dict) and left.get("op") == op:
                left["args"].append(right)  # however long, a chain is one level
                return left
            if op == "in" and not isinstance(right, list):
                right = [right]
            node = {"op": op, "args": [left, right]}
        return {"op": "not", "args": [node]} if negated else node

    def _atom(self) -> Node:
        token = self._take()
        if token.kind == "number":
            return float(token.text)
        if token.kind == "text":
            return token.text[1:-1].replace("''", "'")
        if token.word == "+" and self._next().kind == "number":
            return float(self._take().text)
        if token.word == "(":
            nodes = self._list()
            return nodes if len(nodes) > 1 else nodes[0]
        if token.kind == "name" or (token.kind == "word" and token.word != "not"):
            return self._named(token)
        raise _unexpected(token)

    def _list(self) -> list[Node]:
        """What stands between brackets, the first of which is behind."""
        nodes = [self.expression(0)]
        while self._taken(","):
            nodes.append(self.expression(0))
        self.expect(")")
        return nodes

    def _named(self, token: _Token) -> Node:
        if token.word in _VALUES:
            return _VALUES[token.word]
        following = self._next().word
        is_shape = token.word in _SHAPES or token.word == _COLLECTION
        if is_shape and (following == "(" or following in (*_DIMENSIONS, "empty")):
            return self._geometry(token.word)
        name = token.text[1:-1].replace('""', '"') if token.kind == "name" else token.text
        if following != "(":
            return {"property": name}
        self._at += 1
        return self._function(name, [] if self._taken(")") else self._list())

    def _function(self, name: str, args: list[Node]) -> Node:
        match name.lower():
            case "interval" | "bbox" as kind:
                return {kind: args}
            case "date" | "timestamp" as kind if len(args) == 1:
                return {kind: args[0]}
            case "in" if args:
                values = args[1] if len(args) == 2 and isinstance(args[1], list) else args[1:]
                return {"op": "in", "args": [args[0], values]}
            case op if op in _WANT_LISTS:
                scalar = (str, float, bool)
                args = [[arg] if isinstance(arg, scalar) else arg for arg in args]
        return {"op": name, "args": args}

    # --- geometries, in well-known text ---

    def _geometry(self, word: str) -> Node:
        dimensions = self._taken(*_DIMENSIONS)
        if self._next().word == "empty":
            raise BadQueryError("a geometry in it is empty")
        if word == _COLLECTION:
            self.expect("(")
            members = [self._member()]
            while self._taken(","):
                members.append(self._member())
            self.expect(")")
            return {"type": "GeometryCollection", "geometries": members}
        name, levels = _SHAPES[word]
        ordinates = 2 if dimensions == "m" else 3  # GeoJSON has no measures
        if levels:
            return {"type": name, "coordinates": self._positions(levels, ordinates)}
        self.expect("(")
        position = self._position(ordinates)
        self.expect(")")
        return {"type": name, "coordinates": position}

    def _member(self) -> Node:
        token = self._take()
        if token.word not in _SHAPES:
            raise _unexpected(token)
        return self._geometry(token.word)

    def _positions(self, levels: int, ordinates: int) -> list[Any]:
        self.expect("(")
        found = [self._part(levels - 1, ordinates)]
        while self._taken(","):
            found.append(self._part(levels - 1, ordinates))
        self.expect(")")
        return found

    def _part(self, levels: int, ordinates: int) -> list[Any]:
        if levels:
            return self._positions(levels, ordinates)
        bracketed = self._taken("(")  # as points of a MULTIPOINT may be
        position = self._position(ordinates)
        if bracketed:
            self.expect(")")
        return position

    def _position(self, ordinates: int) -> list[float]:
        numbers = [self._number(), self._number()]
        while len(numbers) < 4 and self._next().word not in (",", ")"):
            numbers.append(self._number())
        return numbers[:ordinates]

    def _number(self) -> float:
        sign = self._taken("-", "+")
        token = self._take()
        if token.kind != "number":
            raise _unexpected(token)
        return float(sign + token.text)
