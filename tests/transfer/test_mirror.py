"""Copies of catalogs: the same bytes, each file once, and nothing outside the destination.

Also what stactools' own commands make of a catalog whose Items share shards.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pystac
import pytest
from click.testing import CliRunner
from killed import killed_at_its_end
from published import home_of, shard_of

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.validation import validate
from satimnet.builder.errors import (
    ArgumentError,
    BadCatalogError,
    NotFoundError,
    SatimnetError,
)
from satimnet.builder.pipeline import build
from satimnet.builder.publishing.pruning import prune
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import search
from satimnet.builder.transfer import mirror
from satimnet.builder.transfer.mirror import copy_catalog
from satimnet.builder.transfer.subset import save_found
from satimnet.cli.copy_command import copy as command
from stactools.eurosat import dataset

ITEMS = 40  # of the miniature in conftest.py
SECRET = "nobody's business"


@pytest.fixture(scope="session")
def second(miniature, tmp_path_factory) -> Path:
    """A catalog with one collection of another id; read-only."""
    return other_catalog(miniature, tmp_path_factory.mktemp("second") / "catalog")


@pytest.fixture(scope="session")
def two(catalog, miniature, tmp_path_factory) -> Path:
    """A catalog with two collections, eurosat and second; read-only."""
    out = tmp_path_factory.mktemp("two") / "catalog"
    shutil.copytree(catalog, out)
    return other_catalog(miniature, out)


def other_catalog(source: Path, out: Path) -> Path:
    record = {**dataset.record, "id": "second", "title": "Second"}
    build(
        [source],
        out,
        datasets={"second": replace(dataset, record=record)},
        overview=False,
    )
    prune(out, older_than=0)  # the concepts before it was added
    return out


@pytest.fixture
def own(two, tmp_path) -> Path:
    """The catalog with two collections, for a test to spoil."""
    return Path(shutil.copytree(two, tmp_path / "web" / "catalog"))


@pytest.fixture
def small(own) -> Path:
    """The same with the class River alone, as far as links lead."""
    for name in ("eurosat", "second"):
        file = home_of(own, name) / "collection.json"
        links = json.loads(file.read_bytes())["links"]
        edit(file, links=[x for x in links if x["rel"] != "child" or x["title"] == "River"])
    return own


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def within(catalog: Path, name: str = "eurosat") -> str:
    """The folder of a collection, from the catalog's on."""
    return home_of(catalog, name).relative_to(catalog).as_posix()


def made_anew(catalog: Path) -> set[str]:
    """What a copy makes of files that it copies."""
    ids = [path.name for path in catalog.iterdir() if path.is_dir()]
    return {"concepts.json", *(f"{id_}/collection.json" for id_ in ids)}


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_bytes()) | changes))


def valid(catalog: Path) -> bool:
    findings = validate(catalog, checksums=True)
    assert findings.problems == []
    assert findings.members > 0
    return True


@pytest.fixture
def fetched(monkeypatch) -> Counter[str]:
    """How often each file was copied from a folder."""
    counted: Counter[str] = Counter()
    fetch = mirror.copy_file

    def counting(base: str, path: str, *rest: Any) -> None:
        counted[path] += 1
        fetch(base, path, *rest)

    monkeypatch.setattr(mirror, "copy_file", counting)
    return counted


# --- copies are right


def test_a_copy_has_every_file_to_the_last_byte(two, tmp_path):
    copied = copy_catalog(two, tmp_path / "copy")
    original = files_of(two)
    assert files_of(tmp_path / "copy") == original
    assert copied.collections == ("eurosat", "second")
    copies = original.keys() - made_anew(two)
    assert copied.files == len(copies)
    assert copied.size == sum(len(original[path]) for path in copies)
    assert copied.left == ()
    assert valid(tmp_path / "copy")
    assert os.listdir(tmp_path) == ["copy"]  # nothing hidden stays behind


def test_a_copy_from_the_web_has_every_file_to_the_last_byte(two, tmp_path, serve):
    with serve(two.parent) as url:
        copied = copy_catalog(f"{url}/catalog/catalog.json", tmp_path / "copy")
    assert files_of(tmp_path / "copy") == files_of(two)
    assert copied.files == len(files_of(two).keys() - made_anew(two))


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/catalog.json"])
def test_a_catalog_is_named_by_its_folder_or_its_file(form, catalog, tmp_path):
    copy_catalog(form.format(catalog), tmp_path / "a" / "b")  # parents are made
    assert files_of(tmp_path / "a" / "b") == files_of(catalog)


def test_each_file_is_fetched_once(catalog, tmp_path, fetched):
    copy_catalog(catalog, tmp_path / "copy")
    assert set(fetched) == files_of(catalog).keys() - made_anew(catalog)
    twice = {path for path, count in fetched.items() if count > 1}
    assert all(path.endswith("/collection.json") for path in twice)  # to see that it is the same
    assert max(fetched.values()) == 2


def test_an_empty_folder_is_a_destination(catalog, tmp_path):
    (tmp_path / "copy").mkdir()
    copy_catalog(catalog, tmp_path / "copy")
    assert files_of(tmp_path / "copy") == files_of(catalog)


def test_some_collections_make_a_valid_catalog(two, second, tmp_path):
    copied = copy_catalog(two, tmp_path / "copy", collections=["second"])
    assert copied.collections == ("second",)
    assert files_of(tmp_path / "copy" / "second") == files_of(two / "second")
    assert valid(tmp_path / "copy")
    assert list(Index(tmp_path / "copy").collections) == ["second"]
    root = (tmp_path / "copy" / "catalog.json").read_text()
    assert root == (second / "catalog.json").read_text()
    concepts = (tmp_path / "copy" / "concepts.json").read_text()
    assert "second/collection.json" in concepts
    assert "eurosat/collection.json" not in concepts


def test_collections_are_added_to_a_catalog(catalog, second, two, tmp_path):
    copy_catalog(catalog, tmp_path / "copy")
    copy_catalog(second, tmp_path / "copy")
    assert valid(tmp_path / "copy")
    prune(tmp_path / "copy", older_than=0)
    assert files_of(tmp_path / "copy") == files_of(two)


def test_progress_ends_at_the_number_of_files(catalog, tmp_path):
    seen = []
    copy_catalog(catalog, tmp_path / "copy", progress=lambda *told: seen.append(told))
    assert {(what, unit) for what, _, _, unit in seen} == {("Copying", "files")}
    assert seen[-1][1] == seen[-1][2] == len(files_of(catalog).keys() - made_anew(catalog))
    assert [done for _, done, _, _ in seen] == sorted(done for _, done, _, _ in seen)


# --- copies that cannot be made


def refused(
    what: str, *arguments: Any, kind: type[SatimnetError] = SatimnetError, **options: Any
) -> str:
    with pytest.raises(kind, match=what) as error:
        copy_catalog(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_not_there(two, tmp_path):
    refused(
        "no collection 'xview'; there are eurosat, second",
        two,
        tmp_path / "copy",
        collections=["xview"],
    )
    refused("nothing is there", tmp_path / "nowhere", tmp_path / "copy")
    refused("127.0.0.1:9 cannot be reached", "http://127.0.0.1:9/catalog", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_no_folder_of_anybody_s_is_written_over(catalog, second, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("x")
    refused("is no catalog of satimnet", catalog, tmp_path / "thesis")
    (tmp_path / "file").write_text("x")
    refused("is no catalog of satimnet", catalog, tmp_path / "file")
    assert os.listdir(tmp_path / "thesis") == ["thesis.tex"]


def test_a_catalog_is_not_copied_into_itself(own):
    refused("lies inside the catalog", own, own / "copy", kind=ArgumentError)


def once(call: Callable[..., None]) -> Callable[..., None]:
    """The function, for the first time that it is called."""
    calls = [call]
    return lambda *told: calls.pop()(*told) if calls else None


def test_one_copy_at_a_time_writes_the_same(catalog, second, tmp_path):
    def ask(*_: object) -> None:
        refused("another run is writing it", catalog, tmp_path / "copy")
        copy_catalog(second, tmp_path / "copy")  # while other collections do not wait

    copy_catalog(catalog, tmp_path / "copy", progress=once(ask))
    assert set(Index(tmp_path / "copy").collections) == {"eurosat", "second"}


def test_a_missing_file_is_named(own, tmp_path, serve):
    (home_of(own) / "River" / "River_2.json").unlink()
    refused("River_2.json: nothing is there", own, tmp_path / "copy", kind=NotFoundError)
    with serve(own) as url:
        refused("River_2.json: nothing is there", url, tmp_path / "web copy", kind=NotFoundError)
    assert not (tmp_path / "copy").exists()


def test_a_shard_cut_short_is_named(own, tmp_path, serve):
    shard = shard_of(own, "River-00000")
    shard.write_bytes(shard.read_bytes()[:-1])
    refused(
        r"River-00000-\w+\.zip: .* bytes where its asset says",
        own,
        tmp_path / "copy",
        kind=BadCatalogError,
    )
    with serve(own) as url:
        refused(r"River-00000-\w+\.zip: .* bytes where its asset says", url, tmp_path / "web copy")


def test_a_pipe_is_not_read_for_ever(own, tmp_path):
    os.unlink(home_of(own, "second") / "items.parquet")
    os.mkfifo(home_of(own, "second") / "items.parquet")
    refused("nothing is there", own, tmp_path / "copy")


def move_shards(parquet: Path, folder: str) -> None:
    """Has the rows of an index point to shards in another folder."""
    table = pq.read_table(parquet)
    assets = table["assets"].to_pylist()
    for row in assets:
        for asset in row.values():
            asset["href"] = asset["href"].replace("./../shards", folder)
    at = table.column_names.index("assets")
    column = pa.array(assets, table.schema.field(at).type)
    pq.write_table(table.set_column(at, "assets", column), parquet)


@pytest.mark.parametrize("web", [False, True])
def test_shards_in_the_folder_of_another_catalog(web, catalog, tmp_path, serve):
    """From a copy at another depth the relative hrefs would lead nowhere."""
    whole = shutil.copytree(catalog, tmp_path / "whole")
    save_found(search(whole, classes="River"), tmp_path / "saved")
    with serve(tmp_path) as url:
        source = f"{url}/saved" if web else tmp_path / "saved"
        message = refused("shards outside of its folder", source, tmp_path / "copy")
    home = within(tmp_path / "saved")
    assert message.startswith(f"{source}/{home}/items.parquet: points to")
    assert f"search {source} and copy what is found" in message
    assert sorted(os.listdir(tmp_path)) == ["saved", "whole"]


def test_shards_on_the_web_stay_there(catalog, tmp_path, serve):
    with serve(catalog) as url:
        save_found(search(url, classes="River"), tmp_path / "saved")
        copied = copy_catalog(tmp_path / "saved", tmp_path / "deep" / "copy")
    assert files_of(tmp_path / "deep" / "copy") == files_of(tmp_path / "saved")
    assert copied.left == ()


def test_shards_of_another_collection_come_with_it(own, tmp_path):
    move_shards(home_of(own, "second") / "items.parquet", "../../eurosat/shards")
    copy_catalog(own, tmp_path / "whole")
    refused("outside of its folder", own, tmp_path / "copy", collections=["second"])
    assert sorted(os.listdir(tmp_path)) == ["web", "whole"]


def test_what_fails_before_a_file_is_copied_leaves_no_folder(two, own, second, tmp_path):
    refused(f"{two}/catalog.json: no collection", two, tmp_path / "a" / "copy", collections=["x"])
    (home_of(own, "second") / "items.parquet").unlink()
    refused("nothing is there", own, tmp_path / "copy")
    (home_of(own, "second") / "collection.json").write_text("{")
    refused(r"second/\w+/collection.json: this is not JSON", own, tmp_path / "copy")
    copy_catalog(second, tmp_path / "copy")
    assert sorted(os.listdir(tmp_path)) == ["copy", "web"]


def test_what_fails_later_leaves_what_it_copied(own, tmp_path):
    item = home_of(own) / "River" / "River_2.json"
    text = item.read_bytes()
    item.unlink()
    refused("nothing is there", own, tmp_path / "copy")
    (left,) = tmp_path.glob(".copy.copying-*")
    begun = len(files_of(left / "catalog"))
    (home_of(own, "second") / "collection.json").rename(own / "lost")
    refused("nothing is there", own, tmp_path / "copy")
    assert len(files_of(left / "catalog")) == begun > 10
    (own / "lost").rename(home_of(own, "second") / "collection.json")
    item.write_bytes(text)
    copy_catalog(own, tmp_path / "copy")
    assert files_of(tmp_path / "copy") == files_of(own)
    assert sorted(os.listdir(tmp_path)) == ["copy", "web"]


# --- copies that were interrupted


class Killed(BaseException):
    """As a signal ends a process: no handler of exceptions sees it."""


def interrupt(monkeypatch, after: int) -> None:
    fetch, calls = mirror.copy_file, []

    def failing(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) > after:
            raise Killed
        fetch(*arguments)

    monkeypatch.setattr(mirror, "copy_file", failing)


def test_a_copy_goes_on_after_a_kill(two, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, after=60)
        with pytest.raises(Killed):
            copy_catalog(two, tmp_path / "copy")
    assert [path.startswith(".copy.copying-") for path in os.listdir(tmp_path)] == [True]

    counted = []
    fetch = mirror.copy_file
    monkeypatch.setattr(mirror, "copy_file", lambda *a: (counted.append(a[1]), fetch(*a)))
    copied = copy_catalog(two, tmp_path / "copy")
    assert files_of(tmp_path / "copy") == files_of(two)
    assert copied.files == len(files_of(two).keys() - made_anew(two))
    assert len(counted) < len(files_of(two)) - 40
    assert os.listdir(tmp_path) == ["copy"]


def test_a_copy_of_another_catalog_begins_anew(catalog, second, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, after=40)
        with pytest.raises(Killed):
            copy_catalog(catalog, tmp_path / "copy")
    copy_catalog(second, tmp_path / "copy")
    assert files_of(tmp_path / "copy") == files_of(second)


def test_another_copy_does_not_take_the_place_for_its_own(two, tmp_path):
    killed_at_its_end("copy", two, tmp_path / "copy", "--collection", "eurosat")
    copied = copy_catalog(two, tmp_path / "copy", collections=["second"])
    assert copied.collections == ("second",)
    prune(tmp_path / "copy", older_than=0)
    assert files_of(tmp_path / "copy") == files_of(two)
    assert valid(tmp_path / "copy")
    again = copy_catalog(two, tmp_path / "copy", collections=["eurosat"])
    assert again.there == ("eurosat",)
    assert files_of(tmp_path / "copy") == files_of(two)
    assert os.listdir(tmp_path) == ["copy"]


# --- catalogs from somebody who means no good


OUTSIDE = [
    "../../../../secret.txt",
    "../../../../../secret.txt",
    "../../../second/collection.json",  # of another collection
    "./a/../../../../../secret.txt",
    "....//secret.txt/../../../../../../secret.txt",
    "/etc/hostname",
    "//evil.example/secret.txt",
    "file:///etc/hostname",
    "http://127.0.0.1:9/secret.txt",
    "ftp://127.0.0.1/secret.txt",
    "/vsicurl/http://127.0.0.1:9/secret.txt",
    "..\\..\\secret.txt",
    "C:\\secret.txt",
    "%2e%2e/%2e%2e/%2e%2e/secret.txt",
    "secret.txt?x",
    "secret.txt#x",
    "a\x00b",
    "a\nb",
    "a\x9bb",
    "x" * 5000,
    "../../..",
    "../../../..",
    None,
    1,
    ["a"],
    {"a": "b"},
]


def spoil(catalog: Path, hrefs: list[Any]) -> None:
    """Puts hrefs into each place of a catalog where there can be one."""
    item = {"rel": "item", "href": "./River_1.json"}
    assets = {str(n): {"href": href, "file:size": 1} for n, href in enumerate(hrefs)}
    links = [
        {"rel": rel, "href": href} for rel in ("item", "child", "about", "next") for href in hrefs
    ]
    edit(home_of(catalog) / "River/catalog.json", links=[item, *links], assets=assets)
    home = within(catalog)
    for path in (f"{home}/River/River_1.json", f"{home}/collection.json", "catalog.json"):
        own = json.loads((catalog / path).read_bytes())
        edit(
            catalog / path,
            assets=assets | own.get("assets", {}),
            links=[*own["links"], *links],
        )


@pytest.mark.parametrize("web", [False, True])
def test_no_href_leads_out(web, own, tmp_path, serve):
    for folder in (tmp_path, own.parent):
        (folder / "secret.txt").write_text(SECRET)
    river = f"{within(own)}/River"
    spoil(own, OUTSIDE)
    before = set(tmp_path.rglob("*"))
    if web:
        with serve(own.parent) as url:
            copied = copy_catalog(f"{url}/catalog", tmp_path / "copy")
    else:
        copied = copy_catalog(own, tmp_path / "copy")
    found, original = files_of(tmp_path / "copy"), files_of(own)
    anew = {"eurosat/collection.json"}
    # links stay as they are
    assert {path for path in found if original[path] != found[path]} <= anew
    left_out = {f"{river}/River_{number}.json" for number in (2, 3, 4)}
    assert original.keys() - found.keys() - anew == left_out
    assert SECRET.encode() not in found.values()
    made = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "copy") for path in made)
    assert f"{river}/River_1.json: ../../../../secret.txt" in copied.left
    assert not any(
        link.endswith("http://127.0.0.1:9/secret.txt") and " /" not in link for link in copied.left
    )
    assert all(link.isprintable() for link in copied.left)
    assert any(link.endswith(r": a\nb") for link in copied.left)  # as every message shows it


@pytest.mark.parametrize("href", ["", ".", "./", "x" * 900, "y/" * 400, "River_1.json/x", "x/../x"])
@pytest.mark.parametrize("rel", ["item", "about"])
def test_links_to_nothing(href, rel, small, tmp_path):
    """A link to nowhere is named; to a document it is no reason to copy nothing."""
    link = {"rel": rel, "href": href}
    item = {"rel": "item", "href": "./River_1.json"}
    edit(home_of(small) / "River/catalog.json", links=[item, link])
    if href == "" or (rel == "about" and len(href) != 900):  # no name of a file is that long
        assert len(copy_catalog(small, tmp_path / "copy").left) == 1
    else:
        refused(r"eurosat/\w+/River", small, tmp_path / "copy")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'"x"',
        b"[" * 100_000,
        b"{}",
        b'{"links": 3}',
        b'{"links": {}}',
        b'{"links": [null, 1, [], {}, {"rel": "child"}, {"rel": "item", "href": 3}]}',
        b'{"links": [{"rel": "child", "href": "./catalog.json"}]}',
        b'{"links": [{"rel": "child", "href": "./eurosat/River/River_1.json"}]}',
        b'{"assets": [], "links": [{"rel": ["child"], "href": "eurosat/collection.json"}]}',
    ],
)
@pytest.mark.parametrize(
    "path", ["catalog.json", "eurosat/collection.json", "eurosat/River/River_1.json"]
)
def test_objects_that_are_none(path, content, small, tmp_path):
    (small / path.replace("eurosat", within(small))).write_bytes(content)
    for number, chosen in enumerate([None, ["eurosat"], ["second"]]):
        destination = tmp_path / str(number)
        with suppress(SatimnetError):  # and nothing but that
            copy_catalog(small, destination, collections=chosen)
            continue
        assert not destination.exists()


@pytest.mark.parametrize("changes", [{"id": 3}, {"id": None}, {"id": "../second"}, {"title": 3}])
def test_collections_that_no_build_made(changes, own, tmp_path):
    edit(home_of(own, "second") / "collection.json", **changes)
    if "id" in changes:
        refused(
            "not as satimnet builds|no collection",
            own,
            tmp_path / "copy",
            collections=[str(changes["id"])],
        )
    else:
        refused("not as satimnet builds", own, tmp_path / "copy", collections=["second"])
    copy_catalog(own, tmp_path / "whole")
    found, original = files_of(tmp_path / "whole"), files_of(own)
    for each in (found, original):  # the copy of a Collection that is none is not made
        each.pop("second/collection.json", None)
    assert found == original


def test_sizes_are_bounded(own, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(documents, "MAX_SIZE", 1000)
        refused("collection.json: more than 1000 bytes", own, tmp_path / "copy")
    monkeypatch.setattr(mirror, "_MAX_FILE", 1000)
    refused("items.parquet: more than 1000 bytes|overview.png: more", own, tmp_path / "copy")


class Endless(BaseHTTPRequestHandler):
    """A server that never comes to an end, and says nothing of it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b" " * 2**16)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


class Failing(Endless):
    """A server that is out of order."""

    def do_GET(self) -> None:
        self.send_error(503)


class Lying(Endless):
    """A server that sends less than it says."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"{}")


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (Endless, "more than"),
        (Failing, "503.*the same command goes on"),
        (Lying, "the answer of 127.* broke off.*the same command goes on"),
    ],
)
def test_servers_that_misbehave(handler, reason, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/catalog"
        refused(reason, url, tmp_path / "copy")
        with pytest.raises(SatimnetError, match=r"catalog\.json: (more than|cannot be read)"):
            Index(url)
    finally:
        server.shutdown()
        server.server_close()


# --- the command


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(command, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def test_command(two, tmp_path):
    code, output = run(two, tmp_path / "copy", "--collection", "second")
    assert code == 0
    assert "second: " in output
    assert f"{tmp_path / 'copy' / 'catalog.json'} is ready" in output
    assert valid(tmp_path / "copy")
    assert run(two, tmp_path / "quiet", "--quiet") == (0, "")
    code, output = run(two, tmp_path / "copy", "--collection", "second")
    assert code == 0
    assert "second: this version is there already" in output


def test_command_says_what_was_not_copied(own, tmp_path):
    edit(home_of(own, "second") / "River" / "River_1.json", assets={"x": {"href": "/etc/hostname"}})
    code, output = run(own, tmp_path / "copy")
    assert code == 0
    home = within(own, "second")
    assert f"not copied: {home}/River/River_1.json: /etc/hostname" in output


def test_what_was_not_copied_is_counted_once(own, tmp_path):
    file = home_of(own, "second") / "collection.json"
    link = {"rel": "derived_from", "href": "../../../whole/collection.json"}
    edit(file, links=[*json.loads(file.read_bytes())["links"], link])
    assert copy_catalog(own, tmp_path / "one").left == (
        f"{within(own, 'second')}/collection.json: ../../../whole/collection.json",
    )
    assets = {str(number): {"href": f"/elsewhere/{number}"} for number in range(1500)}
    edit(home_of(own, "second") / "River" / "River_1.json", assets=assets)
    copied = copy_catalog(own, tmp_path / "two")
    assert (len(copied.left), copied.left_count) == (1000, 1501)
    code, output = run(own, tmp_path / "three")
    assert code == 0
    assert "not copied: 1,491 more links\n" in output


# --- stactools' own commands


def stac(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A run in a process of its own: importing stactools' commands changes pystac's defaults."""
    code = "from stactools.cli.cli import run_cli; run_cli()"
    words = [str(argument) for argument in arguments]
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)


def item_assets(catalog: Path) -> list[str]:
    """Where the assets of all Items are, by pystac."""
    root = pystac.Catalog.from_file(str(catalog))
    return [
        str(asset.get_absolute_href())
        for item in root.get_items(recursive=True)
        for asset in item.assets.values()
    ]


def test_stac_info(catalog):
    done = stac("info", catalog / "catalog.json")
    assert done.returncode == 0, done.stderr
    assert "COLLECTIONS: 1" in done.stdout
    assert f"ITEMS: {ITEMS}" in done.stdout


def test_stac_copy_leaves_shards_where_they_are(catalog, tmp_path):
    """Links of the tree and assets of Items are right; files of the collection are not copied."""
    done = stac("copy", catalog / "catalog.json", tmp_path / "copy")
    assert done.returncode == 0, done.stderr
    found = item_assets(tmp_path / "copy" / "catalog.json")
    assert len(found) == 2 * ITEMS
    assert {Path(href).parent for href in found} == {catalog / "eurosat" / "shards"}
    missing = {
        problem.rpartition(" ")[2]
        for problem in validate(tmp_path / "copy", allow_outside=True).problems
    }
    assert missing == {
        "./items.parquet",
        "./build-report.json",
        "./explorer.json",
        "./explorer.bin",
        *("./overview.png", "./class-histogram.svg", "./first-look.ipynb"),
        *(f"./{path.name}" for path in catalog.glob("concepts-*.json")),
    }


def test_stac_merge_adds_a_collection(catalog, second, tmp_path):
    target = shutil.copytree(catalog, tmp_path / "target") / "catalog.json"
    source = home_of(second, "second") / "collection.json"
    done = stac("merge", "--as-child", "--child-folder", "second", source, target)
    assert done.returncode == 0, done.stderr
    found = item_assets(target)
    assert len(found) == 4 * ITEMS
    assert all(Path(href).is_file() for href in found)


@pytest.mark.parametrize("options", [(), ("-s",), ("-s", "-k")])
def test_stac_layout(options, catalog, tmp_path):
    whole = shutil.copytree(catalog, tmp_path / "target")
    target = home_of(whole) / "collection.json"
    done = stac("layout", *options, target, "${gsd}")
    assert done.returncode == 0, done.stderr
    found = item_assets(whole / "catalog.json")
    assert len(found) == 2 * ITEMS
    assert all(Path(href).is_file() for href in found)
    assert valid(whole)  # the index too: its rows say where the shards are
