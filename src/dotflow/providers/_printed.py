"""What a step in a worker process prints, where the main process can read it if the worker is killed."""

from __future__ import annotations

import os

HEADER, START = 16, 64  # in the file that both processes share; the first bytes tell how far a batch has come


class Printed:
    """The last bytes that an attempt printed, in a file: the oldest are overwritten.

    Args:
        file: Descriptor of the file.
    """

    def __init__(self, file: int) -> None:
        self._file, self._room, self._total = file, 0, 0

    def begin(self, limit: int) -> None:
        """Forget the last attempt; keep *limit* bytes of the next."""
        self._room, self._total = limit, 0
        self._note()

    def add(self, text: str) -> None:
        """Keep *text*."""
        data = text.encode("utf-8", "replace")
        self._total += max(0, len(data) - self._room)
        data = data[-self._room :]
        place = self._total % self._room
        os.pwrite(self._file, data[: self._room - place], START + place)
        os.pwrite(self._file, data[self._room - place :], START)
        self._total += len(data)
        self._note()

    def _note(self) -> None:
        os.pwrite(self._file, b"%020d" % self._total, HEADER)


def printed(file: int, limit: int) -> str:
    """Return what the attempt under way has printed, at most its last *limit* bytes."""
    total = int(os.pread(file, 20, HEADER) or b"0")
    data, place = os.pread(file, limit, START), total % limit
    if total <= limit:
        return data[:total].decode("utf-8", "replace")
    return (data[place:] + data[:place]).decode("utf-8", "replace")
