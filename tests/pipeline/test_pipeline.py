"""The whole pipeline after its first run: what it wrote, also to MLflow, what is stale, and what the models do."""

import ast
import itertools
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from bruna.files import fingerprint, read_json
from bruna.headlines import HEADLINES, headline_metrics
from bruna.nested import flatten, numbers
from bruna.sample import render_sample
from project_copy import STAGES, Project, add_knob, stages_of

pytestmark = pytest.mark.pipeline
MEASURING = [stage for stage in STAGES if stage != "report"]
TRAININGS = {"train_unet", "train_attributes", "train_bruna"}


def test_everything_is_there_and_nothing_is_stale(project: Project) -> None:
    assert "up to date" in project.run("dvc", "status")
    assert not project.run("git", "status", "--short")  # what the stages write is ignored or committed
    for stage in MEASURING:
        figures = read_json(project.folder / "artifacts" / stage / "figures.json")
        assert project.metrics(stage) == headline_metrics(stage, figures), stage
    assert {name: stage for stage in MEASURING for name in project.metrics(stage)} == {
        name: headline.stage for name, headline in HEADLINES.items()
    }
    assert 0 < project.metrics("evaluate")["map"] <= 1
    assert "<html" in (project.folder / "artifacts" / "report" / "report.html").read_text().lower()
    made = {path.name for path in (project.folder / "artifacts").iterdir()}
    assert made == {*STAGES, "unet", "attributes", "bruna"}


def test_one_parent_with_a_finished_child_a_stage(project: Project) -> None:
    parent, *children = next(iter(project.parents().values()))
    assert parent.info.run_name.startswith("repro ") and parent.info.status == "FINISHED"
    assert len(children) == len(STAGES)
    runs = stages_of(children)
    for stage in STAGES:
        assert runs[stage].info.status == "FINISHED"
        assert runs[stage].info.run_name == f"{stage} · {parent.info.run_name}"
        assert len(runs[stage].data.tags["mlflow.note.content"]) > 40
    tags = {stage: run.data.tags for stage, run in runs.items()}
    assert tags["split"]["bruna.producer.artifacts/validate/manifest.parquet"] == runs["validate"].info.run_id
    assert tags["evaluate"]["bruna.producer.artifacts/bruna"] == runs["train_bruna"].info.run_id
    assert tags["report"]["bruna.producer.artifacts/evaluate"] == runs["evaluate"].info.run_id


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def test_a_parent_has_all_settings_the_headline_metrics_and_the_data_set(project: Project) -> None:
    parent = next(iter(project.parents().values()))[0]
    written = flatten(yaml.safe_load((project.folder / "params.yaml").read_text()), ".")
    assert {name: _value(text) for name, text in parent.data.params.items()} == written
    measured = {name: value for stage in MEASURING for name, value in project.metrics(stage).items()}
    assert parent.data.metrics == pytest.approx(measured)
    md5 = yaml.safe_load((project.folder / "data.dvc").read_text())["outs"][0]["md5"]
    assert [(d.dataset.name, d.dataset.digest) for d in parent.inputs.dataset_inputs] == [("data", md5)]


def test_a_picture_is_in_the_run_of_the_report_and_in_that_of_its_stage(project: Project) -> None:
    _, *children = next(iter(project.parents().values()))
    pictures = {stage: _pictures(project, run.info.run_id, "figures") for stage, run in stages_of(children).items()}
    shown = [path for stage in MEASURING for path in pictures[stage]]
    drawn = [path.name for path in (project.folder / "artifacts" / "report").rglob("*.png")]
    assert all(pictures[stage] for stage in (*TRAININGS, "validate", "evaluate", "report"))
    assert sorted(Path(path).name for path in shown) == sorted(drawn)
    assert len(pictures["report"]) == len(drawn)


def _pictures(project: Project, run: str, folder: str) -> list[str]:
    found = project.client().list_artifacts(run, folder)
    below = [path for file in found if file.is_dir for path in _pictures(project, run, file.path)]
    return [*below, *(file.path for file in found if file.path.endswith(".png"))]


def test_no_stage_uses_instructions_that_other_processors_lack(project: Project) -> None:
    _, *children = next(iter(project.parents().values()))
    used = [run.data.tags["machine.instructions"] for run in children if "machine.instructions" in run.data.tags]
    assert len(used) == 5  # those with torch
    assert not [name for name in used if "512" in name]
    show = "import sys; sys.path.insert(0, 'stages'); import harness, numpy; numpy.show_config()"
    found = project.run(sys.executable, "-c", show).partition("SIMD Extensions")[2].partition("not found")[0]
    assert found and "V4" not in found and "512" not in found


def test_children_have_all_figures(project: Project) -> None:
    _, *children = next(iter(project.parents().values()))
    for stage, run in stages_of(children).items():
        if stage in MEASURING:
            figures = numbers(read_json(project.folder / "artifacts" / stage / "figures.json"))
            logged = {name: run.data.metrics[name] for name in figures}
            assert figures and logged == pytest.approx(figures)


def test_a_closing_table_shows_the_headline_metrics_and_nothing_else(project: Project) -> None:
    printed = project.run(sys.executable, "stages/split.py")
    rows = itertools.takewhile(str.strip, printed.partition("metric ")[2].splitlines()[2:])
    assert [row.split()[0] for row in rows] == list(project.metrics("split"))


def test_a_second_repro_does_nothing(project: Project) -> None:
    before = len(project.parents())
    printed = project.run("dvc", "repro")
    assert "Running stage" not in printed
    assert len(project.parents()) == before


def test_an_edit_in_place_never_reaches_the_cache(project: Project) -> None:
    """Nor as root, who may write what DVC has made read-only: a hard link would be the cached file itself."""
    edited = [min((project.folder / "data" / "train").iterdir()), project.folder / "artifacts/unet/model.safetensors"]
    for path in edited:
        path.unlink()
    project.run("dvc", "checkout", "--quiet")
    for path in edited:
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.write(b"edited")
    cached = [path for path in (project.folder / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    assert len(cached) > 100
    for path in cached:
        assert fingerprint(path) == f"{path.parent.name}{path.name}".removesuffix(".dir"), path
    project.run("dvc", "checkout", "--quiet", "--force")
    assert "up to date" in project.run("dvc", "status")


def test_a_picture_that_changes_makes_the_report_stale_and_nothing_else(project: Project) -> None:
    files = list((project.folder / "src" / "bruna" / "report").rglob("*.py"))
    for file in files:
        file.write_text(f"{file.read_text()}\n# edited\n")
    assert files and _stale(project) == {"report"}
    project.run("git", "checkout", "--quiet", "--", ".")


def test_a_new_setting_of_evaluate_makes_no_training_stale(project: Project) -> None:
    add_knob(project.folder, "evaluate")
    file = project.folder / "src" / "bruna" / "evaluation" / "retrieval.py"
    file.write_text(f"{file.read_text()}\n# uses the knob\n")
    assert _stale(project) - {"report"} == {"evaluate"}
    project.run("git", "checkout", "--quiet", "--", ".")


def _stale(project: Project) -> set[str]:
    return set(json.loads(project.run("dvc", "status", "--json")))


def test_plots_are_drawn_and_leave_nothing_for_git(project: Project) -> None:
    project.run("dvc", "plots", "show")
    assert (project.folder / "dvc_plots" / "index.html").exists()
    assert not project.run("git", "status", "--short")
    shown = json.loads(project.run("dvc", "plots", "show", "--json"))
    assert not shown.get("errors"), shown["errors"]
    for plot in yaml.safe_load((project.folder / "dvc.yaml").read_text())["plots"]:
        name = plot if isinstance(plot, str) else next(iter(plot))
        found = [key for key in shown["data"] if key == name or key.startswith(f"{name}/")]  # a folder of images
        assert found and all(shown["data"][key] for key in found), name


def test_other_people_are_measured_and_known_images_are_counted(project: Project) -> None:
    others = project.folder.parent / "others"
    render_sample(others, seed=7, identities=8, images_per_identity=4, test_identities=0, mask_pairs=0)
    trained_on = read_json(project.folder / "artifacts" / "split" / "figures.json")["train_images"]
    own = project.folder.parent / "own"  # without the queries, which are measured where there are any
    shutil.copytree(project.folder / "data" / "train", own / "train")
    shutil.copy(project.folder / "data" / "dataset.yaml", own)
    people = pd.read_csv(project.folder / "data" / "annotations.csv")
    known = {int(path.name[:4]) for path in (own / "train").iterdir()}
    people[people["identity"].isin(known)].to_csv(own / "annotations.csv", index=False)
    warned = {}
    for name, folder in {"others": others, "own": own}.items():
        file = project.folder.parent / f"{name}.json"
        warned[name] = "warning: the models were trained on" in project.run(
            "bruna", "evaluate", str(folder), "--json", str(file)
        )
        found = json.loads(file.read_text())
        assert 0 < found["retrieval"]["market1501"]["map"] <= 1
        assert found["images_trained_on"] == (trained_on if name == "own" else 0)
    assert warned == {"others": False, "own": True}


@pytest.mark.parametrize("stage", ["validate", "train_bruna"])
def test_help_says_what_a_stage_does(project: Project, stage: str) -> None:
    printed = project.run(sys.executable, f"stages/{stage}.py", "--help")
    assert "params.yaml" in printed and "dvc.yaml" in printed and len(printed) > 200


def test_a_mistake_in_the_parameters_is_named(project: Project) -> None:
    printed = project.run("dvc", "exp", "run", "-S", "train_unet.lr=banana", fails=True)
    assert "train_unet.lr" in printed and "banana" in printed and "Nothing is lost" in printed
    assert "Traceback" not in printed
