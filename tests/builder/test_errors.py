"""Errors: what their messages may be."""

from __future__ import annotations

import pickle

import pytest

from satimnet.builder import errors
from satimnet.builder.errors import ArgumentError, BadFileError, SatimnetError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SatimnetError)
]


def test_a_message_is_one_line_of_what_can_be_printed():
    error = SatimnetError("a\nb\x1b[31m\ud800: no file; give another")
    assert str(error) == "a\\nb\\x1b[31m\\ud800: no file; give another"


@pytest.mark.parametrize("of", [SatimnetError, lambda text: BadFileError(text, "is broken")])
def test_of_foreign_text_that_is_too_long_beginning_and_end_are_told(of):
    line = str(of("start" + "x" * 9000 + "end"))
    assert len(line) < 2000
    assert line.startswith("startxx")
    assert line.endswith(("xxend", "xxend: is broken"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_travels_between_processes(kind):
    error = kind("file", "is broken") if kind is BadFileError else kind("it cannot be")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)


def test_the_arguments_of_an_error_travel_as_well():
    error = pickle.loads(pickle.dumps(ArgumentError("size 0: must be 1 or more", "size")))
    assert error.arguments == ("size",)
