"""A headless Chromium that tests talk to through pipes (the DevTools protocol), without any package."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SECONDS = "60"


class Tab:
    """An empty page of a running Chromium."""

    def __init__(self, to: int, answers: Any) -> None:
        self._to, self._answers, self._number, self._session = to, answers, 0, ""
        self.requests: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask for something; events that arrive before its answer are kept where they are requests."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        os.write(
            self._to, json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode() + b"\0"
        )
        while True:
            found = self._read()
            if found.get("id") == self._number:
                assert "result" in found, found
                return dict(found["result"])

    def open(self, page: Path, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Load a file in a window of this size, and wait until it is complete."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.requests.clear()
        self.send("Page.navigate", url=page.resolve().as_uri())
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def value(self, script: str) -> Any:
        """What a line of JavaScript gives on the page."""
        return self.send("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def _read(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "Chromium has ended"
            text += byte
        message = dict(json.loads(text))
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        return message


@contextmanager
def chromium() -> Iterator[Tab]:
    """Start a Chromium; the test is skipped, saying so, where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f"no Chromium here: none of {', '.join(_NAMES)} is on the path")
    commands, events = os.pipe(), os.pipe()
    # Bash puts the pipes where Chromium looks for them, at 3 and 4.
    script = f'exec timeout {_SECONDS} "$0" "$@" 3<&{commands[0]} 4>&{events[1]}'
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ]
        process = subprocess.Popen(
            ["bash", "-c", script, program, *options], pass_fds=(commands[0], events[1]), stderr=subprocess.DEVNULL
        )
        os.close(commands[0])
        os.close(events[1])
        try:
            with os.fdopen(events[0], "rb") as answers:
                yield Tab(commands[1], answers)
        finally:
            with suppress(OSError):
                os.close(commands[1])
            process.kill()
            process.wait()
