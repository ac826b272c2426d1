"""The epoch loop: a training that is stopped anywhere and goes on ends with the very same weights."""

import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import Task, as_json, task1_tasks
from bruna.errors import BrunaError
from bruna.inference.attributes import AttributePredictor
from bruna.inference.saving import save_models
from bruna.metrics.attributes import scores, task_metrics
from bruna.params import Params, TrainAttributes, TrainBruna, TrainUNet, read_params
from bruna.processes import ALONE
from bruna.tracking.protocol import NullTracker
from bruna.training.attributes import train_attributes
from bruna.training.bruna import train_bruna
from bruna.training.checkpoint import Checkpoints
from bruna.training.ema import WeightEMA
from bruna.training.loop import _Losses, _tensors, run
from bruna.training.schedules import cosine, learning_rate_factor, margin_of_epoch
from bruna.training.task_counts import accuracies, balanced_accuracies, counts, epoch_metrics
from bruna.training.task_weights import next_task_weights
from bruna.training.unet import best_constant_iou, train_unet
from course_schema import TASKS
from person_table import mask_pairs, person_table
from tiny_records import train_too_fast

CPU = torch.device("cpu")
SIZE = (32, 16)


@pytest.fixture(scope="module")
def params() -> Params:
    return read_params(Path(__file__).parents[2] / "params.yaml")


class _Interrupting(NullTracker):
    """Ends the process' training by a signal once `after` epochs are logged."""

    def __init__(self, after: int, logged: int = 0) -> None:
        self.after, self.logged, self.steps = after, logged, []

    def last_step(self, name: str) -> int:
        return self.logged

    def metrics(self, values: Any, step: int | None = None) -> None:
        self.steps.append(step)
        if step == self.after:
            raise KeyboardInterrupt


def _same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return all(torch.equal(a[key], b[key]) for key in a)


_EVERY_OPTION = {
    "last_stride": 1,
    "neck": "batch_norm",
    "batch_tuples": 3,
    "anchors": "across_cameras",
    "negatives": "in_batch",
    "schedule": "cosine",
    "warmup_epochs": 1,
    "identity_weight": 1.0,
    "identity_margin": 0.2,
    "batch_hard_weight": 1.0,
    "adversary_loss": "unit_regression",
}


@pytest.mark.parametrize("options", [{}, _EVERY_OPTION], ids=["sample", "every option"])
def test_bruna_resumed_after_an_epoch_ends_with_identical_weights_and_history(
    tmp_path: Path, params: Params, options: dict[str, Any]
) -> None:
    small: TrainBruna = params.train_bruna.model_copy(
        update={
            "image_size": SIZE,
            "epochs": 3,
            "mask": "none",
            "bottleneck": False,
            "features": 32,
            "batch_tuples": 2,
            "tuples_per_identity": 1,
            "validate_every": 1,
            **options,
        }
    )
    people = person_table(range(1, 7), 4), person_table(range(7, 10), 4)

    def trained(folder: Path, tracker: NullTracker) -> Any:
        checkpoints = Checkpoints(folder)
        return train_bruna(*people, None, small, tracker=tracker, checkpoints=checkpoints, device=CPU)

    whole = trained(tmp_path / "whole", NullTracker())
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", _Interrupting(2))
    resumed_log = _Interrupting(-1, logged=1)  # killed after the second checkpoint, before its epoch was logged
    resumed = trained(tmp_path / "killed", resumed_log)
    assert _same(whole.bruna, resumed.bruna) and _same(whole.adversary, resumed.adversary)
    assert whole.history == resumed.history
    assert resumed_log.steps == [2, 3]
    assert _same(whole.untrained, resumed.untrained) and not _same(whole.untrained, whole.bruna)
    assert whole.history[-1]["train/margin"] == pytest.approx(20 * 1.1**2)


def test_a_signal_in_the_middle_of_an_epoch_saves_and_the_resumed_unet_is_identical(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    small: TrainUNet = params.train_unet.model_copy(
        update={"image_size": SIZE, "depth": 2, "width": 2, "epochs": 2, "batch_size": 2}
    )
    pairs = mask_pairs(SIZE)

    def trained(folder: Path) -> Any:
        return train_unet(pairs, small, tracker=NullTracker(), checkpoints=Checkpoints(folder), device=CPU)

    whole = trained(tmp_path / "whole")
    steps = 0
    take = torch.optim.Adam.step

    def interrupted(self: torch.optim.Adam, *args: Any, **kwargs: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 6:  # second step of the second epoch
            signal.raise_signal(signal.SIGINT)
        return take(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed")
    saved = Checkpoints(tmp_path / "killed").newest()
    assert saved is not None and saved[1:] == (1, 2)
    resumed = trained(tmp_path / "killed")
    assert steps == 8
    assert _same(whole.model, resumed.model) and whole.history == resumed.history


class _Counting:
    """Ten steps an epoch, a signal in the fourth of the first."""

    name, seed, epochs, advice, processes = "counting", 0, 2, "Count less.", ALONE
    networks: Sequence[torch.nn.Module] = ()

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []

    def steps(self, epoch: int) -> int:
        return 10

    def step(self, epoch: int, step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        self.taken.append((epoch, step))
        if self.taken[-1] == (0, 3):
            signal.raise_signal(signal.SIGINT)
        return {"loss": torch.tensor(float(step))}

    def batch_paths(self, epoch: int, step: int) -> list[str]:
        return [f"{epoch}/{step}.jpg"] * 12

    def end_epoch(self, epoch: int) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
def test_a_signal_that_is_ignored_cuts_no_epoch_short(handler: Any, tmp_path: Path) -> None:
    """A shell starts background jobs with SIGINT ignored; and a handler of somebody's may return."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        recipe = _Counting()
        history = run(recipe, checkpoints=Checkpoints(tmp_path), tracker=NullTracker(), unit="images", per_step=1)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert recipe.taken == [(epoch, step) for epoch in range(2) for step in range(10)]
    assert [record["train/loss"] for record in history] == [4.5, 4.5]


class _Diverging(_Counting):
    """Losses of a step that are told beforehand; a weight follows them."""

    name = "diverging"

    def __init__(self, told: dict[tuple[int, int], dict[str, float]], weight: dict[tuple[int, int], float]) -> None:
        super().__init__()
        self.told, self.later, self.weight = told, weight, torch.zeros(2)

    def step(self, epoch: int, step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        self.taken.append((epoch, step))
        self.weight[1] = self.later.get((epoch, step), 1.0)
        told = {"loss": 2.0, "adversarial_loss": -1.0, **self.told.get((epoch, step), {})}
        return {name: torch.tensor(value) for name, value in told.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"networks": [{"weight": self.weight}], "step": self.weight.numel()}


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("told", "weight", "taken", "says"),
    [
        ({(1, 3): {"loss": NAN}}, {}, 14, "step 4 of 10 of epoch 2: loss was nan; the loss of the first step was 2."),
        ({(0, 0): {"loss": INF}}, {}, 1, "step 1 of 10 of epoch 1: loss was inf"),
        ({(0, 9): {"adversarial_loss": -INF}}, {}, 10, "step 10 of 10 of epoch 1: adversarial_loss was -inf"),
        ({(1, 0): {"loss": 20_001.0}}, {}, 11, "step 1 of 10 of epoch 2: loss was 2e+04"),
        ({(1, 0): {"loss": 8e16}}, {}, 11, "loss was 8e+16"),
        ({(0, 0): {"loss": 1e-9}, (1, 2): {"loss": 10_001.0}}, {}, 13, "step 3 of 10 of epoch 2"),
        ({}, {(0, 9): NAN}, 10, "step 10 of 10 of epoch 1: networks/0/weight had numbers that are not finite after it"),
        ({}, {(1, 9): INF}, 20, "step 10 of 10 of epoch 2: networks/0/weight"),
    ],
)
def test_a_training_that_diverges_stops_and_no_checkpoint_has_its_state(
    told: dict[tuple[int, int], dict[str, float]],
    weight: dict[tuple[int, int], float],
    taken: int,
    says: str,
    tmp_path: Path,
) -> None:
    recipe, checkpoints = _Diverging(told, weight), Checkpoints(tmp_path)
    with pytest.raises(BrunaError, match="diverging has diverged") as error:
        run(recipe, checkpoints=checkpoints, tracker=NullTracker(), unit="images", per_step=1)
    assert says in str(error.value) and "Count less." in str(error.value)
    epoch, step = recipe.taken[-1]
    assert len(recipe.taken) == taken and f"12 images, {epoch}/{step}.jpg" in str(error.value)
    files = [path.name for path in tmp_path.glob("*.pt")]
    assert files == (["00001-0000000.pt"] if epoch else [])
    assert (str(tmp_path / "00001-0000000.pt") if epoch else "No checkpoint was written") in str(error.value)
    saved = checkpoints.newest()
    assert not epoch or (saved is not None and saved[0]["recipe"]["networks"][0]["weight"].isfinite().all())


@pytest.mark.parametrize(
    ("told", "growth"),
    [
        ({(0, 5): {"loss": 19_999.0}}, 1.0),
        ({(1, 5): {"loss": 39_999.0}}, 2.0),
        ({(e, s): {"adversarial_loss": -(10.0 ** (3 * s))} for e in range(2) for s in range(10)}, 1.0),
    ],
)
def test_what_may_grow_does_not_stop_a_training(told: dict[tuple[int, int], dict[str, float]], growth: float) -> None:
    """A short peak, a loss whose margin grows, and the paper's adversarial loss, which has no lower bound."""
    recipe = _Diverging(told, {})
    run(
        recipe,
        checkpoints=Checkpoints(None),
        tracker=NullTracker(),
        unit="images",
        per_step=1,
        growth=lambda epoch: growth if epoch else 1.0,
    )
    assert len(recipe.taken) == 20


def test_a_training_that_goes_on_compares_with_the_first_step_of_all(tmp_path: Path) -> None:
    def trained(told: dict[tuple[int, int], dict[str, float]], tracker: NullTracker) -> None:
        recipe = _Diverging({(0, 0): {"loss": 0.5}, **told}, {})
        run(recipe, checkpoints=Checkpoints(tmp_path), tracker=tracker, unit="images", per_step=1)

    with pytest.raises(KeyboardInterrupt):
        trained({}, _Interrupting(1))
    with pytest.raises(BrunaError, match=r"step 4 of 10 of epoch 2: loss was 1\.5e"):
        trained({(1, 3): {"loss": 15_000.0}}, NullTracker())


def test_losses_that_are_looked_at_together_name_the_first_bad_step() -> None:
    """As on a GPU, where a look at each would make it wait."""
    losses = _Losses(_Diverging({}, {}), Checkpoints(None), lambda _: 1.0)
    some = ((0, 1.0), (1, 2.0), (2, NAN), (3, INF))
    losses._unseen = [(0, step, {"loss": torch.tensor(value)}) for step, value in some]
    with pytest.raises(BrunaError, match="step 3 of 10 of epoch 1: loss was nan; the loss of the first step was 1"):
        losses.look()


@pytest.mark.parametrize("name", ["train_unet", "train_attributes", "train_bruna"])
def test_a_learning_rate_far_too_high_stops_each_training(name: str, params: Params, tmp_path: Path) -> None:
    with pytest.raises(BrunaError, match=rf"{name} has diverged in step \d+ of \d+ of epoch \d+: ") as error:
        train_too_fast(name, params, Checkpoints(tmp_path))
    said = str(error.value)
    assert f"Lower {name}.lr" in said and "1000" in said
    image = r"\d\.jpg" if name == "train_unet" else r"train/\d{4}_c\d_\d{9}\.jpg"
    assert re.search(rf"The batch, should it be its images: \d+ images, {image}, ", said)
    for path in tmp_path.glob("*.pt"):
        state = torch.load(path, weights_only=True)["state"]
        assert all(bool(value.isfinite().all()) for _, value in _tensors(state, ""))


def test_the_best_constant_mask_by_hand() -> None:
    train = torch.tensor([[[1, 1, 1, 0]], [[1, 1, 0, 0]], [[1, 0, 0, 0]]]).bool()
    held_out = torch.tensor([[[1, 1, 0, 0]], [[1, 1, 1, 0]]]).bool()
    # Shares 1, 2/3, 1/3, 0: the masks 1000, 1100, 1110 and 1111 are tried; 1100 has IoU 1 and 2/3, 1110 2/3 and 1.
    assert best_constant_iou(train, held_out) == pytest.approx((1 + 2 / 3) / 2)
    assert best_constant_iou(~train[:1], torch.ones(1, 1, 4).bool()) == 1.0


def test_task1_learns_from_every_kind_of_draw(params: Params) -> None:
    small: TrainAttributes = params.train_attributes.model_copy(
        update={
            "image_size": SIZE,
            "epochs": 2,
            "batch_size": 8,
            "junk_share": 0.3,
            "weak_share": 0.3,
            "task_weights": "raise_worst",
        }
    )
    result = train_attributes(
        person_table(range(1, 7), 4),
        person_table(range(7, 10), 4),
        small,
        tracker=NullTracker(),
        checkpoints=Checkpoints(None),
        device=CPU,
    )
    first, second = result.history
    weights = [second[f"train/task_weight/{name}"] / first[f"train/task_weight/{name}"] for name in ("age", "hat")]
    assert all(ratio == pytest.approx(1) or ratio == pytest.approx(1.1) for ratio in weights)
    assert first["train/loss/junk"] > 0
    assert (result.validation.true[:, -1] == 1).sum() == 2  # every tenth of 12 images, as junk
    assert result.train.predicted.shape == (24 + 3, 15)


def test_task1_trains_with_every_option_on(params: Params, tmp_path: Path) -> None:
    small: TrainAttributes = params.train_attributes.model_copy(
        update={
            "network": "simple_cnn",
            "image_size": SIZE,
            "epochs": 2,
            "batch_size": 8,
            "last_stride": 1,
            "pool": "halves",
            "dropout": 0.5,
            "flip_test": True,
            "warmup_epochs": 0.5,
            "ema_decay": 0.9,
            "identity_weight": 0.5,
            "label_smoothing": 0.1,
            "logit_adjustment": 1.0,
        }
    )
    people = person_table(range(1, 7), 4), person_table(range(7, 10), 4)

    def trained(folder: Path | None, tracker: NullTracker) -> Any:
        return train_attributes(*people, small, tracker=tracker, checkpoints=Checkpoints(folder), device=CPU)

    whole = trained(None, NullTracker())
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, _Interrupting(1))
    assert _same(whole.model, trained(tmp_path, NullTracker()).model)
    kept = {"network", "last_stride", "pool", "dropout", "flip_test", "image_size", "camera_classes"}
    settings = {**small.model_dump(include=kept), "attributes": as_json(ATTRIBUTES)}
    save_models(tmp_path / "model", {"model": whole.model}, settings)
    loaded = AttributePredictor.load(tmp_path / "model", CPU)
    again = loaded.network
    assert loaded.size == SIZE and _same(whole.model, again) and again.tasks == whole.model.tasks == TASKS
    assert loaded.attributes == ATTRIBUTES
    images = torch.rand(3, 3, *SIZE)
    with torch.inference_mode():
        predicted = again.predict(images)
        torch.testing.assert_close(predicted, (again(images) + again(images.flip(3))) / 2)
        torch.testing.assert_close(predicted, again.predict(images.flip(3)))  # a mirror image is told the same


@pytest.mark.parametrize("cameras", [(), (3,)])
def test_task1_trains_on_another_schema(cameras: tuple[int, ...], params: Params) -> None:
    """Three values and a binary attribute, with no camera told or another one than the course's."""
    schema = (Task("glasses", ("none", "clear", "dark")), Task("bag", ("no", "yes")))
    small: TrainAttributes = params.train_attributes.model_copy(
        update={
            "network": "simple_cnn",
            "image_size": SIZE,
            "epochs": 2,
            "batch_size": 8,
            "junk_share": 0.3,
            "weak_share": 0.3,
            "identity_weight": 0.5,
            "task_weights": "raise_worst",
            "camera_classes": cameras,
        }
    )
    people = (person_table(people, 4, attributes=schema) for people in (range(1, 7), range(7, 10)))
    result = train_attributes(*people, small, tracker=NullTracker(), checkpoints=Checkpoints(None), device=CPU)
    tasks = task1_tasks(schema, cameras)
    assert result.model.tasks == result.train.tasks == result.validation.tasks == tasks
    assert result.train.predicted.shape == (24 + 3, len(tasks))
    assert result.train.logits.shape == (24 + 3, 3 + 1 + len(cameras) + 1)
    codes = np.array([[i % 3, i % 2] for i in range(1, 7) for _ in range(4)])
    assert np.array_equal(result.train.true[:24, :2], codes) and (result.train.true[24:, :-1] == -1).all()
    shown = [k % 6 + 1 for _ in range(6) for k in range(4)]
    assert result.train.true[:24, 2:-1].tolist() == [[int(camera == c) for c in cameras] for camera in shown]
    names = [*(task.name for task in tasks)]
    last = result.history[-1]
    assert [key.removeprefix("train/loss/") for key in last if key.startswith("train/loss/")] == names
    weights = [last[f"train/task_weight/{name}"] * len(tasks) for name in names]
    assert sorted(weights) == pytest.approx([1] * (len(tasks) - 1) + [1.1])
    mean = (last["validation/accuracy/glasses"] + last["validation/accuracy/bag"]) / 2
    assert last["validation/accuracy"] == pytest.approx(mean)


def test_a_truncated_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for epoch in range(3):
        checkpoints.save({"value": torch.tensor(epoch)}, epoch, 0)
    files = sorted(tmp_path.glob("*.pt"))
    assert len(files) == 2
    files[-1].write_bytes(files[-1].read_bytes()[:100])
    state, epoch, step = checkpoints.newest() or ({}, -1, -1)
    assert (int(state["value"]), epoch, step) == (1, 1, 0)
    files[0].write_bytes(b"")
    assert checkpoints.newest() is None


def test_task_weights_by_hand() -> None:
    weights, found = torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.6])
    torch.testing.assert_close(next_task_weights(weights, found, "equal"), weights)
    torch.testing.assert_close(next_task_weights(weights, found, "raise_worst"), torch.tensor([0.5, 0.55]))


def test_accuracies_by_hand_count_only_values_that_occur() -> None:
    confusion = torch.tensor([[[3, 1, 0], [2, 2, 0], [0, 0, 0]], [[5, 1, 0], [0, 0, 0], [0, 0, 0]]])
    torch.testing.assert_close(balanced_accuracies(confusion), torch.tensor([(0.75 + 0.5) / 2, 5 / 6]))
    assert accuracies(confusion).tolist() == [5 / 8, 5 / 6]


def test_an_epoch_is_measured_as_the_closing_figures_are() -> None:
    """Against scikit-learn, by which the stage's figures are measured; -1 counts nowhere."""
    random = np.random.default_rng(0)
    widths = [len(task.values) for task in TASKS]
    truth = np.stack([random.integers(-1, width, 60) for width in widths], axis=1)
    predicted = np.stack([random.integers(0, width, 60) for width in widths], axis=1)
    expected = scores(task_metrics(truth, predicted, TASKS))
    confusion = sum(
        counts(torch.from_numpy(predicted[a:b]), torch.from_numpy(truth[a:b]), TASKS) for a, b in ((0, 7), (7, 60))
    )
    found = epoch_metrics("train", confusion, TASKS)
    for figure in ("accuracy", "balanced_accuracy"):
        assert found[f"train/{figure}"] == pytest.approx(expected[f"attributes/{figure}"], abs=1e-6)
        for task in TASKS:
            assert found[f"train/{figure}/{task.name}"] == pytest.approx(expected[f"{task.name}/{figure}"], abs=1e-6)


def test_cosine_starts_at_one_and_ends_at_zero() -> None:
    assert cosine(0, 10) == 1 and cosine(5, 10) == pytest.approx(0.5) and cosine(10, 10) == pytest.approx(0)


def test_learning_rate_factor_by_hand() -> None:
    factors = [learning_rate_factor(p, 10, 2, "constant") for p in (0, 0.5, 1, 2, 7, 10)]
    assert factors == [0, 0.25, 0.5, 1, 1, 1]
    warm = [learning_rate_factor(p, 10, 2, "cosine") for p in (1, 2, 6, 10)]
    assert warm == pytest.approx([0.5, 1, 0.5, 0])
    assert learning_rate_factor(0.75, 3, 1.5, "cosine") == 0.5
    for position in (0, 0.1, 3.7, 10):  # without a warm-up the bare wave, to the last bit
        assert learning_rate_factor(position, 10, 0, "cosine") == cosine(position, 10)
    with pytest.raises(ValueError, match="linear"):
        learning_rate_factor(0, 10, 0, "linear")


def test_the_margin_grows_by_its_factor_up_to_its_maximum() -> None:
    assert [margin_of_epoch(epoch, 20, 1.5, 56) for epoch in range(5)] == pytest.approx([20, 30, 45, 56, 56])


def test_the_ema_of_weights_by_hand() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    ema = WeightEMA(model, 0.75)
    for value in (4.0, 8.0, 0.0):
        torch.nn.init.constant_(model.weight, value)
        ema.update()
    kept = ema.network.state_dict()["weight"]
    assert kept.item() == pytest.approx(0.75 * (0.75 * 4 + 0.25 * 8) + 0.25 * 0)
    again = WeightEMA(torch.nn.Linear(1, 1, bias=False), 0.75)
    again.load_state_dict(ema.state_dict())
    assert torch.equal(again.network.state_dict()["weight"], kept)
    assert WeightEMA(model, 0.0).network is model
