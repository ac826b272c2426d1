"""Metrics: the doctests, a published implementation, and a case by hand."""

import contextlib
import doctest
import importlib.metadata
import importlib.util
import io
import sys
import warnings
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bruna.errors import BrunaError
from bruna.evaluation import submission
from bruna.metrics import retrieval as metrics
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
def torchreid_rank(torchreid_file):
    """torchreid's rank.py by its path; the package itself is not imported, not even by that file."""
    spec = importlib.util.spec_from_file_location("torchreid_rank", torchreid_file("metrics/rank.py"))
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


class Numbered:
    """Distances from a matrix; an image's only feature is its number."""

    def __init__(self, matrix):
        self.matrix = matrix

    def between(self, query, gallery):
        rows, columns = query.features[:, 0].long(), gallery.features[:, 0].long()
        return lambda start, stop: self.matrix[rows[start:stop]][:, columns].clone()


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 6), st.integers(1, 4))
def test_equals_torchreid_where_it_is_awkward(torchreid_rank, seed, values, identities, cameras):
    """Few distances, so that nearly all tie; queries without a match; identities of one camera; mostly junk."""
    make = torch.Generator().manual_seed(seed)

    def draw(n, lowest):
        numbers = torch.arange(n, dtype=torch.float32)[:, None]
        people = torch.randint(lowest, identities + 1, (n,), generator=make)
        return Gallery(numbers, None, people, torch.randint(1, cameras + 1, (n,), generator=make))

    query, gallery = draw(7, 1), draw(33, -1)
    gallery.identities[11:21] = 0  # torchreid wants as many images for every query as the deepest rank
    matrix = torch.randint(0, values, (7, 33), generator=make).float()
    counts = gallery.identities >= 0  # torchreid does not know junk: it is not shown any
    people = (query.identities, gallery.identities[counts], query.cameras, gallery.cameras[counts])
    places = matrix[:, counts].numpy().argsort(axis=1, kind="stable").argsort(axis=1)
    results = evaluate_retrieval(query, gallery, Numbered(matrix), MARKET1501)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it remarks on small galleries
            cmc, mean_ap = torchreid_rank.evaluate_rank(places, *(x.numpy() for x in people), max_rank=10)
    except AssertionError:  # no query has a match
        with pytest.raises(BrunaError, match="none of 7 queries"):
            results.summary()
        return
    assert results.mean_average_precision == pytest.approx(mean_ap, abs=1e-12)
    assert np.array_equal(np.float32(results.cmc(range(1, len(cmc) + 1))), cmc)


def test_a_gallery_of_junk_alone_is_refused():
    query = Gallery(torch.zeros(2, 1), None, torch.tensor([1, -1]), torch.tensor([1, 1]))
    junk = Gallery(torch.zeros(3, 1), None, torch.full((3,), -1), torch.tensor([1, 2, 2]))
    results = evaluate_retrieval(query, junk, Euclidean(), MARKET1501)
    assert results.valid.tolist() == [0, 0]
    with pytest.raises(BrunaError, match="none of 2 queries has a match"):
        results.summary()
