import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bruna.cli.main import PIPELINE_MODULES, main
from bruna.dataset.attributes import ANNOTATION_COLUMNS
from bruna.files import fingerprint, write_json
from bruna.tracking.execution import Execution
from bruna.tracking.mlflow_run import stage_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder like the top folder of the project, as working folder."""
    (tmp_path / "presets").mkdir()
    for name in ("params.yaml", "presets/sample.yaml", "presets/paper.yaml", "presets/market1501.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bruna(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bruna", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        output = capsys.readouterr()
        return end.value.code or 0, output.out, output.err

    return run


def test_help_names_every_command_in_the_order_of_use(bruna):
    status, out, _ = bruna("--help")
    assert status == 0
    listed = re.findall(r"^\W*(sample|import|preset|summary|evaluate|attributes) +[A-Z]", out, re.MULTILINE)
    assert listed == ["sample", "import", "preset", "summary", "evaluate", "attributes"]
    for command in listed:
        status, out, _ = bruna(command, "--help")
        assert status == 0
        assert "bruna " + command in out


def test_import_prints_counts_and_the_next_commands(project, bruna):
    with zipfile.ZipFile(project / "course.zip", "w") as archive:
        archive.writestr("train/0002_c1_016620005.jpg", b"x")
        archive.writestr("train/0002_c2_016620005.jpg", b"y")
        archive.writestr("extras/notes.txt", b"z")
        archive.writestr(
            "annotations_train.csv",
            "\n".join([",".join(ANNOTATION_COLUMNS), ",".join(["2"] * len(ANNOTATION_COLUMNS))]),
        )
    status, out, err = bruna("import", "course.zip")
    assert (status, (project / "data/train/0002_c2_016620005.jpg").read_bytes()) == (0, b"y")
    assert re.search(r"train +2 +1 +2 +1", out)
    assert "extras/ (1)" in out
    assert "dvc add data" in out
    assert "dvc repro" in out
    assert "import into data: 3 files" in err
    status, out, _ = bruna("import", "course.zip", "--to", "other")
    assert "bruna evaluate other" in out


def test_mistakes_end_with_one_message_and_status_1(project, bruna):
    for arguments, message in [
        (("import", "missing.zip"), "missing.zip does not exist"),
        (("import", "params.yaml", "--merge", "--replace"), "Give one of them"),
        (("preset", "papre"), "found: market1501, paper, sample"),
        (("summary",), "not the top folder of the project"),
        (("evaluate", "nowhere"), "nowhere is not a folder"),
    ]:
        status, out, err = bruna(*arguments)
        assert (status, out) == (1, "")
        assert err.startswith("error: ")
        assert message in err
        assert "Traceback" not in err
    assert bruna("imprt")[0] == 2
    status, _, err = bruna("sample", "--seed", "-3")
    assert status == 2 and "--seed" in err and "Traceback" not in err
    assert sorted(path.name for path in project.iterdir()) == ["params.yaml", "presets"]


def test_preset_lists_shows_and_writes(project, bruna):
    before = Path("params.yaml").read_text()
    status, out, _ = bruna("preset")
    assert status == 0
    assert re.search(r"paper +The settings that section 3", out)
    status, out, _ = bruna("preset", "paper", "--diff")
    assert re.search(r"train_unet\.width +8 +64", out)
    assert Path("params.yaml").read_text() == before
    assert bruna("preset", "paper")[0] == 0
    assert Path("params.yaml").read_text() != before
    assert "already" in bruna("preset", "paper")[1]
    assert bruna("preset", "sample")[0] == 0
    assert Path("params.yaml").read_text() == before


def test_sample_never_replaces_a_data_set_unasked(project, bruna):
    kept = project / "data" / "train" / "0002_c1_016620005.jpg"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"mine")
    status, _, err = bruna("sample")
    assert status == 1
    assert "--replace" in err
    status, out, _ = bruna("sample", "--if-missing")
    assert status == 0
    assert "nothing was rendered" in out
    assert kept.read_bytes() == b"mine"


def test_summary_shows_the_headline_metrics_in_pipeline_order(project, bruna):
    write_json({"map": 0.5, "rank1": 0.75}, Path("metrics/evaluate.json"))
    write_json({"segmented_images": 1234}, Path("metrics/segment.json"))
    status, out, _ = bruna("summary")
    assert status == 0
    assert out.index("segmented_images") < out.index("map ") < out.index("rank1")
    assert re.search(r"segment +segmented_images +1,234 +images", out)
    assert re.search(r"evaluate +map +0\.500 +mAP", out)
    assert "artifacts/report/report.html (not there" in out
    assert max(map(len, out.splitlines())) <= 110


def test_summary_of_all_shows_every_figure(project, bruna):
    status, _, err = bruna("summary", "--all")
    assert status == 1 and "not the top folder" in err
    figures = {"worst_deviation_value": "hat=yes", "rows": {"train": 4321}, "values_on_one_side": []}
    write_json(figures, Path("artifacts/split/figures.json"))
    status, out, _ = bruna("summary", "--all")
    assert status == 0
    assert re.search(r"split +rows/train +4,321", out) and re.search(r"worst_deviation_value +hat=yes", out)
    assert "values_on_one_side" not in out


def test_summary_tells_which_execution_made_the_page(project, bruna):
    write_json({"map": 0.5}, Path("metrics/evaluate.json"))
    page = Path("artifacts/report/report.html")
    page.parent.mkdir(parents=True)
    page.write_text("<html>")
    execution = Execution("e", "short", tags={"dvc.exp": "short", "mlflow.source.git.commit": "0123abc"})
    outputs = {"artifacts/report": fingerprint(page.parent)}
    with stage_run(project, "report", execution, params={}, inputs={}, outputs=outputs, tags={}):
        pass
    out = bruna("summary")[1]
    assert re.search(r"MLflow run +short \([0-9a-f]{32}\)\n", out)
    assert re.search(r"Experiment +short\n", out) and re.search(r"Commit +0123abc\n", out)
    page.write_text("<html> of somebody else")
    assert "MLflow run" not in bruna("summary")[1]


def test_summary_before_the_first_run_says_what_to_run(project, bruna):
    Path("dvc.yaml").write_text("stages: {}\n")
    status, _, err = bruna("summary")
    assert status == 1
    assert "`dvc repro` runs the pipeline" in err


def test_sample_says_what_comes_next_unless_a_script_asks(project, bruna, monkeypatch):
    import bruna.sample as package

    monkeypatch.setattr(package, "render_sample", lambda to, **_: to.mkdir())
    assert "Next: `dvc add data`" in bruna("sample")[1]
    Path("data").rmdir()
    status, out, _ = bruna("sample", "--if-missing")
    assert status == 0
    assert "Next" not in out


def test_interrupt_ends_with_130(project):
    # The command waits on a pipe for its source, so that the signal surely meets it at work.
    os.mkfifo(project / "slow")
    code = (
        "import sys, pathlib, bruna.dataset.importers as importers\n"
        "from bruna.cli.main import main\n"
        "importers.import_dataset = lambda *a, **k: (print('ready', flush=True), pathlib.Path('slow').read_bytes())\n"
        "sys.argv = ['bruna', 'import', 'huge.zip']\n"
        "main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_start_up_imports_nothing_heavy():
    heavy = ("torch", "pandas", "mlflow", "scipy", "sklearn", "numpy", "matplotlib")
    code = f"import sys, bruna.cli.main; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(("missing", "told"), [("scipy", True), ("numpy", False)])
def test_what_the_pipeline_extra_would_bring_is_told_in_one_sentence(tmp_path, missing, told):
    code = (
        f"import sys; sys.modules['{missing}'] = None; sys.argv = ['bruna', 'import', '{tmp_path}']\n"
        "from bruna.cli.main import main\n"
        "main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 1
    sentence = "error: this command needs scipy, which is not installed: `pip install 'bruna[pipeline]'` brings it.\n"
    assert (ended.stderr == sentence) == told
    assert ("Traceback" in ended.stderr) != told


def test_the_modules_of_the_pipeline_extra_are_those_that_pyproject_lists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    listed = {canonicalize_name(Requirement(each).name) for each in extras["pipeline"]}
    # mlflow's module comes in several distributions, of which one is listed.
    found = {module: listed & set(map(canonicalize_name, names)) for module, names in packages_distributions().items()}
    assert all(found[module] for module in PIPELINE_MODULES)
    assert set.union(*(found[module] for module in PIPELINE_MODULES)) == listed
