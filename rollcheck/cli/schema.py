"""`rollcheck schema`: what result.json looks like, for programs."""

from __future__ import annotations

import json


def schema() -> None:
    """Print the JSON Schema of result.json."""
    from rollcheck.render.schema import result_schema

    print(json.dumps(result_schema(), indent=2))
