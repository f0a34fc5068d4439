"""Whatever reads the samples, networks have the same weights and are judged alike."""

import pytest
import torch
from click.testing import CliRunner
from mini_masks import make_patches, write_masked_catalog

from satimnet.builder.errors import ArgumentError
from satimnet.cli.group import satimnet
from satimnet.training import crossvalidate, evaluate, load, open_samples, train
from satimnet.training.networks import inputs

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = {
    "class": {"width": 4, "epochs": 2, "batch_size": 8},
    "dual": {"width": 4, "epochs": 1, "batch_size": 256, "windows_per_epoch": 1024},
}
COMMON = {"device": "cpu", "quiet": True}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return write_masked_catalog(tmp_path_factory.mktemp("catalog"), make_patches(16))


@pytest.fixture(scope="module")
def parts(catalog):
    return open_samples(catalog).search().holdout(0.25)


@pytest.fixture(scope="module")
def expected(parts, tmp_path_factory):
    """Files of the networks that were trained without dask."""
    folder = tmp_path_factory.mktemp("direct")
    for model, options in OPTIONS.items():
        path = folder / f"{model}.pt"
        train(*parts, path, model=model, scheduler="direct", **options, **COMMON)
    return folder


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """That of a cluster of two processes."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="tcp://127.0.0.1",
        dashboard_address="127.0.0.1:0",
        local_directory=str(tmp_path_factory.mktemp("workers")),
    ) as cluster:
        yield cluster.scheduler_address


def require_same(parts, folder, expected, model, scheduler):
    path = folder / "net.pt"
    found = train(*parts, path, model=model, scheduler=scheduler, **OPTIONS[model], **COMMON)
    assert found.digest() == load(expected / f"{model}.pt").digest()
    results = [evaluate(path, parts[1], device="cpu", scheduler=s) for s in (scheduler, "direct")]
    for name, result in results[0].items():
        assert (result.confusion == results[1][name].confusion).all()


@pytest.mark.parametrize("model", OPTIONS)
@pytest.mark.parametrize("piece", [1, inputs._PIECE])  # of one sample, or of all
def test_by_dasks_threads(parts, tmp_path, expected, monkeypatch, model, piece):
    monkeypatch.setattr(inputs, "_PIECE", piece)
    require_same(parts, tmp_path, expected, model, "threads")


def test_by_dasks_threads_from_the_shards(parts, tmp_path, expected, monkeypatch):
    monkeypatch.setattr(inputs, "_RESIDENT", 0)
    require_same(parts, tmp_path, expected, "class", "threads")


@pytest.mark.slow
@pytest.mark.parametrize(("model", "resident"), [("class", 0), ("class", 2**31), ("dual", 2**31)])
def test_by_a_cluster(parts, tmp_path, expected, address, monkeypatch, model, resident):
    monkeypatch.setattr(inputs, "_RESIDENT", resident)
    require_same(parts, tmp_path, expected, model, address)


@pytest.mark.slow
def test_a_cross_validation_by_a_cluster(catalog, tmp_path, address):
    samples = open_samples(catalog).search()
    how = OPTIONS["class"] | COMMON | {"folds": 2}
    tables = [
        crossvalidate(samples, ["class"], tmp_path / name, scheduler=scheduler, **how)
        for name, scheduler in (("cluster", address), ("direct", "direct"))
    ]
    assert tables[0].rows == tables[1].rows
    assert tables[0].arguments == tables[1].arguments


@pytest.mark.parametrize("run", ["train", "crossvalidate", "evaluate"])
def test_what_is_no_scheduler_is_refused(parts, tmp_path, expected, run):
    calls = {
        "train": lambda: train(*parts, tmp_path / "net.pt", scheduler="slurm"),
        "crossvalidate": lambda: crossvalidate(parts[0], ["class"], tmp_path, scheduler="slurm"),
        "evaluate": lambda: evaluate(expected / "class.pt", parts[1], scheduler="slurm"),
    }
    with pytest.raises(ArgumentError, match="scheduler slurm: must be threads, direct or the"):
        calls[run]()
    assert not list(tmp_path.iterdir())


def test_the_command_has_the_option(catalog, tmp_path):
    torch.manual_seed(0)
    digests = set()
    for scheduler in ("threads", "direct"):
        out = tmp_path / scheduler
        options = ["--width", 4, "--epochs", 1, "--batch-size", 8, "--bands", "B02,B03"]
        options += ["--holdout", 0.25, "--device", "cpu", "--scheduler", scheduler]
        done = command("train", catalog, *options, "--out", out)
        assert done.exit_code == 0, done.output
        digests.add(load(out / "checkpoint.pt").digest())
    assert len(digests) == 1
    options = ["--checkpoint", out / "checkpoint.pt", "--device", "cpu", "--out", tmp_path / "new"]
    done = command("evaluate", catalog, *options, "--scheduler", "direct")
    assert done.exit_code == 0, done.output
    for name in ("train", "crossvalidate"):
        done = command(name, catalog, "--scheduler", "processes", "--out", tmp_path / "none")
        assert done.exit_code == 2
        assert "--scheduler is threads, direct or an address such as tcp://…" in done.output


def test_a_cluster_that_does_not_answer_is_one_line_of_the_command(catalog, tmp_path, monkeypatch):
    monkeypatch.setattr("satimnet.builder.storage.parallel._SECONDS_TO_ANSWER", 0.2)
    options = ["--bands", "B02,B03", "--width", 4, "--holdout", 0.25, "--device", "cpu"]
    options += ["--scheduler", "tcp://127.0.0.1:9", "--out", tmp_path / "out"]
    done = command("train", catalog, *options)
    assert done.exit_code == 1
    assert done.output.splitlines()[-1].startswith(
        "Error: tcp://127.0.0.1:9: no dask scheduler answers there within 0.2 seconds; start"
    )


def command(*arguments):
    return CliRunner().invoke(satimnet, [*map(str, arguments)])
