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
}
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


Navigation = list[tuple[str, list[tuple[str, str]]]]


def main(site: Path) -> int:
    """Build the site in the folder *site*; return the exit code."""
    with tempfile.TemporaryDirectory() as made:
        work = Path(made).resolve()
        gather(work / "docs")
        nav = navigation(work / "docs")
        settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").replace("paths: [src]", f"paths: [{ROOT / 'src'}]")
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
            text = moved(path.read_text(encoding="utf-8"), "docs" / page, page)
            (folder / page).write_text(text, encoding="utf-8")
        else:
            shutil.copy(path, folder / page)
    for name, target in TOP.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("See `changelog.d/`.", fragments())
        (folder / target).write_text(moved(text, PurePosixPath(name), PurePosixPath(target)), encoding="utf-8")


def navigation(docs: Path) -> Navigation:
    """Return the sections with their pages: first what ``SECTIONS`` names, then the others by title."""
    nav: Navigation = [("Start", [("dotflow", "index.md")])]
    for title, (folder, first) in SECTIONS.items():
        pages = [(title_of(path), path.name) for path in (docs / folder).glob("*.md")]
        pages.sort(key=lambda page: page[1] if folder == "adr" else page[0].lower())
        pages.sort(key=lambda page: first.index(page[1]) if page[1] in first else len(first))
        nav.append((title, [(name, f"{folder}/{file}") for name, file in pages]))
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
        if str(there) in TOP:
            there = PurePosixPath(TOP[str(there)])
        elif there.parts[:1] == ("docs",):
            there = PurePosixPath(*there.parts[1:])
        else:
            return label  # a file that is no page
        if not there.suffix:
            there = PurePosixPath(f"{there}/{first_page(there)}")
        return f"[{label}]({'../' * (len(page.parts) - 1)}{there}{mark}{anchor})"

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(replace, part) for part in parts)


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
