"""Metrics: the doctests, a published implementation, and a case by hand."""

import doctest
import importlib.metadata
import importlib.util
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from bruna.retrieval import metrics, submission
from bruna.retrieval.distances import Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import MARKET1501
from bruna.retrieval.ranking import evaluate_retrieval


@pytest.mark.parametrize("module", [metrics, submission])
def test_doctests(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_by_hand():
    # One query, matches at ranks 1, 4 and 6: AP = (1 + 2/4 + 3/6) / 3, INP = 3/6.
    ranks, offsets, totals = torch.tensor([1, 4, 6]), torch.tensor([0, 3]), torch.tensor([3])
    assert float(metrics.average_precisions(ranks, offsets, totals)) == pytest.approx(2 / 3, abs=1e-15)
    assert float(metrics.inverse_negative_penalties(ranks, offsets, totals)) == 0.5


@pytest.fixture(scope="module")
def torchreid_rank():
    """torchreid's rank.py by its path; the package itself is not imported, not even by that file."""
    try:
        found = importlib.metadata.distribution("torchreid").locate_file("torchreid/reid/metrics/rank.py")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("torchreid is absent: install tests/oracle-requirements.txt with --no-deps")
    spec = importlib.util.spec_from_file_location("torchreid_rank", Path(str(found)))
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {"torchreid": None}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("distance", [Euclidean(), ProductDistance(0.1)])
def test_equals_torchreid(torchreid_rank, seed, distance):
    """The Market-1501 protocol with distractors and single-camera identities."""
    make = torch.Generator().manual_seed(seed)

    def draw(n, lowest):
        identities = torch.randint(lowest, 40, (n,), generator=make)
        cameras = torch.randint(1, 7, (n,), generator=make)
        cameras[identities > 36] = 3  # seen by one camera only
        features = identities[:, None] / 8 + torch.randn(n, 32, generator=make)
        return Gallery(features, torch.randn(n, 8, generator=make), identities, cameras)

    query, gallery = draw(80, 1), draw(500, 0)
    matrix = distance.between(query, gallery)(0, 80).numpy()
    # Its sort is not stable: give it each image's place in a stable one, so that our rule for ties holds.
    places = matrix.argsort(axis=1, kind="stable").argsort(axis=1)
    cmc, mean_ap = torchreid_rank.evaluate_rank(
        places, *(x.numpy() for x in (query.identities, gallery.identities, query.cameras, gallery.cameras))
    )
    results = evaluate_retrieval(query, gallery, distance, MARKET1501)
    assert results.left_out > 0
    assert results.mean_average_precision == pytest.approx(mean_ap, abs=1e-6)
    assert np.array_equal(np.float32(results.cmc(range(1, 51))), cmc)
