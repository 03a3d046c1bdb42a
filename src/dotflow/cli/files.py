"""Files that the commands write: none is overwritten without a word."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dotflow.core.exception import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def write_file(path: Path, content: bytes, force: bool) -> None:
    """Write *content* to *path*, whole or not at all.

    Raises:
        ConfigurationError: the file is there and *force* is not given, or it cannot be written.
    """
    if not force and os.path.lexists(path):
        raise ConfigurationError(f"{path} is there already; give another name, or --force to overwrite it")
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder; give the name of a file")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.write_bytes(content)
        if force:
            os.replace(draft, path)
        else:
            os.link(draft, path)  # unlike a rename, it fails if the file has come to be since
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)
