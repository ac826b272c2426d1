"""The losses of a tuple, worked by hand and against a plain loop."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bruna.batches.persons import PersonStore
from bruna.batches.store import ImageStore
from bruna.losses import adversarial_regression
from bruna.models.adversary import Adversary
from bruna.training.adversary import Prediction, adversary_loss, mine_hard_negatives, predict_distances, rows_of
from bruna.training.tuple_losses import TupleLosses, tuple_losses

# A person at 0, 3, 6 and 9 on a line, negatives from 10 to 80.
ANCHORS = torch.tensor([[[0.0], [3.0], [6.0], [9.0]]])
NEGATIVES = torch.tensor([[[10.0], [20.0], [30.0], [40.0], [50.0], [60.0], [70.0], [80.0]]])
# The adversary takes the negatives at 30 and 80 for the nearest.
PREDICTED = torch.tensor([[9.0, 8.0, 1.0, 7.0, 6.0, 5.0, 4.0, 2.0]], requires_grad=True)


def _paper_loss(found: TupleLosses, predicted: torch.Tensor) -> torch.Tensor:
    """L_adv of the paper, where only the negatives' distances count."""
    prediction = Prediction(predicted, torch.empty(0), torch.empty(0))
    return adversary_loss(Adversary(), prediction, found, torch.empty(0), "paper")


def test_the_paper_s_losses_by_hand() -> None:
    found = tuple_losses(ANCHORS, NEGATIVES, PREDICTED, margin=60.0)
    # Centroids of the other three: 6, 5, 4, 3; distances 6, 2, 2, 6; d_same = 4.
    # Distances to 30: 30, 27, 24, 21; to 80: 80, 77, 74, 71; d_diff = (25.5 + 75.5) / 2 = 50.5.
    assert found.triplet.item() == pytest.approx(4 + 60 - 50.5)
    assert found.distances["same_person_distance"].item() == 4
    assert found.distances["different_person_distance"].item() == pytest.approx(50.5)
    assert found.distances["random_person_distance"].item() == pytest.approx(45 - 4.5)
    # The nearest are 10 and 20: (10 + 7 + 4 + 1) / 4 and 15.5.
    assert found.distances["hardest_person_distance"].item() == pytest.approx((5.5 + 15.5) / 2)
    # Bruna is right on both: -d_pred of 1 and 2.
    assert found.mined.tolist() == [[2, 7]] and found.correct.tolist() == [[1, 1]]
    assert _paper_loss(found, PREDICTED).item() == pytest.approx(-1.5)


def test_the_paper_s_adversary_is_rewarded_for_negatives_that_fool_bruna() -> None:
    near = torch.tensor([[[4.0], [20.0], [30.0], [40.0], [50.0], [60.0], [70.0], [80.0]]])
    guess = torch.tensor([[1.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 2.0]])
    found = tuple_losses(ANCHORS, near, guess, margin=60.0)
    # The negative at 4 is 4, 1, 2 and 5 from the person, 3 on average, nearer than d_same = 4: Bruna is wrong there.
    assert found.correct.tolist() == [[0, 1]]
    assert _paper_loss(found, guess).item() == pytest.approx((1 - 2) / 2)


def test_unit_regression_takes_every_pair_that_the_adversary_saw() -> None:
    adversary, metric = Adversary(unit=True), torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    seen, features = torch.tensor([0, 2, 4]), torch.eye(3, 576)
    found = tuple_losses(ANCHORS, NEGATIVES, PREDICTED, margin=60.0)
    loss = adversary_loss(adversary, Prediction(PREDICTED, features, seen), found, metric, "unit_regression")
    expected = adversarial_regression(2 - 2 * torch.eye(3), metric[seen])  # unit vectors at right angles
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.parametrize(("mining", "expected"), [("random", 15 - 4.5), ("hardest", 10.5), ("adversary", 50.5)])
def test_what_is_mined(mining: str, expected: float) -> None:
    found = tuple_losses(ANCHORS, NEGATIVES, PREDICTED, margin=60.0, mining=mining)
    assert found.distances["different_person_distance"].item() == pytest.approx(expected)


def test_gradients_reach_their_own_network_only() -> None:
    own = ANCHORS.clone().requires_grad_()
    guess = PREDICTED.detach().clone().requires_grad_()
    found = tuple_losses(own, NEGATIVES, guess, margin=60.0)
    _paper_loss(found, guess).backward()  # type: ignore[no-untyped-call]
    assert own.grad is None and guess.grad is not None
    guess.grad = None
    found.triplet.backward()  # type: ignore[no-untyped-call]
    assert own.grad is not None and guess.grad is None


class _Mean(torch.nn.Module):
    """Stands for an adversary whose feature is the mean brightness; counts the images it is shown."""

    shown = 0

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        self.shown += len(images)
        return images.mean(dim=(1, 2, 3), keepdim=False).unsqueeze(1)

    def distance(self, anchors: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        return (anchors.unsqueeze(1) - others).square().sum(dim=2)

    def pairwise(self, features: torch.Tensor) -> torch.Tensor:
        return (features - features.T).square()


def test_the_adversary_sees_each_image_once_and_compares_the_right_ones() -> None:
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 2, 2)
    first, others = torch.tensor([0, 4]), torch.tensor([[4, 5], [0, 1]])
    adversary = _Mean()
    found = predict_distances(adversary, images, first, others)  # type: ignore[arg-type]
    assert found.distances.tolist() == [[16.0, 25.0], [16.0, 9.0]]
    assert found.seen.tolist() == [0, 1, 4, 5]
    assert adversary.pairwise(found.features)[0].tolist() == [0.0, 1.0, 16.0, 25.0]
    assert adversary.shown == 4


class _Brightness(torch.nn.Module):
    """Stands for a Bruna whose only feature is the mean brightness."""

    def forward(self, images: torch.Tensor, *_: None) -> SimpleNamespace:
        assert not self.training
        return SimpleNamespace(features=255 * images.mean(dim=(1, 2, 3)).unsqueeze(1))


def test_what_is_mined_for_the_record_is_seen_from_the_first_image() -> None:
    # Row 14 is the first image, 13 the second; the negatives are 10 to 80, row 1 to 8.
    brightness = torch.tensor([255, *range(10, 90, 10), 200, 210, 220, 230, 61, 30], dtype=torch.uint8)
    store = PersonStore(ImageStore(brightness.view(-1, 1, 1, 1).expand(-1, 3, 2, 2).contiguous()), None, None)
    tuples = np.array([[14, 13, 9, 10, *range(1, 9)], [0, 9, 10, 11, *range(8, 0, -1)]])
    adversary = _Mean()
    found = mine_hard_negatives(_Brightness(), adversary, SimpleNamespace(store=store), tuples)  # type: ignore[arg-type]
    assert not adversary.training
    # From 30: itself at 0 (its twin, row 3) and 20 or 40; from 255: 80 and 70.
    assert found.mined[0, 0] == 2 and set(found.mined[0]) < {1, 2, 3} and found.mined[1].tolist() == [0, 1]
    np.testing.assert_allclose(found.distances[0], [20, 10, 0, 10, 20, 30, 40, 50], atol=1e-3)
    np.testing.assert_allclose(found.distances[1], 255 - np.arange(80, 0, -10), atol=1e-3)
    np.testing.assert_allclose(found.anchor_distances, [31, 55], atol=1e-3)
    assert found.tuples is tuples


def test_rows_of_takes_positions_of_any_shape() -> None:
    table = torch.arange(12.0).view(4, 3)
    positions = torch.tensor([[3, 0], [1, 1]])
    assert torch.equal(rows_of(table, positions), table[positions])


def test_leave_one_out_is_scale_free_of_order() -> None:
    shuffled = ANCHORS[:, [2, 0, 3, 1]]
    found = tuple_losses(shuffled, NEGATIVES, PREDICTED, margin=0.0)
    assert found.triplet.item() == pytest.approx(4)
