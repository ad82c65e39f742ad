"""`rollcheck cleanup`: put back what a run that was killed left changed."""

from __future__ import annotations

from typing import Annotated

import typer

from rollcheck.cli.run import journals_folder
from rollcheck.errors import ClusterError


def cleanup(
    kubeconfig: Annotated[
        str, typer.Option("--kubeconfig", metavar="FILE", help="The kubeconfig; the run's own by default.")
    ] = "",
    context: Annotated[str, typer.Option("--context", metavar="NAME", help="The context; the run's by default.")] = "",
) -> None:
    """Put back what runs that were killed left cordoned, scaled or patched.

    It goes by the journal that each run writes before it changes anything. What somebody else changed since is left
    alone, and a run that still goes on is not touched.
    """
    from rollcheck.housekeeping import clean_up

    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        print(text, flush=True)

    if not clean_up(journals_folder(), tell, kubeconfig=kubeconfig, context=context):
        raise ClusterError("not everything could be put back; what is left is above, and stays in the journal")
    if not told:
        print("nothing to put back")
