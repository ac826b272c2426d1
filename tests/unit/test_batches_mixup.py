"""Mix-up: what is blended with what, and what the blend is judged by."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bruna.batches.mixup import Mixture, draw_mixture


def test_images_and_losses_are_blended_in_the_same_shares() -> None:
    mixture = Mixture(0.75, torch.tensor([1, 0, 2]))
    images = torch.tensor([0.0, 1.0, 0.5]).view(3, 1, 1, 1)

    assert mixture.images(images).flatten().tolist() == [0.25, 0.75, 0.5]
    # By hand: the targets sum to 8 with weights 1, 2, 3 as they stand and to 7 with the first two exchanged.
    weights = torch.tensor([1.0, 2.0, 3.0])
    assert mixture.loss(lambda true: (weights * true).sum(), torch.tensor([1.0, 2.0, 1.0])).item() == 7.75


@given(st.integers(1, 40), st.floats(0.05, 5), st.integers(0, 2**32))
def test_an_image_is_mostly_itself_and_every_image_is_a_partner_once(count: int, alpha: float, seed: int) -> None:
    mixture = draw_mixture(count, alpha, np.random.default_rng(seed))

    assert mixture is not None
    assert 0.5 <= mixture.share <= 1
    assert sorted(mixture.partner.tolist()) == list(range(count))


def test_no_blending_without_alpha() -> None:
    assert draw_mixture(4, 0.0, np.random.default_rng(0)) is None


def test_the_shares_follow_the_beta_distribution() -> None:
    drawn = [draw_mixture(2, 0.2, np.random.default_rng(seed)) for seed in range(4000)]
    shares = np.array([mixture.share for mixture in drawn if mixture is not None])

    # |x - 1/2| of Beta(a, a): E[(x - 1/2)^2] = 1 / (4 (2a + 1)), 0.1786 for a = 0.2.
    assert abs(((shares - 0.5) ** 2).mean() - 0.1786) < 0.005
