"""``python -m benchmarks.browsing CATALOG``: how long people wait for pages of a served catalog.

Starts ``satimnet serve``, asks its API, and opens STAC Browser (which has to be built) in a
Chromium without a screen, with an empty cache. A page counts as open when its last text is there:
the title at the root, an Item's link in a collection.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from satimnet.builder.query.index import Index

_COMMAND = "from stactools.cli.cli import run_cli; run_cli()"
_ROUNDS = 5


def main() -> None:
    """Prints seconds, the first time and the median of those after it."""
    parser = argparse.ArgumentParser("python -m benchmarks.browsing", description=__doc__)
    parser.add_argument("catalog", type=Path)
    catalog = parser.parse_args().catalog
    collections = Index(str(catalog)).collections
    name, collection = next(iter(collections.items()))
    with _served(catalog) as (url, ready):
        print(f"serve is ready: {ready:.2f} s")
        for path in (
            "",
            f"collections/{name}",
            f"collections/{name}/items",
            "search?limit=100&sortby=-datetime",
            f"aggregate?collections={name}&aggregations=satimnet:classes_frequency",
        ):
            _print(f"/{path}", partial(_read, url + path))
        title = str(collection.document.json["title"])
        with _chromium() as driver:
            pages = {
                "STAC Browser, root": (f"{url}browser/", title),
                f"STAC Browser, {name} and its Items": (
                    f"{url}browser/#/collections/{name}",
                    _first_item(url, name),
                ),
            }
            for what, (page, text) in pages.items():
                _print(what, partial(_open, driver, page, text))


def _print(what: str, act: Callable[[], None]) -> None:
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    print(f"{what}: first {times[0]:.2f} s, then {statistics.median(times[1:]):.2f} s", flush=True)


@contextmanager
def _served(catalog: Path) -> Iterator[tuple[str, float]]:
    command = [sys.executable, "-c", _COMMAND, "satimnet", "serve", str(catalog), "--port", "0"]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1], time.perf_counter() - start
        finally:
            process.terminate()


def _read(url: str) -> None:
    with urllib.request.urlopen(url) as answer:
        answer.read()


def _first_item(url: str, name: str) -> str:

    with urllib.request.urlopen(f"{url}collections/{name}/items?limit=1") as answer:
        return str(json.load(answer)["features"][0]["id"])


@contextmanager
def _chromium() -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    with tempfile.TemporaryDirectory() as profile:
        for option in ("--headless", "--no-sandbox", f"--user-data-dir={profile}"):
            options.add_argument(option)
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


def _open(driver: Any, page: str, text: str) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    driver.get("about:blank")
    driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    driver.get(page)
    script = "return document.body.innerText.includes(arguments[0])"
    WebDriverWait(driver, 60, 0.05).until(lambda _: driver.execute_script(script, text))


if __name__ == "__main__":
    main()
