"""One object that runs all trained networks over images: each image is decoded once, a block of them at a time."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.dataset.attributes import LOGITS
from bruna.errors import BrunaError
from bruna.files import read_json
from bruna.inference.attributes import AttributePredictor
from bruna.inference.batching import block_starts
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.described import Described, Settings, mean_direction
from bruna.inference.images import Decoded, Images, Rejected, Source, decode, sources
from bruna.inference.segments import Segment, by_table, by_unet, persons
from bruna.inference.unet import UNetSegmenter
from bruna.models.attributes import TASK1_LOGITS
from bruna.progress import track
from bruna.retrieval.distances import ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE
from bruna.retrieval.ranking import top_k


class _Embedded(NamedTuple):
    """`features`: n x F; `attributes`: n x 32 probabilities."""

    features: Tensor
    attributes: Tensor


class _Part(NamedTuple):
    """What is found of a block, see `Described`; None where it was not asked for."""

    task1: Tensor | None
    plain: _Embedded | None
    mean: _Embedded | None
    masks: npt.NDArray[np.uint8] | None


@dataclass(frozen=True)
class Describer:
    """The trained networks, and how they are used.

    Attributes:
        unet: None where the data set had no mask pairs to train one.
        attributes: Task 1's network; None where only features are wanted.
        bruna: Task 2's network; None where only Task 1's predictions are wanted.
        settings: how they are used.
    """

    unet: UNetSegmenter | None
    attributes: AttributePredictor | None
    bruna: BrunaEmbedder | None
    settings: Settings

    def describe(
        self,
        images: Images,
        *,
        names: Sequence[str] | None = None,
        neighbors: int = 1,
        segments: pd.DataFrame | None = None,
        masks: bool = True,
        skip_unreadable: bool = False,
        progress: str | None = None,
    ) -> Described:
        """Run every network once over images of any size.

        Memory grows with the results only: images are decoded a block at a time.

        Args:
            images: paths, folders, the bytes of image files, Pillow images, N x 3 x H x W uint8 arrays or tensors of
                RGB: one of these or a list. They are resized to what each network sees.
            names: a name an image; by default its path, or its number from 0 where it is no file.
            neighbors: predict attributes over so many images: each and those of these images that are nearest to it.
                More than 1 suits many images of each person; `settings.attribute_neighbors` is what `evaluate` took.
            segments: columns path (the names), mask, bottleneck, of the stage `segment`; the U-Net is then not run.
            masks: keep the U-Net's masks, and make them even where Bruna does not need them.
            skip_unreadable: leave out images that cannot be read, and list them as `rejected`.
            progress: show a progress bar of this name.

        Raises:
            BrunaError: an image cannot be read, or Bruna needs a U-Net and there is none.
            ValueError: something is no image, or there are more or fewer names than images.
        """
        found = sources(images, names)
        described: list[str] = []
        rejected: list[Rejected] = []
        parts: list[_Part] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            segment = self._segment(segments, masks, pool)
            blocks = _blocks(found, self.settings.batch_size)
            for some in track(blocks, progress, total=len(found), count=len) if progress else blocks:
                block = self._decoded(some, pool)
                if block.rejected and not skip_unreadable:
                    raise BrunaError(f"image {block.rejected[0].name} {block.rejected[0].reason}")
                rejected += block.rejected
                described += block.names
                if block.names:
                    parts.append(self._part(block, segment, masks))
        plain = self._gallery([part.plain for part in parts])
        return Described(
            names=described,
            settings=self.settings,
            task1=None if self.attributes is None else _joined([part.task1 for part in parts], TASK1_LOGITS),
            gallery=self._gallery([part.mean for part in parts]) if self.settings.flip else plain,
            plain=plain,
            masks=_masks([part.masks for part in parts]),
            rejected=rejected,
            neighbors=neighbors,
        )

    def rank(
        self, query: Images | Described, gallery: Images | Described, k: int = 10, *, filter_junk: bool = False
    ) -> pd.DataFrame:
        """The nearest gallery images of every query by the paper's distance, d(features) * (offset + d(attributes)).

        The ranking is exact; images at equal distances are in the order of the gallery.

        Args:
            query, gallery: images as `describe` takes them, or what it has made of them.
            k: gallery images a query.
            filter_junk: leave out gallery images whose probability of junk is `settings.junk_threshold` or more.

        Returns:
            Columns query (its name), rank (from 1), image (name of the gallery image), distance; the queries in their
            order, each with its nearest images first.
        """
        asked, searched = (x if isinstance(x, Described) else self.describe(x, masks=False) for x in (query, gallery))
        if asked.gallery is None or searched.gallery is None:
            raise BrunaError("ranking needs Bruna's network, which was not loaded")
        kept = torch.from_numpy(searched.junk < self.settings.junk_threshold) if filter_junk else None
        distance = ProductDistance(self.settings.attribute_offset)
        nearest = top_k(asked.gallery, searched.gallery, distance, COURSE, min(k, len(searched)), kept=kept)
        rows, columns = (nearest.indices >= 0).nonzero(as_tuple=True)
        return pd.DataFrame(
            {
                "query": np.array(asked.names, dtype=object)[rows],
                "rank": columns.numpy() + 1,
                "image": np.array(searched.names, dtype=object)[nearest.indices[rows, columns]],
                "distance": nearest.distances[rows, columns].numpy(),
            }
        )

    def _segment(self, segments: pd.DataFrame | None, masks: bool, pool: Executor) -> Segment | None:
        """What gives the masks and bottlenecks of a block; None where nobody wants them, or nobody can."""
        if not (masks or (self.bruna is not None and (self.bruna.takes_masks or self.bruna.takes_bottlenecks))):
            return None
        if segments is not None:
            return by_table(segments, pool) if segments["mask"].notna().all() else None
        return None if self.unet is None else by_unet(self.unet, self.settings.batch_size)

    def _decoded(self, block: Sequence[Source], pool: Executor) -> Decoded:
        networks = (self.unet, self.attributes, self.bruna)
        return decode(block, {network.size for network in networks if network is not None}, pool)

    def _part(self, block: Decoded, segment: Segment | None, masks: bool) -> _Part:
        """Run the networks over a block."""
        batch_size = self.settings.batch_size
        found = None if segment is None else segment(block)
        task1 = plain = mean = None
        if self.attributes is not None:
            task1 = self.attributes.logits(block.pixels[self.attributes.size], batch_size)
        if self.bruna is not None:
            people = persons(block, found, self.bruna)
            straight = self.bruna.embed(people, batch_size)
            plain = _Embedded(straight.features, straight.attributes)
            if self.settings.flip:
                mirrored = self.bruna.embed(people, batch_size, mirrored=True)
                mean = _Embedded(
                    mean_direction(plain.features, mirrored.features), (plain.attributes + mirrored.attributes) / 2
                )
        return _Part(task1, plain, mean, found.masks if masks and found is not None else None)

    def _gallery(self, parts: Sequence[_Embedded | None]) -> Gallery | None:
        if self.bruna is None:
            return None
        known = [part for part in parts if part is not None]
        width = known[0].features.shape[1] if known else 0
        return Gallery.unlabelled(
            _joined([part.features for part in known], width), _joined([part.attributes for part in known], LOGITS)
        )


def load(
    models: str | Path,
    device: str | torch.device = "auto",
    *,
    settings: Settings | None = None,
    bruna: bool = True,
) -> Describer:
    """Load the networks that the pipeline has trained.

    Args:
        models: the pipeline's artifacts folder, with `unet`, `attributes` and `bruna`.
        device: `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`.
        settings: how the networks are used; by default as the stage `evaluate` has used them
            (`evaluate/settings.json`), and as the paper does where that file is missing.
        bruna: False loads Task 1's network alone.

    Raises:
        BrunaError: a model is missing, damaged or of another version, or there is no such device.
    """
    folder, chosen = Path(models), _device(device)
    recorded = folder / "evaluate" / "settings.json"
    if settings is None:
        settings = Settings.of(read_json(recorded)) if recorded.exists() else Settings()
    return Describer(
        unet=UNetSegmenter.load(folder / "unet", chosen) if bruna else None,
        attributes=AttributePredictor.load(folder / "attributes", chosen),
        bruna=BrunaEmbedder.load(folder / "bruna", chosen) if bruna else None,
        settings=settings,
    )


def _device(name: str | torch.device) -> torch.device:
    """Resolve a device, leaving torch's settings to the program that this is a part of."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BrunaError(f"device: found {name!r}; give auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BrunaError(
            f"device: found {str(name)!r}, but torch sees {torch.cuda.device_count()} GPUs on this machine"
        )
    return device


def _blocks(found: list[Source], batch_size: int) -> Iterator[list[Source]]:
    starts = block_starts(len(found), batch_size)
    return (found[start : start + starts.step] for start in starts)


def _joined(parts: Sequence[Tensor | None], width: int) -> Tensor:
    """The rows of all parts; with no part, none of `width`."""
    known = [part for part in parts if part is not None]
    return torch.cat(known) if known else torch.zeros(0, width)


def _masks(parts: Sequence[npt.NDArray[np.uint8] | None]) -> npt.NDArray[np.uint8] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None
