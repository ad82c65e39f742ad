"""The kubeconfig of a sandbox: the way in for kubectl, the official client and rollcheck."""

from __future__ import annotations

import base64
import json

CONTEXT = "rollcheck-sandbox"


def kubeconfig(url: str, token: str, certificate: str = "", namespace: str = "default") -> str:
    """The text of a kubeconfig (JSON, which is YAML) for the API server at `url`.

    Args:
        url: of the API server; kubectl sends the token to https:// alone.
        token: the bearer token.
        certificate: PEM that the server's certificate is checked against, as `ApiServer.certificate` gives it.
        namespace: of the context.
    """
    cluster = {"server": url}
    if certificate:
        cluster["certificate-authority-data"] = base64.b64encode(certificate.encode()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "preferences": {},
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": namespace}}],
    }
    return json.dumps(config, indent=2) + "\n"
