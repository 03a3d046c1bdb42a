"""Which files of a folder may have ended: an empty file for each, whose time is the end.

The document itself says when it ends. These files are only there so that nobody has to open all the others: one too
many costs a look into its document.
"""

from __future__ import annotations

import os
import time


class Endings:
    """The files in *path*, a folder that is made when the first document with an end is saved."""

    def __init__(self, path: str) -> None:
        self._path = path

    def note(self, name: str, ends: float | None) -> None:
        """Note when the document *name* ends; one without an end needs no note."""
        if ends is None:
            return
        place = os.path.join(self._path, name)
        os.makedirs(self._path, exist_ok=True)
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT, 0o666))
        os.utime(place, (ends, ends))

    def due(self) -> list[str]:
        """Return the names of documents that may have ended by now."""
        now, found = time.time(), []
        try:
            with os.scandir(self._path) as entries:
                for entry in entries:
                    try:
                        if entry.stat().st_mtime <= now:
                            found.append(entry.name)
                    except FileNotFoundError:
                        pass  # somebody else has just dropped it
        except FileNotFoundError:
            pass  # nothing here has an end
        return found

    def drop(self, name: str) -> None:
        """Forget *name*."""
        try:
            os.unlink(os.path.join(self._path, name))
        except FileNotFoundError:
            pass
