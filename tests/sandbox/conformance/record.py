"""Play every story on the cluster that a kubeconfig names, and keep what was seen: what the sandbox is then held to.

python -m tests.sandbox.conformance.record KUBECONFIG [STORY...]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trio

from tests.sandbox.conformance.stories import STORIES
from tests.sandbox.conformance.watching import play

RECORDED = Path(__file__).parent / "recorded"


def main() -> None:
    kubeconfig, *names = sys.argv[1:]
    for story in STORIES:
        if not names or story.__name__ in names:
            seen = trio.run(play, kubeconfig, story)
            (RECORDED / f"{story.__name__}.json").write_text(json.dumps(seen, indent=1) + "\n")
            print(story.__name__, flush=True)


if __name__ == "__main__":
    main()
