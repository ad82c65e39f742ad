"""What is done beside runs: putting back what a killed one left behind, and telling what one may do here.

Here belongs: the work of `rollcheck cleanup` and `rollcheck doctor`, each a function from options to what was found.
Not here: anything printed, exit codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from rollcheck.errors import ClusterError, UsageError
from rollcheck.kube.access import load_access
from rollcheck.kube.actions.table import ACTIONS
from rollcheck.kube.api import Api
from rollcheck.kube.journal import Left, journals_in
from rollcheck.kube.permissions import Right, needed_rights, rights_allowed
from rollcheck.kube.restore import put_back_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the rights of this user permit.

    Attributes:
        missing: action → the rights that it needs and that are not there, the required ones first.
        journals: runs that left something to put back.
    """

    server: str
    version: str
    user: str
    context: str
    namespace: str
    missing: dict[str, tuple[Right, ...]]
    journals: tuple[str, ...]


def clean_up(folder: Path, told: Callable[[str], None], *, kubeconfig: str = "", context: str = "") -> bool:
    """Put back what runs that are no more left behind; whether nothing is left of them.

    Args:
        folder: of the journals.
        told: called with a sentence about each thing that was done.
        kubeconfig, context: to use instead of those that the run had.
    """
    clean = True
    for path in journals_in(folder):
        try:
            journal = Left(path)
        except BlockingIOError:
            told(f"the run {path.stem} still goes on, and puts back by itself what it changed")
            continue
        except OSError as e:
            told(f"{path} cannot be read: {e.strerror}")
            clean = False
            continue
        try:
            clean &= trio.run(_clean, journal, told, kubeconfig, context)
        except (ClusterError, UsageError) as e:
            told(f"what the run {path.stem} changed could not be put back: {e}")
            clean = False
        finally:
            journal.close()
    return clean


async def _clean(journal: Left, told: Callable[[str], None], kubeconfig: str, context: str) -> bool:
    about = journal.about
    access = load_access(
        kubeconfig=kubeconfig or about.get("kubeconfig", ""),
        context=context or about.get("context", ""),
        namespace=about.get("namespace", ""),
    )
    if not context and about.get("server", access.server) != access.server:
        raise UsageError(
            f"the context {access.context!r} now means {access.server}, not {about['server']} where the run was: name "
            "the right one with --context"
        )
    async with Api(access) as api:
        return await put_back_all(api, journal, lambda text, _: told(text))


def examine(
    kinds: Sequence[str],
    actions: Iterable[str] = tuple(ACTIONS),
    *,
    folder: Path,
    kubeconfig: str = "",
    context: str = "",
    namespace: str = "",
) -> Found:
    """What is permitted, and what a killed run left.

    Raises:
        UsageError: there is no such context.
        ClusterError: the API server does not answer, or does not know us.
    """
    access = load_access(kubeconfig=kubeconfig, context=context, namespace=namespace)

    async def ask() -> Found:
        async with Api(access) as api:
            version = await api.version()
            needs = {
                action: needed_rights(access.namespace, action, [k for k in kinds if k in ACTIONS[action].kinds])
                for action in actions
                if set(kinds) & set(ACTIONS[action].kinds)
            }
            allowed = await rights_allowed(api, [right for rights in needs.values() for right in rights])
            return Found(
                server=access.server,
                version=version,
                user=access.user,
                context=access.context,
                namespace=access.namespace,
                missing={
                    action: tuple(sorted((r for r in rights if not allowed[r]), key=lambda r: not r.required))
                    for action, rights in needs.items()
                },
                journals=tuple(path.stem for path in journals_in(folder)),
            )

    return trio.run(ask)
