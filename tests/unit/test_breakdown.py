"""Who is found less well: every group against a naive computation with pandas, what is too few, the page."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from bruna.dataset.schema import Task
from bruna.evaluation.breakdown import BETTER, NOISE, TOO_FEW, WORSE, Breakdown, breakdown
from bruna.evaluation.calibration import calibrate_ranked
from bruna.evaluation.group_pairs import PairCounts
from bruna.evaluation.labelled import LabelledImages
from bruna.evaluation.pairs import ImagePairs
from bruna.evaluation.retrieval import Retrieval, per_query, retrieve
from bruna.evaluation.verification import operating_threshold
from bruna.inference.described import Described
from bruna.inference.settings import Settings
from bruna.metrics.bootstrap import ROUNDS, draws, interval
from bruna.pipeline.breakdown_drawings import breakdown_drawings
from bruna.report.blocks import blocks_html
from bruna.report.breakdown_section import Groups, breakdown_sections
from bruna.report.drawing import pictures
from bruna.report.style import png_bytes
from bruna.retrieval.distances import ProductDistance
from bruna.retrieval.gallery import Gallery
from tiny_settings import SETTINGS

SCHEMA = (Task("hat", ("no", "yes")), Task("top", ("red", "None", "blue")))


def people(
    count: int,
    each: int = 4,
    *,
    seed: int = 0,
    cameras: int = 3,
    schema: tuple[Task, ...] = SCHEMA,
    noise: float = 1.0,
    bad_camera: bool = False,
) -> LabelledImages:
    """`each` images of every person, on cameras in turn (0: unknown for all); one image of each person is junk."""
    random = np.random.default_rng(seed)
    n = count * each
    identities = np.repeat(np.arange(1, count + 1), each)
    on = np.arange(n) % each % cameras + 1 if cameras else np.zeros(n, dtype=np.int64)
    spread = np.where(bad_camera & (on == cameras), 6.0, noise)[:, None]
    features = np.repeat(random.normal(size=(count, 6)), each, axis=0) + 0.3 * spread * random.normal(size=(n, 6))
    codes = np.stack([identities % len(task.values) for task in schema], axis=1) if schema else np.zeros((n, 0), int)
    codes[random.random(codes.shape) < 0.1] = -1
    width = sum(task.width for task in schema)
    found = Gallery(
        torch.tensor(features, dtype=torch.float32), torch.rand(n, width), torch.tensor(identities), torch.tensor(on)
    )
    task1 = torch.zeros(n, width + 1)
    task1[:, -1] = torch.tensor(np.where(np.arange(n) % (each * 3) == 0, 5.0, -5.0))
    described = Described([str(i) for i in range(n)], Settings(), schema, task1, found, found)
    return LabelledImages(described, found, found, codes.astype(np.int64), np.arange(n, dtype=np.uint64))


def measured(images: LabelledImages) -> tuple[Retrieval, Breakdown]:
    ranked = retrieve(images, images, SETTINGS)
    found = breakdown(ranked, SETTINGS)
    assert found is not None
    return ranked, found


def _queries(ranked: Retrieval) -> pd.DataFrame:
    """The queries with a match and their groups."""
    query = ranked.query
    table = per_query(ranked).set_index("path").loc[query.found.names].reset_index()
    table["camera"] = query.gallery.cameras.numpy().astype(str)
    for i, task in enumerate(query.found.schema):
        table[task.name] = [task.values[code] if code >= 0 else None for code in query.codes[:, i]]
    return table.dropna(subset="market1501_ap").assign(hit=lambda t: (t["market1501_first_hit"] == 1).astype(float))


def test_map_and_rank1_of_every_group_are_those_of_pandas() -> None:
    ranked, found = measured(people(24))
    queries, table = _queries(ranked), found.table.set_index(["by", "value"])
    expected = {("all", ""): queries} | {
        (by, str(value)): rows for by in ("camera", "hat", "top") for value, rows in queries.groupby(by)
    }
    assert set(table.index) == set(expected) and table.index[0] == ("all", "")
    for group, rows in expected.items():
        others = queries.drop(rows.index)
        row = table.loc[group]
        assert (row["queries"], row["people"]) == (len(rows), rows["identity"].nunique())
        for name, column in (("map", "market1501_ap"), ("rank1", "hit")):
            assert row[name] == pytest.approx(rows[column].mean())
            if row["people"] >= 10 and others["identity"].nunique() >= 10:
                assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
                assert row[f"{name}_difference"] == pytest.approx(rows[column].mean() - others[column].mean())
            elif row["people"] < 10:
                assert row[f"{name}_verdict"] == TOO_FEW and np.isnan(row[f"{name}_low"])


@pytest.mark.parametrize("cameras", [3, 0])
def test_false_match_rates_are_those_of_all_pairs_one_by_one(cameras: int) -> None:
    images = people(12, cameras=cameras)
    ranked = retrieve(images, images, SETTINGS)
    found = breakdown(ranked, SETTINGS)
    assert found is not None and found.threshold is not None
    near = ProductDistance(0.1).between(images.gallery, images.gallery)(0, len(images.codes))
    kept = ranked.kept.numpy().nonzero()[0]
    who, on = images.gallery.identities.numpy(), images.gallery.cameras.numpy()
    rows = []
    for i, j in combinations(kept, 2):
        if who[i] != who[j] and (not cameras or on[i] != on[j]):
            rows.append((i, j, float(near[i, j]) < found.threshold))
    pairs = pd.DataFrame(rows, columns=["i", "j", "near"])
    for _, row in found.table.iterrows():
        if row["by"] == "all":
            inside = np.ones(len(pairs), dtype=bool)
        else:
            column = on.astype(str) if row["by"] == "camera" else _values(images, row["by"])
            inside = (column[pairs["i"]] == row["value"]) | (column[pairs["j"]] == row["value"])
        assert row["fmr_pairs"] == inside.sum()
        assert row["fmr"] == pytest.approx(pairs["near"][inside].mean())


def _values(images: LabelledImages, name: str) -> Any:
    i = [task.name for task in SCHEMA].index(name)
    return np.array([SCHEMA[i].values[code] if code >= 0 else "" for code in images.codes[:, i]], dtype=object)


def test_pairs_of_drawn_people_are_counted_as_often_as_the_two_were_drawn() -> None:
    images = people(8)
    pairs = ImagePairs(images.gallery, ProductDistance(0.1))
    cameras = images.gallery.cameras.numpy()[pairs.rows]
    members = np.stack([np.ones(len(cameras), bool), cameras == 1, images.codes[pairs.rows, 0] == 1], axis=1)
    weights = next(draws(8))[:20]
    found = PairCounts.of(pairs, cameras, members).weighted(weights)
    expected = np.zeros_like(found)
    for i, j in combinations(range(len(cameras)), 2):
        a, b = pairs.person[i], pairs.person[j]
        if a != b and cameras[i] != cameras[j]:
            expected += weights[:, [a]] * weights[:, [b]] * (members[i] | members[j])
    assert found == pytest.approx(expected)
    assert pairs.identity_pairs == 8 * 7 / 2


def test_the_threshold_is_that_of_the_verification_figures() -> None:
    for count, rate in ((40, 1e-2), (12, None)):
        images = people(count)
        ranked = retrieve(images, images, SETTINGS)
        calibrated, found = calibrate_ranked(ranked, SETTINGS, "here"), breakdown(ranked, SETTINGS)
        assert calibrated is not None and found is not None and found.rate == rate
        figures = calibrated.figures
        assert found.threshold == (figures["at_fmr"]["0.01"] if rate else figures["eer"])["threshold"]
        if rate:
            assert found.table["fmr"].iloc[0] == pytest.approx(figures["at_fmr"]["0.01"]["fmr"])


def test_people_who_are_seen_by_one_and_the_same_camera_make_no_pair() -> None:
    cameras = torch.tensor([1, 2, 1, 1, 0, 2])  # of the second and the third person camera 1 alone
    images = Gallery(torch.randn(6, 3), torch.zeros(6, 0), torch.tensor([1, 1, 2, 3, 4, 4]), cameras)
    pairs = ImagePairs(images, ProductDistance(0.1))
    assert pairs.identity_pairs == 5
    assert operating_threshold(pairs, pairs.fold_histograms(np.zeros(4, dtype=np.int64))) is not None


def test_intervals_are_those_of_people_drawn_one_by_one() -> None:
    ranked, found = measured(people(24))
    queries, row = _queries(ranked), found.table.set_index(["by", "value"]).loc[("hat", "yes")]
    values, inside = queries["market1501_ap"].to_numpy(), (queries["hat"] == "yes").to_numpy()
    _, person = np.unique(queries["identity"], return_inverse=True)
    drawn = []
    for weights in np.concatenate(list(draws(person.max() + 1))):
        copies = np.repeat(np.arange(len(values)), weights[person].astype(int))  # all queries of a person move together
        here, there = copies[inside[copies]], copies[~inside[copies]]
        drawn.append((values[here].mean(), values[here].mean() - values[there].mean()))
    varied = np.array(drawn)
    expected = interval(row["map"], varied[:, 0], 12), interval(row["map_difference"], varied[:, 1], 12)
    for ends, name in zip(expected, ("map", "map_difference"), strict=True):
        assert ends == pytest.approx((row[f"{name}_low"], row[f"{name}_high"]))


def test_a_bad_camera_is_clearly_worse_and_the_rest_is_noise() -> None:
    _, found = measured(people(40, 6, bad_camera=True))
    table = found.table.set_index(["by", "value"])
    assert table.loc[("camera", "3"), ["map_verdict", "rank1_verdict"]].tolist() == [WORSE, WORSE]
    assert table.loc[("camera", "1"), "map_verdict"] == BETTER
    assert table.loc[("hat", "yes"), "map_verdict"] == NOISE
    facts = found.facts()
    assert facts["map"][WORSE] >= 1 and facts["map"]["compared"] == len(table) - 1 and facts["rate"] == 1e-2
    said = " ".join(map(str, breakdown_sections({"validation": Groups(found.table, facts, "here")}, {})[0].blocks))
    assert "mAP: clearly worse than all others: Camera 3 (−" in said
    assert f"of {facts['map']['compared']} groups stand out, better or worse; 0.4 would by chance alone." in said


def test_without_cameras_and_attributes_there_are_no_groups() -> None:
    images = people(12, cameras=0, schema=())
    assert breakdown(retrieve(images, images, SETTINGS), SETTINGS) is None
    cameras = people(12, schema=())
    _, found = measured(cameras)
    assert found.table["by"].tolist() == ["all", "camera", "camera", "camera"]
    filtered = SETTINGS.model_copy(update={"junk_threshold": 1e-9})  # nothing is left to search
    empty = breakdown(retrieve(cameras, cameras, filtered), filtered)
    assert empty is not None and empty.threshold is None and empty.table["map"].eq(0).all()
    assert empty.facts()["fmr"]["compared"] == 0
    alone = people(12, each=1)  # nobody is seen twice: no query has a match
    assert breakdown(retrieve(alone, alone, SETTINGS), SETTINGS) is None


def test_too_few_people_for_any_interval_still_make_a_table_and_no_picture() -> None:
    _, found = measured(people(5))
    assert set(found.table["map_verdict"]) == {TOO_FEW}
    groups = {"validation": Groups(found.table, found.facts(), "here")}
    assert breakdown_drawings(groups) == []  # type: ignore[arg-type]
    page = blocks_html(breakdown_sections(groups, {})[0].blocks)  # type: ignore[arg-type]
    assert "too few" in page and "None" in page  # a value may be called so


def test_the_picture_shows_groups_of_enough_people_and_the_table_all() -> None:
    _, found = measured(people(24))
    groups: Any = {"validation": Groups(found.table, found.facts(), "validation identities")}
    drawing = breakdown_drawings(groups)[0]
    figure = drawing.draw()
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[:4] == ["Camera", "  1 (24)", "  2 (24)", "  3 (24)"] and "  yes (12)" in labels
    assert not any("None (8)" in label for label in labels)
    png = png_bytes(figure)
    groups_without = int((found.table["map_verdict"] == TOO_FEW).sum())
    page = blocks_html(breakdown_sections(groups, pictures([drawing], lambda _: png))[0].blocks)
    assert page.count("<img ") == 1 and "Top: None" in page and "<summary>All 8 groups</summary>" in page
    assert f" {groups_without} more are not compared: fewer than 10" in page


def test_the_same_people_by_the_same_draws() -> None:
    images = people(16)
    first, again = measured(images)[1].table, measured(images)[1].table
    pd.testing.assert_frame_equal(first, again)
    assert ROUNDS == 1000
