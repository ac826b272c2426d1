"""The trade between accuracy and balanced accuracy: what a head would score if it leaned more to rare values.

A prediction-time shift of t lowers the logit of every value by t log(its share in training) (Menon et al., Long-tail
learning via logit adjustment, 2021, equation 9). Points are chosen by nobody here: 0 is what the network predicts.
"""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor

from bruna.dataset.attributes import ATTRIBUTES, LOGITS, table1_place
from bruna.dataset.predictions import codes_of
from bruna.dataset.priors import log_priors
from bruna.evaluation.attribute_tables import mean_title
from bruna.metrics.attributes import mean_metrics, task_metrics
from bruna.models.attribute_logits import attribute_predictions

_STEPS = 10


def shifts(logit_adjustment: float) -> list[float]:
    """The shifts t to try, ascending, 0 among them.

    A network trained with a logit adjustment of tau has been shifted by tau already: with t from -tau to 1 - tau the
    total goes from 0 to 1 whatever tau is.
    """
    totals = {i / _STEPS for i in range(_STEPS + 1)} | {logit_adjustment}
    return [round(total - logit_adjustment, 6) for total in sorted(totals)]


def operating_points(sides: Mapping[str, pd.DataFrame], logit_adjustment: float) -> pd.DataFrame:
    """Score every shift.

    Args:
        sides: side of the split -> its predictions (see `bruna.dataset.predictions`), `train` among them: the values'
            shares in training are those of its images.
        logit_adjustment: tau that the network was trained with.

    Returns:
        A row an attribute and shift, in the order of Table 1, and one for the mean of the attributes: `task`, `shift`,
        then `<side>/accuracy` and `<side>/balanced_accuracy`, 0..1; NaN where nothing is annotated.
    """
    images = sides["train"][~sides["train"]["junk"]]
    priors = torch.tensor(log_priors(codes_of(images)[0][:, : len(ATTRIBUTES)]), dtype=torch.float32)
    columns = {side: _points(frame, priors, shifts(logit_adjustment), side) for side, frame in sides.items()}
    return pd.concat(columns.values(), axis="columns").reset_index()


def _points(frame: pd.DataFrame, priors: Tensor, tried: list[float], side: str) -> pd.DataFrame:
    """One side's columns; the rows are indexed by task and shift."""
    true, _, logits = codes_of(frame)
    known, values = true[:, : len(ATTRIBUTES)], torch.from_numpy(logits)[:, :LOGITS]
    scored = [task_metrics(known, attribute_predictions(values - t * priors).numpy(), ATTRIBUTES) for t in tried]
    order = sorted(range(len(ATTRIBUTES)), key=lambda i: table1_place(ATTRIBUTES[i]))
    rows = []
    for i in order:
        results = [(t, s[i]) for t, s in zip(tried, scored, strict=True)]
        rows += [(ATTRIBUTES[i].title, t, result.accuracy, result.balanced_accuracy) for t, result in results]
    for t, of_all in zip(tried, scored, strict=True):
        mean = mean_metrics(of_all)
        rows.append((mean_title(len(ATTRIBUTES)), t, mean["accuracy"], mean["balanced_accuracy"]))
    columns = ["task", "shift", f"{side}/accuracy", f"{side}/balanced_accuracy"]
    return pd.DataFrame(rows, columns=columns).set_index(["task", "shift"])
