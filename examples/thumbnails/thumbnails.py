"""Make thumbnails of a folder of photos on all processors, and a contact sheet of them.

one.jpg ───┐
two.jpg ───┼▶ sheet
three.jpg ─┘

python thumbnails.py photos thumbnails
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw, ImageOps

from dotflow import DotFlow, action

if TYPE_CHECKING:
    from dotflow import Context

SIZE = 240  # pixels, the longer side
COLUMNS, GAP, CAPTION = 4, 16, 16
KINDS = {".jpg", ".jpeg", ".png", ".webp"}


class Job(NamedTuple):
    """One photo and where its thumbnail goes."""

    source: Path
    target: Path


@action(timeout=60, retry=2, retry_on=OSError)
def shrink(initial_context: Context) -> Path:
    """Make one thumbnail. It runs in a worker process, which is killed if a photo takes longer than the timeout."""
    job: Job = initial_context.storage
    with Image.open(job.source) as photo:
        photo.draft("RGB", (2 * SIZE, 2 * SIZE))  # a JPEG is decoded at a fraction of its size
        small = ImageOps.exif_transpose(photo).convert("RGB")
    small.thumbnail((SIZE, SIZE))
    unfinished = job.target.with_name(f"{job.target.name}.{os.getpid()}")
    small.save(unfinished, "JPEG", quality=85)
    unfinished.replace(job.target)
    return job.target


@action
def sheet(initial_context: Context, previous_context: Context) -> Path:
    """Draw all thumbnails that could be made on one sheet."""
    target: Path = initial_context.storage
    found: dict[str, Path | None] = previous_context.storage
    made = {name: path for name, path in found.items() if path is not None}
    rows = -(-len(made) // COLUMNS)
    step, height = SIZE + GAP, SIZE + CAPTION + GAP
    paper = Image.new("RGB", (COLUMNS * step + GAP, rows * height + GAP), "white")
    draw = ImageDraw.Draw(paper)
    for number, (name, path) in enumerate(made.items()):
        left, top = GAP + number % COLUMNS * step, GAP + number // COLUMNS * height
        with Image.open(path) as small:
            paper.paste(small, (left + (SIZE - small.width) // 2, top + (SIZE - small.height) // 2))
        draw.text((left, top + SIZE + 2), name, fill="black")
    paper.save(target)
    return target


def build(photos: Path, target: Path) -> DotFlow:
    """Return the workflow: a task for each photo, named as its file, and the sheet behind them."""
    sources = sorted(path for path in photos.iterdir() if path.suffix.lower() in KINDS)
    workflow = DotFlow(workflow_id=f"thumbnails of {photos}")
    for source in sources:
        job = Job(source, target / f"{source.name}.small.jpg")
        workflow.task.add(shrink, initial_context=job, task_id=source.name, depends_on=[])
    workflow.task.add(sheet, initial_context=target / "sheet.png", depends_on=[source.name for source in sources])
    return workflow


def main() -> int:
    """Make them, and print what came out; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path, help="a folder of photos")
    parser.add_argument("target", type=Path, help="the folder for the thumbnails")
    asked = parser.parse_args()
    asked.target.mkdir(parents=True, exist_ok=True)

    manager = build(asked.photos, asked.target).start(mode="parallel", keep_going=True)
    *photos, joined = manager.tasks
    failed = [task for task in photos if task.errors]
    for task in failed:
        print(f"{task.task_id}: {task.error.exception}: {task.error.message}")
    print(f"{len(photos) - len(failed)} of {len(photos)} photos made smaller; see {joined.value}")
    return 1 if failed or joined.errors else 0


if __name__ == "__main__":
    sys.exit(main())
