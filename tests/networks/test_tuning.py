"""Combinations of bands and parameters: cross-validated, ranked, and the same after a kill."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from mini_catalog import BANDS, CLASSES, SIDE, make_samples, write_catalog
from mini_masks import make_patches, write_masked_catalog
from PIL import Image

from satimnet.builder.errors import ArgumentError, BadCatalogError, SatimnetError
from satimnet.builder.storage.staging import lock
from satimnet.cli.group import satimnet
from satimnet.training import Grid, Trial, Tuning, crossvalidate, open_samples, read_grid, tune
from satimnet.training.networks import crossvalidation
from satimnet.training.networks.tuning import _dealt

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"width": [4], "epochs": [1], "batch_size": [8]}
GRID = Grid({"bands": [["B02", "B03"], ["B04"]], "learning_rate": [0.01, 0.001], **SMALL}, folds=2)
COMMON = {"device": "cpu", "quiet": True}
OF_TIMES = {"times.json", "times.md"}


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    return write_masked_catalog(tmp_path_factory.mktemp("catalog"), make_patches(8))


@pytest.fixture(scope="module")
def samples(fused):
    return open_samples(fused).search()


@pytest.fixture(scope="module")
def undisturbed(samples, tmp_path_factory):
    """The folder of a search, and what it found."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    return folder, tune(samples, GRID, folder, **COMMON)


def content(folder):
    """The bytes of every file below a folder, but of those that are said to have times."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if path.name not in OF_TIMES
    }


def run(*arguments):
    return CliRunner().invoke(satimnet, [*map(str, arguments)])


# --- grids ----------------------------------------------------------------------------------------


def test_every_combination_is_there_once():
    grid = Grid({"dropout": [0, 0.5], "bands": [["B02"], ["B03", "B04"]], "width": [8]})
    found = [tuple(one.items()) for one in grid.combinations()]
    assert len(set(found)) == len(grid) == 4
    assert found[0] == (("bands", ("B02",)), ("width", 8), ("dropout", 0.0))
    assert grid.varied == ["bands", "dropout"]
    assert grid.label(grid.combinations()[3]) == "bands B03,B04, dropout 0.5"


def test_the_grid_of_the_paper_has_what_section_3_1_names():
    grid = read_grid("paper")
    assert grid.folds == 3
    assert grid.model == "class"
    assert "Section 3.1" in grid.source
    assert grid.values["bands"][0] == ("B02", "B03", "B04", "B08")
    assert {"B09", "B10"} <= set(grid.values["bands"][-1])
    assert len(grid.values["bands"][-1]) == 13
    assert grid.values["learning_rate"] == (0.01, 0.001)
    assert grid.values["dropout"] == (0.09, 0.1)
    assert len(grid) == 20


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "the grid is empty"),
        ({"bands": []}, "bands: the list is empty"),
        ({"bands": ["B02"]}, "bands 'B02': give lists of names"),
        ({"bands": [["B02", "B02"]]}, "bands B02,B02: a band is there twice"),
        ({"bands": [["B02"], ["B02"]]}, "bands: B02 is there twice"),
        ({"learning_rate": 0.1}, "learning_rate 0.1: give a list of numbers"),
        ({"dropout": [0, 0.0]}, "dropout: 0.0 is there twice"),
        ({"epochs": [1.5]}, "epochs 1.5: give whole numbers"),
        ({"width": [True]}, "width True: give whole numbers"),
        ({"learning": [1]}, "a grid has no learning; did you mean learning_rate"),
    ],
)
def test_what_is_no_grid_is_refused(values, message):
    with pytest.raises(ArgumentError, match=message):
        Grid(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("values = ", "this is not TOML"),
        ("", "the grid is empty"),
        ("[values]\nbands = []", "bands: the list is empty"),
        ("[values]\nbands = ['B02']", "give lists of names"),
        ("folds = 1\n[values]\nwidth = [4]", "folds 1: must be 2 or more"),
        ("folds = '3'\n[values]\nwidth = [4]", "folds = '3': must be a whole number"),
        ("model = 'tree'\n[values]\nwidth = [4]", "model tree: there are class"),
        ("width = [4]", "unknown: width; there are title"),
    ],
)
def test_a_file_that_is_no_grid_is_named(tmp_path, text, message):
    path = tmp_path / "grid.toml"
    path.write_text(text)
    with pytest.raises(ArgumentError, match=f"grid.toml: .*{message}"):
        read_grid(path)
    with pytest.raises(SatimnetError, match=r"none\.toml: No such file"):
        read_grid(tmp_path / "none.toml")
    with pytest.raises(ArgumentError, match=r"papers: no grid; name a \.toml file, or one of"):
        read_grid("papers")


# --- results --------------------------------------------------------------------------------------


def test_a_table_has_a_row_for_each_combination_the_best_first(undisturbed, samples):
    folder, tuning = undisturbed
    means = [trial.mean for trial in tuning.trials]
    assert means == sorted(means, reverse=True)
    assert {tuple(t.values.items()) for t in tuning.trials} == {
        tuple(values.items()) for values in GRID.combinations()
    }
    written = json.loads((folder / "table.json").read_text())
    assert [row["mean"] for row in written["combinations"]] == means
    assert written["samples"] == {"other": 6, "one": 18}
    for row, trial in zip(written["combinations"], tuning.trials, strict=True):
        assert len(trial.folds) == 2
        assert row["accuracies"]["class"] == list(trial.folds)
        assert row["deviation"] == pytest.approx(np.std(trial.folds, ddof=1))
    text = (folder / "table.md").read_text()
    assert text.splitlines()[0] == "|  | bands | learning rate | mean % | deviation |"
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 2 + 4
    assert "- Arguments: width 4, epochs 1, batch size 8, seed 0, devices 1" in text
    with Image.open(folder / "table.png") as image:
        assert image.width > 600
    assert sorted(path.name for path in folder.iterdir()) == [
        *("combinations", "search.json", "table.json", "table.md", "table.png"),
        *("times.json", "times.md"),
    ]


def test_times_are_told_where_nothing_is_compared(undisturbed):
    folder, tuning = undisturbed
    assert all(trial.seconds > 0 for trial in tuning.trials)
    times = json.loads((folder / "times.json").read_text())
    assert sorted(time["seconds"] for time in times.values()) == sorted(
        trial.seconds for trial in tuning.trials
    )
    text = (folder / "times.md").read_text()
    assert text.splitlines()[0].endswith("| deviation | time (s) |")
    assert "- Training time: " in text
    assert text == tuning.markdown()
    for name, data in content(folder).items():
        assert b"seconds" not in data, name
        assert b"time" not in data or name.endswith(".png"), name


def test_a_combination_is_the_cross_validation_with_its_arguments(undisturbed, samples, tmp_path):
    _, tuning = undisturbed
    plain = samples.table.drop_columns(["satimnet:source"])  # so there is one training set
    for trial in tuning.trials[:2]:
        table = crossvalidate(
            replace(samples, table=plain), ["class"], tmp_path / str(id(trial)), folds=2,
            bands=list(trial.values["bands"]), learning_rate=trial.values["learning_rate"],
            width=4, epochs=1, batch_size=8, **COMMON,
        )  # fmt: skip
        assert table.rows[0].accuracies == trial.folds


def planted(folder, band, count=12):
    """A catalog of noise in 13 bands, of which one has another mean for each class."""
    made, generator = make_samples(count), np.random.default_rng(1)
    for one in made:
        mean = 10_000 + 20_000 * CLASSES.index(one["class"])
        pixels = generator.normal(mean, 3_000, (SIDE, SIDE)).clip(0, 65_535)
        one["multispectral"][..., BANDS.index(band)] = pixels
    return open_samples(write_catalog(folder, made)).search()


@pytest.mark.parametrize("tried", [["B09", "B11"], pytest.param(BANDS, marks=pytest.mark.slow)])
def test_the_band_that_alone_carries_the_class_ends_on_top(tmp_path, tried):
    grid = Grid(
        {"bands": [[band] for band in tried], "width": [8], "epochs": [32], "batch_size": [8]},
        folds=2,
    )
    tuning = tune(planted(tmp_path / "catalog", "B11", 24), grid, tmp_path / "out", **COMMON)
    assert tuning.best.values["bands"] == ("B11",)
    # A third is chance. After 16 epochs it depends on the machine whether a fold has learned it.
    assert tuning.best.mean > 0.6
    assert tuning.trials[1].mean < tuning.best.mean - 0.2


def test_dual_is_ranked_by_its_masks(samples, tmp_path):
    values = {"dropout": [0.1, 0.4], "width": [4], "epochs": [1], "batch_size": [256]}
    grid = Grid(values, model="dual", folds=2)
    tuning = tune(samples, grid, tmp_path / "out", windows_per_epoch=1000, **COMMON)
    for trial in tuning.trials:
        assert list(trial.accuracies) == ["mask", "class"]
        assert trial.folds == trial.accuracies["mask"]
    assert dict(tuning.facts())["Network"] == "CNN-dual, ranked by its masks"


def test_a_combination_that_runs_away_is_a_row_and_not_the_end(samples, tmp_path):
    values = {"learning_rate": [1e30, 0.01], "schedule": ["constant"], **SMALL, "epochs": [3]}
    tuning = tune(samples, Grid(values, folds=2), tmp_path / "out", **COMMON)
    best, failed = tuning.trials
    assert best.values["learning_rate"] == 0.01
    assert failed.failed.startswith("the loss of epoch")
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| 2 | 1e+30 | failed |  |" in text
    assert "- Failed, learning rate 1e+30: the loss of epoch" in text
    before = content(tmp_path / "out")
    tune(samples, Grid(values, folds=2), tmp_path / "out", **COMMON)
    assert content(tmp_path / "out") == before
    none = Grid(values | {"learning_rate": [1e30]}, folds=2)  # all fail: the table says why
    tuning = tune(samples, none, tmp_path / "out", **COMMON)
    assert tuning.best.failed
    assert "| 1 | failed |  |" in (tmp_path / "out" / "table.md").read_text()


def test_folds_of_the_items_are_put_together(samples):
    assert _dealt(samples, 2, 0).tolist() == [k % 2 for k in range(8)] * 3
    place = samples.table.column_names.index("satimnet:fold")
    written = pa.array([10 + 5 * (k % 4) for k in range(24)])
    four = replace(samples, table=samples.table.set_column(place, "satimnet:fold", written))
    assert _dealt(four, 3, 0).tolist() == [0, 1, 2, 0] * 6
    with pytest.raises(ArgumentError, match="folds 5: the Items are of 4 folds"):
        _dealt(four, 5, 0)


def test_ties_are_in_the_order_of_the_grid():
    grid = Grid({"width": [2, 4]})
    trials = [Trial({"width": width}, {"class": (0.5, 0.5)}) for width in (2, 4)]
    tuning = Tuning(grid, tuple(trials), {"a": 3}, None, "abc", {"seed": 0})
    assert [cells[:2] for cells in tuning.cells()] == [("1", "2"), ("2", "4")]
    assert [cells[-1] for cells in tuning.cells(times=True)] == ["?", "?"]


# --- killed, and told again -----------------------------------------------------------------------


class Stop(Exception):
    """A kill, in the same process."""


@pytest.mark.parametrize("after", [1, 3])
def test_a_search_that_was_stopped_goes_on_to_the_same_bytes(undisturbed, samples, tmp_path, after):
    out, seen = tmp_path / "out", []

    def stop(trial):
        seen.append(trial)
        if len(seen) == after:
            raise Stop

    loud = COMMON | {"quiet": False}
    with pytest.raises(Stop):
        tune(samples, GRID, out, on_trial=stop, **loud)
    finished = {path: path.stat().st_mtime_ns for path in (out / "combinations").iterdir()}
    assert len(finished) == after
    assert not (out / "table.json").exists()
    signs = []
    tune(
        samples, GRID, out, on_trial=seen.append, progress=lambda *sign: signs.append(sign), **loud
    )
    assert len(seen) == 4
    told = [sign for sign in signs if sign[0] == "Tuning"]
    assert told == [("Tuning", done, 4, "combinations") for done in range(after, 5)]
    assert (
        finished.items()
        <= {path: path.stat().st_mtime_ns for path in (out / "combinations").iterdir()}.items()
    )
    assert content(out) == content(undisturbed[0])
    assert len(json.loads((out / "times.json").read_text())) == 4


def test_stopped_between_folds_a_combination_goes_on(undisturbed, samples, tmp_path, monkeypatch):
    out, kept = tmp_path / "out", crossvalidation.write_text

    def stop(path, text):
        kept(path, text)
        raise Stop

    monkeypatch.setattr(crossvalidation, "write_text", stop)
    with pytest.raises(Stop):
        tune(samples, GRID, out, **COMMON)
    monkeypatch.undo()
    assert len(list(out.rglob("fold-0.pt"))) == 1
    assert not (out / "search.json").exists()
    trained = []

    def note(task, folder, **how):
        trained.append(task.file(folder).exists())
        return train_and_test(task, folder, **how)

    train_and_test = crossvalidation.train_and_test
    monkeypatch.setattr("satimnet.training.networks.tuning.train_and_test", note)
    tune(samples, GRID, out, **COMMON)
    assert trained == [True, *[False] * 7]
    assert content(out) == content(undisturbed[0])


def test_more_values_go_on_where_fewer_were(undisturbed, samples, tmp_path):
    out = tmp_path / "out"
    one = replace(GRID, values=GRID.values | {"bands": [["B04"]]})
    tune(samples, one, out, **COMMON)
    new = []
    tune(samples, GRID, out, on_trial=new.append, **COMMON | {"quiet": False})
    assert {trial.values["bands"] for trial in new} == {("B02", "B03")}
    assert content(out) == content(undisturbed[0])


def test_another_search_or_a_damaged_file_is_refused(undisturbed, samples, tmp_path):
    folder, _ = undisturbed
    before = content(folder)
    with pytest.raises(ArgumentError, match=r"holds another search \(seed 0, not 1\)"):
        tune(samples, GRID, folder, seed=1, **COMMON)
    with pytest.raises(ArgumentError, match="other samples, or other folds"):
        tune(samples.subset(np.arange(20)), GRID, folder, **COMMON)
    busy = pytest.raises(SatimnetError, match=r"table\.json: another run is writing it")
    with lock(folder / "table.json"), busy:
        tune(samples, GRID, folder, **COMMON)
    assert content(folder) == before
    damaged = sorted((folder / "combinations").iterdir())[0]
    for text in (b"{}", b"", b'{"accuracies": {"class": [1]}, "failed": null}'):
        damaged.write_bytes(text)
        with pytest.raises(BadCatalogError, match=f"{damaged.name}: damaged; remove it"):
            tune(samples, GRID, folder, **COMMON)
    damaged.unlink()
    tune(samples, GRID, folder, **COMMON)
    assert content(folder) == before


def test_the_table_of_a_cross_validation_is_left_alone(samples, tmp_path):
    (tmp_path / "table.json").write_text("{}")
    with pytest.raises(ArgumentError, match=r"holds a table that is no search's; choose another"):
        tune(samples, GRID, tmp_path, **COMMON)
    assert content(tmp_path) == {"table.json": b"{}"}


# --- the command ----------------------------------------------------------------------------------

HOW = ("--width", 4, "--epochs", 1, "--batch-size", 8, "--device", "cpu", "--folds", 2)


def test_the_command_prints_the_table_and_writes_it(fused, undisturbed, tmp_path):
    grid = ("--bands", "B02,B03; B04", "--learning-rate", "0.01,0.001")
    result = run("tune", fused, *grid, *HOW, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert content(tmp_path / "out") == content(undisturbed[0])
    assert "time (s)" in result.stdout
    assert result.stdout.count("B02,B03") == 2
    assert result.stderr.count("deviation") == 4
    again = run("tune", fused, *grid, *HOW, "--out", tmp_path / "out")
    assert again.stdout == result.stdout
    assert again.stderr == ""


def test_a_grid_of_a_file_and_options_over_it(fused, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'title = "Mine"\nsource = "a letter"\nfolds = 2\n[values]\nbands = [["B02"], ["B77"]]\n'
        "width = [4]\nepochs = [1]\nbatch_size = [8]\ndropout = [0.1, 0.5]\n"
    )
    out = ("--device", "cpu", "--out", tmp_path / "out")
    result = run("tune", fused, "--grid", path, "--bands", "B02;B03", "--quiet", *out)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    text = (tmp_path / "out" / "table.md").read_text()
    assert text.startswith("# Mine\n\n|  | bands | dropout | mean % | deviation |")
    assert "- Grid: Mine; a letter" in text
    assert text.count("| B0") == 4


def test_bad_input_is_one_line_and_leaves_nothing(fused, tmp_path):
    out = ("--out", tmp_path / "out")
    (tmp_path / "bad.toml").write_text("[values]\nbands = []\n")
    (tmp_path / "file").touch()
    bands = ("--bands", "B02;B03")
    many = ("--width", ",".join(map(str, range(2, 60))))
    cases = {
        (*HOW, *out, "--bands", "B02;B77"): "no image has the bands B77; there are",
        (*HOW, *out, "--bands", "B02;"): "--bands ['']: give lists of names",
        (*HOW, *out): "no image has the bands B02, B03, B04, B08",
        (*bands, *out, "--folds", 1): "--folds 1: must be 2 or more",
        (*bands, *out, "--folds", 3): "--folds 3: the Items are of 2 folds",
        (*bands, *out, *many): "116 combinations, over the limit of 100; give fewer values, or "
        "set --max-combinations to more",
        (*HOW, *bands, *out, "--learning-rate", "0"): "--learning-rate 0: must be a number above 0",
        (*HOW, *bands, *out, "--dropout", "1"): "--dropout 1: must be 0 or more",
        (*HOW, *bands, *out, "--schedule", "slow"): "--schedule slow: there are one-cycle",
        (*HOW, *bands, *out, "--windows", 10): "CNN-class learns whole patches",
        (*bands, *out, "--scheduler", "tcp://127.0.0.1:1", "--devices", 2): "--devices 2: a worker",
        (*out, "--grid", "papers"): "papers: no grid; name a .toml file, or one of these: paper",
        (*out, "--grid", tmp_path / "bad.toml"): "bad.toml: bands: the list is empty",
        (*HOW, *bands, "--out", tmp_path / "file" / "x"): "cannot be written there",
    }  # fmt: skip
    for arguments, message in cases.items():
        result = run("tune", fused, *arguments)
        assert result.exit_code == 1, (arguments, result.output)
        assert message in result.stderr, (arguments, result.stderr)
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1, result.stderr
    for arguments, message in {
        out: "nothing to try: give --bands",
        (*bands, *out, "--width", "4,x"): "'x' is not a valid integer",
        (*bands, *out, "--scheduler", "processes"): "--scheduler is threads, direct or an address",
    }.items():
        result = run("tune", fused, *arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert message in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.toml", "file"]


def test_a_cluster_that_does_not_answer_is_one_line(fused, tmp_path, monkeypatch):
    monkeypatch.setattr("satimnet.builder.storage.parallel._SECONDS_TO_ANSWER", 0.2)
    how = ("--bands", "B02;B03", *HOW, "--scheduler", "tcp://127.0.0.1:9")
    result = run("tune", fused, *how, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: tcp://127.0.0.1:9: no dask scheduler answers there")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_only_a_training_finds_leaves_nothing_either(tmp_path):
    catalog = write_masked_catalog(tmp_path / "catalog", make_patches(4, side=32))
    result = run("tune", catalog, "--bands", "B02;B03", *HOW, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "64 x 64" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["catalog"]


# --- real kills, a cluster, real samples ----------------------------------------------------------


KILLING = """
import os, signal, sys
from satimnet.cli.group import satimnet

folder, left = sys.argv[1], int(sys.argv[2])

def watch(event, arguments):
    global left
    if event == "os.rename" and f"/{folder}/" in str(arguments[1]):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
satimnet(sys.argv[3:])
"""


def killed_and_resumed(arguments, out, *kills):
    """Runs a command until it ends well, and how many combinations are done each time it ended.

    kills: it kills itself just before so many files have got their names in a folder of that name,
    so that no kill comes too late on a fast machine.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for folder, count in (*kills, ("none", 1)):
        command = [sys.executable, "-c", KILLING, folder, str(count), *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == (0 if folder == "none" else -signal.SIGKILL), done.stderr
        assert (out / "table.json").exists() == (folder == "none")
        yield len(list(out.glob("combinations/*.json")))


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_bytes(fused, undisturbed, tmp_path):
    out = tmp_path / "out"
    grid = ("--bands", "B02,B03;B04", "--learning-rate", "0.01,0.001", "--save-seconds", 0)
    command = ("tune", fused, *grid, *HOW, "--quiet", "--out", out)
    kills = ("unfinished", 3), ("combinations", 2), ("unfinished", 5)
    assert list(killed_and_resumed(command, out, *kills)) == [0, 1, 2, 4]
    assert content(out) == content(undisturbed[0])


@pytest.mark.slow
def test_on_a_cluster_it_is_the_same(fused, undisturbed, samples, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="tcp://127.0.0.1",
        dashboard_address="127.0.0.1:0",
        local_directory=str(tmp_path / "workers"),
    ) as cluster:
        address = cluster.scheduler_address
        new, loud = [], COMMON | {"quiet": False}
        tune(samples, GRID, tmp_path / "out", scheduler=address, on_trial=new.append, **loud)
        assert len(new) == 4
        assert content(tmp_path / "out") == content(undisturbed[0])
        # what only the training finds comes back in one line
        side = open_samples(write_masked_catalog(tmp_path / "small", make_patches(4, side=32)))
        with pytest.raises(SatimnetError, match="64 x 64"):
            tune(side.search(), GRID, tmp_path / "none", scheduler=address, **COMMON)
        assert not (tmp_path / "none").exists()
        next((tmp_path / "out" / "combinations").iterdir()).unlink()
        tune(samples, GRID, tmp_path / "out", **COMMON)  # begun there, ended here
        assert content(tmp_path / "out") == content(undisturbed[0])


@pytest.mark.real
def test_real_patches_killed_and_resumed(real_catalog, tmp_path):
    """Eight combinations on 180 of EuroSAT's RGB patches, by a network of 4 filters, 1 epoch."""
    grid = ("--bands", "red,green,blue;red;green;blue", "--learning-rate", "0.01,0.001")
    how = ("--limit", 180, "--width", 4, "--epochs", 1, "--batch-size", 20, "--folds", 3)
    words = ("tune", real_catalog, *grid, *how, "--device", "cpu", "--quiet", "--out")
    done = run(*words, tmp_path / "undisturbed")
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "undisturbed" / "table.json").read_text())["combinations"]
    assert len(rows) == 8
    assert all(len(row["accuracies"]["class"]) == 3 for row in rows)
    out = tmp_path / "killed"
    kills = ("combinations", 3), ("unfinished", 2)
    assert list(killed_and_resumed((*words, out), out, *kills)) == [2, 3, 8]
    assert content(out) == content(tmp_path / "undisturbed")
