"""The whole pipeline on images with hardly more than a name, and what is told without a run."""

import sys

import pytest

from lacking import SETS, mistakes, whole_run
from project_copy import Project

pytestmark = pytest.mark.pipeline
SET = "pictures alone"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Not the run that the other files share: this one is done at the same time."""
    project = whole_run(tmp_path_factory.mktemp("lacking"), SET)
    project.commit()
    return project


def test_a_data_set_with_nothing_but_images_of_people_goes_through(project: Project) -> None:
    """No test set, masks, attributes or cameras: what needs them is turned off, the pipeline is the same."""
    assert not mistakes(project, SETS[SET][0])
    assert list(project.metrics("evaluate")) == ["course_map"]
    assert project.metrics("train_unet") == {} and project.metrics("segment") == {"segmented_images": 0}


@pytest.mark.parametrize("stage", ["validate", "train_bruna"])
def test_help_says_what_a_stage_does(project: Project, stage: str) -> None:
    printed = project.run(sys.executable, f"stages/{stage}.py", "--help")
    assert "params.yaml" in printed and "dvc.yaml" in printed and len(printed) > 200


def test_a_mistake_in_the_parameters_is_named(project: Project) -> None:
    printed = project.run("dvc", "exp", "run", "-S", "train_unet.lr=banana", fails=True)
    assert "train_unet.lr" in printed and "banana" in printed and "Nothing is lost" in printed
    assert "Traceback" not in printed
    project.run("git", "checkout", "--quiet", "--", ".")
    project.run("dvc", "checkout", "--quiet")
