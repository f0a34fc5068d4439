"""What a catalog of somebody else may do: be wrong anywhere, point anywhere, be called anything."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from published import home_of, shard_of
from stactools.cli.cli import cli
from trial_catalog import write_catalog

from satimnet.builder import build, gdal_path, read_bytes, resolve, search, validate
from satimnet.builder import open as open_client
from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.errors import ArgumentError, CatalogWarning, SatimnetError
from satimnet.builder.exports import export
from satimnet.builder.quality import assess
from satimnet.builder.query.index import Index
from satimnet.builder.storage.hrefs import Bounds, catalog_file, file_name, quoted_url, readable
from satimnet.builder.transfer.mirror import copy_catalog
from satimnet.builder.transfer.subset import copy_found as copy
from satimnet.builder.transfer.subset import save_found as save
from satimnet.training import open_samples
from stactools.uc_merced.miniature import write_miniature as write_uc_merced

SECRET = b"not a part of any catalog"


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    """A catalog of the two collections eurosat and clouds, to be spoilt."""
    write_catalog(tmp_path / "trial")
    return tmp_path / "trial"


def change(path: Path, edit) -> None:
    """Changes what a JSON file says."""
    content = json.loads(path.read_bytes())
    edit(content)
    path.write_text(json.dumps(content))


def change_rows(path: Path, edit) -> None:
    """Changes the rows of a parquet file."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        edit(row)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


def stac(*arguments) -> tuple[int, str]:
    """Exit code and all that the command printed."""
    done = CliRunner().invoke(cli, ["satimnet", *map(str, arguments)])
    assert "a fault of satimnet" not in done.output
    return done.exit_code, done.output


# --- values of the wrong type -------------------------------------------------------------------

WRONG = [
    (lambda d: d.update(description=7), "description is 7; it must be a text"),
    (lambda d: d.update(license=None), "license is null; it must be a text"),
    (lambda d: d.pop("id"), "it has no id"),
    (lambda d: d.pop("stac_version"), "it has no stac_version"),
    (lambda d: d.update(stac_version="0.9.0"), "stac_version is \"0.9.0\"; it must be a version"),
    (lambda d: d["links"].insert(0, "x"), r"links\[0\] is \"x\"; it must be an object"),
    (lambda d: d["links"][0].pop("href"), r"links\[0\] has no href"),
    (lambda d: d["links"][0].update(href="http://["), r"links\[0\].href is .* a path or a URL"),
    (lambda d: d.update(assets={"a": {"href": "//["}}), "assets.a.href is .* a path or a URL"),
    (lambda d: d["extent"]["spatial"].update(bbox=[[1, 2]]), "extent.spatial.bbox"),
    (lambda d: d["extent"].update(temporal=[]), "extent.temporal is a list; it must be an object"),
    (lambda d: d.update(assets=[]), "assets is a list"),
    (lambda d: d.update(item_assets={"a": {"proj:shape": [3]}}), "item_assets.a.proj:shape must"),
    (lambda d: d.update(item_assets={"a": {"bands": [{}]}}), r"item_assets.a.bands\[0\] has no n"),
    (lambda d: d.update(summaries={"classification:classes": [{"name": "a", "value": "1"}]}),
     r"summaries.classification:classes\[0\].value is \"1\"; it must be a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "message"), WRONG)
def test_a_wrong_value_is_named_and_the_other_collections_are_read(trial, edit, message):
    path = home_of(trial) / "collection.json"
    change(path, edit)
    with pytest.warns(CatalogWarning, match=message) as warned:
        index = Index(trial)
    assert str(path) in str(warned[0].message)
    assert list(index.collections) == ["clouds"]
    assert {item["collection"] for item in search(index)} == {"clouds"}
    with pytest.raises(SatimnetError, match=message):
        search(index, collections=["eurosat"])


@pytest.mark.parametrize("lost", ["eurosat", "eurosat/collection.json", "eurosat/items.parquet"])
def test_a_collection_that_is_gone_is_survived_with_a_sentence(trial, lost):
    path = trial / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    for command in (("info",), ("search", "--limit", "1")):
        code, printed = stac(command[0], trial, *command[1:])
        assert code == 0
        assert "Warning: " in printed
        assert "nothing is there" in printed
    code, printed = stac("search", trial, "--collection", "eurosat")
    assert code == 1
    assert "nothing is there" in printed.splitlines()[-1]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda links: links.append("x"), r"catalog.json: links\[3\] is \"x\""),
        (lambda links: links[1].update(href=None), r"catalog.json: links\[1\].href is null"),
        (lambda links: links.append(links[1]), "another collection has the id eurosat"),
    ],
)
def test_a_wrong_link_of_the_root_does_not_stop_the_others(trial, edit, message):
    change(trial / "catalog.json", lambda root: edit(root["links"]))
    with pytest.warns(CatalogWarning, match=message):
        assert "clouds" in Index(trial).collections


@pytest.mark.parametrize("version", ["", "x", "0.9.0", "1.0.0-beta.2", 1.1])
def test_a_root_of_no_version_of_stac_is_named(trial, version):
    change(trial / "catalog.json", lambda root: root.update(stac_version=version))
    with pytest.raises(SatimnetError, match=r"catalog\.json: stac_version is "):
        open_client(trial)


def test_a_root_without_a_version_is_read_in_every_way(trial):
    change(trial / "catalog.json", lambda root: root.pop("stac_version"))
    assert {one.id for one in open_client(trial).get_collections()} == {"clouds", "eurosat"}
    assert len(search(trial)) > 0


COLUMNS = [
    (lambda t: t.drop_columns(["assets"]), "it has no assets"),
    (lambda t: t.set_column(3, "id", pa.array(range(len(t)))), "id is a whole number"),
    (lambda t: t.set_column(7, "links", pa.array(["x"] * len(t))), "links is a text"),
    (lambda t: t.set_column(4, "geometry", pa.array(["x"] * len(t))), "geometry is a text"),
    (lambda t: t.append_column("satimnet:country", pa.array([7] * len(t))), "satimnet:country is"),
    (
        lambda t: t.append_column("satimnet:statistics", pa.array([[7]] * len(t))),
        r"satimnet:statistics\[0\] is a whole number",
    ),
]


@pytest.mark.parametrize(("edit", "message"), COLUMNS)
def test_a_column_of_the_wrong_type_is_named(trial, edit, message):
    path = home_of(trial) / "items.parquet"
    pq.write_table(edit(pq.read_table(path)), path)
    with pytest.warns(CatalogWarning, match=rf"eurosat/items\.parquet: {message}"):
        assert {item["collection"] for item in search(trial)} == {"clouds"}
    with pytest.raises(SatimnetError, match=message):
        search(trial, collections="eurosat")


BOX = {"xmin": 1.0, "ymin": 2.0, "xmax": 3.0, "ymax": 4.0}
ROWS = [
    (lambda row: row.update(id=None), "no id"),
    (lambda row: row.update(type="0"), "is a 0 of STAC 1.1.0"),
    (lambda row: row.update(stac_version="x"), "is a Feature of STAC x"),
    (lambda row: row.update(geometry=b"\1\2"), "no Items"),
    (lambda row: row.update(bbox=BOX | {"xmax": None}), "lacks a number"),
    (lambda row: row.update(bbox=BOX | {"xmax": math.nan}), "lacks a number"),
    (lambda row: row.update({"satimnet:classes": ["x", None]}), "satimnet:classes has a null"),
    (lambda row: row.update(stac_extensions=[None]), "stac_extensions has a null"),
    (lambda row: row.update(collection=None), "no collection"),
    (lambda row: row["links"][0].update(rel=None), "no rel"),
    (lambda row: row["links"][0].update(href=None), "no href"),
    (lambda row: row["links"][0].update(href="http://["), "which is no path and no URL"),
    (lambda row: row["assets"]["scene"].update(href=None), "no href"),
    (lambda row: row["assets"]["scene"]["archive"].append(None), "member without a name"),
    (lambda row: row["assets"]["scene"]["archive"][0].update(range=[5]), "byte range"),
    (lambda row: row["assets"]["scene"]["archive"][0].update(range=[9, 3]), "byte range"),
]


@pytest.mark.parametrize(("edit", "message"), ROWS)
def test_a_row_that_is_no_item_is_an_error_that_names_the_file(trial, edit, message):
    change_rows(home_of(trial, "clouds") / "items.parquet", edit)
    with pytest.raises(SatimnetError, match=rf"clouds/items\.parquet: .*{message}"):
        list(search(trial, collections=["clouds"]))
    findings = validate(trial)
    assert any(message in problem for problem in findings.problems)


@pytest.mark.parametrize("pipe", ["eurosat/collection.json", "eurosat/items.parquet"])
def test_a_pipe_is_not_waited_for(trial, pipe):
    (trial / pipe).unlink()
    os.mkfifo(trial / pipe)
    with pytest.warns(CatalogWarning, match=rf"{pipe}: cannot be read: .*no regular file"):
        assert list(Index(trial).collections) == ["clouds"]
    assert any(pipe in problem for problem in validate(trial).problems)


def test_a_collection_that_cannot_be_opened_is_left_out_with_the_reason(trial):
    lost = home_of(trial) / "items.parquet"
    lost.unlink()
    lost.symlink_to(lost.name)
    with pytest.warns(CatalogWarning, match=rf"{lost}: cannot be read: .*symbolic links"):
        assert list(Index(trial, allow_outside=True).collections) == ["clouds"]


@pytest.mark.parametrize("text", ["[" * 200 + "]" * 200, '{"a":' * 150 + "1" + "}" * 150, "NaN"])
def test_what_is_too_deep_or_no_json_is_refused(text):
    with pytest.raises(SatimnetError, match=r"^x\.json: "):
        documents.parse(text.encode(), "x.json")


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("{"), Path.unlink])
def test_a_broken_neighbour_does_not_keep_others_from_being_published(catalog, tmp_path, spoil):
    own = shutil.copytree(catalog, tmp_path / "own")
    before = (own / "eurosat/collection.json").read_bytes()
    spoil(home_of(own) / "collection.json")
    build(write_uc_merced(tmp_path / "source", 1), own, overview=False)
    assert (own / "eurosat/collection.json").read_bytes() == before
    with pytest.warns(CatalogWarning, match=re.escape(str(home_of(own)))):
        assert list(Index(own).collections) == ["uc-merced"]


# --- where a catalog may lead -------------------------------------------------------------------


def point(catalog: Path, href: str) -> None:
    """Lets the assets of a built catalog lie at ``href``."""

    def edit(row):
        for asset in filter(None, row["assets"].values()):
            asset |= {"href": href, "file:size": None, "satimnet:pixels": None}
            for entry in asset["archive"]:
                entry |= {"range": [0, len(SECRET) - 1], "file:size": None, "file:checksum": None}

    change_rows(home_of(catalog) / "items.parquet", edit)


@pytest.fixture
def evil(catalog, tmp_path):
    """A copy of a built catalog, and beside it what it must not lead to."""
    (tmp_path / "secret").write_bytes(SECRET)
    shutil.copytree(catalog, tmp_path / "evil")
    for path in home_of(tmp_path / "evil").rglob("*_*.json"):
        path.unlink()
    return tmp_path / "evil"


def uses(catalog, out):
    """All that reads what assets point to."""
    yield lambda: list(search(catalog))
    yield lambda: list(open_client(catalog).search().items())
    yield lambda: save(search(catalog), out / "saved")
    yield lambda: copy(search(catalog), out / "copied")
    yield lambda: export(Index(catalog), "trainingdml", out / "exported")
    yield lambda: export(Index(catalog), "gdal-parquet", out / "exported")
    yield lambda: next(iter(open_samples(catalog).search().to_batches(2, bands=["red"])))


def test_a_catalog_from_the_web_points_only_to_the_web(evil, serve, tmp_path):
    with serve(evil) as url:
        for href in (f"file://{tmp_path}/secret", "s3://bucket/x"):
            point(evil, href)
            for use in uses(url, tmp_path / "out"):
                with pytest.raises(SatimnetError, match="no path and no web URL"):
                    use()
    assert not list((tmp_path / "out").rglob("*.zip"))


@pytest.mark.parametrize("way", ["absolute", "relative", "link", "parent"])
def test_a_catalog_in_a_folder_points_only_into_it(evil, tmp_path, way):
    href = {
        "absolute": f"{tmp_path}/secret",
        "relative": "../../../secret",
        "link": "../shards/linked.zip",
        "parent": "./parent/secret",
    }[way]
    (evil / "eurosat/shards/linked.zip").symlink_to(tmp_path / "secret")
    (home_of(evil) / "parent").symlink_to(tmp_path)
    point(evil, href)
    for use in uses(evil, tmp_path / "out"):
        with pytest.raises(SatimnetError, match=r"outside of the catalog's folder.*allow-outside"):
            use()
    findings = validate(evil, checksums=True)
    assert "outside of the catalog's folder" in "\n".join(findings.problems)
    with pytest.raises(SatimnetError, match="outside of the catalog's folder"):
        assess(evil, tmp_path / "report")
    assert not (tmp_path / "report").exists()
    found = search(evil, limit=1, allow_outside=True)
    assert read_bytes(next(iter(found))["assets"]["rgb"]) == SECRET
    assert stac("search", evil, "--limit", "1")[0] == 1
    assert stac("search", evil, "--limit", "1", "--allow-outside")[0] == 0


def test_a_path_that_no_system_has_is_named(evil):
    point(evil, "../shards/a\0b.zip")
    with pytest.raises(SatimnetError, match=r"items\.parquet: points to .*, which is no path"):
        list(search(evil, limit=1))


@pytest.mark.parametrize("place", ["child", "mirror"])
def test_documents_and_indexes_lie_inside_as_well(trial, tmp_path, place):
    (trial / "clouds").rename(tmp_path / "elsewhere")
    if place == "child":
        link = {"rel": "child", "href": "../elsewhere/collection.json"}
        change(trial / "catalog.json", lambda root: root["links"].append(link))
    else:
        shutil.copytree(tmp_path / "elsewhere", trial / "clouds")
        mirror = {"href": "../../elsewhere/items.parquet", "roles": ["collection-mirror"]}
        change(home_of(trial, "clouds") / "collection.json", lambda d: d["assets"].update(a=mirror))
        change(
            home_of(trial, "clouds") / "collection.json",
            lambda d: d["assets"].pop("geoparquet-items"),
        )
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.warns(CatalogWarning, match="outside of the catalog's folder"),
    ):
        assert list(Index(trial).collections) == ["eurosat"]
    with warnings.catch_warnings(action="ignore"):
        assert "clouds" in Index(trial, allow_outside=True).collections


def test_a_copy_does_not_follow_links_out_of_the_folder(catalog, tmp_path):
    evil = shutil.copytree(catalog, tmp_path / "evil")
    shard = shard_of(evil, "River-00000")
    shard.rename(tmp_path / "shard.zip")
    shard.symlink_to(tmp_path / "shard.zip")
    with pytest.raises(SatimnetError, match="outside of the catalog's folder"):
        copy_catalog(evil, tmp_path / "copy")
    copy_catalog(evil, tmp_path / "copy", allow_outside=True)
    assert not shard_of(tmp_path / "copy", "River-00000").is_symlink()


def test_what_this_user_saved_is_read_and_a_forged_seal_is_not(catalog, tmp_path, monkeypatch):
    save(search(catalog, classes="River"), tmp_path / "saved")
    assert read_bytes(next(iter(search(tmp_path / "saved")))["assets"]["rgb"])
    assert not validate(tmp_path / "saved", checksums=True).problems
    save(search(tmp_path / "saved", limit=1), tmp_path / "again")
    assert read_bytes(next(iter(search(tmp_path / "again")))["assets"]["rgb"])
    schema = pq.read_schema(home_of(tmp_path / "saved") / "items.parquet")
    assert b"seal" not in schema.metadata[b"stac-geoparquet"]
    for name in ("stolen", "renamed"):  # the seal is for these Items of this collection alone
        shutil.copytree(tmp_path / "again", tmp_path / name)
    other = pq.read_table(home_of(tmp_path / "saved") / "items.parquet")
    pq.write_table(other, home_of(tmp_path / "stolen") / "items.parquet")
    change(home_of(tmp_path / "renamed") / "collection.json", lambda d: d.update(id="mine"))
    for name in ("stolen", "renamed"):
        with pytest.raises(SatimnetError, match="outside of the catalog's folder"):
            list(search(tmp_path / name))
    document = home_of(tmp_path / "saved") / "collection.json"
    change(document, lambda d: d["outside"].update(folders=["../.."]))
    with pytest.raises(SatimnetError, match="outside of the catalog's folder"):
        list(search(tmp_path / "saved"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    with pytest.raises(SatimnetError, match="outside of the catalog's folder"):
        list(search(tmp_path / "again"))
    assert len(list(search(tmp_path / "again", allow_outside=True))) == 1


def test_pystac_items_from_the_web_are_not_followed_to_this_machine(tmp_path):
    import pystac

    (tmp_path / "secret").write_bytes(SECRET)
    for href in (f"file://{tmp_path}/secret", "s3://bucket/secret", str(tmp_path / "secret")):
        item = pystac.Item("a", None, None, datetime(2020, 1, 1, tzinfo=UTC), {})
        item.set_self_href("http://127.0.0.1:9/a.json")
        item.add_asset("x", pystac.Asset(href))
        if href.startswith("/"):  # a path of that host
            assert gdal_path(item.assets["x"]) == f"/vsicurl/http://127.0.0.1:9{href}"
            continue
        for use in (read_bytes, gdal_path):
            with pytest.raises(SatimnetError, match="no path and no web URL"):
                use(item.assets["x"])


def test_pystac_items_of_a_folder_are_not_followed_out_of_it(catalog, tmp_path):
    import pystac

    (tmp_path / "secret").write_bytes(SECRET)
    evil = shutil.copytree(catalog, tmp_path / "evil")
    path = next(home_of(evil).glob("*/*_*.json"))
    item = pystac.Item.from_file(path)
    key = next(iter(item.assets))
    assert read_bytes(item.assets[key])
    change(path, lambda d: d["assets"].update(x={"href": "../../../../secret"}))
    outside = pystac.Item.from_file(path).assets["x"]
    change(path, lambda d: d["links"].append({"rel": "root", "href": str(tmp_path / "secret")}))
    alone = pystac.Item("a", None, None, datetime(2020, 1, 1, tzinfo=UTC), {})
    alone.add_asset("x", pystac.Asset(str(tmp_path / "secret")))
    for asset in (outside, pystac.Item.from_file(path).assets["x"], alone.assets["x"]):
        for use in (read_bytes, gdal_path):
            with pytest.raises(SatimnetError, match="allow_outside"):
                use(asset)
        assert read_bytes(asset, allow_outside=True) == SECRET


def test_what_a_server_answers_is_not_followed_to_this_machine(catalog, serve, tmp_path):
    """Whatever links it gives itself, as an Item of pystac's or the dict that a client changes."""
    import pystac
    import pystac_client

    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    archive = [{"href": "x", "type": "image/tiff", "range": [0, 1]}]
    for links in (
        [],
        [{"rel": "self", "href": f"{tmp_path}/x.json"}],
        [{"rel": "root", "href": str(secret)}],
        [{"rel": "root", "href": str(catalog / "catalog.json")}],
        [{"rel": "collection", "href": "http://127.0.0.1:9/x"}],
    ):
        asset = {"href": str(secret), "archive": archive}
        item = {"type": "Feature", "id": "a", "links": links, "assets": {"x": asset}}
        for found in (item, {"type": "FeatureCollection", "features": [item]}):
            before = json.dumps(found)
            with pytest.raises(SatimnetError, match=r"allow.outside"):
                resolve(found)
            assert json.dumps(found) == before
    with serve(catalog) as url:
        root = pystac_client.Client.from_file(f"{url}/catalog.json")
        item |= {"stac_version": "1.1.0", "geometry": None}
        item["properties"] = {"datetime": "2020-01-01T00:00:00Z"}
        plain, forged = ([], [{"rel": "self", "href": f"{tmp_path}/x.json"}])
        for href, links, reason in (
            (f"file://{secret}", plain, "no path and no web URL"),
            (f"file://{secret}", forged, "no path and no web URL"),
            ("./secret", forged, "may only point to the web"),
        ):
            item |= {"links": links, "assets": {"x": {"href": href}}}
            with pytest.raises(SatimnetError, match=reason):
                read_bytes(pystac.Item.from_dict(item, root=root).assets["x"])
        item |= {"links": plain, "assets": {"x": {"href": str(secret)}}}  # a path of that host
        asset = pystac.Item.from_dict(item, root=root).assets["x"]
        assert gdal_path(asset) == f"/vsicurl/{url}{secret}"


def test_items_of_this_machine_are_resolved(catalog, tmp_path):
    item = next(iter(search(catalog)))
    key = next(iter(item["assets"]))
    path = gdal_path(item["assets"][key])
    assert resolve(item)["assets"][key]["href"] == path
    save(search(catalog, classes="River"), tmp_path / "saved")
    for place, more in ((catalog, False), (tmp_path / "saved", False), (catalog, True)):
        (first,) = open_client(place, allow_outside=more).search(max_items=1).items()
        assert read_bytes(first.assets["rgb"])[:2] == b"\xff\xd8"


# --- places -------------------------------------------------------------------------------------

STORES = ["s3://bucket/x", "gs://bucket/x", "az://container/x"]
PLACES = [*STORES, "ftp://host/x", "hdfs://x/y", "file:///x/y"]


@pytest.mark.parametrize("place", PLACES)
def test_a_scheme_that_nothing_writes_is_refused_before_anything_is_done(
    catalog, miniature, tmp_path, monkeypatch, place
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "AZURE_"))]:
        if name != "AWS_SHARED_CREDENTIALS_FILE":
            monkeypatch.delenv(name)
    for arguments in (
        ("build", miniature, "--out", place),
        ("copy", catalog, place),
        ("search", catalog, "--save", place),
        ("search", catalog, "--copy", place),
        ("search", catalog, "--format", "geoparquet", "--out", place),
        ("export", catalog, "--format", "dcat", "--out", place),
        ("quality", catalog, "--out", place),
        ("train", catalog, "--out", place),
        ("info", place),
        ("validate", place),
        ("copy", place, tmp_path / "copy"),
        ("build", place, "--out", tmp_path / "built"),
    ):
        code, printed = stac(*arguments)
        assert code == 1
        assert printed.strip().count("\n") == 0
        assert place.partition(":")[0] in printed
    for call in (
        lambda: build([miniature], Path(place)),
        lambda: copy_catalog(catalog, Path(place)),
        lambda: save(search(catalog), Path(place)),
        lambda: export(Index(catalog), "dcat", Path(place)),
        lambda: assess(catalog, Path(place)),
    ):
        with pytest.raises(SatimnetError, match="cannot be used here"):
            call()
    for call in (lambda: search(place), lambda: open_samples(place)):
        reason = "no credentials; set" if place in STORES else "cannot be used here"
        with pytest.raises(SatimnetError, match=reason):
            call()
    assert not list(tmp_path.iterdir())


def test_what_begins_like_a_url_and_is_none_is_an_argument_error():
    code, printed = stac("search", "http://[bad", "--count")
    assert (code, printed) == (1, "Error: http://[bad: is no URL; mend its host\n")
    for call in (search, open_samples):
        with pytest.raises(ArgumentError, match="is no URL"):
            call("http://[bad")


ODD = ["[12]", "a*b?", "run #2", "50%20of", "back\\slash [x]", "x.json", "k=v", "ün icode"]


@pytest.mark.parametrize("name", ODD)
def test_any_folder_can_hold_a_catalog(trial, tmp_path, name):
    home = tmp_path / name
    trial.rename(home)
    for neighbour in ("1", "ab", "axb1"):  # what a pattern might mean
        write_catalog(tmp_path / neighbour)
        pq.write_table(
            pq.read_table(home_of(home, "clouds") / "items.parquet").slice(0, 1),
            home_of(tmp_path / neighbour, "clouds") / "items.parquet",
        )
    found = search(home, collections=["clouds"])
    assert len(found) == 250
    item = next(iter(found))
    assert item["assets"]["scene"]["href"].startswith(f"{home}/clouds/shards/")
    assert read_bytes(item["assets"]["scene"]) == b"uds A"
    (first,) = open_client(home).search(collections=["clouds"], max_items=1).items()
    assert read_bytes(first.assets["scene"]) == b"uds A"
    assert validate(home, checksums=True).objects["Feature"]
    assert stac("search", home, "--count")[1] == "650\n"


def test_a_catalog_at_the_root_of_the_file_system_leads_below_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # which an empty path would mean
    root = "/catalog.json"
    assert Bounds.of(root).resolve("./a/collection.json", root) == "/a/collection.json"


def test_paths_and_urls_are_told_apart_in_one_way(tmp_path):
    assert readable("HTTP://host/x") == "HTTP://host/x"
    assert readable("x:y") == os.path.abspath("x:y")
    assert catalog_file("http://host/a.json?key=1") == "http://host/a.json?key=1"
    assert catalog_file("http://host/a") == "http://host/a/catalog.json"
    assert (
        quoted_url("http://[::1]:80/my data/[1]/50%") == "http://[::1]:80/my%20data/%5B1%5D/50%25"
    )
    assert quoted_url("http://host/a%20b?x=1&y=é#f") == "http://host/a%20b?x=1&y=%C3%A9#f"
    bounds = Bounds(str(tmp_path))
    assert bounds.resolve("https://host/x", f"{tmp_path}/a.json") == "https://host/x"
    with pytest.raises(SatimnetError, match="no path and no web URL"):
        bounds.resolve("file:/etc/passwd", f"{tmp_path}/a.json")


# --- names and words ----------------------------------------------------------------------------

NAMES = ["../../x", "/x", "", ".", "..", ".hidden", "a/b", "a\\b", "a\nb", "\x1b[2J", "x" * 300]


@pytest.mark.parametrize("name", [*NAMES, "catalog", "Collection.json", "\u2028", "é" * 150])
def test_an_id_that_cannot_name_a_file_is_refused(trial, tmp_path, name):
    with pytest.raises(SatimnetError, match="cannot name a file"):
        file_name(name)
    change(home_of(trial) / "collection.json", lambda d: d.update(id=name))
    before = sorted(tmp_path.rglob("*"))
    for form in ("croissant", "trainingdml", "gdal-parquet"):
        with pytest.raises(SatimnetError, match="cannot name a file"):
            export(Index(trial), form, tmp_path / "out")
    for way in (save, copy):
        with pytest.raises(SatimnetError):
            way(search(trial, collections=[name]), tmp_path / "made")
    with pytest.raises(SatimnetError, match="cannot name a file"):
        assess(trial, tmp_path / "quality")
    assert sorted(tmp_path.rglob("*")) == before


ORDERS = ["\x1b]0;PWNED\x07\x1b[2J", "[/x] [link=file:///x]y[/] [bold]", "\x9b31m", "a\u202eb"]


@pytest.mark.parametrize("text", ORDERS)
def test_what_a_catalog_says_is_printed_as_text(trial, text):
    def edit(document):
        document |= {"title": f"T{text}", "description": f"D{text}", "license": f"L{text}"}

    change(home_of(trial) / "collection.json", edit)
    change_rows(
        home_of(trial) / "items.parquet",
        lambda row: row.update({"id": f"I{text}{row['id']}", "satimnet:classes": [f"C{text}"]}),
    )
    for arguments in (
        ("info", trial),
        ("info", trial, "--attributes"),
        ("info", trial, "--attributes", "--format", "markdown"),
        ("search", trial, "--limit", "3"),
        ("search", trial, "--limit", "3", "--format", "json"),
        ("search", trial, "--facets"),
        ("search", trial, "--facets", "--format", "json"),
    ):
        code, printed = stac(*arguments)
        assert code == 0
        assert all(c.isprintable() or c == "\n" for c in printed)
        if "\x1b" not in text and arguments[1:] == (trial,):
            assert "T[/x]" in printed or "[" not in text
    for arguments in (("validate", trial), ("search", trial, "--id", f"no{text}")):
        _, printed = stac(*arguments)
        assert all(c.isprintable() or c == "\n" for c in printed)
