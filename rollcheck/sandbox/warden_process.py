"""The warden: the small process that forks every container of a sandbox, and whose end is the end of them all.

Run by path (`python -I -S warden_process.py FOLDER`), with one end of a Unix socket as its standard input: nothing of
rollcheck is imported, so that it starts and forks quickly. `warden.py` is its other side and describes what is asked
and answered; one JSON object is one line.

Why a process of its own: when the parent is gone, by whatever death, the socket ends. The warden then kills every
container with SIGKILL, waits for all of them, and removes FOLDER. On Linux it is a subreaper (prctl(2)), so whatever a
container left behind in another process group comes to it and is killed as well; should the warden itself be killed,
the kernel kills what it started (PR_SET_PDEATHSIG). Elsewhere a process that left its container's group escapes.

Two ways to start: `argv` is executed; `app` names a program of the apps folder, which was loaded once, before any
fork, and runs in the forked process: a hundred pods then start in the time that a few interpreters take to.

A container is a process group. All of them stay in the warden's session, for Linux shares its cores out among sessions
first (sched(7), autogroups): in sessions of their own, 25 containers that start would leave the API server, which has
a machine of its own in a cluster, a 26th of the cores.

A container's main process is process 1 of its container in a cluster, and the kernel drops signals for which process 1
has no handler; that is why a shell as process 1 never ends on SIGTERM. The warden does the same where /proc says which
signals are caught; on other systems such a process ends at once.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import selectors
import shutil
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CAPTURE_BYTES = 10 * 1024
LINE_BYTES = 16 * 1024
"""Longer lines are cut, and the parts marked P, as container runtimes do."""
LOG_BYTES = 10 * 1024 * 1024
"""The kubelet's containerLogMaxSize; one older file is kept beside the present one."""
END_S = 5.0
NICE = 5
"""By how much containers stand back, where cores are short, behind the warden, which reads what they write: a third of
its share each. With a tenth (10) the API server answered no sooner."""
APPS = Path(__file__).parent / "apps"


def load(path: Path) -> ModuleType:
    """A file as a module that no import, of a container's own code for example, can meet by chance."""
    spec = importlib.util.spec_from_file_location(f"rollcheck_warden_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from rollcheck.sandbox import binding, processes
else:
    processes = load(Path(__file__).with_name("processes.py"))
    try:
        binding = load(Path(__file__).with_name("binding.py"))
    except (ImportError, OSError):  # a Python without ctypes
        binding = None


def load_prctl() -> Callable[[int, int], int] | None:
    """prctl(2), or None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes  # noqa: PLC0415 - not everywhere, and not needed elsewhere

        call = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    return lambda option, value: int(call(option, value, 0, 0, 0))


def load_apps() -> dict[str, ModuleType]:
    """Every program of the apps folder."""
    return {path.stem: load(path) for path in sorted(APPS.glob("*.py")) if path.stem != "__init__"}


def stamp() -> bytes:
    """The wall clock as log lines have it: RFC 3339 with nanoseconds."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return b"%s.%09dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode(), rest)


class LogFile:
    """A container's log as the CRI writes it: `TIME stdout F text`, a line a line."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file = self.open()
        self.written = 0
        self.rest = {b"stdout": b"", b"stderr": b""}

    def open(self) -> IO[bytes]:
        """The file to append to."""
        return Path(self.path).open("ab", buffering=0)

    def take(self, stream: bytes, data: bytes) -> None:
        """Write the whole lines of what came; keep the rest."""
        *lines, rest = (self.rest[stream] + data).split(b"\n")
        out = []
        for line in lines:
            while len(line) > LINE_BYTES:
                out.append(b"%s %s P %s\n" % (stamp(), stream, line[:LINE_BYTES]))
                line = line[LINE_BYTES:]
            out.append(b"%s %s F %s\n" % (stamp(), stream, line))
        while len(rest) > LINE_BYTES:
            out.append(b"%s %s P %s\n" % (stamp(), stream, rest[:LINE_BYTES]))
            rest = rest[LINE_BYTES:]
        self.rest[stream] = rest
        self.write(b"".join(out))

    def write(self, data: bytes) -> None:
        """Append, and begin a new file when this one is long enough; a full disk loses lines and no container."""
        with suppress(OSError):
            if self.written > LOG_BYTES:
                self.file.close()
                Path(self.path).replace(self.path + ".1")
                self.file, self.written = self.open(), 0
            if data:
                self.written += self.file.write(data)

    def close(self) -> None:
        """Write what has no end of line, and close."""
        for stream, rest in self.rest.items():
            if rest:
                self.write(b"%s %s F %s\n" % (stamp(), stream, rest))
        self.file.close()


class Child:
    """One process that was started here; `container` is the id of the container whose process it is."""

    def __init__(self, request: dict[str, Any], pid: int, log: LogFile | None) -> None:
        self.id: str = request["id"]
        self.container: str = request.get("container") or self.id
        self.pid = pid
        self.log = log
        self.captured = b""
        self.pipes: dict[int, bytes] = {}
        self.binds: binding.Answers | None = None


class Forked(BaseException):
    """Raised in a forked process on its way out of the warden's loop: run this app instead.

    It keeps the warden's objects: were they freed, their files would close descriptors that are the app's by then.
    """

    def __init__(self, app: ModuleType, argv: list[str], keep: object) -> None:
        super().__init__(app.__name__)
        self.app = app
        self.argv = argv
        self.keep = keep


class WardenProcess:
    """The loop: requests from the socket, output from pipes, ends of children."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.selector = selectors.DefaultSelector()
        self.prctl = load_prctl()
        self.apps = load_apps()
        self.children: dict[int, Child] = {}
        self.by_id: dict[str, Child] = {}
        self.pending = b""
        self.parent_lives = True
        self.pid = os.getpid()

    def run(self) -> None:
        """Serve until the parent is gone or SIGTERM comes; every child is then dead and waited for."""
        if self.prctl is not None:
            self.prctl(PR_SET_CHILD_SUBREAPER, 1)
        woken, wake = os.pipe()
        for end in (woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, self.on_signal)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.selector.register(self.control, selectors.EVENT_READ, self.read_requests)
        self.selector.register(woken, selectors.EVENT_READ, lambda: os.read(woken, 512))
        gc.collect()
        gc.freeze()
        self.tell({"event": "up", "pid": self.pid})
        while self.parent_lives:
            for key, _ in self.selector.select():
                key.data()
            self.reap()
        self.end_all()

    def on_signal(self, number: int, _frame: object) -> None:
        """SIGTERM ends the warden in good order; SIGCHLD only wakes the loop."""
        if number == signal.SIGTERM:
            self.parent_lives = False

    def tell(self, message: dict[str, Any]) -> None:
        """One line to the parent; nothing when it is gone."""
        with suppress(OSError):
            self.control.sendall(json.dumps(message).encode() + b"\n")

    def read_requests(self) -> None:
        """Do what is asked, in order."""
        try:
            data = self.control.recv(65536)
        except ConnectionResetError:  # the parent died with something of ours unread: an end like any other
            data = b""
        if not data:
            self.parent_lives = False
            return
        *lines, self.pending = (self.pending + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if request["op"] == "spawn":
                self.spawn(request)
            elif (child := self.by_id.get(request["id"])) is not None:
                if request["op"] == "signal":
                    self.signal(child, request["signal"])
                else:
                    self.kill_group(child.pid)

    # Starting

    def spawn(self, request: dict[str, Any]) -> None:
        """Fork, and tell the pid or why there is none."""
        pipes = [os.pipe() for _ in range(1 if request.get("capture") else 2)]
        ours, theirs = socket.socketpair()
        try:
            log = LogFile(request["log"]) if request.get("log") else None
            pid = os.fork()
        except OSError as e:
            for fd in (ours.detach(), theirs.detach(), *(fd for pair in pipes for fd in pair)):
                os.close(fd)
            self.tell({"event": "failed", "id": request["id"], "errno": e.errno, "message": str(e.strerror)})
            return
        if pid == 0:
            self.become(request, [write for _, write in pipes], theirs)
        theirs.close()
        child = self.children[pid] = Child(request, pid, log)
        self.listen_to(child, pipes)
        said, listeners = report_of(ours)
        ours.close()
        if said:
            self.forget(child)
            os.waitpid(pid, 0)
            self.tell({"event": "failed", "id": child.id, **json.loads(said)})
            return
        for listener in listeners:
            self.answer_binds(child, listener, request["bind"])
        self.by_id[child.id] = child
        self.tell({"event": "spawned", "id": child.id, "pid": pid})

    def listen_to(self, child: Child, pipes: list[tuple[int, int]]) -> None:
        """Read what it writes from here on."""
        for (read, write), stream in zip(pipes, (b"stdout", b"stderr"), strict=False):
            os.close(write)
            os.set_blocking(read, False)
            child.pipes[read] = stream
            self.selector.register(read, selectors.EVENT_READ, lambda read=read: self.read_pipe(child, read))

    def answer_binds(self, child: Child, listener: int, place: dict[str, Any]) -> None:
        """Answer its binds from here on (see `binding`)."""
        ports = {int(port): int(real) for port, real in place["ports"].items()}
        child.binds = binding.Answers(listener, place["ip"], ports)

        def answer() -> None:
            if child.binds is not None and not child.binds.answer():
                self.stop_answering(child)

        self.selector.register(listener, selectors.EVENT_READ, answer)

    def stop_answering(self, child: Child) -> None:
        """Nobody asks any more."""
        if child.binds is not None:
            self.selector.unregister(child.binds.listener)
            os.close(child.binds.listener)
            child.binds = None

    def become(self, request: dict[str, Any], outputs: list[int], report: socket.socket) -> NoReturn:
        """In the forked process: turn into what was asked for."""
        try:
            os.setpgid(0, 0)
            os.nice(NICE)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            if self.prctl is not None:
                self.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != self.pid:
                    os._exit(137)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(outputs[0], 1)
            os.dup2(outputs[-1], 2)
            os.chdir(request["cwd"])
            app, argv = self.apps.get(request.get("app") or ""), request["argv"]
            if app is not None:
                os.environ.clear()
                os.environ.update(request["env"])
                os.closerange(3, 65536)
                raise Forked(app, argv, self)
            if request.get("bind") and binding is not None and (listener := binding.install()) >= 0:
                socket.send_fds(report, [b" "], [listener])
            os.execve(processes.find_program(argv[0], request["env"]), argv, request["env"])  # noqa: S606 - what was asked for
        except (OSError, ValueError) as e:
            code = e.errno if isinstance(e, OSError) else 22
            text = e.strerror if isinstance(e, OSError) else str(e)
            report.send(json.dumps({"errno": code, "message": str(text)}).encode())
            os._exit(128)

    # Output

    def read_pipe(self, child: Child, fd: int) -> bool:
        """Take what a child wrote; False when there is no more now."""
        stream = child.pipes.get(fd)
        if stream is None:
            return False
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return False
        if not data:
            self.close_pipe(child, fd)
        elif child.log is not None:
            child.log.take(stream, data)
        elif len(child.captured) < CAPTURE_BYTES:
            child.captured = (child.captured + data)[:CAPTURE_BYTES]
        return bool(data)

    def close_pipe(self, child: Child, fd: int) -> None:
        """Read no more from it."""
        self.selector.unregister(fd)
        os.close(fd)
        del child.pipes[fd]

    def forget(self, child: Child) -> None:
        """The last output, and no more of this child; a process that keeps the pipe is not waited for."""
        for fd in list(child.pipes):
            for _ in range(64):
                if not self.read_pipe(child, fd):
                    break
            if fd in child.pipes:
                self.close_pipe(child, fd)
        self.stop_answering(child)
        if child.log is not None:
            child.log.close()
        self.children.pop(child.pid, None)
        self.by_id.pop(child.id, None)

    # Signals and ends

    def signal(self, child: Child, number: int) -> None:
        """Send a signal to a container's main process as process 1 would get it."""
        with suppress(OSError):
            if processes.reaches_process_one(child.pid, number):
                os.kill(child.pid, number)

    def kill_group(self, leader: int) -> None:
        """SIGKILL for a whole process group; Darwin says EPERM for one of zombies."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)

    def reap(self) -> None:
        """Tell of every child that ended. A container ends with its main process: the rest of it is killed first."""
        while (pid := self.ended_pid()) > 0:
            child = self.children.get(pid)
            if child is not None and child.id == child.container:
                self.kill_rest(child)
            with suppress(ChildProcessError):
                _, status = os.waitpid(pid, 0)
                if child is not None:
                    self.forget(child)
                    self.tell_end(child, os.waitstatus_to_exitcode(status))

    def ended_pid(self) -> int:
        """A child that has ended and was not waited for, 0 for none.

        It is left a zombie where the system can do that: its pid, which names its group, is then nobody else's.
        """
        with suppress(ChildProcessError):
            if hasattr(os, "waitid"):
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                return 0 if ended is None else ended.si_pid
            return self.ended_without_waitid()
        return 0

    def ended_without_waitid(self) -> int:
        """The same on systems without waitid(2): the child is waited for here and told of at once."""
        pid, status = os.waitpid(-1, os.WNOHANG)
        child = self.children.get(pid)
        if child is not None:
            if child.id == child.container:
                self.kill_group(pid)
            self.forget(child)
            self.tell_end(child, os.waitstatus_to_exitcode(status))
        return pid

    def tell_end(self, child: Child, code: int) -> None:
        """How a child ended: an exit code as containers have it (128 + signal)."""
        output = child.captured.decode(errors="replace")
        message = {"event": "exited", "id": child.id, "code": code if code >= 0 else 128 - code, "output": output}
        self.tell({**message, "signal": max(0, -code)})

    def kill_rest(self, main: Child) -> None:
        """Kill what a container's main process leaves behind: its group, commands run in it, and strays."""
        leaders = {main.pid, *(c.pid for c in self.children.values() if c.container == main.container)}
        for leader in leaders:
            self.kill_group(leader)
        for _ in range(200):
            strays = [
                pid
                for pid in processes.own_children()
                if pid not in self.children and processes.belongs(pid, main.id, leaders)
            ]
            if not strays:
                return
            for pid in strays:
                self.kill_and_wait(pid)

    def kill_and_wait(self, pid: int) -> None:
        """SIGKILL for one process that came to us; its own children come to us next."""
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def end_all(self) -> None:
        """Kill everything that descends from here, until nothing is left (or END_S s have passed)."""
        until = time.monotonic() + END_S
        while time.monotonic() < until:
            for pid in {*self.children, *processes.own_children()}:
                self.kill_group(pid)
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            time.sleep(0.002)


def report_of(channel: socket.socket) -> tuple[bytes, list[int]]:
    """What a forked process said before it became another program: why it could not, and where its binds are asked."""
    said, descriptors = b"", []
    while True:
        data, got, _, _ = socket.recv_fds(channel, 4096, 1)
        descriptors += got
        if not data:
            return said.strip(), list(descriptors)
        said += data


def remove(folder: Path) -> None:
    """Remove the sandbox's folder, whatever modes a container set in it."""
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        for path, _, _ in os.walk(folder):
            with suppress(OSError):
                Path(path).chmod(stat.S_IRWXU)


def main() -> None:
    """Own FOLDER, serve, and at the end remove it."""
    folder = Path(sys.argv[1])
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    owner = folder / "warden.pid"
    owner.write_text(f"{os.getpid()}\n")
    try:
        WardenProcess(control).run()
    except Forked as forked:
        child = forked
    else:
        if owner.exists() and owner.read_text().strip() == str(os.getpid()):
            remove(folder)
        return
    sys.exit(child.app.main(child.argv))


if __name__ == "__main__":
    main()
