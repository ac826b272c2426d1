"""What is measured beside the main figures: one thing changed at a time; mirror images at test time."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from bruna.batches.persons import PersonStore
from bruna.batches.store import ImageStore
from bruna.evaluation.attributes import Answer, all_figures, answers, attribute_figures, probabilities
from bruna.evaluation.retrieval import FIGURES, histogram_figures, retrieve
from bruna.inference.bruna import embed
from bruna.inference.describe import Described, mean_direction
from bruna.models.bruna import Bruna
from bruna.params import Evaluate
from bruna.retrieval.distances import Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import MARKET1501
from bruna.retrieval.ranking import evaluate_retrieval

SETTINGS = Evaluate(
    batch_size=4,
    attribute_offset=0.1,
    flip=False,
    rerank=False,
    rerank_k1=5,
    rerank_k2=2,
    rerank_lambda=0.3,
    filter_junk=True,
    junk_threshold=0.5,
    rank_list_queries=2,
    rank_list_length=3,
    reid_test_length=3,
    attributes_by="task1",
    attributes_sightings=1,
)


def described(identities, junk, seed, flipped=False):
    make = torch.Generator().manual_seed(seed)
    n = len(identities)

    def gallery():
        return Gallery(
            torch.randn(n, 6, generator=make),
            torch.rand(n, 4, generator=make),
            torch.tensor(identities),
            torch.arange(n) % 3 + 1,
        )

    plain = gallery()
    codes = np.zeros((n, 12), dtype=np.int64)
    return Described(
        np.array([str(i) for i in range(n)], dtype=object),
        gallery() if flipped else plain,
        plain,
        codes,
        torch.zeros(n, 32),
        np.zeros((n, 15), dtype=np.int64),
        torch.tensor(junk, dtype=torch.float32),
    )


QUERY = described([1, 2, 3, 4] * 3, [0.0] * 12, 0, flipped=True)
GALLERY = described([1, 2, 3, 4] * 8 + [0] * 5 + [-1] * 3, ([0.0] * 7 + [0.9]) * 5, 1, flipped=True)


def scores(summary):
    return {key: summary["market1501"][key] for key in FIGURES}


def measured(query, gallery, distance, kept=None):
    found = evaluate_retrieval(query, gallery, distance, MARKET1501, kept=kept).summary()
    return {key: found[key] for key in FIGURES}


def test_each_variant_changes_one_thing():
    found = retrieve(QUERY, GALLERY, SETTINGS.model_copy(update={"flip": True, "rerank": True})).summary()
    kept = GALLERY.junk < 0.5
    product = ProductDistance(0.1)
    assert scores(found) == measured(QUERY.gallery, GALLERY.gallery, product, kept)
    assert scores(found["unfiltered"]) == measured(QUERY.gallery, GALLERY.gallery, product)
    variants = found["variants"]
    assert scores(variants["features_only"]) == measured(QUERY.gallery, GALLERY.gallery, Euclidean(), kept)
    assert scores(variants["no_flip"]) == measured(QUERY.plain, GALLERY.plain, product, kept)
    assert list(variants) == ["features_only", "no_flip", "reranked"]
    assert scores(variants["reranked"]) != scores(found)
    different = [scores(found), *(scores(variants[name]) for name in variants), scores(found["unfiltered"])]
    assert len({values["map"] for values in different}) == 5


def test_the_main_figures_do_not_depend_on_re_ranking():
    with_it = retrieve(QUERY, GALLERY, SETTINGS.model_copy(update={"rerank": True}))
    without = retrieve(QUERY, GALLERY, SETTINGS)
    assert scores(with_it.summary()) == scores(without.summary())
    assert torch.equal(with_it.nearest.indices, without.nearest.indices)
    assert "reranked" not in without.summary()["variants"]


def test_what_the_filter_discarded_is_counted_by_what_it_shows():
    summary = retrieve(QUERY, GALLERY, SETTINGS).summary()
    # Images 7, 15, 23 and 31 show labelled people, 39 is junk.
    assert summary["left_out_as_junk"] == 5
    assert summary["left_out_holds"] == {"people": 4, "distractors": 0, "junk": 1}
    assert summary["gallery_holds"] == {"people": 32, "distractors": 5, "junk": 3}


def test_mean_direction_keeps_the_length():
    make = torch.Generator().manual_seed(0)
    first, second = (4 * torch.nn.functional.normalize(torch.randn(5, 9, generator=make)) for _ in range(2))
    found = mean_direction(first, second)
    torch.testing.assert_close(found.norm(dim=1), torch.full((5,), 4.0))
    torch.testing.assert_close(torch.nn.functional.normalize(found), torch.nn.functional.normalize(first + second))
    torch.testing.assert_close(mean_direction(first, first), first)
    assert bool(mean_direction(first, -first).isfinite().all())


@pytest.mark.parametrize("mask", ["channel", "segmented"])
def test_mirrored_is_the_embedding_of_the_mirrored_store(mask):
    torch.manual_seed(0)
    bruna = Bruna("mobilenet_v3_small", 16, mask, 0, 0.0)
    pixels = torch.randint(0, 255, (3, 3, 64, 32), dtype=torch.uint8)
    masks = torch.randint(0, 255, (3, 1, 64, 32), dtype=torch.uint8)
    store = PersonStore(ImageStore(pixels), ImageStore(masks), None)
    mirror = PersonStore(ImageStore(pixels.flip(-1)), ImageStore(masks.flip(-1)), None)
    wanted = embed(bruna, mirror, 2)
    found = embed(bruna, store, 2, mirrored=True)
    torch.testing.assert_close(found.features, wanted.features)
    torch.testing.assert_close(found.logits, wanted.logits)
    assert not torch.allclose(embed(bruna, store, 2).features, wanted.features)


def test_constant_answers_stand_beside_the_attributes():
    codes = np.zeros((4, 12), dtype=np.int64)
    codes[0, 1] = codes[0, 11] = 1
    codes[1, 11] = 2
    images = described([1, 2, 3, 4], [0.0] * 4, 0)
    figures = attribute_figures(replace(images, codes=codes), Answer())
    assert [figures[name]["chance"] for name in ("age", "backpack", "downcolor")] == [1, 1 / 2, pytest.approx(1 / 3)]
    assert figures["backpack"]["majority"] == 3 / 4


def test_attributes_by_task1_by_bruna_and_by_both():
    """One image; the backpack (column 4, behind four of age) is told differently by the two networks."""
    images = described([1], [0.0], 0)
    task1, bruna = torch.zeros(1, 32), torch.zeros(1, 32)
    task1[0, 4], bruna[0, 4] = 0.9, 0.3
    bruna[0, 2] = 1.0  # its age is the third value, of which Task 1 says nothing
    predicted = images.predicted.copy()
    predicted[0, 1] = 1
    gallery = replace(images.gallery, attributes=bruna)
    images = replace(images, gallery=gallery, attributes=task1, predicted=predicted)
    assert [answers(images, Answer(by))[0, :2].tolist() for by in ("task1", "bruna", "both")] == [
        [0, 1],
        [2, 0],
        [2, 1],
    ]
    assert attribute_figures(images, Answer("bruna"))["backpack"]["accuracy"] == 1  # all true codes are 0
    assert attribute_figures(images, Answer("both"))["backpack"]["accuracy"] == 0


def test_sightings_average_over_the_nearest_images():
    """Six images on a line, two people: a picture that shows no backpack is outvoted by two that do."""
    features = torch.tensor([[0.0], [1.0], [2.5], [10.0], [11.0], [12.5]])
    said = torch.zeros(6, 32)
    said[:, 4] = torch.tensor([0.9, 0.2, 0.7, 0.1, 0.2, 0.9])
    found = probabilities(said, torch.ones(6, 32), features, Answer("task1", 3))
    torch.testing.assert_close(found[:, 4], torch.tensor([0.6] * 3 + [0.4] * 3))
    both = probabilities(said, torch.ones(6, 32), features, Answer("both", 2))
    torch.testing.assert_close(both[:2, 4], torch.tensor([0.775, 0.775]))  # ((.9 + 1) / 2 + (.2 + 1) / 2) / 2
    torch.testing.assert_close(probabilities(said, said, features, Answer("task1", 99)), said.mean(0).expand(6, -1))
    torch.testing.assert_close(probabilities(said, said, torch.zeros(6, 1), Answer("bruna", 1)), said)


def test_sightings_look_at_no_identity():
    images = described([1, 1, 2, 2, 3, 3], [0.0] * 6, 3)
    other = replace(images, gallery=replace(images.gallery, identities=torch.arange(6), cameras=torch.ones(6).long()))
    for answer in (Answer("both", 2), Answer("task1", 3)):
        make = torch.Generator().manual_seed(1)
        task1, bruna = torch.rand(6, 32, generator=make), torch.rand(6, 32, generator=make)
        pair = [replace(d, attributes=task1, gallery=replace(d.gallery, attributes=bruna)) for d in (images, other)]
        assert (answers(pair[0], answer) == answers(pair[1], answer)).all()


def test_means_are_over_what_is_annotated():
    images = described([1, 2, 3, 4], [0.0] * 4, 0)
    codes = np.full((4, 12), -1)
    codes[:, 1], codes[:, 2] = 0, [0, 0, 0, 1]  # the answers are 0 throughout
    found = all_figures(
        replace(images, codes=codes, gallery=replace(images.gallery, attributes=torch.zeros(4, 32))), SETTINGS
    )
    assert found["attribute_means"]["attributes"] == {"accuracy": (1 + 3 / 4) / 2, "recall": (1 + 1 / 2) / 2}
    assert set(found["attribute_means"]) == set(found) - {"attribute_means"}
    assert all_figures(replace(images, codes=np.full((4, 12), -1)), SETTINGS) == {}


def test_histograms_have_every_figure():
    rows = []
    for i in range(8):
        buffer = io.BytesIO()
        Image.new("RGB", (32, 64), (60 * (i % 4), 100, 30)).save(buffer, "PNG")
        rows.append({"path": str(i), "image": buffer.getvalue(), "identity": i % 4 + 1, "camera": i // 4 + 1})
    found = histogram_figures(pd.DataFrame(rows), (64, 32))
    assert [(name, set(values)) for name, values in found.items()] == [
        ("course", set(FIGURES)),
        ("market1501", set(FIGURES)),
    ]
    assert found["market1501"] == dict.fromkeys(FIGURES, 1.0)  # every person has a colour of their own
