"""``python -m tests.cluster``: see the package's docstring."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from satimnet.builder import build
from satimnet.builder.storage import objects

from .machines import Cluster, can_isolate, running


def main() -> int:
    """Runs the trial and prints what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-class", type=int, default=12, help="Samples of each of 10 classes.")
    parser.add_argument("--shard-size", type=int, default=2**20, help="Bytes of a shard.")
    parser.add_argument("--no-kill", action="store_true", help="Let all workers live.")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        wrong = trial(
            Path(folder),
            per_class=options.per_class,
            shard_size=options.shard_size,
            kill=not options.no_kill,
        )
    for line in wrong:
        print(f"WRONG: {line}")
    return 1 if wrong else 0


def trial(folder: Path, *, per_class: int, shard_size: int, kill: bool) -> list[str]:
    """Builds on a cluster and on the disk; what differs or should not be."""
    from stactools.eurosat.miniature import write_miniature

    source = folder / "source"
    write_miniature(source, per_class)
    build([source], folder / "calm", shard_size=shard_size, scheduler="processes")
    isolated = can_isolate()
    print(f"workers write {'only to their scratch folders' if isolated else 'where they like'}")
    with running(folder, isolated=isolated) as cluster:
        os.environ.update(cluster.environment)
        _make_buckets(cluster)
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            objects.write(f"s3://src/eurosat/{file.relative_to(source).as_posix()}", file)
        killer = Thread(target=_kill_one, args=(cluster,))
        if kill:
            killer.start()
        started = time.monotonic()
        build(
            ["s3://src/eurosat"],
            "s3://cat/catalog",
            shard_size=shard_size,
            scheduler=cluster.scheduler,
        )
        seconds = time.monotonic() - started
        if kill:
            killer.join()
        wrong = _differences(_digests(str(folder / "calm")), _digests("s3://cat/catalog"))
        left = [path for one in cluster.workers for path in one.scratch.rglob("*.zip*")]
        wrong += [f"{path}: left in a scratch folder" for path in left if not kill]
        peak = max(worker.peak() for worker in cluster.workers)
        print(f"built in {seconds:.1f} s; peak memory of a worker {peak / 2**20:.0f} MiB")
        print(f"puts of shards: {_puts()}")
    return wrong


def _kill_one(cluster: Cluster) -> None:
    """Kills the first worker as soon as some shards are done."""
    while len(list(objects.files_below("s3://cat/catalog/.building"))) < 4:
        time.sleep(0.05)
    cluster.workers[0].kill()
    print("killed a worker")


def _make_buckets(cluster: Cluster) -> None:
    import boto3

    client = boto3.client("s3", endpoint_url=cluster.endpoint, region_name="us-east-1")
    for name in ("src", "cat"):
        client.create_bucket(Bucket=name)
    versioning = {"Status": "Enabled"}
    client.put_bucket_versioning(Bucket="cat", VersioningConfiguration=versioning)


def _puts() -> str:
    """How often shards were put: those that the killed worker had in hand may be there twice."""
    import boto3

    client = boto3.client("s3", region_name="us-east-1")
    pages = client.get_paginator("list_object_versions").paginate(Bucket="cat")
    counts: dict[str, int] = {}
    for page in pages:
        for version in page.get("Versions", ()):
            if "/shards/" in version["Key"]:
                counts[version["Key"]] = counts.get(version["Key"], 0) + 1
    return f"{len(counts)} shards, {sum(counts.values())} puts"


def _digests(place: str) -> dict[str, str]:
    return {
        one.place[len(place) + 1 :]: hashlib.sha256(objects.read(one.place)).hexdigest()
        for one in objects.files_below(place)
    }


def _differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    lines = [f"{path}: is missing" for path in sorted(wanted.keys() - found.keys())]
    lines += [f"{path}: should not be there" for path in sorted(found.keys() - wanted.keys())]
    return lines + [
        f"{path}: differs"
        for path in sorted(wanted)
        if found.get(path, "") not in ("", wanted[path])
    ]


if __name__ == "__main__":
    sys.exit(main())
