"""From a distance to the probability of the same person, and from a false match rate to a threshold.

A calibration is fitted by `bruna.evaluation.calibration` and kept as JSON; this file only applies it.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Method = Literal["isotonic", "logistic"]
METHODS: tuple[Method, ...] = ("isotonic", "logistic")
_VERSION = 1
_FEWEST = 3
"""Of n trials without an error, 3 / n is the upper 95% limit of the rate ("rule of 3": Hanley and Lippman-Hand,
JAMA 1983). A smaller rate is not told from 0. Trials are pairs of identities, not of images: the images
of one pair of people err together."""


def smallest_rate(identity_pairs: int) -> float:
    """The smallest rate that so many pairs of different people carry; 1 at most."""
    return min(1.0, _FEWEST / identity_pairs) if identity_pairs else 1.0


def people_needed(rate: float) -> int:
    """How many people, all compared with each other, carry a rate."""
    return math.ceil((1 + math.sqrt(1 + 8 * _FEWEST / rate)) / 2)


@dataclass(frozen=True)
class FittedOn:
    """What a calibration was fitted on.

    Attributes:
        data_set: a name for people.
        images, identities: how many images of how many people.
        genuine_pairs, impostor_pairs: pairs of images of one person, and of two.
        identity_pairs: pairs of people that the impostor pairs show.
        cross_camera: the two images of a pair are from different cameras; False where cameras are unknown, and all
            pairs of different images count.
    """

    data_set: str
    images: int
    identities: int
    genuine_pairs: int
    impostor_pairs: int
    identity_pairs: int
    cross_camera: bool


@dataclass(frozen=True)
class Calibration:
    """How probable it is that two images at some distance show the same person, and how often that is wrong.

    Attributes:
        method: `isotonic`, the probability is linear between `knots`; `logistic`, it is 1 / (1 + exp(-(a + b d))).
        knots: isotonic: (distance, probability), distances ascending, probabilities never rising; logistic: one
            pair (a, b), b never above 0.
        thresholds: ascending distances. A pair is accepted where its distance is below the threshold.
        false_match_rates: share of the impostor pairs that each accepts, never falling.
        false_non_match_rates: share of the genuine pairs that each refuses, never rising.
        fitted_on: the pairs behind all this.

    Raises:
        ValueError: these numbers contradict each other.
    """

    method: Method
    knots: tuple[tuple[float, float], ...]
    thresholds: tuple[float, ...]
    false_match_rates: tuple[float, ...]
    false_non_match_rates: tuple[float, ...]
    fitted_on: FittedOn

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}, not one of {', '.join(METHODS)}")
        knots = np.array(self.knots, dtype=np.float64)
        if knots.ndim != 2 or knots.shape[1] != 2 or not np.isfinite(knots).all():
            raise ValueError("knots must be pairs of finite numbers")
        x, y = knots.T
        if self.method == "logistic" and (len(knots) != 1 or y[0] > 0):
            raise ValueError("knots of a logistic fit are one pair, the second number at most 0")
        if self.method == "isotonic" and ((np.diff(x) <= 0).any() or (np.diff(y) > 0).any() or not _shares(y)):
            raise ValueError("knots must have ascending distances and probabilities that never rise")
        curve = [np.array(each) for each in (self.thresholds, self.false_match_rates, self.false_non_match_rates)]
        if not len(curve[0]) or len({each.shape for each in curve}) > 1 or not _shares(*curve[1:]):
            raise ValueError("thresholds and their rates must be of one length, the rates from 0 to 1")
        if not np.isfinite(curve[0]).all() or (np.diff(curve[0]) <= 0).any() or (np.diff(curve[1]) < 0).any():
            raise ValueError("thresholds must ascend, and false match rates never fall")

    def probability(self, distances: npt.ArrayLike, images: int | None = None) -> Floats:
        """The probability of the same person (docs/explanation/threshold.md).

        In a large gallery few pairs are of one person, and a distance convinces less. Its odds are those of the fit
        times the ratio of the odds of a pair before its distance is known (Bayes' theorem): s at the fit, t in the
        gallery. t = s n / N takes it that the gallery of N images has as many images of the person as the n images of
        the fit had of each of theirs. A smaller gallery than that of the fit is taken for one of its size.

        Args:
            distances: of the search (`bruna.retrieval.distances.ProductDistance`), any shape.
            images: N, of the gallery; None for the probability among pairs such as the fitted ones.

        Returns:
            Float64 of the same shape, from 0 to 1, never rising with the distance; NaN of NaN.
        """
        fitted = self._fitted(np.asarray(distances, dtype=np.float64))
        on = self.fitted_on
        if images is None or images <= on.images or not on.genuine_pairs:
            return fitted
        s = on.genuine_pairs / (on.genuine_pairs + on.impostor_pairs)
        t = s * on.images / images
        ratio = t * (1 - s) / (s * (1 - t))
        return fitted * ratio / (fitted * ratio + (1 - fitted))

    def _fitted(self, given: Floats) -> Floats:
        x, y = np.array(self.knots).T
        if self.method == "isotonic":
            return np.asarray(np.interp(given, x, y))
        return np.asarray(1 / (1 + np.exp(np.clip(-(x[0] + y[0] * given), -700, 700))))

    def threshold(self, max_fmr: float) -> float | None:
        """The largest distance below which at most this share of the impostor pairs lies.

        Args:
            max_fmr: the false match rate, above 0 and at most 1.

        Returns:
            A distance: accept what lies below it (0 accepts nothing). None where the rate is smaller than the people
            it was fitted on carry (`smallest_rate`).

        Raises:
            ValueError: `max_fmr` is no such rate.
        """
        if not 0 < max_fmr <= 1:
            raise ValueError(f"a false match rate lies above 0 and is at most 1, not {max_fmr}")
        if max_fmr < smallest_rate(self.fitted_on.identity_pairs):
            return None
        below = int(np.searchsorted(self.false_match_rates, max_fmr, side="right"))
        return self.thresholds[below - 1] if below else 0.0

    def to_json(self) -> dict[str, Any]:
        """As `from_json` takes it."""
        return {"version": _VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave.

        Raises:
            ValueError: it is something else; the message says what is wrong.
        """
        if found.get("version") != _VERSION:
            raise ValueError(f"version is {found.get('version')!r}, not {_VERSION}")
        try:
            return cls(
                found["method"],
                tuple((float(x), float(y)) for x, y in found["knots"]),
                tuple(map(float, found["thresholds"])),
                tuple(map(float, found["false_match_rates"])),
                tuple(map(float, found["false_non_match_rates"])),
                FittedOn(**found["fitted_on"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"something is missing or of another type: {error}") from None


def _shares(*values: npt.NDArray[np.float64]) -> bool:
    return all(bool(((each >= 0) & (each <= 1)).all()) for each in values)
