"""The probability of the same person and the threshold: by hand, on people whose true rates are known, on pages."""

import json
import math
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chi2

from bruna.cli.evaluate import _keep_calibration
from bruna.errors import BrunaError
from bruna.evaluation.calibration import Calibrated, calibrate
from bruna.evaluation.pairs import ImagePairs
from bruna.evaluation.verification import sentences, verify
from bruna.files import read_json, write_json
from bruna.inference.calibration import CALIBRATION, read_calibration, write_calibration
from bruna.params import read_params
from bruna.pipeline.calibration_drawings import calibration_drawings
from bruna.report.blocks import blocks_html
from bruna.report.calibration_section import calibration_sections
from bruna.report.style import png_bytes
from bruna.retrieval.calibration import Calibration, FittedOn, people_needed, smallest_rate
from bruna.retrieval.distances import Euclidean
from bruna.retrieval.gallery import Gallery
from conftest import Run
from tiny_dataset import write_dataset
from tiny_models import save_tiny_models

DIMENSIONS, NOISE = 8, 0.5
FITTED_ON = FittedOn("here", 12, 6, 6, 60, 15, cross_camera=True)


def gallery(points: list[list[float]], identities: list[int], cameras: list[int]) -> Gallery:
    return Gallery(torch.tensor(points), None, torch.tensor(identities), torch.tensor(cameras))


def people(count: int, each: int, seed: int) -> Gallery:
    """Gaussian people, each image on a camera of its own: squared distances are chi-squared, so rates are known."""
    random = np.random.default_rng(seed)
    centers = np.repeat(random.normal(size=(count, DIMENSIONS)), each, axis=0)
    features = torch.tensor(centers + NOISE * random.normal(size=centers.shape), dtype=torch.float32)
    identities = torch.arange(1, count + 1).repeat_interleave(each)
    return Gallery(features, None, identities, torch.arange(count * each) % each + 1)


def true_fmr(threshold: float) -> float:
    return float(chi2.cdf(threshold**2 / (2 + 2 * NOISE**2), DIMENSIONS))


def true_fnmr(threshold: float) -> float:
    return float(chi2.sf(threshold**2 / (2 * NOISE**2), DIMENSIONS))


def pair_distances(images: Gallery) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the genuine and of the impostor pairs, each image on a camera of its own."""
    distances = torch.cdist(images.features, images.features).numpy()
    upper = np.triu(images.cameras.numpy()[:, None] != images.cameras.numpy(), 1)
    same = images.identities.numpy()[:, None] == images.identities.numpy()
    return distances[upper & same], distances[upper & ~same]


@pytest.fixture(scope="module")
def calibrated() -> Calibrated:
    found = calibrate(people(60, 5, 0), Euclidean(), "Gaussians")
    assert found is not None
    return found


def logistic(**changes: object) -> Calibration:
    known = Calibration("logistic", ((2.0, -1.0),), (0.0, 1.0, 3.0), (0.0, 0.25, 1.0), (1.0, 0.5, 0.0), FITTED_ON)
    return replace(known, **changes)  # type: ignore[arg-type]


def test_probabilities_by_hand() -> None:
    found = logistic().probability([[2.0], [0.0], [1e9]])
    assert found.shape == (3, 1) and found.ravel() == pytest.approx([0.5, 1 / (1 + math.exp(-2)), 0])
    linear = logistic(method="isotonic", knots=((1.0, 0.8), (3.0, 0.2)))
    assert linear.probability(np.float32([0, 1.5, 2, 9])) == pytest.approx([0.8, 0.65, 0.5, 0.2])
    assert linear.probability([]).shape == (0,) and linear.probability(2).dtype == np.float64


def test_a_larger_gallery_makes_a_distance_less_convincing() -> None:
    """Of the pairs at the fit 10 in 100 are genuine. In a gallery of twice the size 5 in 100 are, in one of ten times
    1 in 100: the odds shrink from 1/9 to 1/19 and to 1/99."""
    known = logistic(fitted_on=FittedOn("made up", 50, 5, 10, 90, 10, cross_camera=True))
    even = 2.0  # odds of 1 at the fit
    for images, odds in ((None, 1), (20, 1), (50, 1), (100, 9 / 19), (500, 9 / 99)):
        assert known.probability(even, images) == pytest.approx(odds / (1 + odds))
    certain = replace(known, method="isotonic", knots=((1.0, 1.0), (3.0, 0.0)))
    assert certain.probability([0, 5], 10**9).tolist() == [1, 0]
    assert np.isnan(known.probability(math.nan, 500))


def test_a_threshold_is_the_largest_distance_within_the_rate() -> None:
    known = logistic()
    assert [known.threshold(rate) for rate in (0.2, 0.249, 0.25, 0.9, 1)] == [0, 0, 1, 1, 3]
    assert known.threshold(0.19) is None  # 15 pairs of people carry 3 / 15
    for rate in (0, -1, 1.5, math.nan):
        with pytest.raises(ValueError, match="rate lies above 0"):
            known.threshold(rate)


def test_how_many_people_a_rate_needs() -> None:
    for rate in (0.5, 1e-2, 1e-3, 1e-4):
        count = people_needed(rate)
        assert smallest_rate(count * (count - 1) // 2) <= rate < smallest_rate((count - 1) * (count - 2) // 2)
    assert smallest_rate(13 * 12 // 2) > 1e-2  # the sample's 13 identities


def naive(images: Gallery) -> tuple[list[float], list[float]]:
    """Distances of the genuine and of the impostor pairs, one by one."""
    found: tuple[list[float], list[float]] = [], []
    for i, j in combinations(range(len(images)), 2):
        cameras, of = images.cameras[[i, j]].tolist(), images.identities[[i, j]].tolist()
        if min(of) > 0 and 0 not in cameras and cameras[0] != cameras[1]:
            distance = float(torch.linalg.vector_norm(images.features[i] - images.features[j]))
            found[of[0] != of[1]].append(distance)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_rates_are_those_of_a_naive_count(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With unknown cameras, distractors and junk among the images, in small blocks; and a weight is a repetition."""
    random = np.random.default_rng(seed)
    images = people(9, 4, seed)
    images = replace(
        images,
        identities=torch.tensor(np.where(random.random(36) < 0.15, random.integers(-1, 1, 36), images.identities)),
        cameras=torch.tensor(random.integers(0, 4, 36)),
    )
    monkeypatch.setattr("bruna.evaluation.pairs._BLOCK_NUMBERS", 100)
    pairs = ImagePairs(images, Euclidean())
    histograms = pairs.fold_histograms(np.arange(len(pairs.identities)) % 3)
    found = verify(pairs, histograms)
    genuine, impostor = map(np.array, naive(images))
    assert (found.genuine_pairs, found.impostor_pairs) == (len(genuine), len(impostor))
    assert pairs.cross_camera
    for threshold, fmr, fnmr in zip(found.thresholds, found.fmr[0], found.fnmr[0], strict=True):
        assert fmr == pytest.approx((impostor < threshold).mean(), abs=1e-9)
        assert fnmr == pytest.approx((genuine >= threshold).mean(), abs=1e-9)

    weights = random.integers(0, 3, len(pairs.identities))
    numbers = [
        (row, 100 * copy + int(identity))
        for row, identity in enumerate(images.identities.tolist())
        if identity > 0
        for copy in range(weights[np.searchsorted(pairs.identities, identity)])
    ]
    rows, names = map(list, zip(*numbers, strict=True))
    copied = replace(images.select(torch.tensor(rows)), identities=torch.tensor(names))
    near, far, _ = pairs.weighted(weights[None].astype(float), histograms.bins)
    again_genuine, again_impostor = map(np.array, naive(copied))
    assert near[0, -1] == len(again_genuine)
    copies = (again_impostor < 1e-3).sum()  # of an image and its own copy
    same = sum(
        names[i] != names[j]
        and names[i] % 100 == names[j] % 100
        and copied.cameras[i] != copied.cameras[j] != 0
        and copied.cameras[i] != 0
        for i, j in combinations(range(len(names)), 2)
    )
    assert copies == 0 and far[0, -1] == len(again_impostor) - same


def test_known_rates_lie_in_their_intervals(calibrated: Calibrated) -> None:
    at = calibrated.figures["at_fmr"]["0.01"]
    assert calibrated.calibration.threshold(0.01) == at["threshold"]
    assert at["fmr"] <= 0.01 and at["fmr"] == pytest.approx(0.01, rel=0.1)
    assert at["fmr_low"] <= true_fmr(at["threshold"]) <= at["fmr_high"]
    assert at["low"] <= true_fnmr(at["threshold"]) <= at["high"]
    eer = calibrated.figures["eer"]
    distances = np.linspace(0.1, 9, 2000)
    crossing = min(distances, key=lambda d: abs(true_fmr(d) - true_fnmr(d)))
    assert eer["low"] <= true_fmr(crossing) <= eer["high"] and eer["low"] < eer["value"] < eer["high"]


def test_a_stated_rate_holds_on_other_people(calibrated: Calibrated) -> None:
    """On people that were not used to fit it; and the cross-fitted rates tell as much beforehand."""
    at = calibrated.figures["at_fmr"]["0.01"]
    threshold = calibrated.calibration.threshold(0.01)
    assert threshold is not None
    genuine, impostor = pair_distances(people(300, 2, 1))
    assert at["fmr_low"] <= (impostor < threshold).mean() <= at["fmr_high"]
    assert at["low"] <= (genuine >= threshold).mean() <= at["high"]
    assert at["fmr_low"] <= at["fmr_cross_fitted"] <= at["fmr_high"]


def test_intervals_cover_as_often_as_they_say() -> None:
    """95% intervals, 40 times: they may miss a few times. Pairs taken as independent would miss most of the time."""
    covered = {"fmr": 0, "eer": 0}
    eer = true_fmr(min(np.linspace(0.1, 9, 2000), key=lambda d: abs(true_fmr(d) - true_fnmr(d))))
    for seed in range(40):
        pairs = ImagePairs(people(30, 3, 100 + seed), Euclidean())
        found = verify(pairs, pairs.fold_histograms(np.zeros(30, dtype=np.int64))).figures()
        at = found["at_fmr"]["0.01"]
        covered["fmr"] += at["fmr_low"] <= true_fmr(at["threshold"]) <= at["fmr_high"]
        covered["eer"] += found["eer"]["low"] <= eer <= found["eer"]["high"]
    assert min(covered.values()) >= 33, covered


def test_the_better_calibrated_fit_is_kept(calibrated: Calibrated) -> None:
    """With few people the smooth one, with many the one that follows the data where a logistic curve cannot."""
    assert calibrated.figures["method"] == calibrated.calibration.method
    losses = calibrated.figures["log_loss"]
    assert losses[calibrated.calibration.method] == min(losses.values())

    random = np.random.default_rng(0)
    images = people(40, 6, 3)  # on every fourth image the person is hidden: far from itself, often
    hidden = torch.arange(len(images)) % 4 == 0
    images.features[hidden] = torch.tensor(random.normal(size=(int(hidden.sum()), DIMENSIONS)) * 3, dtype=torch.float32)
    many = calibrate(images, Euclidean(), "hidden")
    few = calibrate(people(8, 3, 1), Euclidean(), "few")
    assert many is not None and few is not None
    assert many.figures["method"] == "isotonic" and few.figures["method"] == "logistic"


def test_probabilities_are_what_they_say_on_others(calibrated: Calibrated) -> None:
    rows = calibrated.reliability
    assert rows["pairs"].sum() == calibrated.figures["genuine_pairs"] + calibrated.figures["impostor_pairs"]
    assert (rows["predicted"].between(rows["from"], rows["to"])).all()
    assert calibrated.figures["ece"][calibrated.calibration.method] < 0.01
    total = (rows["pairs"] * rows["observed"]).sum()
    assert total == pytest.approx(calibrated.figures["genuine_pairs"])
    assert (rows["pairs"] * rows["predicted"]).sum() == pytest.approx(total, rel=0.1)  # the share of pairs is kept

    distances = np.linspace(0.2, 8, 50)
    steps = 1e-3
    genuine, impostor = (
        share * (of(distances + steps) - of(distances))
        for share, of in (
            (calibrated.figures["genuine_pairs"], lambda d: np.array([1 - true_fnmr(x) for x in d])),
            (calibrated.figures["impostor_pairs"], lambda d: np.array([true_fmr(x) for x in d])),
        )
    )
    truth = genuine / (genuine + impostor)
    assert np.abs(calibrated.calibration.probability(distances) - truth).max() < 0.2
    assert (np.diff(calibrated.calibration.probability(distances)) <= 0).all()


def test_equal_whatever_the_order_of_the_images(calibrated: Calibrated) -> None:
    images = people(60, 5, 0)
    order = torch.from_numpy(np.random.default_rng(5).permutation(len(images)))
    again = calibrate(images.select(order), Euclidean(), "Gaussians")
    assert again is not None
    for one, other in ((calibrated, again), (calibrated, calibrate(images, Euclidean(), "Gaussians"))):
        assert other is not None
        figures = [pd.json_normalize(each.figures).drop(columns="method") for each in (one, other)]
        pd.testing.assert_frame_equal(*figures, rtol=0.02)
    assert calibrate(images, Euclidean(), "Gaussians").calibration == calibrated.calibration  # type: ignore[union-attr]


def test_too_few_people() -> None:
    assert calibrate(people(3, 4, 0), Euclidean(), "three") is None
    assert calibrate(gallery([[0.0]] * 4, [0, -1, -2, 0], [1, 2, 3, 4]), Euclidean(), "nobody") is None
    one_camera = replace(people(12, 1, 0), cameras=torch.ones(12, dtype=torch.int64))
    assert calibrate(one_camera, Euclidean(), "seen once") is None
    found = calibrate(people(13, 8, 0), Euclidean(), "sample")
    assert found is not None
    assert found.figures["at_fmr"] == {
        "0.01": {"people_needed": 25}, "0.001": {"people_needed": 78}, "0.0001": {"people_needed": 246}
    }  # fmt: skip
    assert found.calibration.threshold(1e-3) is None and found.calibration.threshold(0.05) is not None
    assert "Too few people" in " ".join(sentences(found.figures)) and "(78)" in " ".join(sentences(found.figures))


def test_without_cameras_all_pairs_count() -> None:
    images = replace(people(8, 3, 0), cameras=torch.zeros(24, dtype=torch.int64))
    found = calibrate(images, Euclidean(), "no cameras")
    assert found is not None
    figures = found.figures
    assert not figures["cross_camera"] and not found.calibration.fitted_on.cross_camera
    assert (figures["genuine_pairs"], figures["impostor_pairs"]) == (8 * 3, 28 * 9)
    page = blocks_html(calibration_sections(figures, {})[0].blocks)
    assert "Nobody is seen by two known cameras" in page


def test_a_distance_that_tells_nothing_or_everything() -> None:
    same = replace(people(8, 4, 0), features=torch.zeros(32, 2))
    found = calibrate(same, Euclidean(), "collapsed")
    assert found is not None
    share = found.figures["genuine_pairs"] / (found.figures["genuine_pairs"] + found.figures["impostor_pairs"])
    assert found.calibration.probability([0, 5]) == pytest.approx([share, share], rel=0.01)
    assert found.calibration.threshold(0.5) == 0  # accepts nothing
    assert found.figures["eer"]["value"] == pytest.approx(0.5)

    apart = replace(same, features=torch.arange(8.0).repeat_interleave(4)[:, None] + torch.rand(32, 1) / 100)
    found = calibrate(apart, Euclidean(), "apart")
    assert found is not None
    assert found.figures["eer"]["value"] == 0 and 0 < found.figures["eer"]["high"] < 1
    near, far = found.calibration.probability([0.005, 3.0])
    assert 0.9 < near < 1 and 0 < far < 0.05


def test_a_calibration_survives_its_file(tmp_path: Path, calibrated: Calibrated) -> None:
    assert read_calibration(tmp_path) is None
    write_calibration(calibrated.calibration, tmp_path)
    assert read_calibration(tmp_path) == calibrated.calibration
    kept = json.loads((tmp_path / CALIBRATION).read_text())
    assert kept["fitted_on"] == {
        "data_set": "Gaussians", "images": 300, "identities": 60, "genuine_pairs": 600, "impostor_pairs": 35400,
        "identity_pairs": 1770, "cross_camera": True,
    }  # fmt: skip
    for damage in (
        {"version": 9},
        {"method": "guess"},
        {"knots": [[1.0, 0.2], [2.0, 0.5]]},
        {"knots": []},
        {"thresholds": [1.0]},
        {"fitted_on": {}},
        {"false_match_rates": "none"},
    ):
        (tmp_path / CALIBRATION).write_text(json.dumps({**kept, **damage}))
        with pytest.raises(BrunaError, match=r"calibration\.json is not usable: .*`dvc repro evaluate`"):
            read_calibration(tmp_path)


def test_a_folder_calibrates_the_models_in_the_place_of_what_was_there(top_folder: Path, bruna: Run) -> None:
    """`bruna evaluate FOLDER --calibrate` says what it replaced, and refuses a distance that no search goes by."""
    folder = write_dataset(top_folder / "others")
    shutil.rmtree(folder / "query")
    save_tiny_models(top_folder / "artifacts")
    models = Path("artifacts/evaluate")
    params = read_params(Path("params.yaml")).evaluate.model_dump(mode="json")
    write_json(params, models / "settings.json")
    write_calibration(logistic(), models)

    status, out, err = bruna("evaluate", "others", "--calibrate", "--json", "o.json", "--html", "o.html")
    assert status == 0, err
    found = read_calibration(models)
    assert found is not None and (found.fitted_on.data_set, found.fitted_on.identities) == ("others", 4)
    assert "artifacts/evaluate/calibration.json, in the place of that of here (6 people)" in out
    assert "equal error rate" in out and "Too few people" in out
    assert read_json(Path("o.json"))["verification"]["genuine_pairs"] == found.fitted_on.genuine_pairs == 4
    assert "<h2>Threshold</h2>" in Path("o.html").read_text()

    write_json(params | {"attribute_offset": 7.0}, models / "settings.json")
    status, _, err = bruna("evaluate", "others", "--calibrate")
    assert status == 1 and "evaluate.attribute_offset is" in err and "goes by 7.0" in err
    write_json(params, models / "settings.json")
    for path in (folder / "train").glob("*_c2_*"):
        path.unlink()
    status, _, err = bruna("evaluate", "others", "--calibrate")
    assert status == 1 and "fewer than 4 people are seen by two cameras" in err
    assert read_calibration(models) == found


def test_a_damaged_calibration_is_replaced(
    tmp_path: Path, calibrated: Calibrated, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evaluate").mkdir()
    (tmp_path / "evaluate" / CALIBRATION).write_text("{")
    _keep_calibration(calibrated, tmp_path)
    assert "in the place of a damaged one" in capsys.readouterr().out
    assert read_calibration(tmp_path / "evaluate") == calibrated.calibration


def test_the_page_tells_rates_what_is_too_few_and_draws_both(calibrated: Calibrated) -> None:
    figures = calibrated.figures
    curve = calibrated.verification.curve()
    drawings = calibration_drawings(figures, curve, calibrated.reliability, "here")
    assert [drawing.file for drawing in drawings] == ["evaluate/roc.png", "evaluate/reliability.png"]
    assert all(png_bytes(drawing.draw()).startswith(b"\x89PNG") for drawing in drawings)
    roc = drawings[0].draw().axes[0]
    assert roc.get_xscale() == "log" and roc.get_xlim() == (1e-4, 1)
    drawn = roc.lines[0].get_xydata()
    assert drawn[:, 0].min() >= smallest_rate(figures["identity_pairs"])  # the rest is too few people
    assert (np.diff(drawn[:, 1]) >= 0).all()
    assert ((curve["fnmr_low"] <= curve["fnmr"]) & (curve["fnmr"] <= curve["fnmr_high"])).all()

    (section,) = calibration_sections(figures, {"verification": ["PICTURES"]})
    page = blocks_html(section.blocks)
    assert section.title == "Threshold" and "PICTURES" in page
    assert f"{figures['at_fmr']['0.01']['fnmr']:.1%}" in page
    assert "too few people: 246 are needed" in page and f"{figures['eer']['value']:.2%}" in page
    assert "on others" in page and "A dash:" in page
    few = {**figures, "at_fmr": {"0.01": {"people_needed": 25}}}
    alone = blocks_html(calibration_sections(few, {})[0].blocks)
    assert "too few people: 25" in alone and "n others" not in alone  # no column of dashes
    legend = [text.get_text() for text in drawings[0].draw().legends[0].get_texts()]
    assert "as measured" in legend and f"equal error rate {figures['eer']['value']:.1%}" in legend
    assert calibration_sections(None, {}) == []
    assert "no threshold" in blocks_html(calibration_sections({"people_needed": 4}, {})[0].blocks)
