"""One run of the benchmark: what was found, how long to measure, where progress goes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from bench.peers import ENGINE_ALONE, GENERATORS, Found, Generator, Load
from bench.servers import Nginx
from bench.spawn import BenchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What every row needs.

    Attributes:
        programs: what is on this machine, by name.
        engine_alone: of rollcheck only the engine is measured (drive.py), without the command around it.
        nginx: the target.
        rounds, seconds: how often each measure is taken, and how long.
        quick, long: fewer and shorter; the measure of an hour as well.
        say: takes a line of progress.
    """

    programs: dict[str, Found]
    engine_alone: bool
    nginx: Nginx
    rounds: int
    seconds: float
    quick: bool
    long: bool
    say: Callable[[str], None]

    @property
    def steady_rounds(self) -> int:
        """How often to measure what is compared with a fixed figure, not with a peer in the same round."""
        return 1 if self.quick else self.rounds

    def argv(self, generator: Generator, load: Load) -> list[str]:
        """The command line that puts `load` on with that generator.

        Raises:
            BenchError: the engine alone cannot.
        """
        if generator.program == "rollcheck" and self.engine_alone:
            if load.extra:
                raise BenchError(f"the engine alone does not know {load.extra[0]}; measure this row without --engine")
            return [sys.executable, str(ENGINE_ALONE), *generator.argv(load)]
        return [*self.programs[generator.program].argv, *generator.start, *generator.argv(load)]

    def present(self, *wanted: Generator) -> list[Generator]:
        """Those of them that are on this machine, in the order of the table of generators."""
        return [one for one in GENERATORS if one in wanted and one.program in self.programs]
