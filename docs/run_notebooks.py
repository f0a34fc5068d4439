"""Runs the tutorials anew and keeps their outputs: ``python docs/run_notebooks.py [NAME ...]``.

What differs from run to run, or tells of the machine, is left out, so that a diff shows what
readers see otherwise.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).with_name("notebooks")

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook at ``path`` with its outputs, having run in ``folder``.

    Raises:
        CellExecutionError: a cell failed; the message has its source and the traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode()
    # Whoever runs this may not have activated the environment that the command `satimnet` lies in.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    client = NotebookClient(
        notebook,
        timeout=None,  # how long a cell takes depends on what else the machine does
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(_METADATA)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            _normalise(output, folder)
    return notebook


def _normalise(output: nbformat.NotebookNode, folder: Path) -> None:
    """Text without the folder of the run, the port of a server and bars that were wiped away."""
    home = re.compile(f"{re.escape(str(folder.resolve()))}|{re.escape(str(folder))}")
    for texts, name in ((output, "text"), *((output.get("data", {}), kind) for kind in _KINDS)):
        if name in texts:
            text = home.sub(".", _WIPED.sub("", texts[name]))
            texts[name] = re.sub(r"(127\.0\.0\.1|localhost):\d+", r"\1:8080", text)


# A terminal goes up a line and clears it: what stood there was a progress bar.
_WIPED = re.compile(r"[^\n]*\n\x1b\[1A\x1b\[2K|\x1b\[2K")
_KINDS = ("text/plain", "text/html", "text/markdown")


def main() -> None:
    """Run the notebooks named, all of them if none is."""
    chosen = [NOTEBOOKS / f"{Path(name).stem}.ipynb" for name in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        for path in chosen or sorted(NOTEBOOKS.glob("*.ipynb")):
            print(path.name)
            nbformat.write(executed(path, Path(folder)), path)


if __name__ == "__main__":
    main()
