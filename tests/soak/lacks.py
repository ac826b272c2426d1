"""The whole pipeline on data sets that lack something: it goes through to a page, and a second run does nothing.

    python tests/soak/lacks.py [--only REGEX] [--keep]

For each tiny data set of tests/lacking.py (nothing lacks; attributes, identities, cameras, masks, query and gallery
lack, each alone; all of these but the identities lack) a fresh copy of the project is made. `bruna import ... --replace
--adapt`, `dvc add data` and `dvc repro` run there, as a user would type them. Then this must hold:

* every command ends with status 0, and there is a page;
* the models that have nothing to be trained on, and no others, are written with `trained: false`;
* a second `dvc repro` runs no stage.

tests/pipeline/test_pipeline_lacking.py looks at the same data sets in one process, without DVC and MLflow. Expect a
minute or two a data set on a free core. Exit status: 0 if everything held, 1 if anything did not; what, is printed.
"""

import argparse
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bruna.progress import table
from bruna.tracking.execution import terminable
from lacking import SETS, mistakes, untrained, whole_run
from project_copy import temporary_folder


def once(folder: Path, name: str) -> tuple[list[str], list[str]]:
    """Run everything on one data set.

    Returns:
        The models that were not trained, and what did not hold.
    """
    try:
        project = whole_run(folder, name)
        return untrained(project.folder / "artifacts"), mistakes(project, SETS[name][0])
    except AssertionError as error:  # a command that failed: what it printed
        return [], [str(error)]


def main() -> None:
    """One data set after the other, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only the data sets whose name has this regular expression in it")
    parser.add_argument("--keep", action="store_true", help="keep the copies of the project")
    arguments = parser.parse_args()
    rows, problems = [], []
    with terminable(), temporary_folder("lacks", keep=arguments.keep) as folder:
        for name in filter(re.compile(arguments.only).search, SETS):
            began = time.monotonic()
            (folder / name).mkdir()
            models, wrong = once(folder / name, name)
            seconds = time.monotonic() - began
            rows.append((name, ", ".join(models), f"{seconds:.0f}", "no" if wrong else "yes"))
            problems += [f"{name}: {problem}" for problem in wrong]
            print(f"{name}: {seconds:.0f} s{', WRONG' if wrong else ''}", flush=True)
    table("Data sets that lack something", ("data set", "not trained", "seconds", "held"), rows)
    for problem in problems:
        print(problem)
    if not rows:
        print(f"No data set is called {arguments.only!r}. There are: {', '.join(SETS)}.")
    sys.exit(bool(problems) or not rows)


if __name__ == "__main__":
    main()
