"""Finished and unfinished trainings are reused for the very same bytes, arguments and code only."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from mini_masks import make_patches, write_masked_catalog
from published import home_of

from satimnet.builder.errors import SatimnetError
from satimnet.training import crossvalidate, open_samples, train
from satimnet.training.networks.training_state import Run

HOW = {"width": 4, "epochs": 1, "batch_size": 8, "device": "cpu", "quiet": True}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def mini(tmp_path):
    return write_masked_catalog(tmp_path / "catalog", make_patches(8))


def parts(catalog):
    return open_samples(catalog).search().holdout(0.25)


def overwrite(catalog, key="image", sample=0):
    """Change one pixel of a sample in its shard, and nothing in the index."""
    folder = catalog.parent if catalog.is_file() else catalog
    (parquet,) = {*folder.glob("*/items.parquet"), *folder.glob("*/*/items.parquet")}
    asset = pq.read_table(parquet)["assets"][sample].as_py()[key]
    shard = parquet.parent / asset["href"]
    with shard.open("r+b") as file:
        file.seek(asset["archive"][0]["range"][1])
        last = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([last ^ 1]))
    return shard


def test_a_finished_training_is_not_that_of_other_pixels(mini, tmp_path):
    train(*parts(mini), tmp_path / "net.pt", **HOW)
    train(*parts(mini), tmp_path / "net.pt", **HOW)  # nothing has changed: it is read
    overwrite(mini, "mask")
    train(*parts(mini), tmp_path / "net.pt", **HOW)  # CNN-class learns from no mask
    overwrite(mini)
    with pytest.raises(SatimnetError, match=r"net\.pt: holds another training \(other samples"):
        train(*parts(mini), tmp_path / "net.pt", **HOW)
    overwrite(mini)  # back again
    train(*parts(mini), tmp_path / "net.pt", **HOW)


def test_a_mask_belongs_to_what_is_learned(mini, tmp_path):
    how = HOW | {"model": "segm", "windows_per_epoch": 500}
    train(*parts(mini), tmp_path / "net.pt", **how)
    overwrite(mini, "mask")
    with pytest.raises(SatimnetError, match="other pixels in them"):
        train(*parts(mini), tmp_path / "net.pt", **how)


def test_what_bands_and_classes_mean_belongs_to_it_too(mini, tmp_path):
    train(*parts(mini), tmp_path / "net.pt", **HOW)
    path = home_of(mini.parent, "fused") / "collection.json"
    document = json.loads(path.read_text())
    document["item_assets"]["image"]["bands"].reverse()
    path.write_text(json.dumps(document))
    with pytest.raises(SatimnetError, match="another training"):
        train(*parts(mini), tmp_path / "net.pt", bands=["B02", "B03", "B04"], **HOW)


def test_an_unfinished_training_does_not_go_on_with_other_pixels(mini, tmp_path, monkeypatch):
    def stopped(run, seconds, save=Run.save):
        save(run, 0)
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(*parts(mini), tmp_path / "net.pt", **HOW)
    monkeypatch.undo()
    overwrite(mini)
    with pytest.raises(SatimnetError, match=r"net\.unfinished\.pt: holds another training"):
        train(*parts(mini), tmp_path / "net.pt", **HOW)


def test_a_finished_training_is_not_that_of_other_code(mini, tmp_path, monkeypatch):
    train(*parts(mini), tmp_path / "net.pt", **HOW)
    monkeypatch.setattr("satimnet.training.networks.training_plan.CODE", "satimnet 9.9, protocol 1")
    with pytest.raises(SatimnetError, match=r"code satimnet .*, not satimnet 9\.9"):
        train(*parts(mini), tmp_path / "net.pt", **HOW)


def test_a_training_killed_at_its_very_end_leaves_no_state(mini, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "satimnet.training.networks.training.forget", lambda path: None
    )  # killed before it
    train(*parts(mini), tmp_path / "net.pt", save_seconds=0, **HOW)
    monkeypatch.undo()
    assert (tmp_path / "net.unfinished.pt").exists()
    train(*parts(mini), tmp_path / "net.pt", save_seconds=0, **HOW)
    assert not (tmp_path / "net.unfinished.pt").exists()


def test_pixels_that_contradict_the_catalog_are_not_learned_from(catalog, tmp_path):
    copy = tmp_path / "catalog"
    shutil.copytree(catalog, copy)
    shard = overwrite(copy, "multispectral")
    bands = ["B02", "B03", "B04", "B08"]
    learned, held = open_samples(copy).search(bands=bands).holdout(0.25)
    with pytest.raises(SatimnetError) as caught:
        train(learned, held, tmp_path / "net.pt", bands=bands, **HOW)
    assert str(caught.value).startswith(f"{shard.resolve()}: multispectral of ")
    assert "validate --checksums" in str(caught.value)
    with shard.open("r+b") as file:
        file.truncate(200)
    with pytest.raises(SatimnetError, match=r"\.zip: 0 bytes where the catalog says"):
        train(learned, held, tmp_path / "net.pt", bands=bands, **HOW)
    assert not (tmp_path / "net.pt").exists()


def test_folds_that_are_finished_are_not_those_of_other_pixels(mini, tmp_path):
    samples = open_samples(mini).search()
    first = crossvalidate(samples, ["class"], tmp_path / "out", **HOW)
    assert crossvalidate(samples, ["class"], tmp_path / "out", **HOW).rows == first.rows
    overwrite(mini, sample=1)
    with pytest.raises(SatimnetError, match="other pixels in them"):
        crossvalidate(open_samples(mini).search(), ["class"], tmp_path / "out", **HOW)


def test_figures_of_a_fold_are_those_of_its_network(mini, tmp_path):
    """A network that was removed and trained anew is tested anew, on the other set as well."""
    samples = open_samples(mini).search()
    crossvalidate(samples, ["class"], tmp_path / "out", **HOW)
    for network in tmp_path.rglob("*.pt"):
        network.unlink()
    kept = {path: path.read_text() for path in tmp_path.rglob("fold-*.json")}
    crossvalidate(samples, ["class"], tmp_path / "out", **HOW | {"epochs": 2})
    assert all(path.read_text() != text for path, text in kept.items())
