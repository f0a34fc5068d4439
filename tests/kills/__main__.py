"""``python -m tests.kills``: commands are killed and given again. See the package's docstring."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from .reader import Ids, Reader, contents
from .scenarios import Inputs, Scenario
from .store import Store
from .trees import digests
from .zygote import Ended, Zygote

_MOST_SECONDS = 60.0
"""A worker may outlive its parent by that; the cores may be busy."""
_DRAWS = 20
"""Instants that are drawn for a kill before it is given up: a run may be faster than before."""


@dataclass(frozen=True)
class Calm:
    """A scenario that ran undisturbed."""

    ended: Ended
    changes: int
    """How often it changed something."""
    tree: dict[str, str]
    allowed: dict[str, tuple[Ids, ...]]
    """What a reader may find in each collection of the catalog that was there before."""


@dataclass(frozen=True)
class Verdict:
    """What came of a kill."""

    scenario: str
    instant: str
    wrong: tuple[str, ...]
    outlived: float
    asked: int


class Trial:
    """Scenarios in one folder, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.inputs = Inputs(folder / "in")
        self._work = folder / "work"
        self._store = Store()
        self._zygote = Zygote(folder)
        self._calm: dict[str, Calm] = {}

    def close(self) -> None:
        """Ends what it started."""
        self._zygote.close()
        self._store.close()
        self.inputs.close()

    def draw(self, scenario: Scenario, rng: random.Random) -> Verdict:
        """Kills a scenario at an instant that is drawn."""
        calm = self.calm(scenario)
        for _ in range(_DRAWS):
            if rng.random() < 0.5:
                more = {"after": rng.random() < 0.5} if scenario.in_store else {}
                verdict = self.kill(scenario, change=rng.randint(1, calm.changes), **more)
            else:
                verdict = self.kill(scenario, seconds=rng.random() * calm.ended.seconds)
            if verdict is not None:
                return verdict
        raise RuntimeError(f"{scenario.name}: is over before any kill")

    def kill(self, scenario: Scenario, **how: Any) -> Verdict | None:
        """Kills a scenario, looks, and runs it again; None if it was over before the kill."""
        calm = self.calm(scenario)
        self._begin(scenario)
        with self._reader(scenario, calm) as reader:
            killed = self._run(scenario, **how)
            if killed.status >= 0:
                return None
            outlived = self._zygote.workers_left(_MOST_SECONDS)
            again = self._run(scenario)
        wrong = list(dict.fromkeys(reader.wrong))[:3]
        if outlived is None:
            wrong.append(f"a worker was alive {_MOST_SECONDS:g} seconds later")
        if again.status:
            wrong.append(f"again: {again.output.strip()[-300:]}")
        wrong += _differences(calm.tree, self._digests(scenario))
        instant = ", ".join(f"{key} {value}" for key, value in how.items())
        lived = _MOST_SECONDS if outlived is None else outlived
        return Verdict(scenario.name, instant, tuple(wrong), lived, reader.asked)

    def calm(self, scenario: Scenario) -> Calm:
        """The scenario undisturbed; it runs once."""
        if scenario.name not in self._calm:
            self._begin(scenario)
            catalog = self._catalog(scenario)
            old = contents(catalog) if scenario.start else {}
            ended = self._run(scenario)
            if ended.status:
                raise RuntimeError(f"{scenario.name}: {ended.output}")
            changes = self._store.writes() if scenario.in_store else ended.changes
            new = contents(catalog) if scenario.start else {}
            nothing: Ids = frozenset()
            allowed = {name: (old.get(name, nothing), ids) for name, ids in new.items()}
            tree = self._digests(scenario)
            self._calm[scenario.name] = Calm(ended, changes, tree, allowed)
        return self._calm[scenario.name]

    def _run(
        self, scenario: Scenario, *, change: int = 0, after: bool = False, **how: Any
    ) -> Ended:
        """Runs a scenario; in the store a change is a request to write."""
        if not scenario.in_store:
            return self._zygote.run(scenario.job(self._work), self._work, change=change, **how)
        arm = partial(self._store.arm, number=change, after=after)
        job = scenario.job(self._store.place)
        return self._zygote.run(job, self._work, started=arm, **how)

    def _digests(self, scenario: Scenario) -> dict[str, str]:
        return self._store.digests() if scenario.in_store else digests(self._work)

    def _catalog(self, scenario: Scenario) -> str:
        return f"{self._store.place if scenario.in_store else self._work}/catalog"

    def _begin(self, scenario: Scenario) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        if scenario.in_store:
            self._store.new_place()
            if scenario.start:
                self._store.fill(self.inputs.folder / scenario.start, "catalog")
            return
        self._work.mkdir()
        if scenario.start:
            shutil.copytree(self.inputs.folder / scenario.start, self._work / "catalog")

    def _reader(self, scenario: Scenario, calm: Calm) -> Reader:
        return Reader(self._catalog(scenario) if calm.allowed else None, calm.allowed)


def _differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    names = [n for n in {**expected, **found} if expected.get(n) != found.get(n)]
    if not names:
        return []
    what = [
        f"{n} ({'missing' if n not in found else 'left' if n not in expected else 'differs'})"
        for n in names[:3]
    ]
    return [f"{len(names)} files: {', '.join(what)}"]


def main() -> int:
    """Kills, and prints what came of it; 1 if anything was at fault."""
    parser = argparse.ArgumentParser("python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="WORD", help="scenarios with this in their name")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    verdicts: list[Verdict] = []
    with TemporaryDirectory(prefix="kills-") as folder:
        trial = Trial(Path(folder))
        try:
            chosen = [one for one in trial.inputs.scenarios() if (arguments.only or "") in one.name]
            begin = time.monotonic()
            for number, scenario in enumerate(_rounds(chosen, arguments.kills)):
                verdict = trial.draw(scenario, rng)
                verdicts.append(verdict)
                at = f"{number + 1}, {time.monotonic() - begin:.0f} s"
                state = "; ".join(verdict.wrong) or "right"
                line = f"{at}: {verdict.scenario}, {verdict.instant}: {state}"
                print(line, file=sys.stderr, flush=True)
        finally:
            trial.close()
    _print(verdicts)
    return int(any(verdict.wrong for verdict in verdicts))


def _rounds(scenarios: Sequence[Scenario], number: int) -> Iterator[Scenario]:
    turns = (one for turn in count() for one in scenarios if turn % one.every == 0)
    return islice(turns, number)


def _print(verdicts: list[Verdict]) -> None:
    table = Table("command", box=None)
    for name in ("kills", "right", "longest-lived worker", "questions of readers"):
        table.add_column(name, justify="right")
    kills = Counter(verdict.scenario for verdict in verdicts)
    for name, killed in kills.items():
        own = [verdict for verdict in verdicts if verdict.scenario == name]
        right = sum(not verdict.wrong for verdict in own)
        outlived = max(verdict.outlived for verdict in own)
        asked = sum(verdict.asked for verdict in own)
        table.add_row(name, f"{killed}", f"{right}", f"{outlived:.2f} s", f"{asked:,}")
    Console(width=110).print(table)
    right = sum(not verdict.wrong for verdict in verdicts)
    print(f"{right} of {len(verdicts)} right")


if __name__ == "__main__":
    sys.exit(main())
