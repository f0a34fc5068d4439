"""Records: typed, checked when they are loaded, and the mapping that they were in 0.1.0."""

import copy
import pickle
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from satimnet.builder.dataset_record import ClassEntry, DatasetRecord
from satimnet.builder.datasets import Dataset, installed
from satimnet.builder.errors import BadFileError
from stactools.eurosat import dataset

CONTENT = dataset.record.content


def test_every_installed_dataset_has_a_typed_record():
    for name, one in installed().items():
        assert one.record.id == name == one.record["id"]
        assert [e.row for e in one.record.classes] == one.record["classes"]
        assert [e.value for e in one.record.classes] == [r["value"] for r in one.record["classes"]]
        for key, asset in one.record.assets.items():
            table = one.record["assets"][key]
            assert asset.content == table
            assert [b.name for b in asset.bands or ()] == [
                b["name"] for b in table.get("bands", ())
            ]
            assert asset.shape == (tuple(table["shape"]) if "shape" in table else None)


def test_a_record_is_still_the_mapping_that_the_file_is():
    content = tomllib.loads(Path(dataset.record.file).read_text("utf-8"))
    assert dict(dataset.record) == content == {**dataset.record}
    assert dataset.record == content
    assert dataset.record["options"]["splits"].get("value") is None
    assert dataset.record.get("nothing") is None


def test_a_plain_mapping_becomes_a_record():
    made = Dataset({**dataset.record, "id": "second"}, dataset.scan_source)  # type: ignore[arg-type]  # as 0.1.0 took it
    assert isinstance(made.record, DatasetRecord)
    assert made.id == "second"
    assert replace(dataset, record=dataset.record.changed(title="T")).record.title == "T"


def test_records_travel_to_other_processes():
    assert pickle.loads(pickle.dumps(dataset.record)) == dataset.record


def test_the_choice_of_an_option_is_in_the_record():
    chosen = dataset.with_options({"splits": "kaggle"}).record
    assert chosen.options["splits"].value == "kaggle" == chosen["options"]["splits"]["value"]
    assert dataset.record.options["splits"].value is None


def spoilt(change):
    content = copy.deepcopy(dict(CONTENT))
    change(content)
    return content


BAD = {
    "id is missing": lambda c: c.pop("id"),
    "title must be a text": lambda c: c.update(title=3),
    "keywords must be a list of texts": lambda c: c.update(keywords=["a", 1]),
    "bbox must be a list of numbers": lambda c: c.update(bbox=["west"]),
    "classes[3].value must be a whole number": lambda c: c["classes"][3].update(value="4"),
    "classes[0].name is missing": lambda c: c["classes"][0].pop("name"),
    "classes[1].concept must be a text": lambda c: c["classes"][1].update(concept=1),
    "classes must be a list": lambda c: c.update(classes={}),
    "signature no regular expression": lambda c: c.update(signature="("),
    "assets is missing": lambda c: c.pop("assets"),
    "assets.rgb must be a table": lambda c: c["assets"].update(rgb=1),
    "assets.rgb.type is missing": lambda c: c["assets"]["rgb"].pop("type"),
    "assets.rgb.shape must be [rows, columns]": lambda c: c["assets"]["rgb"].update(shape=[64]),
    "assets.rgb.bands[0].name is missing": lambda c: c["assets"]["rgb"]["bands"][0].pop("name"),
    "options.splits.values is missing": lambda c: c["options"]["splits"].pop("values"),
    "downloads[0] must be a table": lambda c: c.update(downloads=["https://x"]),
    "providers is missing": lambda c: c.pop("providers"),
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_is_one_line_with_file_and_key(message):
    with pytest.raises(BadFileError, match=f"^a/dataset.toml: {re.escape(message)}") as caught:
        DatasetRecord.of(spoilt(BAD[message]), "a/dataset.toml")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_toml(tmp_path):
    path = tmp_path / "dataset.toml"
    for content in (b"id = ", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(BadFileError, match=r"dataset\.toml: no TOML") as caught:
            Dataset.load(path, dataset.scan_source)
        assert "\n" not in str(caught.value)


def test_keys_of_a_datasets_own_are_kept():
    record = DatasetRecord.of({**CONTENT, "regions": [1]}, "dataset.toml")
    assert record["regions"] == [1]


def test_a_row_alone():
    assert ClassEntry.of({"value": 0, "name": "none"}, "f").title is None
