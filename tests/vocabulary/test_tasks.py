"""Tasks: one table, and what the extension, exports, records and searches make of it."""

import json
import re
import shutil
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.dataset_record import DatasetRecord
from satimnet.builder.datasets import installed
from satimnet.builder.errors import BadFileError, BadQueryError
from satimnet.builder.exports import export
from satimnet.builder.pipeline import build
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import count, search
from satimnet.builder.vocabulary.tasks import TASKS, task_of, tasks_in
from satimnet.cli.group import satimnet
from satimnet.extension import _types, schema
from satimnet.training import open_samples
from stactools.dota.miniature import write_miniature as write_dota
from stactools.eurosat.miniature import write_miniature as write_eurosat

README = Path(__file__).parents[2] / "extensions" / "README.md"
SCHEMAS = Path(__file__).parents[3] / "shared" / "schemas"
NAMES = [task.name for task in TASKS]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Path:
    top = tmp_path_factory.mktemp("tasks")
    sources = [*write_dota(top / "dota"), *write_eurosat(top / "eurosat", 1, bands=False)]
    build(sources, top / "catalog", overview=False)
    return top / "catalog"


def older(catalog: Path, folder: Path) -> Path:
    """The catalog as it was before there were tasks."""
    copy = Path(shutil.copytree(catalog, folder / "older"))
    for path in copy.glob("*/collection.json"):
        document = json.loads(path.read_bytes())
        del document["satimnet:tasks"]
        path.write_text(json.dumps(document))
    return copy


def test_the_extension_has_the_same_names():
    fields = schema()["definitions"]["collection_fields"]["properties"]
    assert fields["satimnet:tasks"]["items"]["enum"] == NAMES == list(get_args(_types.Task))


def test_the_specification_has_the_same_table():
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", README.read_text("utf-8"), re.MULTILINE)
    table = {name: rest.split(" | ") for name, rest in rows if name in NAMES}
    assert table == {
        task.name: [
            ", ".join(task.problems) or "-",
            task.label,
            task.mlm,
            task.trainingdml or "-",
        ]
        for task in TASKS
    }


def test_names_are_those_of_stacs_schemas():
    path = SCHEMAS / "extensions" / "mlm.json"
    if not path.is_file():
        pytest.skip("needs the schemas in ../shared/schemas")
    listed = json.loads(path.read_bytes())["$defs"]["mlm:tasks"]["items"]["enum"]
    assert {task.mlm for task in TASKS} <= set(listed)
    assert {task.label for task in TASKS} == {
        "regression",
        "classification",
        "detection",
        "segmentation",
    }


def test_the_papers_words_mean_tasks():
    problems = get_args(_types.ClassificationProblem)
    assert sorted(problems) == sorted(word for task in TASKS for word in task.problems)
    assert [t.name for t in tasks_in({"satimnet:classification_problem": list(problems)})] == [
        "object-detection",
        "semantic-segmentation",
        "scene-classification",
    ]


@pytest.mark.parametrize(
    "junk", [None, "object-detection", [7], ["new-task"], {"a": 1}, [], [None, ["x"]]]
)
def test_words_that_are_none_of_ours_say_nothing(junk):
    assert tasks_in({"satimnet:tasks": junk}) == ()
    assert tasks_in({"satimnet:classification_problem": junk}) == ()


@pytest.mark.parametrize("name", sorted(installed()))
def test_every_dataset_says_what_it_is_for(name):
    record = installed()[name].record
    stated = tasks_in(record.attributes)
    assert [task.name for task in stated] == record.attributes["satimnet:tasks"]
    whole = {task.of_whole_images for task in stated}
    problems = record.attributes["satimnet:classification_problem"]
    assert whole == {problem.startswith("patch-based") for problem in problems}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["sematic-segmentation"], "no task 'sematic-segmentation'; did you mean semantic-"),
        (["object-detection", "detektion"], "'detektion'; did you mean"),
        (["zzz"], "there are object-detection, semantic-segmentation"),
        (["object detection"], "did you mean object-detection?"),
        ("object-detection", "satimnet:tasks must be a list of texts"),
        ([7], "satimnet:tasks must be a list of texts"),
    ],
)
def test_a_misspelt_task_of_a_record_is_refused(given, said):
    content = dict(installed()["dota"].record.content)
    content["collection"] = {**content["collection"], "satimnet:tasks": given}
    with pytest.raises(BadFileError, match=re.escape(said)) as error:
        DatasetRecord.of(content, "mine.toml")
    assert str(error.value).startswith("mine.toml: collection.satimnet:tasks")
    assert "\n" not in str(error.value)


def test_search_finds_by_task(catalog, tmp_path):
    everything = count(catalog)
    for place in (catalog, older(catalog, tmp_path)):
        assert {i["collection"] for i in search(place, task="object-detection")} == {"dota"}
        assert {i["collection"] for i in search(place, task=["scene-classification"])} == {
            "eurosat"
        }
        assert count(place, task=["object-detection", "scene-classification"]) == everything
        assert count(place, task="regression") == count(place, task=[]) == 0
        assert count(place, task="object-detection", collections=["eurosat"]) == 0
        assert count(place, task="object-detection", classes="ship") == count(place, classes="ship")
    assert len(open_samples(catalog).search(task="object-detection")) == count(
        catalog, collections="dota"
    )
    with pytest.raises(BadQueryError, match="did you mean object-detection"):
        search(catalog, task="objectdetection")


def test_the_command_finds_by_task_and_says_tasks(catalog):
    def run(*words: str) -> str:
        return CliRunner().invoke(satimnet, [str(word) for word in words]).output

    assert run("search", catalog, "--task", "object-detection", "--count") == "10\n"
    assert "did you mean regression?" in run("search", catalog, "--task", "regresion")
    said = run("info", catalog)
    assert "for: object-detection\n" in said
    assert "for: scene-classification\n" in said


def test_trainingdml_and_croissant_name_the_task(catalog, tmp_path):
    for number, place in enumerate((catalog, older(catalog, tmp_path))):
        for path in export(Index(place), "trainingdml", tmp_path / str(number)):
            document = json.loads(path.read_bytes())
            wanted = {"DOTA": "Object Detection", "EuroSAT": "Scene Classification"}
            assert [task["taskType"] for task in document["tasks"]] == [wanted[document["name"]]]
    (path,) = export(Index(catalog), "croissant", tmp_path, collections=["dota"])
    assert "object-detection" in json.loads(path.read_bytes())["rai:dataUseCases"]


def test_a_collection_has_tasks():
    document = json.loads((README.parent / "examples" / "collection.json").read_text("utf-8"))
    assert CollectionDocument.of(document, "x").tasks == (task_of("scene-classification"),)
