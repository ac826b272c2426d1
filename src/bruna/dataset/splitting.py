"""Which people train and which validate (paper, section 2): all images of a person go to one side.

Every attribute value should have `train_share` of its bearers in training ("if we have 200 people with a hat and
a 80% training 20% validation split, we wish to have 160 people with a hat in the training set and the other 40
in the validation set"). Values are taken from the rarest up, random within a value by seed; what that leaves
uneven is mended by exchanging people between the sides.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bruna.dataset.schema import Task
from bruna.errors import BrunaError

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_ABSENT = 1e7
"""Cost of a value with two or more bearers that is missing on one side: more than any imbalance can cost, small
enough that sums of a few keep eight decimals."""
_UNSEEN = 1e5
"""Cost of having the only bearer of a value in validation, where nothing has learnt the value."""
_CANDIDATES = 2000
"""Best people a side that an exchange is looked for among: all of them up to 2,500 people, bounded memory beyond."""
_STARTS = 16
"""Random starts of which the most even result is kept: exchanges alone end in whichever hollow is nearest."""
_STARTS_PEOPLE = 20_000
"""Fewer starts where there are many people, so that starts times people stay below this."""
_TRIES = 20_000
"""How many people the search for absent values may move, there and back, before it settles for what it has."""


def split_identities(
    codes: npt.NDArray[np.integer],
    attributes: Sequence[Task],
    *,
    train_share: float,
    seed: int,
    images: npt.NDArray[np.integer] | None = None,
    what: str = "identities",
) -> Mask:
    """Split N people into training and validation.

    - Each person is on one side; both sides have somebody.
    - Every value with two or more bearers is on both sides wherever some split achieves that (the search for it
      is exhaustive up to `_TRIES` moves).
    - The number of people in training is `round(train_share * N)`. It gives way only where each person of the
      side that is too large is the last bearer of some value there.
    - The only bearer of a value trains, unless one of the conditions above is in the way.
    - Under these conditions no exchange of two people makes the squared deviations from
      `train_share * bearers`, summed over all values and the images, smaller.

    Args:
        codes: N x A attribute codes; -1 = not annotated.
        attributes: the A attributes.
        train_share: wanted share of the people in training, between 0 and 1.
        seed: decides whatever the conditions leave open; equal input and seed give an equal split.
        images: N, images of each person; their share is balanced like that of a value.
        what: the N are, for the message.

    Returns:
        N booleans, True for training.

    Raises:
        BrunaError: there are fewer than two people.
    """
    bearers = one_hot(codes, attributes)
    people = len(bearers)
    if people < 2:
        raise BrunaError(
            f"the split needs at least 2 {what} in train/, found {people}. "
            "`bruna import` or `bruna sample` brings a data set with more."
        )
    target = training_size(people, train_share)
    generator = np.random.default_rng(seed)
    weights = np.ones(people) if images is None else np.asarray(images, dtype=np.float64)
    weights = weights / weights.mean()
    best: tuple[tuple[float, ...], Mask] | None = None
    for _ in range(max(1, min(_STARTS, _STARTS_PEOPLE // people))):
        train = _rarest_first(bearers, train_share, generator)
        _mend_absent(train, bearers)
        _resize(train, bearers, target, train_share)
        _exchange(train, bearers, train_share, weights)
        while (size := int(train.sum())) != target:
            _resize(train, bearers, target, train_share)  # the exchange may have freed somebody who held the size
            if int(train.sum()) == size:
                break
            _exchange(train, bearers, train_share, weights)
        off = abs(int(train.sum()) - target)
        lacking = len(_absent(bearers.sum(axis=0), bearers[train].sum(axis=0)))
        cost = (lacking, off, round(_total_cost(train, bearers, train_share, weights), 5))
        if best is None or cost < best[0]:
            best = cost, train
    assert best is not None
    return best[1]


def training_size(people: int, train_share: float) -> int:
    """How many of two or more people should train: both sides have somebody."""
    return min(max(round(train_share * people), 1), people - 1)


def one_hot(codes: npt.NDArray[np.integer], attributes: Sequence[Task]) -> Mask:
    """N x V: who bears which value, those of the first attribute first; no value where the code is -1."""
    values = [codes[:, [i]] == np.arange(len(attribute.values)) for i, attribute in enumerate(attributes)]
    return np.concatenate([np.zeros((len(codes), 0), dtype=bool), *values], axis=1)


def _rarest_first(bearers: Mask, share: float, generator: np.random.Generator) -> Mask:
    """Assign people value by value, the rarest first, and whoever bears no value last."""
    people = len(bearers)
    train, free = np.zeros(people, dtype=bool), np.ones(people, dtype=bool)
    counts = bearers.sum(axis=0)
    groups = [bearers[:, value] for value in np.argsort(counts, kind="stable")]
    for group in [*groups, np.ones(people, dtype=bool)]:
        size = int(group.sum())
        wanted = 1 if size == 1 else min(max(round(share * size), 1), size - 1)
        open_ = generator.permutation(np.flatnonzero(group & free))
        train[open_[: max(wanted - int((group & train).sum()), 0)]] = True
        free[group] = False
    return train


def _absent(counts: Counts, inside: Counts) -> npt.NDArray[np.intp]:
    """The values with two or more bearers that are on one side only, the rarest first.

    Args:
        counts: bearers of each value.
        inside: those of them in training.
    """
    values = np.flatnonzero((counts >= 2) & ((inside == 0) | (inside == counts)))
    return values[np.argsort(counts[values], kind="stable")]


def _mend_absent(train: Mask, bearers: Mask) -> None:
    """Move as few people as it takes to have every value with two bearers on both sides, in place.

    Any split that mends a value must move one of its bearers: so branch over them, one moved, those before it
    held where they are. Deepening one move at a time makes this complete and finds the fewest moves.
    """
    held = np.zeros(len(train), dtype=bool)
    counts: Counts = bearers.sum(axis=0)
    inside: Counts = bearers[train].sum(axis=0)
    tries, deeper = _TRIES, True

    def moved(person: int) -> Counts:
        return np.asarray(inside - bearers[person] if train[person] else inside + bearers[person])

    def move(person: int) -> None:
        # Counted on: to count all people again would make each try as long as there are people.
        nonlocal inside
        inside = moved(person)
        train[person] ^= True

    def search(depth: int) -> bool:
        nonlocal tries, deeper
        absent = _absent(counts, inside)
        if len(absent) == 0:
            return True
        if depth == 0 or tries <= 0:
            deeper = True
            return False
        mine: list[int] = []
        for person in np.flatnonzero(bearers[:, absent[0]] & ~held).tolist():
            tries -= 1
            move(person)
            held[person] = True
            mine.append(person)
            if search(depth - 1):
                return True
            move(person)
        held[mine] = False
        return False

    depth = 0
    while tries > 0 and deeper:
        deeper = False
        if search(depth):
            return
        depth += 1
    # Not possible, or not found, and all are where they were: keep the best of single moves.
    while len(absent := _absent(counts, inside)):
        bears = np.flatnonzero(bearers[:, absent].any(axis=1)).tolist()
        better = (person for person in bears if len(_absent(counts, moved(person))) < len(absent))
        person = next(better, None)
        if person is None:
            return
        move(person)


def _costs(counts: Floats, inside: Floats, share: float) -> Floats:
    """Cost of having `inside` of `counts` bearers in training: squared deviation, in people."""
    absent = (counts >= 2) & ((inside <= 0) | (inside >= counts))
    unseen = (counts == 1) & (inside <= 0)
    return np.asarray((inside - share * counts) ** 2 + _ABSENT * absent + _UNSEEN * unseen)


def _total_cost(train: Mask, bearers: Mask, share: float, images: Floats) -> float:
    counts, inside = bearers.sum(axis=0).astype(np.float64), bearers[train].sum(axis=0).astype(np.float64)
    surplus = images[train].sum() - share * images.sum()
    return float(_costs(counts, inside, share).sum() + surplus**2)


def _steps(train: Mask, bearers: Mask, share: float) -> tuple[Floats, Floats]:
    """What one bearer more, and one fewer, in training costs for each value."""
    counts = bearers.sum(axis=0).astype(np.float64)
    inside = bearers[train].sum(axis=0).astype(np.float64)
    now = _costs(counts, inside, share)
    return _costs(counts, inside + 1, share) - now, _costs(counts, inside - 1, share) - now


def _resize(train: Mask, bearers: Mask, target: int, share: float) -> None:
    """Move people one at a time, the cheapest first, until `target` of them train, in place."""
    while (size := int(train.sum())) != target:
        more, fewer = _steps(train, bearers, share)
        growing = size < target
        movable = np.flatnonzero(train != growing)
        costs = (bearers[movable] @ (more if growing else fewer)).round(5)
        best = int(costs.argmin())
        # A value would vanish from the larger side. The empty side comes first all the same.
        if costs[best] >= _ABSENT / 2 and 0 < size < len(train):
            return
        train[movable[best]] = growing


def _exchange(train: Mask, bearers: Mask, share: float, images: Floats) -> None:
    """Exchange the pair of people that lowers the cost most, until no exchange lowers it, in place.

    With one person leaving training (i) and one entering (j), a value that both bear does not change, so the
    change of cost is `enter_j + leave_i - sum over shared values (more + fewer)`: one matrix product for all pairs.
    """
    profiles = bearers.astype(np.float64)
    while True:
        more, fewer = _steps(train, bearers, share)
        inside, outside = np.flatnonzero(train), np.flatnonzero(~train)
        leave, enter = profiles[inside] @ fewer, profiles[outside] @ more
        if len(inside) > _CANDIDATES:
            keep = np.sort(np.argsort(leave, kind="stable")[:_CANDIDATES])
            inside, leave = inside[keep], leave[keep]
        if len(outside) > _CANDIDATES:
            keep = np.sort(np.argsort(enter, kind="stable")[:_CANDIDATES])
            outside, enter = outside[keep], enter[keep]
        change = leave[:, None] + enter - (profiles[inside] * (more + fewer)) @ profiles[outside].T
        surplus = images[train].sum() - share * images.sum()
        moved = images[outside] - images[inside][:, None]
        change += (surplus + moved) ** 2 - surplus**2
        # Rounded, so that ties fall alike on every machine, in whatever order its product sums.
        change = change.round(5)
        best = int(change.argmin())
        if change.flat[best] >= 0:
            return
        i, j = divmod(best, len(outside))
        train[inside[i]], train[outside[j]] = False, True
