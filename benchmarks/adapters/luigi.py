"""Luigi with its local scheduler: targets in memory, or files where results are durable."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Cases, Measured, Peer, measured, measured_cpu
from benchmarks.work import burn, burn_seconds, growth, now, payload, scratch, step, whole

PEER = Peer("Luigi", "luigi")


def build(tasks: list[Any], workers: int = 1) -> bool:
    import luigi

    return bool(luigi.build(tasks, workers=workers, local_scheduler=True, log_level="ERROR"))


def chained(durable: bool) -> Any:
    """Return a class of tasks, each of which needs the one before it in its group."""
    import luigi
    from luigi.mock import MockTarget

    logging.disable(logging.WARNING)
    folder = scratch()

    class Step(luigi.Task):
        run_id = luigi.Parameter(default="run")
        group = luigi.IntParameter(default=0)
        number = luigi.IntParameter()

        def requires(self) -> Any:
            return Step(run_id=self.run_id, group=self.group, number=self.number - 1) if self.number else []

        def output(self) -> Any:
            name = f"{self.run_id}-{self.group}-{self.number}"
            return luigi.LocalTarget(str(folder / name)) if durable else MockTarget(name)

        def run(self) -> None:
            value = read(self.input()) if self.number else self.group
            with self.output().open("w") as file:
                file.write(str(step(value)))

    return Step


def read(target: Any) -> int:
    with target.open() as file:
        return int(file.read())


def chain(n: int, durable: bool) -> Measured:
    kind = chained(durable)
    start = now()
    ok = build([kind(number=n - 1)])
    seconds = now() - start
    return measured(seconds, n, ok and read(kind(number=n - 1).output()) == n, note="no fsync" if durable else "")


def resume(n: int, phase: str) -> Measured:
    if phase == "prepare":
        return chain(n, True)
    kind = chained(True)
    start = now()
    ok = build([kind(number=n)])
    seconds = now() - start
    return measured(seconds, n, ok and read(kind(number=n).output()) == n + 1, note="looks at the last file only")


def fanned(n: int, cpu: bool) -> Measured:
    import luigi

    logging.disable(logging.WARNING)
    serial, folder = burn_seconds() if cpu else 0.0, scratch() / "out"
    folder.mkdir()

    class One(luigi.Task):
        number = luigi.IntParameter()

        def output(self) -> Any:
            return luigi.LocalTarget(str(folder / str(self.number)))

        def run(self) -> None:
            value = burn(self.number) if cpu else step(self.number)
            with self.output().open("w") as file:
                file.write(str(value))

    start = now()
    ok = build([One(number=i) for i in range(n)], workers=2)
    seconds = now() - start
    ok = ok and len(list(folder.iterdir())) == n
    return measured_cpu(seconds, n, ok, serial) if cpu else measured(seconds, n, ok)


def carried(kind: str) -> Measured:
    import luigi

    logging.disable(logging.WARNING)
    folder = scratch()

    class Produce(luigi.Task):
        def output(self) -> Any:
            return luigi.LocalTarget(str(folder / "payload"), format=luigi.format.Nop)

        def run(self) -> None:
            with self.output().open("w") as file:
                pickle.dump(payload(kind), file, 5)

    class Consume(luigi.Task):
        def requires(self) -> Any:
            return Produce()

        def output(self) -> Any:
            return luigi.LocalTarget(str(folder / "checked"))

        def run(self) -> None:
            with self.input().open() as file:
                value = pickle.load(file)
            with self.output().open("w") as file:
                file.write(str(whole(kind, value)))

    start = now()
    ok = build([Consume()], workers=2)
    seconds = now() - start
    return measured(seconds, 1, ok and Path(folder / "checked").read_text() == "True", note="by a file")


def groups(count: int, length: int) -> Measured:
    kind = chained(False)
    lasts = [kind(group=group, number=length - 1) for group in range(count)]
    start = now()
    ok = build(lasts)
    seconds = now() - start
    found = [read(last.output()) for last in lasts]
    return measured(seconds, count * length, ok and found == [group + length for group in range(count)])


def repeated() -> Measured:
    kind, runs = chained(False), 0

    def run() -> None:
        nonlocal runs
        runs += 1
        assert build([kind(run_id=str(runs), number=2)])

    return growth(run)


PIPELINE = """
import json
import luigi
from luigi.mock import MockTarget
class Extract(luigi.Task):
    def output(self): return MockTarget("e")
    def run(self):
        with self.output().open("w") as f: f.write(json.dumps([1, 2, 3]))
class Transform(luigi.Task):
    def requires(self): return Extract()
    def output(self): return MockTarget("t")
    def run(self):
        with self.input().open() as i, self.output().open("w") as f: f.write(json.dumps([v * 2 for v in json.load(i)]))
class Load(luigi.Task):
    def requires(self): return Transform()
    def output(self): return MockTarget("l")
    def run(self):
        with self.input().open() as i, self.output().open("w") as f: f.write(json.dumps(sum(json.load(i))))
luigi.build([Load()], local_scheduler=True, log_level="ERROR")
print(Load().output().open().read())
"""
CASES: Cases = {
    "W1a": {"import": Case(source="import luigi")},
    "W1b": {"MockTarget": Case(source=PIPELINE, prints="12")},
    "W2": {"MockTarget 1k": Case(chain, {"n": 1_000, "durable": False}, repeat=2)},
    "W3d": {"LocalTarget": Case(chain, {"n": 1_000, "durable": True}, repeat=2)},
    "W4": {"LocalTarget": Case(resume, {"n": 1_000}, phases=("prepare", "resume"))},
    "W5a": {"2 workers 1k": Case(fanned, {"n": 1_000, "cpu": False}, repeat=1)},
    "W5b": {"2 workers": Case(fanned, {"n": 200, "cpu": True}, repeat=2)},
    "W6b": {kind: Case(carried, {"kind": kind}) for kind in ("bytes", "numpy")},
    "W7": {"MockTarget": Case(groups, {"count": 100, "length": 10}, repeat=2)},
    "W10": {"MockTarget": Case(repeated)},
}
