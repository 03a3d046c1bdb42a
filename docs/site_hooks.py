"""What MkDocs cannot do by itself: pages from the files at the top, the navigation from the folders, ``llms.txt``."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File

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


def on_config(config: Any) -> Any:
    """Build the navigation: within a folder first what ``SECTIONS`` names, then the others by title."""
    docs = Path(config.docs_dir)
    nav: list[Any] = [{"dotflow": "index.md"}]
    for title, (folder, first) in SECTIONS.items():
        paths = sorted(
            (docs / folder).glob("*.md"),
            key=lambda path: (first.index(path.name) if path.name in first else len(first), title_of(path).lower()),
        )
        if folder == "adr":
            paths.sort()
        nav.append({title: [{title_of(path): f"{folder}/{path.name}"} for path in paths]})
    nav.append({"Coming from 1.x": "migration.md"})
    nav.append({"Project": [{title_of(ROOT / name): page} for name, page in TOP.items() if page != "index.md"]})
    config.nav = nav
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made of files at the top."""
    for name, page in TOP.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        if name == "CHANGELOG.md":
            text = text.replace("See `changelog.d/`.", fragments())
        files.append(File.generated(config, page, content=moved(text, PurePosixPath(name), PurePosixPath(page))))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at the pages that files at the top have become."""
    source = PurePosixPath(page.file.src_uri)
    if str(source) in TOP.values():
        return markdown
    return moved(markdown, PurePosixPath("docs") / source, source)


def on_post_build(config: Any) -> None:
    """Write ``llms.txt``: what there is, for programs that read, with each page as Markdown beside it."""
    site, docs = Path(config.site_dir), Path(config.docs_dir)
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    for entry in config.nav:
        ((title, inside),) = entry.items()
        pages = inside if isinstance(inside, list) else [{title: inside}]
        lines += [f"## {title}", ""]
        for page in pages:
            ((name, path),) = page.items()
            source = docs / path if (docs / path).exists() else ROOT / next(k for k, v in TOP.items() if v == path)
            text = source.read_text(encoding="utf-8")
            (site / path).write_text(text, encoding="utf-8")
            lines.append(f"- [{name}]({path}): {first_sentence(text)}")
        lines.append("")
    (site / "llms.txt").write_text("\n".join(lines), encoding="utf-8")


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
    return "\n\n".join(parts)


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
