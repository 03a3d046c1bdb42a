"""``dotflow init``: a small project, made of templates that are part of the package."""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path

from dotflow.cli.files import write_file
from dotflow.core.exception import ConfigurationError
from dotflow.views.progress import write

SHARED = "shared"
NEXT = {
    "pipeline": ("dotflow start --workflow flows:pipeline", "dotflow graph flows:pipeline"),
    "scheduled": ("dotflow start --workflow flows:watch", "dotflow schedule --workflow flows:watch"),
}


def make_project(folder: str, template: str, force: bool) -> int:
    """Write the files of *template* to *folder*; return the exit code.

    Raises:
        ConfigurationError: a file is there already, or cannot be written; nothing has been written then.
    """
    place = Path(folder)
    content = contents(template, name_of(place))
    there = [] if force else [name for name in content if (place / name).exists()]
    if there:
        raise ConfigurationError(
            f"{place} has {', '.join(there)} already, and nothing was written; name an empty folder, or --force to "
            "overwrite"
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{place} cannot be a project: {error.strerror or error}") from error
    for name, text in content.items():
        write_file(place / name, text.encode(), force)
        write(sys.stdout, f"wrote {place / name}")
    move = [] if folder == "." else [f"cd {folder}"]
    lines = [*move, *NEXT[template], "python -m pytest"]
    write(sys.stdout, "\n".join(["", "Next:", *(f"  {line}" for line in lines)]))
    return 0


def contents(template: str, name: str) -> dict[str, str]:
    """Return the files of a new project, by name."""
    found = {}
    for part in (SHARED, template):
        for source in sorted(files("dotflow.cli").joinpath("templates", part).iterdir(), key=lambda each: each.name):
            plain = source.name.removesuffix(".template")
            text = source.read_text(encoding="utf-8")
            found[".gitignore" if plain == "gitignore" else plain] = text.replace("{{name}}", name)
    return found


def name_of(place: Path) -> str:
    """Return a name for the project in *place* that packaging tools accept."""
    name = place.resolve().name.encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-") or "workflows"
