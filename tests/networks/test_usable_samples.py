"""Which samples of a catalog of unlike collections the commands take, and what they tell."""

import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from mini_masks import make_patches, write_masked_catalog
from mini_mixture import write_mixture
from stactools.cli.cli import cli

from satimnet.builder.errors import SatimnetError
from satimnet.training import load, open_samples, train
from satimnet.training.networks.usable_samples import choose

HOW = ("--width", 4, "--epochs", 1, "--batch-size", 4, "--device", "cpu", "--quiet")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    return write_mixture(tmp_path_factory.mktemp("mixture"))


@pytest.fixture(scope="module")
def checkpoint(mixture, tmp_path_factory):
    """Of CNN-class, trained on two bands of the whole catalog."""
    out = tmp_path_factory.mktemp("run")
    result = run("train", mixture, "--bands", "B02,B03", *HOW, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(
        "samples: 12 of mini\n"
        "left out: 6 of mini, 6 of scenes, 6 of tiles without the bands B02, B03; "
        "4 of bands not of one class each\n"
        "trained on 6, held out 6 samples\n"
    )
    return out / "checkpoint.pt"


def run(*arguments):
    return CliRunner().invoke(cli, ["satimnet", *map(str, arguments)])


def error(*arguments):
    """The one line of a command that fails."""
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def again(catalog, folder, name, change):
    """The catalog with a copy of mini, in which `change` edited the metadata, after the others."""
    shutil.copytree(catalog.parent, folder)
    home = folder / name
    shutil.copytree(folder / "mini", home)
    document = json.loads((home / "collection.json").read_text()) | {"id": name}
    change(document)
    (home / "collection.json").write_text(json.dumps(document))
    rows = pq.read_table(home / "items.parquet")
    place = rows.column_names.index("collection")
    rows = rows.set_column(place, "collection", pa.array([name] * len(rows)))
    pq.write_table(rows, home / "items.parquet")
    root = json.loads((folder / "catalog.json").read_text())
    root["links"].append({"rel": "child", "href": f"./{name}/collection.json"})
    (folder / "catalog.json").write_text(json.dumps(root))
    return folder / "catalog.json"


def other_classes(document):
    document["summaries"]["classification:classes"].insert(0, {"value": 9, "name": "Meadow"})


def test_bands_choose_the_samples_to_train_on(checkpoint, mixture, tmp_path):
    assert load(checkpoint).bands == ("B02", "B03")
    assert load(checkpoint).outputs[0].names == ("Field", "Lake", "Town")
    colours = ("--bands", "red,green,blue", *HOW, "--out", tmp_path / "colours")
    result = run("train", mixture, *colours)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(
        "samples: 18 of mini\n"
        "left out: 4 of bands, 6 of tiles without the bands red, green, blue; "
        "6 of scenes not of one class each\n"
    )


def test_what_has_masks_is_taken_for_networks_of_pixels(mixture, tmp_path):
    bands = ("--bands", "B05,B06", "--model", "segm", *HOW, "--windows-per-epoch", 64)
    result = run("train", mixture, *bands, "--holdout", 0.5, "--out", tmp_path / "segm")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("samples: 6 of tiles\nleft out: 6 of mini, 4 of bands, ")
    assert "; 12 of mini without a mask\n" in result.output
    choice = choose(open_samples(mixture), ["B02"], models=["segm"])
    assert choice.taken == {"bands": 4}
    assert choice.left_out["without a mask"] == {"mini": 12}
    assert choice.samples.classes == ("Field", "Lake", "Town", "Snow")
    with pytest.raises(SatimnetError, match="mini has no masks"):
        choose(open_samples(mixture), ["B12"], models=["dual"])


def test_samples_without_a_mask_are_counted(tmp_path):
    patches = make_patches(2)
    patches[0]["mask"] = None
    choice = choose(open_samples(write_masked_catalog(tmp_path, patches)), ["B02"], models=["dual"])
    assert list(choice.lines()) == ["samples: 5 of fused", "left out: 1 of fused without a mask"]


def test_collections_that_do_not_go_together_are_named(mixture, tmp_path):
    catalog = again(mixture, tmp_path / "unlike", "other", other_classes)
    bands = ("--bands", "B02,B03", *HOW, "--out", tmp_path / "run")
    told = error("train", catalog, *bands)
    assert f"{catalog}: samples with the bands B02, B03: 12 of mini, 12 of other" in told
    assert re.search(
        r'with unlike classes; choose .* (collections=\["mini"\]|--collection mini)', told
    )
    assert "bands=" not in told
    assert not (tmp_path / "run").exists()
    result = run("train", catalog, *bands, "--collection", "other")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("samples: 12 of other\nleft out: 6 of other without the bands")
    told = error("train", mixture, *bands[2:], "--bands", "red", "--collection", "bands")
    assert "no image has the bands red" in told


def test_collections_that_go_together_are_taken_together(mixture, tmp_path):
    catalog = again(mixture, tmp_path / "alike", "twin", lambda document: None)
    choice = choose(open_samples(catalog), ["B02", "B03"], split="train")
    assert choice.taken == {"mini": 6, "twin": 6}
    assert choice.samples.classes == ("Field", "Lake", "Town")
    images = next(choice.samples.to_batches(16, bands=["B02", "B03"])).images
    assert images.shape == (12, 2, 64, 64)


def test_a_network_is_judged_on_samples_of_its_bands_and_classes(mixture, checkpoint, tmp_path):
    catalog = again(mixture, tmp_path / "unlike", "other", other_classes)
    trained = ("--checkpoint", checkpoint, "--device", "cpu", "--out", tmp_path / "test")
    result = run("evaluate", catalog, *trained, "--split", "train")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "samples: 6 of mini"
    assert lines[1].startswith("left out: 6 of mini, ")
    assert lines[1].endswith("; 6 of other with other classes than the network's")
    assert lines[2].endswith(" on 6 samples")
    told = error("evaluate", catalog, *trained, "--collection", "other")
    assert "the samples are of other, with other classes than the network was trained for" in told
    assert "(Field, Lake, Town); choose others" in told
    told = error("evaluate", catalog, *trained, "--collection", "other", "--split", "test")
    assert "the samples of the split test are of other, with" in told
    told = error("evaluate", catalog, *trained, "--split", "validation")
    assert "no item of the split validation has the bands B02, B03" in told


def test_a_network_that_learned_several_collections_is_judged_on_them(mixture, tmp_path):
    catalog = again(mixture, tmp_path / "unlike", "other", other_classes)
    names = ["mini", "other"]
    samples = open_samples(catalog).search(collections=names, bands=["B02"])
    how = {"width": 4, "epochs": 1, "batch_size": 4, "device": "cpu", "quiet": True}
    network = train(samples, samples, tmp_path / "net.pt", bands=["B02"], **how)
    choice = choose(open_samples(catalog), ["B02"], trained=network, collections=names)
    assert choice.taken == {"mini": 12, "other": 12}
    assert choice.samples.classes == ("Field", "Lake", "Town", "Meadow")
