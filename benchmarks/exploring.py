"""``python -m benchmarks.exploring FOLDER``: how long people wait for the explorer.

Writes, once, two catalogs into FOLDER (see `benchmarks.explored`; 3 GB), serves them by the host of
`benchmarks.slow_host`, which has byte ranges and answers 20 ms late, and opens the explorer's page
in a Chromium without a screen and without a GPU, 1400 by 900 pixels, each time with a new profile.

It measures the time and the bytes until the first pictures are drawn, and until all that are seen
are; how long a filter takes from the click until its counts and tiles are painted, and until their
pictures are drawn; what each frame of a scroll takes; and the memory of the tab after scrolling
through 20,000 samples. Beside the clock it says how much processor time the page's thread took.
``--json FILE`` writes the figures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.explored import bigearthnet_at, eurosat_at
from benchmarks.slow_host import LATENCY, slow_host
from benchmarks.table import where
from satimnet.builder.explorer.page_files import write_page

_ROUNDS = 5
_FRAMES = 300
_FAST, _SLOW = 600, 60  # pixels a frame
_SCROLLED = 20_000  # samples
_WIDTH, _HEIGHT = 1400, 900
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--enable-precise-memory-info",
)

_WATCH = """
performance.setResourceTimingBufferSize(100000);
window.seen = {};
const told = () => {
  const wall = document.querySelector(".wall");
  const now = performance.now();
  const asked = performance.getEntriesByType("resource");
  const bytes = (all) => all.reduce((sum, one) => sum + one.transferSize, 0);
  const pages = performance.getEntriesByType("navigation");
  return {
    seconds: now / 1e3, bytes: bytes([...asked, ...pages]), requests: asked.length + 1,
    drawn: Number(wall.dataset.drawn), tiles: Number(wall.dataset.seen),
  };
};
new MutationObserver(() => {
  const wall = document.querySelector(".wall");
  if (!wall || !Number(wall.dataset.drawn)) return;
  window.seen.first ??= told();
  if (wall.dataset.drawn === wall.dataset.seen) window.seen.all ??= told();
  if (document.documentElement.dataset.ready === "all") window.seen.ready ??= told();
}).observe(document, { subtree: true, attributes: true, childList: true });
"""
"""Runs before the page does, and notes when pictures are drawn."""

_ANSWER = """
const [act, done] = [arguments[0], arguments[arguments.length - 1]];
const wall = document.querySelector(".wall");
const found = document.querySelector(".found");
const before = location.hash;
const begin = performance.now();
const painted = (call) => requestAnimationFrame(() => setTimeout(call, 0));
const pictures = (answered) => {
  const { drawn, seen } = wall.dataset;
  if (drawn !== seen && performance.now() - begin < 2e4) {
    return requestAnimationFrame(() => pictures(answered));
  }
  done([answered, (performance.now() - begin) / 1e3, found.textContent]);
};
const answered = () => {
  if (location.hash === before) return requestAnimationFrame(answered);
  painted(() => {
    const seconds = (performance.now() - begin) / 1e3;
    painted(() => pictures(seconds));
  });
};
(new Function(act))();
answered();
"""
"""Does something, waits until its answer is painted, and then until its pictures are drawn."""

_SCROLL = """
const [pixels, frames, done] = arguments;
const wall = document.querySelector(".wall");
let left = frames;
const step = () => {
  performance.mark("benchmark-frame");
  if (!left) return done();
  left -= 1;
  wall.scrollTop += pixels;
  requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""

_THROUGH = """
const [samples, done] = arguments;
const wall = document.querySelector(".wall");
let passed = 0;
const next = () => {
  const { drawn, seen } = wall.dataset;
  if (drawn !== seen) return requestAnimationFrame(next);
  passed += Number(seen);
  const before = wall.scrollTop;
  wall.scrollTop += wall.clientHeight;
  if (passed >= samples || wall.scrollTop === before) return done(passed);
  setTimeout(next, 150);
};
next();
"""
"""Scrolls on by a window whenever all that is seen is drawn."""

_BOX = """
const fields = [...document.querySelectorAll(".map-tools input")];
fields.forEach((field, at) => (field.value = [-10, 36, 5, 45][at]));
fields[0].dispatchEvent(new Event("change"));
"""
_TEXT = """
const field = document.querySelector("input[type=search]");
field.value = "crop";
field.dispatchEvent(new Event("input"));
"""
_CLICK = 'document.querySelector(\'[data-value^="{}:"]:not([data-value$=":more"])\').click();'
_FILTERS = {
    "class": _CLICK.format("class"),
    "month": _CLICK.format("month"),
    "split": _CLICK.format("split"),
    "country": _CLICK.format("country"),
    "free text, which waits for 0.12 s": _TEXT,
    "a box on the map": _BOX,
}
_CLEAR = "document.querySelector('.panel-head button').click();"
_SCRIPT = {
    *("FunctionCall", "EvaluateScript", "FireAnimationFrame", "TimerFire", "EventDispatch"),
    *("RunMicrotasks", "v8.callFunction", "V8.GCScavenger", "MinorGC", "MajorGC", "v8.compile"),
    *("Layout", "UpdateLayoutTree"),
}

Figures = dict[str, Any]


def main() -> None:
    """Writes the catalogs if they are not there, measures, and prints."""
    parser = argparse.ArgumentParser("python -m benchmarks.exploring", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=_ROUNDS, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    catalogs = {"eurosat": eurosat_at, "bigearthnet": bigearthnet_at}
    figures: Figures = {**where(), "latency": LATENCY}
    for name, make in catalogs.items():
        catalog = make(folder / name)
        write_page(catalog / "explore", catalog)
    with slow_host(folder, LATENCY) as host:
        for name in catalogs:
            page = f"{host}/{name}/explore/index.html"
            with _chromium() as tab:
                figures["chromium"] = tab.version
                _first_screen(tab, page)  # once for the disk
            figures[name] = _measured(page, arguments.rounds)
            _print(name, figures[name])
    figures["load"] = os.getloadavg()[0]
    print(f"{figures['machine']}; {figures['chromium']}; load {figures['load']:.1f}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2))


def _measured(page: str, rounds: int) -> Figures:
    """All figures of a catalog: medians of the rounds, and the least of each."""
    opened: list[Figures] = []
    answers: dict[str, list[Figures]] = {}
    for _ in range(rounds):
        with _chromium() as tab:
            opened.append(_first_screen(tab, page))
            for name, act in _FILTERS.items():
                if found := _answer(tab, act):
                    answers.setdefault(name, []).append(found)
    with _chromium() as tab:
        _first_screen(tab, page)
        scrolled = {
            f"{pixels} px a frame": _frames(tab, pixels, _FRAMES) for pixels in (_SLOW, _FAST)
        }
        tab.run("document.querySelector('.wall').scrollTop = 0")
        before = _memory(tab)
        passed = tab.wait_for(_THROUGH, _SCROLLED)
        after = _memory(tab)
    return {
        "opened": _summary(opened, median),
        "answers": {name: _summary(all_, median) for name, all_ in answers.items()},
        "least": {
            "opened": _summary(opened, min),
            "answers": {name: _summary(all_, min) for name, all_ in answers.items()},
        },
        "scrolled": scrolled,
        "memory": {"samples": passed, "before": before, "after": after},
    }


def _summary(all_: Sequence[Figures], of: Callable[[Iterable[float]], float]) -> Figures:
    """The median, or least, of each figure, in figures of figures as well; the first of texts."""
    return {
        key: _summary([one[key] for one in all_], of)
        if isinstance(first, dict)
        else first
        if isinstance(first, str)
        else of(one[key] for one in all_)
        for key, first in all_[0].items()
    }


# --- what is measured ---------------------------------------------------------------------------


def _first_screen(tab: _Tab, page: str) -> Figures:
    """When pictures are drawn, with how many bytes, and what the page's thread did for it."""
    tab.open(page)
    tab.until("document.documentElement.dataset.ready === 'all' && window.seen.ready")
    found: Figures = tab.run("return window.seen")
    return {**found, "core_seconds": tab.busy()}


def _answer(tab: _Tab, act: str) -> Figures | None:
    """How long an answer takes; None if the catalog has nothing of the kind."""
    if act.startswith("document.querySelector(") and not tab.run(f"return {act[:-9]} !== null"):
        return None
    before = tab.busy()
    answered, pictures, text = tab.wait_for(_ANSWER, act)
    used = tab.busy() - before
    tab.wait_for(_ANSWER, _CLEAR)
    return {"answered": answered, "pictures": pictures, "core_seconds": used, "found": text}


def _memory(tab: _Tab) -> Figures:
    """MB of the tab: objects and arrays of the page, and all that its process holds alone."""
    tab.cdp("HeapProfiler.collectGarbage")
    used = tab.cdp("Runtime.getHeapUsage")
    held = Path(f"/proc/{tab.process}/smaps_rollup").read_text()
    parts = {line.split(":")[0]: line.split()[1] for line in held.splitlines()[1:]}
    return {
        "objects": used["usedSize"] / 1e6,
        "arrays": used.get("backingStorageSize", 0) / 1e6,
        "process": int(parts["Pss"]) * 1024 / 1e6,
        "process_alone": (int(parts["Private_Clean"]) + int(parts["Private_Dirty"])) * 1024 / 1e6,
    }


def _frames(tab: _Tab, pixels: int, frames: int) -> Figures:
    """What frames of a scroll take: script and layout of each, of a trace of the page's thread."""
    tab.run("document.querySelector('.wall').scrollTop = 0")
    with tab.traced() as events:
        tab.wait_for(_SCROLL, pixels, frames)
    marks = [e for e in events if e["name"] == "benchmark-frame"]
    thread = (marks[0]["pid"], marks[0]["tid"])
    own = [
        (event["ts"], event["ts"] + event["dur"], event)
        for event in events
        if (event["pid"], event["tid"]) == thread and event["name"] in _SCRIPT and "dur" in event
    ]
    clock, used = [], []
    ends = [mark["ts"] for mark in marks]
    for begin, end in itertools.pairwise(ends):
        outer = _outermost([one for one in own if begin <= one[0] < end])
        clock.append(sum(event["dur"] for event in outer) / 1e3)
        used.append(sum(float(event["tdur"]) for event in outer) / 1e3)
    return {
        "frames": len(clock),
        "clock": _spread(clock),
        "core": _spread(used),
        "apart": _spread([(end - begin) / 1e3 for begin, end in itertools.pairwise(ends)]),
    }


def _outermost(spans: Sequence[tuple[float, float, Figures]]) -> list[Figures]:
    """The events that lie in no other one."""
    found: list[Figures] = []
    last = 0.0
    for _, end, event in sorted(spans, key=lambda span: (span[0], -span[1])):
        if end > last:
            found.append(event)
            last = end
    return found


def _spread(values: Sequence[float]) -> Figures:
    return {"median": median(values), "p95": quantiles(values, n=20)[-1], "most": max(values)}


# --- the tab ------------------------------------------------------------------------------------


class _Tab:
    """A tab of a Chromium, of which the page's own thread is watched."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._address = driver.capabilities["goog:chromeOptions"]["debuggerAddress"]
        self.version = f"Chromium {driver.capabilities['browserVersion']}"
        metrics = {"width": _WIDTH, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self.cdp("Emulation.setDeviceMetricsOverride", **metrics)
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)

    def cdp(self, method: str, **arguments: Any) -> Any:
        return self._driver.execute_cdp_cmd(method, arguments)

    def open(self, page: str) -> None:
        self.cdp("Performance.enable", timeDomain="threadTicks")
        self._driver.get(page)

    def run(self, script: str) -> Any:
        return self._driver.execute_script(script)

    def wait_for(self, script: str, *arguments: Any) -> Any:
        return self._driver.execute_async_script(script, *arguments)

    def until(self, condition: str) -> None:
        from selenium.webdriver.support.wait import WebDriverWait

        wait = WebDriverWait(self._driver, 120, 0.05)
        wait.until(lambda _: bool(self.run(f"return {condition}")))

    def busy(self) -> float:
        """Core-seconds of the page's thread since the page was opened."""
        told = {m["name"]: m["value"] for m in self.cdp("Performance.getMetrics")["metrics"]}
        return float(told["TaskDuration"])

    @property
    def process(self) -> int:
        """The process of the tab: the one of this browser's pages that used most time."""
        with _Devtools(self._address) as tools:
            told = tools.ask("SystemInfo.getProcessInfo")["processInfo"]
        pages = [one for one in told if one["type"] == "renderer"]
        return int(max(pages, key=lambda one: one["cpuTime"])["id"])

    @contextmanager
    def traced(self) -> Iterator[list[Figures]]:
        """The events of a trace, which are there afterwards."""
        events: list[Figures] = []
        with _Devtools(self._address) as tools:
            wanted = ["devtools.timeline", "blink.user_timing", "v8"]
            tools.ask("Tracing.start", traceConfig={"includedCategories": wanted})
            yield events
            tools.ask("Tracing.end")
            while (told := tools.next())["method"] != "Tracing.tracingComplete":
                if told["method"] == "Tracing.dataCollected":
                    events += told["params"]["value"]


class _Devtools:
    """A connection to the browser itself, for what belongs to no tab."""

    def __init__(self, address: str) -> None:
        from websocket import create_connection

        with urllib.request.urlopen(f"http://{address}/json/version") as answer:
            url = json.load(answer)["webSocketDebuggerUrl"]
        self._connection: Any = create_connection(url, suppress_origin=True, timeout=300)
        self._number = 0

    def __enter__(self) -> _Devtools:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def next(self) -> Figures:
        told: Figures = json.loads(self._connection.recv())
        return told

    def ask(self, method: str, **arguments: Any) -> Figures:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": arguments}
        self._connection.send(json.dumps(asked))
        while (told := self.next()).get("id") != self._number:
            pass
        answer: Figures = told["result"]
        return answer


@contextmanager
def _chromium() -> Iterator[_Tab]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for option in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        driver.set_script_timeout(600)
        try:
            yield _Tab(driver)
        finally:
            driver.quit()


# --- what is printed ----------------------------------------------------------------------------


def _print(name: str, found: Mapping[str, Any]) -> None:
    opened, least = found["opened"], found["least"]
    print(name)
    for key, what in (
        ("first", "first pictures"),
        ("all", "all pictures of the first screen"),
        ("ready", "all that filters need"),
    ):
        one = opened[key]
        print(
            f"  {what}: {one['seconds']:.2f} s (at best {least['opened'][key]['seconds']:.2f}), "
            f"{one['bytes'] / 1e6:.2f} MB in "
            f"{one['requests']:.0f} requests, {one['drawn']:.0f} of {one['tiles']:.0f} tiles"
        )
    print(f"  the page's thread until then: {opened['core_seconds']:.2f} core-seconds")
    for what, one in found["answers"].items():
        print(
            f"  {what} ({one['found']}): {one['answered']:.3f} s (at best "
            f"{least['answers'][what]['answered']:.3f}), with pictures "
            f"{one['pictures']:.2f} s, {one['core_seconds']:.3f} core-seconds"
        )
    for what, one in found["scrolled"].items():
        told = _told(one)
        print(f"  {what}: script and layout {told('clock')} ms, of the core {told('core')} ms")
        print(f"    frames are {told('apart')} ms apart")
    memory = found["memory"]
    for when in ("before", "after"):
        one = memory[when]
        print(
            f"  memory {when} {memory['samples']:,} samples: {one['objects']:.0f} MB of objects, "
            f"{one['arrays']:.0f} of arrays, {one['process']:.0f} of the process"
        )


def _told(one: Mapping[str, Any]) -> Callable[[str], str]:
    return lambda key: "{median:.1f} (95 % below {p95:.1f}, most {most:.1f})".format(**one[key])


if __name__ == "__main__":
    main()
