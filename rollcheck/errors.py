"""Every error that rollcheck raises, split first by who is to blame.

A failing *target* is never an exception: it is an attempt with an outcome (`facts.attempts`). What is raised here is
about the person who called, the cluster, the document on disk, or the machine we run on.

    RollcheckError
    ├── UsageError            the caller: a flag, a name, a manifest, a command that is not found     exit 2
    ├── ClusterError          the cluster or its API                                                  exit 4
    │   ├── ClusterUnreachable    no answer from the API server
    │   ├── ClusterDenied         it answered 401 or 403
    │   ├── ClusterRefused        it answered with another error
    │   └── TargetUnreachable     no URL of the workload answered
    └── DocumentError         a facts document that cannot be read or written                         exit 2
        ├── UnsupportedSchema     written by another schema version
        └── DiskFull              it could not be written on; what was recorded before is safe
"""

from __future__ import annotations


class RollcheckError(Exception):
    """One clear sentence for the person who called, with the exit code that goes with it."""

    exit_code = 2


class UsageError(RollcheckError):
    """The caller asked for something that cannot be: names the thing and the way out."""


class ClusterError(RollcheckError):
    """The cluster, or the way to it, failed."""

    exit_code = 4


class ClusterUnreachable(ClusterError):
    """The API server gave no answer."""


class ClusterDenied(ClusterError):
    """The API server does not let us (401 or 403).

    Attributes:
        causes: (reason, message) of each cause in the Status object's details.
    """

    def __init__(self, message: str, *, causes: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.causes = causes


class ClusterRefused(ClusterError):
    """The API server answered with an error that is neither 401 nor 403.

    Attributes:
        status: the HTTP status.
        reason: the `reason` of the Status object, for example `NotFound`; empty when there was none.
        words: the API server's own message, without ours around it.
        causes: (reason, message) of each cause in the Status object's details.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        words: str = "",
        causes: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.words = words
        self.causes = causes


class TargetUnreachable(ClusterError):
    """No URL of the workload gave a good answer; the message lists which were tried and why each failed."""


class DocumentError(RollcheckError):
    """A facts document cannot be read or written."""


class UnsupportedSchema(DocumentError):
    """The document was written by a schema version that this rollcheck does not read."""


class DiskFull(DocumentError):
    """The document could not be written any further; every line before is safe."""

    exit_code = 3
