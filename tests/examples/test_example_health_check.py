"""The health check notices pages that fail and pages that are slow, and tells about changes only."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

from example_tools import EXAMPLES, Quiet, assert_promised, run, serving

TRIES = 3


def test_health_check_tells_what_went_down_and_what_came_back(tmp_path: Path) -> None:
    """Two looks on a schedule: one page is slow throughout, one fails at the first look, one at the first try only."""
    asked: Counter[str] = Counter()
    alerts: list[tuple[str, str, str]] = []
    over = threading.Event()

    class Pages(Quiet):
        def reply(self) -> None:
            if self.path == "/hook":
                self.hear()
                return
            asked[self.path] += 1
            if self.path == "/slow":
                over.wait(60)
            ill = asked[self.path] <= {"/down": TRIES, "/shaky": 1}.get(self.path, 0)
            self.answer(500 if ill else 200, b"hello")

        def hear(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            errors = message["task"]["errors"]
            path = message["task"]["task_id"].removeprefix(f"http://{self.headers['Host']}")
            alerts.append((path, message["status"], errors[-1]["exception"] if errors else ""))
            self.answer(204)

    with serving(Pages) as server:
        pages = tmp_path / "pages.txt"
        pages.write_text(
            "\n".join(["# mine", "", *(f"{server.url}/{name}" for name in ("fine", "shaky", "slow", "down"))])
        )
        output = run(
            "-m", "dotflow", "schedule", "--workflow", "check:build", "--every", "0.1", "--max-runs", "2",
            "--keep-going",
            folder=EXAMPLES / "health_check",
            HEALTH_PAGES=str(pages), HEALTH_WEBHOOK=f"{server.url}/hook", HEALTH_PATIENCE="0.8",
        )  # fmt: skip
        over.set()

    assert asked["/shaky"] >= 3, "one look needs two tries, the other one"
    assert TRIES < asked["/slow"] <= 2 * TRIES
    assert sorted(alerts[:2]) == [("/down", "Failed", "HTTPStatusError"), ("/slow", "Failed", "TimeoutError")]
    assert alerts[2:] == [("/down", "Completed", "")], "a page that is still slow is not told again"
    looks = [line for line in output.splitlines() if line.startswith(("up ", "down ")) or "pages are up" in line]
    assert_promised("health_check", "\n".join(looks[:5]))
    assert "3 of 4 pages are up" in output
