"""What a real Kubernetes 1.34 said (kubectl get --raw, stripped of what nobody here reads)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("data")


@cache
def objects() -> dict[str, Any]:
    """Deployments, pods and services by name; the rest as lists."""
    loaded: dict[str, Any] = json.loads((DATA / "objects.json").read_text())
    return loaded


@cache
def watch(name: str) -> tuple[dict[str, Any], bytes]:
    """A list, and the bytes of the watch that followed it: a restart of two pods with 10 s of grace."""
    first, _, rest = (DATA / f"{name}-watch.jsonl").read_bytes().partition(b"\n")
    return json.loads(first), rest
