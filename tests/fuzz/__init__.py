"""Random damage, and what may come of it: it works, or a message says what is wrong. There is no third outcome.

tests/unit/test_fuzz.py runs all of it for seconds, and as a program for as long as one likes.
"""

import contextlib
import io
import os
import random
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bruna.errors import BrunaError

ROOT = Path(__file__).parents[2]
Fuzz = Callable[[Path, random.Random], str]
"""Does one thing to damaged inputs, in an empty folder or in one that it has used before, and returns what came of it:
"works" or "refused", for instance. Whatever it raises is a finding."""
SECONDS = 300
"""After so many a command counts as hanging: many times as long as any takes on a machine with other things to do."""

TOKENS = (
    *(b".inf", b"-.inf", b".nan", b"1e999", b"-1", b"0", b"1180591620717411303424", b"9" * 5000, b"0x" + b"f" * 5000),
    *(b"null", b"~", b"true", b"''", b"[]", b"{}", b"{a: 1}", b"[1, 2, 3]", b"2001-02-30", b"2001-02-03", b"1:2:3"),
    *(b"&a [*a]", b"*a", b"&a ", b"<<: ", b"!!python/object:os.system x", b"!!bool x", b"!!binary '*'", b"!!int x"),
    *(b"\t", b"\0", b"\r", b"\r\n", b"\n", b"\xef\xbb\xbf", b"\xff\xfe", b"caf\xe9", b"\\ud800", b"'\\U00110000'"),
    *(b"---\n", b"...\n", b"%YAML 9.9\n", b"? ", b"- ", b": ", b"#", b"[" * 3000, b'{"a":' * 3000, b"NaN", b"Infinity"),
    *(b"seed: 1\n", b'"I8"', b'"BOOL"', b'"F16"', b'"C64"', b'"shape":[]', b"imagenet", b"none", b"x" * 300),
)
"""What readers stumble over."""


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A few changes of bytes: single bits, pieces cut out, doubled or swapped, and what readers stumble over."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        start = draw.randrange(len(content) + 1)
        stop = min(len(content), start + draw.choice((0, 1, 2, 5, 40, 4000)))
        what = draw.randrange(7)
        if what == 0 and start < len(content):
            content = content[:start] + bytes([content[start] ^ 1 << draw.randrange(8)]) + content[start + 1 :]
        elif what == 1:
            content = content[:start]
        elif what == 2:
            content = content[:start] + content[stop:]
        elif what == 3:
            content = content[:stop] + content[start:]
        elif what == 4:
            content = content[:start] + draw.randbytes(draw.choice((1, 4, 100))) + content[stop:]
        else:  # often in the place of a value
            ends = [i for i in (content.find(end, start) for end in (b" ", b"\n", b",")) if i >= 0]
            content = content[:start] + draw.choice(TOKENS) + content[min(ends, default=start) :]
    return draw.choice((content,) * 20 + (b"", content.replace(b"\n", b"\r\n"), _utf16(content)))


def _utf16(content: bytes) -> bytes:
    return content.decode("latin-1").encode("utf-16")


def outcome(work: Callable[[], object]) -> str:
    """What comes of a piece of work."""
    try:
        with _time_limit():
            work()
    except BrunaError as error:
        assert str(error) and "weights_only" not in str(error) and "Traceback" not in str(error)
        assert len(str(error)) < 5000
        return "refused"
    return "works"


def command(folder: Path, *arguments: str) -> tuple[str, str]:
    """Run `bruna ...` in this process, with a folder as the working folder.

    Returns:
        What came of it, and everything that reached the terminal, of libraries in C too.
    """
    from bruna.cli.main import main

    before, argv, status = Path.cwd(), sys.argv, 0
    with tempfile.TemporaryFile() as file, _terminal(file.fileno()):
        os.chdir(folder)
        sys.argv = ["bruna", *arguments]
        try:
            with _time_limit():
                main()
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            os.chdir(before)
            sys.argv = argv
        file.seek(0)
        said = file.read().decode(errors="backslashreplace")
    assert "Traceback" not in said and not re.search(r"^\S+: \w*Warning: |\bTIFF\w+: ", said, re.MULTILINE), said
    error = re.search(r"^error: .", said, re.MULTILINE)
    assert (status, bool(error)) in ((0, False), (1, True), (2, False)), f"status {status}: {said}"
    assert status < 2 or "Usage:" in said, said
    return ("works", "refused", "wrong usage")[status], said


@contextlib.contextmanager
def _terminal(to: int) -> Iterator[None]:
    """Have what is printed, by whatever, go to an open file."""
    kept = os.dup(2)
    os.dup2(to, 2)
    text = io.TextIOWrapper(io.FileIO(to, "w", closefd=False), errors="backslashreplace", write_through=True)
    try:
        with text, contextlib.redirect_stderr(text), contextlib.redirect_stdout(text):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class Hangs(BaseException):
    """No exception that something could catch."""


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def late(*_: object) -> None:
        raise Hangs(f"it goes on for more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS, 1)  # once more each second: threads are waited for
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
