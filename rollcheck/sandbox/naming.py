"""Names and uids that the server makes up."""

from __future__ import annotations

import random
import uuid

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes, so that no name becomes a word (`apimachinery/pkg/util/rand`)."""
BASE_AT_MOST = 58


def suffix(length: int = 5) -> str:
    """A random ending for a name."""
    return "".join(random.choices(ALPHABET, k=length))


def generate(base: str) -> str:
    """A name for `generateName: base`."""
    return base[:BASE_AT_MOST] + suffix()


def new_uid() -> str:
    """A random uid, as for every new object. Drawn from `random`: quicker than the system's, and nothing is guarded."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))
