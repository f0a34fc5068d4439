"""A wheel of the repository, installed where the repository is not, has all that it needs."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="needs the extra test: builds a wheel without a network")

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """The folder of the commands of a fresh environment with the wheel.

    What satimnet needs is that of this environment, added by a ``.pth`` file: its folders alone,
    not the folder of the repository that an editable install adds.
    """
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", ROOT]
    subprocess.run([*pip, *build], check=True, capture_output=True, text=True)
    (wheel,) = (folder / "dist").iterdir()
    venv.create(folder / "fresh", with_pip=False, symlinks=True)
    (packages,) = (folder / "fresh").glob("lib/python*/site-packages")
    shared = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "shared.pth").write_text("\n".join(shared) + "\n")
    python = folder / "fresh/bin/python"
    install = ["--python", python, "install", "--no-deps", "--no-index", "--force-reinstall", wheel]
    subprocess.run([*pip, *install], check=True, capture_output=True, text=True)
    return python.parent


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_it_is_the_wheel_that_is_used(scripts):
    code = "import satimnet.builder as b, stactools.eurosat as e; print(b.__file__, e.__file__)"
    done = run(scripts / "python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert all(path.startswith(str(scripts.parent)) for path in done.stdout.split())


def test_the_demo_and_the_page_of_the_explorer_work(scripts, tmp_path):
    done = run(scripts / "satimnet", "demo", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert "of 10 datasets" in done.stdout
    assert "no problems" in done.stdout
    catalog, page = tmp_path / "demo/catalog", tmp_path / "explore"
    done = run(scripts / "satimnet", "explorer", catalog, "--out", page)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in page.iterdir()} >= {"index.html", "explorer.js", "explorer.css"}
