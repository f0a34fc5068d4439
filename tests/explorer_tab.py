"""A tab of a Chromium without a screen, and what a person does and sees of the explorer in it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

PICTURES = os.environ.get("SATIMNET_PICTURES")  # a folder that screenshots are to be kept in


class Page:
    """A tab, and what a person does and sees in it."""

    def __init__(self, driver, url):
        self.driver, self.url = driver, url
        self.faults = []

    def size(self, width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def open(self, fragment="", url=None, ready="all"):
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get((url or self.url) + fragment)
        self.wait(lambda: self.run("return document.documentElement.dataset.ready") == ready, ready)
        if "item=" in fragment:
            self.sample()

    def done(self):
        """Nobody else was asked for anything, and nothing went wrong."""
        log = [x["message"] for x in self.driver.get_log("browser") if x["level"] == "SEVERE"]
        assert log == self.faults
        asked = self.run("return performance.getEntriesByType('resource').map((x) => x.name)")
        origin = self.run("return location.origin")
        foreign = [x for x in asked if not x.startswith((origin, "blob:", "data:"))]
        assert foreign == [] or self.faults

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition, message):
        from selenium.webdriver.support.wait import WebDriverWait

        def told(_):
            from selenium.common.exceptions import WebDriverException

            try:
                return condition()
            except WebDriverException:
                return False

        try:
            return WebDriverWait(self.driver, 120, 0.1).until(told)
        except Exception:
            text = self.run("return document.body.innerText")
            raise AssertionError(f"{message}; the page says: {text[:1500]}") from None

    def find(self, css):
        found = self.driver.find_elements
        return self.wait(lambda: found("css selector", css), f"nothing is {css}")[0]

    def choose(self, facet, value):
        self.find(f'[data-value="{facet}:{value}"]').click()

    @property
    def count(self):
        """How many samples the page has found."""
        return int(re.match(r"[\d,]+", self.find(".found").text)[0].replace(",", ""))

    def counts(self, number):
        self.wait(lambda: self.count == number, f"not {number} samples")

    def command(self):
        return self.run("return document.querySelector('.command code').textContent")

    def sample(self):
        script = "return document.querySelector('dialog[open]')?.dataset.ready"
        self.wait(lambda: self.run(script) == "yes", "no sample is shown")
        return self.find("dialog[open]")

    def pixels(self, css):
        """The pixels of a canvas, of axis order (y, x, band)."""
        shape, values = self.run(
            """const canvas = document.querySelector(arguments[0]);
            const { width, height } = canvas;
            const image = canvas.getContext("2d").getImageData(0, 0, width, height);
            return [[height, width, 4], Array.from(image.data)];""",
            css,
        )
        return np.array(values, np.uint8).reshape(shape).astype(int)

    def keys(self, *keys):
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def keep(self, name):
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(f"{PICTURES}/{name}.png")

    @property
    def address(self):
        return self.run("return location.hash")

    def serious(self, axe):
        """What axe finds serious or critical on the page: the rules, each with some elements."""
        # as the driver's script, which the page's own policy does not keep out
        self.driver.execute_script(axe)
        found = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run().then((x) => done(x.violations))"
        )
        return {
            one["id"]: [node["html"] for node in one["nodes"]][:3]
            for one in found
            if one["impact"] in ("serious", "critical")
        }
