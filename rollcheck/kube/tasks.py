"""Errors that leave a nursery, as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rollcheck.errors import RollcheckError


@contextmanager
def one_error() -> Iterator[None]:
    """Around a nursery: of errors of ours alone, raise the first itself instead of a group of them.

    They come from the same API server at the same moment; one sentence says it all. A group that holds anything else
    (a bug, a cancellation) passes as it is.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        ours, others = group.split(RollcheckError)
        if ours is None or others is not None:
            raise
        raise _first(ours) from None


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
