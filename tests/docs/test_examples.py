"""Every example of README and of docs/, as it stands there, on the demo.

Programs in ``sh`` and ``python`` are run page by page, from top to bottom, in a folder that has
what a reader of the page has: the demo, its catalog, its sources under the names of the real ones.
What is not run is listed here with the reason.
"""

import ast
import re
import shlex
import shutil
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from examples.networks.torchvision_cpu import import_torchvision

from satimnet.cli.group import satimnet

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

INSTALLS = ".ci/run does it"
WHEEL = "tests/docs/test_wheel.py does it"
NETWORK = "downloads; tests/transfer/test_downloads.py does it from a host on this machine"
SERVER = "serves until it is stopped; tests/server/test_serve.py asks it"
BROWSER = "fetches and builds STAC Browser; tests/server/test_browser.py uses it"
SCENE = "needs a product of Sentinel-2; tests/maps/test_mapping.py makes one"
PAPER = (
    "needs tens of thousands of patches, and downloaded maps; tests/fusion/test_fusion.py fuses few"
)
GRID = "twenty combinations; tests/networks/test_tuning.py reads the grid and tries fewer"
SKELETON = "tests/cli/test_new_dataset.py does it"
CONTAINER = ".ci/container_steps runs the steps of Containerfile"
HARVEST = "there is no such description; tests/harvest/test_harvest.py has some of each form"
TORCHRUN = "needs several machines; tests/networks/test_torchrun.py does it on one"
STORE = "there is no such object store; tests/storage has one"
ELSEWHERE = re.compile(r"(s3|tcp)://|example\.org|--(at|from) [0-9a-f]{12}\b")
"""In commands that are only parsed: there is no such store, cluster, host or version. Other tests
have some, in tests/storage, tests/publishing and tests/cluster."""
OF_CLUSTERS = re.compile(r"import (SLURMCluster|KubeCluster|Gateway)\b")
"""In programs that need a cluster of others, and a package that is not installed."""
WITHOUT = {"from datasets import": "datasets", "from torchgeo": "torchgeo"}
"""In programs that need a package which the tests do without where it is not installed."""
NOT_RUN = {
    'pip install -c constraints.txt -e ".[distributed]" "moto[s3,server]"': INSTALLS,
    "python examples/cluster/try_it.py": "tests/cluster/test_cluster.py runs it",
    'pip install -c constraints.txt -e ".[serve,training]" && satimnet demo demo': INSTALLS,
    'pip install -c constraints.txt ".[serve,training]"': INSTALLS,
    "python3 -m venv .venv && . .venv/bin/activate": INSTALLS,
    "pip wheel --no-deps --wheel-dir dist .": WHEEL,
    'pip install "dist/satimnet-0.2.0-py3-none-any.whl[serve,training]"': WHEEL,
    'pip install -c constraints.txt -e ".[test]" && pytest': INSTALLS,
    'pip install -c constraints.txt -e ".[serve]"': INSTALLS,
    'pip install -c constraints.txt -e ".[examples]"': INSTALLS,
    "python examples/networks/classifier.py demo/catalog": (
        "tests/networks/test_example_scripts.py runs it"
    ),
    "docker build --file Containerfile --build-arg VARIANT=cuda --tag satimnet .": CONTAINER,
    "docker run --publish 8080:8080 satimnet": CONTAINER,
    "satimnet demo demo": "the demo is made once, for all pages",
    "satimnet download eurosat": NETWORK,
    "satimnet build EuroSAT/ --out catalog --option eurosat.splits=spatial": (
        "the demo has no lists of splits"
    ),
    "satimnet download inria --out /data/inria": NETWORK,
    "satimnet serve catalog": SERVER,
    'curl "http://127.0.0.1:8080/search?q=river&limit=1"': SERVER,
    'curl "http://127.0.0.1:8080/aggregate?collections=eurosat'
    '&aggregations=satimnet:classes_frequency"': SERVER,
    'curl http://127.0.0.1:8080/search -H "Content-Type: application/json" '
    """-d '{"limit": 1, "filter-lang": "cql2-text", "filter": "gsd = 10"}'""": SERVER,
    "export AWS_ENDPOINT_URL=https://store.example.org AWS_REGION=eu-west-1": STORE,
    "torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 "
    "-m satimnet.cli train catalog --out runs/class": TORCHRUN,
    "satimnet browser": BROWSER,
    "satimnet browser --out /srv/www/catalog/browser": BROWSER,
    "satimnet map S2A_MSIL2A_….SAFE --checkpoint run/checkpoint.pt --out maps": SCENE,
    "satimnet map S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE "
    "--checkpoint run/checkpoint.pt --out maps": SCENE,
    "satimnet quality catalog --out quality "
    "--compare S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE": SCENE,
    "satimnet fuse paper catalog --layer gsw=tiles/gsw-2018 --layer esm=tiles/esm-2015": PAPER,
    "satimnet fuse paper catalog --without-masks": PAPER,
    "satimnet new-dataset city-trees CHECKOUT": SKELETON,
    "satimnet tune catalog --collection eurosat --grid paper --out tuned-paper": GRID,
    "satimnet harvest https://zenodo.org/api/records/7711810 --name city-trees": HARVEST,
    "satimnet harvest README.md": HARVEST,
    "satimnet harvest harbours.croissant.json datasets": HARVEST,
    'pip install -e "city-trees[test]" && pytest city-trees': SKELETON,
}
FRAGMENTS = ("def scan(source: Source, record",)  # of a program, which alone does nothing
SLOW = {"README", "steps", "training", "maps", "exporting", "fusion", "quality", "own-network"}
SHORTER = {"--epochs": "1", "--width": "2", "--windows": "500", "--only-folds": "1"}
"""What a test has no time for."""
LONG = {"build", "fuse", "quality"}
"""Commands of the README that are only parsed by default: other tests run them on less."""


def marks(page):
    """Of the test of a page."""
    slow, examples = pytest.mark.slow, pytest.mark.examples
    return [slow] * (page.stem in SLOW) + [examples] * (page.stem == "own-network")


def programs(page):
    """The language and the text of each program of the page."""
    return [(language, text) for language, text in FENCE.findall(page.read_text())]


def commands(text):
    """The commands of a program in sh: no comments, each on one line."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    lines = (re.sub(r"\s+#.*$|^#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


@pytest.fixture
def reader(demo, tmp_path, serve, monkeypatch):
    """The folder of somebody who reads a page, and the address of a host with the same files."""
    shutil.copytree(demo / "catalog", tmp_path / "catalog")
    (tmp_path / "demo").symlink_to(tmp_path)
    sources = demo / "sources"
    names = {
        "SOURCE": sources / "uc-merced",
        "eurosat": sources / "eurosat",
        "DOTA": sources / "dota",
        "BigEarthNet": sources / "bigearthnet",
        **{path.name: path for path in sources.glob("*/*.zip")},
        **{path.name: path for path in sources.glob("*/*.tar.gz")},
    }
    for name, target in names.items():
        (tmp_path / name).symlink_to(target)
    recipe = (files("satimnet.training.fusion") / "recipes" / "demo.toml").read_text()
    (tmp_path / "recipe.toml").write_text(recipe.replace("demo-fused", "eurosat-bigearthnet"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with serve(tmp_path) as url:
        yield lambda text: text.replace("https://host", url).replace("/srv/www", "www")


@pytest.mark.parametrize(
    ("page", "parsed"),
    [
        *(pytest.param(p, set(), marks=marks(p), id=p.stem) for p in PAGES),
        pytest.param(PAGES[0], LONG, id="README without long commands"),
    ],
)
def test_the_examples_of_a_page_do_something(page, parsed, reader, one_thread):
    prepare(page)
    for language, text in programs(page):
        if language == "sh":
            for line in commands(text):
                if line.startswith("satimnet ") and line not in NOT_RUN:
                    name = shlex.split(line)[1]
                    parse(line) if name in parsed or ELSEWHERE.search(line) else run(reader(line))
        elif language == "python" and (
            OF_CLUSTERS.search(text)
            or any(said in text and find_spec(name) is None for said, name in WITHOUT.items())
        ):
            compile(text, page.name, "exec")
        elif language == "python" and not text.startswith(FRAGMENTS):
            names = {}
            exec(compile(reader(text), page.name, "exec"), names)
            # A loop that finds nothing leaves its names unknown.
            stored = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)]
            used = {n.id for n in stored if isinstance(n.ctx, ast.Store)}
            assert used <= names.keys(), text


def parse(line):
    """Takes a command apart, as if it were run: a name, an option or a value may be wrong."""
    _, name, *arguments = shlex.split(line)
    satimnet.get_command(click.Context(satimnet), name).make_context(name, arguments)


def run(line):
    """Runs a command of satimnet, with less work than it says where that is long."""
    arguments = shlex.split(line)[1:]
    for option, value in SHORTER.items():
        if option in arguments:
            arguments[arguments.index(option) + 1] = value
    if arguments[0] in ("train", "crossvalidate", "tune"):
        for option in ("--epochs", "--width"):
            if option not in arguments:
                arguments += [option, SHORTER[option]]
    if arguments[0] in ("build", "explorer", "fuse", "quality") and "--scheduler" not in arguments:
        arguments += ["--scheduler", "threads"]  # processes would import everything anew
    if arguments[0] == "crossvalidate":
        arguments += ["--only-folds", "1"]
    if arguments[0] == "tune" and "--folds" in arguments:
        arguments[arguments.index("--folds") + 1] = "2"
    done = CliRunner().invoke(satimnet, arguments)
    assert done.exit_code == 0, f"{line}\n{done.output}"
    if arguments[0] == "search":
        assert done.output.strip()
        assert done.output.splitlines()[-1] != "0 items", line


def prepare(page):
    """What the text of the page says that its reader has."""
    if page.stem == "own-network":
        import_torchvision()
        pytest.importorskip("lightning", reason="needs the extra lightning")
    if page.stem == "training":
        run("satimnet fuse recipe.toml catalog")
    if page.stem == "maps":
        run("satimnet train catalog --bands B02,B03,B04,B08 --collection eurosat --out run")
        run("satimnet fuse recipe.toml catalog")
        for model in ("class", "segm", "dual"):
            of = "--bands B02,B03,B04,B08 --collection eurosat-bigearthnet --windows 500"
            of = of if model != "class" else of.partition(" --windows")[0]
            run(f"satimnet train catalog {of} --model {model} --out {model}")
        for name in ("scene", "china", "usa", "europe"):
            write_scene(f"{name}.tif")
    if page.stem == "quality":
        write_scene("mine.tif")


def write_scene(path):
    import numpy as np
    import rasterio

    pixels = np.random.default_rng(0).integers(1, 4000, (4, 128, 128), np.uint16)
    place = {"crs": "EPSG:32632", "transform": rasterio.transform.from_origin(5e5, 5e6, 10, 10)}
    profile = {"driver": "GTiff", "count": 4, "width": 128, "height": 128, "dtype": "uint16"}
    with rasterio.open(path, "w", **profile, **place) as scene:
        scene.write(pixels)
        scene.descriptions = ("B02", "B03", "B04", "B08")


def test_nothing_is_passed_over_unseen():
    """All that is not run is told above, and is still in a page."""
    lines = {
        line
        for page in PAGES
        for language, text in programs(page)
        if language == "sh"
        for line in commands(text)
    }
    assert {line for line in lines if not line.startswith("satimnet ")} <= NOT_RUN.keys()
    assert NOT_RUN.keys() <= lines
    known = {"sh", "python", "toml", "json", "nginx", "text", ""}  # the latter five are no programs
    assert {language for page in PAGES for language, _ in programs(page)} <= known
