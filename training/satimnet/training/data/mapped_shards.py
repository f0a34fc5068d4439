"""Shards mapped into memory, which may be cut short while they are read.

What lies past the end of a mapped file cannot be read: the system ends the process with a bus error
(SIGBUS), without a word. No check beforehand helps, as any program may shorten the file right after
it (cp, rsync --inplace), and a failing disk does the same. Reading by `pread` would be safe, but
takes 1.3 to 2 times the processor time, for pixels are then copied before they are converted. So
bus errors in these maps are caught: zeros are put where nothing is left, the conversion runs to its
end, and the reader learns from `MappedShard.whole` that what it has is worth nothing.

A handler in Python is enough, called by ctypes in the very thread and instruction that met the
error: that is a loop of NumPy's over the pixels, which holds no lock. Handlers of the signal module
would not do, as they are called after the instruction has been repeated, for ever.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import signal
import sys
from weakref import WeakSet

import numpy as np

from satimnet.builder.storage.hrefs import open_regular

_shards: WeakSet[MappedShard] = WeakSet()


class MappedShard:
    """A shard as a map to read from; `data` is the map.

    Raises `OSError` if it cannot be read, `ValueError` if it is empty.
    """

    def __init__(self, path: str) -> None:
        with open_regular(path) as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.data.madvise(mmap.MADV_RANDOM)
        self._start = np.frombuffer(self.data, np.uint8).ctypes.data
        self._size = len(self.data)
        self._lost = False
        _shards.add(self)

    @property
    def whole(self) -> bool:
        """Whether all that was read from it until now was there."""
        return not self._lost and self.data.size() >= self._size

    def replace_lost(self, address: int) -> bool:
        """Puts zeros from there to the end of the map; whether the address is in it, and it went.

        The map is not to be used any more.
        """
        if not self._start <= address < self._start + self._size:
            return False
        page = address - address % mmap.PAGESIZE
        size = self._start + self._size - page
        flags = _MAP_FIXED | mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._lost = True
        return bool(_LIBC.mmap(page, size, mmap.PROT_READ, flags, -1, 0) == page)


# --- bus errors ---------------------------------------------------------------------------------

# glibc and musl on 64-bit Linux, of x86 and ARM: <bits/sigaction.h>, <bits/types/siginfo_t.h>
_CAN_CATCH = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
_ADDRESS = 16  # where siginfo_t has the address that could not be read
_SA_SIGINFO = 4
_MAP_FIXED = 16


class _Action(ctypes.Structure):
    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def catch_bus_errors() -> None:
    """Lets this process survive bus errors in the maps of shards.

    Others go to the handler that was there before. To be called again where somebody may have set
    another handler meanwhile, as torch does in the workers of a DataLoader.
    """
    if not _CAN_CATCH:
        return
    current = _Action()
    _LIBC.sigaction(signal.SIGBUS, None, ctypes.byref(current))
    if current.handler != _ours.handler:
        ctypes.pointer(_before)[0] = current
        _LIBC.sigaction(signal.SIGBUS, ctypes.byref(_ours), None)


def _on_bus_error(_signal: int, info: int, _context: int) -> None:
    address = ctypes.c_size_t.from_address(info + _ADDRESS).value
    if not any(shard.replace_lost(address) for shard in list(_shards)):
        _LIBC.sigaction(signal.SIGBUS, ctypes.byref(_before), None)  # it is met again there


_LIBC = ctypes.CDLL(None)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(_on_bus_error)
_ours = _Action(handler=ctypes.cast(_handler, ctypes.c_void_p).value, flags=_SA_SIGINFO)
_before = _Action()
