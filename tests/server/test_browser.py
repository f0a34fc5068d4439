"""STAC Browser on a served and on a published catalog, in a Chromium without a screen."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from serving import served

from satimnet.builder.errors import SatimnetError
from satimnet.builder.server import browser as browser_module
from satimnet.builder.server.browser import build, built, install

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
PICTURES = os.environ.get("SATIMNET_PICTURES")  # a folder that screenshots are to be kept in
FEW_FONTS = set("\u26f6\u2715\u2714\u274c")
"""Signs of STAC Browser's that are empty boxes on most machines."""
OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1300,1400",
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    if built() is None:
        pytest.skip("needs STAC Browser: stac satimnet browser")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(300)
    yield Page(driver)
    driver.quit()


class Page:
    """A tab, and what a person does and sees in it."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, url):
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get(url)

    def wait(self, condition, message):
        from selenium.webdriver.support.wait import WebDriverWait

        def told(driver):
            from selenium.common.exceptions import WebDriverException

            try:
                return condition()
            except WebDriverException:
                return False

        try:
            return WebDriverWait(self.driver, 300, 0.2).until(told)
        except Exception:
            raise AssertionError(f"{message}; the page says: {self.text[:1500]}") from None

    @property
    def text(self):
        return self.driver.execute_script("return document.body.innerText")

    def sees(self, *texts):
        for text in texts:
            self.wait(lambda text=text: text in self.text, f"{text!r} does not appear")

    def finds(self, css):
        found = self.driver.find_elements
        return self.wait(lambda: found("css selector", css), f"nothing is {css}")

    def follow(self, text):
        def click():
            self.driver.find_element("partial link text", text).click()
            return True

        self.wait(click, f"no link {text!r} can be followed")

    def press(self, text):
        def click():
            for button in self.driver.find_elements("css selector", "button, a[role=button]"):
                if text in button.text:
                    button.click()
                    return True

        self.wait(click, f"nothing to press says {text!r}")

    def picture(self, css):
        """Waits for an image that has pixels."""
        self.finds(css)
        script = "return document.querySelector(arguments[0]).naturalWidth"
        return self.wait(lambda: self.driver.execute_script(script, css), f"{css} stays empty")

    def keep(self, name):
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(f"{PICTURES}/{name}.png")

    def errors(self):
        """What the console tells, but for maps, which come from a host that may be out of reach."""
        log = [x for x in self.driver.get_log("browser") if x["level"] == "SEVERE"]
        return [x["message"] for x in log if "tile.openstreetmap.org" not in x["message"]]


@pytest.fixture(scope="module")
def url(catalog):
    with served(catalog) as (url, _):
        yield url


@pytest.mark.slow
def test_from_the_root_to_an_item_and_its_thumbnail(page, url):
    page.open(f"{url}browser/")
    page.sees("SatImNet: harmonised training data", "EuroSAT")
    page.keep("root")
    page.follow("EuroSAT")
    page.sees("27,000 Sentinel-2", "Training data (SatImNet)", "Classification problem")
    page.sees("Items40", "AnnualCrop_1")
    assert page.picture("img[src*='/thumbnails/']") == 256
    page.keep("collection")
    page.follow("AnnualCrop_1")
    page.sees("Training data (SatImNet)", "RGB patch")
    assert re.search(r"Classes\s+AnnualCrop\s+Concepts\s+arable-land", page.text)
    page.finds(".ol-viewport canvas")
    page.keep("item")
    assert not FEW_FONTS & set(page.text)
    page.press("13-band patch")  # is a file of its own here, which the map can show
    page.press("Show on map")
    page.sees("SHOWN")
    assert page.finds("a[href*='/members/'][href$='/AnnualCrop_1.tif']")
    page.follow("Thumbnails")
    assert page.picture("img[src*='/thumbnails/eurosat/AnnualCrop_1.png']") == 256
    assert page.errors() == []


@pytest.mark.slow
def test_a_search_in_the_api(page, url):
    page.open(f"{url}browser/#/search/")
    page.sees("Search Terms", "Item IDs")
    box = page.finds("input.multiselect__input")[0]
    page.driver.execute_script("arguments[0].focus()", box)
    from selenium.webdriver.common.keys import Keys

    box.send_keys("river", Keys.ENTER)
    for button in page.finds("button[type=submit]"):
        if button.text == "Submit":
            button.click()
    page.sees("River_1", "River_4")
    assert "Forest_1" not in page.text
    page.keep("search")
    assert page.errors() == []


@pytest.mark.slow
def test_a_published_catalog_needs_no_server_of_ours(page, catalog, serve, tmp_path):
    shutil.copytree(catalog, tmp_path / "public")
    install(tmp_path / "public/browser", "../catalog.json")
    with serve(tmp_path / "public") as host:
        page.open(f"{host}/browser/index.html")
        page.sees("SatImNet: harmonised training data", "EuroSAT")
        page.follow("EuroSAT")
        page.sees("Training data (SatImNet)", "Forest")
        page.follow("Forest")
        page.sees("Forest_1")
        page.follow("Forest_1")
        page.sees("Training data (SatImNet)", "Concepts", "RGB patch")
        page.finds(".ol-viewport canvas")
        page.keep("static-item")
        missing = [error for error in page.errors() if "favicon.ico" not in error]
        assert missing == []
    with pytest.raises(SatimnetError, match="is there already"):
        install(tmp_path / "public/browser", "../catalog.json")


def test_without_npm_it_is_told_how(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert built() is None
    with pytest.raises(SatimnetError, match="npm: is not installed"):
        build()


def test_a_build_that_fails_leaves_nothing_behind(monkeypatch, tmp_path):
    npm = tmp_path / "bin/npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho 'npm error network' >&2; exit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{npm.parent}:{os.environ['PATH']}")
    with pytest.raises(SatimnetError, match=r"npm pack.*failed: npm error network"):
        build()
    assert list((tmp_path / "cache/satimnet").iterdir()) == []


def test_every_field_of_the_extension_has_a_label():
    """With the words of the extension's schema: a field that is new there is missed here."""
    from satimnet.extension import schema

    fields = set(re.findall(r'"(satimnet:\w+)"', json.dumps(schema())))
    labelled = set(re.findall(r"'(satimnet:\w+)':", browser_module._own(browser_module._FIELDS)))
    assert labelled == fields


def test_the_labels_are_javascript(tmp_path):
    if shutil.which("node") is None:
        pytest.skip("needs Node.js")
    script = browser_module._own(browser_module._FIELDS)
    script = script.replace("import { DataTypes, Registry } from", "//")
    head = "const Registry = { addExtension() {}, addMetadataFields(f) { found = f; } }; let found;"
    head += " const DataTypes = {};"
    (tmp_path / "fields.mjs").write_text(f"{head}\n{script}\nconsole.log(JSON.stringify(found));")
    done = subprocess.run(["node", tmp_path / "fields.mjs"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["satimnet:classes"] == "Classes"
