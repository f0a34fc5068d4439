"""Training the three networks on patches whose classes are known to be learnable."""

import json
import os
import signal
import subprocess
import sys
import time
import traceback

import numpy as np
import pyarrow as pa
import pytest
import torch
from mini_masks import CLASSES, make_patches, write_masked_catalog
from PIL import Image

from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage.staging import lock
from satimnet.training import (
    evaluate,
    held_out,
    load,
    open_samples,
    train,
    write_report,
)
from satimnet.training.networks.inputs import window_feed
from satimnet.training.networks.outputs import find_mask
from satimnet.training.networks.plots import draw_confusion, draw_curves
from satimnet.training.networks.training_state import Run

MODELS = ["class", "segm", "dual"]
OPTIONS = {
    "class": {"width": 8, "epochs": 30, "batch_size": 8},
    "segm": {"width": 8, "epochs": 2, "batch_size": 512, "windows_per_epoch": 40_000},
    "dual": {"width": 16, "epochs": 2, "batch_size": 64, "windows_per_epoch": 20_000},
}
COMMON = {"device": "cpu", "quiet": True}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return write_masked_catalog(tmp_path_factory.mktemp("catalog"), make_patches(32))


@pytest.fixture(scope="module")
def parts(catalog):
    """Samples to learn from and held out."""
    return open_samples(catalog).search().holdout(0.25)


@pytest.fixture(scope="module")
def trained(parts, tmp_path_factory):
    """File and checkpoint of each network."""
    folder = tmp_path_factory.mktemp("trained")
    paths = {model: folder / model / "net.pt" for model in MODELS}
    return {
        model: (paths[model], train(*parts, paths[model], model=model, **OPTIONS[model], **COMMON))
        for model in MODELS
    }


def same_weights(one, other):
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(a.equal(b) for a, b in pairs)


def with_column(samples, name, values):
    place = samples.table.column_names.index(name)
    table = samples.table.set_column(place, name, pa.array(values))
    return type(samples)(table, samples.collections, samples.classes)


@pytest.mark.parametrize("model", MODELS)
def test_a_planted_signal_is_learned(trained, parts, model):
    path, checkpoint = trained[model]
    results = evaluate(path, parts[1], device="cpu")
    assert list(results) == {"class": ["class"], "segm": ["mask"], "dual": ["class", "mask"]}[model]
    for name, result in results.items():
        assert result.accuracy > 0.95
        assert result.accuracy == held_out(checkpoint)[name].accuracy
        assert result.accuracy == checkpoint.history[-1][f"accuracy_{name}"]
    if model == "class":
        assert results["class"].confusion.sum(axis=1).tolist() == [8, 8, 8]
    else:  # all of the 60 x 60 windows of 24 patches but those that were not observed
        assert results["mask"].confusion.sum() == 24 * 60 * (60 - 6)


@pytest.mark.parametrize(
    "model", ["class", *(pytest.param(m, marks=pytest.mark.slow) for m in ("segm", "dual"))]
)
def test_nothing_is_learned_from_shuffled_labels(tmp_path, model):
    """The control: the same images, and labels that have nothing to do with them."""
    generator = np.random.default_rng(1)
    patches = make_patches(32)
    for patch, k in zip(patches, generator.permutation(len(patches))):
        patch["classes"] = [CLASSES[k % 3]]
        patch["mask"] = generator.integers(1, 4, patch["mask"].shape, np.uint8)
    parts = open_samples(write_masked_catalog(tmp_path, patches)).search().holdout(0.25)
    checkpoint = train(*parts, tmp_path / "net.pt", model=model, **OPTIONS[model], **COMMON)
    for name, result in held_out(checkpoint).items():
        if name == "mask":  # many pixels: a third, and no more than noise above
            assert 0.32 < result.accuracy < 0.35
        else:  # 24 patches: a third with a deviation of 0.1, and dual gives all pixels of one alike
            assert 0.02 < result.accuracy < 0.7


def test_the_checkpoint_says_what_the_network_is(trained, parts):
    for model in MODELS:
        path, checkpoint = trained[model]
        assert [p.name for p in path.parent.iterdir()] == ["net.pt"]  # nothing unfinished beside it
        loaded = load(path)
        assert loaded.kind == f"cnn-{model}"
        assert loaded.bands == ("B02", "B03", "B04")
        assert same_weights(loaded, checkpoint)
        assert loaded.__dict__ | {"model": 0} == checkpoint.__dict__ | {"model": 0}
        images = [b.images for b in parts[0].to_batches(10)]
        pixels = torch.cat(images).double().transpose(0, 1).flatten(1)
        np.testing.assert_allclose(loaded.mean, pixels.mean(1), rtol=1e-6)
        np.testing.assert_allclose(loaded.std, pixels.std(1, correction=0), rtol=1e-5)
        logits = loaded.logits(images[0])
        shape = (10, 3) if model == "class" else (10, 3, 60, 60)
        assert [tuple(part.shape) for part in logits] == [shape] * len(loaded.outputs)
    left, right = loaded.outputs
    assert left.names == tuple(CLASSES)
    assert [(row.value, row.name, row.color_hint) for row in right.classes] == [
        (1, "water", "0000FF"),
        (2, "built-up", "FF0000"),
        (3, "other", "C8C8C8"),
    ]


def test_same_seed_same_network_and_the_global_seed_is_left_alone(parts, tmp_path):
    def run(name, **how):
        return train(*parts, tmp_path / name, model="segm", **SHORT["segm"], **COMMON, **how)

    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = run("net.pt")
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(6)
    assert same_weights(run("again.pt"), first)
    assert not same_weights(run("other.pt", seed=1), first)


def test_dropout_is_the_published_one_unless_asked_otherwise(parts, tmp_path):
    def run(name, **how):
        return train(*parts, tmp_path / name, model="segm", **SHORT["segm"], **COMMON, **how)

    first = run("net.pt")
    assert same_weights(run("same.pt", dropout=0.1), first)
    assert not same_weights(run("other.pt", dropout=0.5), first)
    rates = {
        layer.p for layer in load(tmp_path / "other.pt").model.modules() if hasattr(layer, "p")
    }
    assert rates == {0.5}
    with pytest.raises(SatimnetError, match=r"holds another training \(dropout 0\.1, not 0\.5\)"):
        run("net.pt", dropout=0.5)


def test_streaming_from_the_shards_trains_the_same_network(parts, tmp_path, monkeypatch):
    resident = train(*parts, tmp_path / "net.pt", **SHORT["class"], **COMMON)
    monkeypatch.setattr("satimnet.training.networks.inputs._RESIDENT", 0)
    streamed = train(*parts, tmp_path / "streamed.pt", **SHORT["class"], **COMMON)
    assert same_weights(streamed, resident)


def test_a_training_says_how_far_it_is_and_how_each_epoch_went(parts, tmp_path, capfd):
    signs, epochs = [], []

    def run(name, **how):
        return train(
            *parts,
            tmp_path / name,
            device="cpu",
            progress=lambda *sign: signs.append(sign),
            on_epoch=epochs.append,
            **SHORT["class"],
            **how,
        )

    found = run("net.pt")
    assert signs == [("Training CNN-class", 8 * k, 216, "patches") for k in range(28)]
    assert epochs == list(found.history)
    signs.clear()
    epochs.clear()
    run("quiet.pt", quiet=True)  # as in 0.1.0
    assert (signs, epochs) == ([], [])
    assert capfd.readouterr() == ("", "")


def test_reports_are_files_and_pictures(trained, parts, tmp_path):
    expected = {
        "class": ["confusion.png", "curves.png", "metrics.json"],
        "segm": ["confusion.png", "curves.png", "metrics.json", "predictions.png"],
        "dual": [
            *("confusion-class.png", "confusion-mask.png", "curves.png"),
            *("metrics.json", "predictions.png"),
        ],
    }
    for model in MODELS:
        _, checkpoint = trained[model]
        out = tmp_path / model
        write_report(held_out(checkpoint), checkpoint, out, parts[1])
        assert sorted(path.name for path in out.iterdir()) == expected[model]
        for path in out.glob("*.png"):
            with Image.open(path) as image:
                assert min(image.size) > 300
                assert image.convert("L").getextrema()[0] < 100  # something dark is drawn on it
        metrics = json.loads((out / "metrics.json").read_text())
        for name, result in held_out(checkpoint).items():
            assert metrics[name]["accuracy"] == result.accuracy
            assert metrics[name]["confusion"] == result.confusion.tolist()
    (tmp_path / "file").touch()
    with pytest.raises(SatimnetError, match="cannot be written there"):
        write_report(held_out(checkpoint), checkpoint, tmp_path / "file")


def test_a_report_and_its_pictures_are_written_by_one_run_at_a_time(trained, tmp_path):
    _, checkpoint = trained["class"]
    results, busy = held_out(checkpoint), "another run is writing it"
    with lock(tmp_path / "metrics.json"), pytest.raises(SatimnetError, match=busy):
        write_report(results, checkpoint, tmp_path)
    for draw, what in ((draw_curves, checkpoint.history), (draw_confusion, results["class"])):
        with lock(tmp_path / "a.png"), pytest.raises(SatimnetError, match=busy):
            draw(what, tmp_path / "a.png")
    assert os.listdir(tmp_path) == []


def test_a_training_that_is_refused_leaves_alone_what_the_other_writes(parts, tmp_path):
    out = tmp_path / "net.pt"
    (tmp_path / ".net.pt.partial").touch()
    with lock(out), pytest.raises(SatimnetError, match="another run is writing it"):
        train(*parts, out, device="cpu", quiet=True, **SHORT["class"])
    assert os.listdir(tmp_path) == [".net.pt.partial"]


# going on after a kill

SCRIPT = """
import sys, torch
from satimnet.training import open_samples, train
torch.set_num_threads(1)
catalog, out, model, options = sys.argv[1], sys.argv[2], sys.argv[3], eval(sys.argv[4])
samples = open_samples(catalog).search()
train(*samples.holdout(0.25), out, model=model, device="cpu", save_seconds=0, quiet=True, **options)
"""
SHORT = {  # 9 steps an epoch
    "class": {"width": 4, "epochs": 3, "batch_size": 8},
    "segm": {"width": 4, "epochs": 3, "batch_size": 256, "windows_per_epoch": 2400},
    "dual": {"width": 4, "epochs": 3, "batch_size": 256, "windows_per_epoch": 2400},
}


@pytest.mark.slow
def test_killed_at_any_moment_training_goes_on_to_the_same_network(catalog, tmp_path):
    model = "dual"
    samples = open_samples(catalog).search().holdout(0.25)
    undisturbed = tmp_path / "undisturbed.pt"
    expected = train(*samples, undisturbed, model=model, **SHORT[model], **COMMON)
    out = tmp_path / "killed.pt"
    command = [sys.executable, "-c", SCRIPT, *map(str, (catalog, out, model, SHORT[model]))]
    generator = np.random.default_rng(0)
    state = tmp_path / "killed.unfinished.pt"
    kills, seen = 0, set()
    while not out.exists():
        process = subprocess.Popen(command)
        step = torch.load(state, weights_only=True)["step"] if state.exists() else 0
        if kills < 4:  # wait until it is on its way, then a moment more
            while process.poll() is None and not out.exists():
                if state.exists() and state.stat().st_mtime_ns not in seen:
                    break
                time.sleep(0.002)
            time.sleep(generator.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)
            kills += 1
        assert process.wait() in (0, -signal.SIGKILL)
        if state.exists():
            seen.add(state.stat().st_mtime_ns)
            assert torch.load(state, weights_only=True)["step"] > step
    assert kills >= 2
    assert not state.exists()
    found = load(out)
    assert same_weights(found, expected)
    assert [e["loss"] for e in found.history] == [e["loss"] for e in expected.history]
    assert found.confusions == expected.confusions


class Stop(Exception):
    """A kill, in the same process."""


@pytest.fixture(scope="module", params=SHORT)
def undisturbed(request, parts, tmp_path_factory):
    """The options of a short training, and what comes of it if nothing stops it."""
    options = {"model": request.param, **SHORT[request.param], "save_seconds": 0, **COMMON}
    return options, train(*parts, tmp_path_factory.mktemp("undisturbed") / "net.pt", **options)


@pytest.mark.parametrize("step", [1, 9, 17, 27])
def test_every_step_can_be_the_last(undisturbed, parts, tmp_path, monkeypatch, step):
    """Stopped in, before and after the end of an epoch, a training goes on to the same network."""
    options, expected = undisturbed
    save = Run.save

    def save_and_stop(run, seconds):
        save(run, seconds)
        if run.step == step:
            raise Stop

    monkeypatch.setattr(Run, "save", save_and_stop)
    with pytest.raises(Stop):
        train(*parts, tmp_path / "net.pt", **options)
    monkeypatch.undo()
    assert not (tmp_path / "net.pt").exists()
    assert (tmp_path / "net.unfinished.pt").exists()
    (tmp_path / ".net.unfinished.pt.partial").touch()  # as of one killed while it wrote
    found = train(*parts, tmp_path / "net.pt", **options)
    assert same_weights(found, expected)
    assert [e["loss"] for e in found.history] == [e["loss"] for e in expected.history]
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]


def test_by_shards_a_training_streams_and_goes_on_as_the_others(parts, tmp_path, monkeypatch):
    options = SHORT["class"] | {"shuffle": "shards", "save_seconds": 0} | COMMON
    expected = train(*parts, tmp_path / "net.pt", **options)
    usual = train(*parts, tmp_path / "usual.pt", **options | {"shuffle": "samples"})
    assert not same_weights(expected, usual)
    save = Run.save

    def save_and_stop(run, seconds):
        save(run, seconds)
        if run.step == 5:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", save_and_stop)
        with pytest.raises(Stop):
            train(*parts, tmp_path / "again.pt", **options)
    with pytest.raises(SatimnetError, match=r"another training \(shuffle shards, not samples\)"):
        train(*parts, tmp_path / "again.pt", **options | {"shuffle": "samples"})
    monkeypatch.setattr("satimnet.training.networks.inputs._RESIDENT", 0)
    assert same_weights(train(*parts, tmp_path / "again.pt", **options), expected)
    with pytest.raises(SatimnetError, match=r"another training \(shuffle samples, not shards\)"):
        train(*parts, tmp_path / "usual.pt", **options)


def test_how_a_training_can_be_shuffled(parts, tmp_path):
    for model, shuffle, reason in [
        ("class", "shard", "shuffle shard: there are samples and shards"),
        ("segm", "shards", "shuffle shards: CNN-segm has all patches in memory"),
    ]:
        with pytest.raises(SatimnetError, match=reason):
            train(*parts, tmp_path / "net.pt", model=model, shuffle=shuffle, **COMMON)
    assert not list(tmp_path.iterdir())


def test_a_finished_training_is_not_done_again(trained, parts):
    path, checkpoint = trained["segm"]
    before = path.read_bytes()
    again = train(*parts, path, model="segm", **OPTIONS["segm"], **COMMON)
    assert same_weights(again, checkpoint)
    assert path.read_bytes() == before
    with pytest.raises(SatimnetError, match=r"net\.pt: holds another training \(epochs 2, not 3\)"):
        train(*parts, path, model="segm", **OPTIONS["segm"] | {"epochs": 3}, **COMMON)
    with pytest.raises(SatimnetError, match="other samples"):
        train(*parts[::-1], path, model="segm", **OPTIONS["segm"], **COMMON)
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("model", ["class", "dual"])
def test_two_processes_learn_together(parts, tmp_path, model):
    # two batches at once: an epoch has half as many steps; class is not always right after as many
    more = {"class": 3, "dual": 2}[model]
    options = OPTIONS[model] | {"devices": 2, "epochs": more * OPTIONS[model]["epochs"]}
    together = train(*parts, tmp_path / "two.pt", model=model, **options, **COMMON)
    for name, result in held_out(together).items():
        assert result.accuracy > 0.95, name
    total = {"class": 24, "dual": 24 * 60 * 54}[model]  # shares are disjoint and miss nothing
    assert {result.confusion.sum() for result in held_out(together).values()} == {total}
    for name, result in evaluate(tmp_path / "two.pt", parts[1], device="cpu").items():
        assert result.accuracy == pytest.approx(held_out(together)[name].accuracy, abs=1e-3)


@pytest.mark.slow
def test_what_one_of_several_processes_meets_is_told_in_one_line(parts, tmp_path):
    (tmp_path / "net.unfinished.pt").write_text("nonsense")
    with pytest.raises(SatimnetError, match=r"net\.unfinished\.pt: not a training of satimnet"):
        train(*parts, tmp_path / "net.pt", **OPTIONS["class"] | {"devices": 2}, **COMMON)


# windows of a split by window


def test_the_split_of_the_paper_by_window(parts, tmp_path):
    options = {"width": 4, "epochs": 1, "batch_size": 512, **COMMON}
    found = train(parts[0], 0.2, tmp_path / "net.pt", model="segm", windows=10_000, **options)
    assert found.settings["held_out"] == 0.2
    assert sum(map(sum, found.confusions[0])) == 2000
    with pytest.raises(SatimnetError, match=r"windows 233,281: the masks observe 233,280"):
        train(parts[0], 0.2, tmp_path / "no.pt", model="segm", windows=233_281, **options)
    with pytest.raises(SatimnetError, match="only segm and dual learn windows"):
        train(parts[0], 0.2, tmp_path / "class.pt", **options)


def test_windows_drawn_beforehand_are_those_of_both_parts(parts, tmp_path):
    options = {"width": 4, "epochs": 1, "batch_size": 512, **COMMON}
    found = train(*parts, tmp_path / "net.pt", model="segm", windows=10_000, **options)
    held = sum(map(sum, found.confusions[0]))
    assert held == pytest.approx(2500, abs=200)  # a quarter, with a deviation of 43


# what cannot be


def test_training_refuses_what_it_cannot_train_on(tmp_path, parts):
    learn, held = parts
    with pytest.raises(SatimnetError, match="epochs 0: must be 1 or more"):
        train(learn, held, tmp_path / "net.pt", epochs=0, quiet=True)
    with pytest.raises(SatimnetError, match="batch_size 1: cannot be divided"):
        train(learn, held, tmp_path / "net.pt", batch_size=1, quiet=True)
    with pytest.raises(SatimnetError, match="model tree: there are class, segm, dual"):
        train(learn, held, tmp_path / "net.pt", model="tree", quiet=True)
    with pytest.raises(SatimnetError, match=r"B99.*B02, B03, B04"):
        train(learn, held, tmp_path / "net.pt", bands=["B99"], **COMMON)
    with pytest.raises(SatimnetError, match="64: cannot be divided among 3"):
        train(learn, held, tmp_path / "net.pt", devices=3, **COMMON)
    with pytest.raises(SatimnetError, match="dropout 1: must be 0 or more, and less than 1"):
        train(learn, held, tmp_path / "net.pt", dropout=1, **COMMON)
    options = OPTIONS["dual"] | {"learning_rate": 1e30, "schedule": "constant"}
    with pytest.raises(SatimnetError, match="loss of epoch 1 is nan"):
        train(learn, held, tmp_path / "net.pt", model="dual", **options, **COMMON)
    (tmp_path / "file").touch()
    with pytest.raises(SatimnetError, match=r"net\.pt: cannot be written there"):
        train(learn, held, tmp_path / "file" / "net.pt", quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_images_that_are_no_patches(tmp_path):
    samples = open_samples(write_masked_catalog(tmp_path, make_patches(4, side=32))).search()
    with pytest.raises(SatimnetError, match="32 x 32"):
        train(samples, samples, tmp_path / "net.pt", **COMMON)
    options = {"width": 4, "epochs": 1, **COMMON}  # windows need no certain size
    assert train(samples, samples, tmp_path / "net.pt", model="segm", **options).kind == "cnn-segm"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("resident", [True, False])
def test_pixels_that_are_no_numbers_are_named(tmp_path, monkeypatch, model, resident):
    if not resident:
        monkeypatch.setattr("satimnet.training.networks.inputs._RESIDENT", 0)
    patches = make_patches(4, dtype=np.float32)
    patches[5]["image"][3, 4, 1] = np.nan
    samples = open_samples(write_masked_catalog(tmp_path, patches)).search()
    with pytest.raises(SatimnetError, match=r"Lake_1 has pixels that are NaN"):
        train(samples, samples, tmp_path / "net.pt", model=model, **COMMON)
    assert not (tmp_path / "net.pt").exists()


def test_masks_are_needed(tmp_path):
    patches = make_patches(4)
    patches[2]["mask"] = None
    samples = open_samples(write_masked_catalog(tmp_path / "some", patches)).search()
    assert find_mask(samples).among(samples).tolist() == [k != 2 for k in range(12)]
    with pytest.raises(SatimnetError, match="1 of the 12 samples have no asset mask"):
        train(samples, samples, tmp_path / "net.pt", model="segm", **COMMON)
    for patch in patches:
        patch["mask"] = np.zeros((64, 64), np.uint8)
    samples = open_samples(write_masked_catalog(tmp_path / "blind", patches)).search()
    with pytest.raises(SatimnetError, match="observe nothing"):
        train(samples, samples, tmp_path / "net.pt", model="segm", **COMMON)


def test_a_background_is_a_class_where_the_table_has_it(tmp_path):
    table = [{"value": 0, "name": "no-building"}, {"value": 1, "name": "building"}]
    patches = make_patches(4)
    for patch in patches:
        patch["mask"] = (patch["mask"] == 1).astype(np.uint8)
        patch["classes"] = ["Field", "Lake"]  # segm does not ask for one class
    samples = open_samples(write_masked_catalog(tmp_path, patches, table)).search()
    options = {"width": 4, "epochs": 1, **COMMON}
    found = train(samples, samples, tmp_path / "net.pt", model="segm", **options)
    assert found.outputs[0].names == ("no-building", "building")
    assert sum(map(sum, found.confusions[0])) == 12 * 60 * 60
    with pytest.raises(SatimnetError, match="have no class or several"):
        train(samples, samples, tmp_path / "dual.pt", model="dual", **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_asking_for_one_is_a_user_error(trained, parts, tmp_path):
    with pytest.raises(SatimnetError, match="device cuda: torch cannot"):
        train(*parts, tmp_path / "net.pt", device="cuda", quiet=True)
    with pytest.raises(SatimnetError, match="device cuda: torch cannot"):
        evaluate(trained["class"][0], parts[1], device="cuda")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_a_user_error_and_leaves_what_was_there(trained, tmp_path):
    path, checkpoint = trained["class"]
    there = tmp_path / "net.pt"
    there.write_bytes(path.read_bytes())
    (tmp_path / ".net.pt.partial").symlink_to("/dev/full")
    with pytest.raises(SatimnetError, match=r"net\.pt: cannot be written"):
        checkpoint.save(there)
    assert there.read_bytes() == path.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"]


# checkpoints that do not fit


def test_what_is_no_checkpoint_is_a_user_error(trained, tmp_path):
    with pytest.raises(SatimnetError, match=r"none\.pt: cannot be read"):
        load(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    torch.save({"format": CLASSES, "code": print}, tmp_path / "code.pt")
    torch.save({"format": "another"}, tmp_path / "other.pt")
    data = trained["segm"][0].read_bytes()
    (tmp_path / "half.pt").write_bytes(data[: len(data) // 2])
    content = torch.load(trained["segm"][0], weights_only=True)
    content["state"].popitem()
    torch.save(content, tmp_path / "lacking.pt")
    messages = {
        "text": "not a checkpoint of satimnet, or damaged; give .* that satimnet train wrote",
        "code": "not a checkpoint of satimnet, or damaged; give a checkpoint.pt",
        "other": "not a checkpoint of satimnet but of the format 'another'; give a checkpoint.pt",
        "half": "not a checkpoint of satimnet, or damaged; give a checkpoint.pt",
        "lacking": "the checkpoint is damaged",
    }
    for name, message in messages.items():
        with pytest.raises(SatimnetError, match=rf"{name}\.pt: {message}") as caught:
            load(tmp_path / f"{name}.pt")
        assert "\n" not in str(caught.value)
        shown = "".join(traceback.format_exception(caught.value))
        assert "weights_only=False" not in shown  # torch's advice, unsafe with a foreign file


def test_checkpoints_of_another_network_or_other_bands_are_refused(trained):
    path = trained["segm"][0]
    assert load(path, kinds=("cnn-segm", "cnn-dual"), bands=("B02", "B03", "B04")).dense
    with pytest.raises(
        SatimnetError, match=r"net\.pt: holds cnn-segm; give a checkpoint of cnn-class"
    ):
        load(path, kinds=("cnn-class",))
    with pytest.raises(SatimnetError, match=r"trained on 3 bands \(B02, B03, B04\); .* 1 bands"):
        load(path, bands=("B02",))


def test_evaluation_refuses_other_classes(trained, parts, tmp_path):
    other = type(parts[1])(parts[1].table, parts[1].collections, ("Field", "Lake"))
    with pytest.raises(SatimnetError, match=r"of fused have \(only the network: Town\); choo"):
        evaluate(trained["class"][0], other)
    table = [{"value": 1, "name": "water"}, {"value": 2, "name": "land"}]
    samples = open_samples(write_masked_catalog(tmp_path, make_patches(2), table)).search()
    differing = r"\(only the network: built-up, other; only the samples: land\)"
    with pytest.raises(SatimnetError, match=differing):
        evaluate(trained["segm"][0], samples)
    turned = type(parts[1])(parts[1].table, parts[1].collections, tuple(reversed(CLASSES)))
    with pytest.raises(SatimnetError, match="the same in another order"):
        evaluate(trained["class"][0], turned)


def test_windows_of_a_feed_are_cut_out_of_the_patches(parts):
    mask = find_mask(parts[1])
    feed = window_feed(parts[1], ["B04", "B02"], mask, torch.device("cpu"), dual=True)
    assert len(feed) == 24 * 60 * 54
    (batch,) = parts[1].to_batches(24, bands=["B04", "B02"], mask="mask")
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(len(feed), generator=generator)[:500]
    ((images, (labels, pixels)),) = feed.batches([rows])
    assert images.is_contiguous(memory_format=torch.channels_last)
    for window, label, pixel, position in zip(images, labels, pixels, feed.positions[rows]):
        sample, y, x = np.unravel_index(position.item(), (24, 64, 64))
        assert window.equal(batch.images[sample, :, y - 2 : y + 3, x - 2 : x + 3])
        assert label == batch.labels[sample]
        assert pixel == batch.masks[sample, y, x] - 1


def test_importing_the_package_is_light():
    code = "import satimnet.training, sys; print([m for m in sys.modules if m in {%s}])"
    heavy = "'torch', 'dask', 'xarray', 'pyarrow', 'matplotlib'"
    run = [sys.executable, "-c", code % heavy]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[]\n"
