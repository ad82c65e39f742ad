"""Names that follow from a template: pod-template-hash and controller-revision-hash.

The same template gives the same hash, in every process and on every machine; another template another one. The shape
is Kubernetes': 32 bits of FNV-1a as decimal digits, written in an alphabet without vowels so that no word comes about.
The value differs from Kubernetes', which hashes Go's dump of the struct.
"""

from __future__ import annotations

import json
from typing import Any

from rollcheck.sandbox.trees import Json

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
TEMPLATE_HASH = "pod-template-hash"
REVISION_HASH = "controller-revision-hash"


def fnv1a(data: bytes) -> int:
    """32 bits of FNV-1a."""
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def safe_text(number: int) -> str:
    """A number in the safe alphabet, one letter a digit."""
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(number))


def template_hash(template: Json, collisions: int | None = None) -> str:
    """The hash of a pod template; `collisions` tells apart what once met under one name."""
    text = json.dumps(essence(template), sort_keys=True, separators=(",", ":"))
    if collisions is not None:
        text += f"/{collisions}"
    return safe_text(fnv1a(text.encode()))


def same_template(one: Json, other: Json) -> bool:
    """Whether two templates ask for the same pods: their pod-template-hash and what is empty left aside."""
    return one == other or essence(one) == essence(other)


def essence(template: Json) -> Any:
    """The template without its pod-template-hash label and without empty lists and absent values.

    The API server drops those when it decodes an object, so they never are a difference there.
    """
    return _pruned({**template, "metadata": _without_hash(template.get("metadata") or {})})


def _without_hash(meta: Json) -> Json:
    kept = {key: value for key, value in meta.items() if key != "creationTimestamp"}
    if TEMPLATE_HASH in (meta.get("labels") or {}):
        kept["labels"] = {key: value for key, value in meta["labels"].items() if key != TEMPLATE_HASH}
    return {key: value for key, value in kept.items() if value}


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(item) for key, item in value.items() if item is not None and item != []}
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    return value
