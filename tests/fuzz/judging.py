"""Judging: a case is built, and what came of it is held against what must."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from satimnet.builder import build
from satimnet.builder.catalog.validation import validate
from satimnet.builder.errors import SatimnetError
from satimnet.builder.pipeline import Report

from .cases import Case

MEMORY = 2 * 2**30
"""Bytes that a process may hold at most."""
SECONDS = 30
"""Seconds of processor time that a case may take."""

_ENDINGS = {".json", ".parquet", ".zip", ".bin", ".png", ".svg", ".ipynb"}
_COMMAND_SECONDS = 120
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]")
_LONGEST = 2000  # characters of a message: it is read on a terminal


@dataclass(frozen=True)
class Verdict:
    """What came of a case."""

    outcome: str
    """``error``, ``skips`` or ``whole``; anything else is a fault."""
    detail: str = ""
    peak: int = 0
    """Bytes of memory that the process held at most."""
    seconds: float = 0.0

    @property
    def fault(self) -> bool:
        """Whether satimnet, not the source, is at fault."""
        return self.outcome not in ("error", "skips", "whole")


class Fault(Exception):  # it is none of the program's own
    """What must not be; its arguments are the outcome and details."""


def judge(case: Case, sandbox: Path, schemas: Path | None) -> Verdict:
    """Builds a case in ``sandbox/out`` and says what came of it.

    Whatever else lies in the sandbox, the folder of temporary files and the folder above must
    afterwards be as before.
    """
    out = sandbox / "out" / "catalog"
    out.parent.mkdir()
    before = state_of(sandbox.parent)
    forget_peak()
    start = time.perf_counter()
    detail, peak = "", 0
    try:
        if case.command:
            outcome, detail, peak = _run_command(case, out)
        else:
            outcome, detail = _run_build(case, out)
        seconds, peak = time.perf_counter() - start, max(peak, peak_memory())
        if state_of(sandbox.parent) != before:
            raise Fault("escape", "files changed outside of the catalog's folder")
        if peak > MEMORY:
            raise Fault("memory", f"{peak / 2**20:.0f} MiB")
        _check_folder(out, made=outcome != "error")
        if outcome != "error":
            findings = validate(out, schemas=schemas, checksums=True)
            if findings.count:
                raise Fault("invalid catalog", findings.problems[0])
    except Fault as fault:
        outcome, detail = fault.args
        seconds, peak = time.perf_counter() - start, max(peak, peak_memory())
    return Verdict(outcome, detail, peak, seconds)


def _run_build(case: Case, out: Path) -> tuple[str, str]:
    """Outcome and message."""
    assigned = {case.dataset: [case.source]} if case.assigned else {}
    sources = [] if case.assigned else [case.source]
    try:
        with TemporaryFile() as printed, stderr_to(printed):
            reports = build(sources, out, assigned=assigned, bad_files=case.bad_files)
            printed.seek(0)
            text = printed.read().decode(errors="replace")
    except SatimnetError as error:
        check_line(str(error))
        return "error", str(error)
    except Exception as error:
        where = "".join(traceback.format_exception(error)[-3:])
        raise Fault("traceback", f"{type(error).__name__}: {error}\n{where}") from error
    if "Traceback" in text:
        raise Fault("traceback", text)
    return _judged(reports)


def _judged(reports: Sequence[Report]) -> tuple[str, str]:
    problems = [problem for report in reports for problem in report.problems]
    for problem in problems:
        check_line(f"{problem.path}: {problem.reason}")
    first = f"{problems[0].path}: {problems[0].reason}" if problems else ""
    return ("skips" if problems else "whole"), first


def check_line(message: str) -> None:
    """Raises `Fault` where a message is more than one line that can be read."""
    if _UNPRINTABLE.search(message) or len(message) > _LONGEST:
        raise Fault("not one line", repr(message[:_LONGEST]))


def _run_command(case: Case, out: Path) -> tuple[str, str, int]:
    """Outcome, message and the most memory of any of the command's processes."""
    source = f"--dataset={case.dataset}={case.source}" if case.assigned else str(case.source)
    options = {"stop": ["--strict"], "any": ["--keep-going"], "few": []}[case.bad_files]
    stac = Path(sys.executable).with_name("stac")
    command = [str(stac), "satimnet", "build", source, "--out", str(out), *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said, wrong = run.communicate(timeout=_COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        run.kill()
        run.communicate()
        raise Fault("hang", f"the command did not end in {_COMMAND_SECONDS} s") from None
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of all commands so far
    peak = most * 1024 if most > before else 0
    if "Traceback" in wrong + said or "a fault of satimnet" in wrong:
        raise Fault("traceback", wrong)
    if run.returncode not in (0, 1):
        raise Fault("crash", f"the command ended with {run.returncode}: {wrong}")
    if run.returncode == 1:
        check_line(wrong.strip())
        return "error", wrong.strip(), peak
    skips = any(word in said for word in ("left out:", "incomplete:", "ignored:"))
    return ("skips" if skips else "whole"), said, peak


@contextmanager
def stderr_to(file: IO[bytes]) -> Iterator[None]:
    """What is printed, by libraries as well, goes into this file."""
    saved = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _check_folder(out: Path, *, made: bool) -> None:
    """An error leaves nothing behind; a catalog has nothing in it but its files."""
    beside = sorted(p.name for p in out.parent.iterdir())
    if beside != (["catalog"] if made else []):
        raise Fault("leftover", ", ".join(beside))
    for path in out.rglob("*") if made else ():
        if path.is_symlink() or not (path.is_dir() or path.suffix in _ENDINGS):
            raise Fault("leftover", str(path))


def state_of(folder: Path) -> str:
    """Digest of all that lies in the folder, but for ``out`` of the sandbox."""
    digest = hashlib.sha256()
    for path, stat in _walk(folder):
        digest.update(f"{path!r} {stat.st_mode} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        if os.path.isfile(path) and not os.path.islink(path) and stat.st_size < 2**26:
            digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    for top, folders, files in os.walk(folder):
        if os.path.basename(top) != "out":
            for name in sorted(folders + files):
                path = os.path.join(top, name)
                stat = os.lstat(path)
                # the folder "out" changes with what is in it
                yield path, os.lstat(top) if name == "out" else stat
        folders[:] = sorted(name for name in folders if name != "out")


# --- memory -------------------------------------------------------------------------------------


def forget_peak() -> None:
    """From now on the peak counts anew (proc_pid_clear_refs(5))."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Bytes that this process held at most."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
