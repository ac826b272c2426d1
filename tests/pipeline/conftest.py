"""The run of the whole pipeline that these tests share. Each of their files gets a copy of it, to change as it likes.

With `pytest -n 2` the files are shared among processes: whichever asks first does the run, the other waits for it. The
order of the files is that of their names (`--no-loadscope-reorder`): first one that does the run, then one that does
not need it (data sets that lack something, without DVC and MLflow), then some unit tests, so that nobody waits.
"""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from bruna.sample import render_sample
from project_copy import TINY, Project

_WORKER = "PYTEST_XDIST_WORKER"
"""The environment variable that is set in each of several processes."""


_MEANWHILE = 250
"""Other tests before those of `test_reruns.py`: about as long as the run takes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put `test_reruns.py` behind some unit tests."""
    reruns = [item for item in items if item.path.name == "test_reruns.py"]
    others = [item for item in items if item.path.name != "test_reruns.py"]
    items[:] = [*others[:_MEANWHILE], *reruns, *others[_MEANWHILE:]]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project in which `dvc repro` has run once; only copies of it may be changed."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if _WORKER in os.environ else base) / "finished project"
    done = folder / ".git" / "finished"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            project = Project(folder, TINY)
            render_sample(folder / "data", identities=24, images_per_identity=4, test_identities=4, mask_pairs=16)
            project.run("dvc", "add", "--quiet", "data")
            project.run("dvc", "repro")
            project.commit()
            done.touch()
    assert done.exists(), "another process of pytest says why the run has failed"
    return folder


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The file's own copy; its folder's name has a space."""
    return Project.of_copied(finished, tmp_path_factory.mktemp("pipeline") / "a project")
