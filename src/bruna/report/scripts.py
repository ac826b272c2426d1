"""The scripts and style sheets of pages: files beside this one, put into a page whole and named by their hash."""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any


def asset(name: str) -> str:
    """The text of a file of `report/assets/`, e.g. `why.js`."""
    return files("bruna.report").joinpath("assets", name).read_text(encoding="utf-8")


def script_source(scripts: Sequence[str]) -> str:
    """What a Content-Security-Policy says so that these scripts run and no other does; empty where there are none."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    sources = [f"'sha256-{digest}'" for digest in digests]
    return " ".join(["script-src", *sources]) if sources else ""


def json_block(data: Any) -> str:
    """Data for a script as an element of a page, whatever texts are in it.

    Nothing in it ends the element or begins another: `<`, `>` and `&` are escaped as JSON escapes them, and so is all
    that is not ASCII.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json">{text}</script>'
