"""`bruna export`: what it writes, that it checks the graphs, what it refuses; and the example without this package."""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import as_json
from bruna.dataset.tables import read_table, write_table
from bruna.errors import BrunaError
from bruna.evaluation.labelled import describe_table
from bruna.evaluation.retrieval import figures_of, retrieve
from bruna.export import folder as exported_folder
from bruna.export.agreement import Agreement, largest_difference
from bruna.export.folder import export
from bruna.export.graphs import Graph
from bruna.files import read_json, write_json
from bruna.index.header import fingerprint_of
from bruna.inference.calibration import write_calibration
from bruna.inference.describer import Describer, load
from bruna.inference.saving import save_models
from bruna.models.bruna import Bruna
from bruna.params import read_params
from bruna.retrieval.calibration import Calibration, FittedOn
from conftest import ROOT, Run
from person_table import person_table
from tiny_models import BRUNA_SIZE, UNET_SIZE, save_tiny_models

SETTINGS = {"attribute_offset": 3.0, "flip": True, "attributes_from": "both"}
CALIBRATION = Calibration(
    "logistic", ((4.0, -0.5),), (1.0, 2.0), (0.0, 0.5), (0.5, 0.0), FittedOn("tiny", 9, 3, 9, 27, 3, cross_camera=True)
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `artifacts`, their export `onnx`, and `printed.txt` with what the export printed.

    Bruna has the backbone of which torch makes a graph soonest. The images have a size that no network sees; half of
    them count as junk.
    """
    top = tmp_path_factory.mktemp("made")
    models = save_tiny_models(top / "artifacts")
    network: dict[str, Any] = {"backbone": "resnet18", "features": 16, "mask": "channel", "bottleneck": 4}
    network |= {"dropout": 0.0, "last_stride": 2, "neck": "batch_norm"}
    torch.manual_seed(1)
    bruna = Bruna(**network, attributes=ATTRIBUTES)
    told = {"network": network, "attributes": as_json(ATTRIBUTES), "image_size": list(BRUNA_SIZE), "params": {}}
    save_models(models / "bruna", {"bruna": bruna}, told)
    table = person_table([2, 5, 7, 11], 4, size=(50, 30))
    write_table(table, models / "split" / "validation.parquet")
    threshold = float(np.median(load(models, "cpu", bruna=False).describe(list(table["image"])).junk))
    settings = {**SETTINGS, "junk_threshold": threshold, "filter_junk": True}
    write_json(settings, models / "evaluate" / "settings.json")
    write_calibration(CALIBRATION, models / "evaluate")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        export(load(models, "cpu"), models, top / "onnx")
    (top / "printed.txt").write_text(printed.getvalue())
    return top


@pytest.fixture
def project(top_folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A top folder with these models, where an export takes the graphs that are there: torch's exporter is slow."""
    shutil.copytree(made / "artifacts", top_folder / "artifacts")

    def copied(graph: Graph, folder: Path) -> Path:
        return Path(shutil.copy(made / "onnx" / graph.file, folder / graph.file))

    monkeypatch.setattr(exported_folder, "write_graph", copied)
    return top_folder


@pytest.fixture(scope="module")
def people(made: Path) -> Describer:
    return load(made / "artifacts", "cpu")


def test_the_folder_says_what_a_program_has_to_know(made: Path, people: Describer) -> None:
    names = {"unet.onnx", "task1.onnx", "bruna.onnx", "model.json", "export.json", "example.py"}
    assert {path.name for path in (made / "onnx").iterdir()} == names
    model = read_json(made / "onnx" / "model.json")
    assert model["format"] == 1 and model["opset"] == 20
    assert model["models"] == fingerprint_of(made / "artifacts", people.settings)
    assert {"bruna", "torch", "onnxruntime"} <= model["versions"].keys()
    inputs = {(each["name"], *each["shape"]) for each in model["graphs"]["bruna.onnx"]["inputs"]}
    assert inputs == {("images", "N", 3, *BRUNA_SIZE), ("unet_images", "N", 3, *UNET_SIZE)}
    outputs = {file: {each["name"]: each["shape"] for each in of["outputs"]} for file, of in model["graphs"].items()}
    assert outputs == {
        "unet.onnx": {"mask": ["N", *UNET_SIZE]},
        "task1.onnx": {"attribute_probabilities": ["N", 32], "junk": ["N"]},
        "bruna.onnx": {"features": ["N", 16], "attribute_features": ["N", 32]},
    }
    assert [(each["name"], each["values"]) for each in model["attributes"]] == [
        (task.name, list(task.values)) for task in ATTRIBUTES
    ]
    assert [stop - start for start, stop in (each["columns"] for each in model["attributes"])] == [
        task.width for task in ATTRIBUTES
    ]
    assert model["attributes_from"] == ["attribute_probabilities", "attribute_features"]
    assert model["distance"]["offset"] == 3.0 and model["junk_threshold"] == people.settings.junk_threshold
    assert Calibration.from_json(model["calibration"]) == CALIBRATION
    smallest = model["calibration"]["smallest_false_match_rate"]
    assert CALIBRATION.threshold(smallest) is not None and CALIBRATION.threshold(0.999 * smallest) is None


def test_the_report_has_the_figures_of_both(made: Path, people: Describer) -> None:
    report = read_json(made / "onnx" / "export.json")
    table = read_table(made / "artifacts" / "split" / "validation.parquet")
    assert report["images"] == len(table) == 16
    assert report["attribute_values"] == 2 * 16 * len(ATTRIBUTES) and report["different_attribute_values"] == 0
    differences = report["differences"]
    assert list(differences) == ["mask", "junk", "attribute_probabilities", "features", "attribute_features"]
    assert differences.pop("mask") <= 1 and max(differences.values()) < report["tolerance"] == 1e-4
    used = {**SETTINGS, "junk_threshold": people.settings.junk_threshold, "filter_junk": True}
    params = read_params(ROOT / "params.yaml").evaluate.model_copy(update=used)
    images = describe_table(people, table, None, "again")
    ranked = retrieve(images, images, params)
    assert int(ranked.kept.sum()) == 8
    wanted = figures_of(ranked.results)
    assert report["validation"]["torch"] == wanted and report["junk_filter"] is True
    assert report["validation"]["onnxruntime"]["market1501"]["map"] == pytest.approx(
        wanted["market1501"]["map"], abs=0.05
    )
    assert read_json(made / "onnx" / "model.json")["validation"] == report["validation"]["onnxruntime"]
    assert report["images_per_second"].keys() == report["bytes"].keys() == {"unet.onnx", "task1.onnx", "bruna.onnx"}
    assert min(each for of in report["images_per_second"].values() for each in of.values()) > 0


def test_an_export_prints_its_progress_and_nothing_else(made: Path) -> None:
    lines = (made / "printed.txt").read_text().splitlines()
    assert lines[-1].startswith("check: 16 images in ")
    assert all(line.startswith(("export: ", "check: 16")) for line in lines), lines


WITHOUT_US = """
import json, sys
sys.modules["bruna"] = sys.modules["torch"] = None
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import numpy as np
import example
found = example.describe(Path(sys.argv[1]), sys.argv[3:])
alone = example.describe(Path(sys.argv[1]), sys.argv[3:4])
np.savez(sys.argv[2], **found, features_alone=alone["features"])
example.main(Path(sys.argv[1]), sys.argv[3:])
assert not any(name.startswith(("bruna.", "torch.")) for name in sys.modules)
"""


def test_the_example_gives_the_same_embedding_without_this_package(
    made: Path, people: Describer, tmp_path: Path
) -> None:
    """Photos of several sizes, turned by EXIF, grey, and with transparency."""
    random = np.random.default_rng(2)
    turned = Image.Exif()
    turned[0x0112] = 6
    for i, (size, options) in enumerate([((64, 32), {}), ((90, 41), {"exif": turned}), ((37, 70), {})]):
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / f"{i}.jpg", **options)
    Image.fromarray(random.integers(0, 256, (80, 40), np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(random.integers(0, 256, (80, 40, 4), np.uint8)).save(tmp_path / "see_through.png")
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_US, str(made / "onnx"), str(tmp_path / "found.npz"), *paths],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found, wanted = np.load(tmp_path / "found.npz"), people.describe(paths)
    assert largest_difference("features", wanted.features, found["features"]) < 1e-4
    assert largest_difference("features", wanted.features[:1], found["features_alone"]) < 1e-4
    np.testing.assert_allclose(found["junk"], wanted.junk, atol=1e-5)
    assert wanted.masks is not None
    assert largest_difference("mask", wanted.masks, found["mask"]) <= 1
    said = re.findall(r"^  (\w+): (\w+)$", done.stdout, re.MULTILINE)
    assert said == [(name, wanted.attributes[name][i]) for i in range(len(paths)) for name in wanted.attributes]
    apart = [float(each) for each in re.findall(r"distance from the first: (\S+)", done.stdout)]
    near = people.rank(paths[0], paths, k=len(paths)).set_index("image")["distance"]
    np.testing.assert_allclose(apart, near[paths], atol=0.06)


def test_the_page_shows_the_code_of_the_example(made: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "export.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert shown.startswith("def pixels(") and shown in (made / "onnx" / "example.py").read_text(encoding="utf-8")


def test_the_example_without_photos_says_what_to_give(made: Path) -> None:
    done = subprocess.run([sys.executable, made / "onnx" / "example.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("People by ONNX Runtime") and "Traceback" not in done.stderr


def test_the_example_says_which_photo_is_not_read(made: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    for name, reason in (("absent.jpg", "No such file"), ("text.jpg", "cannot identify")):
        command = [sys.executable, made / "onnx" / "example.py", tmp_path / name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert done.stderr.startswith(f"{tmp_path / name} is not read: ") and reason in done.stderr


def test_the_command_tells_both_figures_and_replaces_an_earlier_export(project: Path, bruna: Run) -> None:
    for _ in range(2):
        status, out, err = bruna("export", "--to", "onnx")
        assert status == 0, err
    assert re.search(r"onnx, checked on 16 images", out) and re.search(
        r"mAP, market1501 protocol, validation +0\.\d{4}", out
    )
    assert "bruna.onnx, images a second" in out and "Different attribute values: 0." in out
    assert out.endswith("Next: `python onnx/example.py PHOTO PHOTO`\n")
    assert sorted(path.name for path in project.iterdir()) == ["artifacts", "onnx", "params.yaml", "presets"]


def _unet(people: Describer) -> torch.Tensor:
    assert people.unet is not None
    return people.unet.network.out.bias  # type: ignore[return-value]


def _task1(people: Describer) -> torch.Tensor:
    assert people.attribute_network is not None
    return people.attribute_network.network.head.bias


def _bruna(people: Describer) -> torch.Tensor:
    assert people.bruna is not None
    return people.bruna.network.backbone_norm.bias


@pytest.mark.parametrize(
    ("weights", "output"), [(_unet, "mask"), (_task1, "junk"), (_bruna, "features")], ids=["unet", "task1", "bruna"]
)
def test_a_graph_of_other_weights_is_refused_and_leaves_nothing(
    weights: Callable[[Describer], torch.Tensor], output: str, project: Path
) -> None:
    people = load("artifacts", "cpu")
    with torch.no_grad():
        weights(people).add_(torch.linspace(0.1, 0.2, len(weights(people))))
    with pytest.raises(BrunaError, match=rf"does not give torch's numbers: {output} differs by .*Nothing was written"):
        export(people, project / "artifacts", project / "onnx")
    assert sorted(path.name for path in project.iterdir()) == ["artifacts", "params.yaml", "presets"]


def test_what_is_compared_is_compared() -> None:
    ones = np.ones((2, 4), np.float32)
    assert largest_difference("features", ones, ones * 1.01) == pytest.approx(0.01, rel=1e-4)
    assert largest_difference("junk", ones, ones + 0.02) == pytest.approx(0.02, rel=1e-4)
    assert largest_difference("junk", ones, ones[:1]) == float("inf")
    with pytest.raises(BrunaError, match="features differs by nan"):
        Agreement(2).add({"features": ones}, {"features": ones * np.nan}, ())
    agreement = Agreement(1)
    even = np.array([[0.499999]], np.float32)
    agreement.add({"attribute_features": even}, {"attribute_features": even + 2e-6}, ATTRIBUTES[1:2])
    assert (agreement.attribute_values, agreement.different_attribute_values) == (1, 1)


def test_of_a_data_set_without_identities_the_other_networks_are_exported(project: Path, bruna: Run) -> None:
    shutil.rmtree("artifacts/bruna")
    write_json({"trained": False, "version": 3}, Path("artifacts/bruna/settings.json"))
    status, out, err = bruna("export", "--to", "onnx")
    assert status == 0, err
    assert "bruna.onnx" not in out and "mAP" not in out
    model = read_json(Path("onnx/model.json"))
    assert list(model["graphs"]) == ["unet.onnx", "task1.onnx"]
    assert model["distance"] is None and model["calibration"] is None and model["validation"] is None
    assert model["attributes_from"] == ["attribute_probabilities"]


def _write(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("mine")


def _no_validation() -> None:
    write_table(person_table([2], 1).iloc[:0], Path("artifacts/split/validation.parquet"))


MISTAKES: dict[str, tuple[Callable[[], object], str, str]] = {
    "other things": (lambda: _write("onnx/notes.txt"), "onnx", r"onnx is no earlier export: it holds notes\.txt"),
    "graphs alone": (lambda: _write("onnx/unet.onnx"), "onnx", r"onnx is no earlier export: it holds unet\.onnx"),
    "a file": (lambda: _write("onnx"), "onnx", "onnx is no folder"),
    "a link": (lambda: Path("onnx").symlink_to("elsewhere"), "onnx", "onnx is a link. Give the place that it leads to"),
    "here": (lambda: None, ".", "is the working folder or the top of the disk"),
    "the models": (lambda: None, "artifacts", "artifacts is no earlier export: it holds attributes"),
    "in the models": (lambda: None, "artifacts/bruna/onnx", "lies in artifacts/bruna, which DVC keeps"),
    "below a file": (lambda: None, "params.yaml/onnx", r"could not write .*params\.yaml/onnx"),
    "no images": (lambda: shutil.rmtree("artifacts/split"), "onnx", r"validation\.parquet is missing"),
    "an empty table": (_no_validation, "onnx", "has no image to check the graphs on"),
    "no models": (lambda: shutil.rmtree("artifacts"), "onnx", "artifacts is no folder"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_a_message_and_nothing_is_written(mistake: str, project: Path, bruna: Run) -> None:
    prepare, to, said = MISTAKES[mistake]
    prepare()
    before = sorted(map(str, project.rglob("*")))
    status, out, err = bruna("export", "--to", to)
    assert status == 1 and out == "" and err.startswith("error: ") and re.search(said, err), err
    assert sorted(map(str, project.rglob("*"))) == before


def test_without_the_extra_a_message_says_what_brings_it(
    project: Path, bruna: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bruna.export.onnx_file.find_spec", lambda name: None if name == "onnxruntime" else find_spec(name)
    )
    status, _, err = bruna("export", "--to", "onnx")
    assert (
        status == 1
        and err
        == "error: an export needs onnxruntime, which is not installed: `pip install 'bruna[export]'` brings it.\n"
    )
    assert not Path("onnx").exists()


def test_the_json_of_an_export_is_whole_numbers_and_words(made: Path) -> None:
    """No NaN or infinity, which JSON has no word for."""
    for name in ("model.json", "export.json"):
        json.loads((made / "onnx" / name).read_text(), parse_constant=pytest.fail)
