"""Files that the commands write: none is overwritten without a word."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dotflow.core.exception import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def write_file(path: Path, content: bytes, force: bool) -> None:
    """Write *content* to *path*; with *force* a file that is there is replaced at once, not piece by piece.

    Raises:
        ConfigurationError: the file is there and *force* is not given, or it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)  # a device or a pipe, which nothing is lost from; for a folder it fails
        elif force:
            _replace(path.resolve(), content)
        else:
            with open(path, "xb") as file:
                file.write(content)
    except FileExistsError:
        raise ConfigurationError(f"{path} is there already; give another name, or --force to overwrite it") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from error


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
