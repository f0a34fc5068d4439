"""A catalog is split so that nothing is on two sides, and everything uses the split by its name."""

from __future__ import annotations

import doctest
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import planted
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from places import RECIPE
from published import home_of

from satimnet.builder import build, search, split
from satimnet.builder.errors import ArgumentError, BadCatalogError, NotFoundError, SatimnetError
from satimnet.builder.exports import export
from satimnet.builder.publishing.split_tables import split_links
from satimnet.builder.quality import assess
from satimnet.builder.query.index import Index
from satimnet.builder.splitting import dividing
from satimnet.cli.group import satimnet
from satimnet.training import fuse, open_samples, read_recipe

LEAKS = ("duplicate-across-splits", "near-duplicate-across-splits", "overlap-across-splits")


@pytest.fixture(scope="module")
def leaking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog whose own splits leak in every way; read-only."""
    folder = tmp_path_factory.mktemp("leaking")
    assigned = planted.write_source(folder / "source", faults=True)
    build([], folder / "catalog", assigned=assigned, overview=False)
    return folder / "catalog"


@pytest.fixture
def own(leaking: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(leaking, tmp_path / "catalog")
    return tmp_path / "catalog"


def leaks(catalog: Path, out: Path, splits: str | None = None) -> Counter[str]:
    report = assess(catalog, out, splits=splits)
    return Counter(one.check for one in report.findings if one.check in LEAKS)


def splits_of(catalog: Path, name: str | None = None) -> dict[tuple[str, str], str | None]:
    return {
        (item["collection"], item["id"]): item["properties"].get("satimnet:split")
        for item in search(catalog, splits=name)
    }


def run(*words: object) -> str:
    done = CliRunner().invoke(satimnet, list(map(str, words)))
    assert done.exit_code == 0, done.output
    return done.output


def test_what_leaked_does_no_more_and_the_publishers_split_stays(own: Path, tmp_path: Path) -> None:
    before = splits_of(own)
    assert leaks(own, tmp_path / "before") == dict.fromkeys(LEAKS, 1)
    made = split(own, shares=[0.6, 0.2, 0.2], name="mine")
    assert leaks(own, tmp_path / "after", "mine") == {}
    assert made.joined["duplicates"] == 6
    assert made.joined["overlaps"] + (made.groups < len(before) - 6) >= 1
    assert splits_of(own) == before
    mine = splits_of(own, "mine")
    assert mine.keys() == before.keys()
    assert Counter(mine.values()) == made.parts
    assert abs(made.parts["train"] / len(mine) - 0.6) < 0.03
    for name in ("eurosat", "dota"):  # each collection has its share, too
        kinds = Counter(split for (home, _), split in mine.items() if home == name)
        assert abs(kinds["train"] / kinds.total() - 0.6) < 0.06


def test_without_looking_at_images_it_may_leak(own: Path, tmp_path: Path) -> None:
    """That the test above can fail: splits by themselves do not keep duplicates together."""
    found: Counter[str] = Counter()
    for seed in range(4):
        split(own, images=False, overlaps=False, by="scene", name="blind", seed=seed)
        found += leaks(own, tmp_path / "blind", "blind")
    assert found["duplicate-across-splits"]
    assert found["near-duplicate-across-splits"]


def test_a_report_tells_what_shows_the_same(own: Path, tmp_path: Path) -> None:
    assess(own, tmp_path / "report")
    looked, told = split(own, name="a"), split(own, name="b", quality=tmp_path / "report")
    assert splits_of(own, "a") == splits_of(own, "b")
    assert told.joined == looked.joined
    only = split(own, name="c", quality=tmp_path / "report", collections="dota")
    assert sum(only.parts.values()) == 19
    (tmp_path / "report/findings.ndjson").write_text(
        '{"check": "duplicate", "items": [{"collection": "dota", "id": "P9999"}]}\n'
    )
    with pytest.raises(BadCatalogError, match="names dota/P9999, which the catalog has not"):
        split(own, quality=tmp_path / "report")
    (tmp_path / "report/findings.ndjson").write_text("[]\n")
    with pytest.raises(BadCatalogError, match="line 1 is no finding"):
        split(own, quality=tmp_path / "report")
    with pytest.raises(NotFoundError, match="no report of satimnet quality"):
        split(own, quality=tmp_path / "nowhere")


def test_folds(own: Path) -> None:
    made = split(own, folds=4, images=False, name="folds")
    assert list(made.parts) == [f"fold {k}" for k in range(4)]
    assert max(made.parts.values()) - min(made.parts.values()) <= 2
    samples = open_samples(own, splits="folds").search(collections="eurosat")
    folds = samples.table["satimnet:fold"].to_pylist()
    assert set(folds) == {0, 1, 2, 3}
    assert samples.splits == ["train" if fold else "test" for fold in folds]
    found = search(own, splits="folds", filter='"satimnet:fold" = 2')
    assert len(found) == made.parts["fold 2"]
    assert {item["properties"]["satimnet:fold"] for item in found} == {2}


def test_the_same_seed_makes_the_same_table_and_another_one_another(own: Path) -> None:
    options = {"images": False, "name": "x", "size": 2000.0}
    one, same = split(own, seed=1, **options), split(own, seed=1, **options)
    assert one.link == same.link
    other = split(own, seed=2, **options)
    assert other.link.digest != one.link.digest
    assert splits_of(own, one.link.cited) != splits_of(own, other.link.cited)
    assert splits_of(own, "x") == splits_of(own, other.link.cited)
    links = split_links(json.loads((own / "catalog.json").read_bytes()))
    assert [link.digest for link in links] == [one.link.digest, other.link.digest]


def test_everything_uses_it(own: Path, tmp_path: Path) -> None:
    made = split(own, images=False, name="mine", shares=[0.5, 0.5])
    mine = splits_of(own, "mine")
    tested = sum(where == "test" for where in mine.values())
    assert tested == made.parts["test"] != sum(v == "test" for v in splits_of(own).values())
    catalog = str(own)
    assert run("search", catalog, "--splits", "mine", "--split", "test", "--count") == f"{tested}\n"
    assert search(catalog, splits="mine").facets()["split"] == made.parts
    table = search(catalog, splits="mine", sortby="-id").table(
        ["collection", "id", "satimnet:split"]
    )
    assert {(r["collection"], r["id"]): r["satimnet:split"] for r in table.to_pylist()} == mine
    run("search", catalog, "--splits", "mine", "--save", tmp_path / "saved")
    assert splits_of(tmp_path / "saved") == mine
    run("export", catalog, "--splits", "mine", "--format", "trainingdml", "--out", tmp_path / "e")
    exported = json.loads((tmp_path / "e/eurosat.trainingdml.json").read_bytes())["data"]
    names = {"training": "train", "test": "test"}
    assert {("eurosat", one["id"]): names[one["trainingType"]] for one in exported} == {
        key: value for key, value in mine.items() if key[0] == "eurosat"
    }
    form = ("--format", "gdal-parquet", "--out", tmp_path / "e")
    run("export", catalog, "--splits", "mine", *form)
    rows = pq.read_table(tmp_path / "e/eurosat.gdal.parquet").to_pylist()
    assert all(row["satimnet:split"] == mine["eurosat", row["id"]] for row in rows)
    samples = open_samples(own, splits="mine").search(collections=["eurosat"])
    assert samples.splits == [mine["eurosat", id_] for id_ in samples.ids]


@pytest.mark.slow
def test_a_network_is_trained_and_tested_on_it(catalog: Path, tmp_path: Path) -> None:
    shutil.copytree(catalog, tmp_path / "catalog")
    made = split(tmp_path / "catalog", images=False, name="mine", shares=[0.75, 0.25])
    how = ("--bands", "B04,B08", "--epochs", 1, "--width", 2, "--device", "cpu", "-q")
    said = run(
        "train", tmp_path / "catalog", "--splits", "mine", "--out", tmp_path / "run", *how
    )  # fmt: skip
    parts = made.parts
    assert f"trained on {parts['train']}, held out {parts['test']} samples" in said


def test_what_was_derived_stays_with_its_origin(catalog: Path, tmp_path: Path) -> None:
    shutil.copytree(catalog, tmp_path / "catalog")
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("number = 3", "number = 4"))
    fuse(read_recipe(tmp_path / "recipe.toml"), tmp_path / "catalog", layers=None)
    made = split(tmp_path / "catalog", images=False, overlaps=False, by="scene", name="mine")
    assert made.joined["origins"] == 4
    mine = splits_of(tmp_path / "catalog", "mine")
    for (collection, id_), where in mine.items():
        if collection == "fused":
            assert where == mine["eurosat", id_.removeprefix("eurosat-")]


def test_chips_of_one_scene_stay_together(catalog: Path, tmp_path: Path) -> None:
    """Chips name the Item that they were cut of; here the miniature's Items stand for chips."""
    shutil.copytree(catalog, tmp_path / "catalog")
    home = home_of(tmp_path / "catalog")
    document = json.loads((home / "collection.json").read_bytes())
    document["links"].append({"rel": "derived_from", "href": "./collection.json"})
    (home / "collection.json").write_text(json.dumps(document))
    table = pq.read_table(home / "items.parquet")
    scenes = [f"P{row % 5}" for row in range(len(table))]
    table = table.append_column("satimnet:source", [["dota"] * len(table)])
    pq.write_table(table.append_column("chip:item", [scenes]), home / "items.parquet")
    made = split(tmp_path / "catalog", images=False, name="mine", shares=[0.6, 0.4])
    assert made.groups == 5
    found = search(tmp_path / "catalog", splits="mine").table(["chip:item", "satimnet:split"])
    assert len({tuple(row.values()) for row in found.to_pylist()}) == 5


def test_of_another_version_items_are_found_by_their_ids(own: Path, tmp_path: Path) -> None:
    split(own, images=False, name="mine")
    mine = splits_of(own, "mine")
    source = planted.write_source(tmp_path / "source", faults=True)
    for k in range(1, 4):
        next(tmp_path.glob(f"source/eurosat/2750/*/Pasture_{k}.jpg")).unlink()
    build([], own, assigned={"eurosat": source["eurosat"]}, overview=False)
    after = splits_of(own, "mine")  # a build keeps the split
    assert len(after) == len(mine) - 3
    assert after.items() <= mine.items()


def test_the_example_runs(catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(catalog, tmp_path / "catalog")
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder(recurse=False).find(
        dividing.split, "split", globs={"__name__": "split"}
    )
    assert doctest.DocTestRunner().run(example).failed == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--shares 0.7,0.7", "--shares 0.7,0.7: give two or three above 0 that sum up to 1"),
        ("--shares 1", "give two or three above 0"),
        ("--shares nan,0.5", "--shares is [nan, 0.5]; give a list"),
        ("--shares 0.5,0.5 --folds 3", "give --shares or --folds, not both"),
        ("--folds 500", "too few for 500 parts"),
        ("--folds 1", "--folds"),
        ("--size 10", "--size 10: give a length such as 10km"),
        ("--size 0m", "--size 0: give metres of a block's side"),
        ("--by time --days 0", "--days"),
        ("--by group", "--property go together"),
        ("--property gsd", "--property go together"),
        ("--by group --property nix", "--property nix: no collection has it as a plain value"),
        ("--by group --property satimnet:classes", "no collection has it as a plain value"),
        ("--name ../x", "--name '../x': give letters, digits"),
        ("--name .x", "give letters, digits"),
        ("--collection nix", "no collection nix; there are: dota, eurosat"),
        ("--at 1234", "no version 1234"),
        ("--by group --property constellation --collection eurosat", "in 1 group, too few for 3"),
    ],
)
def test_bad_input_gives_one_line_and_leaves_nothing(leaking: Path, words: str, said: str) -> None:
    before = sorted(leaking.rglob("*")), (leaking / "catalog.json").read_bytes()
    done = CliRunner().invoke(satimnet, ["split", str(leaking), "--no-images", *words.split()])
    assert done.exit_code != 0
    assert said in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("Error")]) == 1
    assert "Traceback" not in done.output
    assert (sorted(leaking.rglob("*")), (leaking / "catalog.json").read_bytes()) == before


def test_places_that_cannot_be_written(leaking: Path, tmp_path: Path, serve: Callable) -> None:
    with serve(leaking) as url, pytest.raises(SatimnetError, match="web server cannot be written"):
        split(url)
    with pytest.raises(SatimnetError, match="nothing is there"):
        split(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
    shutil.copytree(leaking, tmp_path / "other")
    root = json.loads((tmp_path / "other/catalog.json").read_bytes())
    (tmp_path / "other/catalog.json").write_text(json.dumps(root | {"id": "theirs"}))
    with pytest.raises(BadCatalogError, match="is no catalog of satimnet"):
        split(tmp_path / "other", images=False)
    assert not (tmp_path / "other/splits").exists()


def test_formats_without_a_line_for_an_item_refuse_a_split(own: Path, tmp_path: Path) -> None:
    split(own, images=False, name="mine")
    words = ["export", own, "--splits", "mine", "--format", "bibtex", "--out", tmp_path / "e"]
    done = CliRunner().invoke(satimnet, list(map(str, words)))
    assert done.exit_code == 1
    assert "--splits: the format bibtex describes files" in done.stderr
    index = Index(own, splits="mine")
    with pytest.raises(ArgumentError, match="says no split"):
        export(index, "croissant", tmp_path / "e")


def test_broken_items_give_one_line(own: Path) -> None:
    parquet = home_of(own) / "items.parquet"
    parquet.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(SatimnetError, match=r"items.parquet: "):
        split(own, images=False, collections="eurosat")
