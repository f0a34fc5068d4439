"""Work by several processes: what the first one tells is heard, and none is left behind."""

import time

import pytest
import torch

from satimnet.builder.errors import ArgumentError
from satimnet.training.devices import Launched, pick_device, run_on

CPU = torch.device("cpu")


def tell_numbers(rank, tell, last):
    for number in range(last):
        tell(number, rank.count)


def never_end(rank, tell):
    tell("begun")
    time.sleep(600)


def refuse(rank, tell):
    if rank.number == 1:
        raise ArgumentError("devices: there is no bread", "devices")
    time.sleep(600)


class Stop(Exception):
    pass


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_the_first_process_tells_is_heard_in_order(count):
    heard = []
    run_on(CPU, count, tell_numbers, 1000, hear=lambda *news: heard.append(news))
    assert heard == [(number, count) for number in range(1000)]


@pytest.mark.slow
def test_who_hears_may_stop_all_processes():
    def stop(news):
        raise Stop

    began = time.monotonic()
    with pytest.raises(Stop):
        run_on(CPU, 2, never_end, hear=stop)
    assert time.monotonic() - began < 300
    assert not torch.multiprocessing.active_children()


@pytest.mark.slow
def test_an_error_of_one_process_ends_all():
    with pytest.raises(ArgumentError, match=r"^devices: there is no bread$") as caught:
        run_on(CPU, 2, refuse, hear=print)
    assert caught.value.arguments == ("devices",)
    assert not torch.multiprocessing.active_children()


TORCHRUN = {
    **{"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
    **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"},
}


def set_environment(patch, changes):
    for name, value in (TORCHRUN | changes).items():
        if value is None:
            patch.delenv(name, raising=False)
        else:
            patch.setenv(name, value)


def test_what_torchrun_says_is_found_in_the_environment(monkeypatch):
    set_environment(monkeypatch, {})
    found = Launched.found()
    assert found == Launched(number=3, count=4, here=1, count_here=2)
    assert found.require_devices(1) == found.require_devices(4) == 4
    with pytest.raises(ArgumentError, match="devices 2: torchrun has started 4 processes"):
        found.require_devices(2)


@pytest.mark.parametrize(
    "changes",
    [
        *({name: None} for name in TORCHRUN if name != "LOCAL_WORLD_SIZE"),
        {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"},
    ],
)
def test_one_process_is_not_launched(monkeypatch, changes):
    set_environment(monkeypatch, changes)
    assert Launched.found() is None


@pytest.mark.parametrize("changes", [{"RANK": "first"}, {"RANK": "4"}, {"LOCAL_RANK": "-1"}])
def test_an_environment_that_cannot_be(monkeypatch, changes):
    set_environment(monkeypatch, changes)
    with pytest.raises(ArgumentError, match="RANK"):
        Launched.found()


def test_a_device_that_is_not_there():
    with pytest.raises(ArgumentError, match="device toaster: torch cannot use it here") as caught:
        pick_device("toaster")
    assert caught.value.arguments == ("device",)
