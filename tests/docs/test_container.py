"""The container, the workspace in it and the hosted CI, as far as they can be judged without them.

`.ci/container_steps` runs the steps; it needs the network, so `.ci/run` calls it and no test.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from satimnet.cli.group import satimnet

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def steps() -> Any:
    loader = SourceFileLoader("container_steps", str(ROOT / ".ci/container_steps"))
    spec = spec_from_loader("container_steps", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def instructions(steps) -> list[tuple[str, str]]:
    return steps.instructions((ROOT / "Containerfile").read_text())


def test_every_instruction_can_be_run_as_a_step(steps, instructions):
    assert [
        name for name, _ in instructions if not hasattr(steps.Steps, f"do_{name.lower()}")
    ] == []
    assert instructions[-1][0] == "CMD"


def test_all_that_is_copied_is_there_and_is_all_that_a_wheel_needs(instructions):
    copied = {word for name, rest in instructions if name == "COPY" for word in rest.split()[:-1]}
    assert [path for path in copied if not (ROOT / path).exists()] == []
    project = (ROOT / "pyproject.toml").read_text()
    roots = re.search(r"dev-mode-dirs = (\[.*\])", project)
    assert roots is not None
    assert set(json.loads(roots[1])) <= copied


def test_the_default_command_is_the_demo_and_its_server(instructions):
    shell, option, script = json.loads(instructions[-1][1])
    assert (shell, option) == ("sh", "-c")
    demo, server = (shlex.split(part.replace("${PORT}", "8080")) for part in script.split(" && "))
    assert parsed(demo) == "demo"
    assert server[0] == "exec"
    assert parsed(server[1:]) == "serve"
    assert server[server.index("--host") + 1] == "0.0.0.0"


def parsed(command: list[str]) -> str:
    program, name, *arguments = command
    assert program == "satimnet"
    found = satimnet.get_command(click.Context(satimnet), name)
    assert found is not None
    found.make_context(name, arguments)
    return name


@pytest.mark.parametrize("variant", ["cpu", "cuda", "cpu with index", "tpu"])
def test_variants_choose_the_build_of_torch(variant, instructions, tmp_path):
    """With a pip that only says what it was asked for."""
    said = tmp_path / "pip"
    said.write_text('#!/bin/sh\necho "$@"\n')
    said.chmod(0o755)
    (script,) = (rest for name, rest in instructions if name == "RUN" and "torch" in rest)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "VARIANT": variant.split()[0], "TORCH_INDEX": ""}
    if "index" in variant:
        env["TORCH_INDEX"] = "https://example.org/cpu"
    done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True)
    expected = {
        "cpu": "install torch>=2.13,<2.14\n",
        "cuda": "install torch>=2.13,<2.14\n",
        "cpu with index": "install --index-url https://example.org/cpu torch>=2.13,<2.14\n",
    }
    assert done.stdout == expected.get(variant, "")
    assert (done.returncode, "VARIANT is cpu or cuda" in done.stderr) == (
        (2, True) if variant == "tpu" else (0, False)
    )


def test_the_devcontainer_is_made_of_the_same_file():
    folder = ROOT / ".devcontainer"
    container = json.loads((folder / "devcontainer.json").read_text())
    build = container["build"]
    assert (folder / build["dockerfile"]).resolve() == ROOT / "Containerfile"
    assert (folder / build["context"]).resolve() == ROOT
    assert container["postCreateCommand"].replace("'", '"') in (ROOT / "README.md").read_text()


def test_hosted_ci_runs_what_ci_runs_anywhere():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    jobs = workflow["jobs"]
    assert [step["run"] for step in jobs["run"]["steps"] if "run" in step] == [".ci/run"]
    build, start, ask = (step["run"] for step in jobs["container"]["steps"] if "run" in step)
    assert build.startswith("docker build --file Containerfile --build-arg VARIANT=")
    assert start.startswith("docker run ")
    assert ".ci/container_steps --ask" in ask
    assert jobs["container"]["strategy"]["matrix"]["variant"] == ["cpu", "cuda"]
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert any(line.startswith("nice -n 5 .ci/container_steps > ") for line in lines)


def test_no_host_of_packages_is_named():
    files = ["Containerfile", ".devcontainer/devcontainer.json", ".github/workflows/ci.yml"]
    text = "".join((ROOT / file).read_text() for file in [*files, ".ci/container_steps", ".ci/run"])
    assert set(re.findall(r"https?://([^/\s\"':{}]+)", text)) <= {"127.0.0.1"}


def test_steps_of_a_small_file_are_run_in_order(steps, tmp_path, capfd):
    """On a file whose server answers at once; the environment is a folder, as no step needs pip."""
    run = steps.Steps(tmp_path, {"WORD": "given"})
    for name, rest in steps.instructions(
        "# a comment\nARG WORD=default\nARG FOLDER=/srv/x\nENV A=1 B=2\nWORKDIR ${FOLDER}\n"
        "COPY LICENSE README.md ./\nRUN apt-get update\n"
        'RUN test -f LICENSE && \\\n    echo "$WORD $A $B" > said\n'
    ):
        getattr(run, f"do_{name.lower()}")(rest)
    folder = tmp_path / "root/srv/x"
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE", "README.md", "said"]
    assert (folder / "said").read_text() == "given 1 2\n"
    assert "not installed here" in capfd.readouterr().out
    with pytest.raises(subprocess.CalledProcessError):
        run.do_run("false")
