"""rollcheck, run for real on a played cluster and a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rollcheck.analyze.analysis import analyse
from rollcheck.analyze.model import Analysis
from rollcheck.facts.actions import Action, CommandOutput, Note
from rollcheck.facts.attempts import Stage
from rollcheck.facts.cluster import PodSeen, SliceSeen
from rollcheck.facts.document import Document
from rollcheck.load.plan import LoadPlan, parse_target
from rollcheck.load.progress import Progress
from rollcheck.run import Finished, RunPlan, execute, lanes_of
from tests.cluster.blackbox import Ended
from tests.fakes.cluster import Cluster
from tests.fakes.shell import call
from tests.fakes.target import Target

QPS = 50
GOOD_ANSWERS = 2
ASKED_BEFORE = 1 + GOOD_ANSWERS
"""Requests before the load: one to find the URL, and those that must be good in a row."""
BASELINE_S = 0.35
TAIL_S = 0.2


class Said:
    """A reporter that remembers; `on_stage`, `on_word` and `on_line` are called with what it is told."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.stages: list[Stage] = []
        self.lines: list[str] = []
        self.on_stage: Callable[[Stage], None] = lambda _: None
        self.on_word: Callable[[str], None] = lambda _: None
        self.on_line: Callable[[str], None] = lambda _: None

    def say(self, text: str) -> None:
        self.words.append(text)
        self.on_word(text)

    def stage(self, stage: Stage, _: float | None) -> None:
        self.stages.append(stage)
        self.on_stage(stage)

    def tick(self, _: Progress, __: str) -> None:
        pass

    def see(self, _: Mapping[str, PodSeen], __: Collection[SliceSeen]) -> None:
        pass

    def output(self, line: CommandOutput) -> None:
        self.lines.append(line.text)
        self.on_line(line.text)


@dataclass
class Run:
    """A run that came to its end, and its analysis."""

    finished: Finished
    analysis: Analysis
    said: Said

    @property
    def document(self) -> Document:
        return self.finished.document

    @property
    def reasons(self) -> str:
        return "; ".join(self.analysis.reasons)

    @property
    def notes(self) -> list[str]:
        return [note.text for note in self.document.of(Note)]

    @property
    def action(self) -> Action:
        """The one thing that was done to the cluster."""
        (only,) = self.document.of(Action)
        return only

    @property
    def answered(self) -> int:
        """Good answers that it counted: the timetable's, the probes', and those before the load."""
        counts = self.analysis.counts
        return counts.ok + counts.probes - counts.probes_failed + ASKED_BEFORE

    @property
    def lost(self) -> Counter[str]:
        """What the timetable's attempts ended with that was not OK."""
        counted: Counter[str] = Counter()
        for lane, outcomes in self.analysis.by_outcome.items():
            if lane != "probe":
                counted.update({name: count for name, count in outcomes.items() if name != "ok"})
        return counted


@dataclass
class Stand:
    """A cluster, a target, and a folder to write to."""

    cluster: Cluster
    target: Target
    folder: Path
    said: Said = field(default_factory=Said)

    def plan(self, **changes: Any) -> RunPlan:
        """A short run of this cluster's Deployment."""
        load = LoadPlan(
            target=parse_target("http://found-by-preflight.invalid/"),
            qps=QPS,
            lanes=lanes_of(QPS, 8, 0.5),
            timeout_s=2,
            interval_s=0.1,
        )
        plan = RunPlan(
            deploy="web",
            load=load,
            kubeconfig=self.cluster.write_kubeconfig(self.folder / "kubeconfig"),
            url=self.target.url,
            baseline_s=BASELINE_S,
            tail_s=TAIL_S,
            rollout_timeout_s=20,
            row=GOOD_ANSWERS,
            out=self.folder / "out",
        )
        return replace(plan, **changes)

    def run(self, confirm: Callable[[str, str], None] = lambda context, namespace: None, **changes: Any) -> Run:
        """In this process, so that every step of it can be arranged."""
        finished = execute(self.plan(**changes), self.said, confirm)
        return Run(finished=finished, analysis=analyse(finished.document), said=self.said)

    def argv(self, *more: str) -> list[str]:
        """The same as a command line; what comes after `--` goes last."""
        own, dashes, command = [*more], [], []
        if "--" in own:
            at = own.index("--")
            own, dashes, command = own[:at], ["--"], own[at + 1 :]
        kubeconfig = self.cluster.write_kubeconfig(self.folder / "kubeconfig")
        return [
            *("run", "--deploy", "web", "--kubeconfig", kubeconfig, "--url", self.target.url),
            *("--qps", str(QPS), "--connections", "8", "--timeout", "2s", "--good-answers", str(GOOD_ANSWERS)),
            *("--baseline", str(BASELINE_S), "--tail", str(TAIL_S), "--rollout-timeout", "20s"),
            *("--out", str(self.folder / "out")),
            *own,
            *dashes,
            *command,
        ]

    def main(self, *more: str) -> int:
        """The command line in this process; its exit code."""
        return call(*self.argv(*more))

    def report(self) -> int:
        """`rollcheck report` on what was run."""
        return call("report", str(self.folder / "out"))

    @property
    def result(self) -> Any:
        """What it wrote to result.json."""
        return json.loads((self.folder / "out" / "result.json").read_text())

    def start(self, *more: str, **options: Any) -> subprocess.Popen[str]:
        """A process of its own."""
        argv = [sys.executable, "-m", "rollcheck", *self.argv(*more)]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def end(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for it."""
        stdout, stderr = process.communicate(timeout=60)
        argv = process.args if isinstance(process.args, list) else []
        return Ended(
            argv=list(map(str, argv)), code=process.returncode, stdout=stdout, stderr=stderr, out=self.folder / "out"
        )

    def strike(self, process: subprocess.Popen[str], at: str, by: signal.Signals) -> None:
        """Have the process sent a signal when the cluster tells of `at` for the first time."""

        def strike(what: str, _: str) -> None:
            if what == at:
                self.cluster.told = lambda what, name: None
                os.kill(process.pid, by)

        self.cluster.told = strike
