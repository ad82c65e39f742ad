"""The catalog: what a sandbox runs for the name of an image.

An image is either a bundled program (`apps`) or a command that the user mapped to its name. Nothing is pulled: every
image of the catalog is "already present on machine", and a name it does not have fails as one that no registry has.
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rollcheck.errors import UsageError
from rollcheck.sandbox.apps.web import APACHES

REFERENCE = re.compile(
    r"(?P<name>(?:[\w.-]+(?::\d+)?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What stands for an image.

    Attributes:
        command: program and arguments when the manifest has no command; the program may be one of `programs`.
        programs: names of programs in the image → the app that stands for each.
        ports: where it listens when the manifest does not say.
        stop_signal: sent to end it, unless the manifest says otherwise.
        folder: working directory when the manifest has none; None for the container's own.
        mapped: the user's command: it runs with the user's environment, and in `folder`.
    """

    command: tuple[str, ...]
    programs: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    stop_signal: int = signal.SIGTERM
    folder: Path | None = None
    mapped: bool = False


PYTHON = {"python3": "python", "python": "python"}
APACHE = dict.fromkeys(APACHES, "web") | PYTHON
DATABASE = dict.fromkeys(("mariadbd", "mysqld", "docker-entrypoint.sh"), "mariadb")
VERSIONS = r"latest|\d[\w.-]*"
BUNDLED: tuple[tuple[str, Image], ...] = (
    (
        rf"wordpress:(?:{VERSIONS}|(?:apache|php\d)[\w.-]*)",
        # The official image, php's apache variant, sets STOPSIGNAL SIGWINCH; Debian's package, below, cannot.
        Image(command=("apache2-foreground",), programs=APACHE, ports=(80,), stop_signal=signal.SIGWINCH),
    ),
    (
        rf"rollcheck\.test/wordpress:(?:{VERSIONS})",
        Image(command=("apache2", "-DFOREGROUND"), programs=APACHE, ports=(80,)),
    ),
    (
        rf"(?:mariadb|mysql|rollcheck\.test/mariadb):(?:{VERSIONS}|lts[\w.-]*)",
        Image(command=("mariadbd",), programs=DATABASE, ports=(3306,)),
    ),
    (rf"rollcheck\.test/web:(?:{VERSIONS})", Image(command=("web",), programs={"web": "web", **PYTHON}, ports=(8080,))),
    (rf"(?:python|rollcheck\.test/python):(?:{VERSIONS})", Image(command=("python3",), programs=PYTHON)),
    (rf"(?:busybox|rollcheck\.test/busybox):(?:{VERSIONS}|stable[\w.-]*)", Image(command=("sh",))),
    (
        rf"(?:registry\.k8s\.io/pause|rollcheck\.test/pause):(?:{VERSIONS})",
        Image(command=("/pause",), programs={"/pause": "pause", "pause": "pause"}),
    ),
)


class Catalog:
    """The images of one sandbox: the bundled ones, and on top of them what the user mapped.

    Args:
        maps: `IMAGE=COMMAND` each. An image without a tag stands for all its tags. The command is split as a shell
            splits words and is not given to a shell; `$(POD_IP)`, `$(PORT)` and the container's other variables are
            expanded.
        folder: where mapped commands run, unless the manifest has a workingDir.

    Raises:
        UsageError: an item of `maps` is none.
    """

    def __init__(self, maps: Iterable[str] = (), *, folder: Path | None = None) -> None:
        self.mapped: dict[str, Image] = {}
        for item in maps:
            name, equals, command = item.partition("=")
            try:
                argv = tuple(shlex.split(command))
            except ValueError as e:
                raise UsageError(f"--map {item}: the command cannot be split into words: {e}") from e
            if not equals or not argv or REFERENCE.fullmatch(name) is None:
                raise UsageError(f"--map {item}: write IMAGE=COMMAND, for example --map shop:1='gunicorn app:app'")
            self.mapped[plain(name)] = Image(command=argv, folder=folder or Path.cwd(), mapped=True)

    def find_quietly(self, reference: str) -> Image | None:
        """The image of a reference; None when there is none or it is no reference."""
        try:
            return self.find(reference)
        except ValueError:
            return None

    def find(self, reference: str) -> Image | None:
        """The image of a reference; None when there is none.

        Raises:
            ValueError: it is no reference at all.
        """
        name = plain(reference)
        tagged = name if has_tag(name) else f"{name}:latest"
        for key in (name, tagged, without_tag(name)):
            if key in self.mapped:
                return self.mapped[key]
        return next((image for pattern, image in BUNDLED if re.fullmatch(pattern, tagged)), None)


def plain(reference: str) -> str:
    """A reference without docker.io and digest.

    Raises:
        ValueError: it is none.
    """
    found = REFERENCE.fullmatch(reference)
    if found is None:
        raise ValueError("invalid reference format")
    name = found["name"].removeprefix("docker.io/").removeprefix("library/")
    return f"{name}:{found['tag']}" if found["tag"] else name


def has_tag(name: str) -> bool:
    """Whether it ends in a tag (a port of the registry is none)."""
    return ":" in name.rpartition("/")[2]


def without_tag(name: str) -> str:
    """The name alone."""
    return name.rpartition(":")[0] if has_tag(name) else name
