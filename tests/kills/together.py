"""``python -m tests.kills.together``: two builds of different collections at once, round by round.

Each round starts two processes of ``stac satimnet build`` into a new catalog, on disk and in an
object store of this machine. Both collections must be there, with all their Items, and valid.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from satimnet.builder import versions

from .reader import contents
from .store import Store
from .zygote import Ended, Zygote


def build_both(sources: dict[str, Path], place: str, zygotes: Sequence[Zygote]) -> list[str]:
    """Builds each source in a process of its own, all at once; says what is wrong."""
    more = ["--out", place, "--quiet", "--no-overview", "--scheduler", "threads"]

    def run(source: Path, zygote: Zygote) -> Ended:
        return zygote.run(["satimnet", "build", str(source), *more], Path(place))

    with ThreadPoolExecutor(len(zygotes)) as pool:
        ended = list(pool.map(run, sources.values(), zygotes))
    if wrong := [one.output[-300:] for one in ended if one.status]:
        return wrong
    found = contents(place)
    wrong = [f"no Items of {name}" for name in sources if not found.get(name)]
    current = {version.collection for version in versions(place) if version.current}
    return wrong + [f"no version of {name}" for name in sources if name not in current]


def main() -> int:
    """Builds, and prints how many rounds went right; 1 if any did not."""
    from stactools.eurosat.miniature import write_miniature as write_eurosat
    from stactools.uc_merced.miniature import write_miniature as write_uc_merced

    parser = argparse.ArgumentParser("python -m tests.kills.together", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, metavar="N")
    parser.add_argument("--where", choices=["disk", "s3", "both"], default="both")
    arguments = parser.parse_args()
    failed = 0
    with TemporaryDirectory(prefix="together-") as folder:
        sources = {"eurosat": Path(folder, "eurosat"), "uc-merced": Path(folder, "uc-merced")}
        write_eurosat(sources["eurosat"], 1)
        write_uc_merced(sources["uc-merced"], 1)
        store = Store()
        for name in sources:
            Path(folder, f"log-{name}").mkdir()
        zygotes = [Zygote(Path(folder, f"log-{name}")) for name in sources]
        try:
            for where in ("disk", "s3") if arguments.where == "both" else (arguments.where,):
                right = 0
                for number in range(arguments.rounds):
                    place = f"{folder}/{number}" if where == "disk" else store.new_place()
                    begin = time.monotonic()
                    wrong = build_both(sources, place, zygotes)
                    right += not wrong
                    state = "; ".join(wrong) or "right"
                    took = f"{time.monotonic() - begin:.0f} s"
                    print(f"{where} {number + 1}, {took}: {state}", file=sys.stderr, flush=True)
                failed += arguments.rounds - right
                print(f"{where}: {right} of {arguments.rounds} right", flush=True)
        finally:
            for zygote in zygotes:
                zygote.close()
            store.close()
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
