"""What an answer rests on and says: the threshold, who is refused, who is not in the gallery."""

from collections.abc import Sequence
from decimal import ROUND_UP, Context
from pathlib import Path

import pandas as pd

from bruna.dataset.filenames import printable
from bruna.errors import BrunaError, counted
from bruna.index.search import Query, Wish
from bruna.inference.described import Described
from bruna.retrieval.calibration import Calibration, smallest_rate

_LIKELY = 0.5
"""Below this probability of the same person somebody is probably not there."""
_SHOWN = 10


def threshold_of(calibration: Calibration | None, max_fmr: float, models: Path, with_photo: bool) -> float:
    """The distance at which a false match rate is reached.

    Raises:
        BrunaError: there is no photo or no calibration, or too few people were measured.
    """
    if not 0 < max_fmr <= 1:
        raise BrunaError(f"--max-fmr is {max_fmr:g}: a rate lies above 0 and is at most 1, such as 0.01.")
    if not with_photo:
        raise BrunaError("--max-fmr needs a photo, for it limits the distance from one. Give a photo, or leave it out.")
    if calibration is None:
        raise BrunaError(f"--max-fmr needs a calibration, and {models / 'evaluate'} has none. `dvc repro` makes it.")
    found = calibration.threshold(max_fmr)
    if found is None:
        fitted_on = calibration.fitted_on
        carried = Context(prec=2, rounding=ROUND_UP).create_decimal_from_float(smallest_rate(fitted_on.identity_pairs))
        raise BrunaError(
            f"--max-fmr {max_fmr:g}: too few people were measured to know so small a rate. The smallest that these "
            f"{fitted_on.identities} carry is {float(carried):g}. Give that or more, or look at the probabilities."
        )
    return found


def refuse_junk(found: Described) -> None:
    """Refuse photos that show no person, by Task 1.

    Raises:
        BrunaError: there are some; it names them.
    """
    if found.task1_logits is None:
        return
    junk = [
        f"  {printable(name)} (probability of junk {probability:.2f})"
        for name, probability in zip(found.names, found.junk, strict=True)
        if probability >= found.settings.junk_threshold
    ]
    if junk:
        lines = "\n".join(junk[:_SHOWN])
        raise BrunaError(
            f"Task 1 sees no person in {counted(len(junk), 'photos')}:\n{lines}\nCrop a photo to one person, or leave "
            "it out; --keep-junk searches for it as it is."
        )


def notes_on(results: pd.DataFrame, queries: Sequence[Query], wish: Wish) -> list[str]:
    """A sentence for each query of which a threshold has kept something: how many images."""
    notes = []
    for query in queries if wish.nearer is not None else ():
        count = int((results["query"] == query.name).sum())
        if count:
            passed = f"{count:,} or more images pass (--top shows more)" if count == wish.top else (
                f"{counted(count, 'images')} {'passes' if count == 1 else 'pass'}"
            )  # fmt: skip
            of = f" of {printable(query.name)}" if len(queries) > 1 else ""
            notes.append(f"only images nearer than {wish.nearer:.4g} are results{of}: {passed}")
    return notes


def answers_to(results: pd.DataFrame, queries: Sequence[Query], wish: Wish, max_fmr: float | None) -> list[str]:
    """A sentence for each query whose person is not in the gallery, or probably not."""
    answers = []
    for query in queries:
        mine = results[results["query"] == query.name]
        if wish.nearer is not None and mine.empty:
            answers.append(
                f"{printable(query.name)}: not in the gallery: no image is nearer than {wish.nearer:.3f}, the distance "
                f"at which the false match rate is {max_fmr:g}."
            )
        elif mine.empty:
            answers.append(f"{printable(query.name)}: not in the gallery: no image fits the conditions.")
        elif wish.calibration is not None and max_fmr is None and mine["probability"].max() < _LIKELY:
            answers.append(
                f"{printable(query.name)}: probably not in the gallery: the greatest probability of the same person is "
                f"{mine['probability'].max():.2f}."
            )
    if not queries and results.empty:
        answers.append("Not in the gallery: no image fits the conditions.")
    return answers
