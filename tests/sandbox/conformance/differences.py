"""Where the sandbox is known to differ from a real cluster in what the stories show; docs/sandbox.md tells the rest.

Each entry replaces what was seen on the cluster by what is seen in the sandbox, and says why it may be so. One that is
not needed any more fails the test that uses it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """In one part of one story, `real` is `sandbox` here."""

    story: str
    part: str
    real: str
    sandbox: str
    why: str


DIFFERENCES: tuple[Difference, ...] = ()
