"""Why two images match: the halves of an embedding, how alike they are, and what the page's browser tells of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from bruna.dataset.schema import Task
from bruna.errors import BrunaError
from bruna.evaluation.browsed import Images, browse, browsed_hits, told_ranking, typical_halves
from bruna.evaluation.labelled import describe_table
from bruna.evaluation.retrieval import Retrieval, per_query, ranked_table, retrieve
from bruna.inference.describer import Describer, load
from bruna.inference.explaining import (
    HALVES,
    Halves,
    explain,
    parts,
    read_typical,
    similarity,
    write_typical,
)
from bruna.inference.settings import Settings
from bruna.inference.unet import segment_images
from bruna.models.bruna import Bruna
from bruna.params import Evaluate, read_params
from bruna.retrieval.calibration import Calibration, FittedOn
from bruna.retrieval.spread import BROWSED_QUERIES, BROWSED_RANKS, spread
from person_table import person_table
from tiny_models import save_tiny_models
from tiny_records import PROJECT

TABLE = person_table([1, 2, 3], 5, (64, 32))
IMAGES, PATHS = list(TABLE["image"]), list(TABLE["path"])


@pytest.fixture(scope="module")
def params() -> Evaluate:
    return read_params(PROJECT / "params.yaml").evaluate


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, params: Evaluate) -> Describer:
    models = save_tiny_models(tmp_path_factory.mktemp("models"))
    return load(models, "cpu", settings=Settings.of(params.model_dump()))


@pytest.fixture(scope="module")
def found(people: Describer, params: Evaluate) -> Retrieval:
    images = describe_table(people, TABLE, None, "tiny")
    return retrieve(images, images, params)


@pytest.mark.parametrize("backbone", ["mobilenet_v3_small", "mobilenet_v2", "resnet18"])
@pytest.mark.parametrize("bottleneck", [0, 5])
def test_the_parts_sum_to_what_the_linear_layer_gives(backbone: str, bottleneck: int) -> None:
    torch.manual_seed(0)
    network = Bruna(backbone, 24, (Task("hat", ("no", "yes")),), "none", bottleneck, 0.0).eval()
    joined = torch.randn(7, network.extract[2].in_features)
    whole = network.extract[2](joined)
    upper, lower, rest = parts(network, joined)
    assert (upper + lower + rest + network.extract[2].bias - whole).abs().max() < 1e-5
    assert bool((rest == 0).all()) == (bottleneck == 0)


def test_each_half_of_the_map_makes_its_own_part() -> None:
    torch.manual_seed(1)
    network = Bruna("mobilenet_v3_small", 24, (), "none", 0, 0.0).eval()
    maps = torch.randn(3, network.backbone.out_channels, 4, 2)
    without = maps.clone()
    without[:, :, 2:] = 0  # nothing below
    joined, above = (F.adaptive_avg_pool2d(each, (2, 1)).flatten(1) for each in (maps, without))
    whole, alone = parts(network, joined), parts(network, above)
    assert torch.allclose(whole[0], alone[0]) and whole[1].abs().max() > 0.1 and alone[1].abs().max() == 0


def test_explaining_embeds_as_describing_does(people: Describer) -> None:
    assert people.bruna is not None
    told = explain(people, IMAGES, PATHS)
    layer = people.bruna.network.extract[2]
    assert told.masks is not None and told.masks.shape == (15, *people.unet.size)  # type: ignore[union-attr]
    assert told.halves.upper.shape == told.halves.lower.shape == (15, layer.out_features)
    assert not layer._forward_pre_hooks  # it listens no longer
    segments = segment_images(TABLE, people.unet, 4)
    given = explain(people, IMAGES, PATHS, segments)
    assert given.masks is None and np.allclose(given.halves.upper, told.halves.upper, atol=1e-4)
    mirrored = explain(replace(people, settings=replace(people.settings, flip=not people.settings.flip)), IMAGES, PATHS)
    assert np.array_equal(mirrored.halves.upper, told.halves.upper)
    with pytest.raises(BrunaError, match="image b cannot be read"):
        explain(people, [IMAGES[0], b"no image"], ["a", "b"])
    with pytest.raises(BrunaError, match="needs Bruna's network"):
        explain(replace(people, bruna=None), IMAGES[:1], PATHS[:1])


def test_an_image_is_as_alike_to_itself_as_can_be(people: Describer) -> None:
    halves = explain(people, IMAGES, PATHS).halves
    alike = similarity(halves, halves, halves.mean())
    assert np.abs(np.stack(alike) - 1).max() < 1e-6
    first = Halves(*(part[:1] for part in halves))
    to_all = similarity(first, halves, halves.mean())
    assert to_all.upper.shape == (15,) and to_all.upper.argmax() == 0 and to_all.upper.min() < 0.99
    # Worked by hand: less the mean (1, 1) the two are (1, 0) and (1, 1), 45 degrees apart.
    one, other, mean = (Halves(*(np.array([row], np.float32),) * 2) for row in ([2, 1], [2, 2], [1, 1]))
    assert np.allclose(similarity(one, other, mean), np.sqrt(0.5))


def test_the_mean_image_is_kept_beside_the_models(people: Describer, tmp_path: Path) -> None:
    assert read_typical(tmp_path) is None
    typical = typical_halves(people, Images(TABLE, None))
    write_typical(typical, tmp_path)
    again = read_typical(tmp_path)
    assert again is not None and all(np.array_equal(a, b) for a, b in zip(again, typical, strict=True))
    with pytest.raises(BrunaError, match="is of other networks"):
        similarity(typical, typical, Halves(*(part[:, 1:] for part in typical)))
    (tmp_path / HALVES).write_bytes(b"damaged")
    with pytest.raises(BrunaError, match=f"{HALVES} is not usable .* `dvc repro evaluate` writes it again"):
        read_typical(tmp_path)


@given(st.lists(st.floats(0, 1) | st.just(np.nan), max_size=60), st.integers(1, 40))
def test_shown_queries_are_spread_from_the_worst_to_the_best(precisions: list[float], count: int) -> None:
    values, names = np.array(precisions, float), np.array([f"{i:03d}" for i in range(len(precisions))], object)
    rows = spread(values, names, count)
    known = np.sort(values[~np.isnan(values)])
    assert len(set(rows.tolist())) == len(rows) == min(count, len(known))
    shown = values[rows]
    assert not np.isnan(shown).any() and (np.diff(shown) >= 0).all()
    if len(known):
        assert shown[0] == known[0] and (count == 1 or shown[-1] == known[-1])
    if len(rows) > 1:
        order = np.lexsort((names, values))
        steps = np.diff([order.tolist().index(row) for row in rows])
        assert steps.max() - steps.min() <= 1


def _calibration() -> Calibration:
    fitted_on = FittedOn("tiny", 15, 3, 10, 60, 3, cross_camera=True)
    return Calibration("isotonic", ((0.0, 1.0), (50.0, 0.0)), (0.0, 50.0), (0.0, 0.5), (1.0, 0.0), fitted_on)


def test_a_ranking_is_told_where_the_browser_shows_it(people: Describer, found: Retrieval) -> None:
    sides = (Images(TABLE, segment_images(TABLE, people.unet, 4)),) * 2
    typical, calibration = typical_halves(people, sides[0]), _calibration()
    told = told_ranking(people, found, sides, typical, calibration)
    plain = ranked_table(found)
    pd.testing.assert_frame_equal(told[plain.columns], plain)
    assert (told[["probability", "upper", "lower"]].dtypes == np.float32).all()
    assert np.allclose(told["probability"], calibration.probability(plain["distance"].to_numpy(float)))
    shown = told["query"].isin(per_query(found)["path"]) & (told["rank"] <= BROWSED_RANKS)
    assert 0 < shown.sum() < len(told)
    assert told["upper"].notna().equals(shown) and told["lower"].notna().equals(shown)
    row = told[shown].iloc[-1]
    pair = [IMAGES[PATHS.index(row[name])] for name in ("query", "path")]
    one, other = (explain(people, [image], ["a"]).halves for image in pair)
    alike = similarity(one, other, typical)
    assert np.allclose([row["upper"], row["lower"]], np.concatenate(alike), atol=1e-3)
    nothing = told_ranking(people, found, sides, None, None)
    assert nothing[["probability", "upper", "lower"]].isna().all(axis=None)
    assert len(browsed_hits(found, plain)) == shown.sum() and BROWSED_QUERIES >= 100


def test_a_folder_is_browsed_with_masks_of_its_own(people: Describer, found: Retrieval, params: Evaluate) -> None:
    browsed = browse(people, found, (TABLE, TABLE), None, None, params)
    hits = browsed_hits(found, browsed.ranked)
    (masks,), (predicted,) = browsed.segments, browsed.predicted
    assert set(masks["path"]) == {*hits["query"], *hits["path"]} and masks["mask"].notna().all()
    assert predicted["path"].tolist() == PATHS
    bare = replace(people, unet=None)
    assert browse(bare, found, (TABLE, TABLE), None, None, params).segments == []
