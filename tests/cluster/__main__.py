"""``python -m tests.cluster``: see the package's docstring."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .machines import can_isolate
from .trials import eurosat, every_form, trial


def main() -> int:
    """Runs the trial and prints what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--per-class", type=int, help="EuroSAT alone, with so many samples of each of 10 classes."
    )
    parser.add_argument("--source", type=Path, help="A folder of a dataset, instead of miniatures.")
    parser.add_argument("--shard-size", type=int, default=2**20, help="Bytes of a shard.")
    parser.add_argument("--no-kill", action="store_true", help="Let all workers live.")
    parser.add_argument(
        "--namespaces", action="store_true", help="Give each worker a network of its own."
    )
    parser.add_argument("--folder", type=Path, help="Keep everything there.")
    options = parser.parse_args()
    isolated = can_isolate()
    print(f"workers write {'only to their scratch folders' if isolated else 'where they like'}")
    with TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if options.source is not None:
            sources = {"source": options.source}
        elif options.per_class is None:
            sources = every_form(folder / "sources")
        else:
            sources = eurosat(folder / "sources", options.per_class)
        seen = trial(
            *(folder, sources),
            shard_size=options.shard_size,
            kill=not options.no_kill,
            isolated=isolated,
            apart=options.namespaces,
        )
    print(f"built in {seen.seconds:.1f} s here and {seen.seconds_of_cluster:.1f} s on the cluster")
    print(f"peak memory of a worker: {seen.peak / 2**20:.0f} MiB (VmHWM of its processes)")
    print(f"puts: {seen.shards} shards {seen.puts_of_shards} times, rows {seen.puts_of_rows} times")
    print(f"requests: {seen.requests}")
    steps = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in seen.steps.items())
    print(f"steps on the cluster: {steps}")
    for line in seen.wrong:
        print(f"WRONG: {line}")
    return 1 if seen.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
