"""The report page's section on the threshold: how often two images are wrongly taken for one person, or for two."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bruna.report.blocks import Block, Note, Table
from bruna.report.drawing import Pictures
from bruna.report.page import Section
from bruna.report.words import words

_ON_OTHERS = "on others/"
_WORDS = (
    "false match rate (FMR)",
    "false non-match rate (FNMR)",
    "equal error rate (EER)",
    "genuine pair",
    "ROC",
    "logistic, isotonic",
    "log loss",
    "calibration error (ECE)",
)
_TOO_FEW = "too few people: {:,} are needed"


def calibration_sections(found: Mapping[str, Any] | None, pictures: Pictures) -> list[Section]:
    """Compose the section; none where nothing was ranked.

    Args:
        found: the figures `verification` of `evaluate`; None without.
        pictures: of the page.
    """
    if found is None:
        return []
    if "eer" not in found:
        text = f"There is no threshold: fewer than {found['people_needed']} people are seen twice."
        return [Section("Threshold", [Note(text)])]
    pairs = "pairs of images from different cameras" if found["cross_camera"] else "pairs of different images"
    other = "logistic" if found["method"] == "isotonic" else "isotonic"
    blocks: list[Block] = [
        words(*_WORDS),
        rate_table(found),
        f"Measured on {found['genuine_pairs']:,} {pairs} of one person and {found['impostor_pairs']:,} of two: "
        f"{found['images']:,} images of {found['identities']:,} people. A pair is accepted where its distance is below "
        f"the threshold. Intervals come from resampled people.{on_others(found)}",
        *([] if found["cross_camera"] else [Note("Nobody is seen by two known cameras: all pairs of images count.")]),
        f"The probability of the same person is the {found['method']} regression on the distance: on people that it "
        f"was not fitted to, its log loss is {found['log_loss'][found['method']]:.4g}, that of the {other} one "
        f"{found['log_loss'][other]:.4g}. Its calibration error (ECE) is {found['ece'][found['method']]:.2%}.",
        *pictures.get("verification", []),
        Note(
            f"{found['genuine_pairs'] / (found['genuine_pairs'] + found['impostor_pairs']):.2%} of these pairs show "
            "one person. In a gallery where that share is smaller, fewer of the accepted images are right, and a "
            "probability is too high. And a false match rate is of one comparison: a search makes as many as the "
            "gallery has images."
        ),
    ]
    return [Section("Threshold", blocks)]


def on_others(found: Mapping[str, Any]) -> str:
    """A sentence on the last columns of the table; nothing where there are none."""
    if not _measured_on_others(found):
        return ""
    return " “On others”: both rates for people to whom the threshold was not fitted. A dash: not measured."


def _measured_on_others(found: Mapping[str, Any]) -> bool:
    return any("fnmr" in at for at in found["at_fmr"].values())


def _range(found: Mapping[str, float]) -> str:
    return f"{100 * found['low']:.1f}–{found['high']:.1%}"


def rate_table(found: Mapping[str, Any]) -> Table:
    """One row a false match rate, and one for the equal error rate; what too few people carry says so."""
    eer = found["eer"]
    rows = [
        {
            "false match rate": f"{eer['value']:.2%}, the equal error rate",
            "threshold": f"{eer['threshold']:.4g}",
            "false non-match rate": f"{eer['value']:.1%}",
            "95% interval": _range(eer),
            f"{_ON_OTHERS}false match rate": "–",
            f"{_ON_OTHERS}false non-match rate": "–",
        }
    ]
    for rate, at in found["at_fmr"].items():
        row = dict.fromkeys(rows[0], "–") | {"false match rate": f"{float(rate):.2%}"}
        if "fnmr" not in at:
            row["false non-match rate"] = _TOO_FEW.format(at["people_needed"])
        else:
            row |= {
                "threshold": f"{at['threshold']:.4g}",
                "false non-match rate": f"{at['fnmr']:.1%}",
                "95% interval": _range(at),
                f"{_ON_OTHERS}false match rate": f"{at['fmr_cross_fitted']:.3%}",
                f"{_ON_OTHERS}false non-match rate": f"{at['fnmr_cross_fitted']:.1%}",
            }
        rows.append(row)
    if not _measured_on_others(found):
        rows = [{name: cell for name, cell in row.items() if not name.startswith(_ON_OTHERS)} for row in rows]
    return Table(pd.DataFrame(rows), "Same person or not, by distance")
