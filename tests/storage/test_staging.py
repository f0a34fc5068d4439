"""Locks: of two runs that write the same thing the second is refused, and a kill locks nothing."""

import os
import signal
import subprocess
import sys

import pytest

from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage.staging import lock, says, workspace

HOLD = """
import sys, time
from pathlib import Path
from satimnet.builder.storage.staging import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_run_is_refused_and_a_third_is_not(tmp_path):
    out = tmp_path / "new" / "out"
    with (
        lock(out),
        pytest.raises(SatimnetError, match="out: another run is writing it; wait for it"),
        lock(out),
    ):
        pass
    with lock(out):
        pass
    assert os.listdir(tmp_path / "new") == []


def test_all_that_writes_a_folder_excludes_each_other(tmp_path):
    with (
        workspace(tmp_path / "catalog", "building"),
        pytest.raises(SatimnetError, match="another run is writing it"),
        workspace(tmp_path / "catalog", "copying"),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_a_killed_run_holds_no_lock(tmp_path):
    out = tmp_path / "out"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SatimnetError, match="another run is writing it"), lock(out):
            pass
        holder.send_signal(signal.SIGKILL)
    with lock(out):
        pass
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    refused = pytest.raises(SatimnetError, match="out: cannot be written there")
    with refused, lock(tmp_path / "file" / "out"):
        pass


@pytest.mark.parametrize("text", ['{"id": "y"}', "{}", "[]", "null", "1", "{", "\xff", None])
def test_only_what_says_so_may_be_written_over(text, tmp_path):
    file = tmp_path / "catalog.json"
    file.write_text('{"id": "x"}')
    assert says(file, "id", "x")
    file.unlink()
    if text is not None:
        file.write_text(text, "latin-1")
    assert not says(file, "id", "x")
