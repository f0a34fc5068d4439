"""Scores of a network: against sums by hand over all that it says, and as `evaluate` tells them."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from examples.networks.torchvision_cpu import import_torchvision
from mini_masks import BANDS, make_patches, write_masked_catalog

from satimnet.cli.group import satimnet
from satimnet.training import evaluate, load, open_samples, train
from satimnet.training.networks import scores as module
from satimnet.training.networks.inputs import confusions, patch_feed
from satimnet.training.networks.scores import ScoreCounter

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def _torchmetrics():
    import_torchvision()  # torchmetrics does
    pytest.importorskip("torchmetrics", reason="needs the extra training")


def by_hand(truth, logits):
    """IoU, F1, average precision of each class, and the calibration error; numpy, one by one."""
    chances = torch.softmax(torch.from_numpy(logits), 1).numpy().astype(float)
    found = chances.argmax(1)
    rates = []
    for k in range(chances.shape[1]):
        if not (truth == k).any():
            rates.append((np.nan,) * 3)
            continue
        both, either = ((truth == k) & (found == k)).sum(), ((truth == k) | (found == k)).sum()
        order = np.argsort(-chances[:, k], kind="stable")
        right = np.cumsum(truth[order] == k)
        precision = right / np.arange(1, len(order) + 1)
        steps = np.diff(right, prepend=0) / right[-1]
        f1 = 2 * both / ((truth == k).sum() + (found == k).sum())
        rates.append((both / either, f1, (precision * steps).sum()))
    sure, hit = chances.max(1), found == truth
    bins = np.minimum((sure * 15).astype(int), 14)
    gaps = [
        (bins == b).mean() * abs(hit[bins == b].mean() - sure[bins == b].mean())
        for b in np.unique(bins)
    ]
    return (*map(tuple, np.array(rates).T), sum(gaps))


def require_like(found, wanted):
    values = (found.iou, found.f1, found.average_precision, found.calibration_error)
    for one, other in zip(values, wanted, strict=True):
        assert one == pytest.approx(other, abs=1e-5, nan_ok=True)


@pytest.fixture
def answers():
    """Truth and logits of 4 classes, the last of which no example has."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 500)
    logits = rng.standard_normal((500, 4)) + 1.5 * np.eye(4)[truth]
    return truth, logits.astype(np.float32)


def counted(truth, logits, parts=(500,)):
    counter = ScoreCounter(4, 500, CPU)
    for t, x in zip(np.split(truth, parts), np.split(logits, parts), strict=True):
        counter.add(torch.from_numpy(t), torch.from_numpy(x))
    return counter.scores()


def test_scores_are_those_by_hand(answers):
    found = counted(*answers, parts=(7, 200, 201))
    require_like(found, by_hand(*answers))
    assert np.isnan(found.iou[3])
    assert found.means()["mean_iou"] == pytest.approx(np.mean(found.iou[:3]))
    assert found.of_class(3) == {"iou": None, "f1": None, "average_precision": None}


def test_of_too_many_examples_every_nth_is_ranked(answers, monkeypatch):
    monkeypatch.setattr(module, "MOST_RANKED", 200)
    found = counted(*answers, parts=(7, 200, 201))
    every, all_ = by_hand(*(part[::3] for part in answers)), by_hand(*answers)
    require_like(found, (*all_[:2], *every[2:]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    write_masked_catalog(folder / "catalog", make_patches(8))
    learned, held = open_samples(folder / "catalog").search().holdout(0.25)
    for kind in ("class", "dual"):
        how = {"model": kind, "width": 4, "epochs": 1, "device": "cpu", "windows": 400}
        how = how if kind == "dual" else {k: v for k, v in how.items() if k != "windows"}
        train(learned, held, folder / kind / "checkpoint.pt", batch_size=8, **how)
    return folder


def test_evaluate_gives_them_for_each_output(trained):
    samples = open_samples(trained / "catalog").search()
    for kind in ("class", "dual"):
        path = trained / kind / "checkpoint.pt"
        plain, more = (evaluate(path, samples, device="cpu", scores=s) for s in (False, True))
        for name, result in more.items():
            assert plain[name].scores is None
            assert (plain[name].confusion == result.confusion).all()
            table = result.confusion.astype(float)
            both = np.diag(table)
            either = table.sum(0) + table.sum(1) - both
            present = table.sum(1) > 0
            wanted = np.where(present, both / np.where(either == 0, 1, either), np.nan)
            assert result.scores.iou == pytest.approx(wanted, abs=1e-6, nan_ok=True)
            metrics = result.metrics()
            assert metrics["mean_iou"] == pytest.approx(np.nanmean(wanted))
            assert 0 <= metrics["calibration_error"] <= 1


def test_all_answers_of_a_network_are_counted(trained):
    samples = open_samples(trained / "catalog").search()
    checkpoint = load(trained / "class" / "checkpoint.pt", "cpu")
    feed = patch_feed(samples, BANDS, CPU)
    counter = ScoreCounter(len(checkpoint.outputs[0].classes), len(feed), CPU)
    confusions(feed, checkpoint, counters=[counter])
    (batch,) = samples.to_batches(len(samples), bands=BANDS)
    logits = checkpoint.logits(batch.images)[0].detach().numpy()
    require_like(counter.scores(), by_hand(batch.labels.numpy(), logits))


def test_the_command_prints_and_writes_them(trained, tmp_path):
    arguments = ["--checkpoint", str(trained / "dual" / "checkpoint.pt"), "--out", str(tmp_path)]
    catalog = str(trained / "catalog")
    done = CliRunner().invoke(satimnet, ["evaluate", catalog, *arguments, "--scores"])
    assert done.exit_code == 0, done.output
    assert done.output.count("mean iou 0.") == 2
    metrics = json.loads((tmp_path / "metrics.json").read_bytes())
    assert {"mean_f1", "mean_average_precision"} <= metrics["mask"].keys()
    assert metrics["class"]["classes"]["Lake"].keys() >= {"iou", "f1", "average_precision"}
    plain = CliRunner().invoke(satimnet, ["evaluate", catalog, *arguments])
    assert plain.exit_code == 0
    assert "mean_iou" not in json.loads((tmp_path / "metrics.json").read_bytes())["mask"]


def test_without_torchmetrics_one_line_says_what_to_install(trained, tmp_path):
    text = "import sys; sys.modules['torchmetrics'] = None; from satimnet.cli.__main__ import main"
    arguments = ["evaluate", trained / "catalog", "--checkpoint", trained / "class/checkpoint.pt"]
    done = subprocess.run(
        [sys.executable, "-c", f"{text}; main()", *arguments, "--out", tmp_path, "--scores"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: torchmetrics is not installed; pip install 'satimnet[training]'\n"
    )
