"""The suite on a sandbox instead of a real cluster: one for each pytest process, gone when that is, however it ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rollcheck.cli.sandboxoptions import many_addresses
from rollcheck.sandbox.child import owned
from rollcheck.sandbox.settings import Settings

CACHED = Path("/var/cache/rollcheck-cluster/bin/kubectl")
NODES = 2
"""As many as the test cluster has: some tests fill them all."""


def kubectl() -> str | None:
    """The kubectl to use: named, on the PATH, or of the test cluster; None when there is none."""
    named = os.environ.get("ROLLCHECK_KUBECTL") or shutil.which("kubectl")
    return named or (str(CACHED) if CACHED.exists() else None)


@contextmanager
def sandbox(folder: Path) -> Iterator[None]:
    """A sandbox that KUBECONFIG names; every kubectl and rollcheck started meanwhile writes below `folder` alone."""
    found, path = kubectl(), folder / "bin"
    assert found, "tests are skipped where there is no kubectl"
    path.mkdir()
    (path / "kubectl").symlink_to(found)
    with owned(Settings(folder=folder / "box", nodes=NODES, shared=not many_addresses())) as box:
        ours = {
            "KUBECONFIG": box.kubeconfig,
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
            "KUBECACHEDIR": str(folder / "kubectl-cache"),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
