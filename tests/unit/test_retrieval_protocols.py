"""What each protocol takes out of the gallery, worked by hand."""

import pytest
import torch

from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE, MARKET1501
from bruna.retrieval.relevance import Relevance


def images(*pairs):
    identities, cameras = zip(*pairs, strict=True)
    return Gallery(torch.zeros(len(pairs), 1), None, torch.tensor(identities), torch.tensor(cameras))


def told(protocol, query, gallery, **options):
    """Per query: the matches and the dropped images by gallery index, and the number of matches in all."""
    relevance = Relevance(protocol, query, gallery, **options)
    pairs = relevance.pairs(0, len(query))
    found = []
    for q in range(len(query)):
        matches = relevance.columns[pairs.match_columns[pairs.match_rows == q]].tolist()
        drops = relevance.columns[pairs.drop_columns[pairs.drop_rows == q]].tolist()
        found.append((matches, drops, int(pairs.totals[q])))
    return relevance.columns.tolist(), found


GALLERY = images((7, 1), (7, 2), (0, 1), (-1, 2), (9, 1), (7, 1), (7, 0))


def test_course_counts_everything():
    columns, found = told(COURSE, images((7, 1), (9, 3), (5, 1)), GALLERY)
    assert columns == [0, 1, 2, 3, 4, 5, 6]
    assert found == [([0, 1, 5, 6], [], 4), ([4], [], 1), ([], [], 0)]


def test_market1501_drops_the_same_camera_and_ignores_junk():
    columns, found = told(MARKET1501, images((7, 1), (7, 2), (9, 1)), GALLERY)
    assert columns == [0, 1, 2, 4, 5, 6]
    # Image 6 has no known camera: it stays a match of everyone.
    assert found == [([1, 6], [0, 5], 2), ([0, 5, 6], [1], 3), ([], [4], 0)]


def test_unknown_camera_drops_the_query_itself_only():
    everything = images((7, 0), (7, 0), (8, 0))
    _, found = told(MARKET1501, everything, everything, self_index=torch.arange(3))
    assert found == [([1], [0], 1), ([0], [1], 1), ([], [2], 0)]
    _, found = told(MARKET1501, everything, everything)
    assert found[0] == ([0, 1], [], 2)  # nobody said that query 0 is gallery image 0


def test_distractor_and_junk_are_nobodys_match():
    _, found = told(MARKET1501, images((0, 3), (-1, 3), (-2, 3)), GALLERY)
    assert found == [([], [], 0)] * 3
    _, found = told(COURSE, images((0, 1), (-1, 2)), GALLERY)
    assert found == [([], [], 0)] * 2
    _, found = told(MARKET1501, images((0, 1)), GALLERY, self_index=torch.tensor([2]))
    assert found == [([], [2], 0)]


def test_filtered_images_are_not_searched_and_stay_in_the_total():
    kept = torch.tensor([False, False, True, True, True, True, True])
    columns, found = told(MARKET1501, images((7, 1), (7, 3)), GALLERY, kept=kept)
    assert columns == [2, 4, 5, 6]
    assert found == [([6], [5], 2), ([5, 6], [], 4)]


def test_wrong_self_index_is_refused():
    with pytest.raises(ValueError, match="another identity"):
        Relevance(MARKET1501, images((7, 1)), GALLERY, self_index=torch.tensor([4]))
    with pytest.raises(ValueError, match="past the 7"):
        Relevance(MARKET1501, images((7, 1)), GALLERY, self_index=torch.tensor([7]))
    with pytest.raises(ValueError, match="7 booleans"):
        Relevance(COURSE, images((7, 1)), GALLERY, kept=torch.tensor([True]))
