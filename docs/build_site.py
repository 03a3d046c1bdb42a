"""Build the site: gather the pages, the files at the top among them, let Zensical render them, write ``llms.txt``.

python docs/build_site.py [FOLDER]   (``site`` unless it is given)
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
TOP = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/RESULTS.md": "benchmarks/results.md",
    "benchmarks/README.md": "benchmarks/method.md",
    "benchmarks/PROFILES.md": "benchmarks/profiles.md",
}
EXAMPLES = {
    f"examples/{path.parent.name}/README.md": f"examples/{path.parent.name}.md"
    for path in sorted((ROOT / "examples").glob("*/README.md"))
}
PAGES = {**TOP, "examples/README.md": "examples/overview.md", **EXAMPLES}
SECTIONS = {
    "Tutorial": ("tutorial", ["first-steps.md"]),
    "How to": ("how-to", ["write-a-provider.md"]),
    "Concepts": ("concepts", ["runs.md"]),
    "Reference": ("reference", ["start.md", "providers.md", "errors.md"]),
    "Decisions": ("adr", []),
}
KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security")

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^(?:\*\*`[^`\n]+`\*\*:\n+)?<!-- file: (.+?) -->\n+```(\w+)$", re.MULTILINE)
VERSION = re.compile(r"^( *)\.\. version(added|changed):: ([\d.]+)(\n\1 +(?=\S))?", re.MULTILINE)
LITERAL = re.compile(r"(?<=[\w)`]):(?=:$)", re.MULTILINE)  # of a sentence before code


Navigation = list[tuple[str, list[tuple[str, str]]]]


def main(site: Path) -> int:
    """Build the site in the folder *site*; return the exit code."""
    with tempfile.TemporaryDirectory() as made:
        work = Path(made).resolve()
        gather(work / "docs")
        gather_sources(work / "src")
        nav = navigation(work / "docs")
        settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").replace("paths: [src]", f"paths: [{work / 'src'}]")
        entries = [{title: [{name: path} for name, path in pages]} for title, pages in nav]
        (work / "mkdocs.yml").write_text(f"{settings}\nnav: {json.dumps(entries)}\n", encoding="utf-8")
        command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", str(work / "mkdocs.yml")]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)
            return 1
        shutil.copytree(work / "site", site, dirs_exist_ok=True)
        shutil.copytree(work / "docs", site, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.css", "*.svg"))
        (site / "llms.txt").write_text(llms(nav, work / "docs"), encoding="utf-8")
    return 0


def gather(folder: Path) -> None:
    """Copy the pages to *folder*, with those that are made of files at the top."""
    docs = ROOT / "docs"
    for path in sorted(path for path in docs.rglob("*") if path.suffix in (".md", ".svg", ".css")):
        page = PurePosixPath(path.relative_to(docs).as_posix())
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            text = captioned(moved(path.read_text(encoding="utf-8"), "docs" / page, page))
            (folder / page).write_text(text, encoding="utf-8")
        else:
            shutil.copy(path, folder / page)
    for name, target in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("See `changelog.d/`.", fragments())
        text = captioned(moved(text, PurePosixPath(name), PurePosixPath(target)))
        if name in EXAMPLES:
            text += files_of(ROOT / Path(name).parent)
        (folder / target).parent.mkdir(exist_ok=True)
        (folder / target).write_text(text, encoding="utf-8")


def files_of(example: Path) -> str:
    """Return the files of an example, as blocks of code."""
    languages = {".py": "python", ".toml": "toml", ".txt": "text"}
    files = [path for path in sorted(example.iterdir()) if path.suffix in languages]
    blocks = [
        f'```{languages[path.suffix]} title="{path.name}"\n{path.read_text(encoding="utf-8").rstrip()}\n```\n'
        for path in files
    ]
    return "\n".join(["\n## The files\n", *blocks]) if blocks else ""


def gather_sources(folder: Path) -> None:
    """Copy the sources to *folder*, with docstrings that are Markdown: the reference is made of them."""
    shutil.copytree(ROOT / "src", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(LITERAL.sub("", VERSION.sub(since, text)), encoding="utf-8")


def since(found: re.Match[str]) -> str:
    """Return the directive ``.. versionadded::`` as a sentence; what is told below it goes on behind that."""
    sentence = f"{found[1]}*{found[2].capitalize()} in version {found[3]}.*"
    return f"{sentence}\n{found[1]}" if found[4] else sentence


def navigation(docs: Path) -> Navigation:
    """Return the sections with their pages: first what ``SECTIONS`` names, then the others by title."""
    nav: Navigation = [("Start", [("dotflow", "index.md")])]
    for title, (folder, first) in SECTIONS.items():
        pages = [(title_of(path), path.name) for path in (docs / folder).glob("*.md")]
        pages.sort(key=lambda page: page[1] if folder == "adr" else page[0].lower())
        pages.sort(key=lambda page: first.index(page[1]) if page[1] in first else len(first))
        nav.append((title, [(name, f"{folder}/{file}") for name, file in pages]))
    nav.insert(
        -1, ("Examples", [(title_of(docs / page), page) for page in ("examples/overview.md", *EXAMPLES.values())])
    )
    project = ["migration.md", *(page for page in TOP.values() if page != "index.md")]
    nav.append(("Project", [(title_of(docs / page), page) for page in project]))
    return nav


def llms(nav: Navigation, docs: Path) -> str:
    """Return what there is, for programs that read; each page lies beside it as Markdown."""
    lines = ["# dotflow", "", "> A workflow engine you import, not deploy.", ""]
    for title, pages in nav:
        lines += [f"## {title}", ""]
        lines += [f"- [{name}]({path}): {first_sentence((docs / path).read_text('utf-8'))}" for name, path in pages]
        lines.append("")
    return "\n".join(lines)


def title_of(path: Path) -> str:
    """Return the heading of a page, without the marks of code."""
    heading = path.read_text(encoding="utf-8").lstrip().partition("\n")[0]
    return heading.removeprefix("# ").replace("`", "").strip()


def first_sentence(text: str) -> str:
    """Return how the first paragraph begins."""
    body = [part for part in text.split("\n\n") if not part.startswith(("#", "```", "|", "<!--"))]
    paragraph = " ".join(body[0].split()) if body else ""
    return re.split(r"(?<=[.:]) ", paragraph)[0].rstrip(":")


def fragments() -> str:
    """Return the fragments of the next release as sections."""
    parts: list[str] = []
    for kind in KINDS:
        found = sorted((ROOT / "changelog.d").glob(f"*.{kind}.md"))
        if found:
            parts += [f"### {kind.capitalize()}", *(path.read_text(encoding="utf-8").strip() for path in found)]
    return "\n\n".join(parts).replace("](../", "](")  # they stand in for a part of CHANGELOG.md, one folder up


def moved(text: str, source: PurePosixPath, page: PurePosixPath) -> str:
    """Return *text* of the file *source* with its links as they must be on *page*."""

    def replace(match: re.Match[str]) -> str:
        label, target = match[1], match[2]
        if "://" in target or target.startswith(("mailto:", "#")):
            return match[0]
        path, mark, anchor = target.partition("#")
        there = normal(source.parent / path)
        if str(there) in PAGES:
            there = PurePosixPath(PAGES[str(there)])
        elif there.parts[:1] == ("docs",):
            there = PurePosixPath(*there.parts[1:])
        else:
            return label  # a file that is no page
        if not there.suffix:
            there = PurePosixPath(f"{there}/{first_page(there)}")
        return f"[{label}]({'../' * (len(page.parts) - 1)}{there}{mark}{anchor})"

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(replace, part) for part in parts)


def captioned(text: str) -> str:
    """Return *text* with the names of files, which are comments in its source, as titles of their blocks."""
    return FILE.sub(lambda found: f'```{found[2]} title="{found[1]}"', text)


def normal(path: PurePosixPath) -> PurePosixPath:
    """Resolve ``..`` without a file system."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return PurePosixPath(*parts)


def first_page(folder: PurePosixPath) -> str:
    """Return the page that stands for a folder."""
    return sorted(path.name for path in (ROOT / "docs" / folder).glob("*.md"))[0]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "site")))
