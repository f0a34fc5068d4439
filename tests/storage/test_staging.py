"""Locks: of two runs that write the same thing the second is refused, and a kill locks nothing."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage.staging import (
    FORMAT,
    announce,
    clear,
    lock,
    lock_of,
    placed,
    says,
    workspace,
)

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


# --- what another version left ------------------------------------------------------------------


def left_behind(out, doing="building"):
    """A workspace as a kill leaves it, with a finished file and a folder in it."""
    with suppress(KeyboardInterrupt), workspace(out, doing) as folder:
        (folder / "rows").mkdir()
        (folder / "rows" / "a.arrow").write_text("a")
        (folder / "mark").write_text("m")
        raise KeyboardInterrupt
    return folder


def test_a_workspace_of_this_format_is_gone_on_from(tmp_path):
    left_behind(tmp_path / "out")
    with workspace(tmp_path / "out", "building") as folder:
        assert (folder / "rows" / "a.arrow").read_text() == "a"
        assert (folder / "mark").read_text() == "m"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [None, "", "1", f"{FORMAT + 1}", "two"])
def test_a_workspace_of_another_format_is_emptied(number, tmp_path):
    folder = left_behind(tmp_path / "out")
    (folder / "format").unlink()
    if number is not None:
        (folder / "format").write_text(number)
    with workspace(tmp_path / "out", "building") as again:
        assert again == folder
        assert os.listdir(folder) == ["format"]
    assert os.listdir(tmp_path) == []


def test_emptying_that_is_killed_is_done_again(tmp_path, monkeypatch):
    folder = left_behind(tmp_path / "out")
    (folder / "format").write_text("1")

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("satimnet.builder.storage.staging.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt), workspace(tmp_path / "out", "building"):
            pass
    with workspace(tmp_path / "out", "building"):
        assert os.listdir(folder) == ["format"]


def test_a_link_in_a_workspace_is_removed_and_not_followed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    folder = left_behind(tmp_path / "out")
    (folder / "link").symlink_to(tmp_path / "mine")
    (folder / "format").unlink()
    with workspace(tmp_path / "out", "building"):
        assert os.listdir(folder) == ["format"]
    assert os.listdir(tmp_path / "mine") == ["file"]


def test_a_cleared_workspace_keeps_its_format(tmp_path):
    folder = left_behind(tmp_path / "out")
    clear(folder)
    assert os.listdir(folder) == ["format"]


def test_a_note_of_another_format_is_not_taken_for_one_of_this(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with lock(out):
        announce(out, "these", out)
        assert placed(out, out, "these")
        note = lock_of(out).read_text().removeprefix(f"{FORMAT} ")
        lock_of(out).write_text(note)  # as satimnet 0.1.0 wrote it
        assert not placed(out, out, "these")
        lock_of(out).write_text(f"{FORMAT + 1} {note}")
        assert not placed(out, out, "these")
