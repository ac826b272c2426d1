"""Why an image was found: a photo and the small picture in the index, side by side."""

import numpy as np

from bruna.errors import BrunaError
from bruna.index.search import distances
from bruna.inference.explaining import Halves, similarity
from bruna.report.browser_images import outline
from bruna.serve.answers import Explanation, Hit, Side, thumbnail_address
from bruna.serve.live_index import LiveIndex


def explain_hit(live: LiveIndex, key: str, photo: tuple[str, bytes] | None) -> Explanation:
    """Compare a photo with an image of the index.

    Args:
        live: the index and the networks.
        key: of the image.
        photo: its name and its file; None tells what is known of the image alone.

    Raises:
        BrunaError: the index has no such image, or the photo cannot be read.
    """
    now = live.now()
    rows = now.rows
    row = next(iter(np.flatnonzero(rows.keys == key)), None)
    if row is None:
        raise BrunaError("the index has no image under this key any more. Search again.")
    small = now.thumbnails.get(key)
    hit = Hit(
        name=key,
        image=thumbnail_address(key) if small else None,
        attributes=rows.values({task: codes[row] for task, codes in rows.facts.codes.items()}),
        camera=rows.texts("camera")[row],
    )
    if photo is None:
        return Explanation(query=None, hit=hit)
    query = live.described(*photo)
    side = Side(name=photo[0], attributes=rows.values(query.codes))
    hit.distance = float(distances(rows, query)[row])
    if (calibration := live.calibration) is not None:
        hit.probability = float(calibration.probability(hit.distance, rows.persons))
    explained, typical = live.explained([photo[1], small] if small else [photo[1]]), live.typical
    if explained.masks is not None:
        side.mask, *others = map(outline, explained.masks)
        hit.mask = others[0] if others else None
    if small and typical is not None:
        one, other = (Halves(*(part[[at]] for part in explained.halves)) for at in (0, 1))
        hit.upper, hit.lower = (float(cosine[0]) for cosine in similarity(one, other, typical))
    return Explanation(query=side, hit=hit)
