"""The garbage collector is as it was when a build has ended, also after an error."""

import gc

import pytest

from satimnet.builder.collector import rarely_collected, without_collector


@pytest.mark.parametrize("held_back", [rarely_collected, without_collector])
def test_the_collector_is_as_it_was(held_back):
    before = gc.isenabled(), gc.get_threshold()

    def work() -> None:
        with held_back():
            assert (gc.isenabled(), gc.get_threshold()) != before
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert (gc.isenabled(), gc.get_threshold()) == before


def test_of_two_builds_the_last_one_leaves_it_as_it_was():
    before = gc.get_threshold()
    one, other = rarely_collected(), rarely_collected()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert gc.get_threshold() != before
    other.__exit__(None, None, None)
    assert gc.get_threshold() == before


def test_a_collector_that_is_never_asked_stays_so():
    before = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with rarely_collected():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)
