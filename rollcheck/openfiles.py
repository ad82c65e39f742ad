"""How many files this process may have open: each connection of a load is one.

A usual soft limit is 1,024, kept low for programs that use select(); the hard limit is what the system means.
"""

from __future__ import annotations

from contextlib import suppress

from rollcheck.errors import UsageError

ENOUGH = 65_536
"""More than a load needs; a hard limit may be a billion, and children inherit what we set."""


def allow_files(needed: int, way_out: str) -> None:
    """Raise the soft limit on open files as far as the hard one allows, or to `ENOUGH`.

    Args:
        needed: files that may be open at once.
        way_out: what to do where that is too many.

    Raises:
        UsageError: so many are not allowed.
    """
    try:
        import resource  # noqa: PLC0415  # not on every system
    except ImportError:
        return
    soft, hard = (_number(limit, resource.RLIM_INFINITY) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    wanted = min(hard, max(ENOUGH, needed))
    if soft < wanted:
        with suppress(ValueError, OSError):  # some systems allow less than their hard limit says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            soft = wanted
    if soft < needed:
        raise UsageError(
            f"this load may have {needed:,} files open at once, and no more than {soft:,} are allowed here: raise the "
            f"hard limit (`ulimit -Hn {needed}` as root), or {way_out}"
        )


def _number(limit: int, infinity: int) -> int:
    return 2**62 if limit == infinity else limit
