"""Folds, the table of the paper, and the commands that train."""

import json
import os
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mini_masks import make_patches, write_masked_catalog
from PIL import Image
from stactools.cli.cli import cli

from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage.staging import lock
from satimnet.training import crossvalidate, load, open_samples
from satimnet.training.data.folds import folds_of, hold_out
from satimnet.training.networks import plots
from satimnet.training.networks.checkpoints import Checkpoint, build
from satimnet.training.networks.crossvalidation import Row, Table
from satimnet.training.networks.outputs import class_output
from satimnet.training.networks.windows import hold_out_windows

OPTIONS = {"width": 4, "epochs": 1, "batch_size": 16, "device": "cpu", "quiet": True}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    return write_masked_catalog(tmp_path_factory.mktemp("catalog"), make_patches(12))


@pytest.fixture(scope="module")
def samples(fused):
    return open_samples(fused).search()


def without(samples, *columns):
    table = samples.table.drop_columns(list(columns))
    return type(samples)(table, samples.collections, samples.classes)


def test_folds_of_the_items_are_taken(samples):
    assert folds_of(samples, 10, seed=5).tolist() == [k % 2 for k in range(12)] * 3


def test_drawn_folds_have_the_same_share_of_every_class(samples):
    bare = without(samples, "satimnet:fold")
    folds = folds_of(bare, 5, seed=0)
    sizes = [np.bincount(folds[bare.labels == label], minlength=5) for label in range(3)]
    assert all(set(size.tolist()) <= {2, 3} for size in sizes)
    assert sorted(sum(sizes).tolist()) == [7, 7, 7, 7, 8]
    assert folds_of(bare, 5, seed=0).tolist() == folds.tolist()
    assert folds_of(bare, 5, seed=1).tolist() != folds.tolist()
    with pytest.raises(SatimnetError, match="36 samples cannot be divided into 37 folds"):
        folds_of(bare, 37, seed=0)
    with pytest.raises(SatimnetError, match="into 1 folds"):
        folds_of(bare, 1, seed=0)
    with pytest.raises(SatimnetError, match="all samples are of one fold"):
        folds_of(samples.subset(np.arange(0, 36, 2)), 10, seed=0)


def test_holding_out_is_that_of_samples_and_divides_several_classes(samples, tmp_path):
    for ours, theirs in zip(hold_out(samples, 0.25, 3), samples.holdout(0.25, 3), strict=True):
        assert ours.ids == theirs.ids
    patches = make_patches(4)
    for patch, classes in zip(patches, ([], ["Field", "Lake"], ["Field", "Lake", "Town"] * 2)):
        patch["classes"] = list(dict.fromkeys(classes))
    several = open_samples(write_masked_catalog(tmp_path, patches)).search()
    learned, held = hold_out(several, 0.34, 0)  # 3 have several or none; 1 Field, 4 Lakes, 4 Towns
    assert len(held) == 1 + 0 + 1 + 1
    assert sorted(learned.ids + held.ids) == sorted(several.ids)


def test_the_windows_of_the_paper():
    """19,795,735 windows of which a fifth is held out: both published numbers, exactly."""
    held = hold_out_windows(19_795_735, 0.2, 0, torch.device("cpu"))
    assert held.sum() == 3_959_147
    assert (~held).sum() == 15_836_588


def test_the_table_has_the_rows_of_the_paper(samples, tmp_path):
    few = OPTIONS | {"windows_per_epoch": 1000}
    table = crossvalidate(samples, ["class", "dual"], tmp_path / "out", **few)
    main, both = "one", "one & other"
    assert [cells[1:4] for cells in table.cells()] == [
        (model, *sets)
        for model in ("CNN-class", "CNN-dual")
        for sets in [(main, main), (main, both), (both, both), (both, main)]
    ]
    assert table.folds == (2, 2)
    assert table.recipe == "0" * 64
    assert table.samples == {"other": 9, "one": 27}
    for row in table.rows:
        assert len(row.accuracies) == 2
        assert row.mean == pytest.approx(sum(row.accuracies) / 2)
        assert row.maximum == max(row.accuracies)
    # the networks are there, and the table says what they do on the fold that they did not see
    fold, source = folds_of(samples, 2, 0), np.array([k % 4 > 0 for k in range(12)] * 3)
    checkpoint = load(tmp_path / "out" / "cnn-class" / "one" / "fold-0.pt")
    for sets, among in {(main, main): source, (main, both): source | True}.items():
        tested = samples.subset(np.flatnonzero((fold == 0) & among))
        (batch,) = tested.to_batches(100)
        right = (checkpoint.logits(batch.images)[0].argmax(1) == batch.labels).double().mean()
        (row,) = [r for r in table.rows if (r.model, r.training, r.testing) == ("cnn-class", *sets)]
        assert row.accuracies[0] == pytest.approx(right.item())
    written = json.loads((tmp_path / "out" / "table.json").read_text())
    assert [row["accuracies"] for row in written["rows"]] == [
        list(r.accuracies) for r in table.rows
    ]
    text = (tmp_path / "out" / "table.md").read_text()
    assert text.count("| CNN-") == 8
    assert f"- Recipe: {'0' * 64}" in text


def test_a_stopped_cross_validation_goes_on(samples, tmp_path, monkeypatch):
    out = tmp_path / "out"
    loud, signs = {k: v for k, v in OPTIONS.items() if k != "quiet"}, []
    loud["progress"] = lambda *sign: signs.append(sign)
    part = crossvalidate(samples, ["class"], out, only=1, **loud)
    assert [sign for sign in signs if sign[0] == "Cross-validating"] == [
        ("Cross-validating", done, 2, "networks") for done in (0, 1, 2)
    ]
    assert sum(sign[0] == "Training CNN-class" for sign in signs) > 2
    assert part.folds == (1, 2)
    assert "- Folds: 1 of 2" in (out / "table.md").read_text()
    before = {path: path.read_bytes() for path in out.rglob("fold-0.*")}
    assert len(before) == 4
    whole = crossvalidate(samples, ["class"], out, **OPTIONS)
    assert before == {path: path.read_bytes() for path in out.rglob("fold-0.*")}
    assert [row.accuracies[:1] for row in whole.rows] == [row.accuracies for row in part.rows]
    monkeypatch.setattr(
        "satimnet.training.networks.training.run_on", None
    )  # nothing is trained again
    monkeypatch.setattr("satimnet.training.networks.crossvalidation.evaluate", None)  # nor tested
    assert crossvalidate(samples, ["class"], out, **OPTIONS).rows == whole.rows
    with pytest.raises(SatimnetError, match="holds another training"):
        crossvalidate(samples, ["class"], out, **OPTIONS | {"width": 8})


def test_one_run_at_a_time_writes_a_table(samples, tmp_path):
    busy = pytest.raises(SatimnetError, match=r"table\.json: another run is writing it")
    with lock(tmp_path / "table.json"), busy:
        crossvalidate(samples, ["class"], tmp_path, **OPTIONS)
    assert os.listdir(tmp_path) == []


def test_a_collection_of_one_source_has_one_row(samples, tmp_path):
    bare = without(samples, "satimnet:source", "satimnet:fold")
    table = crossvalidate(bare, ["class"], tmp_path / "out", folds=3, **OPTIONS)
    assert [(row.training, row.testing, len(row.accuracies)) for row in table.rows] == [
        ("fused", "fused", 3)
    ]


def test_the_markdown_is_a_table():
    rows = (
        Row("cnn-class", "class", "a", "a", (0.5, 0.75)),
        Row("cnn-dual", "mask", "a", "b", (1,)),
    )
    table = Table(
        rows,
        (2, 10),
        {"a": 1000, "b": 5},
        "a device",
        90,
        None,
        "abc",
        {"bands": ["B02", "B08"], "width": 4},
    )
    assert table.markdown() == (
        "| Model | Training set | Testing set | Accuracy (%), mean | maximum |\n"
        "| --- | --- | --- | ---: | ---: |\n"
        "| **Patch-based classification** | | | | |\n"
        "| CNN-class | a | a | 62.50 | 75.00 |\n"
        "| **Image segmentation** | | | | |\n"
        "| CNN-dual | a | b | 100.00 | 100.00 |\n"
        "\n"
        "- Folds: 2 of 10\n"
        "- Samples: 1,000 a, 5 b\n"
        "- Device: a device\n"
        "- Training time: 1.5 minutes, all together\n"
        "- Arguments: bands B02,B08, width 4\n"
        "- Recipe: none: the collection as it is\n"
        "- Samples' digest: abc\n"
    )


# commands


def run(*arguments):
    return CliRunner().invoke(cli, ["satimnet", *map(str, arguments)])


@pytest.mark.parametrize("split", [pytest.param("patch", marks=pytest.mark.slow), "window"])
def test_train_evaluate_and_picture(fused, tmp_path, split):
    how = ("--bands", "B02,B03,B04", "--width", 4, "--epochs", 1, "--device", "cpu", "--quiet")
    out = tmp_path / "run"
    arguments = ("train", fused, "--model", "dual", *how, "--out", out, "--holdout", 0.25)
    result = run(*arguments, "--split-by", split, "--windows", 4_000)
    assert result.exit_code == 0, result.output
    held = {"patch": "9 samples", "window": "25% of their windows"}[split]
    trained = {"patch": 27, "window": 36}[split]
    assert f"trained on {trained}, held out {held}" in result.output
    assert re.search(r"accuracy of mask [\d.]+% on", result.output)
    assert (out / "confusion-mask.png").exists()
    again = run(*arguments, "--split-by", split, "--windows", 4_000)  # finished: only reported
    assert again.output == result.output
    other = run(*arguments, "--split-by", split, "--windows", 2_000)
    assert other.exit_code == 1
    assert other.stderr.startswith(f"Error: {out / 'checkpoint.pt'}: holds another training")
    assert other.stderr.count("\n") == 1

    checkpoint = ("--checkpoint", out / "checkpoint.pt")
    result = run("evaluate", fused, *checkpoint, "--out", tmp_path / "test", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "accuracy of class" in result.output
    picture = tmp_path / "figure.png"
    result = run("picture", fused, *checkpoint, *checkpoint, "--count", 2, "--out", picture)
    assert result.exit_code == 0, result.output
    with Image.open(picture) as image:
        assert image.width > image.height  # two samples, six columns


def test_crossvalidate(fused, tmp_path):
    how = ("--bands", "B02,B03,B04", "--width", 4, "--epochs", 1, "--device", "cpu", "--quiet")
    result = run("crossvalidate", fused, "--models", "class", *how, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.output.count("CNN-class") == 4
    assert "Recipe: 000" in result.output
    assert (tmp_path / "out" / "table.json").exists()


def test_colours_of_a_built_catalog_can_be_trained_on(catalog, tmp_path):
    """The RGB images of EuroSAT, as the README has it."""
    how = ("--width", 4, "--epochs", 1, "--batch-size", 8, "--device", "cpu", "--quiet")
    bands = ("--bands", "red,green,blue")
    result = run("train", catalog, *bands, *how, "--holdout", 0.25, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert load(tmp_path / "run" / "checkpoint.pt").bands == ("red", "green", "blue")


def test_bad_input_is_one_line(fused, catalog, tmp_path):
    bands = ("--bands", "B02,B03,B04")
    out = ("--out", tmp_path / "run")
    (tmp_path / "broken.pt").write_bytes(b"PK\x03\x04 nonsense")
    (tmp_path / "file").touch()
    cases = {
        ("train", fused, "--bands", "B02,B77", *out): "no image has the bands B02, B77",
        ("train", catalog, "--model", "segm", *out): "eurosat has no masks",
        ("train", fused, *bands, "--split-by", "window", *out): "class has whole patches",
        ("train", fused, *bands, "--filter", "nonsense = 1", *out): "nonsense",
        ("train", fused, *bands, "--devices", 5, *out): "cannot be divided among 5",
        ("train", fused, *bands, "--epochs", 1, "--out", tmp_path / "file" / "x"): "x",
        ("crossvalidate", fused, *bands, "--models", "tree", *out): "model tree: there are class",
        ("evaluate", fused, "--checkpoint", tmp_path / "broken.pt", *out): "broken.pt: not a check",
        ("picture", fused, "--checkpoint", tmp_path / "broken.pt", *out): "broken.pt: not a check",
    }
    for arguments, message in cases.items():
        result = run(*arguments)
        assert result.exit_code == 1, arguments
        assert message in result.stderr
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1, result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.pt", "file"]


def test_cnn_class_says_its_answer_in_words_below_the_images(fused, tmp_path, monkeypatch):
    how = ("--bands", "B02,B03,B04", "--width", 4, "--epochs", 1, "--device", "cpu", "--quiet")
    assert run("train", fused, *how, "--out", tmp_path / "run").exit_code == 0
    segm = ("--model", "segm", "--windows", 2_000, "--holdout", 0.25)
    assert run("train", fused, *how, *segm, "--out", tmp_path / "segm").exit_code == 0
    drawn = []
    save = plots._save
    monkeypatch.setattr(
        plots, "_save", lambda figure, path: drawn.append(figure) or save(figure, path)
    )
    both = [f"--checkpoint={tmp_path / name / 'checkpoint.pt'}" for name in ("run", "segm")]
    for networks, columns in ((both[:1], 1), (both, 3)):
        picture = tmp_path / f"figure-{columns}.png"
        result = run("picture", fused, *networks, "--count", 3, "--out", picture)
        assert result.exit_code == 0, result.output
        assert picture.exists()
        assert len(drawn[-1].axes) == 3 * columns
        for row in drawn[-1].axes[::columns]:
            (words,) = [text for text in row.texts if text.get_text().startswith("CNN-class: ")]
            right = words.get_text().removeprefix("CNN-class: ") == row.get_ylabel()
            assert words.get_color() == ("black" if right else "tab:red")


def test_cnn_class_answers_for_patches_of_its_size_only(samples, tmp_path):
    model = build("cnn-class", 3, (class_output(samples),), 4)
    numbers = (1000.0,) * 3
    network = Checkpoint(
        model, "cnn-class", 4, ("B02", "B03", "B04"), (class_output(samples),), numbers, numbers
    )
    with pytest.raises(SatimnetError, match=r"takes images of 64 x 64 .* have 40 x 40"):
        plots.draw_predictions(samples.cropped(40, 40), [network], tmp_path / "x.png")
    assert os.listdir(tmp_path) == []
