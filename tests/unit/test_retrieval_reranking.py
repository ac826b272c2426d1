"""Re-ranking against the paper's equations written out for small matrices, and against torchreid's copy of the code."""

import numpy as np
import pytest
import torch

from bruna.retrieval import reranking
from bruna.retrieval.distances import Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE, MARKET1501
from bruna.retrieval.ranking import evaluate_retrieval, top_k
from bruna.retrieval.reranking import rerank


def by_the_equations(matrix, k1, k2, share):
    """Eq. 2 to 12 for every pair of N images, with sets and float64; `matrix` is N x N."""
    n = len(matrix)
    d = (matrix / np.where(matrix.max(axis=1) > 0, matrix.max(axis=1), 1)[:, None]) ** 2
    order = [sorted(range(n), key=lambda g: (g != p, matrix[p][g], g)) for p in range(n)]  # itself comes first

    def mutual(p, k):
        return {g for g in order[p][: k + 1] if p in order[g][: k + 1]}

    encoding = np.zeros((n, n))
    for p in range(n):
        found = set(mutual(p, k1))
        for q in mutual(p, k1):
            theirs = mutual(q, int(np.around(k1 / 2)))
            if len(theirs & mutual(p, k1)) / len(theirs) >= 2 / 3:
                found |= theirs
        for g in found:
            encoding[p, g] = np.exp(-d[p, g])
        encoding[p] /= encoding[p].sum()
    encoding = np.array([encoding[order[p][:k2]].mean(axis=0) for p in range(n)])
    jaccard = [[1 - np.minimum(a, b).sum() / np.maximum(a, b).sum() for b in encoding] for a in encoding]
    return (1 - share) * np.array(jaccard) + share * d


def people(count, seed, *, spread=0.6):
    """Images of a few clusters, with exact copies among them; identities and cameras drawn."""
    make = torch.Generator().manual_seed(seed)
    identities = torch.randint(1, max(2, count // 5), (count,), generator=make)
    features = torch.randn(100, 12, generator=make)[identities] + spread * torch.randn(count, 12, generator=make)
    features[count // 2] = features[0]
    return Gallery(features, torch.rand(count, 5, generator=make), identities, torch.randint(1, 4, (count,)))


def whole(distance, query, gallery):
    return distance.between(query, gallery)(0, len(query))


@pytest.mark.parametrize("distance", [Euclidean(), ProductDistance(0.1)])
@pytest.mark.parametrize(
    ("count", "k1", "k2", "share"),
    [(70, 20, 6, 0.3), (40, 7, 1, 0.0), (45, 3, 9, 0.5), (30, 1, 2, 0.3), (9, 20, 6, 0.3), (9, 20, 6, 1)],
)
def test_equals_the_equations(distance, count, k1, k2, share):
    images = people(count, seed=k1)
    found = rerank(images, images, distance, self_index=torch.arange(count), k1=k1, k2=k2, share=share)
    wanted = by_the_equations(whole(distance, images, images).double().numpy(), k1, min(k2, count), share)
    np.testing.assert_allclose(whole(found, found.query, found.gallery).numpy(), wanted, atol=2e-6)


def test_queries_of_their_own_join_the_neighbors():
    query, gallery = people(15, seed=1), people(40, seed=2)
    found = rerank(query, gallery, Euclidean(), k1=6, k2=3)
    pool = Gallery.unlabelled(torch.cat([gallery.features, query.features]))
    wanted = by_the_equations(whole(Euclidean(), pool, pool).double().numpy(), 6, 3, 0.3)
    np.testing.assert_allclose(whole(found, found.query, found.gallery).numpy(), wanted[40:, :40], atol=2e-6)


def test_blocks_change_nothing_and_protocols_apply(monkeypatch):
    images, itself = people(60, seed=5), torch.arange(60)
    at_once = rerank(images, images, ProductDistance(0.1), self_index=itself)
    monkeypatch.setattr(reranking, "_BLOCK_NUMBERS", 5000)
    in_parts = rerank(images, images, ProductDistance(0.1), self_index=itself, block=7)
    matrix = whole(at_once, at_once.query, at_once.gallery)
    torch.testing.assert_close(whole(in_parts, in_parts.query, in_parts.gallery), matrix, atol=1e-6, rtol=0)
    kept = torch.arange(60) % 7 > 0
    for protocol in (COURSE, MARKET1501):
        result = evaluate_retrieval(
            in_parts.query, in_parts.gallery, in_parts, protocol, kept=kept, self_index=itself, block=11
        )
        for q in (0, 13, 59):
            part = slice(*result.offsets[q : q + 2].tolist())
            assert set(result.matches[part].tolist()) <= set(kept.nonzero().flatten().tolist())
            assert result.ranks[part].tolist() == sorted(result.ranks[part].tolist())
    nearest = top_k(at_once.query, at_once.gallery, at_once, COURSE, 5)
    assert torch.equal(nearest.indices, matrix.argsort(dim=1, stable=True)[:, :5])


def test_many_copies_and_a_single_image():
    same = Gallery.unlabelled(torch.ones(30, 4))
    found = rerank(same, same, Euclidean(), self_index=torch.arange(30), k1=5, k2=2)
    assert bool(whole(found, found.query, found.gallery).isfinite().all())
    one = Gallery.unlabelled(torch.ones(1, 4))
    found = rerank(one, one, Euclidean(), self_index=torch.tensor([0]))
    assert whole(found, found.query, found.gallery).tolist() == [[0.0]]


def test_settings_that_mean_nothing_are_refused():
    images = people(10, seed=0)
    for wrong in ({"k1": 0}, {"k2": 0}, {"share": 1.5}):
        with pytest.raises(ValueError, match="k1 and k2"):
            rerank(images, images, Euclidean(), **wrong)


@pytest.mark.parametrize("seed", range(3))
def test_equals_torchreid(torchreid_file, seed):
    """Its copy of the authors' code, whose ">" two thirds becomes the paper's "at least"."""
    source = torchreid_file("utils/rerank.py").read_text(encoding="utf-8")
    assert source.count(") > 2. / 3 *") == 1
    theirs: dict = {}
    exec(compile(source.replace(") > 2. / 3 *", ") >= 2. / 3 *"), "rerank.py", "exec"), theirs)
    make = torch.Generator().manual_seed(seed)
    query, gallery = (Gallery.unlabelled(torch.randn(n, 6, generator=make)) for n in (30, 170))
    matrices = [whole(Euclidean(), a, b).numpy() for a, b in ((query, gallery), (query, query), (gallery, gallery))]
    ours = rerank(query, gallery, Euclidean())
    np.testing.assert_allclose(
        whole(ours, ours.query, ours.gallery).numpy(), theirs["re_ranking"](*matrices), atol=5e-6
    )
