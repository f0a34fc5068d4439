"""Downloads from a server on this machine that fails in every way that servers fail."""

import hashlib
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from stactools.cli.cli import cli

from satimnet.builder.catalog.collections import collection_of
from satimnet.builder.datasets import installed
from satimnet.builder.errors import BadFileError, NotFoundError, SatimnetError, StorageError
from satimnet.builder.transfer import resumable as fetching
from satimnet.builder.transfer.published_files import Download, downloads_of
from satimnet.builder.transfer.resumable import fetch

DATA = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
MD5 = f"md5:{hashlib.md5(DATA).hexdigest()}"
SHA256 = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@dataclass
class Server:
    """What the server does; a request sees the attributes as they are at its time."""

    url: str = ""
    data: bytes = DATA
    ranges: bool = True
    heeds: bool = True
    """Whether it heeds If-Range, or sends the rest of whatever the file is now."""
    etag: str | None = '"one"'
    modified: str | None = None
    statuses: list[int] = field(default_factory=list)
    """Answers instead of the file, one a request."""
    cuts: list[int] = field(default_factory=list)
    """After how many bytes of the body the connection is cut, one a request."""
    announced: int | None = None
    """A Content-Length that is not the body's."""
    chunked: bool = False
    kind: str = "application/zip"
    after: Callable[[], None] = lambda: None
    """Called at the end of each request."""
    asked: list[dict[str, str]] = field(default_factory=list)
    """Headers of the requests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Server = self.server.behaviour  # type: ignore[attr-defined]
        server.asked.append(dict(self.headers))
        try:
            self._answer(server)
        finally:
            server.after()

    def _answer(self, server: Server) -> None:
        if server.statuses:
            self.send_response(server.statuses.pop(0))
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body, start = server.data, 0
        asked = self.headers.get("Range")
        known = self.headers.get("If-Range") in (None, server.etag, server.modified)
        if asked and server.ranges and (known or not server.heeds):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        for name, value in (("ETag", server.etag), ("Last-Modified", server.modified)):
            if value:
                self.send_header(name, value)
        self.send_header("Content-Type", server.kind)
        body = body[start:]
        if server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif server.announced is None or server.announced >= 0:
            self.send_header("Content-Length", str(server.announced or len(body)))
        self.end_headers()
        if server.cuts:
            body = body[: server.cuts.pop(0)]
            self._send(server, body)
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self._send(server, body)
        if server.chunked:
            self.wfile.write(b"0\r\n\r\n")
        if server.announced is not None:
            self.close_connection = True

    def _send(self, server: Server, body: bytes) -> None:
        if not server.chunked:
            self.wfile.write(body)
        for at in range(0, len(body) if server.chunked else 0, 10_000):
            part = body[at : at + 10_000]
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


class _Http(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients that leave are what is tested."""


@pytest.fixture
def server() -> Iterator[Server]:
    behaviour = Server()
    http = _Http(("127.0.0.1", 0), _Handler)
    http.behaviour = behaviour  # type: ignore[attr-defined]
    behaviour.url = f"http://127.0.0.1:{http.server_port}/files/data.zip?download=1"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield behaviour
    http.shutdown()
    http.server_close()


def get(server: Server, folder: Path, **said) -> Path:
    return fetch(Download(server.url, **said), folder, wait=0)


def nothing_left(folder: Path) -> bool:
    return not folder.exists() or list(folder.iterdir()) == []


# --- what goes well -------------------------------------------------------------------------------


def test_a_file_comes_whole_and_under_its_own_name(server, tmp_path):
    seen = []
    download = Download(server.url, len(DATA), SHA256)
    path = fetch(download, tmp_path / "new" / "folder", progress=lambda *a: seen.append(a))
    assert path == tmp_path / "new" / "folder" / "data.zip"
    assert path.read_bytes() == DATA
    assert [p.name for p in path.parent.iterdir()] == ["data.zip"]
    assert seen[-1] == ("Checking data.zip", len(DATA), len(DATA), "bytes")
    assert server.asked[0]["Accept-Encoding"] == "identity"


def test_what_is_there_is_not_got_again(server, tmp_path):
    get(server, tmp_path, checksum=MD5)
    get(server, tmp_path, checksum=MD5)
    get(server, tmp_path)
    assert len(server.asked) == 1


def test_what_is_there_and_differs_is_left_alone(server, tmp_path):
    (tmp_path / "data.zip").write_bytes(OTHER)
    with pytest.raises(SatimnetError, match="move it away"):
        get(server, tmp_path, checksum=SHA256)
    with pytest.raises(SatimnetError, match="has 300,000 bytes, published are 5"):
        get(server, tmp_path, size=5)
    assert (tmp_path / "data.zip").read_bytes() == OTHER
    assert server.asked == []


def test_a_server_that_does_not_know_the_length_in_advance(server, tmp_path):
    server.chunked = True
    assert get(server, tmp_path).read_bytes() == DATA


# --- connections that break -----------------------------------------------------------------------


def test_broken_connections_go_on_where_they_stopped(server, tmp_path):
    server.cuts = [100_000, 50_000, 1, 120_000]
    assert get(server, tmp_path).read_bytes() == DATA
    assert [a.get("Range") for a in server.asked] == [
        None,
        "bytes=100000-",
        "bytes=150000-",
        "bytes=150001-",
        "bytes=270001-",
    ]
    assert {a.get("If-Range") for a in server.asked[1:]} == {'"one"'}


def test_a_run_that_was_killed_goes_on(server, tmp_path):
    server.cuts = [200_000] + [0] * 50
    with pytest.raises(SatimnetError, match="times in a row; the same command goes on"):
        get(server, tmp_path)
    assert (tmp_path / "data.zip.part").stat().st_size == 200_000
    assert not (tmp_path / "data.zip").exists()
    server.cuts, server.asked = [], []
    assert get(server, tmp_path).read_bytes() == DATA
    assert [a.get("Range") for a in server.asked] == ["bytes=200000-"]
    assert [p.name for p in tmp_path.iterdir()] == ["data.zip"]


def test_a_run_that_was_killed_at_the_very_end(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(DATA)
    assert get(server, tmp_path, checksum=SHA256).read_bytes() == DATA  # 416 says: all is there
    assert len(server.asked) == 1
    (tmp_path / "data.zip").rename(tmp_path / "data.zip.part")
    assert get(server, tmp_path, size=len(DATA), checksum=SHA256).read_bytes() == DATA
    assert len(server.asked) == 1  # nothing to ask


def test_busy_servers_are_asked_again(server, tmp_path):
    server.statuses = [500, 503, 429, 502]
    assert get(server, tmp_path).read_bytes() == DATA


def test_a_server_that_never_recovers(server, tmp_path):
    server.statuses = [500] * 50
    with pytest.raises(StorageError, match="answers 500, 8 times in a row"):
        get(server, tmp_path)
    assert len(server.asked) == 8
    assert nothing_left(tmp_path)


def test_waits_grow_and_end(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(fetching.time, "sleep", waits.append)
    server.statuses = [500] * 50
    with pytest.raises(SatimnetError):
        fetch(Download(server.url), tmp_path, wait=5)
    assert waits == [5, 10, 20, 40, 60, 60, 60]


def test_a_server_that_is_not_there(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/data.zip"
    with pytest.raises(SatimnetError, match="connection broke"):
        fetch(Download(url), tmp_path, wait=0)


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.ranges = False
    server.cuts = [100_000, 200_000]
    assert get(server, tmp_path).read_bytes() == DATA
    assert len(server.asked) == 3


def test_a_server_without_ranges_that_always_breaks_ends(server, tmp_path):
    server.ranges = False
    server.cuts = [100_000] * 1000
    with pytest.raises(SatimnetError, match="8 times in a row"):
        get(server, tmp_path)
    assert len(server.asked) < 20


# --- files that change ----------------------------------------------------------------------------


@pytest.mark.parametrize("heeds", [True, False])
def test_a_file_that_changes_between_tries_is_never_mixed(server, tmp_path, heeds):
    def change() -> None:
        server.data, server.etag = OTHER, '"two"'

    server.heeds, server.cuts, server.after = heeds, [100_000], change
    assert get(server, tmp_path).read_bytes() == OTHER
    assert server.asked[1]["If-Range"] == '"one"'


def test_a_change_that_nothing_tells_is_found_by_the_checksum(server, tmp_path):
    server.etag = None
    server.data = OTHER
    server.cuts = [100_000]

    def change() -> None:
        server.data = DATA

    server.after = change
    assert get(server, tmp_path, checksum=SHA256).read_bytes() == DATA
    assert [a.get("Range") for a in server.asked] == [None, "bytes=100000-", None]


def test_without_any_means_to_tell_nothing_is_continued(server, tmp_path):
    server.etag = None
    server.cuts = [100_000]
    assert get(server, tmp_path).read_bytes() == DATA
    assert [a.get("Range") for a in server.asked] == [None, None]


def test_a_weak_etag_is_none_and_a_time_of_change_is_one(server, tmp_path):
    server.etag, server.modified = 'W/"one"', "Wed, 21 Oct 2015 07:28:00 GMT"
    server.cuts = [100_000]
    assert get(server, tmp_path).read_bytes() == DATA
    assert server.asked[1]["If-Range"] == server.modified


def test_a_part_of_another_url_is_not_continued(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(OTHER[:1000])
    note = {"url": "http://elsewhere/data.zip", "validator": '"one"'}
    (tmp_path / "data.zip.part.json").write_text(json.dumps(note))
    assert get(server, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize("note", ["", "[]", '{"url": 1}', '{"validator": {}}', "\0"])
def test_notes_that_were_spoilt(server, tmp_path, note):
    (tmp_path / "data.zip.part").write_bytes(OTHER[:1000])
    (tmp_path / "data.zip.part.json").write_text(note)
    assert get(server, tmp_path, checksum=MD5).read_bytes() == DATA


def test_a_part_that_is_longer_than_the_file(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(DATA + b"more")
    assert get(server, tmp_path, checksum=SHA256).read_bytes() == DATA


# --- files that are wrong -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_is_asked_for(server, tmp_path, status):
    server.statuses = [status]
    with pytest.raises(StorageError, match=rf"refuses \({status}\); download it in a browser"):
        get(server, tmp_path)
    assert len(server.asked) == 1
    assert nothing_left(tmp_path)


def test_the_file_is_gone(server, tmp_path):
    server.statuses = [404]
    with pytest.raises(NotFoundError, match="answers 404"):
        get(server, tmp_path)
    assert nothing_left(tmp_path)


def test_redirects_without_end(server, tmp_path):
    server.statuses = [302] * 100
    with pytest.raises(SatimnetError, match="cannot be downloaded: Exceeded 30 redirects"):
        get(server, tmp_path)


def test_a_web_page_instead_of_the_file(server, tmp_path):
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(SatimnetError, match="a web page comes instead"):
        get(server, tmp_path)
    assert nothing_left(tmp_path)


def test_a_size_that_was_not_published(server, tmp_path):
    with pytest.raises(BadFileError, match="the server has 300,000 bytes, published are 7"):
        get(server, tmp_path, size=7)
    assert nothing_left(tmp_path)
    server.chunked = True  # and where it says no size
    with pytest.raises(SatimnetError, match="sends more than 7 bytes"):
        get(server, tmp_path, size=7)
    assert not (tmp_path / "data.zip").exists()


def test_a_content_length_that_is_too_large(server, tmp_path):
    server.announced = 400_000
    server.ranges = False
    with pytest.raises(SatimnetError, match="8 times in a row"):
        get(server, tmp_path)
    assert not (tmp_path / "data.zip").exists()


def test_a_content_length_that_is_too_small(server, tmp_path):
    server.announced = 200_000
    with pytest.raises(BadFileError, match=r"sha256 is .*, published is .*; nothing was kept"):
        get(server, tmp_path, checksum=SHA256)
    assert nothing_left(tmp_path)


def test_no_length_at_all_and_no_checksum(server, tmp_path):
    server.announced = -1
    with pytest.raises(SatimnetError, match="does not say how long the file is"):
        get(server, tmp_path)
    assert nothing_left(tmp_path)


def test_wrong_content(server, tmp_path):
    server.data = OTHER
    with pytest.raises(BadFileError, match=r"md5 is .*, published is"):
        get(server, tmp_path, size=len(DATA), checksum=MD5)
    assert nothing_left(tmp_path)


def test_a_disk_that_is_too_small(server, tmp_path, monkeypatch):
    usage = fetching.shutil.disk_usage(tmp_path)._replace(free=2**28 + 1000)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match="needs 300,000 bytes more, 1,000 are free"):
        get(server, tmp_path)
    server.chunked = True
    with pytest.raises(SatimnetError, match="sends more than 1,000 bytes"):
        get(server, tmp_path)
    assert not (tmp_path / "data.zip").exists()


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SatimnetError, match=r"Not a directory|exists"):
        get(server, tmp_path / "file")


# --- records --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(installed()))
def test_every_dataset_says_how_it_is_had(name):
    record = installed()[name].record
    downloads = downloads_of(record)
    assert downloads.files or downloads.steps
    assert len({file.name for file in downloads.files}) == len(downloads.files)
    assert all("http" in step or "7z" in step for step in downloads.steps)
    assert "downloads" not in json.dumps(collection_of(record))  # it is the builder's alone


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"url": "ftp://host/a.zip"}, "must begin with https"),
        ({"url": "https://host/"}, "name of a file"),
        ({"url": "https://host/..%2Fa.zip?x=/etc/b"}, None),
        ({"url": "https://host/.."}, "name of a file"),
        ({"url": "https://host/.bashrc"}, "name of a file"),
        ({"url": "https://host/a%0ab"}, "name of a file"),
        ({"url": "https://host/a.zip", "size": "1 GB"}, "number of bytes"),
        ({"url": "https://host/a.zip", "size": True}, "number of bytes"),
        ({"url": "https://host/a.zip", "checksum": "crc:1"}, "md5: or sha256:"),
        ({"url": "https://host/a.zip", "checksum": "md5:../../a"}, "md5: or sha256:"),
        ({"url": "https://host/a.zip", "sha256": "1"}, "sha256 is unknown"),
    ],
)
def test_records_that_cannot_be_used(entry, reason):
    record = {"id": "x", "links": [], "downloads": [entry]}
    if reason is None:
        assert downloads_of(record).files[0].name == "a.zip"
        return
    with pytest.raises(SatimnetError, match=reason):
        downloads_of(record)


def test_a_record_without_downloads_names_the_publisher():
    with pytest.raises(NotFoundError, match="names no downloads; see its publisher https://p"):
        downloads_of({"id": "x", "links": [{"rel": "via", "href": "https://p"}]})


# --- the command ----------------------------------------------------------------------------------


def test_the_command_gets_files_and_says_what_is_next(server, tmp_path, monkeypatch):
    record = dict(installed()["eurosat"].record)
    files = [{"url": server.url, "size": len(DATA), "checksum": MD5}]
    record["downloads"] = [*files, {"manual": "look at\nhttps://host"}]
    datasets = {"eurosat": type(installed()["eurosat"])(record, lambda *_: iter(()))}
    monkeypatch.setattr("satimnet.builder.datasets.installed", lambda: datasets)
    server.cuts = [100_000]
    monkeypatch.setattr(fetching.time, "sleep", lambda _: None)
    out = tmp_path / "out"
    arguments = ["satimnet", "download", "eurosat", "--out", str(out)]
    result = CliRunner().invoke(cli, arguments, prog_name="stac")
    assert result.exit_code == 0, result.output
    assert (out / "data.zip").read_bytes() == DATA
    assert "licence: MIT" in result.output
    assert "complete, checked" in result.output
    assert "By hand: look at https://host\n" in result.output
    assert f"stac satimnet build {out} --out catalog" in result.output


def test_the_command_where_all_is_by_hand(tmp_path):
    result = CliRunner().invoke(
        cli, ["satimnet", "download", "xview", "--out", str(tmp_path / "x")]
    )
    assert result.exit_code == 1
    assert "By hand: register at https://challenge.xviewdataset.org" in result.output
    assert "Error: xview: its publisher allows no download by a program" in result.output
    assert not (tmp_path / "x").exists()


def test_the_command_lists_without_asking_anybody():
    result = CliRunner().invoke(cli, ["satimnet", "download", "inria", "--list"])
    assert result.exit_code == 0
    assert result.output.count("https://files.inria.fr/") == 5
    assert "7z x aerialimagelabeling.7z.001" in result.output


def test_the_command_knows_no_such_dataset():
    result = CliRunner().invoke(cli, ["satimnet", "download", "nope"])
    assert result.exit_code == 1
    assert "no dataset 'nope'; there are airbus-ship" in result.output
