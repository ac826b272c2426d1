"""The house keeps its plan: dvc.yaml lists what stages import, and imports run downward only."""

import subprocess
import sys
from pathlib import Path

import grimp
import pytest
import yaml

import stage_dependencies
from project_copy import STAGES

PROJECT = Path(__file__).resolve().parents[2]
PIPELINE = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.fixture(scope="module")
def code() -> dict[str, list[str]]:
    return stage_dependencies.code_of_stages()


def test_a_stage_is_a_script_a_group_of_parameters_and_a_metrics_file() -> None:
    assert list(PIPELINE) == STAGES
    for name, stage in PIPELINE.items():
        assert stage["cmd"] == f"python stages/{name}.py"
        assert stage["desc"]
        if name == "report":  # it shows all settings, and measures nothing
            assert stage["params"] == STAGES and "metrics" not in stage
        else:
            assert stage["params"] == [name]
            assert stage["metrics"] == [{f"metrics/{name}.json": {"cache": False}}]


@pytest.mark.parametrize("stage", STAGES)
def test_declared_files_are_those_imported(stage: str, code: dict[str, list[str]]) -> None:
    declared = stage_dependencies.declared_code(stage)
    assert declared == code[stage], "`make deps` brings dvc.yaml up to date"


@pytest.mark.parametrize("stage", ["validate", "split"])
def test_files_loaded_at_run_time_are_among_those_declared(stage: str, code: dict[str, list[str]]) -> None:
    """An oracle for the import graph: what Python itself has loaded after importing the stage script."""
    program = (
        f"import sys; sys.path.insert(0, {str(PROJECT / 'stages')!r}); import {stage}\n"
        "for m in list(sys.modules.values()):\n"
        "    if m.__name__.split('.')[0] == 'bruna': print(m.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    files = {Path(line).relative_to(PROJECT).as_posix() for line in done.stdout.splitlines()}
    loaded = {file for file in files if not stage_dependencies.exempt(file)}
    assert loaded and loaded - stage_dependencies.ONLY_LOGGING <= set(code[stage])


def test_what_draws_is_imported_by_the_stage_that_draws(code: dict[str, list[str]]) -> None:
    drawing = {stage for stage in STAGES if any(file.startswith("src/bruna/report/") for file in code[stage])}
    assert drawing == {"report"}


def test_evaluating_depends_on_no_code_of_trainings(code: dict[str, list[str]]) -> None:
    of_trainings = {f"src/bruna/batches/{name}.py" for name in ("attribute_items", "augment", "color", "tuples")}
    assert of_trainings <= set(code["train_attributes"]) | set(code["train_bruna"])
    found = [f for f in code["evaluate"] if f in of_trainings or f.startswith("src/bruna/training/")]
    assert not found


def test_a_network_depends_on_the_code_of_its_own_architecture(code: dict[str, list[str]]) -> None:
    """A new backbone is nothing to the U-Net, and the adversary is to the training of Bruna alone."""
    for stage in ("train_unet", "segment"):
        assert not {"src/bruna/models/backbones.py", "src/bruna/models/bruna.py"} & set(code[stage])
    assert "src/bruna/models/unet.py" not in code["train_attributes"] + code["train_bruna"]
    assert [stage for stage in STAGES if "src/bruna/models/adversary.py" in code[stage]] == ["train_bruna"]


def test_inputs_are_outputs_of_an_earlier_stage() -> None:
    made = {"data"}
    for name, stage in PIPELINE.items():
        inputs = {dep for dep in stage["deps"] if not dep.startswith(("src/", "stages/"))}
        assert inputs <= made, name
        made |= set(stage["outs"]) | {path for entry in stage.get("metrics", ()) for path in entry}


def test_no_two_files_import_each_other() -> None:
    graph = grimp.build_graph("bruna", cache_dir=None)
    circles = {
        tuple(sorted((module, other)))
        for module in graph.modules
        for other in graph.find_modules_directly_imported_by(module)
        if module in graph.find_upstream_modules(other)
    }
    assert not circles


def test_floors_and_walls() -> None:
    """The contracts of pyproject.toml, run as `make lint` runs them."""
    lint = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(lint, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_stage_scripts_are_short() -> None:
    for name in STAGES:
        tree = (PROJECT / "stages" / f"{name}.py").read_text(encoding="utf-8")
        body = tree.split('"""', 2)[2]
        assert len(body.splitlines()) <= 40, name


def test_trainings_run_where_mlflow_dvc_and_great_expectations_are_absent() -> None:
    """A GPU machine may have torch and little else: the trainings' own tests, run without those three."""
    program = (
        "import sys, pytest\n"
        "for name in ('mlflow', 'dvc', 'great_expectations'): sys.modules[name] = None\n"
        "sys.exit(pytest.main(['-p', 'no:cacheprovider', 'tests/unit/test_training.py', '-k', 'resumed or task1']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "7 passed" in done.stdout, done.stdout + done.stderr
