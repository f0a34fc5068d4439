"""Messages of the library name arguments of Python; those of the command name options."""

import click
import pytest
from click.testing import CliRunner

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import ArgumentError, SatimnetError, WrongTypeError
from satimnet.cli.group import satimnet


def said(error: Exception) -> str:
    @click.command()
    @click.option("--image-size", "size")
    @click.option("--max-scene-size")
    @click.option("--learning-rate")
    @click.option("--limit")
    @click.option("--filter", "filter_")
    @click.option("--collection", "collections", multiple=True)
    @click.option("--crop")
    @click.option("--allow-outside", is_flag=True, expose_value=False)
    @click.option("--keep-going", is_flag=True)
    @one_line_errors
    def command(**_: object) -> None:
        raise error

    result = CliRunner().invoke(command, [])
    assert result.exit_code == 1
    return result.stderr.removeprefix("Error: ").removesuffix("\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ArgumentError("learning_rate 0: must be a number above 0", "learning_rate"),
            "--learning-rate 0: must be a number above 0",
        ),
        (
            ArgumentError("a.tif: too large; set max_scene_size to more", "max_scene_size"),
            "a.tif: too large; set --max-scene-size to more",
        ),
        (ArgumentError("limit -1: must be 0 or more", "limit"), "--limit -1: must be 0 or more"),
        (
            ArgumentError("no image of that size; choose another size", "size"),
            "no image of that size; choose another --image-size",
        ),
        (
            ArgumentError("too many; take fewer with limit or filter", "limit", "filter"),
            "too many; take fewer with --limit or --filter",
        ),
        (
            SatimnetError('they differ; choose one: collections=["eurosat"]'),
            "they differ; choose one: --collection eurosat",
        ),
        (
            ArgumentError("images of 256 x 256; give crop=(64, 64)", "crop"),
            "images of 256 x 256; give --crop 64x64",
        ),
        (
            SatimnetError("lies outside; if you trust it, say allow_outside=True"),
            "lies outside; if you trust it, say --allow-outside",
        ),
        (
            SatimnetError('broken; build with bad_files="any", or mend it'),
            "broken; build with --keep-going, or mend it",
        ),
        (
            WrongTypeError("limit is nan; give a number or None", "limit"),
            "--limit is nan; give a number",
        ),
        (
            WrongTypeError("shuffle is the text 'yes'; give True or False", "shuffle"),
            "shuffle is the text 'yes'; give True or False",
        ),
        (
            SatimnetError("a.jpg: 9 bytes, over the limit 8; for images, max_scene_size sets it"),
            "a.jpg: 9 bytes, over the limit 8; for images, --max-scene-size sets it",
        ),
        (
            SatimnetError("b.jpg: broken; mend it, or allow some with bad_files='few'"),
            "b.jpg: broken; mend it, or allow some without --strict",
        ),
        (
            SatimnetError("they differ; samples.of_size(64, 64) keeps those of one size"),
            "they differ; --image-size 64x64 keeps those of one size",
        ),
        (SatimnetError("/data/max_scene_size/a.jpg: broken"), "/data/max_scene_size/a.jpg: broken"),
        (ArgumentError("with limits, or a limit.", "limit"), "with limits, or a limit."),
        (SatimnetError("limit 3 is a word here"), "limit 3 is a word here"),
        (SatimnetError("http://h/items?limit=5: no"), "http://h/items?limit=5: no"),
    ],
)
def test_arguments_become_options(error, message):
    assert said(error) == message


def test_in_python_they_stay_arguments():
    error = ArgumentError("learning_rate 0: must be above 0", "learning_rate")
    assert str(error).startswith("learning_rate")
    assert error.arguments == ("learning_rate",)


def test_a_command_names_its_own_options(catalog):
    for option in ("--epochs", "--batch-size"):
        how = ("--bands", "B02,B03", "--holdout", "0.5", "--out", "x")
        result = CliRunner().invoke(satimnet, ["train", str(catalog), option, "0", *how])
        assert result.stderr.splitlines()[-1].startswith(f"Error: {option} 0: must be 1 or more")
