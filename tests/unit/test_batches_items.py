"""Task 1's draws, junk and targets; the seeds behind every draw."""

import numpy as np
import pytest
import torch
from scipy import stats

from bruna.batches.attribute_items import AttributeSampler, task1_targets, weak_images, zoom
from bruna.batches.seeds import derived_seed, numpy_generator, step_generator

N, PEOPLE = 3000, 100


def data() -> tuple[np.ndarray, np.ndarray]:
    """100 identities of 30 images: number 3 alone has code 2 in column 0, numbers 5 to 9 have code 1 in column 8."""
    identities = np.repeat(np.arange(PEOPLE), N // PEOPLE)
    codes = np.zeros((N, 12), dtype=np.int64)
    codes[identities == 3, 0] = 2
    codes[(identities >= 5) & (identities < 10), 8] = 1
    codes[identities == 20, 4] = -1
    return codes, identities


def test_weak_images_are_those_of_values_few_identities_bear() -> None:
    codes, identities = data()
    assert set(identities[weak_images(codes, identities, 6)]) == {3, 5, 6, 7, 8, 9}
    assert set(identities[weak_images(codes, identities, 5)]) == {3}  # unknown (-1) is no value
    assert len(weak_images(codes, identities, 1)) == 0
    assert len(weak_images(codes, identities, 6)) == 6 * 30


@pytest.mark.parametrize(("junk_share", "weak_share", "epochs"), [(0.1, 0.2, 10), (0.01, 0.01, 30)])
def test_shares_arrive_as_stated(junk_share: float, weak_share: float, epochs: int) -> None:
    """Junk, weak and camera items among the targets; the second row is the paper's 98% / 1% / 1%."""
    codes, identities = data()
    cameras = np.arange(N) % 10 + 1  # a tenth of the images from camera 4, a tenth from camera 6
    sampler = AttributeSampler(codes, identities, seed=0, junk_share=junk_share, weak_share=weak_share, weak_below=5)
    drawn = [sampler.epoch(epoch) for epoch in range(epochs)]
    indices, junk = (np.concatenate(part) for part in zip(*drawn, strict=True))
    # The one weak identity: its 1% of the pass where nothing replaced it, and the whole weak share.
    weak = int((identities[indices[~junk]] == 3).sum())
    share = weak_share + (1 - junk_share - weak_share) * 0.01
    assert stats.binomtest(weak, len(junk), share).pvalue > 1e-4
    assert stats.binomtest(int((identities[indices[junk]] == 3).sum()), int(junk.sum()), 0.01).pvalue > 1e-4
    targets = task1_targets(
        *(torch.from_numpy(part) for part in (codes[indices], cameras[indices], junk)), (4, 6)
    ).numpy()
    for column, expected in ((12, 0.1), (13, 0.1), (14, junk_share)):
        assert stats.binomtest(int((targets[:, column] == 1).sum()), len(targets), expected).pvalue > 1e-4
    assert (targets[junk, :12] == -1).all()


def test_without_weak_images_an_epoch_is_one_pass() -> None:
    codes, identities = data()
    sampler = AttributeSampler(codes, identities, seed=0, junk_share=0.0, weak_share=0.5, weak_below=0)
    indices, junk = sampler.epoch(0)
    assert not junk.any()
    assert sorted(indices) == list(range(N))
    assert not np.array_equal(indices, np.arange(N))
    assert np.array_equal(sampler.epoch(4)[0], sampler.epoch(4)[0])
    assert not np.array_equal(sampler.epoch(4)[0], indices)


def drawn(images: torch.Tensor) -> torch.Tensor:
    return torch.rand(len(images), 3, generator=step_generator(0))


def test_junk_is_a_small_part_of_its_own_image() -> None:
    """On a ramp of position the zoom's range of values tells which part is seen."""
    ramp = torch.linspace(0, 255, 128).round().to(torch.uint8)[:, None].expand(128, 64)
    across = torch.linspace(0, 255, 64).round().to(torch.uint8).expand(128, 64)
    images = torch.stack([ramp, across, torch.full_like(ramp, 9)]).expand(300, 3, 128, 64).contiguous()
    zoomed = zoom(images, drawn(images))
    assert zoomed.shape == images.shape
    assert zoomed.dtype == torch.uint8
    assert (zoomed[:, 2] == 9).all()
    for channel in (0, 1):
        seen = zoomed[:, channel].flatten(1).float()
        share = (seen.amax(1) - seen.amin(1)) / 255
        assert share.min() > 0.05
        assert share.max() < 0.31
        assert seen.amin() < 3  # every place occurs, up to the edges
        assert seen.amax() > 252
    assert torch.equal(zoomed, zoom(images, drawn(images)))
    assert not torch.equal(zoomed[0], zoomed[1])


def test_targets_worked_by_hand() -> None:
    codes = torch.arange(48).view(4, 12)
    targets = task1_targets(codes, torch.tensor([4, 6, 1, 0]), torch.tensor([False, True, False, False]), (4, 6))
    assert targets.dtype == torch.int64
    assert targets.tolist() == [
        [*range(12), 1, 0, 0],
        [*[-1] * 12, 0, 1, 1],
        [*range(24, 36), 0, 0, 0],
        [*range(36, 48), -1, -1, 0],
    ]


def test_targets_of_another_schema_by_hand() -> None:
    codes, cameras, junk = (
        torch.tensor([[2, 1], [0, 0], [1, -1]]),
        torch.tensor([9, 1, 0]),
        torch.tensor([0, 1, 0]) == 1,
    )
    assert task1_targets(codes, cameras, junk, (9,)).tolist() == [[2, 1, 1, 0], [-1, -1, 0, 1], [1, -1, -1, 0]]
    assert task1_targets(codes, cameras, junk, (1, 9)).tolist()[:2] == [[2, 1, 0, 1, 0], [-1, -1, 1, 0, 1]]
    assert task1_targets(codes, cameras, junk, ()).tolist() == [[2, 1, 0], [-1, -1, 1], [1, -1, 0]]
    assert task1_targets(codes[:, :0], cameras, junk, ()).tolist() == [[0], [1], [0]]


def test_seeds_are_the_same_everywhere_and_differ_for_every_path() -> None:
    assert derived_seed(0, "augment", 1, 2) == 9106351451934248613  # a change here breaks every resumed training
    paths: list[tuple[str | int, ...]] = [(), ("a", 1), ("a1",), ("a", "1"), (1, "a"), ("a", 1, 0), ("a", 1, 1)]
    seeds = {derived_seed(seed, *path) for seed in (0, 1, -1) for path in paths}
    assert len(seeds) == 21
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert torch.equal(torch.rand(3, generator=step_generator(5, "x")), torch.rand(3, generator=step_generator(5, "x")))
    assert numpy_generator(5, "x").random() == numpy_generator(5, "x").random()
    assert numpy_generator(5, "x").random() != numpy_generator(5, "y").random()
