"""Ranks, results and top_k against a naive oracle that shares no logic with them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bruna.errors import BrunaError
from bruna.retrieval.distances import Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE, MARKET1501
from bruna.retrieval.ranking import evaluate_retrieval, top_k


class Table:
    """Distances read from a matrix; the images' only feature is their number."""

    def __init__(self, matrix):
        self.matrix = torch.as_tensor(matrix, dtype=torch.float32)

    def between(self, query, gallery):
        rows, columns = query.features[:, 0].long(), gallery.features[:, 0].long()
        return lambda start, stop: self.matrix[rows[start:stop]][:, columns].clone()


def images(identities, cameras):
    numbers = torch.arange(len(identities), dtype=torch.float32)[:, None]
    return Gallery(numbers, None, torch.tensor(identities, dtype=torch.int64), torch.tensor(cameras))


def naive(matrix, query, gallery, *, market, kept, own):
    """Per query: AP, first hit, INP, valid images, matches in all, the returned gallery indices in order."""
    expected = []
    for q, (identity, camera) in enumerate(query):
        counted = []
        for g, (other, other_camera) in enumerate(gallery):
            if market and (other == -1 or own[q] == g):
                continue
            if market and identity > 0 and other == identity and camera == other_camera != 0:
                continue
            counted.append(g)
        true = [g for g in counted if gallery[g][0] == identity and identity > 0]
        returned = sorted((g for g in counted if kept[g]), key=lambda g: (matrix[q][g], g))
        hits, total, first, last = 0, 0.0, 0, 0
        for place, g in enumerate(returned, start=1):
            if g in true:
                hits += 1
                total += hits / place
                first, last = first or place, place
        ap = total / len(true) if true else math.nan
        inp = math.nan if not true else (len(true) / last if hits == len(true) else 0.0)
        expected.append((ap, first, inp, len(returned), len(true), returned))
    return expected


@st.composite
def searches(draw):
    sizes = st.integers(1, 12)
    gallery_size, query_size = draw(sizes), draw(st.integers(1, 6))
    image = st.tuples(st.sampled_from([-1, 0, 1, 1, 2, 3]), st.integers(0, 2))
    gallery = draw(st.lists(image, min_size=gallery_size, max_size=gallery_size))
    own, query = [], []
    for _ in range(query_size):  # some queries are gallery images themselves
        at = draw(st.integers(-1, gallery_size - 1))
        own.append(at)
        query.append(gallery[at] if at >= 0 else draw(image))
    distance = st.sampled_from([0.0, 0.5, 1.0, 1.5, 7.25])  # few values: many ties
    matrix = [[draw(distance) for _ in gallery] for _ in query]
    kept = draw(st.lists(st.sampled_from([True, True, False]), min_size=gallery_size, max_size=gallery_size))
    return matrix, query, gallery, kept, own, draw(st.integers(1, 7)), draw(st.booleans())


def close(found, wanted):
    return (math.isnan(found) and math.isnan(wanted)) or found == pytest.approx(wanted, abs=1e-12)


@settings(deadline=None, max_examples=300)
@given(searches())
def test_equals_the_naive_oracle(search):
    matrix, query, gallery, kept, own, block, market = search
    expected = naive(matrix, query, gallery, market=market, kept=kept, own=own)
    sets = [images([i for i, _ in s], [c for _, c in s]) for s in (query, gallery)]
    protocol = MARKET1501 if market else COURSE
    options = {"kept": torch.tensor(kept), "self_index": torch.tensor(own), "block": block}
    results = evaluate_retrieval(*sets, Table(matrix), protocol, **options)
    for q, (ap, first, _, valid, total, returned) in enumerate(expected):
        assert close(float(results.average_precisions[q]), ap)
        assert (int(results.first_hits[q]), int(results.valid[q]), int(results.totals[q])) == (first, valid, total)
        part = slice(*results.offsets[q : q + 2].tolist())
        assert [returned[r - 1] for r in results.ranks[part].tolist()] == results.matches[part].tolist()
    scored = [row for row in expected if row[4]]
    assert results.left_out == len(expected) - len(scored)
    if scored:
        assert close(results.mean_average_precision, sum(a[0] for a in scored) / len(scored))
        assert close(results.mean_inverse_negative_penalty, sum(a[2] for a in scored) / len(scored))
        share = [sum(0 < a[1] <= k for a in scored) / len(scored) for k in (1, 3)]
        assert results.cmc((1, 3)) == pytest.approx(share, abs=1e-12)
    else:
        with pytest.raises(BrunaError, match="none of"):
            results.summary()

    k = 5
    nearest = top_k(*sets, Table(matrix), protocol, k, **options)
    for q, row in enumerate(expected):
        padding = [-1] * (k - len(row[5]))
        assert nearest.indices[q].tolist() == (row[5] + padding)[:k]
        for g, d in zip(nearest.indices[q].tolist(), nearest.distances[q].tolist(), strict=True):
            assert d == (matrix[q][g] if g >= 0 else math.inf)


def test_filtered_match_counts_as_never_retrieved():
    results = evaluate_retrieval(
        images([1], [1]),
        images([1, 2, 1], [2, 2, 3]),
        Table([[0.0, 1.0, 2.0]]),
        MARKET1501,
        kept=torch.tensor([False, True, True]),
    )
    assert results.ranks.tolist() == [2]  # behind the one negative; the nearest image is not returned
    assert results.average_precisions.tolist() == [0.25]  # (1/2 + 0) / 2
    assert results.mean_inverse_negative_penalty == 0.0
    assert results.distances.tolist() == [2.0]


@pytest.mark.parametrize("distance", [Euclidean(), ProductDistance(0.1)])
@pytest.mark.parametrize("protocol", [COURSE, MARKET1501])
def test_block_size_changes_nothing(distance, protocol):
    make = torch.Generator().manual_seed(1)
    features, attributes = torch.randn(90, 24, generator=make), torch.randn(90, 6, generator=make)
    identities, cameras = torch.arange(90) % 15, torch.randint(1, 4, (90,), generator=make)
    everything = Gallery(features, attributes, identities, cameras)
    whole = evaluate_retrieval(everything, everything, distance, protocol)
    for block in (2, 7, 89, 1000):
        parts = evaluate_retrieval(everything, everything, distance, protocol, block=block)
        assert torch.equal(parts.ranks, whole.ranks)
        assert torch.equal(parts.matches, whole.matches)
        assert torch.equal(parts.valid, whole.valid)


def test_query_in_the_gallery_is_its_own_first_hit_under_the_course_protocol():
    make = torch.Generator().manual_seed(2)
    features = 1000 + torch.randn(40, 64, generator=make)  # far from the origin: cancellation
    everything = Gallery(features, None, torch.arange(40) + 1, torch.ones(40, dtype=torch.int64))
    results = evaluate_retrieval(everything, everything, Euclidean(), COURSE)
    assert results.ranks.tolist() == [1] * 40
    assert results.matches.tolist() == list(range(40))
    assert results.distances.tolist() == [0.0] * 40


def test_diverged_embeddings_are_refused():
    features = torch.zeros(3, 2)
    features[1, 0] = torch.nan
    with pytest.raises(BrunaError, match=r"1 of 3 embeddings .* number 1"):
        Gallery.unlabelled(features)


def test_empty_gallery_and_no_queries():
    none, some = Gallery.unlabelled(torch.zeros(0, 3)), Gallery.unlabelled(torch.zeros(2, 3))
    assert top_k(some, none, Euclidean(), COURSE, 4).indices.tolist() == [[-1] * 4] * 2
    assert evaluate_retrieval(some, none, Euclidean(), COURSE).valid.tolist() == [0, 0]
    assert evaluate_retrieval(none, some, Euclidean(), COURSE).left_out == 0


def test_top_k_orders_ties_by_index_and_knows_minus_zero():
    matrix = [[1.0, -0.0, 0.0, -0.0, 1.0, 1.0]]
    for k, wanted in ((2, [1, 2]), (4, [1, 2, 3, 0]), (6, [1, 2, 3, 0, 4, 5])):
        assert top_k(images([1], [0]), images([2] * 6, [0] * 6), Table(matrix), COURSE, k).indices.tolist() == [wanted]


def test_top_k_of_many_equals_a_stable_argsort():
    matrix = torch.randint(0, 400, (30, 500), generator=torch.Generator().manual_seed(3)).float()
    query, gallery = images([1] * 30, [0] * 30), images([2] * 500, [0] * 500)
    found = top_k(query, gallery, Table(matrix), COURSE, 60, block=11)
    assert torch.equal(found.indices, matrix.argsort(dim=1, stable=True)[:, :60])
    assert torch.equal(found.distances, matrix.gather(1, found.indices))
