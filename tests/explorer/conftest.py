"""A Chromium, a catalog with all that the explorer shows, and the checks of axe."""

import shutil
import subprocess

import pytest
from explorer_tab import Page

from satimnet.builder.explorer.explorer_files import index_catalog
from satimnet.builder.explorer.page_files import write_page
from satimnet.builder.explorer.preview_shards import draw_previews

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
OPTIONS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--force-device-scale-factor=1",
]
AXE = "axe-core@4.14.1"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(300)
    driver.set_script_timeout(300)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def shown(demo, once):
    """A copy of the demo's catalog with previews, and the page beside it; read-only."""

    def make(folder):
        copy = folder / "catalog"
        shutil.copytree(demo / "catalog", copy)
        index_catalog(copy)
        draw_previews(copy)
        write_page(copy / "explore", copy)

    return once("shown", make) / "catalog"


@pytest.fixture(scope="module")
def url(shown, serve):
    with serve(shown) as url:
        yield f"{url}/explore/index.html"


@pytest.fixture
def page(driver, url):
    page = Page(driver, url)
    page.size(1400, 900)
    yield page
    page.done()


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    if shutil.which("npm") is None:
        pytest.skip("needs npm for axe-core")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(["npm", "pack", AXE], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"npm cannot fetch {AXE}")
    shutil.unpack_archive(next(folder.glob("*.tgz")), folder, "gztar")
    return (folder / "package" / "axe.min.js").read_text()
