"""Trainings that diverge, and results that are no better than none."""

from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from damage import Damage, bruna, refusal

PROJECT = Path(__file__).resolve().parents[2]


@cache
def _params() -> Any:
    from bruna.params import read_params

    return read_params(PROJECT / "params.yaml")


def _too_fast(name: str, folder: Path) -> str:
    from bruna.training.checkpoint import Checkpoints
    from tiny_records import train_too_fast

    return refusal(partial(train_too_fast, name, _params(), Checkpoints(folder)))


def _bad_weights(folder: Path) -> str:
    """Weights that are no numbers after a step whose loss is one: they are found before they are kept."""
    import torch

    from bruna.training.checkpoint import Checkpoints
    from bruna.training.unet import train_unet
    from tiny_records import SIZE, NullTracker, mask_pairs, tiny

    def step(self: Any, *_: Any, **__: Any) -> None:
        self.param_groups[0]["params"][0].data[0] = float("nan")

    group = tiny(_params()).train_unet.model_copy(update={"epochs": 1, "batch_size": 8})
    shared: dict[str, Any] = {
        "tracker": NullTracker(),
        "checkpoints": Checkpoints(folder),
        "device": torch.device("cpu"),
    }
    with patch.object(torch.optim.Adam, "step", step):
        return refusal(partial(train_unet, mask_pairs(SIZE), group, **shared))


def _one_part(folder: Path) -> str:
    import torch

    from bruna.training.checkpoint import Checkpoints
    from bruna.training.unet import train_unet
    from tiny_records import SIZE, NullTracker, mask_pairs, tiny

    pairs = mask_pairs(SIZE).query("part == 'train'")
    shared: dict[str, Any] = {
        "tracker": NullTracker(),
        "checkpoints": Checkpoints(folder),
        "device": torch.device("cpu"),
    }
    return refusal(partial(train_unet, pairs, tiny(_params()).train_unet, **shared))


def _retrieved(features: list[list[float]], junk: float, cameras: list[int]) -> list[str]:
    """Warnings about four images of two people, with these features, probability of junk and cameras."""
    from types import SimpleNamespace

    import numpy as np
    import torch

    from bruna.evaluation.retrieval import retrieve
    from bruna.evaluation.warnings import retrieval_warnings
    from bruna.retrieval.gallery import Gallery

    gallery = Gallery(
        torch.tensor(features), torch.full((4, 2), 0.5), torch.tensor([1, 1, 2, 2]), torch.tensor(cameras)
    )
    found = SimpleNamespace(junk=np.full(4, junk, np.float32))
    images: Any = SimpleNamespace(gallery=gallery, plain=gallery, found=found)
    settings = _params().evaluate.model_copy(update={"filter_junk": True, "rerank": False})
    return retrieval_warnings(retrieve(images, images, settings), "validation identities", settings)


GOOD, BAD = [[0.0], [0.1], [5.0], [5.1]], [[0.0], [5.0], [0.1], [5.1]]


def _ranked(features: list[list[float]], junk: float, folder: Path) -> str:
    return "\n".join(_retrieved(features, junk, [1, 2, 1, 2]))


def _one_camera(folder: Path) -> str:
    return "\n".join(_retrieved(GOOD, 0.0, [1, 1, 1, 1]))


def _not_finite(folder: Path) -> str:
    return refusal(partial(_retrieved, [[0.0], [float("nan")], [5.0], [5.1]], 0.0, [1, 2, 1, 2]))


def _constant_unet(folder: Path) -> str:
    import torch

    from bruna.pipeline.train_unet import train_and_save
    from tiny_records import SIZE, NullTracker, mask_pairs, places, tiny

    group = tiny(_params()).train_unet.model_copy(update={"epochs": 1})
    with patch.object(torch.optim.Adam, "step", lambda *_, **__: None):
        return "\n".join(
            train_and_save(mask_pairs(SIZE), group, **places(folder, "unet", NullTracker())).get("warnings", [])
        )


def _constant_attributes(folder: Path) -> str:
    from bruna.metrics.baselines import attribute_warnings

    constant = {"accuracy": 0.7, "majority": 0.7, "balanced_accuracy": 0.5, "chance": 0.5}
    return "\n".join(attribute_warnings([constant], "Task 1, validation identities"))


def _summary(folder: Path) -> str:
    import contextlib
    import io

    from bruna.files import write_json

    write_json({"unet_iou": 0.2}, folder / "metrics" / "train_unet.json")
    write_json({"warnings": ["the U-Net learned nothing."]}, folder / "artifacts" / "train_unet" / "figures.json")
    said = io.StringIO()
    with patch("typer.echo", lambda text: said.write(f"{text}\n")), contextlib.redirect_stdout(io.StringIO()):
        bruna(folder, "bruna summary", status=0)
    return said.getvalue()


def _measured(quarantine: str, folder: Path) -> str:
    from tiny_dataset import write_dataset
    from tiny_models import save_tiny_models

    people = write_dataset(folder / "people")
    damaged = people / "gallery" / "0020_c2s1_000451_03.jpg"
    damaged.write_bytes(damaged.read_bytes()[:400])
    save_tiny_models(folder / "artifacts")
    text = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    (folder / "params.yaml").write_text(text.replace("on_bad_image: fail", f"on_bad_image: {quarantine}"))
    return bruna(folder, "bruna evaluate people", status=0 if quarantine == "quarantine" else 1)


def _no_folder(folder: Path) -> str:
    return bruna(folder, "bruna evaluate nowhere")


ROWS = [
    *(
        Damage(
            f"a learning rate at which the loss of {what} explodes",
            f"dvc repro {name}",
            f"Lower {name}.lr",
            partial(_too_fast, name),
        )
        for name, what in (("train_unet", "the U-Net"), ("train_attributes", "Task 1"), ("train_bruna", "Bruna"))
    ),
    Damage(
        "a step after which weights are no numbers",
        "dvc repro train_unet",
        "had numbers that are not finite after it. No checkpoint was written before it.",
        _bad_weights,
    ),
    Damage("mask pairs for one side only", "dvc repro train_unet", "no mask pair is in part 'held_out'", _one_part),
    Damage(
        "a U-Net that learned nothing (a warning)",
        "dvc repro train_unet",
        "which one and the same mask for every image has: nothing was learned.",
        _constant_unet,
    ),
    Damage(
        "a Task 1 that always predicts the same (a warning)",
        "dvc repro train_attributes",
        "balanced accuracy 50.0% is not above 50.0%, which any constant prediction has: nothing was learned.",
        _constant_attributes,
    ),
    Damage(
        "a Bruna that ranks as chance does (a warning)",
        "dvc repro evaluate",
        "is not above that of a ranking at random",
        partial(_ranked, BAD, 0.0),
    ),
    Damage(
        "a Task 1 that takes every image for junk (a warning)",
        "dvc repro evaluate",
        "the junk filter left out 4 of 4 gallery images (100%), which Task 1 takes for junk",
        partial(_ranked, GOOD, 0.9),
    ),
    Damage(
        "people who are seen by one camera only (a warning)",
        "dvc repro evaluate",
        "no query has a match on another camera, which the Market-1501 protocol asks for; only the course protocol",
        _one_camera,
    ),
    Damage(
        "features that are no numbers",
        "dvc repro evaluate",
        "1 of 4 embeddings have features that are not finite",
        _not_finite,
    ),
    Damage("any of these warnings, later", "bruna summary", "warning: the U-Net learned nothing.", _summary),
    Damage("a folder to measure that is not there", "bruna evaluate nowhere", "nowhere is not a folder.", _no_folder),
    Damage(
        "a damaged image in a folder to measure",
        "bruna evaluate people",
        "gallery/0020_c2s1_000451_03.jpg",
        partial(_measured, "fail"),
    ),
    Damage(
        "the same with validate.on_bad_image: quarantine (a warning)",
        "bruna evaluate people",
        "warning: 3 of 4 images are measured, the others are damaged",
        partial(_measured, "quarantine"),
    ),
]
