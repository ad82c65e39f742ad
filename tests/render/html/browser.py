"""A headless Chromium over the W3C WebDriver protocol, for tests that look at a page as a reader's browser has it.

Nothing but Debian's `chromium` and `chromium-driver` and the httpx that rollcheck has anyway.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

PROGRAMS = ("chromium", "chromedriver")
MISSING = "no chromium and chromedriver on PATH (Debian: apt-get install chromium chromium-driver)"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key that the protocol gives elements."""
PATIENCE_S = 20


def there_is_one() -> bool:
    """Whether this machine has what the tests need."""
    return all(shutil.which(program) for program in PROGRAMS)


class Browser:
    """One window; `cdp` reaches what WebDriver itself cannot do (dark mode, phones, no script)."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client = client
        self._session = session

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._client.request(method, f"/session/{self._session}{path}", json=body)
        value = answer.json()["value"]
        if answer.status_code != 200:
            raise AssertionError(f"{method} {path}: {value['error']}: {value['message']}")
        return value

    def cdp(self, command: str, **params: Any) -> Any:
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def open(self, path: Path) -> None:
        """Load a file and wait until its script has drawn it, if it has one that runs."""
        self._call("POST", "/url", {"url": path.resolve().as_uri()})

    def open_and_wait(self, path: Path) -> None:
        self.open(path)
        self.wait_for("return document.documentElement.dataset.complete !== undefined")

    def run(self, script: str, *arguments: Any) -> Any:
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait_for(self, script: str) -> Any:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if found := self.run(script):
                return found
            time.sleep(0.02)
        raise AssertionError(f"it never came true: {script}; the page said {self.errors()}")

    def errors(self) -> list[str]:
        """What the page complained of, script errors and refused loads included."""
        return [
            entry["message"]
            for entry in self._call("POST", "/se/log", {"type": "browser"})
            if entry["level"] == "SEVERE"
        ]

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def texts(self, selector: str) -> list[str]:
        return list(self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)", selector))

    def click(self, selector: str) -> None:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        self._call("POST", f"/element/{found[ELEMENT]}/click", {})

    def click_at(self, selector: str, x: float, y: float) -> None:
        """Press the mouse `x`, `y` pixels from the upper left corner of an element, which is scrolled to."""
        self.drag(selector, (x, y), (x, y))

    def drag(self, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one place of an element and let it go at another."""
        moves = self._moves(selector, start, end)
        self._mouse(moves[0], {"type": "pointerDown", "button": 0}, moves[1], {"type": "pointerUp", "button": 0})

    def hover(self, selector: str, x: float, y: float) -> None:
        """Move the mouse over a place of an element."""
        self._mouse(*self._moves(selector, (x, y)))

    def _moves(self, selector: str, *places: tuple[float, float]) -> list[dict[str, Any]]:
        """Moves to places that are counted from the upper left corner of an element, which is scrolled to."""
        left, top = self.run(
            "const e = document.querySelector(arguments[0]); e.scrollIntoView({block: 'start'});"
            "window.scrollBy(0, -120); const b = e.getBoundingClientRect(); return [b.left, b.top]",
            selector,
        )
        return [{"type": "pointerMove", "duration": 0, "x": round(left + x), "y": round(top + y)} for x, y in places]

    def _mouse(self, *acts: dict[str, Any]) -> None:
        pointer = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": list(acts)}
        self._call("POST", "/actions", {"actions": [pointer]})

    def keys(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        acts = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": acts}]})

    def look(self, *, width: int = 1280, height: int = 800, dark: bool = False, phone: bool = False) -> None:
        """Be a window of that size, in the dark or not."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.cdp("Emulation.setEmulatedMedia", media="screen", features=[scheme])

    def scripts(self, *, on: bool) -> None:
        self.cdp("Emulation.setScriptExecutionDisabled", value=not on)

    def screenshot(self) -> bytes:
        return base64.b64decode(self._call("GET", "/screenshot"))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A new browser without any past, whose own files are in `folder`; it goes with the block."""
    driver = subprocess.Popen(
        ["chromedriver", "--port=0", f"--log-path={folder / 'driver.log'}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)},
    )
    try:
        assert driver.stdout is not None
        port = next(found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line)))
        options = {"args": [*ARGUMENTS, f"--user-data-dir={folder / 'profile'}"], "binary": shutil.which("chromium")}
        asked = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            answer = client.post("/session", json={"capabilities": {"alwaysMatch": asked}}).json()["value"]
            assert "sessionId" in answer, answer
            try:
                yield Browser(client, answer["sessionId"])
            finally:
                client.delete(f"/session/{answer['sessionId']}")
    finally:
        driver.terminate()
        driver.wait(timeout=10)
        if driver.stdout is not None:
            driver.stdout.close()
