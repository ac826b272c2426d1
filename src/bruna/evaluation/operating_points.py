"""The trade between accuracy and balanced accuracy: what a head would score if it leaned more to rare values.

A prediction-time shift of t lowers the logit of every value by t log(its share in training) (Menon et al., Long-tail
learning via logit adjustment, 2021, equation 9). Points are chosen by nobody here: 0 is what the network predicts.
"""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor

from bruna.dataset.predictions import read_predictions
from bruna.dataset.priors import log_priors
from bruna.dataset.schema import attributes_among, mean_title
from bruna.metrics.attributes import mean_metrics, task_metrics
from bruna.models.attribute_logits import predictions

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
        A row an attribute and shift, and one for the mean of the attributes: `task`, `shift`,
        then `<side>/accuracy` and `<side>/balanced_accuracy`, 0..1; NaN where nothing is annotated.
    """
    images = sides["train"][~sides["train"]["junk"]]
    trained = read_predictions(images)
    attributes = attributes_among(trained.tasks)
    priors = torch.tensor(log_priors(trained.true[:, : len(attributes)], attributes), dtype=torch.float32)
    columns = {side: _points(frame, priors, shifts(logit_adjustment), side) for side, frame in sides.items()}
    return pd.concat(columns.values(), axis="columns").reset_index()


def _points(frame: pd.DataFrame, priors: Tensor, tried: list[float], side: str) -> pd.DataFrame:
    """One side's columns; the rows are indexed by task and shift."""
    found = read_predictions(frame)
    attributes = attributes_among(found.tasks)
    known, values = found.true[:, : len(attributes)], torch.from_numpy(found.logits)[:, : len(priors)]
    scored = [task_metrics(known, predictions(values - t * priors, attributes).numpy(), attributes) for t in tried]
    rows = []
    for i, attribute in enumerate(attributes):
        results = [(t, s[i]) for t, s in zip(tried, scored, strict=True)]
        rows += [(attribute.title, t, result.accuracy, result.balanced_accuracy) for t, result in results]
    for t, of_all in zip(tried, scored, strict=True):
        mean = mean_metrics(of_all)
        rows.append((mean_title(len(attributes)), t, mean["accuracy"], mean["balanced_accuracy"]))
    columns = ["task", "shift", f"{side}/accuracy", f"{side}/balanced_accuracy"]
    return pd.DataFrame(rows, columns=columns).set_index(["task", "shift"])
