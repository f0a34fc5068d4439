"""Processes that torchrun starts train as those that `train` starts itself."""

import os
import socket
import subprocess
import sys

import pytest
from mini_masks import make_patches, write_masked_catalog

from satimnet.builder.errors import ArgumentError
from satimnet.training import crossvalidate, load, open_samples

OPTIONS = ("--bands", "B02,B03,B04", "--width", "4", "--epochs", "2", "--batch-size", "8")
OPTIONS += ("--holdout", "0.25", "--device", "cpu")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return write_masked_catalog(tmp_path_factory.mktemp("catalog"), make_patches(32))


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def run(folder, *command):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )


def torchrun(folder, *command):
    where = ("--master-addr", "127.0.0.1", "--master-port", free_port())
    launcher = ("torch.distributed.run", "--nproc-per-node", 2, *where)
    return run(folder, *launcher, "-m", "satimnet.cli", *command)


@pytest.mark.slow
def test_torchrun_trains_the_network_of_as_many_devices(catalog, tmp_path):
    train = ("train", catalog, *OPTIONS, "--out", "out")
    folders = [tmp_path / name for name in ("launched", "alone")]
    for folder in folders:
        folder.mkdir()
    launched = torchrun(folders[0], *train)
    assert launched.returncode == 0, launched.stderr
    alone = run(folders[1], "satimnet.cli", *train, "--devices", 2)
    assert alone.returncode == 0, alone.stderr
    assert launched.stdout == alone.stdout  # once
    assert launched.stderr.count("epoch 2/2") == 1
    files = [sorted(path.name for path in (folder / "out").iterdir()) for folder in folders]
    assert files[0] == files[1]
    found, expected = (load(folder / "out/checkpoint.pt") for folder in folders)
    assert found.digest() == expected.digest()
    assert found.settings == expected.settings
    assert found.confusions == expected.confusions

    again = torchrun(folders[0], *train)  # finished: it is read
    assert again.returncode == 0, again.stderr
    assert again.stdout == alone.stdout
    assert "epoch" not in again.stderr


@pytest.mark.slow
def test_what_is_wrong_is_one_line_of_each_process(catalog, tmp_path):
    done = torchrun(tmp_path, "train", catalog, *OPTIONS, "--devices", 3, "--out", "out")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert set(lines) == {"Error: --devices 3: torchrun has started 2 processes; leave it out"}
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_a_cross_validation_is_not_started_by_torchrun(catalog, tmp_path, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    with pytest.raises(ArgumentError, match="torchrun can start train, one network at a time"):
        crossvalidate(open_samples(catalog).search(), ["class"], tmp_path, device="cpu")
