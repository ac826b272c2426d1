"""How common every attribute value is in training, as numbers that can be added to the logits."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bruna.dataset.schema import UNKNOWN, Task, logit_count, logit_slices


def log_priors(codes: npt.NDArray[np.integer], attributes: Sequence[Task]) -> npt.NDArray[np.float64]:
    """The logarithm of each value's share, laid out as the logits are.

    For a binary attribute, whose one logit is the difference of two, log(share of value 1) - log(share of value 0).
    A value that nobody bears has no finite logarithm: it gets 0 (and so has a binary attribute of one value only).

    Args:
        codes: N x A attribute codes, -1 where not annotated.
        attributes: the A attributes.

    Returns:
        L numbers.
    """
    priors = np.zeros(logit_count(attributes))
    for column, (attribute, where) in enumerate(zip(attributes, logit_slices(attributes).values(), strict=True)):
        known = codes[codes[:, column] != UNKNOWN, column]
        counts = np.bincount(known, minlength=len(attribute.values))
        if attribute.binary:
            priors[where] = np.log(counts[1] / counts[0]) if counts.all() else 0.0
        else:
            borne = counts > 0
            priors[where][borne] = np.log(counts[borne] / len(known))
    return priors
