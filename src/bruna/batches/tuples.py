"""The tuples of Task 2 (paper, section 3.2.2): four images of one identity and one of each of eight others."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bruna.batches.seeds import numpy_generator
from bruna.errors import BrunaError, counted

ANCHORS = 4
"""Images of the anchor identity in a tuple."""
NEGATIVES = 8
"""Images of other identities in a tuple."""
TUPLE = ANCHORS + NEGATIVES

Indices = npt.NDArray[np.int64]


class TupleBatch(NamedTuple):
    """Some tuples and the images they are made of, each image once.

    `rows`: B rows of the image table; `anchors`: T x 4 and `negatives`: T x 8 positions in `rows`.
    """

    rows: Indices
    anchors: Indices
    negatives: Indices


class TupleSampler:
    """Draws the tuples of any epoch; the draws depend on the seed and the epoch alone.

    Args:
        identities: N integers, the identity of each image.
        seed: of the draws.
        tuples_per_identity: how often each identity is the anchor in an epoch.
        in_turn: let every identity be the anchor once before any is again, so that the anchors of a batch are
            different identities (`in_batch_negatives` needs that); otherwise their order is random throughout.
        cameras: N integers, the camera of each image: an anchor's images are then of as many cameras as there are;
            None draws them whatever their camera.

    Raises:
        BrunaError: there are fewer than two identities, so that there is no negative.
    """

    def __init__(
        self,
        identities: npt.NDArray[np.integer],
        *,
        seed: int,
        tuples_per_identity: int,
        in_turn: bool = False,
        cameras: npt.NDArray[np.integer] | None = None,
    ) -> None:
        names, inverse, counts = np.unique(identities, return_inverse=True, return_counts=True)
        if len(names) < 2:
            raise BrunaError(
                f"the training images show {len(names)} identity, but a tuple needs an anchor and at least one "
                "other person. Add identities to the data set or raise split.train_share."
            )
        self.seed = seed
        self.tuples_per_identity = tuples_per_identity
        self.in_turn = in_turn
        self._by_identity = np.argsort(inverse, kind="stable")
        self._cameras = None if cameras is None else cameras[self._by_identity]
        self._counts = counts
        self._starts = np.cumsum(counts) - counts

    def __len__(self) -> int:
        """Number of tuples of an epoch."""
        return len(self._counts) * self.tuples_per_identity

    def epoch(self, epoch: int) -> Indices:
        """Draw an epoch.

        Every identity is the anchor `tuples_per_identity` times, in random order. An anchor's four images
        are drawn uniformly without repetition, or across its cameras; where it has fewer than four, each occurs
        once before any occurs again. The eight others are distinct identities, drawn uniformly, and one image
        of each; where fewer than eight exist, each occurs once before any occurs again.

        Returns:
            T x 12 positions in `identities`: columns 0 to 3 are the anchor's images, 4 to 11 the others'.
        """
        random = numpy_generator(self.seed, "tuples", epoch)
        people = len(self._counts)
        if self.in_turn:
            anchors = np.concatenate([random.permutation(people) for _ in range(self.tuples_per_identity)])
        else:
            anchors = random.permutation(np.repeat(np.arange(people), self.tuples_per_identity))
        if self._cameras is None:
            own = draw_without_repetition(random, self._counts[anchors], ANCHORS)
        else:
            own = self._draw_across_cameras(random, anchors, self._cameras)
        others = draw_without_repetition(random, np.full(len(anchors), people - 1), NEGATIVES)
        others += others >= anchors[:, None]  # the numbers 0 to people - 2 skip the anchor
        chosen = random.integers(0, self._counts[others])
        positions = np.concatenate([self._starts[anchors, None] + own, self._starts[others] + chosen], axis=1)
        tuples: Indices = self._by_identity[positions]
        return tuples

    def _draw_across_cameras(
        self, random: np.random.Generator, anchors: Indices, cameras: npt.NDArray[np.integer]
    ) -> Indices:
        """T x 4 places among the images of each anchor: one of every camera before a second one of any.

        Cameras, and the images of a camera, are drawn uniformly.
        """
        counts = self._counts[anchors]
        starts = np.cumsum(counts) - counts
        which = np.repeat(np.arange(len(anchors)), counts)
        place = np.arange(len(which)) - starts[which]
        camera = cameras[self._starts[anchors][which] + place]
        shuffled = np.lexsort((random.random(len(which)), camera, which))
        first = np.diff(which[shuffled], prepend=-1).astype(bool) | np.diff(camera[shuffled], prepend=-1).astype(bool)
        begins = np.flatnonzero(first)
        turn = np.arange(len(which)) - begins[np.cumsum(first) - 1]  # images of the same camera before it
        drawn = shuffled[np.lexsort((random.random(len(which)), turn, which))]
        chosen: Indices = place[drawn[starts[:, None] + np.arange(ANCHORS) % counts[:, None]]]
        return chosen


def own_negatives(tuples: Indices) -> TupleBatch:
    """Tuples as the sampler drew them: T x 12 rows, every one with eight negatives of its own, B = 12 T."""
    positions = np.arange(tuples.size).reshape(tuples.shape)
    return TupleBatch(tuples.reshape(-1), positions[:, :ANCHORS], positions[:, ANCHORS:])


def in_batch_negatives(tuples: Indices, identities: npt.NDArray[np.integer], random: np.random.Generator) -> TupleBatch:
    """Tuples whose negatives are each other's anchors: three times as many tuples from as many images, B = 4 T.

    The eight negatives of a tuple are anchors of other tuples of the batch, of identities not its own, drawn
    uniformly, one image of each; where there are fewer than eight, each occurs once before any occurs again.

    Args:
        tuples: T x 12 rows of the image table; only the four columns of the anchor are used.
        identities: the identity of every row of the image table.
        random: the generator.

    Raises:
        BrunaError: all tuples have the same anchor, so that there is no negative.
    """
    anchored = identities[tuples[:, 0]]
    negative = anchored[:, None] != anchored[None, :]
    if not negative.any(axis=1).all():
        raise BrunaError(
            f"a batch of {counted(len(tuples), 'tuples')} shows one identity only, so that it holds no negatives. "
            "Raise train_bruna.batch_tuples, or set train_bruna.negatives: own."
        )
    first = np.argsort(~negative, axis=1, kind="stable")  # of each row: the tuples of other identities, then the rest
    which = np.take_along_axis(first, draw_without_repetition(random, negative.sum(axis=1), NEGATIVES), axis=1)
    negatives = which * ANCHORS + random.integers(0, ANCHORS, which.shape)
    anchors = np.arange(len(tuples) * ANCHORS).reshape(-1, ANCHORS)
    return TupleBatch(tuples[:, :ANCHORS].reshape(-1), anchors, negatives)


def draw_without_repetition(random: np.random.Generator, sizes: Indices, count: int) -> Indices:
    """For each row r draw `count` numbers below `sizes[r]`, uniformly, without repetition while there are any left.

    Column j of a row is uniform over the numbers that columns before it left over; once all are used it is
    uniform over all of them. Work and memory are in proportion to rows x count, whatever the sizes.

    Args:
        random: the generator.
        sizes: R integers, each at least 1.
        count: number of columns.

    Returns:
        R x count integers.
    """
    drawn = np.empty((len(sizes), count), dtype=np.int64)
    for column in range(count):
        left = sizes - column
        rank = random.integers(0, np.where(left > 0, left, sizes))
        # The rank-th number not yet used: step over the used ones from the smallest up.
        for used in np.sort(drawn[:, :column], axis=1).T:
            rank += (left > 0) & (rank >= used)
        drawn[:, column] = rank
    return drawn
