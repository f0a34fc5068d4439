"""What is wrong with an argument is said in a sentence that names it."""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
import pystac
import pytest
import torch
from mini_masks import make_patches, write_masked_catalog
from serving import COMMAND, served_here
from torch.utils.data import DataLoader

import stactools
from satimnet.builder.arguments import checked
from satimnet.builder.datasets import installed
from satimnet.builder.errors import SatimnetError, WrongTypeError
from satimnet.builder.pipeline import build
from satimnet.builder.query.search import search
from satimnet.builder.storage.assets import gdal_path, read_bytes
from satimnet.training import crossvalidate, fuse, held_out, load, map_scene, open_samples, train

HOW = {"width": 4, "epochs": 1, "batch_size": 8, "device": "cpu", "quiet": True}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return write_masked_catalog(tmp_path_factory.mktemp("catalog"), make_patches(6))


@pytest.fixture(scope="module")
def samples(mini):
    return open_samples(mini).search()


@checked()
def example(
    path: str | Path,
    bands: Sequence[str] | None = None,
    box: Sequence[float] = (),
    *,
    count: int = 1,
    rate: float = 0.5,
    words: Mapping[str, str] | None = None,
    unknown: "NoSuchType | None" = None,  # noqa: F821  # of type checkers only
) -> str:
    return "done"


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (("x", "B02"), {}, r"bands is the text 'B02'; give a list of names, such as \['B02'\]"),
        (("x", ["B02", 3]), {}, r"bands is \['B02', 3\]; give a list of names"),
        ((None,), {}, r"path is None; give a text or a pathlib\.Path"),
        (("x",), {"cuont": 2}, "example.. has no cuont; did you mean count"),
        (("x",), {"zzz": 2}, "example.. has no zzz; there are path, bands, box, count"),
        (("x",), {"count": 1.5}, "count is 1.5; give a whole number"),
        (("x",), {"count": "3"}, "count is the text '3'; give a whole number"),
        (("x",), {"rate": float("nan")}, "rate is nan; give a number"),
        (("x",), {"words": ["a"]}, r"words is \['a'\]; give a mapping or None"),
        (("x",), {"box": 3}, "box is 3; give a list"),
        ((), {}, "example.*: missing a required argument: 'path'"),
    ],
)
def test_arguments_are_compared_with_their_annotations(arguments, keywords, message):
    with pytest.raises(WrongTypeError, match=message):
        example(*arguments, **keywords)


def test_an_error_has_the_name_of_the_argument():
    with pytest.raises(WrongTypeError) as caught:
        example("x", rate=float("nan"))
    assert caught.value.arguments == ("rate",)


class Options(TypedDict, total=False):
    """Keywords that several functions take."""

    count: int
    words: Sequence[str] | None


@checked(defaults={"count": 1, "words": None})
def optional(path: str, **options: Unpack[Options]) -> Options:
    return options


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"words": "B02"}, r"words is the text 'B02'; give a list of names, such as \['B02'\]"),
        ({"count": "3"}, "count is the text '3'; give a whole number"),
        ({"cuont": 3}, r"optional\(\) has no cuont; did you mean count"),
    ],
)
def test_keywords_of_a_typed_dict_are_compared_one_by_one(keywords, message):
    with pytest.raises(WrongTypeError, match=message):
        optional("x", **keywords)
    assert optional("x", count=2) == {"count": 2}
    shown = inspect.signature(optional).parameters
    assert {name: one.default for name, one in shown.items() if name != "path"} == {
        "count": 1,
        "words": None,
    }


def test_what_fits_is_let_through():
    assert example(Path("x"), ("B02",), np.arange(4), count=np.int64(2), rate=1) == "done"
    assert example("x", {"B02": 1}.keys(), rate=np.float32(2), words={}, unknown=5) == "done"


def test_searches_say_what_they_do_not_take(mini):
    with pytest.raises(SatimnetError, match=r"bands is the text .B02.; give .*, such as \[.B02.\]"):
        open_samples(mini).search(bands="B02")
    with pytest.raises(SatimnetError, match="bands: name at least one"):
        open_samples(mini).search(bands=[])
    lakes = open_samples(mini).search(collections="fused", classes="Lake")  # one may be a text
    assert len(lakes) == 6
    with pytest.raises(SatimnetError, match=r"search\(\) has no collection; did you mean coll"):
        open_samples(mini).search(collection="fused")
    with pytest.raises(SatimnetError, match=r"search\(\) has no band; did you mean bands"):
        open_samples(mini).search(band=["B02"])
    with pytest.raises(SatimnetError, match=r"has no spilt; did you mean split"):
        search(mini, spilt="train")


def test_samples_are_many_at_a_time(samples):
    for size in (1, 8):
        with pytest.raises(SatimnetError, match=r"DataLoader\(samples\.to_dataset\(64\)"):
            next(iter(DataLoader(samples, batch_size=size)))
    loader = DataLoader(samples.to_dataset(64), batch_size=None)
    assert len(next(iter(loader)).images) == len(samples)
    assert len(samples.subset([])) == 0
    for indices in ([99], [-1], ["a"], [0.5], "0"):
        with pytest.raises(SatimnetError, match="indices: "):
            samples.subset(indices)


def test_numbers_that_make_no_sense_are_named(samples):
    for use, message in (
        (lambda: samples.holdout(0), "fraction 0: must be between 0 and 1"),
        (lambda: samples.holdout(1.5), "fraction 1.5: must be between 0 and 1"),
        (lambda: samples.holdout(0.5, seed=-1), "seed -1: must be 0 or more"),
        (lambda: next(samples.to_batches(0)), "batch_size 0: must be 1 or more"),
        (lambda: next(samples.to_batches(4, shuffle=True, seed=-1)), "seed -1: must be 0 or more"),
        (lambda: next(samples.to_batches(4, bands="B02")), "bands is the text 'B02'; give a list"),
    ):
        with pytest.raises(SatimnetError, match=message):
            use()


def test_what_a_notebook_shows_is_one_line(mini, samples, tmp_path):
    assert repr(open_samples(mini)) == f"<Catalog: {mini}; collections: fused>"
    checkpoint = train(*samples.holdout(0.25), tmp_path / "net.pt", **HOW)
    assert repr(checkpoint) == (
        "<Checkpoint: cnn-class of 4 filters; bands: B02, B03, B04; gives class of 3 classes; "
        "epochs: 1>"
    )
    assert re.fullmatch(
        r"<Evaluation of class: [\d.]+% of 6 right>", repr(held_out(checkpoint)["class"])
    )


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"held_out": None}, "held_out is None; give Samples or a number"),
        ({"samples": "catalog"}, "samples is the text 'catalog'; give Samples"),
        ({"learning_rate": float("inf")}, "learning_rate inf: must be a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"learning_rate": -1.0}, "learning_rate -1: must be a number above 0"),
        ({"epochs": 0}, "epochs 0: must be 1 or more"),
        ({"windows": 0, "model": "segm"}, "windows 0: must be 1 or more"),
        ({"bands": "B02"}, "bands is the text 'B02'"),
        ({"epoch": 3}, r"train\(\) has no epoch; did you mean epochs"),
    ],
)
def test_trainings_say_which_argument_is_wrong(samples, tmp_path, keywords, message):
    learned, held = samples.holdout(0.25)
    given = {"samples": learned, "held_out": held, "out": tmp_path / "net.pt"} | HOW | keywords
    with pytest.raises(SatimnetError, match=message):
        train(**given)
    assert not list(tmp_path.iterdir())


def test_cross_validations_too(samples, tmp_path):
    for keywords, message in (
        ({"folds": 0}, "folds 0: must be 2 or more"),
        ({"only": 0}, "only 0: must be 1 or more"),
        ({"models": ["clas"]}, "model clas: there are class, segm, dual"),
        ({"models": "class"}, "models is the text 'class'; give a list"),
        ({"epoch": 1}, "has no epoch; did you mean epochs"),
    ):
        given = {"samples": samples, "models": ["class"], "out": tmp_path / "out"} | keywords
        with pytest.raises(SatimnetError, match=message):
            crossvalidate(**given)


def test_maps_too(tmp_path):
    with pytest.raises(SatimnetError, match="bands is the text 'B02,B03'; give a list"):
        map_scene("scene.tif", tmp_path / "net.pt", tmp_path, bands="B02,B03")
    with pytest.raises(SatimnetError, match="offset is nan"):
        map_scene("scene.tif", tmp_path / "net.pt", tmp_path, offset=float("nan"))


def test_what_cannot_be_learned_is_named(tmp_path):
    constant = make_patches(4)
    for patch in constant:
        patch["image"][..., 1] = 7
    parts = open_samples(write_masked_catalog(tmp_path / "a", constant)).search().holdout(0.25)
    with pytest.raises(SatimnetError, match=r"all pixels of B03 \(7\) have the same value"):
        train(*parts, tmp_path / "net.pt", **HOW)
    alone = [patch for patch in make_patches(4) if patch["classes"] == ["Lake"]]
    for patch in alone:
        patch["mask"][:] = 3
    parts = open_samples(write_masked_catalog(tmp_path / "b", alone)).search().holdout(0.25)
    with pytest.raises(SatimnetError, match="is of the class Lake, and a network tells classes"):
        train(*parts, tmp_path / "net.pt", **HOW)
    with pytest.raises(SatimnetError, match="is of the class other"):
        train(*parts, tmp_path / "net.pt", model="segm", **HOW)


def test_networks_that_nothing_can_be_computed_with_are_refused(samples, tmp_path):
    path = tmp_path / "net.pt"
    train(*samples.holdout(0.25), path, **HOW)
    good = torch.load(path, weights_only=True)
    first = next(iter(good["state"]))
    broken = good["state"][first].clone()
    broken.view(-1)[0] = float("nan")
    half = {name: value.half() for name, value in good["state"].items()}
    double = {name: value.double() for name, value in good["state"].items()}
    for change, message in (
        ({"state": half}, rf"its weights {first} are float16, not float32"),
        ({"state": double}, rf"its weights {first} are float64, not float32"),
        ({"state": good["state"] | {first: broken}}, rf"its weights {first} have values that are"),
        ({"mean": (1.0, float("nan"), 1.0)}, "the mean of band B03 is nan"),
        ({"std": (1.0, 1.0, 0.0)}, "the std of band B04 is 0"),
        ({"mean": (1.0,)}, "3 bands, but 1 values of mean"),
    ):
        torch.save(good | change, path)
        with pytest.raises(SatimnetError, match=rf"net\.pt: the checkpoint is damaged \({message}"):
            load(path)


def test_an_item_is_no_asset(catalog):
    item = next(iter(search(catalog, limit=1)))
    message = r"is an Item; give one of its assets, such as item\['assets'\]\['.*'\] \(there are"
    for use in (gdal_path, read_bytes):
        with pytest.raises(SatimnetError, match=message):
            use(item)
    with pytest.raises(SatimnetError, match=r"such as item\.assets\['"):
        gdal_path(pystac.Item.from_dict(item))
    with pytest.raises(SatimnetError, match=r"an asset is wanted, .* not 'x\.tif'"):
        gdal_path("x.tif")


def test_the_address_that_is_served_is_a_catalog(catalog):
    with served_here(catalog) as url:
        assert len(open_samples(url).search()) == len(open_samples(catalog).search())
        with pytest.raises(SatimnetError, match=r"nowhere/catalog\.json: "):
            open_samples(f"{url}nowhere")


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_a_fault_in_anybodys_dataset_package_names_the_package(tmp_path, scheduler):
    assert stac(tmp_path, "new-dataset", "quaint", tmp_path).returncode == 0
    package = tmp_path / "quaint" / "src" / "stactools" / "quaint"
    source = package / "source.py"
    whole = source.read_text()
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("x")
    build = ["build", "--dataset", f"quaint={data}", "--scheduler", scheduler]
    build += ["--out", tmp_path / "out", "-q"]
    head, scan, body = whole.partition("def scan(")
    first, newline, rest = body.partition(":\n")
    broken = "    yield {}['no such key']\n"
    source.write_text(head + scan + first + newline + broken + rest)
    said = stac(tmp_path / "quaint", *build).stderr
    assert "KeyError: 'no such key' (a fault of the dataset package stactools.quaint;" in said


def test_a_dataset_package_that_cannot_be_loaded_is_named(tmp_path, monkeypatch):
    package = tmp_path / "stactools" / "broken_one"
    package.mkdir(parents=True)
    (package / "dataset.toml").touch()
    (package / "__init__.py").write_text("import no_such_module_at_all\n")
    monkeypatch.setattr(stactools, "__path__", [str(package.parent)])
    with pytest.raises(SatimnetError, match=r"stactools\.broken_one cannot be loaded \(ModuleNot"):
        installed()


def stac(folder, *arguments):
    """The command, in an interpreter that finds the new package as if it were installed."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "satimnet", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        timeout=300,
    )


def test_paths_are_paths(tmp_path):
    with pytest.raises(SatimnetError, match=r"sources is \[7\]; give a list of"):
        build([7], tmp_path / "out")
    with pytest.raises(SatimnetError, match="out is 7; give"):
        build([tmp_path], 7)
    with pytest.raises(SatimnetError, match=r"recipe is the text 'demo'; give Recipe"):
        fuse("demo", tmp_path)
