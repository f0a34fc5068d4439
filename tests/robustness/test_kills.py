"""Commands that are killed: a short cut of ``python -m tests.kills``, and its sharpest instants."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kills.__main__ import Trial

ROOT = Path(__file__).parents[2]
PARENT = """
import os, sys, time
from satimnet.builder.progress import silent
from satimnet.builder.storage.parallel import run_tasks

def work(folder):
    open(os.path.join(folder, str(os.getpid())), "x").close()
    time.sleep(600)

if __name__ == "__main__":
    list(run_tasks(work, [(sys.argv[1],)], "processes", "Working", silent))
"""


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    pytest.importorskip("torch", reason="needs the extra training")
    made = Trial(tmp_path_factory.mktemp("kills"))
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "before", "change"),
    [
        ("build replace, threads", "catalog/catalog.json.part", 1),  # the version is not linked
        ("build replace, threads", "catalog/eurosat/collection.json.part", 1),  # it is, and no copy
        ("copy into", "catalog/catalog.json.part", 1),  # the collection is there, but not linked
        ("copy new", ".catalog.copying", 1),
        ("export croissant", "uc-merced.croissant.json.part", 1),  # one of two files is there
        # one of two collections is in its file
        ("export hugging-face", ".hugging-face.exporting/made/uc-merced/train-00000.part", 1),
        ("search --save", ".part.saving/catalog/catalog.json.part", 1),
        ("search --copy", "part.lock", 3),  # all is there, and the lock
        ("new-dataset", "source.py", 1),
    ],
)
def test_a_command_that_was_killed_is_given_again(trial, name, before, change):
    (scenario,) = [one for one in trial.inputs.scenarios() if one.name == name]
    verdict = trial.kill(scenario, change=change, of=before)
    assert verdict is not None
    assert verdict.wrong == ()


@pytest.mark.slow
def test_commands_are_killed_at_any_instant():
    command = [sys.executable, "-m", "tests.kills", "--kills", "6", "--seed", "1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("6 of 6 right\n")


@pytest.mark.slow
def test_builds_into_a_store_are_killed_at_any_instant():
    command = [sys.executable, "-m", "tests.kills", "--kills", "3", "--only", "s3"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("3 of 3 right\n")


@pytest.mark.slow
def test_two_builds_of_different_collections_at_once():
    command = [sys.executable, "-m", "tests.kills.together", "--rounds", "2"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "disk: 2 of 2 right\ns3: 2 of 2 right\n"


def test_no_worker_outlives_its_parent_for_long(tmp_path):
    (tmp_path / "workers").mkdir()
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "workers")]
    with subprocess.Popen(command) as parent:
        while not (workers := os.listdir(tmp_path / "workers")):
            assert parent.poll() is None
            time.sleep(0.02)
        parent.send_signal(signal.SIGKILL)
    for worker in workers:
        for _ in range(6000):
            if not alive(worker):
                break
            time.sleep(0.01)
        assert not alive(worker)


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_after_a_power_cut_there_is_the_old_or_the_new_catalog():
    command = [sys.executable, "-m", "tests.power_cuts", "--cuts", "1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    if run.stdout.startswith("skipped"):
        pytest.skip(run.stdout.strip())
