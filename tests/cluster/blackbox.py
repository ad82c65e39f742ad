"""rollcheck as its users have it: a command line, an exit code, two streams and a folder.

What is imported from rollcheck here is nothing: these tests hold it to its contracts (result.json, exit codes).
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRACEFUL, NOT_GRACEFUL, USAGE, INCONCLUSIVE, CLUSTER_FAILURE, INTERRUPTED = 0, 1, 2, 3, 4, 130
PATIENCE_S = 180
TRIES = 3
OWN_TROUBLE = ("the generator was late", "the event loop", "stood still")
"""Why a run on a busy machine proves nothing, whatever the workload did."""
MADE_AGAIN = "a run was made again"
"""Begins a warning, which pytest lists in its summary."""
TOO_SLOW = "the target answered"
"""So many of the requests asked for: why it proves nothing when the target, on the same machine, was kept waiting."""
LEFT_ALONE = "The workload was left alone"

Json = dict[str, Any]


def command_line(*arguments: str) -> list[str]:
    """How this Python starts rollcheck."""
    return [sys.executable, "-m", "rollcheck", *arguments]


def environment(**changes: str | None) -> Mapping[str, str]:
    """Ours, with `changes`; None takes a variable away."""
    changed = {**os.environ, **changes}
    return {name: value for name, value in changed.items() if value is not None}


@dataclass(frozen=True)
class Ended:
    """A rollcheck that ended.

    Attributes:
        out: the folder it was told to write to.
    """

    argv: Sequence[str]
    code: int
    stdout: str
    stderr: str
    out: Path

    @property
    def result(self) -> Json:
        """What it wrote to result.json."""
        made: Json = json.loads((self.out / "result.json").read_text())
        return made

    @property
    def modes(self) -> list[int]:
        """Rows of the failure taxonomy that it names, the most attempts first."""
        return [cause["mode"] for cause in self.result["causes"]]

    def cause(self, mode: int) -> Json:
        """Its cause of that mode; a failed test when it names none."""
        found = [cause for cause in self.result["causes"] if cause["mode"] == mode]
        assert found, f"no cause {mode}\n{self}"
        only: Json = found[0]
        return only

    @property
    def old_pods(self) -> list[Json]:
        """What it says of each pod that was to be replaced."""
        return [pod for pod in self.result["pods"] if pod["generation"] == "old"]

    def lost(self, *lanes: str) -> Counter[str]:
        """What failed on the timetable, by "phase/outcome", summed over `lanes` (all of the timetable when none)."""
        by_lane: dict[str, dict[str, int]] = self.result["by_outcome"]
        counted: Counter[str] = Counter()
        for lane, outcomes in by_lane.items():
            if lane in lanes or (not lanes and lane != "probe"):
                counted.update({name: n for name, n in outcomes.items() if is_loss(name)})
        return counted

    def facts(self) -> list[Json]:
        """The lines of its document that are whole."""
        return list(whole_lines((self.out / "facts.jsonl").read_bytes().splitlines(keepends=True)))

    @property
    def kept_waiting(self) -> bool:
        """Whether it says that it could not measure: others had the processor of the generator or of the target."""
        return self.code == INCONCLUSIVE and self._says(*OWN_TROUBLE, TOO_SLOW)

    @property
    def left_alone(self) -> bool:
        """Whether it replaced nothing, as the target did not serve the load before."""
        return self._says(LEFT_ALONE)

    def _says(self, *words: str) -> bool:
        if not (self.out / "result.json").exists():
            return False
        return any(word in reason for reason in self.result["reasons"] for word in words)

    def __str__(self) -> str:
        """For a failed assertion: what a person would look at first."""
        words = [f"$ {' '.join(self.argv)}", f"exit {self.code}", "stderr:", self.stderr[-3000:]]
        try:
            result = self.result
        except (OSError, ValueError) as e:
            words += [f"no result.json: {e}", "stdout:", self.stdout[-1000:]]
        else:
            keys = ("verdict", "headline", "reasons", "attempts", "by_outcome", "causes", "unattributed", "pods")
            words += [f"{key}: {json.dumps(result.get(key))[:3000]}" for key in keys]
        return "\n".join(words)


def is_loss(phase_and_outcome: str) -> bool:
    """Whether a key of `by_outcome` ("ok", "await/bad_status 502") counts attempts that were sent and ended badly."""
    outcome = phase_and_outcome.rpartition("/")[2].split()[0]
    return outcome not in ("ok", "dropped", "abandoned")


def whole_lines(lines: Iterable[bytes]) -> Iterable[Json]:
    """The JSON of each line that ends with a newline."""
    for line in lines:
        if line.endswith(b"\n"):
            yield json.loads(line)


def measured(run: Callable[[Path], Ended], folder: Path, *, repeatable: bool) -> Ended:
    """A run that the machine let measure, of at most `TRIES`: what a person does who reads "this machine was too busy".

    These tests share a machine with each other, and what they ask is what rollcheck says of a workload. One that is
    not `repeatable` finds another cluster after it than before: it is made again only where it changed nothing. Each
    is told where to write: a new folder in `folder`.
    """
    for _ in range(TRIES - 1):
        ended = run(folder / secrets.token_hex(4))
        if not (ended.kept_waiting and (repeatable or ended.left_alone)):
            return ended
        warnings.warn(f"{MADE_AGAIN}: {'; '.join(ended.result['reasons'])}", stacklevel=3)
    return run(folder / secrets.token_hex(4))


def rollcheck(*arguments: str, out: Path, env: Mapping[str, str] | None = None) -> Ended:
    """Run it to its end."""
    argv = command_line(*arguments)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=env)
    return Ended(argv=argv, code=done.returncode, stdout=done.stdout, stderr=done.stderr, out=out)


def assert_lossless(run: Ended) -> None:
    """Graceful; on a machine that is too busy to say so, at least nothing was lost."""
    result = run.result
    assert result["attempts"]["failed"] == 0, run
    ours = all(any(word in reason for word in OWN_TROUBLE) for reason in result["reasons"])
    assert run.code == GRACEFUL or (run.code == INCONCLUSIVE and ours), run
    assert_sums(run)


def assert_graceful(run: Ended) -> None:
    """Graceful; on a sandbox, which shares its machine with other tests and their load, lossless is enough."""
    assert_lossless(run)
    assert run.code == GRACEFUL or on_a_sandbox(), run
    assert run.result["verdict"] == ("graceful" if run.code == GRACEFUL else "inconclusive"), run


def on_a_sandbox() -> bool:
    """Whether the cluster is one of rollcheck's own."""
    return os.environ.get("ROLLCHECK_TEST_SANDBOX", "") not in ("", "0")


def assert_sums(run: Ended) -> None:
    """Every arrival is accounted for, exactly, whichever way one adds up."""
    attempts, by_outcome = run.result["attempts"], run.result["by_outcome"]
    listed = [(name, n) for lane, outcomes in by_outcome.items() if lane != "probe" for name, n in outcomes.items()]

    assert attempts["scheduled"] == attempts["sent"] + attempts["not_sent"], run
    assert attempts["sent"] == attempts["ok"] + attempts["failed"], run
    assert sum(n for name, n in listed if name == "ok") == attempts["ok"], run
    assert sum(n for name, n in listed if is_loss(name)) == attempts["failed"], run
    assert sum(n for _, n in listed) == attempts["scheduled"], run


def assert_attributed(run: Ended) -> None:
    """Each failed attempt is counted under exactly one cause, or listed as unattributed."""
    result = run.result
    explained = sum(cause["attempts"] for cause in result["causes"])

    assert explained + len(result["unattributed"]) == result["attempts"]["failed"], run


def assert_stdout_is_the_result(run: Ended) -> None:
    """With `-o json` the result is the only thing on stdout."""
    assert json.loads(run.stdout) == run.result, run


def assert_one_sentence(run: Ended, *names: str) -> None:
    """It refused in words a person can act on: they name the thing, and nothing is on stdout."""
    said = [line for line in run.stderr.splitlines() if line.strip()]

    assert said, run
    assert "Traceback" not in run.stderr, run
    assert run.stdout == "", run
    assert len(said[-1]) < 600, run
    for name in names:
        assert name in said[-1], run
