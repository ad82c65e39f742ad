"""Sandboxes as their users start them: processes, a folder, a kubeconfig."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

PATIENCE_S = 60
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "rollcheck.test/web:1", ports: [{containerPort: 8080}]}
"""
SERVICE = """---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"""
WEB = DEPLOYMENT + SERVICE


def command_line(*arguments):
    return [sys.executable, "-m", "rollcheck", *arguments]


def rollcheck(*arguments, cwd=None, env=None, patience=PATIENCE_S):
    """Run it to its end, `patience` seconds at most."""
    whole = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **(env or {})}
    return subprocess.run(
        command_line(*arguments), capture_output=True, text=True, timeout=patience, check=False, cwd=cwd, env=whole
    )


def start(*arguments, cwd=None):
    """Start it and leave it running; its process."""
    return subprocess.Popen(
        command_line(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def ask(folder, path, patch=None):
    """What its API server answers to a GET, or to a merge patch."""
    config = json.loads((Path(folder) / "kubeconfig").read_text())
    token = config["users"][0]["user"]["token"]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(
        config["clusters"][0]["cluster"]["server"] + path,
        method="GET" if patch is None else "PATCH",
        data=None if patch is None else json.dumps(patch).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"},
    )
    with urllib.request.urlopen(request, timeout=5, context=context) as answer:
        return json.loads(answer.read())


def processes_in(folder):
    """Those processes that were given the folder, or work in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes() + bytes((entry / "cwd").readlink())
            words += (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def until(question, seconds=PATIENCE_S):
    """Ask until the answer is true."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"{question} did not come true within {seconds} s"
        time.sleep(0.02)
    return answer
