"""What is measured beside the main figures: one thing changed at a time; mirror images at test time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bruna.batches.persons import PersonStore
from bruna.batches.store import ImageStore
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.identities import UNLABELLED
from bruna.evaluation import distractors
from bruna.evaluation.attributes import all_figures, attribute_figures
from bruna.evaluation.distractors import among_distractors
from bruna.evaluation.labelled import LabelledImages
from bruna.evaluation.retrieval import (
    cmc_table,
    figures_of,
    histogram_ranking,
    ranked_table,
    retrieve,
    untrained_ranking,
)
from bruna.inference.described import Described, mean_direction
from bruna.inference.embedding import embed
from bruna.inference.settings import Settings
from bruna.models.bruna import Bruna
from bruna.retrieval.distances import Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import FIGURES, MARKET1501
from bruna.retrieval.ranking import evaluate_retrieval
from person_table import encoded, person_table
from tiny_settings import SETTINGS


def images(identities, junk, seed, flipped=False):
    """Images of random embeddings; `junk` are Task 1's probabilities."""
    make = torch.Generator().manual_seed(seed)
    n = len(identities)

    def gallery():
        return Gallery(
            torch.randn(n, 6, generator=make),
            torch.rand(n, 32, generator=make),
            torch.tensor(identities),
            torch.arange(n) % 3 + 1,
        )

    plain = gallery()
    found = gallery() if flipped else plain
    task1 = torch.zeros(n, 35)
    task1[:, -1] = torch.tensor(junk).logit()
    names = [str(i) for i in range(n)]
    described = Described(names, Settings(), ATTRIBUTES, task1, found, plain)
    return LabelledImages(described, found, plain, np.zeros((n, 12), np.int64), np.arange(n, dtype=np.uint64))


def predicting(features, task1, bruna):
    """Images of which the two networks tell the given probabilities (32 each) of binary attributes."""
    gallery = Gallery.unlabelled(features, bruna)
    logits = torch.cat([task1.logit(), torch.zeros(len(task1), 3)], dim=1)
    return Described([str(i) for i in range(len(task1))], Settings(), ATTRIBUTES, logits, gallery, gallery)


QUERY = images([1, 2, 3, 4] * 3, [0.0] * 12, 0, flipped=True)
GALLERY = images([1, 2, 3, 4] * 8 + [0] * 5 + [-1] * 3, ([0.0] * 7 + [0.9]) * 5, 1, flipped=True)


def scores(summary):
    return {key: summary["market1501"][key] for key in FIGURES}


def measured(query, gallery, distance, kept=None):
    found = evaluate_retrieval(query, gallery, distance, MARKET1501, kept=kept).summary()
    return {key: found[key] for key in FIGURES}


def test_each_variant_changes_one_thing():
    found = retrieve(QUERY, GALLERY, SETTINGS.model_copy(update={"flip": True, "rerank": True})).summary()
    kept = torch.from_numpy(GALLERY.found.junk) < 0.5
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
    bruna = Bruna("mobilenet_v3_small", 16, ATTRIBUTES, mask, 0, 0.0)
    pixels = torch.randint(0, 255, (3, 3, 64, 32), dtype=torch.uint8)
    masks = torch.randint(0, 255, (3, 1, 64, 32), dtype=torch.uint8)
    store = PersonStore(ImageStore(pixels), ImageStore(masks), None)
    mirror = PersonStore(ImageStore(pixels.flip(-1)), ImageStore(masks.flip(-1)), None)
    wanted = embed(bruna, mirror, 2)
    found = embed(bruna, store, 2, mirrored=True)
    torch.testing.assert_close(found.features, wanted.features)
    torch.testing.assert_close(found.logits, wanted.logits)
    assert not torch.allclose(embed(bruna, store, 2).features, wanted.features)


def test_constant_predictions_stand_beside_the_attributes():
    codes = np.zeros((4, 12), dtype=np.int64)
    codes[0, 1] = codes[0, 11] = 1
    codes[1, 11] = 2
    figures = attribute_figures(codes, np.zeros_like(codes), ATTRIBUTES)
    assert [figures[name]["chance"] for name in ("age", "backpack", "downcolor")] == [1, 1 / 2, pytest.approx(1 / 3)]
    assert figures["backpack"]["majority"] == figures["backpack"]["accuracy"] == 3 / 4


def test_attributes_from_task1_from_bruna_and_from_both():
    """One image; the backpack (column 4, behind four of age) is predicted differently by the two networks."""
    task1, bruna = torch.full((1, 32), 0.5), torch.zeros(1, 32)
    task1[0, 4], bruna[0, 4] = 0.9, 0.3
    bruna[0, 2] = 1.0  # its age is the third value, where Task 1 has no preference
    found = predicting(torch.zeros(1, 1), task1, bruna)
    codes = {source: found.attribute_codes(source)[0, :2].tolist() for source in ("task1", "bruna", "both")}
    assert codes == {"task1": [0, 1], "bruna": [2, 0], "both": [2, 1]}
    assert found.attributes["backpack"].tolist() == ["yes"]  # as the settings have it
    assert replace(found, settings=Settings(attributes_from="bruna")).attributes["backpack"].tolist() == ["no"]


def test_neighbors_are_the_nearest_images():
    """Six images on a line, two people: a picture that shows no backpack is outvoted by two that do."""
    features = torch.tensor([[0.0], [1.0], [2.5], [10.0], [11.0], [12.5]])
    task1 = torch.full((6, 32), 0.5)
    task1[:, 4] = torch.tensor([0.9, 0.2, 0.7, 0.1, 0.2, 0.9])
    found = predicting(features, task1, torch.ones(6, 32))
    alone = found.attribute_probabilities("task1", 1)
    torch.testing.assert_close(found.attribute_probabilities("task1", 3)[:, 4], torch.tensor([0.6] * 3 + [0.4] * 3))
    both = found.attribute_probabilities("both", 2)
    torch.testing.assert_close(both[:2, 4], torch.tensor([0.775, 0.775]))  # ((.9 + 1) / 2 + (.2 + 1) / 2) / 2
    torch.testing.assert_close(found.attribute_probabilities("task1", 99), alone.mean(0).expand(6, -1))
    assert found.attribute_codes("task1", 3)[:, 1].tolist() == [1, 1, 1, 0, 0, 0]
    assert found.attribute_codes("task1", 1)[:, 1].tolist() == [1, 0, 1, 0, 0, 1]


def test_means_are_over_what_is_annotated():
    some = images([1, 2, 3, 4], [0.0] * 4, 0)
    codes = np.full((4, 12), -1)
    codes[:, 1], codes[:, 2] = 0, [0, 0, 0, 1]  # the predictions are 0 throughout
    found = all_figures(some.found, codes, SETTINGS)
    assert found["attribute_means"]["attributes_task1"] == {"accuracy": 7 / 8, "balanced_accuracy": (1 + 1 / 2) / 2}
    assert set(found["attribute_means"]) == set(found) - {"attribute_means"}
    assert all_figures(some.found, np.full((4, 12), -1), SETTINGS) == {}


def test_the_ranked_table_is_what_the_figures_are_of():
    """The main figures of every query follow from it: nothing is left out but junk and same-camera images."""
    found = retrieve(QUERY, GALLERY, SETTINGS)
    table = ranked_table(found)
    assert set(table["path"]).isdisjoint({"7", "15", "23", "31", "39"})  # taken for junk
    assert set(table["path"]).isdisjoint({"37", "38", "39"})  # junk, which the protocol ignores
    first = table[table["match"]].groupby("query")["rank"].min()
    expected = dict(zip(found.query.found.names, found.results["market1501"].first_hits.tolist(), strict=True))
    assert first.to_dict() == expected
    same_identity = table["match"].to_numpy()
    assert not (table["query_camera"] == table["camera"])[same_identity].any()
    assert (table.groupby("query")["distance"].diff().dropna() >= 0).all()
    assert (table.groupby("query")["rank"].diff().dropna() == 1).all()
    cmc = cmc_table(found)
    assert list(cmc.columns) == ["rank", "course", "market1501"]
    assert cmc["market1501"].tolist() == [(first <= rank).mean() for rank in cmc["rank"]]


def test_the_untrained_network_is_measured_as_the_trained_one():
    trained = retrieve(GALLERY, GALLERY, SETTINGS)
    assert figures_of(untrained_ranking(GALLERY, trained, SETTINGS))["market1501"] == scores(trained.summary())
    other = images([1, 2, 3, 4] * 8 + [0] * 5 + [-1] * 3, [0.9] * 40, 5)  # its own junk does not count
    assert figures_of(untrained_ranking(other, trained, SETTINGS))["market1501"] == {
        key: value
        for key, value in evaluate_retrieval(
            other.gallery,
            other.gallery,
            ProductDistance(0.1),
            MARKET1501,
            kept=trained.kept,
            self_index=torch.arange(40),
        )
        .summary()
        .items()
        if key in FIGURES
    }


def test_histograms_have_every_figure_and_the_junk_filter_of_the_main_row():
    size = (64, 32)
    table = person_table([1, 2, 3, 4], 2, size)
    table["image"] = [encoded(np.full((*size, 3), (60 * i - 60, 100, 30), np.uint8)) for i in table["identity"]]
    found = figures_of(histogram_ranking(table, size, torch.ones(8, dtype=torch.bool)))
    assert [(name, set(values)) for name, values in found.items()] == [
        ("course", set(FIGURES)),
        ("market1501", set(FIGURES)),
    ]
    assert found["market1501"] == dict.fromkeys(FIGURES, 1.0)  # every person has a colour of their own
    first_lost = torch.arange(8) > 0
    found = figures_of(histogram_ranking(table, size, first_lost))
    assert found["market1501"]["rank1"] == 7 / 8  # of the second, nothing is left


def test_distractors_push_matches_back_as_if_all_images_were_one_gallery(monkeypatch):
    """Counting those that are nearer is as good as ranking them; a distractor is never a match, whatever its number."""
    monkeypatch.setattr(distractors, "_BLOCK_NUMBERS", 100)
    random = np.random.default_rng(0)
    params = SETTINGS.model_copy(update={"filter_junk": True, "junk_threshold": 0.9, "attribute_offset": 0.1})
    people = images(random.integers(1, 6, 30).tolist(), random.random(30), seed=1, flipped=True)
    unlabelled = {
        "test": images([UNLABELLED] * 40, random.random(40), seed=2),
        "queries": images([UNLABELLED] * 25, [0.1] * 25, seed=3),
    }
    found = retrieve(people, people, params)
    rankings = among_distractors(found, unlabelled, params)
    assert list(rankings) == ["queries", "all"]
    told = [found.gallery.contents.sum()]
    for name, parts in (("queries", [people, unlabelled["queries"]]), ("all", [people, *unlabelled.values()])):
        joined = [torch.cat([getattr(part.gallery, key) for part in parts]) for key in ("features", "attributes")]
        labels = [torch.cat([getattr(part.gallery, key) for part in parts]) for key in ("identities", "cameras")]
        junk = torch.cat([torch.from_numpy(part.found.junk) for part in parts])
        wanted = evaluate_retrieval(
            people.gallery,
            Gallery(*joined, *labels),
            ProductDistance(0.1),
            MARKET1501,
            kept=junk < 0.9,
            self_index=torch.arange(30),
        )
        ranked = rankings[name]
        assert torch.equal(ranked.results.ranks, wanted.ranks) and torch.equal(ranked.results.valid, wanted.valid)
        summary = ranked.summary()
        assert summary["market1501"] == wanted.summary()
        assert sum(summary["added"].values()) == len(junk) - 30
        assert summary["left_out_as_junk"] == int((junk[30:] >= 0.9).sum())
        assert {of: each.sums.value for of, each in ranked.measures.items()} == {
            of: pytest.approx(summary["market1501"][of]) for of in ("map", "rank1", "minp")
        }
        told.append(ranked.measures["map"].among)
    assert rankings["all"].results.mean_average_precision < rankings["queries"].results.mean_average_precision
    assert rankings["all"].left_out_as_junk > 0 and len({int(each) for each in told}) == 3
    alone = among_distractors(found, {"test": unlabelled["test"]}, params)
    assert list(alone) == ["all"] and alone["all"].added == {"test": 40}
    nowhere = replace(people, gallery=replace(people.gallery, cameras=torch.zeros(30, dtype=torch.int64)))
    assert among_distractors(retrieve(nowhere, nowhere, params), unlabelled, params) == {}
