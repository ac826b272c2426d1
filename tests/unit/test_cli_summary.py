"""`bruna summary`: what the last run has measured, and what made it."""

import re
from pathlib import Path

from bruna.files import fingerprint, write_json
from bruna.tracking.execution import Execution
from bruna.tracking.mlflow_run import stage_run


def test_summary_shows_the_headline_metrics_in_pipeline_order(top_folder, bruna):
    write_json({"map": 0.5, "rank1": 0.75}, Path("metrics/evaluate.json"))
    write_json({"segmented_images": 1234}, Path("metrics/segment.json"))
    status, out, _ = bruna("summary")
    assert status == 0
    assert out.index("segmented_images") < out.index("map ") < out.index("rank1")
    assert re.search(r"segment *\n +segmented_images +1,234 +images", out)
    assert re.search(r"evaluate *\n +map +0\.500 +mAP", out)
    assert "artifacts/report/report.html (not there" in out
    assert max(map(len, out.splitlines())) <= 110


def test_summary_shows_intervals_where_there_are_some(top_folder, bruna):
    write_json({"map": 0.5, "rank1": 0.75}, Path("metrics/evaluate.json"))
    write_json({"task1_accuracy": 0.625}, Path("metrics/train_attributes.json"))
    intervals = {
        "map": {"low": 0.4, "high": 0.625, "resampled": 12},
        "rank1": {"resampled": 9},
        "task1_accuracy": {"low": 0.5, "high": 0.75, "resampled": 12},
    }
    write_json({"intervals": intervals}, Path("artifacts/evaluate/figures.json"))
    out = bruna("summary")[1]
    assert re.search(r" map +0\.500 +0\.400–0\.625 +mAP", out) and re.search(
        r"rank1 +0\.750 +too few people +near", out
    )
    assert re.search(r"task1_accuracy +0\.625 +0\.500–0\.750 +attributes", out)
    assert re.search(r"intervals/map/low +0\.400", bruna("summary", "--all")[1])
    assert max(map(len, out.splitlines())) <= 110


def test_summary_of_all_shows_every_figure(top_folder, bruna):
    status, _, err = bruna("summary", "--all")
    assert status == 1 and "not the top folder" in err
    figures = {"worst_deviation_value": "hat=yes", "rows": {"train": 4321}, "values_on_one_side": []}
    write_json(figures, Path("artifacts/split/figures.json"))
    status, out, _ = bruna("summary", "--all")
    assert status == 0
    assert re.search(r"split +rows/train +4,321", out) and re.search(r"worst_deviation_value +hat=yes", out)
    assert "values_on_one_side" not in out


def test_summary_tells_which_execution_made_the_page(top_folder, bruna):
    write_json({"map": 0.5}, Path("metrics/evaluate.json"))
    page = Path("artifacts/report/report.html")
    page.parent.mkdir(parents=True)
    page.write_text("<html>")
    execution = Execution("e", "short", tags={"dvc.exp": "short", "mlflow.source.git.commit": "0123abc"})
    outputs = {"artifacts/report": fingerprint(page.parent)}
    with stage_run(top_folder, "report", execution, params={}, inputs={}, outputs=outputs, tags={}):
        pass
    out = bruna("summary")[1]
    assert re.search(r"MLflow run +short \([0-9a-f]{32}\)\n", out)
    assert re.search(r"Experiment +short\n", out) and re.search(r"Commit +0123abc\n", out)
    page.write_text("<html> of somebody else")
    assert "MLflow run" not in bruna("summary")[1]


def test_summary_lists_what_the_stages_warn_of(top_folder, bruna):
    write_json({"unet_iou": 0.2}, Path("metrics/train_unet.json"))
    write_json({"iou": 0.2, "warnings": ["the U-Net is bad."]}, Path("artifacts/train_unet/figures.json"))
    write_json({"warnings": ["mAP is bad.", "So is junk."]}, Path("artifacts/evaluate/figures.json"))
    for arguments in (("summary",), ("summary", "--all")):
        status, out, _ = bruna(*arguments)
        assert status == 0
        assert re.findall("^warning: .*", out, re.M) == [
            "warning: the U-Net is bad.",
            "warning: mAP is bad.",
            "warning: So is junk.",
        ]
    Path("artifacts/evaluate/figures.json").write_text("{")
    status, _, err = bruna("summary")
    assert status == 1 and "artifacts/evaluate/figures.json" in err


def test_summary_before_the_first_run_says_what_to_run(top_folder, bruna):
    Path("dvc.yaml").write_text("stages: {}\n")
    status, _, err = bruna("summary")
    assert status == 1
    assert "`dvc repro` runs the pipeline" in err
