"""Where a catalog in a folder may lead, asked one by one and all together."""

from __future__ import annotations

import os

import pytest

from satimnet.builder.errors import BadCatalogError
from satimnet.builder.storage.hrefs import Bounds, is_href


@pytest.fixture
def catalog(tmp_path):
    home = tmp_path / "catalog"
    (home / "shards").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/secret").touch()
    (home / "shards/a.zip").touch()
    (home / "inner").symlink_to("shards")
    (home / "linked.zip").symlink_to("shards/a.zip")
    (home / "out").symlink_to(tmp_path / "other")
    (home / "shards/secret.zip").symlink_to("../../other/secret")
    (home / "shards/twice.zip").symlink_to("secret.zip")
    (home / "loop").symlink_to("loop")
    return home


INSIDE = [
    *("./shards/a.zip", "shards/../shards/a.zip", "inner/a.zip", "inner/none.zip", "linked.zip"),
    *("loop", "loop/a.zip", "out/../linked.zip", "", ".", "shards/", "https://host/a.zip"),
]
OUTSIDE = [
    *("../other/secret", "out/secret", "out/none", "out", "..", "/etc/passwd", "/", "//etc/passwd"),
    *("shards/secret.zip", "shards/twice.zip", "inner/twice.zip", "../catalog2", "inner/../.."),
]


def test_places_inside(catalog):
    bounds, base = Bounds.of(f"{catalog}/catalog.json"), f"{catalog}/items.parquet"
    found = bounds.resolve_all(INSIDE, base)
    assert found == {href: bounds.resolve(href, base) for href in INSIDE}
    assert found["inner/a.zip"] == f"{catalog}/inner/a.zip"


@pytest.mark.parametrize("href", OUTSIDE)
def test_places_outside(catalog, href):
    bounds, base = Bounds.of(f"{catalog}/catalog.json"), f"{catalog}/items.parquet"
    with pytest.raises(BadCatalogError, match="outside of the catalog's folder"):
        bounds.resolve(href, base)
    with pytest.raises(BadCatalogError, match="outside of the catalog's folder"):
        bounds.resolve_all([*INSIDE, href], base)


def test_a_relative_base(catalog, monkeypatch):
    monkeypatch.chdir(catalog)
    bounds = Bounds(str(catalog))
    assert bounds.resolve("shards/a.zip", "items.parquet") == os.path.join("shards", "a.zip")
    for href in ("..", "../other/secret", "shards/secret.zip"):
        with pytest.raises(BadCatalogError):
            bounds.resolve(href, "items.parquet")


@pytest.mark.parametrize("text", ["http://[", "//[", "/\n/[", "\t//[", "http://a]b", "//é\u2100"])
def test_no_hrefs(text):
    assert not is_href(text)
