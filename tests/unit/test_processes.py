"""A training in several processes: each takes a share of a batch, and together they do what one does with all of it."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bruna.errors import BrunaError
from bruna.processes import ALONE, Processes, WholeBatchNorm, with_whole_batch_norm
from bruna.retrieval.results import RetrievalResults
from shared_trainings import CASES, looked_at

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What two processes do in every case."""
    file = tmp_path_factory.mktemp("together") / "found.pt"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "localhost"]
    command += ["--nproc-per-node", "2", str(TESTS / "shared_trainings.py"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return torch.load(file, weights_only=True)


@cache
def alone_in(case: str) -> dict[str, Any]:
    return looked_at(*CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_two_processes_take_the_step_of_one(case: str, together: Any) -> None:
    alone, both = alone_in(case), together[case]
    assert both["losses"] == pytest.approx(alone["losses"], rel=1e-5, abs=1e-6)
    assert len(both["gradients"]) == len(alone["gradients"]) > 10
    ours, theirs = (torch.cat([gradient.flatten() for gradient in found["gradients"]]) for found in (both, alone))
    assert float((ours - theirs).norm()) < 1e-5 * float(theirs.norm())
    assert both["measured"].keys() == alone["measured"].keys()


@pytest.mark.parametrize("case", CASES)
def test_the_images_of_an_epoch_are_shared_and_none_is_seen_twice(case: str, together: Any) -> None:
    (alone,), (first, second) = alone_in(case)["rows"], together[case]["rows"]
    assert len(first) == len(second) == len(alone) >= 1
    for ours, theirs, all_of_them in zip(first, second, alone, strict=True):
        assert [*ours, *theirs] == all_of_them and abs(len(ours) - len(theirs)) <= 1


@given(length=st.integers(0, 1000), count=st.integers(1, 20))
def test_shares_are_neighbours_and_even(length: int, count: int) -> None:
    shares = [list(range(length))[Processes(rank, count).share(length)] for rank in range(count)]
    assert [i for share in shares for i in share] == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_batch_that_is_too_small_to_be_shared_is_told() -> None:
    assert Processes(1, 3).share_of_batch(12, least=4) == slice(4, 8)
    with pytest.raises(BrunaError, match=r"^a batch of 11 images is too small for 3 processes, each of which needs 4"):
        Processes(1, 3).share_of_batch(11, least=4)


def test_batch_norm_is_changed_only_where_there_are_several_processes() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4, momentum=0.2)))
    names = list(network.state_dict())
    assert not any(isinstance(part, WholeBatchNorm) for part in with_whole_batch_norm(network, ALONE).modules())
    images = torch.rand(2, 3, 5, 4)
    before = network.eval()(images)
    changed = with_whole_batch_norm(network, Processes(0, 2)).eval()
    (norm,) = [part for part in changed.modules() if isinstance(part, WholeBatchNorm)]
    assert list(changed.state_dict()) == names and norm.momentum == 0.2
    assert torch.equal(changed(images), before)


def test_results_of_queries_are_joined() -> None:
    def results(ranks: list[int], offsets: list[int]) -> RetrievalResults:
        count, zeros = len(offsets) - 1, torch.zeros(len(ranks))
        numbers = torch.tensor(ranks, dtype=torch.int64)
        totals = torch.tensor(offsets).diff()
        return RetrievalResults("p", numbers, numbers - 1, zeros, torch.tensor(offsets), totals, totals + count)

    joined = RetrievalResults.joined([results([1, 3], [0, 1, 2]), results([], [0]), results([2, 5], [0, 2])])
    assert joined.ranks.tolist() == [1, 3, 2, 5]
    assert joined.offsets.tolist() == [0, 1, 2, 4]
    assert joined.average_precisions.tolist() == pytest.approx([1, 1 / 3, (1 / 2 + 2 / 5) / 2])
