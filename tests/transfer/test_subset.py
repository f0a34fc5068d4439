"""What a search found, saved and copied: valid, searchable, trainable, the same bytes."""

import hashlib
import io
import json
import os
import shutil

import pyarrow.parquet as pq
import pytest
import stac_geoparquet.arrow
from click.testing import CliRunner
from killed import killed_at_its_end
from published import home_of, shard_of
from stactools.cli.cli import cli
from trial_catalog import write_catalog

from satimnet.builder.catalog.validation import validate
from satimnet.builder.errors import ArgumentError, NotFoundError, SatimnetError, StorageError
from satimnet.builder.publishing import protocol
from satimnet.builder.query.search import count, search
from satimnet.builder.storage import objects
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.storage.hrefs import join
from satimnet.builder.transfer.mirror import copy_catalog
from satimnet.builder.transfer.subset import copy_found, save_found, write_found
from satimnet.training import open_samples

WANTED = ["River", "SeaLake", "Forest"]


@pytest.fixture(params=["disk", "http"])
def place(request, catalog, serve):
    """The catalog's folder or its URL."""
    if request.param == "disk":
        yield str(catalog)
        return
    with serve(catalog) as url:
        yield url


def content(item):
    """All of an Item but where it and its members lie."""
    assets = json.loads(json.dumps(item["assets"]))
    for asset in assets.values():
        for key in ("href", "file:size"):
            del asset[key]
        first = asset["archive"][0].pop("range")[0]
        if "satimnet:pixels" in asset:
            asset["satimnet:pixels"]["offset"] -= first
    return {k: v for k, v in item.items() if k not in ("links", "assets")} | {"assets": assets}


def same_items(found, made, shards):
    """Whether the Items are those found, in the order of the catalog, with the same members."""
    expected = sorted(found, key=lambda item: (item["collection"], item["id"]))
    got = sorted(search(made), key=lambda item: (item["collection"], item["id"]))
    assert [content(item) for item in got] == [content(item) for item in expected]
    for old, new in zip(expected, got):
        for key, asset in old["assets"].items():
            assert (new["assets"][key]["href"] == asset["href"]) == (shards == "the same")
            assert read_bytes(new["assets"][key]) == read_bytes(asset)


@pytest.mark.parametrize("way", [save_found, copy_found])
def test_a_part_is_a_catalog_of_its_own(place, schemas, tmp_path, way):
    found = search(place, classes=WANTED, sortby="-id")
    made = tmp_path / "deep" / "made"
    assert way(found, made) == len(found) == 12
    findings = validate(made, schemas=schemas, checksums=True)
    assert findings.count == 0, findings.problems
    assert findings.objects["Feature"] == 12
    if way is copy_found or "://" not in place:
        assert findings.members == 24
    assert findings.members + findings.elsewhere == 24
    same_items(found, made, "the same" if way is save_found else "new")
    collection = json.loads((home_of(made) / "collection.json").read_text())
    assert collection["summaries"]["satimnet:classes"] == sorted(WANTED)
    before = found.index.collections["eurosat"].document.json["summaries"]
    assert list(collection["summaries"]) == [k for k in before if k in collection["summaries"]]
    assert len(collection["summaries"]["classification:classes"]) == 10
    assert "12 items that a search found" in collection["description"]
    assert count(made, concept="water") == 8
    assert os.listdir(tmp_path / "deep") == ["made"]
    samples, whole = (
        open_samples(home).search(collections=["eurosat"], ids=[i["id"] for i in found])
        for home in (str(made), place)
    )
    for bands in (["red", "blue"], ["B04"]):
        if way is copy_found or "://" not in place:
            batch, other = (next(iter(s.to_batches(12, bands=bands))) for s in (samples, whole))
            assert batch.images.shape == (12, len(bands), 64, 64)
            assert (batch.images == other.images).all()


def test_copies_can_be_moved_and_saved_ones_with_their_shards(catalog, tmp_path):
    home = tmp_path / "one"
    shutil.copytree(catalog, home / "whole")
    found = search(home / "whole", classes="River")
    copy_found(found, home / "copied")
    save_found(found, home / "saved")
    home.rename(tmp_path / "two")
    moved = tmp_path / "two"
    asset = next(iter(search(moved / "saved")))["assets"]["rgb"]
    assert asset["href"].startswith(str(moved / "whole"))
    assert read_bytes(asset)
    shutil.rmtree(moved / "whole")
    for item in search(moved / "copied"):
        assert all(read_bytes(asset) for asset in item["assets"].values())
    with pytest.raises(SatimnetError, match=r"River-00000-\w+\.zip"):
        read_bytes(asset)


def test_a_copy_of_a_copy_is_the_same_bytes(catalog, tmp_path):
    copy_found(search(catalog, classes=WANTED), tmp_path / "a")
    copy_found(search(tmp_path / "a"), tmp_path / "b")
    for name in WANTED:
        shards = [
            shard_of(home, f"{name}-00000") for home in (catalog, tmp_path / "a", tmp_path / "b")
        ]
        assert len({shard.name for shard in shards}) == 1
        assert len({shard.read_bytes() for shard in shards}) == 1


def test_catalogs_of_others_can_be_saved(tmp_path):
    """Of two collections that the builder did not write, with nulls, odd names and odd shapes."""
    write_catalog(tmp_path / "whole")
    found = search(tmp_path / "whole", split="train")
    save_found(found, tmp_path / "saved")
    expected = list(found)
    again = list(search(tmp_path / "saved"))
    assert len({i["collection"] for i in expected}) == 2
    for item in (*expected, *again):
        del item["links"]
    assert again == sorted(expected, key=lambda item: item["collection"])


def test_a_search_as_one_geoparquet(catalog, tmp_path):
    found = search(catalog, classes=WANTED, sortby="-id")
    assert write_found(found, tmp_path / "made/found.parquet") == 12
    table = pq.read_table(tmp_path / "made/found.parquet")
    items = list(stac_geoparquet.arrow.stac_table_to_items(table))
    assert [item["id"] for item in items] == [item["id"] for item in found]
    for item, expected in zip(items, found):
        href = item["assets"]["rgb"]["href"]
        assert os.path.normpath(tmp_path / "made" / href) == expected["assets"]["rgb"]["href"]
        assert item["properties"]["satimnet:classes"] == expected["properties"]["satimnet:classes"]
    metadata = json.loads(table.schema.metadata[b"stac-geoparquet"])
    assert list(metadata["collections"]) == ["eurosat"]


def test_what_cannot_be_written_is_told(catalog, tmp_path):
    found = search(catalog, classes="River")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("x")
    for way in (save_found, copy_found):
        with pytest.raises(StorageError, match="is there already"):
            way(found, tmp_path / "full")
        with pytest.raises(NotFoundError, match="found nothing"):
            way(search(catalog, ids=[]), tmp_path / "none")
    with pytest.raises(NotFoundError, match="found nothing"):
        write_found(search(catalog, ids=[]), tmp_path / "none.parquet")
    assert os.listdir(tmp_path) == ["full"]


def test_another_extract_does_not_take_the_place_for_its_own(catalog, tmp_path):
    out = tmp_path / "part"
    killed_at_its_end("search", catalog, "--class", "River", "--save", out)
    for way, name in ((save_found, "Forest"), (copy_found, "River")):
        shutil.copyfile(note := tmp_path / ".part.lock", kept := tmp_path / "kept")
        with pytest.raises(SatimnetError, match="part: is there already"):
            way(search(catalog, classes=name), out)
        kept.rename(note)
    assert save_found(search(catalog, classes="River"), out) == 4
    assert os.listdir(tmp_path) == ["part"]


# --- in object stores


def files(place):
    """Digest of each file of a catalog."""
    home = str(place)
    return {
        one.place[len(home) + 1 :]: hashlib.sha256(objects.read(one.place)).hexdigest()
        for one in objects.files_below(home)
    }


@pytest.fixture
def stored(catalog, bucket):
    """The catalog in a bucket."""
    copy_catalog(catalog, f"{bucket}/subset/whole")
    return f"{bucket}/subset/whole"


def test_a_copy_in_a_store_has_the_bytes_of_one_on_disk(catalog, tmp_path, bucket):
    found = search(catalog, classes=WANTED)
    copy_found(found, tmp_path / "made")
    place = f"{bucket}/subset/copied"
    assert copy_found(found, place) == 12
    assert files(place) == files(tmp_path / "made")
    same_items(found, place, "new")
    with pytest.raises(StorageError, match="is there already; choose another"):
        copy_found(found, place)
    with pytest.raises(StorageError, match="is there already; choose another"):
        save_found(search(place), place)
    assert files(place) == files(tmp_path / "made")


def test_a_saved_catalog_in_the_bucket_of_its_shards_points_to_them(stored, bucket):
    found = search(stored, classes=WANTED)
    place = f"{bucket}/subset/deep/saved"
    assert save_found(found, place) == 12
    same_items(found, place, "the same")
    text = json.dumps([json.loads(objects.read(p)) for p in objects_of(place)])
    assert bucket not in text  # hrefs are relative: the bucket can be moved
    assert "outside" not in json.loads(objects.read(current(place)))  # needs no seal
    samples = open_samples(place).search(collections=["eurosat"])
    batch = next(iter(samples.to_batches(12, bands=["B04"])))
    assert batch.images.shape == (12, 1, 64, 64)


def objects_of(place):
    return [one.place for one in objects.files_below(place) if one.place.endswith(".json")]


def current(place):
    (link,) = [
        x for x in json.loads(objects.read(f"{place}/catalog.json"))["links"] if x["rel"] == "child"
    ]
    return f"{place}/{link['href'][2:]}"


def test_shards_on_the_web_can_be_saved_to_a_store(catalog, bucket, serve):
    with serve(catalog) as url:
        found = search(url, classes="River")
        place = f"{bucket}/subset/of-the-web"
        save_found(found, place)
        same_items(found, place, "the same")


def test_a_saved_catalog_on_disk_of_shards_in_a_store(stored, tmp_path):
    found = search(stored, classes="River")
    save_found(found, tmp_path / "saved")
    same_items(found, tmp_path / "saved", "the same")


def test_a_bucket_does_not_point_to_this_machine_or_another_bucket(catalog, stored, bucket):
    import boto3

    boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"]).create_bucket(Bucket="other")
    for source, place in ((catalog, f"{bucket}/subset/refused"), (stored, "s3://other/refused")):
        for way in (save_found, write_found):
            with pytest.raises(ArgumentError, match="may only point into the same one") as error:
                way(search(source, classes="River"), place)
            assert "\n" not in str(error.value)
        assert files(place) == {}
        copy_found(search(source, classes="River"), place)
        assert count(place) == 4


@pytest.mark.parametrize("killed_in", ["upload", "replace_root", "_copy_of"])
def test_a_copy_that_was_killed_goes_on(killed_in, catalog, bucket, tmp_path, monkeypatch):
    found = search(catalog, classes=WANTED)
    copy_found(found, tmp_path / "calm")
    place = f"{bucket}/subset/killed-{killed_in.strip('_')}"

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(protocol, killed_in, killed)
        with pytest.raises(KeyboardInterrupt):
            copy_found(found, place)
    if killed_in != "_copy_of":
        assert not objects.exists(f"{place}/catalog.json")
    with pytest.raises(StorageError, match="another run writes there, or was killed"):
        copy_found(search(catalog, classes="River"), place)
    written = []
    write = objects.write
    monkeypatch.setattr(objects, "write", lambda *a: (written.append(a[0]), write(*a)))
    copy_found(found, place)
    assert not [path for path in written if path.endswith(".zip")]
    assert files(place) == files(tmp_path / "calm")


def test_a_search_as_one_geoparquet_in_a_store(stored, bucket):
    found = search(stored, classes=WANTED, sortby="-id")
    place = f"{bucket}/subset/made/found.parquet"
    assert write_found(found, place) == 12
    table = pq.read_table(io.BytesIO(objects.read(place)))
    assert table["id"].to_pylist() == [item["id"] for item in found]
    for assets, item in zip(table["assets"].to_pylist(), found):
        assert join(assets["rgb"]["href"], place) == item["assets"]["rgb"]["href"]
        assert assets["rgb"]["href"].startswith("./../whole/")


def broken(catalog, home, change):
    """The catalog with the rows of its index changed, as a malicious host would."""
    shutil.copytree(catalog, home)
    path = home_of(home) / "items.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        change(row)
    pq.write_table(type(table).from_pylist(rows, table.schema), path)
    return home


def climb_by_id(row):
    row["id"] = f"../../../{row['id']}"


def climb_by_level(row):
    row["links"][1]["href"] = f"./x/../../../../{row['id']}/catalog.json"


def climb_by_member(row):
    row["assets"]["rgb"]["archive"][0]["href"] = "../../out.jpg"


def reach_too_far(row):
    row["assets"]["rgb"]["archive"][0]["range"] = [0, 2**50]


def end_before_the_start(row):
    row["assets"]["rgb"]["archive"][0]["range"] = [100, 10]


def lie_behind_the_end(row):
    row["assets"]["rgb"]["archive"][0]["range"] = [10**7, 10**7 + 10]


ATTACKS = [climb_by_id, climb_by_level, climb_by_member, reach_too_far, end_before_the_start]


@pytest.mark.parametrize("change", [*ATTACKS, lie_behind_the_end])
def test_nothing_is_written_outside(catalog, tmp_path, change):
    evil = broken(catalog, tmp_path / "evil", change)
    before = sorted(tmp_path.rglob("*"))
    if change is climb_by_level:  # leads out of the collection: not followed
        copy_found(search(evil, classes="River"), tmp_path / "made")
        assert (home_of(tmp_path / "made") / "River_1.json").is_file()
        shutil.rmtree(tmp_path / "made")
    else:
        with pytest.raises(SatimnetError):
            copy_found(search(evil, classes="River"), tmp_path / "made")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command(catalog, tmp_path, bucket):
    def stac(*arguments):
        command = ["satimnet", "search", str(catalog), "--class", "River", *map(str, arguments)]
        done = CliRunner().invoke(cli, command)
        return done.exit_code, done.output

    assert stac("--save", tmp_path / "s", "-q") == (0, "")
    assert (
        f"{tmp_path / 'c' / 'catalog.json'} is ready: 4 items" in stac("--copy", tmp_path / "c")[1]
    )
    assert count(tmp_path / "s") == count(tmp_path / "c") == 4
    assert f"{bucket}/command/catalog.json is ready" in stac("--copy", f"{bucket}/command/")[1]
    assert count(f"{bucket}/command") == 4
    code, output = stac("--save", f"{bucket}/command-2")
    assert (code, "copy it instead of saving" in output) == (1, True)
    code, output = stac("--save", "https://127.0.0.1:9/x")
    assert (code, "a web server cannot be written to" in output) == (1, True)
    assert stac("--format", "geoparquet", "--out", tmp_path / "f.parquet", "-q") == (0, "")
    assert len(pq.read_table(tmp_path / "f.parquet")) == 4
    for wrong in (["--format", "geoparquet"], ["--out", "x"], ["--count", "--save", "x"]):
        code, output = stac(*wrong)
        assert (code, "Usage" in output) == (2, True)
