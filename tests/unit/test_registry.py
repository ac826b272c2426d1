"""`bruna register`: what a version holds, what is refused, `bruna.load` of it, and MLflow's server with it."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

import bruna
from bruna.errors import BrunaError
from bruna.files import write_json
from bruna.registry.card import description
from bruna.registry.register import _same_as, drawn_figure, requirements
from bruna.registry.register import register as register_models
from bruna.registry.state import refuse_stale
from bruna.tracking.store import store_url
from conftest import ROOT
from served import free_port
from tiny_models import save_tiny_models

MAIN = "from bruna.cli.main import main; main()"
CARD = "# Model card: tiny\n\n## Use\n\nWith care.\n"
DVC_YAML = """\
stages:
  make:
    cmd: cp source.txt made.txt
    deps: [source.txt]
    outs: [made.txt]
"""
HIDE = """\
import sys
from pathlib import Path
sys.path[:] = [each for each in sys.path if each and not Path(each, "bruna").is_dir()]
sys.meta_path[:] = [each for each in sys.meta_path if "editable" not in str(each).lower()]
sys.path_importer_cache.clear()
import importlib.util
assert importlib.util.find_spec("bruna") is None
import mlflow, json, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
found = model.predict(pandas.DataFrame({"image": [Path(sys.argv[2]), Path(sys.argv[2]).read_bytes()]}))
import bruna
assert bruna.__file__.startswith(sys.argv[1]), bruna.__file__
print(json.dumps(found["embedding"].tolist()))
"""


def environment(**more: str) -> dict[str, str]:
    """That of a process of the project, without an address of a server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore"}
    return {**kept, **quiet, "PATH": path, **more}


def run(root: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=root, env=environment(**variables), capture_output=True, text=True, check=False, timeout=300
    )


def register(root: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return run(root, sys.executable, "-c", MAIN, "register", **variables)


def make_project(root: Path) -> Path:
    """A project with untrained networks whose only stage is up to date."""
    save_tiny_models(root / "artifacts")
    write_json(
        {"attribute_offset": 3.0, "flip": True, "attributes_from": "both"}, root / "artifacts/evaluate/settings.json"
    )
    write_json(
        {"intervals": {"map": {"low": 0.4, "high": 0.6, "resampled": 20}}}, root / "artifacts/evaluate/figures.json"
    )
    (root / "artifacts" / "report").mkdir()
    (root / "artifacts" / "report" / "model_card.md").write_text(CARD, encoding="utf-8")
    write_json({"map": 0.5, "rank1": 0.7}, root / "metrics" / "evaluate.json")
    shutil.copy(ROOT / "params.yaml", root)
    (root / "source.txt").write_text("one")
    (root / "dvc.yaml").write_text(DVC_YAML)
    for command in (["init", "--no-scm", "-q"], ["repro", "-q"]):
        made = run(root, sys.executable, "-m", "dvc", *command)
        assert made.returncode == 0, made.stderr
    return root


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which nothing is registered; copy it."""
    return make_project(tmp_path_factory.mktemp("before") / "project")


@pytest.fixture(scope="module")
def project(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one registered version."""
    root = shutil.copytree(before, tmp_path_factory.mktemp("registry") / "project")
    made = register(root)
    assert made.returncode == 0, made.stderr
    assert "version 1 of `bruna`" in made.stdout and not made.stderr
    return root


def client(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store_url(root / "mlflow.db"), registry_uri=store_url(root / "mlflow.db"))


def files_of(root: Path) -> Path:
    (model,) = (root / "mlartifacts" / "models").iterdir()
    return model / "artifacts"


def close(found: Any, expected: Any) -> bool:
    """Of another process, which may use other instructions of the processor."""
    return bool(np.allclose(found, expected, atol=1e-5))


def embedding(models: str | Path, image: bytes) -> list[float]:
    found: list[float] = bruna.load(models, "cpu").describe(image).features[0].tolist()
    return found


def test_a_version_tells_what_it_is(project: Path) -> None:
    version = client(project).get_model_version("bruna", "1")
    assert version.status == "READY"
    lock = version.tags["bruna.dvc.lock"]
    assert len(lock) == 32 and len(version.tags["bruna.models"]) == 64
    assert version.description == description(CARD, {"map": 0.5, "map_low": 0.4, "map_high": 0.6})
    logged = client(project).get_run(version.run_id).data.metrics
    assert logged == {"map": 0.5, "map_low": 0.4, "map_high": 0.6, "rank1": 0.7}
    assert client(project).get_run(version.run_id).info.status == "FINISHED"
    assert _same_as(client(project), version.tags) == 1
    assert _same_as(client(project), {**version.tags, "bruna.dvc.lock": "another"}) is None


def test_its_files_have_no_pickle_and_the_weights_once(project: Path) -> None:
    files = [path for path in files_of(project).rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".pyc")]
    weights = [path.name for path in files if path.suffix == ".safetensors"]
    assert sorted(weights) == ["bruna.safetensors", "model.safetensors", "model.safetensors"]
    rest = sum(path.stat().st_size for path in files if path.suffix != ".safetensors")
    assert rest < 1_200_000
    assert (files_of(project) / "artifacts" / "models" / "model_card.md").read_text(encoding="utf-8") == CARD
    pinned = (files_of(project) / "requirements.txt").read_text().split()
    assert pinned == requirements() and all("==" in line and "+" not in line for line in pinned)
    assert "mlflow" in {line.partition("==")[0] for line in pinned}
    example = json.loads((files_of(project) / "serving_input_example.json").read_text())
    assert base64.b64decode(example["dataframe_split"]["data"][0][0]) == drawn_figure()


def test_it_loads_where_bruna_is_not_installed(project: Path, tmp_path: Path) -> None:
    (tmp_path / "figure.png").write_bytes(drawn_figure())
    arguments = [str(files_of(project)), str(tmp_path / "figure.png")]
    found = run(tmp_path, sys.executable, "-c", HIDE, *arguments, PYTHONPATH="")
    assert found.returncode == 0, found.stderr
    path, data = json.loads(found.stdout.splitlines()[-1])
    both = bruna.load(project / "artifacts", "cpu").describe([drawn_figure()] * 2).features
    assert close([path, data], both)


def test_load_takes_aliases_versions_and_runs_also_of_a_project_that_was_moved(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    moved = tmp_path / "after"
    shutil.copytree(project, moved)
    stored = moved / "mlartifacts"
    client(project).set_registered_model_alias("bruna", "champion", "1")
    shutil.copy(project / "mlflow.db", moved / "mlflow.db")
    hidden = project / "mlartifacts.hidden"
    (project / "mlartifacts").rename(hidden)
    try:
        monkeypatch.chdir(moved)
        run_id = client(project).get_model_version("bruna", "1").run_id
        expected = embedding(project / "artifacts", drawn_figure())
        for address in ("models:/bruna@champion", "models:/bruna/1", f"runs:/{run_id}/bruna"):
            assert embedding(address, drawn_figure()) == expected
    finally:
        hidden.rename(project / "mlartifacts")
    assert stored.is_dir()
    for address in ("models:/bruna@nobody", "models:/bruna/7", "models:/other/1"):
        with pytest.raises(BrunaError, match=r"cannot be loaded: .*not found"):
            bruna.load(address)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BrunaError, match="there is no registry here"):
        bruna.load("models:/bruna/1")


def test_what_dvc_calls_changed_is_refused_and_leaves_nothing(before: Path, tmp_path: Path) -> None:
    root = shutil.copytree(before, tmp_path / "project")
    refuse_stale(root)
    (root / "source.txt").write_text("two")
    with pytest.raises(BrunaError, match=r"make: changed deps: source.txt \(modified\)\n.*`dvc repro`"):
        register_models(root, root / "artifacts")
    shutil.rmtree(root / "artifacts" / "report")
    with pytest.raises(BrunaError, match=r"model_card.md is missing"):
        register_models(root, root / "artifacts")
    assert not (root / "mlflow.db").exists()
    shutil.rmtree(root / ".dvc")
    with pytest.raises(BrunaError, match="`dvc status` failed"):
        refuse_stale(root)


def test_a_killed_one_leaves_no_version(before: Path, tmp_path: Path) -> None:
    root = shutil.copytree(before, tmp_path / "project")
    process = subprocess.Popen([sys.executable, "-c", MAIN, "register"], cwd=root, env=environment())
    while not list((root / "mlartifacts").glob("models/*/artifacts/*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert client(root).search_model_versions("name = 'bruna'") == []


def test_a_store_that_is_not_there_is_told_without_a_password(project: Path) -> None:
    nobody = f"http://me:secret@127.0.0.1:{free_port()}"
    found = register(project, MLFLOW_TRACKING_URI=nobody, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert found.returncode == 1 and "did not register the model: it cannot be reached." in found.stderr
    assert "secret" not in found.stderr + found.stdout and "Traceback" not in found.stderr
    assert len(client(project).search_model_versions("name = 'bruna'")) == 1


def test_a_long_card_is_cut_between_sections() -> None:
    card = "# Card\n\n## Models\n\ntable\n\n" + "".join(f"## Part {i}\n\n{'word ' * 300}\n\n" for i in range(5))
    found = description(card, {})
    assert len(found) <= 4_500 and "Part 1" in found and "Part 4" not in found and "## Models" not in found
    assert found.endswith("among the files of the model.")


@contextmanager
def answering(root: Path, path: str, *command: str, **variables: str) -> Iterator[int]:
    """A server on a free port, until the block ends; it begins when `path` answers."""
    port = free_port()
    log = root / f"{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, "--port", str(port), "--host", "127.0.0.1", "--workers", "1"],
            cwd=root,
            env=environment(**variables),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            until = time.monotonic() + 120
            while ask(port, "GET", path)[0] != 200:
                assert process.poll() is None and time.monotonic() < until, log.read_text()
                time.sleep(0.3)
            yield port
        finally:
            family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
            for each in family:
                each.kill()
            psutil.wait_procs(family, timeout=10)


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(
            method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if text.startswith("{") else text
    except OSError:
        return 0, ""
    finally:
        connection.close()


def test_mlflow_serves_it_and_tells_what_is_wrong_with_a_request(project: Path) -> None:
    figure = base64.b64encode(drawn_figure()).decode()
    serve = ("models", "serve", "-m", "models:/bruna/1", "--env-manager", "local")
    with answering(project, "/ping", *serve, MLFLOW_TRACKING_URI=store_url(project / "mlflow.db")) as port:

        def score(*images: object) -> tuple[int, Any]:
            return ask(port, "POST", "/invocations", {"dataframe_records": [{"image": image} for image in images]})

        status, answer = score(figure, figure)
        assert status == 200
        people = bruna.load(project / "artifacts", "cpu").describe([drawn_figure()] * 2)
        for row, told in enumerate(answer["predictions"]):
            assert close(told["embedding"], people.features[row])
            assert told["attributes"] == {name: values[row] for name, values in people.attributes.items()}
            assert told["junk"] == pytest.approx(people.junk[row], abs=1e-5)
            assert all(abs(sum(of.values()) - 1) < 1e-5 for of in told["probabilities"].values())
        secret = project / "figure.png"
        secret.write_bytes(drawn_figure())
        for image, reason in {
            "nonsense!": "image in row 1 is not base64",
            str(secret): "image in row 1 is not base64",
            "aGVsbG8=": "image in row 1 cannot be read: it is not a JPEG",
            "": "image in row 1 cannot be read: the file is empty",
            5: "image in row 1 is int",
            huge(): "image in row 1 cannot be read: .*pixels",
        }.items():
            status, answer = score(figure, image)
            assert status == 400 and re.search(reason, answer["message"]), answer
            assert "Traceback" not in json.dumps(answer)
        wrong: tuple[object, ...] = (
            {},
            {"dataframe_records": []},
            {"dataframe_records": [{"picture": figure}]},
            [figure],
        )
        for body in wrong:
            status, answer = ask(port, "POST", "/invocations", body)
            assert status == 400 and "Traceback" not in json.dumps(answer)


def huge() -> str:
    """A small file of too many pixels."""
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_a_server_keeps_versions_as_well(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = (
        "--backend-store-uri",
        store_url(tmp_path / "server.db"),
        "--artifacts-destination",
        str(tmp_path / "files"),
    )
    with answering(tmp_path, "/health", "server", *store, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false") as port:
        address = f"http://127.0.0.1:{port}"
        made = register(project, MLFLOW_TRACKING_URI=address, MLFLOW_EXPERIMENT_NAME="team")
        assert made.returncode == 0 and f"version 1 of `bruna` in {address}.\nNext: set an alias there" in made.stdout
        assert "View run" not in made.stdout
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.chdir(tmp_path)
        assert embedding("models:/bruna/1", drawn_figure()) == embedding(project / "artifacts", drawn_figure())
