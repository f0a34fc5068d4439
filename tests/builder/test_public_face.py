"""The public face of satimnet 0.1.0: every name, parameter, command and option is still there.

The lists were taken from 0.1.0 itself. They only grow: with the next release, by what it adds.
"""

import inspect
from importlib import import_module

import click
import pytest
from stactools.cli.cli import cli

NAMES = {
    "satimnet.builder": """
        BadFileError SatimnetError build gdal_path open open_asset read_bytes resolve search
        validate
    """,
    "satimnet.training": """
        Batch Catalog Checkpoint CnnClass CnnDual CnnSegm Evaluation Fused Maps Recipe Samples Table
        crossvalidate evaluate find_mask fuse held_out keras_parameter_count load map_scene
        MapFigure map_scenes open_samples read_recipe train write_report
    """,
    "satimnet.extension": """
        AssetSatimnetExtension CollectionSatimnetExtension HOOKS ItemAssetSatimnetExtension
        ItemSatimnetExtension PREFIX SCHEMA_URI SatimnetExtension SummariesSatimnetExtension schema
    """,
    "satimnet.builder.sources": """
        Entry MAX_FILE_SIZE Reader Source
    """,
    "satimnet.builder.samples": """
        Made Member Object Problem SPLITS Sample Scan
    """,
    "satimnet.builder.datasets": """
        Dataset Scan installed miniatures recognise
    """,
    "satimnet.builder.stac": """
        create_collection create_item
    """,
    "satimnet.builder.commands": """
        dataset_command one_line_errors
    """,
    "satimnet.builder.errors": """
        BadFileError SatimnetError printable
    """,
}
"""Modules and their public names."""

PARAMETERS = {
    "satimnet.builder.build": """
        sources out assigned datasets scheduler shard_size bad_files items progress
    """,
    "satimnet.builder.gdal_path": """
        asset member
    """,
    "satimnet.builder.open": """
        href
    """,
    "satimnet.builder.open_asset": """
        asset member
    """,
    "satimnet.builder.read_bytes": """
        asset member
    """,
    "satimnet.builder.resolve": """
        found
    """,
    "satimnet.builder.search": """
        catalog collections ids bbox intersects datetime filter classes all_classes concept split q
        sortby fields limit
    """,
    "satimnet.builder.validate": """
        catalog schemas checksums progress
    """,
    "satimnet.training.crossvalidate": """
        samples models out folds only seed device how
    """,
    "satimnet.training.evaluate": """
        checkpoint samples device
    """,
    "satimnet.training.find_mask": """
        samples
    """,
    "satimnet.training.fuse": """
        recipe catalog out layers available scheduler shard_size bad_files progress
    """,
    "satimnet.training.held_out": """
        checkpoint
    """,
    "satimnet.training.keras_parameter_count": """
        model
    """,
    "satimnet.training.load": """
        path device kinds bands
    """,
    "satimnet.training.map_scene": """
        path checkpoint out within bands offset sensed device picture progress
    """,
    "satimnet.training.map_scenes": """
        paths checkpoints out within outputs bands offset sensed device picture progress
    """,
    "satimnet.training.open_samples": """
        href
    """,
    "satimnet.training.read_recipe": """
        recipe
    """,
    "satimnet.training.train": """
        samples held_out out model bands width epochs batch_size learning_rate schedule windows
        windows_per_epoch seed device devices save_seconds quiet
    """,
    "satimnet.training.write_report": """
        evaluations checkpoint out samples
    """,
    "satimnet.builder.datasets.recognise": """
        paths datasets indexes
    """,
    "satimnet.builder.stac.create_collection": """
        dataset
    """,
    "satimnet.builder.stac.create_item": """
        dataset hrefs
    """,
    "satimnet.builder.commands.dataset_command": """
        cli dataset
    """,
    "satimnet.builder.commands.one_line_errors": """
        command
    """,
    "satimnet.builder.errors.printable": """
        text
    """,
}
"""Functions and their parameters."""

COMMANDS = {
    "eurosat create-collection": """
        DESTINATION --debug
    """,
    "eurosat create-item": """
        SOURCES DESTINATION --debug
    """,
    "satimnet demo": """
        FOLDER --schemas --quiet -q --debug
    """,
    "satimnet download": """
        DATASET --out --list --quiet -q --debug
    """,
    "satimnet build": """
        SOURCES --out --dataset --scheduler --shard-size --items --strict --keep-going --quiet -q
        --debug
    """,
    "satimnet validate": """
        CATALOG --checksums --schemas --quiet -q --debug
    """,
    "satimnet info": """
        CATALOG --attributes --format --debug
    """,
    "satimnet concepts": """
        TERM --catalog --format --debug
    """,
    "satimnet search": """
        CATALOG --collection --id --bbox --datetime --filter --class --all-classes --concept --split
        --text --sortby --limit --count --facets --format --out --save --copy --quiet -q --debug
    """,
    "satimnet serve": """
        CATALOG --port --host --quiet -q --debug
    """,
    "satimnet browser": """
        --out --catalog --quiet -q --debug
    """,
    "satimnet quality": """
        CATALOG --out --fail-on --compare --bands --offset --scheduler --quiet -q --debug
    """,
    "satimnet copy": """
        CATALOG DESTINATION --collection --quiet -q --debug
    """,
    "satimnet export": """
        CATALOG --format --collection --out --quiet -q --debug
    """,
    "satimnet new-dataset": """
        NAME FOLDER --debug
    """,
    "satimnet fuse": """
        RECIPE CATALOG --out --layer --without-masks --available --scheduler --keep-going --quiet -q
        --debug
    """,
    "satimnet train": """
        CATALOG --model --collection --filter --limit --bands --width --epochs --batch-size
        --learning-rate --schedule --windows --windows-per-epoch --seed --device --devices
        --save-seconds --holdout --split-by --out --quiet -q --debug
    """,
    "satimnet crossvalidate": """
        CATALOG --models --collection --filter --limit --bands --width --epochs --batch-size
        --learning-rate --schedule --windows --windows-per-epoch --seed --device --devices
        --save-seconds --folds --only-folds --out --quiet -q --debug
    """,
    "satimnet evaluate": """
        CATALOG --checkpoint --collection --split --filter --device --out --debug
    """,
    "satimnet picture": """
        CATALOG --checkpoint --collection --split --filter --count --seed --out --debug
    """,
    "satimnet map": """
        SCENE --checkpoint --within --bands --offset --datetime --outputs --device
        --picture --no-picture --out --quiet -q --debug
    """,
}
"""Commands of stac, their arguments and options."""


@pytest.mark.parametrize("module", NAMES)
def test_names(module):
    there = import_module(module)
    for name in NAMES[module].split():
        assert hasattr(there, name), f"{module}.{name}"
        if hasattr(there, "__all__"):
            assert name in dir(there)


@pytest.mark.parametrize("function", PARAMETERS)
def test_parameters(function):
    module, _, name = function.rpartition(".")
    there = list(inspect.signature(getattr(import_module(module), name)).parameters)
    known = PARAMETERS[function].split()
    assert set(known) <= set(there)
    assert [parameter for parameter in there if parameter in known] == known


def test_commands_and_options():
    for words, options in COMMANDS.items():
        command: click.Command = cli
        for word in words.split():
            assert isinstance(command, click.Group)
            assert word in command.commands, words
            command = command.commands[word]
        there = {"--help"}
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                there.update(parameter.opts + parameter.secondary_opts)
            else:
                there.add(parameter.make_metavar(click.Context(command)).strip("[]."))
        missing = [option for option in options.split() if option not in there]
        assert missing == [], f"stac {words}"
