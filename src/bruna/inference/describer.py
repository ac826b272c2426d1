"""One object that runs all trained networks over images: each image is decoded once, a block of them at a time."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.dataset.schema import Tasks, differences, logit_count
from bruna.errors import BrunaError
from bruna.inference.attributes import AttributePredictor
from bruna.inference.batching import block_starts
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.described import Described, mean_direction
from bruna.inference.images import Decoded, Images, Rejected, Source, decode, sources
from bruna.inference.settings import Settings, checked_count, recorded_settings
from bruna.inference.unet import Segments, UNetSegmenter
from bruna.progress import track
from bruna.retrieval.distances import ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE
from bruna.retrieval.ranking import top_k
from bruna.runtime import find_device


class _Embedded(NamedTuple):
    """`features`: n x F; `attributes`: n x L probabilities."""

    features: Tensor
    attributes: Tensor


class _Part(NamedTuple):
    """What is found of a block, see `Described`; None where it was not asked for."""

    task1_logits: Tensor | None
    plain: _Embedded | None
    mean: _Embedded | None
    masks: npt.NDArray[np.uint8] | None


@dataclass(frozen=True, repr=False)
class Describer:
    """The trained networks, and how they are used.

    Attributes:
        unet: None where the data set had no mask pairs to train one.
        attribute_network: Task 1's network; None where only features are wanted, or the data set had no attributes.
        bruna: Task 2's network; None where only Task 1's predictions are wanted, or nobody knew who is who.
        settings: how they are used.
    """

    unet: UNetSegmenter | None
    attribute_network: AttributePredictor | None
    bruna: BrunaEmbedder | None
    settings: Settings

    def __repr__(self) -> str:
        networks = {"U-Net": self.unet, "Task 1": self.attribute_network, "Bruna": self.bruna}
        return f"Describer({', '.join(name for name, network in networks.items() if network)}; {self.settings})"

    @property
    def schema(self) -> Tasks:
        """The attributes that the networks tell."""
        network = self.attribute_network or self.bruna
        return network.attributes if network is not None else ()

    def describe(
        self,
        images: Images,
        *,
        names: Sequence[str] | None = None,
        neighbors: int = 1,
        masks: bool = True,
        skip_unreadable: bool = False,
        progress: str | None = None,
        _segments: pd.DataFrame | None = None,
    ) -> Described:
        """Run every network once over images of any size.

        Memory grows with the results only: images are decoded a block at a time.

        Args:
            images: paths, folders, the bytes of image files, Pillow images, N x 3 x H x W uint8 arrays or tensors of
                RGB: one of these or a list. They are resized to what each network sees.
            names: a name an image; by default its path, or its number from 0 where it is no file.
            neighbors: predict attributes over so many images: each and those of these images that are nearest to it.
                More than 1 suits many images of each person; `settings.attribute_neighbors` is what `evaluate` took.
            masks: keep the U-Net's masks, and make them even where Bruna does not need them.
            skip_unreadable: leave out images that cannot be read, and list them as `rejected`.
            progress: show a progress bar of this name.
            _segments: the pipeline's own: the table of the stage `segment`, with the names as paths. It takes the
                place of the U-Net, which is then not run, and no masks are kept.

        Raises:
            BrunaError: an image cannot be read, a folder holds none, or Bruna needs a U-Net and there is none.
            ValueError: something is no image, there are more or fewer names than images, or `neighbors` is no whole
                number of at least 1, or more than 1 where Bruna was not loaded.
        """
        if checked_count("neighbors", neighbors) > 1 and self.bruna is None:
            raise ValueError(f"neighbors is {neighbors!r}: they are found by Bruna's network, which was not loaded")
        found = sources(images, names)
        networks = (self.unet, self.attribute_network, self.bruna)
        sizes = {network.size for network in networks if network is not None}
        described: list[str] = []
        rejected: list[Rejected] = []
        parts: list[_Part] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            blocks = _blocks(found, self.settings.batch_size)
            for some in track(blocks, progress, total=len(found), count=len) if progress else blocks:
                block = decode(some, sizes, pool)
                if block.rejected and not skip_unreadable:
                    raise BrunaError(f"image {block.rejected[0].name} {block.rejected[0].reason}")
                rejected += block.rejected
                described += block.names
                if block.names:
                    parts.append(self._part(block, _segments, masks))
        plain = self._gallery([part.plain for part in parts])
        return Described(
            names=described,
            settings=self.settings,
            schema=self.schema,
            task1_logits=self._task1_logits(parts),
            gallery=self._gallery([part.mean for part in parts]) if self.settings.flip else plain,
            plain=plain,
            masks=self._masks(parts) if masks and _segments is None else None,
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
            k: gallery images a query, at least 1.
            filter_junk: leave out gallery images whose probability of junk is `settings.junk_threshold` or more.

        Returns:
            Columns query (its name), rank (from 1), image (name of the gallery image), distance; the queries in their
            order, each with its nearest images first.

        Raises:
            BrunaError: as `describe`, or Bruna was not loaded.
            ValueError: as `describe`, or `k` is no whole number of at least 1.
        """
        k = checked_count("k", k)
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

    def _segmented(self, block: Decoded, masks: bool) -> Segments | None:
        """What the U-Net finds in a block; None where nobody wants it, or there is no U-Net."""
        wanted = masks or (self.bruna is not None and (self.bruna.takes_masks or self.bruna.takes_bottlenecks))
        if self.unet is None or not wanted:
            return None
        return self.unet.segment(block.pixels[self.unet.size], self.settings.batch_size)

    def _part(self, block: Decoded, stored: pd.DataFrame | None, masks: bool) -> _Part:
        """Run the networks over a block."""
        batch_size = self.settings.batch_size
        found = self._segmented(block, masks) if stored is None else stored
        task1 = plain = mean = None
        if self.attribute_network is not None:
            task1 = self.attribute_network.logits(block.pixels[self.attribute_network.size], batch_size)
        if self.bruna is not None:
            people = self.bruna.persons(block, found)
            straight = self.bruna.embed(people, batch_size)
            plain = _Embedded(straight.features, straight.attributes)
            if self.settings.flip:
                mirrored = self.bruna.embed(people, batch_size, mirrored=True)
                mean = _Embedded(
                    mean_direction(plain.features, mirrored.features), (plain.attributes + mirrored.attributes) / 2
                )
        return _Part(task1, plain, mean, found.masks if masks and isinstance(found, Segments) else None)

    def _task1_logits(self, parts: Sequence[_Part]) -> Tensor | None:
        if self.attribute_network is None:
            return None
        return _joined([part.task1_logits for part in parts], logit_count(self.attribute_network.network.tasks))

    def _masks(self, parts: Sequence[_Part]) -> npt.NDArray[np.uint8] | None:
        if self.unet is None:
            return None
        nothing = np.zeros((0, *self.unet.size), np.uint8)
        return np.concatenate([nothing, *(part.masks for part in parts if part.masks is not None)])

    def _gallery(self, parts: Sequence[_Embedded | None]) -> Gallery | None:
        if self.bruna is None:
            return None
        known = [part for part in parts if part is not None]
        return Gallery.unlabelled(
            _joined([part.features for part in known], self.bruna.features),
            _joined([part.attributes for part in known], logit_count(self.bruna.attributes)),
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
        BrunaError: the folder or a model is missing, damaged or of another version, the networks tell different
            attributes, or there is no such device.
    """
    folder, chosen = Path(models), find_device(device, "device")
    if not folder.is_dir():
        raise BrunaError(
            f"{folder} is no folder (looked in {Path.cwd()}). Give the one that `dvc repro` leaves the models in: "
            "`artifacts` in the top folder of the project."
        )
    unet = UNetSegmenter.load(folder / "unet", chosen) if bruna else None
    attribute_network = AttributePredictor.load(folder / "attributes", chosen)
    embedder = BrunaEmbedder.load(folder / "bruna", chosen) if bruna else None
    if attribute_network and embedder and (differ := differences(attribute_network.attributes, embedder.attributes)):
        raise BrunaError(
            f"{folder / 'attributes'} and {folder / 'bruna'} tell different attributes: {differ}. "
            "`dvc repro` trains both on the same data set."
        )
    return Describer(
        unet=unet,
        attribute_network=attribute_network,
        bruna=embedder,
        settings=recorded_settings(folder) if settings is None else settings,
    )


def _blocks(found: list[Source], batch_size: int) -> Iterator[list[Source]]:
    starts = block_starts(len(found), batch_size)
    return (found[start : start + starts.step] for start in starts)


def _joined(parts: Sequence[Tensor | None], width: int) -> Tensor:
    """The rows of all parts; with no part, none of `width`."""
    return torch.cat([torch.zeros(0, width), *(part for part in parts if part is not None)])
