"""`satimnet diff`: sources with planted changes, built twice, and what is said of the catalogs."""

import io
import json
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from published import home_of

from satimnet.builder import build, diff
from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.comparison.change_reports import as_json, as_markdown, as_text
from satimnet.builder.errors import ArgumentError, BadCatalogError, NotFoundError
from satimnet.builder.query.index import Index
from satimnet.cli.group import satimnet
from stactools.airbus_ship.miniature import write_miniature as write_airbus
from stactools.bigearthnet.miniature import ARCHIVE
from stactools.bigearthnet.miniature import write_miniature as write_bigearthnet
from stactools.eurosat import dataset as eurosat
from stactools.eurosat.miniature import write_miniature

KINDS = ("added", "removed", "relabelled", "pixels", "split", "properties", "moved", "unknown")
CLASSES = [
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
]


def counts(found):
    """How many Items changed in each way, without the ways in which none did."""
    return {kind: n for kind in KINDS if (n := getattr(found, kind).count)}


def only(found):
    (collection,) = found.collections
    return collection


def unpacked(folder, per_class):
    """A miniature EuroSAT as files in folders."""
    for archive in write_miniature(folder, per_class):
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder)
        archive.unlink()


def images(folder, name):
    """The files of a sample."""
    return [next(folder.rglob(f"{name}.{kind}")) for kind in ("jpg", "tif")]


def relabel(folder, name, new):
    """Moves the files of a sample to another class, under the name that they have there."""
    for path in images(folder, name):
        path.rename(path.parents[1] / new.rpartition("_")[0] / f"{new}{path.suffix}")


def document_of(catalog, name="eurosat"):
    """The path of a collection's ``collection.json``."""
    return Path(Index(catalog).collections[name].href)


def change_document(catalog, change, name="eurosat"):
    path = document_of(catalog, name)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def change_rows(catalog, change, name="eurosat"):
    """Writes other rows for a collection's Items; ``change`` takes and gives a table."""
    path = Path(Index(catalog).collections[name].parquet)
    pq.write_table(change(pq.read_table(path)), path)


@pytest.fixture(scope="module")
def planted(once):
    """A source, and one with 10 samples more, 7 less, 5 of another class and 3 of other pixels."""

    def make(folder):
        unpacked(folder / "old", 4)
        unpacked(folder / "new", 5)
        for name in CLASSES[:7]:
            for path in images(folder / "new", f"{name}_4"):
                path.unlink()
        for one, other in zip(CLASSES[:5], CLASSES[5:]):
            relabel(folder / "new", f"{one}_1", f"{other}_9")
        for name in CLASSES[:3]:
            path = images(folder / "new", f"{name}_2")[1]
            path.write_bytes(path.read_bytes()[:-1] + b"\xaa")
        for name in ("old", "new"):
            build([folder / name], folder / f"{name}-catalog")

    return once("planted-versions", make)


@pytest.fixture
def copied(catalog, tmp_path):
    """A copy of the catalog of the miniature, to be changed."""
    shutil.copytree(catalog, tmp_path / "copied")
    return tmp_path / "copied"


# --- Items --------------------------------------------------------------------------------------


def test_planted_changes_are_said_exactly(planted):
    found = diff(planted / "old-catalog", planted / "new-catalog")
    one = only(found)
    moved = {"moved": one.moved.count}  # shards hold other samples, so some lie elsewhere
    assert counts(one) == {"added": 10, "removed": 7, "relabelled": 5, "pixels": 3} | moved
    assert (one.old_items, one.new_items) == (40, 43)
    assert one.added.ids == tuple(f"{name}_5" for name in CLASSES)
    assert one.removed.ids == tuple(f"{name}_4" for name in CLASSES[:7])
    assert one.pixels.ids == tuple(f"{name}_2" for name in CLASSES[:3])
    assert sorted((i.old_id, i.id, i.old_classes, i.classes) for i in one.relabelled.items) == [
        (f"{one}_1", f"{other}_9", (one,), (other,)) for one, other in zip(CLASSES, CLASSES[5:])
    ]
    assert found.differs
    assert {change.field for change in one.fields} <= {"extent.spatial.bbox", "summaries.proj:code"}


def test_the_other_way_round_it_is_the_reverse(planted):
    one = only(diff(planted / "new-catalog", planted / "old-catalog"))
    found = {kind: n for kind, n in counts(one).items() if kind != "moved"}
    assert found == {"added": 7, "removed": 10, "relabelled": 5, "pixels": 3}


def test_collections_and_catalogs_on_disk_and_on_the_web(planted, serve):
    wanted = only(diff(planted / "old-catalog", planted / "new-catalog"))
    documents = [document_of(planted / f"{name}-catalog") for name in ("old", "new")]
    with serve(planted) as url:
        pairs = [
            documents,
            (documents[0], planted / "new-catalog"),
            (planted / "old-catalog/catalog.json", documents[1]),
            (f"{url}/old-catalog/catalog.json", f"{url}/new-catalog"),
            *[[f"{url}/{path.relative_to(planted)}" for path in documents]],
        ]
        for old, new in pairs:
            one = only(diff(old, new))
            assert replace(one, old=wanted.old, new=wanted.new) == wanted


def test_other_shards_are_no_difference(miniature, catalog, tmp_path):
    build([miniature], tmp_path, shard_size=400_000)
    found = diff(catalog, tmp_path)
    assert counts(only(found)).keys() == {"moved"}
    assert not found.differs
    assert counts(only(diff(catalog, catalog))) == {}


def test_a_class_takes_over_the_id_of_another_sample(tmp_path):
    """Names are given anew: what was Forest_1 is River_2, and what was River_2 is SeaLake_9."""
    for name in ("old", "new"):
        unpacked(tmp_path / name, 2)
    relabel(tmp_path / "new", "River_2", "SeaLake_9")
    relabel(tmp_path / "new", "Forest_1", "River_2")
    for name in ("old", "new"):
        build([tmp_path / name], tmp_path / f"{name}-catalog", overview=False)
    one = only(diff(tmp_path / "old-catalog", tmp_path / "new-catalog"))
    pairs = {(item.old_id, item.id) for item in one.relabelled.items}
    assert pairs == {("Forest_1", "River_2"), ("River_2", "SeaLake_9")}
    assert set(counts(one)) <= {"relabelled", "moved"}


def test_a_split_changes(tmp_path):
    """Three samples go from one list to another, of two editions of the lists."""
    names = [f"{name}_{number}.jpg" for name in CLASSES for number in (1, 2)]
    for version, train in (("old", 12), ("new", 9)):
        write_miniature(tmp_path / version, 2, bands=False)
        for part, of_it in (("train", names[:train]), ("test", names[train:])):
            (tmp_path / version / f"{part}.csv").write_text(
                "\n".join(["Filename,Label", *(f"{n.split('_')[0]}/{n},0" for n in of_it)])
            )
        build([tmp_path / version], tmp_path / f"{version}-catalog", overview=False)
    one = only(diff(tmp_path / "old-catalog", tmp_path / "new-catalog"))
    assert counts(one) == {"split": 3}
    assert one.split.ids == tuple(name.removesuffix(".jpg") for name in names[9:12])


def test_other_objects_are_other_labels(tmp_path):
    """A ship of an image is not marked any more; its class is still there."""
    (archive,) = write_airbus(tmp_path / "old")
    table = "train_ship_segmentations_v2.csv"
    (tmp_path / "new").mkdir()
    with (
        zipfile.ZipFile(archive) as old,
        zipfile.ZipFile(tmp_path / "new" / archive.name, "w") as z,
    ):
        for name in old.namelist():
            data = old.read(name)
            if name == table:
                lines = data.decode().splitlines(keepends=True)
                changed = lines.pop(4).partition(",")[0]  # the third ship of the first image
                assert sum(line.startswith(changed) for line in lines) == 3
                data = "".join(lines).encode()
            z.writestr(name, data)
    for name in ("old", "new"):
        build([tmp_path / name], tmp_path / f"{name}-catalog", overview=False)
    one = only(diff(tmp_path / "old-catalog", tmp_path / "new-catalog"))
    assert counts(one) | {"moved": 0} == {"relabelled": 1, "moved": 0}
    (item,) = one.relabelled.items
    assert item.id == changed.removesuffix(".jpg")
    assert item.classes == item.old_classes == ("ship",)
    assert "(objects or mask)" in as_text(diff(tmp_path / "old-catalog", tmp_path / "new-catalog"))


def test_other_words_in_a_file_of_labels(tmp_path):
    """The labels of a patch of BigEarthNet change in its JSON, and nothing else of it does."""
    write_bigearthnet(tmp_path / "old")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    archive = tmp_path / "new" / ARCHIVE
    patch = None
    buffer = io.BytesIO()
    with tarfile.open(archive) as old, tarfile.open(fileobj=buffer, mode="w:gz") as new:
        for entry in old:
            data = old.extractfile(entry).read() if entry.isfile() else b""
            if patch is None and entry.name.endswith("_labels_metadata.json"):
                content = json.loads(data)
                patch = Path(entry.name).parent.name
                content["labels"] = ["Peatbogs", "Water bodies", "Coniferous forest"]
                data = json.dumps(content).encode()
                entry.size = len(data)
            new.addfile(entry, io.BytesIO(data))
    archive.write_bytes(buffer.getvalue())
    for name in ("old", "new"):
        build([tmp_path / name], tmp_path / f"{name}-catalog", overview=False)
    one = only(diff(tmp_path / "old-catalog", tmp_path / "new-catalog"))
    assert {kind: n for kind, n in counts(one).items() if kind != "moved"} == {"relabelled": 1}
    (item,) = one.relabelled.items
    assert item.id == item.old_id == patch
    assert set(item.classes) == {"peatbogs", "water-bodies", "coniferous-forest"}


def test_other_properties_are_counted_by_name(catalog, copied):
    def change(table):
        ids = table["id"].to_pylist()
        titles = [f"my {id}" if id == "Forest_1" else id for id in ids]
        boxes = table["bbox"].to_pylist()
        for at in (0, 1):
            boxes[at] = boxes[at] | {"xmin": boxes[at]["xmin"] - 1}
        for name, values in (("title", titles), ("bbox", boxes)):
            field = table.schema.field(name)
            at = table.schema.get_field_index(name)
            table = table.set_column(at, field, pa.array(values, field.type))
        return table

    change_rows(copied, change)
    one = only(diff(catalog, copied))
    assert counts(one) == {"properties": 3}
    assert one.properties_by_name == {"title": 1, "bbox": 2}


def test_types_that_are_the_same_in_json_are_no_difference(catalog, copied):
    """Whole numbers or not, larger lists, a field that is always null, another order."""

    def change(table):
        for number, field in enumerate(table.schema):
            if field.name == "assets":
                types = {f.name: f.type for f in reversed(list(field.type))}
                longer = {"extra": pa.string()} | {f.name: f.type for f in types["rgb"]}
                made_up = pa.struct({"href": pa.string()})
                assets = pa.struct({"made-up": made_up} | types | {"rgb": pa.struct(longer)})
                values = pa.array(table["assets"].to_pylist(), assets)
                table = table.set_column(number, pa.field("assets", assets), values)
            elif field.name == "proj:shape":
                values = table[field.name].cast(pa.large_list(pa.int32()))
                table = table.set_column(number, field.name, values)
            elif field.name == "gsd":
                table = table.set_column(number, "gsd", table["gsd"].cast(pa.int64()))
        return table.append_column("mine:empty", pa.nulls(len(table), pa.int64())).select(
            [*reversed(table.column_names), "mine:empty"]
        )

    change_rows(copied, change)
    assert counts(only(diff(catalog, copied))) == {}


def test_what_has_no_checksum_is_not_compared(catalog, copied):
    def change(table):
        rows = table["assets"].to_pylist()
        rows[0]["rgb"]["archive"][0]["file:checksum"] = None
        rows[1]["rgb"]["archive"][0]["file:checksum"] = "1220" + 64 * "0"
        at = table.schema.get_field_index("assets")
        return table.set_column(at, "assets", pa.array(rows, table.schema.field("assets").type))

    change_rows(copied, change)
    one = only(diff(catalog, copied))
    ids = pq.read_table(Index(catalog).collections["eurosat"].parquet)["id"].to_pylist()
    assert counts(one) == {"pixels": 1, "unknown": 1}
    assert (one.unknown.ids, one.pixels.ids) == ((ids[0],), (ids[1],))


# --- Collections and catalogs -------------------------------------------------------------------


def test_fields_of_the_collection(catalog, copied):
    def change(content):
        content["license"] = "CC-BY-4.0"
        content["stac_extensions"].append("https://example.org/v2/schema.json")
        content["summaries"]["classification:classes"][0]["title"] = "Fields"
        content["summaries"]["classification:classes"].append({"name": "Glacier", "value": 11})
        content["version"] = "2"
        content["links"].append({"rel": "predecessor-version", "href": "../1/collection.json"})
        content["links"].append({"rel": "about", "href": "https://example.org/news"})

    change_document(copied, change)
    found = diff(catalog, copied)
    one = only(found)
    assert counts(one) == {}
    assert found.differs
    changed = {change.field: (change.old, change.new) for change in one.fields}
    first = json.loads(document_of(catalog).read_text())["summaries"]["classification:classes"][0]
    table = "summaries.classification:classes"
    assert changed.pop("stac_extensions")[1][-1] == "https://example.org/v2/schema.json"
    assert changed.pop("links")[1][-1]["rel"] == "about"
    assert changed == {
        "license": (CollectionDocument.read(str(document_of(catalog))).license, "CC-BY-4.0"),
        f"{table}[{first['name']}].title": (first["title"], "Fields"),
        f"{table}[Glacier]": (None, {"name": "Glacier", "value": 11}),
    }
    assert (one.old_version, one.new_version) == (home_of(catalog).name, "2")
    assert f"version {one.old_version} → 2" in as_text(found)


def test_another_record_of_the_dataset(miniature, catalog, tmp_path):
    classes = [dict(row) for row in eurosat.record["classes"]]
    classes[1]["color_hint"] = "123456"
    record = eurosat.record.changed(license="ISC", classes=classes)
    build([miniature], tmp_path, datasets={"eurosat": replace(eurosat, record=record)})
    one = only(diff(catalog, tmp_path))
    changed = {change.field: change.new for change in one.fields}
    table = f"summaries.classification:classes[{classes[1]['name']}].color_hint"
    assert (changed["license"], changed[table]) == ("ISC", "123456")
    assert counts(one) == {}


def test_collections_that_one_catalog_has_alone(catalog, tmp_path):
    write_airbus(tmp_path / "ships")
    build([tmp_path / "ships"], tmp_path / "catalog", overview=False)
    found = diff(catalog, tmp_path / "catalog")
    assert (found.added, found.removed, found.collections) == (("airbus-ship",), ("eurosat",), ())
    assert found.differs
    assert as_text(found) == "Collections added: airbus-ship\nCollections removed: eurosat"
    with pytest.raises(NotFoundError, match="no collection eurosat to compare with"):
        diff(document_of(catalog), tmp_path / "catalog")
    two = only(diff(document_of(catalog), document_of(tmp_path / "catalog", "airbus-ship")))
    assert (two.id, two.added.count, two.removed.count) == ("airbus-ship", 13, 40)


# --- the command --------------------------------------------------------------------------------


def test_the_command(planted):
    old, new = str(planted / "old-catalog"), str(planted / "new-catalog")

    def run(*arguments):
        return CliRunner().invoke(satimnet, ["diff", "-q", *arguments])

    done = run(old, new, "--most", "2")
    assert done.exit_code == 0, done.output
    assert "added                       10  AnnualCrop_5, Forest_5, 8 more" in done.stdout
    assert "AnnualCrop_1 → Pasture_9 (AnnualCrop → Pasture)" in done.stdout
    assert run(old, new, "--exit-code").exit_code == 1
    assert run(old, new, "--exit-code").stderr == ""
    done = run(old, old, "--exit-code")
    assert (done.exit_code, done.stdout) == (0, "No differences in 1 collection.\n")
    done = run(old, new, "--format", "json", "--most", "0")
    (one,) = json.loads(done.stdout)["collections"]
    assert one["items"]["added"] == {"count": 10, "ids": []}
    assert one["items"]["relabelled"] == {"count": 5, "items": []}
    done = run(old, new, "--format", "markdown")
    assert "| removed | 7 | AnnualCrop\\_4, Forest\\_4" in done.stdout
    done = run(old, "nowhere")
    assert done.exit_code == 1
    assert "nothing is there" in done.stderr


# --- catalogs that are not trusted --------------------------------------------------------------


def test_foreign_text_is_escaped_and_cut(catalog, copied):
    evil = "a\x1b[2J|b`<script>*\u202e\n" + 100_000 * "x"
    table = "summaries.classification:classes"

    def change(rows):
        ids = [evil if at == 0 else id for at, id in enumerate(rows["id"].to_pylist())]
        classes = [
            [evil] if at < 2 else c for at, c in enumerate(rows["satimnet:classes"].to_pylist())
        ]
        rows = rows.set_column(rows.schema.get_field_index("id"), "id", pa.array(ids))
        at = rows.schema.get_field_index("satimnet:classes")
        return rows.set_column(at, "satimnet:classes", pa.array(classes))

    change_rows(copied, change)
    change_document(
        copied, lambda c: c["summaries"]["classification:classes"].append({"name": evil})
    )
    change_document(copied, lambda c: c.update({evil: evil}))
    found = diff(catalog, copied)
    one = only(found)
    assert counts(one)["relabelled"] == 2
    assert any(change.field.startswith(table) for change in one.fields)
    for text in (as_text(found), as_markdown(found)):
        assert len(text) < 5000
        assert all(line.isprintable() for line in text.split("\n"))
    assert "<script>" not in as_markdown(found).replace("\\<script\\>", "")
    assert len(json.dumps(as_json(found))) < 50_000
    done = CliRunner().invoke(satimnet, ["diff", str(catalog), str(copied), "--format", "json"])
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert json.loads(done.stdout)["differs"]


def test_two_items_with_one_id_are_refused(catalog, copied):
    def change(table):
        ids = pc.if_else(pc.equal(table["id"], "Forest_2"), "Forest_1", table["id"])
        return table.set_column(table.schema.get_field_index("id"), "id", ids)

    change_rows(copied, change)
    with pytest.raises(BadCatalogError, match="two Items have the id Forest_1"):
        diff(catalog, copied)


def test_a_collection_that_cannot_be_read_is_not_called_removed(catalog, copied):
    document_of(copied).write_text("{}")
    with pytest.raises(BadCatalogError, match="collection"):
        diff(catalog, copied)


def test_a_catalog_may_not_lead_outside(catalog, copied, tmp_path):
    parquet = Path(Index(copied).collections["eurosat"].parquet)
    parquet.rename(tmp_path / "elsewhere.parquet")
    parquet.symlink_to(tmp_path / "elsewhere.parquet")
    for place in (copied, document_of_outside(copied)):
        with pytest.raises(BadCatalogError, match="outside of the catalog's folder"):
            diff(catalog, place)
        assert not diff(catalog, place, allow_outside=True).differs


def document_of_outside(catalog):
    return Path(Index(catalog, allow_outside=True).collections["eurosat"].href)


def test_arguments(catalog):
    with pytest.raises(ArgumentError, match="most -1"):
        diff(catalog, catalog, most=-1)
    with pytest.raises(NotFoundError, match="nothing is there"):
        diff(catalog, catalog / "gone.json")
