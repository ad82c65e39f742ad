"""A pod's volumes as folders, and the paths of a manifest turned into paths of this machine.

A container of the sandbox has no mount namespace: `/etc/app` of its manifest cannot be `/etc/app` for its processes.
So every volume is a folder of the pod; each container has a root of its own ($ROLLCHECK_ROOT), in which the mount paths
lead to the volumes; and wherever a mount path begins a path in `command`, `args`, `workingDir`, the value of a
variable or the command of a probe or hook, it is replaced by the volume's real path (`PathMap`).

What does not work, then: a path that a program has built in or puts together, or reads from a file (a ConfigMap's text
is not rewritten); a variable that holds such a path and means something else by it, as a URL's path; `readOnly`; a
mount over `/`. Volumes do not change when their ConfigMap or Secret does: the kubelet takes a minute for that as well.
Kinds: emptyDir, configMap, secret, projected, downwardAPI, hostPath, persistentVolumeClaim (a folder that lives as long
as the sandbox). Everything else is a FailedMount that says so.
Bind mounts in a user namespace would make the paths real, on Linux, where the administrator lets them; one behaviour
everywhere was preferred.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from rollcheck.sandbox.environment import ConfigFailure, Lookup, data_of, expand, field_value, resource_value


class VolumeFailure(Exception):
    """A volume cannot be made.

    Attributes:
        volume: its name.
    """

    def __init__(self, volume: str, message: str) -> None:
        super().__init__(message)
        self.volume = volume


class Volumes:
    """Makes a pod's volumes under `folder`.

    Args:
        pod: the pod.
        folder: where they are made, one folder each.
        claims: where the volumes of claims are kept, for all pods.
        lookup: finds ConfigMaps and Secrets.
    """

    def __init__(self, pod: Mapping[str, Any], folder: Path, *, claims: Path, lookup: Lookup) -> None:
        self.pod = pod
        self.folder = folder
        self.claims = claims
        self.lookup = lookup
        self.kinds: dict[str, Callable[[Path, Mapping[str, Any]], None]] = {
            "configMap": lambda path, source: self.write_object(path, "configmap", source.get("name", ""), source),
            "secret": lambda path, source: self.write_object(path, "secret", source.get("secretName", ""), source),
            "downwardAPI": self.write_fields,
            "projected": self.write_projected,
            "emptyDir": lambda path, source: None,
        }

    def prepare(self) -> dict[str, Path]:
        """Make every volume; what is there already is kept (emptyDir) or written again.

        Raises:
            VolumeFailure: the first that cannot be made.
        """
        return {volume["name"]: self.make(volume) for volume in self.pod["spec"].get("volumes") or ()}

    def make(self, volume: Mapping[str, Any]) -> Path:
        """Make one volume."""
        name: str = volume["name"]
        kind = next((key for key in volume if key != "name"), "emptyDir")
        source: Mapping[str, Any] = volume.get(kind) or {}
        if kind == "hostPath":
            return Path(source["path"])
        if kind == "persistentVolumeClaim":
            claim = self.claims / str(self.pod["metadata"]["namespace"]) / str(source["claimName"])
            claim.mkdir(parents=True, exist_ok=True)
            return claim
        if kind not in self.kinds:
            raise VolumeFailure(name, f"the sandbox has no volumes of kind {kind}")
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        try:
            self.kinds[kind](path, source)
        except (ConfigFailure, OSError) as e:
            raise VolumeFailure(name, str(e)) from e
        return path

    def write_object(self, path: Path, kind: str, name: str, source: Mapping[str, Any]) -> None:
        """The files of a ConfigMap or Secret."""
        found = self.lookup(kind, name)
        if found is None:
            if source.get("optional"):
                return
            raise ConfigFailure(f'{kind} "{name}" not found')
        data = data_of(kind, found)
        mode = source.get("defaultMode", 0o644)
        for item in source.get("items") or ({"key": key, "path": key} for key in data):
            if item["key"] in data:
                write(path, item["path"], data[item["key"]], item.get("mode", mode))
            elif not source.get("optional"):
                what = "config" if kind == "configmap" else "secret"
                raise ConfigFailure(f"references non-existent {what} key: {item['key']}")

    def write_fields(self, path: Path, source: Mapping[str, Any]) -> None:
        """The files of the downward API."""
        spec = self.pod["spec"]
        for item in source.get("items") or ():
            if "fieldRef" in item:
                value = field_value(self.pod, item["fieldRef"]["fieldPath"], ip="", host_ip="")
            else:
                everyone = [*(spec.get("initContainers") or ()), *spec["containers"]]
                value = resource_value(everyone, "", item["resourceFieldRef"])
            write(path, item["path"], value.encode(), item.get("mode", source.get("defaultMode", 0o644)))

    def write_projected(self, path: Path, source: Mapping[str, Any]) -> None:
        """The files of several sources; a service account's token is none that the API server takes."""
        for part in source.get("sources") or ():
            for kind, value in part.items():
                given = {"defaultMode": source.get("defaultMode", 0o644), **value}
                if kind == "configMap":
                    self.write_object(path, "configmap", value.get("name", ""), given)
                elif kind == "secret":
                    self.write_object(path, "secret", value.get("name", ""), given)
                elif kind == "downwardAPI":
                    self.write_fields(path, given)
                elif kind == "serviceAccountToken":
                    write(path, value["path"], b"the sandbox gives no tokens to its pods\n", 0o644)
                else:
                    raise ConfigFailure(f"the sandbox projects no {kind}")


def write(folder: Path, name: str, data: bytes, mode: int) -> None:
    """Write a file inside a volume; its owner can always read and replace it.

    Raises:
        ConfigFailure: the name leads out of the volume.
    """
    if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
        raise ConfigFailure(f"{name!r} leads out of its volume")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(mode | 0o400)


class PathMap:
    """Mount paths and where they really are.

    Args:
        mounts: mount path → real path.
    """

    def __init__(self, mounts: Mapping[str, Path]) -> None:
        self.mounts = {path.rstrip("/"): real for path, real in mounts.items() if path.rstrip("/")}
        longest_first = sorted(self.mounts, key=len, reverse=True)
        choice = "|".join(map(re.escape, longest_first))
        self.pattern = re.compile(rf"(?<![\w./-])(?:{choice})(?![\w.-])") if longest_first else None

    def apply(self, text: str) -> str:
        """The text with every mount path that begins a path replaced."""
        if self.pattern is None:
            return text
        return self.pattern.sub(lambda found: str(self.mounts[found[0]]), text)


def mount(container: Mapping[str, Any], root: Path, volumes: Mapping[str, Path], env: Mapping[str, str]) -> PathMap:
    """Lead a container's mount paths, under its `root`, to the volumes.

    Raises:
        ConfigFailure: it mounts a volume that the pod does not have, or a subPath that leads out of one.
    """
    mounts: dict[str, Path] = {}
    for item in sorted(container.get("volumeMounts") or (), key=lambda m: len(m["mountPath"])):
        if item["name"] not in volumes:
            raise ConfigFailure(f"cannot find volume {item['name']!r} to mount into container {container['name']!r}")
        real = volumes[item["name"]]
        inner = item.get("subPath") or expand(item.get("subPathExpr", ""), env)
        if inner:
            if ".." in PurePosixPath(inner).parts or PurePosixPath(inner).is_absolute():
                raise ConfigFailure(f"subPath {inner!r} leads out of its volume")
            real = real / inner
            if not real.exists():
                real.mkdir(parents=True)
        mounts[item["mountPath"]] = real
        place = root / item["mountPath"].strip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink() and not place.exists():
            place.symlink_to(real)
    return PathMap(mounts)


def working_folder(container: Mapping[str, Any], root: Path, paths: PathMap) -> Path:
    """A container's working directory: what workingDir says, as far as it is a mount; else inside its root."""
    wanted = container.get("workingDir", "")
    if not wanted:
        return root
    real = paths.apply(wanted)
    folder = Path(real) if real != wanted else root / wanted.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
