"""The explorer on a plain host of files, in a Chromium without a screen."""

import json
import re
import shlex
import shutil

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from explorer_tab import Page
from published import home_of
from stactools.cli.cli import cli

from satimnet.builder import build, gdal_path, read_bytes, search
from satimnet.builder.explorer.common_stretch import GAMMA
from satimnet.builder.explorer.page_files import write_page

TIMED = ["bigearthnet", "bigearthnet-v2"]  # whose samples have times; the others' have a span


def found_by(command, catalog):
    """How many Items the command finds that the page gives to copy."""
    program, verb, _, *options = shlex.split(command)
    assert (program, verb) == ("satimnet", "search")
    done = CliRunner().invoke(cli, ["satimnet", "search", str(catalog), *options, "--count"])
    assert done.exit_code == 0, (command, done.output)
    return int(done.output.strip().rpartition(" ")[2].replace(",", "") or 0)


# --- wall ---------------------------------------------------------------------------------------


def test_the_wall_shows_all_samples_and_mixes_classes(page, shown):
    page.open()
    page.counts(len(search(shown)))
    wall = page.find(".wall")

    def whole():
        return int(wall.get_attribute("data-drawn")) == int(wall.get_attribute("data-seen")) > 50

    page.wait(whole, "pictures are missing")
    assert (page.pixels(".wall canvas")[..., 3] == 255).mean() > 0.9
    names = page.run("return [...document.querySelectorAll('.tiles a')].map((a) => a.ariaLabel)")
    assert len({name.split(", ")[1] for name in names}) > 8
    page.keep("explorer-wall")
    page.run("document.querySelector('.wall').scrollTop = 1e9")
    page.wait(lambda: whole() or int(wall.get_attribute("data-drawn")) > 5, "no end of the wall")
    last = page.run("return [...document.querySelectorAll('.tiles a')].at(-1).ariaLabel")
    page.wait(lambda: str(len(search(shown))) in last, last)


def test_tiles_show_the_pixels_of_their_files(page, shown):
    """At 64 pixels, as large as they are, patches are drawn as they lie in the shards."""
    page.open("#collection=eurosat&tile=64&order=catalog")
    wall = page.find(".wall")
    page.wait(lambda: wall.get_attribute("data-drawn") == wall.get_attribute("data-seen"), "few")
    drawn = page.pixels(".wall canvas")
    items = {item["id"]: item for item in search(shown, collections=["eurosat"])}
    tiles = page.run(
        """return [...document.querySelectorAll('.tiles a')].slice(0, 30).map((a) =>
        [a.ariaLabel.split(",")[0], a.offsetLeft, a.offsetTop, a.offsetWidth, a.offsetHeight])"""
    )
    for id_, left, top, width, height in tiles:
        with rasterio.open(gdal_path(items[id_]["assets"]["rgb"])) as image:
            wanted = np.moveaxis(image.read(), 0, 2).astype(int)
        seen = drawn[top : top + height, left : left + width, :3]
        assert np.abs(seen.mean((0, 1)) - wanted.mean((0, 1))).max() < 3, id_


# --- filters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facet", "value", "query"),
    [
        ("collection", "dota", {"collections": ["dota"]}),
        ("class", "River", {"classes": ["River"]}),
        ("concept", "building", {"concept": ["building"]}),
        ("concept", "water", {"concept": ["water"]}),
        ("split", "test", {"split": ["test"]}),
        ("country", "Ireland", {"filter": "\"satimnet:country\" = 'Ireland'"}),
        ("month", "2017-06", {"collections": TIMED, "datetime": "2017-06-01/2017-06-30"}),
        ("bands", "12", {"band_count": [12]}),
        ("bands", "3", {"band_count": [3]}),
        ("bands", "1", {"band_count": [1]}),
        ("size", "64", None),
        ("size", "256", None),
    ],
)
def test_a_filter_finds_what_a_search_finds(page, shown, facet, value, query):
    page.open()
    if not page.driver.find_elements("css selector", f'[data-value="{facet}:{value}"]'):
        page.find(f'[data-value="{facet}:more"]').click()
    page.choose(facet, value)
    page.wait(lambda: f"{facet}={value}" in page.address, page.address)
    number = page.count
    assert 0 < number < len(search(shown))
    if query is not None:
        assert number == len(search(shown, **query))
    assert number == found_by(page.command(), shown)


def test_filters_together_and_their_command(page, shown):
    page.open("#class=River&class=Forest&bands=13&q=r")
    number = page.count
    assert 0 < number == found_by(page.command(), shown)
    page.choose("class", "Forest")
    page.wait(lambda: page.count < number, "the count stays")
    assert page.count == found_by(page.command(), shown)
    page.find(".panel-head button").click()
    page.counts(len(search(shown)))


def test_counts_are_of_what_else_is_chosen(page, shown):
    page.open("#collection=eurosat&class=River")
    text = page.find(".facets").text
    assert re.search(r"River\s+30", text)
    assert re.search(r"Forest\s+30", text), "a facet ignores its own choice"
    assert "airplane" not in text


def test_words_are_looked_for_in_names_and_classes(page, shown):
    from selenium.webdriver.common.keys import Keys

    page.open()
    page.keys("/")
    assert page.run("return document.activeElement.type") == "search"
    page.keys("river")
    page.wait(lambda: "q=river" in page.address, page.address)
    assert page.count == found_by(page.command(), shown)
    page.keys(Keys.ESCAPE)
    page.wait(lambda: page.run("return document.activeElement.closest('.tiles') !== null"), "")


def test_where_nothing_is_found_the_page_says_so_and_leads_back(page, shown):
    page.open("#class=River&bands=12&tile=64")
    page.counts(0)
    assert "No sample is all of this" in page.find("main").text
    drawn = "const w = document.querySelector('.wall'); return [w.dataset.seen, w.dataset.drawn]"
    page.run("document.querySelector('.wall').dispatchEvent(new Event('scroll'))")
    page.run("return new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
    assert page.run(drawn) == ["0", "0"]
    page.find(".nothing button").click()
    page.counts(len(search(shown)))
    wall = page.find(".wall")
    page.wait(lambda: int(wall.get_attribute("data-drawn") or 0) > 50, "no pictures")
    assert "No sample" not in page.find("main").text


def test_the_last_line_is_no_higher_than_the_others(page):
    page.open("#collection=eurosat&class=River&order=catalog&tile=96")
    page.wait(lambda: len(page.driver.find_elements("css selector", ".tiles a")) == 30, "few")
    heights = page.run(
        "return [...document.querySelectorAll('.tiles a')].map((a) => parseFloat(a.style.height))"
    )
    assert max(heights) - min(heights) < 0.01


# --- map ----------------------------------------------------------------------------------------


def test_a_box_drawn_on_the_map_filters(page, shown):
    from selenium.webdriver import ActionChains

    page.open("#map=1")
    canvas = page.find(".map canvas")
    page.keep("explorer-map")
    pointer = ActionChains(page.driver).move_to_element_with_offset(canvas, -60, -70)
    pointer.click_and_hold().move_by_offset(150, 150).release().perform()
    page.wait(lambda: "box=" in page.address, page.address)
    fields = [field.get_attribute("value") for field in page.driver.find_elements(
        "css selector", ".map-tools input"
    )]  # fmt: skip
    box = [float(value) for value in fields]
    assert box[0] < box[2]
    assert box[1] < box[3]
    number = page.count
    assert 0 < number < len(search(shown))
    assert number == len(search(shown, bbox=box)) == found_by(page.command(), shown)


def test_a_box_is_typed_as_four_numbers(page, shown):
    page.open("#map=1")
    for name, value in (("West", -10), ("South", 40), ("East", 5), ("North", 55)):
        field = page.find(f'[aria-label^="{name}"]')
        field.clear()
        field.send_keys(str(value), "\t")
    page.wait(lambda: "box=-10" in page.address, page.address)
    assert page.count == len(search(shown, bbox=[-10, 40, 5, 55]))


# --- samples ------------------------------------------------------------------------------------


def first(found):
    return next(iter(found))


def item_of(catalog, collection, id_):
    return first(search(catalog, collections=[collection], ids=[id_]))


def test_a_sample_shows_its_image_mask_and_outlines(page, shown):
    page.open("#collection=dota&item=dota/P0000")
    item = item_of(shown, "dota", "P0000")
    with rasterio.open(gdal_path(item["assets"]["image"])) as image:
        wanted = np.moveaxis(image.read(), 0, 2)
    assert (page.pixels(".sheet .image")[..., :3] == wanted).all()
    with rasterio.open(gdal_path(item["assets"]["mask"])) as image:
        labels, table = image.read(1), image.colormap(1)
    mask = page.pixels(".sheet .mask")
    assert ((mask[..., 3] == 0) == (labels == 0)).all()
    for value in np.unique(labels[labels > 0]):
        assert (mask[labels == value][:, :3] == table[value][:3]).all()
    features = json.loads(read_bytes(item["assets"]["annotation"]))["features"]
    outlines = page.driver.find_elements("css selector", ".outlines path")
    assert len(outlines) == len(features) > 0
    text = page.sample().text
    assert item["assets"]["image"]["archive"][0]["file:checksum"] in text
    for row in item["properties"]["satimnet:statistics"]:
        assert f"{row['count']} \u00d7" in text
    page.keep("explorer-sample")


@pytest.mark.parametrize(
    ("collection", "asset"), [("xview", "image"), ("inria", "image"), ("uc-merced", "image")]
)
def test_tiffs_are_decoded_as_gdal_decodes_them(page, shown, collection, asset):
    item = first(search(shown, collections=[collection]))
    page.open(f"#item={collection}/{item['id']}&stretch=plain")
    with rasterio.open(gdal_path(item["assets"][asset])) as image:
        wanted = np.moveaxis(image.read([1, 2, 3]), 0, 2)
    assert (page.pixels(".sheet .image")[..., :3] == wanted).all()


@pytest.mark.parametrize("collection", ["xview", "inria", "clouds-s2-taiwan"])
def test_tiff_masks_lie_over_the_image(page, shown, collection):
    found = first(search(shown, collections=[collection], has_mask=True))
    page.open(f"#item={collection}/{found['id']}")
    with rasterio.open(gdal_path(found["assets"]["mask"])) as image:
        labels = image.read(1)
    mask = page.pixels(".sheet .mask")
    assert mask.shape[:2] == labels.shape
    assert ((mask[..., 3] == 0) == (labels == 0)).all()


STRETCHES = ["collection", "image", "full"]


def stretched(bands, stretch, header):
    """Grey values as the page makes them."""
    bands = bands.astype(float)
    if stretch == "collection":
        told = header["previews"]["stretch"]
        black, white, gamma = told["black"], told["white"], GAMMA
    else:
        order = np.sort(bands.reshape(len(bands), -1), axis=1)
        low, high = (0.02, 0.98) if stretch == "image" else (0, 1)
        last = order.shape[1] - 1
        black, white = order[:, int(low * last)], order[:, int(high * last)]
        gamma = 1
    black, white = (np.array(x)[:, None, None] for x in (black, white))
    grey = ((bands - black) / (white - black)).clip(0, 1) ** gamma
    return np.moveaxis(np.floor(255 * grey + 0.5), 0, 2)


@pytest.mark.parametrize("stretch", STRETCHES)
def test_measured_values_are_shown_by_every_stretch(page, shown, stretch):
    """BigEarthNet's bands are files of their own, of which three make a picture."""
    item = first(search(shown, collections=["bigearthnet"]))
    page.open(f"#item=bigearthnet/{item['id']}&stretch={stretch}")
    bands = []
    for key in ("B04", "B03", "B02"):
        with rasterio.open(gdal_path(item["assets"][key])) as image:
            bands.append(image.read(1))
    header = json.loads((home_of(shown, "bigearthnet") / "explorer.json").read_bytes())
    wanted = stretched(np.stack(bands), stretch, header)
    assert np.abs(page.pixels(".sheet .image")[..., :3] - wanted).max() == 0


@pytest.mark.parametrize("stretch", ["image", "full"])
def test_any_three_bands_of_a_tiff_are_shown(page, shown, stretch):
    names = ",".join(f"multispectral.{number}" for number in (8, 4, 13))
    page.open(f"#item=eurosat/River_1&show=bands:{names}&stretch={stretch}")
    item = item_of(shown, "eurosat", "River_1")
    with rasterio.open(gdal_path(item["assets"]["multispectral"])) as image:
        wanted = stretched(image.read([8, 4, 13]), stretch, None)
    assert (page.pixels(".sheet .image")[..., :3] == wanted).all()
    page.keep("explorer-bands")


def test_the_controls_change_what_is_shown(page, shown):
    from selenium.webdriver.support.select import Select

    page.open("#item=eurosat/River_1")
    before = page.pixels(".sheet .image")
    Select(page.find("select[name=show]")).select_by_visible_text("Bands")
    page.wait(lambda: "show=bands" in page.address, page.address)
    page.sample()
    Select(page.find("select[name=Red]")).select_by_visible_text("B08")
    page.wait(lambda: "multispectral.8" in page.address, page.address)
    page.sample()
    Select(page.find("select[name=stretch]")).select_by_value("full")
    page.wait(lambda: "stretch=full" in page.address, page.address)
    page.sample()
    assert (page.pixels(".sheet .image") != before).any()


def test_samples_are_gone_through_and_left_by_keys(page, shown):
    from selenium.webdriver.common.keys import Keys

    page.open("#collection=eurosat&class=River&order=catalog")
    page.wait(lambda: page.driver.find_elements("css selector", ".tiles a"), "no tiles")
    page.run("document.querySelector('.tiles a[tabindex=\"0\"]').focus()")
    page.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    focused = "return document.activeElement.ariaLabel"
    page.wait(lambda: ", 3 of 30" in page.run(focused), "the focus does not move")
    third = page.run(focused).split(",")[0]
    page.keys(Keys.ENTER)
    page.sample()
    assert page.find("dialog h2").text == third
    page.keys(Keys.ARROW_RIGHT)
    page.wait(lambda: page.find("dialog h2").text != third, "no next sample")
    page.sample()
    page.keys(Keys.ESCAPE)
    page.wait(lambda: not page.driver.find_elements("css selector", "dialog[open]"), "still open")
    page.wait(lambda: ", 4 of 30" in (page.run(focused) or ""), "the focus is lost")


def test_an_address_brings_back_the_same_state(page, shown):
    fragment = (
        "#collection=dota&class=ship&map=1&tile=128&item=dota%2F{}&mask=0.2&outlines=0&zoom=2"
    ).format(first(search(shown, collections=["dota"], classes=["ship"]))["id"])
    page.open(fragment)
    page.sample()
    assert page.run("return document.querySelector('.mask').style.opacity") == "0.2"
    assert not page.find("input[name=outlines]").is_selected()
    width = page.run("return document.querySelector('.image').width")
    assert page.run("return document.querySelector('.sheet').offsetWidth") == 2 * width
    assert page.count == len(search(shown, collections=["dota"], classes=["ship"]))
    assert page.find('[data-value="class:ship"]').is_selected()
    page.find("dialog .close").click()
    page.wait(lambda: "item" not in page.address, page.address)
    page.driver.back()


def test_the_lines_of_python_load_the_sample(page, shown):
    page.open("#item=eurosat/River_1")
    code = page.run("return document.querySelector('.facts pre code').textContent")
    names = {}
    exec(code, names)  # it is what a person would run
    assert names["pixels"].shape == (3, 64, 64)


def test_items_on_pages_are_shown(driver, miniature, tmp_path, serve):
    build([miniature], tmp_path / "pages", items="pages", overview=False)
    write_page(tmp_path / "pages" / "explore", tmp_path / "pages")
    with serve(tmp_path / "pages") as url:
        page = Page(driver, f"{url}/explore/index.html")
        page.open("#item=eurosat/SeaLake_3")
        assert "processing:level" in page.sample().text
        page.done()


def test_without_files_of_items_the_picture_is_shown(driver, miniature, tmp_path, serve):
    build([miniature], tmp_path / "none", items="none", overview=False)
    write_page(tmp_path / "none" / "explore", tmp_path / "none")
    with serve(tmp_path / "none") as url:
        page = Page(driver, f"{url}/explore/index.html")
        page.open("#item=eurosat/SeaLake_3")
        assert page.pixels(".sheet .image").shape == (64, 64, 4)
        page.done()


# --- people, hosts and strangers ----------------------------------------------------------------


def test_a_synthetic_collection_says_so_with_licence_and_citation(page):
    page.open("#collection=dota")
    text = page.find(".head").text
    assert "synthetic" in text
    assert "Licence" in text
    assert "Citation" in text


@pytest.mark.parametrize("fragment", ["", "#map=1", "#item=dota/P0000"])
def test_a_phone_needs_no_scrolling_sideways(page, fragment):
    page.size(390, 844)
    page.open(fragment)
    page.keep(f"explorer-phone{len(fragment)}")
    for css in ("html", "body", "main", "dialog[open]", ".sample-body"):
        wide = page.run(
            "const e = document.querySelector(arguments[0]); return e ? [e.scrollWidth, "
            "e.clientWidth] : [0, 0]",
            css,
        )
        assert wide[0] <= wide[1], css
    if not fragment:
        page.find(".filter-button").click()
        page.choose("class", "River")
        page.find(".panel-close").click()
        page.wait(lambda: page.find(".filter-button").text == "Filters (1)", "not filtered")


def test_another_catalog_is_opened_by_the_address(driver, page, catalog, serve, url):
    with serve(catalog) as other:
        page.faults = []
        page.open(url=f"{url}?catalog={other}/catalog.json", ready="failed")
        assert "lets no other page read it" in page.find("main").text  # this host sends no CORS
        log = [x["message"] for x in driver.get_log("browser") if x["level"] == "SEVERE"]
        assert any("CORS" in message for message in log)
    page.open()


def test_a_catalog_that_was_not_indexed_says_what_to_do(driver, catalog, tmp_path, serve):
    copy = shutil.copytree(catalog, tmp_path / "catalog")
    (home_of(copy) / "explorer.json").unlink()
    write_page(copy / "explore", copy)
    with serve(copy) as url:
        page = Page(driver, f"{url}/explore/index.html")
        page.open(ready="failed")
        assert "satimnet explorer --index" in page.find("main").text


def test_columns_of_another_index_are_not_shown(driver, catalog, tmp_path, serve):
    copy = shutil.copytree(catalog, tmp_path / "catalog")
    parquet = home_of(copy) / "items.parquet"
    parquet.write_bytes(parquet.read_bytes() + b"x")
    write_page(copy / "explore", copy)
    with serve(copy) as url:
        page = Page(driver, f"{url}/explore/index.html")
        page.open(ready="failed")
        assert "belongs to another items.parquet" in page.find("main").text
        page.done()


def test_text_of_a_catalog_is_no_markup(driver, catalog, tmp_path, serve):
    copy = shutil.copytree(catalog, tmp_path / "catalog")
    planted = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    path = home_of(copy) / "collection.json"
    document = json.loads(path.read_bytes())
    document["title"] = document["sci:citation"] = document["license"] = planted
    document["links"].append({"rel": "license", "href": "javascript:alert(3)"})
    for row in document["summaries"]["classification:classes"]:
        row["title"] = planted
    path.write_text(json.dumps(document))
    item = next(home_of(copy).glob("River/River_*.json"))
    content = json.loads(item.read_bytes())
    content["properties"]["note"] = planted
    content["properties"]["page"] = "javascript:alert(4)"
    item.write_text(json.dumps(content))
    write_page(copy / "explore", copy)
    with serve(copy) as url:
        page = Page(driver, f"{url}/explore/index.html")
        page.open(f"#collection=eurosat&item=eurosat/{item.stem}")
        assert planted in page.sample().text
        assert not page.driver.find_elements("css selector", "img, script:not([src])")
        assert not page.driver.find_elements("css selector", "a[href^=javascript]")
        page.done()


def test_assets_on_other_hosts_are_not_asked(driver, catalog, tmp_path, serve):
    copy = shutil.copytree(catalog, tmp_path / "catalog")
    home = home_of(copy)
    header = json.loads((home / "explorer.json").read_bytes())
    header["shards"] = ["http://127.0.0.1:9/stolen.zip" for _ in header["shards"]]
    (home / "explorer.json").write_text(json.dumps(header))
    write_page(copy / "explore", copy)
    with serve(copy) as url:
        page = Page(driver, f"{url}/explore/index.html")
        page.open()
        page.wait(lambda: "another host" in page.find(".problem").text, "nothing is said")
        page.done()


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("fragment", ["#map=1", "#item=xview/10", "#collection=eurosat"])
def test_axe_finds_nothing_serious(page, axe, fragment, width):
    page.size(width, 900)
    page.open(fragment)
    # the links over the tiles come a moment after these
    page.wait(
        lambda: "item" in fragment or page.find(".tiles a[tabindex='0']"), "no tile has a link"
    )
    assert page.serious(axe) == {}
