"""Whose word counts for the attributes of an image, over how many pictures of the person, and how good that is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.dataset.attributes import ATTRIBUTES, NAMES, UNKNOWN
from bruna.inference.describe import Described
from bruna.metrics.attributes import TASKS, task_metrics
from bruna.models.attribute_logits import most_probable
from bruna.params import Evaluate
from bruna.retrieval.distances import Euclidean
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE
from bruna.retrieval.ranking import top_k

_AVERAGED_AT_ONCE = 4096
"""Images whose sightings are gathered at a time: with ten sightings 5 MB."""


@dataclass(frozen=True)
class Answer:
    """How the attributes of an image are told.

    Attributes:
        by: `task1`; `bruna`, the attribute head of Task 2's network; `both`, the mean of their probabilities.
        sightings: the probabilities are averaged over so many images: the image itself and those that Bruna finds
            nearest to it among all that are described together, which are mostly other pictures of the same person.
            No identity is looked at. 1 takes the image alone.
    """

    by: str = "task1"
    sightings: int = 1

    @property
    def needs_bruna(self) -> bool:
        """Whether Bruna has to see the images."""
        return self.by != "task1" or self.sightings > 1


def chosen(params: Evaluate) -> Answer:
    """The answer that the parameters ask for."""
    return Answer(params.attributes_by, params.attributes_sightings)


def measured(params: Evaluate) -> dict[str, Answer]:
    """Name of the figures -> the answer that they are of; `attributes_answered` is what users get."""
    return {
        "attributes": Answer(),
        "attributes_bruna": Answer("bruna"),
        "attributes_both": Answer("both"),
        "attributes_answered": chosen(params),
    }


def probabilities(task1: Tensor, bruna: Tensor, features: Tensor, answer: Answer) -> Tensor:
    """N x 32 probabilities of the attributes' values.

    Args:
        task1, bruna: N x 32, what the two networks say of each image alone.
        features: N x F, what Bruna ranks images by.
        answer: whose probabilities, over how many images.
    """
    found = {"task1": task1, "bruna": bruna, "both": (task1 + bruna) / 2}[answer.by]
    return found if answer.sightings == 1 else _over_sightings(found, features, answer.sightings)


def _over_sightings(found: Tensor, features: Tensor, sightings: int) -> Tensor:
    gallery = Gallery.unlabelled(features)
    # Under the course protocol nothing is dropped: an image is the nearest to itself, at distance 0.
    nearest = top_k(gallery, gallery, Euclidean(), COURSE, min(sightings, len(gallery))).indices
    return torch.cat([found[rows].mean(dim=1) for rows in torch.split(nearest, _AVERAGED_AT_ONCE)])


def answers(described: Described, answer: Answer) -> npt.NDArray[np.int64]:
    """N x 12 codes: the most probable value of each attribute.

    Raises:
        ValueError: Bruna is asked and has told no attributes.
    """
    if not answer.needs_bruna:
        return described.predicted[:, : len(ATTRIBUTES)]
    gallery = described.gallery
    if gallery.attributes is None:
        raise ValueError("this gallery has no attributes: it was not described by Bruna")
    return most_probable(probabilities(described.attributes, gallery.attributes, gallery.features, answer)).numpy()


def attribute_figures(described: Described, answer: Answer) -> dict[str, dict[str, float]]:
    """Accuracy, macro precision and macro recall of each attribute, beside those of a constant answer.

    `majority` is the accuracy of always answering the commonest value, `chance` the balanced accuracy (`recall`) of
    any constant answer. Empty where nothing is annotated.
    """
    known = (described.codes >= 0).any(axis=1)
    if not known.any():
        return {}
    extras = np.full((int(known.sum()), len(TASKS) - len(ATTRIBUTES)), UNKNOWN)
    truth = np.concatenate([described.codes[known], extras], axis=1)
    found = task_metrics(truth, np.concatenate([answers(described, answer)[known], np.zeros_like(extras)], axis=1))
    return {
        name: {
            "accuracy": float(result.accuracy),
            "precision": float(result.precision),
            "recall": float(result.recall),
            "majority": float(result.majority),
            "chance": float(result.chance),
        }
        for name, result in zip(NAMES, found, strict=False)
    }


def all_figures(described: Described, params: Evaluate) -> dict[str, Any]:
    """`attribute_figures` of every answer that is measured, and the means over the attributes as `attribute_means`."""
    found: dict[str, Any] = {name: attribute_figures(described, answer) for name, answer in measured(params).items()}
    means = {
        name: {str(key): float(mean) for key, mean in pd.DataFrame(figures).T[["accuracy", "recall"]].mean().items()}
        for name, figures in found.items()
        if figures
    }
    return {name: figures for name, figures in found.items() if figures} | ({"attribute_means": means} if means else {})
