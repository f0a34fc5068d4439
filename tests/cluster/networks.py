"""Networks for the workers of a trial cluster: a namespace each, joined by a bridge. Needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """Where a process runs: its address, and what to write before its command."""

    address: str
    prefix: tuple[str, ...] = ()


LOOPBACK = Host("127.0.0.1")


@contextmanager
def namespaces(count: int) -> Iterator[tuple[Host, list[Host]]]:
    """This machine as the namespaces see it, and the namespaces."""
    number = os.getpid()
    bridge, net = f"sat{number}", f"10.213.{number % 250}"
    names = [f"satimnet-{number}-{n}" for n in range(count)]
    hosts = [Host(f"{net}.{n}", ("ip", "netns", "exec", name)) for n, name in enumerate(names, 2)]
    try:
        _ip(f"link add {bridge} type bridge")
        _ip(f"addr add {net}.1/24 dev {bridge}")
        _ip(f"link set {bridge} up")
        for n, (name, host) in enumerate(zip(names, hosts, strict=True)):
            outer = f"sat{number}v{n}"
            _ip(f"netns add {name}")
            _ip(f"link add {outer} type veth peer name inner netns {name}")
            _ip(f"link set {outer} master {bridge} up")
            _ip(f"-n {name} link set lo up")
            _ip(f"-n {name} addr add {host.address}/24 dev inner")
            _ip(f"-n {name} link set inner up")
        yield Host(f"{net}.1"), hosts
    finally:
        for name in names:
            _ip(f"netns del {name}", check=False)
        _ip(f"link del {bridge}", check=False)


def _ip(arguments: str, *, check: bool = True) -> None:
    subprocess.run(["ip", *arguments.split()], check=check, capture_output=not check)
