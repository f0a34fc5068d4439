"""What several tests need: a miniature source, its catalog, a web server that answers ranges."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from stactools.cli.cli import cli

from satimnet.builder.pipeline import build
from stactools.eurosat.miniature import write_miniature

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
REAL = SHARED / "data" / "eurosat"
PER_CLASS = 4


@pytest.fixture(scope="session", autouse=True)
def _own_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The key of saved catalogs is that of the tests, not of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both archives of a miniature EuroSAT."""
    folder = tmp_path_factory.mktemp("source")
    write_miniature(folder, PER_CLASS)
    return folder


@pytest.fixture(scope="session")
def catalog(miniature: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalog of the miniature; read-only."""
    out = tmp_path_factory.mktemp("built") / "catalog"
    build([miniature], out)
    return out


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``stac satimnet demo`` makes, its sources and their catalog; read-only.

    ``SATIMNET_DEMO`` may name one that is there already.
    """
    if made := os.environ.get("SATIMNET_DEMO"):
        return Path(made)
    folder = tmp_path_factory.mktemp("made") / "demo"
    done = CliRunner().invoke(cli, ["satimnet", "demo", str(folder), "--quiet"])
    assert done.exit_code == 0, done.output
    return folder


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
def real_catalog(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalog of the real samples; read-only."""
    out = tmp_path_factory.mktemp("real") / "catalog"
    build([real], out, scheduler="processes")
    return out


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
