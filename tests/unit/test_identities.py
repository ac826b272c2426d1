"""The identity loss that stands beside both trainings' own."""

import math

import pytest
import torch

from bruna.training.identity_loss import (
    NO_IDENTITY,
    CosineClassifier,
    class_numbers,
    cosine_logits,
    identity_head,
    identity_loss,
)


def test_class_numbers_are_places_among_the_identities() -> None:
    numbers, people = class_numbers(torch.tensor([1500, 7, 7, 42, 1500]))
    assert numbers.tolist() == [2, 0, 0, 1, 2] and people == 3


def test_the_loss_by_hand_leaves_out_images_without_an_identity() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [50.0, -50.0]])
    # Shares 3/4 and 1/4; with a tenth of the target spread over both: 0.95 and 0.05.
    expected = -(0.95 * math.log(0.75) + 0.05 * math.log(0.25))
    found = identity_loss(logits, torch.tensor([0, NO_IDENTITY]), 0.1)
    assert found.item() == pytest.approx(expected)


def test_without_people_the_head_does_nothing() -> None:
    features = torch.rand(2, 5)
    assert torch.equal(identity_head(5, 0)(features), features)
    assert identity_head(5, 3)(features).shape == (2, 3)


def test_cosine_logits_by_hand() -> None:
    classifier = CosineClassifier(2, 2)
    classifier.weight.data = torch.tensor([[2.0, 0.0], [0.0, 0.1]])  # their lengths do not matter, nor the embedding's
    cosines = classifier(torch.tensor([[3.0, 4.0], [-5.0, 0.0]]))
    assert cosines.flatten().tolist() == pytest.approx([0.6, 0.8, -1.0, 0.0])
    logits = cosine_logits(cosines, torch.tensor([0, 1]), 0.25)
    assert logits.flatten().tolist() == pytest.approx([24 * 0.35, 24 * 0.8, -24.0, -6.0])
