"""Imports that are killed at any moment leave the old data set or the new one, whole.

    python tests/soak/kill_import.py [--kills 20] [--seed 0] [--keep]

One of two rendered data sets, an archive and a folder, is imported. Then `bruna import --replace` brings the other in
its place, again and again, and is killed (SIGKILL to the whole process group): a third of the times at any time
between the start of Python and the end of the process, a third when so many files of the new data set have been
written, a third just after the new one has taken the place of the old. This must hold:

* after the kill the folder is the old or the new data set, byte for byte, or was just moved aside: then the next
  command puts it back, of which every other one is `bruna check`;
* after the next import, which runs to its end, it is the one that was imported, and nothing unfinished lies beside it.

Expect ten seconds a kill on two free cores. Exit status: 0 if everything held, 1 if anything did not; what, is printed.
"""

import argparse
import os
import random
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bruna.files import fingerprint
from bruna.progress import table
from bruna.sample import render_sample
from bruna.tracking.execution import terminable
from project_copy import TINY, Project, killed_when, temporary_folder, unfinished

CLOCK, WRITING, SWAPPED = "at any time", "while it wrote", "after the swap"
REMOVAL = 0.02
"""Seconds after the swap within which to kill: about as long as the old data set takes to remove."""
STUCK = 300.0
"""Seconds after which an import is taken to hang."""


@dataclass
class Soak:
    """A folder to which two data sets are imported in turn.

    Attributes:
        project: in whose folder it all happens; it has settings that fit the data sets.
        sources: one for each data set.
        dice: decide when to kill, and what follows.
        whole: MD5 of the names and contents of each data set.
        files: how many files each has.
        seconds: that an import takes.
        kills: how often it was killed when.
        found: what the folder was afterwards, how often.
    """

    project: Project
    sources: list[Path]
    dice: random.Random
    whole: list[str] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    found: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.target = self.project.folder / "data"
        for number in range(2):
            began = time.monotonic()
            self.project.run(*self.command(number))
            self.seconds = time.monotonic() - began
            self.whole.append(fingerprint(self.target))
            self.files.append(sum(path.is_file() for path in self.target.rglob("*")))
        print(f"{self.files[0]} and {self.files[1]} files; an import takes {self.seconds:.1f} s", flush=True)

    def command(self, number: int) -> list[str]:
        """That which imports a data set."""
        return ["bruna", "import", str(self.sources[number]), "--to", "data", "--replace"]

    def run(self, kills: int) -> None:
        """Kill so often; a command that fails of itself ends it all."""
        there = 1
        try:
            while self.kills.total() < kills:
                if where := self._killed(1 - there):
                    self._look(where, new=1 - there)
                    there = self.dice.randint(0, 1)
                    self._import_whole(there, where)
                else:  # the import was quicker
                    there = 1 - there
        except AssertionError as error:
            self._problem(str(error))

    def _killed(self, new: int) -> str | None:
        """Import over what is there, to be killed; tell when that was, None if the import ended before."""
        when = self.dice.choice([CLOCK, WRITING, SWAPPED])
        wanted, inode = self.dice.randint(1, self.files[new]), self.target.stat().st_ino
        seconds = self.dice.uniform(0, {CLOCK: self.seconds, WRITING: 0.0, SWAPPED: REMOVAL}[when])
        began = time.monotonic()
        since, written = (began if when == CLOCK else None), 0

        def over() -> bool:
            nonlocal since, written
            now = time.monotonic()
            written = max(written, sum(len(files) for part in self._parts() for _, _, files in os.walk(part)))
            if since is None and (written >= wanted if when == WRITING else self._inode() != inode):
                since = now
            return (since is not None and now - since >= seconds) or now - began > STUCK

        status, printed = killed_when(over, self.command(new), self.project.folder, self.project.environment())
        took = time.monotonic() - began
        if took > STUCK or status not in (0, -9):
            raise AssertionError(f"an import hung or failed:\n{printed}")
        if status == 0:
            return None
        self.kills[when] += 1
        print(f"kill {self.kills.total()}, {when}: after {took:.1f} s, {written} of {self.files[new]} files written")
        return when

    def _parts(self) -> list[Path]:
        return list(self.target.parent.glob(f".{self.target.name}.*.part"))

    def _inode(self) -> int | None:
        return self.target.stat().st_ino if self.target.exists() else None

    def _look(self, when: str, new: int) -> None:
        """See what a killed import has left, every other time after `bruna check`."""
        before = self._name(new)
        if before == "neither":
            self._problem(f"killed {when}, the folder holds neither data set as a whole")
        if self.dice.random() < 0.5:
            self.project.run("bruna", "check")
            if (after := self._name(new)) not in ("old", "new") or before not in ("moved aside", after):
                self._problem(f"killed {when}, it was {before} and after bruna check it is {after}")
        self.found[when, before] += 1
        print(f"  the folder: {before}; beside it: {len(unfinished(self.target.parent))} unfinished", flush=True)

    def _name(self, new: int) -> str:
        if not self.target.exists():
            return "moved aside"
        return {self.whole[new]: "new", self.whole[1 - new]: "old"}.get(fingerprint(self.target), "neither")

    def _import_whole(self, number: int, when: str) -> None:
        self.project.run(*self.command(number))
        if fingerprint(self.target) != self.whole[number]:
            self._problem(f"killed {when}, after the next import the folder is not what was imported")
        if left := unfinished(self.target.parent):
            self._problem(f"killed {when}, after the next import there still is {left}")

    def _problem(self, text: str) -> None:
        self.problems.append(text)
        print(f"  PROBLEM: {text}", flush=True)


def prepared(folder: Path, dice: random.Random) -> Soak:
    """A copy of the project, beside it two data sets that share no image, the one in an archive."""
    project = Project(folder / "project", TINY)
    sources = []
    for seed in range(2):
        sources.append(folder / f"people{seed}")
        render_sample(sources[-1], seed=seed, identities=40, images_per_identity=6, test_identities=0, mask_pairs=60)
    sources[0] = Path(shutil.make_archive(str(sources[0]), "zip", sources[0]))
    return Soak(project, sources, dice)


def main() -> None:
    """Kill, look, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of imports (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="decides when the kills come (default: 0)")
    parser.add_argument("--keep", action="store_true", help="keep the copy of the project")
    arguments = parser.parse_args()
    began = time.monotonic()
    with terminable(), temporary_folder("kill-import", keep=arguments.keep) as folder:
        soak = prepared(folder, random.Random(arguments.seed))
        soak.run(arguments.kills)
    states = ("old", "new", "moved aside", "neither")
    rows = [(when, count, *(soak.found[when, state] for state in states)) for when, count in soak.kills.items()]
    table("Imports killed, and what the folder was then", ("killed", "kills", *states), rows)
    print(f"{soak.kills.total()} kills in {time.monotonic() - began:.0f} s", *soak.problems, sep="\n")
    sys.exit(bool(soak.problems))


if __name__ == "__main__":
    main()
