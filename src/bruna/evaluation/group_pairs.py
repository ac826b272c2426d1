"""Pairs of images of two people, counted by groups of images and for resampled people.

A pair belongs to every group that one of its images is in. Memory grows with people and groups, not with pairs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bruna.dataset.identities import UNKNOWN_CAMERA
from bruna.evaluation.pairs import ImagePairs
from bruna.metrics.bootstrap import Floats, Integers

Members = npt.NDArray[np.bool_]
"""N images x G groups: who is in which."""


def near_pairs(pairs: ImagePairs, threshold: float, members: Members, weights: Floats) -> Floats:
    """Impostor pairs below a threshold with an image of each group, R x G, counted as the two people were drawn."""
    people, groups = len(pairs.identities), members.shape[1]
    total = np.zeros((len(weights), groups))
    for first, last, one, other in pairs.near_impostors(threshold, groups):
        cell = (pairs.person[one] - first) * people + pairs.person[other]
        found = np.empty((last - first, people, groups))
        for g in range(groups):
            counted = cell[members[one, g] | members[other, g]]
            found[:, :, g] = np.bincount(counted, minlength=(last - first) * people).reshape(last - first, people)
        for person in range(first, last):  # of each pair of people, the first comes first among the images
            total += weights[:, [person]] * (weights[:, person + 1 :] @ found[person - first, person + 1 :])
    return total


@dataclass(frozen=True, eq=False)
class PairCounts:
    """How many images each of P people has, to count pairs of two people without making them.

    Attributes:
        images: P images of each.
        of_groups: P x G, those in each group.
        by_camera: a camera -> the same two of its images; empty where a pair may be of one camera.
    """

    images: Floats
    of_groups: Floats
    by_camera: Mapping[int, tuple[Floats, Floats]]

    @classmethod
    def of(cls, pairs: ImagePairs, cameras: Integers, members: Members) -> "PairCounts":
        """Count them.

        Args:
            pairs: of N images.
            cameras, members: N, and N x G, in the order of `pairs.rows`.
        """

        def count(chosen: Members) -> tuple[Floats, Floats]:
            images, of_groups = np.zeros(len(pairs.identities)), np.zeros((len(pairs.identities), members.shape[1]))
            np.add.at(images, pairs.person[chosen], 1.0)
            np.add.at(of_groups, pairs.person[chosen], members[chosen].astype(np.float64))
            return images, of_groups

        if not pairs.cross_camera:
            return cls(*count(np.ones(len(cameras), dtype=np.bool_)), {})
        known = cameras != UNKNOWN_CAMERA
        each = {int(camera): count(cameras == camera) for camera in np.unique(cameras[known])}
        return cls(*count(known), each)

    def weighted(self, weights: Floats) -> Floats:
        """Pairs of two people with an image of each group, R x G, each as often as its two people were drawn.

        With m images of the group among k of a person, the pairs of p and q are m_p k_q + k_p m_q - m_p m_q; those
        of one camera are taken off.
        """

        def both(one: Floats, other: Floats) -> Floats:
            """Of every ordered pair of two people, w_p w_q one_p other_q."""
            return (weights @ one) * (weights @ other) - (weights**2) @ (one * other)

        total = np.zeros((len(weights), self.of_groups.shape[1]))
        for sign, images, of_groups in self._terms():
            total += sign * (both(of_groups, images[:, None]) - both(of_groups, of_groups) / 2)
        return total

    def _terms(self) -> Iterator[tuple[int, Floats, Floats]]:
        yield 1, self.images, self.of_groups
        for images, of_groups in self.by_camera.values():
            yield -1, images, of_groups
