"""The site is built without a warning and without a network, and everything in it leads somewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from once import made_once

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "adr")
# What a page loads by itself; `a` only leads there.
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "use": "href"}
ELSEWHERE = re.compile(r"^(?:[a-z]+:)?//", re.IGNORECASE)


class Page(HTMLParser):
    """Ids, links and loaded files of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if given.get("id"):
            self.ids.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and LOADED[tag] in given and given.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(given[LOADED[tag]])


def build(folder: Path) -> None:
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "build_site.py"), str(folder / "site")],
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said").write_text(done.stdout + done.stderr)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the site, and what building it said."""
    folder = made_once(tmp_path_factory, "built-site", build)
    return folder / "site", (folder / "said").read_text()


@pytest.fixture(scope="module")
def pages(built: tuple[Path, str]) -> dict[Path, Page]:
    found = {path: Page(path.read_text(encoding="utf-8")) for path in built[0].rglob("*.html")}
    assert len(found) > 30
    return found


def test_site_is_built_without_a_warning(built: tuple[Path, str]) -> None:
    """In strict mode, with every page in the navigation, and without a network."""
    assert built[1] == ""


def test_links_and_anchors_lead_somewhere(pages: dict[Path, Page]) -> None:
    """Each link within the site names a file that is there, and an element of it."""
    dead = []
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in [*page.links, *page.loaded]:
            if ELSEWHERE.match(link) or link.startswith(("mailto:", "data:", "javascript:")):
                continue
            target, _, anchor = unquote(link).partition("#")
            there = (path.parent / target.partition("?")[0]).resolve() if target else path
            if not there.exists() or (
                anchor and there.suffix == ".html" and anchor not in pages[there].ids and anchor != "__top"
            ):
                dead.append(f"{path.name}: {link}")
    assert dead == []


def test_pages_load_nothing_from_elsewhere(built: tuple[Path, str], pages: dict[Path, Page]) -> None:
    """No font, script, style or picture comes from another host."""
    assert [(path.name, url) for path, page in pages.items() for url in page.loaded if ELSEWHERE.match(url)] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in built[0].rglob("*.css"))
    assert re.findall(r"url\(['\"]?(?:https?:)?//[^)]*\)|@import", styles) == []


def test_search_finds_names_and_words(built: tuple[Path, str]) -> None:
    """The index that the page searches has the guides, the decisions and the docstrings."""
    index = json.loads((built[0] / "search.json").read_text(encoding="utf-8"))
    found = {word: {entry["location"].partition("#")[0] for entry in index["items"] if word in entry["text"]}
             for word in ("idempotency_key", "synchronous", "dotflow_run", "catch_up", "systemd")}  # fmt: skip

    assert [word for word, places in found.items() if not places] == []
    assert "how-to/deploy-a-schedule.html" in found["systemd"]
    assert any(place.startswith("reference/") for place in found["synchronous"])


def test_reference_has_the_docstrings(pages: dict[Path, Page]) -> None:
    """The public classes have an anchor under their full name."""
    ids = set().union(*(page.ids for page in pages.values()))
    wanted = {
        "dotflow.core.dotflow.DotFlow.start", "dotflow.core.workflow.Manager.raise_for_failure",
        "dotflow.abc.storage.Storage.post", "dotflow.providers.storage_sqlite.StorageSQLite",
        "dotflow.testing.fakes.FakeStorage", "dotflow.core.config.Config.from_url",
    }  # fmt: skip

    assert wanted - ids == set()


def test_every_provider_is_in_the_reference() -> None:
    """A provider that is added gets its line."""
    from dotflow.providers import PROVIDERS

    text = (ROOT / "docs" / "reference" / "provider-classes.md").read_text(encoding="utf-8")
    assert [name for name, module in PROVIDERS.items() if f"::: dotflow.providers.{module}.{name}" not in text] == []


def test_blocks_that_are_files_have_the_name_as_title(built: tuple[Path, str]) -> None:
    """What is a comment in the source is seen on the site, once: a line that only names the file is left out."""
    for path in [ROOT / "README.md", *PAGES]:
        files = re.findall(r"<!-- file: (.+?) -->", path.read_text(encoding="utf-8"))
        page = "index.md" if path.parent == ROOT else path.relative_to(ROOT / "docs").as_posix()
        html = (built[0] / page).with_suffix(".html").read_text(encoding="utf-8")
        assert re.findall(r'<span class="filename">(.+?)</span>', html) == files, path.name
        assert [file for file in files if f"<strong><code>{file}</code></strong>" in html] == [], path.name


def test_reference_is_not_restructured_text(built: tuple[Path, str]) -> None:
    """Directives and the marks of literal blocks, which docstrings have, are sentences on the site."""
    found = []
    for path in (built[0] / "reference").glob("*.html"):
        prose = re.sub(r"<pre.*?</pre>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        found += [f"{path.name}: {each}" for each in re.findall(r"\.\. \w+::|::</p>|:\w+:<code>", prose)]

    assert found == []
    assert "<em>Added in version 2.0.</em>" in (built[0] / "reference" / "api.html").read_text(encoding="utf-8")


def test_documents_beside_the_pages_are_pages_too(pages: dict[Path, Page], built: tuple[Path, str]) -> None:
    """Examples, their files and the report of the benchmarks are on the site, and links lead to them."""
    links = set().union(*(page.links for page in pages.values()))
    example = (built[0] / "examples" / "api_to_sqlite.html").read_text(encoding="utf-8")

    assert {"examples/overview.html", "benchmarks/results.html", "../examples/dotflow-lmdb.html"} <= links
    assert '<span class="filename">collect.py</span>' in example


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=lambda path: path.name)
def test_links_to_documents_survive(path: Path, pages: dict[Path, Page], built: tuple[Path, str]) -> None:
    """No link of a page is dropped since what it leads to is no page."""
    page = "index.md" if path.parent == ROOT else path.relative_to(ROOT / "docs").as_posix()
    text = (built[0] / page).read_text(encoding="utf-8")
    source = path.read_text(encoding="utf-8")
    targets = re.compile(r"(?<!!)\[[^\]]*\]\([^)\s]+\)")

    dropped = len(targets.findall(source)) - len(targets.findall(text))
    assert dropped == 0 or (path.name == "README.md" and dropped == 1)  # the licence


def test_llms_txt_lists_every_page(built: tuple[Path, str]) -> None:
    """For programs that read: a line for each page, which lies beside it as Markdown."""
    site = built[0]
    text = (site / "llms.txt").read_text(encoding="utf-8")
    targets = re.findall(r"^- \[.+?\]\((.+?)\): .+$", text, re.MULTILINE)

    assert text.startswith("# dotflow\n\n> ")
    assert [target for target in targets if not (site / target).exists()] == []
    assert {path.relative_to(ROOT / "docs").as_posix() for path in PAGES} <= set(targets)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page_says_first_what_the_reader_can_do_after_it(path: Path) -> None:
    """The first paragraph under the heading, of prose."""
    heading, paragraph = path.read_text(encoding="utf-8").split("\n\n")[:2]

    assert heading.startswith("# ")
    assert re.search(r"\byou\b", paragraph), f"{path.name} begins: {paragraph}"
