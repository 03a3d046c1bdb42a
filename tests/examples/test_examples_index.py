"""Every example is listed, says what it is good for."""

from __future__ import annotations

import re

import pytest
from example_tools import EXAMPLES

FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))
LINK = re.compile(r"\]\(([^)]+)\)")


def test_every_example_is_listed() -> None:
    listed = LINK.findall((EXAMPLES / "README.md").read_text())
    assert sorted(listed) == [f"{name}/README.md" for name in FOLDERS]
    assert sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and any(path.glob("*.[pi]*"))) == FOLDERS


@pytest.mark.parametrize("name", FOLDERS)
def test_example_says_first_what_one_can_do_with_it(name: str) -> None:
    lines = (EXAMPLES / name / "README.md").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert lines[2].startswith("After this example you can ")
