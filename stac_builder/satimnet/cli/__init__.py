"""The command ``satimnet``: a file a command. It parses, calls the library and prints.

``stac satimnet`` is the same group, hung under the command of stactools by `stactools.satimnet`.
"""

from __future__ import annotations


def main() -> None:
    """Runs the command ``satimnet`` with the arguments of this process, and exits."""
    from satimnet.cli.group import satimnet

    satimnet()
