"""Drawings of workflows: every format, any name, a thousand tasks."""

from __future__ import annotations

import io
import re
import sys
import time
from xml.etree import ElementTree

import pytest

from dotflow import DotFlow, action
from dotflow.core.exception import ConfigurationError, GraphError
from dotflow.views.graph import FORMATS, graph_of
from dotflow.views.layout import Layout, laid_out
from dotflow.views.mermaid import escaped
from dotflow.views.state import LOOKS
from dotflow.views.text import as_text

HOSTILE = (
    'a"] --> b["',
    "<script>alert(1)</script>",
    "`**bold**`",
    "end",
    "a; click n0 href 'javascript:alert(1)'",
    "&amp; &lt; #quot; %%{init: {}}%%",
    "naïve – 日本語 😀",
    "line\u2028separator \u202eright to left",
    "\ufffe is no character of XML",
    "]]> --> -->",
    "x" * 300,
)
SVG = "{http://www.w3.org/2000/svg}"


@action
def step() -> int:
    return 1


@action
def bad() -> int:
    raise ValueError("no")


def workflow_of(needs: dict[str, list[str]]) -> DotFlow:
    workflow = DotFlow(workflow_id="w")
    for name, parents in needs.items():
        workflow.task.add(step, task_id=name, depends_on=parents)
    return workflow


DIAMOND = {
    "extract": [],
    "clean": ["extract"],
    "enrich": ["extract"],
    "report": ["clean", "enrich"],
    "send": ["report"],
}


def test_text_is_a_tree_with_each_task_once() -> None:
    """A join stands below what all ways to it share, and names what it waits for."""
    assert workflow_of(DIAMOND).graph() == ("extract\n├─ clean\n├─ enrich\n└─ report  ← clean, enrich\n   ↓ send\n")


def test_text_in_ascii() -> None:
    """A stream that cannot encode lines gets letters."""
    text = as_text(graph_of(workflow_of(DIAMOND).task.queue), plain=True)

    assert text == "extract\n|- clean\n|- enrich\n`- report  <- clean, enrich\n   > send\n"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("sequential", "a  [one]\n↓ c  [one]\nb  [two]\n↓ d  [two]\n"),
        ("sequential_group", "a  [one]\n↓ c  [one]\n↓ b  [two]\n↓ d  [two]\n"),
        ("parallel", "a  [one]\nb  [two]\nc  [one]\nd  [two]\n"),
    ],
)
def test_mode_decides_who_waits_for_whom(mode: str, expected: str) -> None:
    """Groups and modes are drawn as they run."""
    workflow = DotFlow()
    for name, group in (("a", "one"), ("b", "two"), ("c", "one"), ("d", "two")):
        workflow.task.add(step, task_id=name, group_name=group)

    assert workflow.graph(mode=mode) == expected


def test_statuses_are_colours_and_words() -> None:
    """After a run each format tells the status twice: who sees no colours reads it."""
    workflow = DotFlow()
    workflow.task.add([step, bad, step])
    manager = workflow.start()

    assert re.search(r"step +✔ Completed \d", workflow.graph())
    assert "✘ Failed" in manager.graph()
    assert "○ Not started" in manager.graph()
    mermaid, svg = manager.graph("mermaid"), manager.graph("svg")
    assert ":::failed" in mermaid
    assert "Failed" in mermaid
    failed = next(look for status, look in LOOKS.items() if status == "Failed")
    assert f"classDef failed fill:{failed.fill}" in mermaid
    assert failed.fill in svg
    assert "✘ Failed" in svg


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_data_in_mermaid(name: str) -> None:
    """No name ends its label, starts another statement, or is read as HTML or Markdown."""
    text = workflow_of({name: [], "b": [name]}).graph("mermaid")

    assert isinstance(text, str)
    lines = text.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r'    n0\["(?:[\w \-.,/+@=!?()\[\]]|#\d+;)*"\]', lines[1]), lines[1]
    assert lines[2:] == ['    n1["b"]', "    n0 --> n1"]


def test_mermaid_codes_say_what_they_stand_for() -> None:
    """The codes are those of the characters."""
    assert escaped('a"<`') == "a#34;#60;#96;"


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_data_in_svg(name: str) -> None:
    """The picture is well-formed, without scripts, and the whole name is in the title."""
    text = workflow_of({name: [], "b": [name]}).graph("svg")

    assert isinstance(text, str)
    tree = ElementTree.fromstring(text)
    assert {element.tag.removeprefix(SVG) for element in tree.iter()} == {
        "svg", "defs", "marker", "path", "rect", "g", "title", "text",
    }  # fmt: skip
    titles = [element.text for element in tree.iter(f"{SVG}title")]
    assert titles == [name if name.isprintable() else titles[0], "b"]
    assert "href" not in re.sub(r">[^<]*<", "><", text)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_data_in_text_and_png(name: str) -> None:
    """A name stays on its line, and can be drawn."""
    workflow = workflow_of({name: []})

    assert str(workflow.graph()).count("\n") == 1
    assert len(str(workflow.graph()).splitlines()) == 1
    assert bytes(workflow.graph("png"))[:8] == b"\x89PNG\r\n\x1a\n"


def test_png_is_as_large_as_it_should_be() -> None:
    """The picture has the shape of the layout, at two pixels for one."""
    from PIL import Image

    workflow = workflow_of(DIAMOND)
    picture = Image.open(io.BytesIO(workflow.graph("png")))
    plan = laid_out(graph_of(workflow.task.queue))

    assert picture.size == tuple(round(side * 2 + 0.49) for side in plan.size)
    assert len(picture.convert("RGB").getcolors(1 << 24)) > 3


def test_png_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, and the command that brings it."""
    for name in ("PIL", "PIL.Image"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ImportError, match=r"pip install 'dotflow\[png\]'"):
        workflow_of(DIAMOND).graph("png")


def test_unknown_format_gets_the_nearest() -> None:
    """The message offers what was meant."""
    with pytest.raises(ConfigurationError, match="there is no format 'memaid'; did you mean 'mermaid'"):
        workflow_of(DIAMOND).graph("memaid")


def test_cycles_are_refused() -> None:
    """What cannot run cannot be drawn."""
    with pytest.raises(GraphError, match="cycle"):
        workflow_of({"a": ["b"], "b": ["a"]}).graph()


def test_empty_workflow_is_drawn() -> None:
    """There is nothing to see, and no error."""
    assert DotFlow().graph() == ""
    for style in FORMATS:
        DotFlow().graph(style)


def boxes_overlap(plan: Layout) -> bool:
    """Whether two boxes share a point."""
    found = sorted(plan.places)
    wide, high = plan.box
    for position, (x, y) in enumerate(found):
        for other_x, other_y in found[position + 1 :]:
            if other_x >= x + wide:
                break
            if abs(other_y - y) < high:
                return True
    return False


SHAPES = {
    "chain": {f"t{i}": [f"t{i - 1}"] if i else [] for i in range(1000)},
    "fan": {f"t{i}": ["t0"] if i else [] for i in range(1000)},
    "alone": {f"t{i}": [] for i in range(1000)},
    "dense": {f"t{i}": [f"t{j}" for j in range(i % 10, i, 97)][:6] for i in range(1000)},
    "far": {f"t{i}": ([f"t{i - 1}", "t0"] if i > 1 else ["t0"]) if i else [] for i in range(1000)},
}


@pytest.mark.alone
@pytest.mark.parametrize("shape", SHAPES)
def test_a_thousand_tasks_are_drawn_quickly(shape: str) -> None:
    """Time grows with the graph, not with its square; no box lies on another, all lie in the picture."""
    workflow = workflow_of(SHAPES[shape])
    began = time.process_time()
    for style in ("text", "mermaid", "svg"):
        workflow.graph(style)
    took = time.process_time() - began

    assert took < 3
    plan = laid_out(graph_of(workflow.task.queue))
    assert not boxes_overlap(plan)
    assert all(0 <= x <= plan.size[0] - plan.box[0] and 0 <= y <= plan.size[1] - plan.box[1] for x, y in plan.places)
    assert str(workflow.graph()).count("\n") == 1000


def test_lines_begin_and_end_at_their_boxes() -> None:
    """A dependency leaves the lower edge of the one box and reaches the upper edge of the other."""
    graph = graph_of(workflow_of(DIAMOND).task.queue)
    plan = laid_out(graph)
    pairs = [(parent, each) for each in graph.order for parent in graph.parents[each]]

    assert len(plan.lines) == len(pairs) == 5
    for line, (parent, each) in zip(plan.lines, pairs, strict=True):
        start, end = plan.places[parent], plan.places[each]
        assert line[0] == pytest.approx((start[0] + plan.box[0] / 2, start[1] + plan.box[1]))
        assert line[-1] == pytest.approx((end[0] + plan.box[0] / 2, end[1]))
