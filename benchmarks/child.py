"""Do one case in this process: ``python -m benchmarks.child PEER WORKLOAD VARIANT [PHASE]``."""

from __future__ import annotations

import json
import os
import sys

from benchmarks.adapters.registry import load

MARK = "@@measured "


def main(name: str, workload: str, variant: str, phase: str | None = None) -> None:
    """Run the case, and print its measurement as a line that starts with ``MARK``."""
    adapter = load(name)
    case = adapter.CASES[workload][variant]
    assert case.run is not None
    found = case.run(**case.arguments, **({} if phase is None else {"phase": phase}))
    print(f"\n{MARK}{json.dumps(found)}", flush=True)
    if adapter.PEER.abrupt:
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
