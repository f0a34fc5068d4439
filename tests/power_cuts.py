"""``python -m tests.power_cuts``: what is on the disk when the power is cut while a command writes.

Commands write onto an ext4 file system on a loop device. At instants drawn from a seed, half of
them among the last changes of the command and one after it has said that it is done, the file
behind the device is copied as it is: what has not been flushed is not in it. The copy is mounted
as after a crash. Its catalog must be the old or the new one, byte for byte, and valid; once the
command was done, the new one; and the command given again must make the new one. Needs root and
Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from satimnet.builder.catalog.validation import validate
from satimnet.builder.publishing.index_files import files_of_index

from .kills.scenarios import Inputs, Scenario
from .kills.trees import digests
from .kills.zygote import Zygote

_SIZE = 96 * 2**20
_LAST = 12
_SCENARIOS = ("build new, threads", "build replace, threads", "copy new", "copy into")
_SCHEMAS = Path(__file__).parents[2] / "shared" / "schemas"


class Disk:
    """An ext4 file system in a file, mounted at ``place``."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "disk"
        self._file, self._crashed = folder / "image", folder / "crashed"
        self.place.mkdir()

    def begin(self) -> None:
        """Makes it anew, empty."""
        self._file.unlink(missing_ok=True)  # a loop device may still have pages of the old one
        self._file.write_bytes(b"")
        os.truncate(self._file, _SIZE)
        options = "lazy_itable_init=0,lazy_journal_init=0"
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", options, self._file], check=True)
        self._mount()

    def cut(self) -> None:
        """Cuts the power and starts again."""
        shutil.copyfile(self._file, self._crashed)
        self.end()
        os.replace(self._crashed, self._file)
        self._mount()

    def end(self) -> None:
        """Takes it off."""
        subprocess.run(["umount", self.place], check=True)

    def _mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self._file, self.place], check=True)


def reason_to_skip() -> str | None:
    """Why the power cannot be cut here; None if it can."""
    if os.geteuid() or not Path("/dev/loop-control").exists() or not shutil.which("mkfs.ext4"):
        return "needs root, loop devices and mkfs.ext4"
    with TemporaryDirectory(prefix="power-") as folder:
        disk = Disk(Path(folder))
        try:
            disk.begin()
        except subprocess.CalledProcessError as error:
            return f"needs the right to mount an ext4 file system ({error})"
        disk.end()
    return None


class Trial:
    """Cuts the power under scenarios, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._inputs = Inputs(folder / "in")
        self._disk = Disk(folder)
        self._work = self._disk.place / "work"
        self._zygote = Zygote(folder)
        self.scenarios = [one for one in self._inputs.scenarios() if one.name in _SCENARIOS]

    def close(self) -> None:
        """Ends what it started."""
        self._zygote.close()
        self._inputs.close()

    def cuts(self, scenario: Scenario, count: int, rng: random.Random) -> list[str]:
        """Cuts the power so often; says what is wrong after each, or which catalog there is."""
        job, catalog = scenario.job(self._work), self._work / "catalog"
        old = self._begin(scenario)
        calm = self._zygote.run(job, self._work)
        new, everything = _linked(catalog), digests(self._work)
        self._disk.end()
        changes = calm.changes
        late = [rng.randint(changes - _LAST, changes) for _ in range(count // 2)]
        early = [rng.randint(1, changes) for _ in range(count - len(late) - 1)]
        said = []
        for change in (*early, *late, 0):
            self._begin(scenario)
            ended = self._zygote.run(job, self._work, change=change)
            self._disk.cut()
            found = _linked(catalog)
            state = "new" if found == new else "old" if found == old else "WRONG: a mixture"
            if ended.status == 0 and _visible(digests(self._work)) != _visible(everything):
                state = "WRONG: lost, though the command was done"
            problems = self._problems(catalog) if found else []
            again = self._zygote.run(job, self._work)
            if ended.status and (again.status or digests(self._work) != everything):
                state += f", WRONG: given again: {again.output.strip()[-200:]}"
            self._disk.end()
            said.append(" ".join([state, *problems]))
        return said

    def _begin(self, scenario: Scenario) -> dict[str, str]:
        self._disk.begin()
        self._work.mkdir()
        if scenario.start:
            shutil.copytree(self._inputs.folder / scenario.start, self._work / "catalog")
        os.sync()
        return _linked(self._work / "catalog")

    def _problems(self, catalog: Path) -> list[str]:
        schemas = _SCHEMAS if _SCHEMAS.is_dir() else None
        findings = validate(catalog, schemas=schemas, checksums=True)
        return [f"WRONG: {problem}" for problem in findings.problems]


def _visible(files: dict[str, str]) -> dict[str, str]:
    """Without hidden folders beside the catalog: that they are gone need not be on the disk yet."""
    return {name: digest for name, digest in files.items() if not name.startswith(".")}


def _linked(catalog: Path) -> dict[str, str]:
    """The digests of the files that a catalog leads to, and of the root itself.

    The copies at the stable addresses are replaced after the root.
    """
    root = catalog / "catalog.json"
    if not root.exists():
        return {}
    links = json.loads(root.read_bytes())["links"]
    names = {os.path.normpath(link["href"]) for link in links}
    folders = tuple(f"{os.path.dirname(name)}/" for name in names if "/" in name)
    for folder in folders:
        assets = files_of_index(catalog / folder / "items.parquet").get("assets", ())
        names |= {os.path.normpath(f"{folder}{asset['href']}") for asset in assets}
    return {
        name: digest
        for name, digest in digests(catalog).items()
        if name in names or name.startswith(folders)
    } | {name: "missing" for name in names if not (catalog / name).is_file()}


def main() -> int:
    """Cuts the power, and prints what was there; 1 if anything was at fault."""
    parser = argparse.ArgumentParser("python -m tests.power_cuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=10, metavar="N", help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="WORD", help="commands with this in their name")
    arguments = parser.parse_args()
    if reason := reason_to_skip():
        print(f"skipped: {reason}")
        return 0
    rng = random.Random(arguments.seed)
    wrong = 0
    with TemporaryDirectory(prefix="power-") as folder:
        trial = Trial(Path(folder))
        try:
            chosen = [one for one in trial.scenarios if (arguments.only or "") in one.name]
            for scenario in chosen:
                said = trial.cuts(scenario, arguments.cuts, rng)
                wrong += sum("WRONG" in one for one in said)
                print(f"{scenario.name}: {'; '.join(said)}", flush=True)
        finally:
            trial.close()
    print(f"{wrong} of {arguments.cuts * len(chosen)} cuts went wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
