"""What several tests need: a miniature source, its catalog, a web server that answers ranges.

Tests run on several processes at once, a file of tests on one of them; what is made for the whole
run is made once, by whichever process needs it first.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hypothesis
import pytest
from click.testing import CliRunner
from stactools.cli.cli import cli

from satimnet.builder.datasets import miniatures
from satimnet.builder.pipeline import build
from stactools.eurosat.miniature import write_miniature

# how long an example takes depends on what else the machine does
hypothesis.settings.register_profile("ours", deadline=None)
hypothesis.settings.load_profile("ours")

Make = Callable[[Path], object]
SECRET = "planted-secret-key-of-the-tests"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "planted-key-id-of-the-tests",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": "planted-token-of-the-tests",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}
ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
REAL = SHARED / "data" / "eurosat"
PER_CLASS = 4
FEW = {"eurosat": {"per_class": 10}}
"""Of the miniatures that have many samples, how many the tests want; each has ten of a split."""
MOST_WORKERS = 8
LONG = (
    *("test_cluster.py", "test_examples.py", "test_kills.py", "test_page.py", "test_training.py"),
    *("test_notebooks.py", "test_serve.py", "test_validation.py", "test_planted.py"),
    *("test_torchrun.py", "test_fusion.py", "test_copies_in_stores.py", "test_search.py"),
    *("test_pipeline.py", "test_places.py", "test_fuzz.py", "test_chips.py", "test_tuning.py"),
    *("test_layouts.py", "test_new_dataset.py", "test_exports.py", "test_bigearthnet_v2.py"),
    *("test_file_facts.py", "test_dask_batches.py", "test_protocol.py", "test_commands.py"),
)
"""Files that take long, those first that take longest, of all tests and of those by default."""
WORKER = "PYTEST_XDIST_WORKER" in os.environ
"""Whether this process is one of several that share the tests."""

if WORKER:  # the others use the other cores; read when a library is loaded, also by subprocesses
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process a core and one more, as tests wait for disks and servers; for a single file of
    tests none but this one."""
    if len(config.args) == 1 and Path(config.args[0].partition("::")[0]).is_file():
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min((cores or 1) + 1, MOST_WORKERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no process is alone with one at the end."""
    places = {name: at for at, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


def pytest_collection_finish() -> None:
    """All that is imported now stays: who looks for garbage need not look through it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Make], Path]:
    """A function that has a folder made once for all processes of the run: ``once(name, make)``.

    ``make`` is called with the empty folder. What comes back is read-only.
    """
    top = tmp_path_factory.getbasetemp()
    shared = (top.parent if WORKER else top) / "shared"

    def make_once(name: str, make: Make) -> Path:
        shared.mkdir(exist_ok=True)
        folder, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed at it
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return make_once


@pytest.fixture(scope="session", autouse=True)
def _own_key(once: Callable[[str, Make], Path]) -> Iterator[None]:
    """The key of saved catalogs is that of the tests, not of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(once("state", lambda folder: None)))
        yield


@pytest.fixture(scope="session")
def miniature(once: Callable[[str, Make], Path]) -> Path:
    """A folder with both archives of a miniature EuroSAT; read-only."""
    return once("source", lambda folder: write_miniature(folder, PER_CLASS))


@pytest.fixture(scope="session")
def catalog(miniature: Path, once: Callable[[str, Make], Path]) -> Path:
    """The catalog of the miniature; read-only."""
    return once("built", lambda folder: build([miniature], folder / "catalog")) / "catalog"


@pytest.fixture(scope="session")
def made_demo(
    once: Callable[[str, Make], Path], sources: dict[str, list[Path]]
) -> tuple[Path, str]:
    """What ``stac satimnet demo`` makes, its sources and their catalog, and says; read-only."""

    def copied(drawn: dict[str, list[Path]], name: str, folder: Path) -> list[Path]:
        home = _home(name, drawn)  # the same files: they need not be drawn twice
        shutil.copytree(home, folder, dirs_exist_ok=True)
        return [folder / path.relative_to(home) for path in drawn[name]]

    def make(folder: Path) -> None:
        whole = {name: miniatures()[name](folder / "all" / name) for name in FEW}
        with pytest.MonkeyPatch.context() as patch:
            writers = {name: partial(copied, sources | whole, name) for name in sources}
            patch.setattr("satimnet.builder.demo.miniatures", lambda: writers)
            done = CliRunner().invoke(cli, ["satimnet", "demo", str(folder / "demo")])
        assert done.exit_code == 0, done.output
        (folder / "said").write_text(done.output)

    folder = once("demo", make)
    return folder / "demo", (folder / "said").read_text()


@pytest.fixture(scope="session")
def demo(request: pytest.FixtureRequest) -> Path:
    """What ``stac satimnet demo`` makes; ``SATIMNET_DEMO`` may name one that is there already."""
    if there := os.environ.get("SATIMNET_DEMO"):
        return Path(there)
    folder: Path = request.getfixturevalue("made_demo")[0]
    return folder


@pytest.fixture(scope="session")
def sources(once: Callable[[str, Make], Path]) -> dict[str, list[Path]]:
    """The miniature of every dataset, each in a folder ``all/NAME``; read-only."""

    def make(folder: Path) -> None:
        made = {
            name: write(folder / "all" / name, **FEW.get(name, {}))
            for name, write in miniatures().items()
        }
        relative = {
            name: [str(path.relative_to(folder)) for path in paths] for name, paths in made.items()
        }
        (folder / "paths.json").write_text(json.dumps(relative))

    folder = once("sources", make)
    paths = json.loads((folder / "paths.json").read_text())
    return {name: [folder / path for path in own] for name, own in paths.items()}


def _home(name: str, sources: dict[str, list[Path]]) -> Path:
    """The folder of a miniature, in which the paths of its sources lie."""
    first = sources[name][0]
    return next(path for path in (first, *first.parents) if path.parent.name == "all")


@pytest.fixture(scope="session")
def schemas() -> Path:
    """The folder of extension schemas beside the repository."""
    folder = SHARED / "schemas"
    if not folder.is_dir():
        pytest.skip("needs the extension schemas in ../shared/schemas")
    return folder


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real EuroSAT samples beside the repository."""
    if not REAL.is_dir():
        pytest.skip("needs the real samples in ../shared/data/eurosat")
    return REAL


@pytest.fixture(scope="session")
def real_catalog(real: Path, once: Callable[[str, Make], Path]) -> Path:
    """The catalog of the real samples; read-only."""

    def make(folder: Path) -> None:
        build([real], folder / "catalog", scheduler="processes")

    return once("real", make) / "catalog"


@contextmanager
def _reached(url: str) -> Iterator[None]:
    """The environment has what is needed to reach the store."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": url}).items():
            patch.setenv(name, value)
        for name in ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING"):  # GDAL's
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def store() -> Iterator[str]:
    """The address of an object store with a bucket."""
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with _reached(url):
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="trial")
    yield url
    server.stop()


@pytest.fixture(scope="module")
def bucket(store: str) -> Iterator[str]:
    """The URL of a bucket; the environment has what is needed to reach it.

    Not longer than for a file of tests: where there are keys, rasterio makes a session of boto3 for
    each image that it opens, which takes thirty times as long as to open one.
    """
    with _reached(store):
        yield "s3://trial"


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing by more, and lose much where the cores are busy."""
    torch = pytest.importorskip("torch", reason="needs the extra training")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class _RangeHandler(SimpleHTTPRequestHandler):
    """Serves files and byte ranges of them, as static hosts do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        first, last = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture(scope="session")
def serve() -> Callable[[Path], Iterator[str]]:
    """A context manager that serves a folder on this machine and gives its URL."""

    @contextmanager
    def serving(folder: Path) -> Iterator[str]:
        handler = partial(_RangeHandler, directory=str(folder))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()

    return serving
