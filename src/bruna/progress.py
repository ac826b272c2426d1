"""How a run shows itself: a progress bar while it works, a table when it is done.

The bar goes to stderr and the table to stdout, so that a command's output can be piped.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Generic, TypeVar

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bruna.errors import counted

T = TypeVar("T")

_LINE_EVERY = 10.0
"""Seconds between two lines where stderr is not a terminal."""
_WIDTH = 1 << 20
"""Columns of a table at most where stdout is not a terminal: nothing is folded, so that it can be copied."""


class Track(Generic[T]):
    """What `track` returns: iterate over it once.

    Attributes:
        status: a short text beside the bar, e.g. the loss; set it inside the loop.
    """

    def __init__(
        self,
        iterable: Iterable[T],
        description: str,
        total: int | None,
        unit: str,
        count: Callable[[T], int] | None,
    ) -> None:
        if total is None and count is None and isinstance(iterable, Sized):
            total = len(iterable)
        self.status = ""
        self._iterable = iterable
        self._description = description
        self._total = total
        self._unit = unit
        self._count = count

    def __iter__(self) -> Iterator[T]:
        return self._bar() if sys.stderr.isatty() else self._lines()

    def _step(self, item: T) -> int:
        return 1 if self._count is None else self._count(item)

    def _bar(self) -> Iterator[T]:
        with _progress() as progress:
            task = progress.add_task(self._description, total=self._total, status="", rate="")
            start, done = time.monotonic(), 0
            for item in self._iterable:
                yield item
                done += self._step(item)
                rate = _speed(done / max(time.monotonic() - start, 1e-9), self._unit)
                progress.update(task, completed=done, status=self.status, rate=rate)
            progress.update(task, completed=done, total=done, status=self.status)

    def _lines(self) -> Iterator[T]:
        start = last = time.monotonic()
        done = 0
        for item in self._iterable:
            yield item
            done += self._step(item)
            now = time.monotonic()
            if now - last >= _LINE_EVERY:
                last = now
                if done != self._total:  # the closing line comes at once
                    _say(self._line(done, now - start))
        _say(self._line(done, time.monotonic() - start, end=True))

    def _line(self, done: int, seconds: float, *, end: bool = False) -> str:
        rate = done / max(seconds, 1e-9)
        total = self._total if not end else None
        parts = [f"{done:,} of {counted(total, self._unit)}" if total else counted(done, self._unit)]
        if end:
            parts[0] += f" in {seconds:.1f} s"
        else:
            parts.append(_speed(rate, self._unit))
        if total:
            parts.append(f"{max(total - done, 0) / max(rate, 1e-9):.0f} s left")
        return f"{self._description}: " + ", ".join([*parts, *([self.status] if self.status else [])])


def track(
    iterable: Iterable[T],
    description: str,
    total: int | None = None,
    unit: str = "images",
    count: Callable[[T], int] | None = None,
) -> Track[T]:
    """Iterate with a progress bar, its rate and the time left.

    Where stderr is not a terminal there is one line when all is done, and one every ten seconds before that.

    Args:
        iterable: what to go through.
        description: what is being done, e.g. `epoch 3/42`.
        total: how many units there are; the length of `iterable` where it has one and `count` is not given.
        unit: the name of what is counted, plural.
        count: how many units an item stands for, e.g. the images of a batch; 1 an item where it is not given.

    Example:
        bar = track(batches, "epoch 1/3", total=10_340, count=len)
        for batch in bar:
            bar.status = f"loss {step(batch):.3f}"
    """
    return Track(iterable, description, total, unit, count)


def _speed(rate: float, unit: str) -> str:
    """So many units a second; of what takes longer, the seconds of one."""
    return f"{rate:,.0f} {unit}/s" if rate >= 1 or not rate else f"{1 / rate:,.0f} s each"


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", style="cyan"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[status]}", style="green"),
        console=Console(stderr=True),
    )


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a closing table on stdout: the first column left, the others right where they hold numbers.

    Args:
        title: stands above the table.
        columns: the header.
        rows: one sequence of cells a row; floats are shown with three decimals, counts with thousands commas.
    """
    cells = [list(row) for row in rows]
    view = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
    for i, column in enumerate(columns):
        numeric = any(isinstance(row[i], int | float) for row in cells)
        view.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        view.add_row(*(Text(_cell(value)) for value in row))
    console = Console(file=sys.stdout)
    if not sys.stdout.isatty():
        console = Console(file=sys.stdout, width=_WIDTH)
    console.print(view)
    sys.stdout.flush()


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    return "–" if value is None else str(value)
