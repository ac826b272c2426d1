"""The probability of the same person, fitted to the distances of pairs of images, and how far it can be trusted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from bruna.evaluation.pairs import Counts, Floats, FoldHistograms, ImagePairs
from bruna.evaluation.retrieval import Retrieval, kept_images
from bruna.evaluation.verification import RATES, Verification, verify
from bruna.params import Evaluate
from bruna.retrieval.calibration import METHODS, Calibration, FittedOn, Method
from bruna.retrieval.distances import Distance, ProductDistance
from bruna.retrieval.gallery import Gallery

FEWEST_PEOPLE = 4
"""People with a genuine pair that a fit needs: of four folds, two are left to fit on when two are measured."""
_FOLDS = 5
_SEED = 0
_RELIABILITY_BINS = 10


@dataclass(frozen=True)
class Calibrated:
    """A calibration and what was measured of it.

    Attributes:
        calibration: fitted to all pairs.
        verification: rates at each threshold.
        reliability: cross-fitted, a row a tenth of the probability with a pair in it: `from`, `to`, `pairs`,
            `predicted` (mean probability), `observed` (share of genuine pairs).
        figures: see `calibrate`.
    """

    calibration: Calibration
    verification: Verification
    reliability: pd.DataFrame
    figures: dict[str, Any]


def calibrate_ranked(retrieval: Retrieval, params: Evaluate, data_set: str) -> Calibrated | None:
    """Calibrate the distance that a search uses on the images of a ranking, junk left out as `evaluate` does.

    Args:
        retrieval: the query and gallery images; the same set where every image is both.
        params: the group `evaluate`.
        data_set: what the images are called.

    Returns:
        See `calibrate`.
    """
    images, _ = images_in_pairs(retrieval, params)
    return calibrate(images, ProductDistance(params.attribute_offset), data_set)


def images_in_pairs(retrieval: Retrieval, params: Evaluate) -> tuple[Gallery, Counts]:
    """Query and gallery images of a ranking, each once, without what the junk filter leaves out; and their attribute
    codes, -1 where not annotated."""
    sides = {id(side): side for side in (retrieval.query, retrieval.gallery)}.values()
    kept = [(side, kept_images(side, params).nonzero().flatten()) for side in sides]
    parts = [side.gallery.select(rows) for side, rows in kept]
    attributes = [part.attributes for part in parts if part.attributes is not None]
    images = Gallery(
        torch.cat([part.features for part in parts]),
        torch.cat(attributes) if attributes else None,
        torch.cat([part.identities for part in parts]),
        torch.cat([part.cameras for part in parts]),
    )
    return images, np.concatenate([side.codes[rows.numpy()] for side, rows in kept])


def calibrate(images: Gallery, distance: Distance, data_set: str) -> Calibrated | None:
    """Fit isotonic and logistic regression of "same person" on the distance, and keep the better calibrated one.

    The better one has the lower log loss on pairs that were not fitted to: a proper score, which the calibration error
    (ECE) is not. The people are dealt into folds; a pair of people in folds f and g is measured by a fit to the pairs
    of the people outside both (as Chiang et al., Dyadic double/debiased machine learning, 2021, do it), so nobody is
    on both sides. What is kept is fitted to all pairs.

    Args:
        images: with identities and cameras.
        distance: that a search goes by.
        data_set: what they are called.

    Returns:
        The figures are `images`, `identities`, `genuine_pairs`, `impostor_pairs`, `identity_pairs`, `cross_camera`;
        those of `Verification.figures`, and at each rate `fmr_cross_fitted` and `fnmr_cross_fitted`, at thresholds
        that were fitted to other people; `method`, and `log_loss.<method>` and `ece.<method>`, cross-fitted. None where
        fewer than `FEWEST_PEOPLE` people have a genuine pair.
    """
    pairs = ImagePairs(images, distance)
    if pairs.twice_seen.sum() < FEWEST_PEOPLE:
        return None
    histograms = pairs.fold_histograms(_folds(pairs.twice_seen))
    verification = verify(pairs, histograms)
    predicted = {method: _cross_fitted(histograms, method) for method in METHODS}
    reliability = {method: _reliability(histograms, predicted[method]) for method in METHODS}
    log_loss = {method: _log_loss(histograms, predicted[method]) for method in METHODS}
    best = min(METHODS, key=log_loss.__getitem__)
    fitted_on = FittedOn(
        data_set,
        len(pairs),
        len(pairs.identities),
        verification.genuine_pairs,
        verification.impostor_pairs,
        verification.identity_pairs,
        pairs.cross_camera,
    )
    calibration = Calibration(
        best,
        _fit(histograms.middles, histograms.genuine.sum(axis=0), histograms.impostor.sum(axis=0), best),
        tuple(verification.thresholds.tolist()),
        tuple(verification.fmr[0].tolist()),
        tuple(verification.fnmr[0].tolist()),
        fitted_on,
    )
    rates = verification.figures()
    for rate in RATES:
        if "fmr" in rates["at_fmr"][f"{rate:g}"]:
            rates["at_fmr"][f"{rate:g}"] |= _cross_fitted_rates(histograms, rate)
    figures = {
        **{name: value for name, value in vars(fitted_on).items() if name != "data_set"},
        **rates,
        "method": best,
        "log_loss": log_loss,
        "ece": {method: _ece(reliability[method]) for method in METHODS},
    }
    return Calibrated(calibration, verification, reliability[best], figures)


def _folds(twice_seen: npt.NDArray[np.bool_]) -> Counts:
    """A fold for each of P identities: dealt out at random, those with genuine pairs evenly."""
    random = np.random.default_rng(_SEED)
    order = random.permutation(len(twice_seen))
    order = order[np.argsort(~twice_seen[order], kind="stable")]
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = np.arange(len(order)) % min(_FOLDS, int(twice_seen.sum()))
    return fold


def _others(found: FoldHistograms, u: int) -> tuple[Floats, Floats]:
    """Genuine and impostor counts of the pairs whose people are in neither fold of the pair of folds `u`.

    Fewer people have a larger share of genuine pairs, and a probability depends on it: both are brought to the totals
    of all people.
    """
    apart = ~np.isin(found.folds, found.folds[u]).any(axis=1)
    genuine, impostor = (of[apart].sum(axis=0) * (of.sum() / of[apart].sum()) for of in (found.genuine, found.impostor))
    return genuine, impostor


def _cross_fitted(found: FoldHistograms, method: Method) -> Floats:
    """U x B probabilities: of each pair of folds, by the fit to the others."""
    rows = []
    for u in range(len(found.folds)):
        knots = _fit(found.middles, *_others(found, u), method)
        rows.append(_probability(method, knots, found.middles))
    return np.stack(rows)


def _probability(method: Method, knots: tuple[tuple[float, float], ...], distances: Floats) -> Floats:
    nothing = FittedOn("", 0, 0, 0, 0, 0, cross_camera=False)
    return Calibration(method, knots, (0.0,), (0.0,), (1.0,), nothing).probability(distances)


def _fit(
    distances: Floats, genuine: Floats | Counts, impostor: Floats | Counts, method: Method
) -> tuple[tuple[float, float], ...]:
    """The `knots` of a `Calibration`, by maximum likelihood of counts at B distances.

    No share of finitely many pairs shows a probability of 0 or 1: the isotonic one keeps one pair away from both
    (Laplace's rule of succession). The logistic one has scikit-learn's ordinary penalty, one over the number of pairs,
    which keeps it finite where a distance separates them.
    """
    some = genuine + impostor > 0
    x, ones, zeros = distances[some], genuine[some], impostor[some]
    both = ones + zeros
    if method == "isotonic":
        fitted = IsotonicRegression(increasing=False, out_of_bounds="clip").fit(x, ones / both, sample_weight=both)
        heights = np.clip(fitted.y_thresholds_, 1 / (both.sum() + 2), 1 - 1 / (ones.sum() + 2))
        heights = np.minimum.accumulate(heights)
        return tuple(zip(fitted.X_thresholds_.tolist(), heights.tolist(), strict=True))
    mean = float(np.average(x, weights=both))
    scale = float(np.sqrt(np.average((x - mean) ** 2, weights=both))) or 1.0
    z = (np.concatenate([x, x]) - mean)[:, None] / scale
    labels, weights = np.repeat([1, 0], len(x)), np.concatenate([ones, zeros])
    given = weights > 0
    model = LogisticRegression(solver="newton-cholesky").fit(z[given], labels[given], sample_weight=weights[given])
    slope, intercept = float(model.coef_[0, 0]) / scale, float(model.intercept_[0])
    if slope > 0:  # the distance tells nothing: the share of the genuine pairs at all distances
        return ((float(np.log(ones.sum() / zeros.sum())), 0.0),)
    return ((intercept - slope * mean, slope),)


def _log_loss(found: FoldHistograms, predicted: Floats) -> float:
    """Mean of -log(probability of what is true) over the pairs, nats."""
    p = np.clip(predicted, 1e-15, 1 - 1e-15)
    total = -(found.genuine * np.log(p) + found.impostor * np.log1p(-p)).sum()
    return float(total / (found.genuine.sum() + found.impostor.sum()))


def _reliability(found: FoldHistograms, predicted: Floats) -> pd.DataFrame:
    """See `Calibrated.reliability`."""
    both = found.genuine + found.impostor
    place = np.minimum((predicted * _RELIABILITY_BINS).astype(np.int64), _RELIABILITY_BINS - 1).ravel()

    def sums(values: Floats | Counts) -> Floats:
        return np.bincount(place, values.ravel().astype(np.float64), _RELIABILITY_BINS).astype(np.float64)

    pairs = sums(both)
    some = pairs > 0
    edges = np.arange(_RELIABILITY_BINS + 1) / _RELIABILITY_BINS
    return pd.DataFrame(
        {
            "from": edges[:-1][some],
            "to": edges[1:][some],
            "pairs": pairs[some].astype(np.int64),
            "predicted": sums(both * predicted)[some] / pairs[some],
            "observed": sums(found.genuine)[some] / pairs[some],
        }
    )


def _ece(reliability: pd.DataFrame) -> float:
    """Expected calibration error: mean distance of predicted and observed share, by pairs."""
    gaps = (reliability["predicted"] - reliability["observed"]).abs()
    return float(np.average(gaps, weights=reliability["pairs"]))


def _cross_fitted_rates(found: FoldHistograms, rate: float) -> dict[str, float]:
    """Rates at thresholds for a false match rate that were fitted to other people."""
    accepted = refused = 0
    for u, (genuine, impostor) in enumerate(zip(found.genuine, found.impostor, strict=True)):
        others = _others(found, u)[1]
        below = int(np.searchsorted(np.append(0, others.cumsum()), rate * others.sum(), side="right")) - 1
        accepted += int(impostor[:below].sum())
        refused += int(genuine[below:].sum())
    return {
        "fmr_cross_fitted": accepted / int(found.impostor.sum()),
        "fnmr_cross_fitted": refused / int(found.genuine.sum()),
    }
