"""The losses against hand-worked numbers and torch's own functions."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.priors import log_priors
from bruna.dataset.schema import Task, logit_slices
from bruna.losses import (
    adjusted_logits,
    adversarial_loss,
    adversarial_regression,
    attribute_losses,
    batch_hard_loss,
    euclidean,
    leave_one_out_distances,
    segmentation_loss,
    sigmoid_loss,
    triplet_loss,
)
from course_schema import LOGITS, TASKS


def test_sigmoid_loss_is_the_negative_log_likelihood_and_never_vanishes_when_wrong() -> None:
    logits = torch.tensor([-2.0, 0.0, 3.0])
    for target in (0, 1):
        targets = torch.full((3,), target)
        expected = F.binary_cross_entropy_with_logits(logits, targets.float(), reduction="none")
        torch.testing.assert_close(sigmoid_loss(logits, targets), expected)
    wrong = torch.tensor([-1000.0], requires_grad=True)
    sigmoid_loss(wrong, torch.ones(1)).sum().backward()
    assert wrong.grad is not None and wrong.grad.item() == -1


def test_attribute_losses_against_torch_with_missing_annotations() -> None:
    torch.manual_seed(0)
    logits = torch.randn(6, LOGITS + 3)
    values = torch.tensor([len(a.values) for a in ATTRIBUTES] + [2, 2, 2])
    targets = (torch.rand(6, 15) * values).long()
    targets[2, :12] = -1
    targets[:, 3] = -1
    losses = attribute_losses(logits, targets, TASKS)
    assert losses.shape == (len(TASKS),)
    known = [0, 1, 3, 4, 5]
    for i, (attribute, where) in enumerate(zip(ATTRIBUTES, logit_slices(ATTRIBUTES).values(), strict=True)):
        if i == 3:
            assert losses[i] == 0
        elif attribute.binary:
            expected = F.binary_cross_entropy_with_logits(logits[known, where.start], targets[known, i].float())
            torch.testing.assert_close(losses[i], expected)
        else:
            torch.testing.assert_close(losses[i], F.cross_entropy(logits[known, where], targets[known, i]))
    torch.testing.assert_close(
        losses[14], F.binary_cross_entropy_with_logits(logits[:, LOGITS + 2], targets[:, 14].float())
    )


def test_smoothed_losses_against_torch() -> None:
    torch.manual_seed(1)
    logits = torch.randn(8, LOGITS + 3)
    values = torch.tensor([len(a.values) for a in ATTRIBUTES] + [2, 2, 2])
    targets = (torch.rand(8, 15) * values).long()
    targets[5, :12] = -1
    known = [0, 1, 2, 3, 4, 6, 7]
    losses = attribute_losses(logits, targets, TASKS, 0.1)
    for i, (attribute, where) in enumerate(zip(ATTRIBUTES, logit_slices(ATTRIBUTES).values(), strict=True)):
        if attribute.binary:  # a target of 1 becomes 0.95, one of 0 becomes 0.05
            soft = targets[known, i] * 0.9 + 0.05
            expected = F.binary_cross_entropy_with_logits(logits[known, where.start], soft)
        else:
            expected = F.cross_entropy(logits[known, where], targets[known, i], label_smoothing=0.1)
        torch.testing.assert_close(losses[i], expected)
    torch.testing.assert_close(attribute_losses(logits, targets, TASKS, 0.0), attribute_losses(logits, targets, TASKS))


GLASSES, BAG = Task("glasses", ("none", "clear", "dark")), Task("bag", ("no", "yes"))


def test_losses_of_another_schema_by_hand() -> None:
    """The softmax of log shares is the shares: their negative logarithm is the loss."""
    logits = torch.tensor([[math.log(3), 0.2, 0.5, 0.3], [-math.log(3), 0.6, 0.1, 0.3], [9.0, 0.4, 0.4, 0.2]])
    logits[:, 1:] = logits[:, 1:].log()
    targets = torch.tensor([[1, 1], [1, 0], [-1, 2]])
    losses = attribute_losses(logits, targets, (BAG, GLASSES))
    assert losses.tolist() == pytest.approx(
        [-(math.log(3 / 4) + math.log(1 / 4)) / 2, -(math.log(0.5) + math.log(0.6) + math.log(0.2)) / 3]
    )
    other_way = attribute_losses(logits[:, [1, 2, 3, 0]], targets[:, [1, 0]], (GLASSES, BAG))
    torch.testing.assert_close(other_way, losses[[1, 0]])


def _codes() -> np.ndarray:
    """8 people: age teenager 6 and adult 2, hat 2 of 8, everything else value 0; one more who is not annotated."""
    codes = np.zeros((9, 12), dtype=np.int64)
    codes[:, 0] = [1] * 6 + [2] * 2 + [-1]
    codes[:, 8] = [1] * 2 + [0] * 6 + [-1]
    codes[8] = -1
    return codes


def test_log_priors_by_hand() -> None:
    priors = log_priors(_codes(), ATTRIBUTES)
    where = logit_slices(ATTRIBUTES)
    # Nobody is young or old: no finite logarithm, so nothing is added.
    assert priors[where["age"]].tolist() == pytest.approx([0, math.log(6 / 8), math.log(2 / 8), 0])
    assert priors[where["hat"]].tolist() == pytest.approx([math.log(2 / 6)])
    assert priors[where["gender"]].tolist() == [0]  # men only
    assert priors[where["upcolor"]].tolist() == [0] * 9  # black only: log 1


def test_log_priors_of_another_schema_by_hand() -> None:
    codes = np.array([[0, 1], [0, 1], [1, 0], [2, 1], [-1, 1]])
    priors = log_priors(codes, (GLASSES, BAG))
    assert priors.tolist() == pytest.approx([math.log(2 / 4), math.log(1 / 4), math.log(1 / 4), math.log(4)])
    assert log_priors(codes[:, :0], ()).shape == (0,)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_the_adjusted_loss_is_smallest_at_what_is_left_of_the_shares(tau: float) -> None:
    """Images that tell nothing: the best logits are (1 - tau) log share, so all values are level where tau is 1."""
    codes = _codes()[:8]
    priors = torch.tensor(log_priors(codes, ATTRIBUTES), dtype=torch.float64)
    z = (1 - tau) * priors
    age, hat = logit_slices(ATTRIBUTES)["age"], logit_slices(ATTRIBUTES)["hat"]
    z[[age.start, age.stop - 1]] = -60.0  # nobody is young or old
    z.requires_grad_()
    losses = attribute_losses(adjusted_logits(z.expand(8, -1), priors, tau), torch.from_numpy(codes), ATTRIBUTES)
    losses[[0, 8]].sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad[age], torch.zeros(4, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(z.grad[hat], torch.zeros(1, dtype=torch.float64), atol=1e-12, rtol=0)


def test_adjustment_leaves_camera_and_junk_alone() -> None:
    logits, priors = torch.randn(2, LOGITS + 3), torch.randn(LOGITS)
    adjusted = adjusted_logits(logits, priors, 0.5)
    torch.testing.assert_close(adjusted[:, :LOGITS], logits[:, :LOGITS] + 0.5 * priors)
    assert torch.equal(adjusted[:, LOGITS:], logits[:, LOGITS:])
    assert adjusted_logits(logits, priors, 0.0) is logits


def test_the_four_leave_one_out_centroids_by_hand() -> None:
    # Four corners of a square of side 6 and their mates: the centroid of three corners by hand.
    corners = torch.tensor([[[0.0, 0.0], [6.0, 0.0], [0.0, 6.0], [6.0, 6.0]]])
    # Without (0,0): mean (4,4), distance sqrt(32). By symmetry the same for all four.
    torch.testing.assert_close(leave_one_out_distances(corners), torch.full((1, 4), math.sqrt(32)))
    line = torch.tensor([[[0.0], [3.0], [6.0], [9.0]]])
    # means of the others: 6, 5, 4, 3
    torch.testing.assert_close(leave_one_out_distances(line), torch.tensor([[6.0, 2.0, 2.0, 6.0]]))


def test_triplet_loss_by_hand_keeps_the_same_person_term_beyond_the_margin() -> None:
    same, different = torch.tensor([2.0, 1.0]), torch.tensor([3.0, 30.0])
    # 2 + (20 - 3) and 1 + 0
    assert triplet_loss(same, different, 20.0).item() == pytest.approx((19 + 1) / 2)


def test_the_paper_s_adversarial_loss_by_hand() -> None:
    predicted, correct = torch.tensor([[4.0, 6.0]]), torch.tensor([[1.0, 0.0]])
    assert adversarial_loss(predicted, correct).item() == pytest.approx((-4 + 6) / 2)


def test_regression_of_all_pairs_by_hand() -> None:
    # Unit vectors at 0, 90 and 180 degrees: squared distances 2, 2 and 4.
    features = torch.tensor([[5.0, 0.0], [0.0, 2.0], [-1.0, 0.0]], requires_grad=True)
    predicted = torch.tensor([[9.0, 1.0, 3.5], [9.0, 9.0, 2.0], [9.0, 9.0, 9.0]], requires_grad=True)
    loss = adversarial_regression(predicted, features)
    assert loss.item() == pytest.approx((1 + 0.25 + 0) / 3)
    loss.backward()  # type: ignore[no-untyped-call]
    assert features.grad is None


def test_batch_hard_by_hand() -> None:
    # Unit vectors at 0, 60, 90 and 180 degrees; their distances are 2 sin(angle / 2).
    angles = torch.tensor([0.0, 60.0, 90.0, 180.0]) * math.pi / 180
    features = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.tensor([[1.0], [7.0], [2.0], [3.0]])
    loss = batch_hard_loss(features, torch.tensor([5, 5, 8, 9]), 0.3)
    at60, at90, at30 = 1.0, math.sqrt(2), 2 * math.sin(math.pi / 12)
    # The images of 5: positive at 60 degrees; nearest negative at 90 and at 30 degrees. 8 and 9 have no positive.
    expected = (max(0, 0.3 + at60 - at90) + 0.3 + at60 - at30) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert batch_hard_loss(features, torch.arange(4), 0.3).item() == 0


def test_euclidean_has_a_finite_gradient_at_zero_distance() -> None:
    a = torch.ones(2, 3, requires_grad=True)
    distances = euclidean(a, torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 4.0]]))
    assert distances.tolist() == [0.0, 3.0]
    distances.sum().backward()
    assert a.grad is not None and a.grad.tolist() == [[0, 0, 0], [0, 0, -1]]


def test_segmentation_loss_is_near_zero_for_a_sure_and_right_mask_only() -> None:
    masks = torch.zeros(1, 1, 4, 4)
    masks[..., :2, :] = 1
    sure = (masks * 2 - 1) * 20
    assert segmentation_loss(sure, masks).item() == pytest.approx(0, abs=1e-3)
    # Undecided: cross entropy log 2; of 8 pixels of the person and 8 predicted, 4 in common.
    assert segmentation_loss(0 * sure, masks).item() == pytest.approx(math.log(2) + 1 - 9 / 17)
    # All wrong: cross entropy 20, Dice loss 1 - 1/17.
    assert segmentation_loss(-sure, masks).item() == pytest.approx(20 + 1 - 1 / 17, rel=1e-4)
