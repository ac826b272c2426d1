"""Distances against float64 differences and by hand."""

import pytest
import torch

from bruna.retrieval import distances
from bruna.retrieval.distances import Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery


def exact(a, b):
    return (a.double()[:, None] - b.double()[None]).norm(dim=2)


def whole(distance, query, gallery):
    return distance.between(query, gallery)(0, len(query))


@pytest.fixture(scope="module")
def sets():
    """A gallery of 50 tight clusters far from the origin, and queries next to some of its images."""
    make = torch.Generator().manual_seed(0)
    centres = 5 + torch.randn(50, 200, generator=make)
    features = centres.repeat_interleave(6, 0) + 0.02 * torch.randn(300, 200, generator=make)
    attributes = torch.rand(300, 32, generator=make).round()
    gallery = Gallery.unlabelled(features, attributes)
    query = Gallery.unlabelled(
        torch.cat([features[:20] + 1e-4, features[40:60]]), torch.cat([attributes[:20], 1 - attributes[40:60]])
    )
    return query, gallery


def test_euclidean_and_product(sets):
    query, gallery = sets
    features, attributes = exact(query.features, gallery.features), exact(query.attributes, gallery.attributes)
    found = whole(Euclidean(), query, gallery)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), features, rtol=3e-4, atol=0)
    product = whole(ProductDistance(0.1), query, gallery)
    torch.testing.assert_close(product.double(), features * (0.1 + attributes), rtol=3e-4, atol=1e-6)


def test_identical_rows_are_at_zero_even_where_all_else_cancels(sets):
    query, gallery = sets
    assert torch.equal(whole(Euclidean(), query, gallery)[20:, 40:60].diagonal(), torch.zeros(20))
    constant = Gallery.unlabelled(torch.full((4, 9), 123.456))
    assert torch.equal(whole(Euclidean(), constant, constant), torch.zeros(4, 4))


def test_a_single_row_that_cancels_is_repaired_too(sets):
    query, gallery = sets
    for copy in range(20, 40):
        alone = query.select(torch.tensor([copy]))
        assert whole(Euclidean(), alone, gallery)[0, 20 + copy] == 0


def test_product_by_hand():
    query = Gallery.unlabelled(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0]]))
    gallery = Gallery.unlabelled(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([[1.0], [3.0]]))
    # 5 x (0.1 + 0) and 1 x (0.1 + 2)
    torch.testing.assert_close(whole(ProductDistance(0.1), query, gallery), torch.tensor([[0.5, 2.1]]))
    with pytest.raises(ValueError, match="attributes of both"):
        whole(ProductDistance(0.1), Gallery.unlabelled(torch.zeros(1, 2)), gallery)


def test_repair_in_pieces_is_the_same(sets, monkeypatch):
    query, gallery = sets
    before = whole(Euclidean(), query, gallery)
    monkeypatch.setattr(distances, "_REPAIR_NUMBERS", 1000)  # five pairs at a time
    assert torch.equal(whole(Euclidean(), query, gallery), before)


def test_centring_keeps_the_digits_without_repair(monkeypatch):
    """Repair would mend this too, pair by pair, at the price of the matrix product many times over."""
    monkeypatch.setattr(distances, "_repair", lambda *_: None)
    features = 1000 + torch.randn(60, 100, generator=torch.Generator().manual_seed(4))
    query, gallery = Gallery.unlabelled(features[:20]), Gallery.unlabelled(features[20:])
    wanted = exact(query.features, gallery.features)
    torch.testing.assert_close(whole(Euclidean(), query, gallery).double(), wanted, rtol=1e-5, atol=0)


def test_precision_does_not_depend_on_what_training_set(sets, monkeypatch):
    query, gallery = sets
    before, seen, addmm = whole(Euclidean(), query, gallery), [], torch.addmm

    def watched(*args, **kwargs):
        seen.append(torch.get_float32_matmul_precision())
        return addmm(*args, **kwargs)

    monkeypatch.setattr(torch, "addmm", watched)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(whole(Euclidean(), query, gallery), before)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["highest"]
