"""Augmentation against torchvision's own functions, image by image, with the same draws."""

import pytest
import torch
import torchvision.transforms.v2.functional as TF
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from scipy import stats
from torch import Tensor

from bruna.batches.augment import ERASE_AREA, ERASE_COLOR, ERASE_RATIO, GROUP, Augmenter, Draws
from bruna.batches.color import equalize
from bruna.batches.seeds import step_generator
from bruna.errors import BrunaError
from bruna.params import Augment

NOTHING = Augment(
    pad=0,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    hue=0.0,
    rotation=0.0,
    equalize=0.0,
    flip=0.0,
    erase=0.0,
)
ALL = Augment(
    pad=5,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.2,
    rotation=20.0,
    equalize=0.5,
    flip=0.5,
    erase=0.5,
)
SIZE = (48, 24)


def photographs(count: int, seed: int = 0) -> Tensor:
    """Smooth uint8 images with grey, black and saturated pixels among them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 3, generator=generator)
    images = torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear") * 400 - 70
    images[:, :, :4, :4] = 128.0
    return images.clamp(0, 255).round().to(torch.uint8)


def expected(image: Tensor, draws: Draws, i: int, params: Augment) -> Tensor:
    """What torchvision makes of one image, in the paper's order, with the draws of image i."""
    pad, (height, width) = params.pad, SIZE
    out = image.float() / 255
    if pad:
        out = TF.pad(out, [pad], padding_mode="reflect")
    out = TF.crop(out, int(draws.shift[i, 0]), int(draws.shift[i, 1]), height, width)
    changes = [TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue]
    for kind in draws.order[i].tolist():
        out = changes[kind](out, float(draws.factors[i, kind]))
    out = TF.rotate(out, float(draws.angle[i]), interpolation=TF.InterpolationMode.BILINEAR)
    if draws.equalize[i]:
        out = TF.equalize((out * 255).round().to(torch.uint8)).float() / 255
    if draws.flip[i]:
        out = TF.horizontal_flip(out)
    top, left, tall, wide = draws.box[i].tolist()
    if tall:
        out = TF.erase(out, top, left, tall, wide, torch.tensor(ERASE_COLOR)[:, None, None])
    return torch.as_tensor(out)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"equalize": 0.0},
        {"hue": 0.0},
        {"contrast": 0.0, "saturation": 0.0},
        {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
        {"rotation": 0.0},
        {"pad": 0, "rotation": 0.0, "hue": 0.5},
    ],
    ids=str,
)
def test_each_image_is_what_torchvision_makes_of_it(changed: dict[str, float]) -> None:
    params = ALL.model_copy(update=changed)
    augmenter, images = Augmenter(params), photographs(70)
    draws = augmenter.draw(len(images), *SIZE, step_generator(1))
    got, masks = augmenter.apply(images, None, draws)
    want = torch.stack([expected(image, draws, i, params) for i, image in enumerate(images)])
    assert masks is None
    assert got.dtype == torch.float32
    difference = (got - want).abs().amax((1, 2, 3))
    # Equalisation counts 8-bit levels: a pixel on the edge of one may fall to either side.
    exact = ~draws.equalize
    assert difference[exact].max() < 2e-4
    if len(difference[~exact]):
        apart = (got - want)[~exact].abs() > 2e-4
        assert apart.float().mean() < 0.01


def test_settings_of_zero_change_nothing() -> None:
    images = photographs(20)
    got, masks = Augmenter(NOTHING)(images, images[:, :1], step_generator(0))
    assert torch.allclose(got * 255, images.float(), atol=1e-4)
    assert masks is not None
    assert torch.allclose(masks * 255, images[:, :1].float(), atol=1e-4)


@given(seed=st.integers(0, 2**32), levels=st.integers(1, 256))
@settings(max_examples=30, deadline=None)
def test_equalisation_is_pillows(seed: int, levels: int) -> None:
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(0, levels, (2, 3, *SIZE), generator=random).to(torch.uint8)
    for image, got in zip(images, equalize(images), strict=True):
        pillow = ImageOps.equalize(Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()))
        assert torch.equal(got, TF.pil_to_tensor(pillow))


def test_a_mask_moves_with_its_image() -> None:
    """The mask painted into the image's channels stays equal to the mask beside it."""
    masks = (photographs(40)[:, :1] > 127).to(torch.uint8) * 255
    geometry = NOTHING.model_copy(update={"pad": 5, "rotation": 30.0, "flip": 0.5})
    images, moved = Augmenter(geometry)(masks.expand(-1, 3, -1, -1), masks, step_generator(3))
    assert moved is not None
    assert torch.equal(images, moved.expand(-1, 3, -1, -1))
    assert not torch.allclose(moved, masks / 255)
    colored = geometry.model_copy(update={"brightness": 0.9, "hue": 0.3, "equalize": 1.0})
    _, same = Augmenter(colored)(masks.expand(-1, 3, -1, -1), masks, step_generator(3))
    assert same is not None
    assert torch.equal(moved, same)


def test_an_erased_rectangle_is_the_mean_colour_and_background_in_the_mask() -> None:
    augmenter = Augmenter(NOTHING.model_copy(update={"erase": 1.0}))
    images = photographs(30)
    full = torch.full_like(images[:, :1], 255)
    draws = augmenter.draw(30, *SIZE, step_generator(5))
    got, masks = augmenter.apply(images, full, draws)
    assert masks is not None
    for i, (top, left, tall, wide) in enumerate(draws.box.tolist()):
        inside = torch.zeros(SIZE, dtype=torch.bool)
        inside[top : top + tall, left : left + wide] = True
        assert torch.allclose(got[i][:, inside], torch.tensor(ERASE_COLOR)[:, None])
        assert torch.allclose(got[i][:, ~inside], images[i][:, ~inside] / 255, atol=1e-6)
        assert torch.equal(masks[i, 0], (~inside).float())


def test_draws_have_the_stated_distributions() -> None:
    count = 20_000
    draws = Augmenter(ALL).draw(count, 128, 64, step_generator(0))

    def uniform(values: Tensor, low: float, high: float) -> float:
        return float(stats.kstest(values.double().numpy(), "uniform", (low, high - low)).pvalue)

    assert uniform(draws.angle, -20, 20) > 1e-3
    for kind, (low, high) in enumerate([(0.6, 1.4)] * 3 + [(-0.2, 0.2)]):
        assert uniform(draws.factors[:, kind], low, high) > 1e-3
    for axis in (0, 1):
        assert stats.chisquare(draws.shift[:, axis].bincount(minlength=11).numpy()).pvalue > 1e-3
    permutations = (draws.order[::GROUP] * torch.tensor([64, 16, 4, 1])).sum(1)
    counts = permutations.bincount()
    assert (counts > 0).sum() == 24
    assert stats.chisquare(counts[counts > 0].numpy()).pvalue > 1e-3
    for happened in (draws.flip, draws.equalize, draws.box[:, 2] > 0):
        assert stats.binomtest(int(happened.sum()), count, 0.5).pvalue > 1e-3
    top, left, tall, wide = draws.box[draws.box[:, 2] > 0].unbind(1)
    assert ((top >= 0) & (top + tall <= 128) & (left >= 0) & (left + wide <= 64)).all()
    area, ratio = tall * wide / (128 * 64), tall / wide
    assert (area > ERASE_AREA[0] * 0.9).all() and (area < ERASE_AREA[1] * 1.02).all()
    assert (ratio > ERASE_RATIO[0] * 0.8).all() and (ratio < ERASE_RATIO[1] * 1.2).all()


def test_no_draw_depends_on_another() -> None:
    draws = Augmenter(ALL).draw(GROUP * 2000, 500, 500, step_generator(0))
    erased = draws.box[:, 2:].log().clamp(min=0)  # the size: place and size of a rectangle are not independent
    place = draws.box[:, :2] / (500 - draws.box[:, 2:])
    rows = [draws.shift, draws.factors, draws.angle[:, None], draws.flip[:, None], draws.equalize[:, None], place]
    each = torch.cat([values.double() for values in rows], dim=1)[draws.box[:, 2] > 0]
    each = torch.cat([each, erased[draws.box[:, 2] > 0].double()], dim=1)
    correlation = torch.corrcoef(each.T) - torch.eye(each.shape[1])
    assert correlation[:-2].abs().max() < 0.04
    orders = draws.order[::GROUP].double()
    assert torch.corrcoef(torch.cat([orders[1:], orders[:-1]], dim=1).T)[:4, 4:].abs().max() < 0.1  # of two groups


def test_draws_depend_on_the_generator_alone_and_one_setting_moves_no_other_draw() -> None:
    images = photographs(20)
    first, _ = Augmenter(ALL)(images, None, step_generator(7, "x", 1))
    again, _ = Augmenter(ALL)(images, None, step_generator(7, "x", 1))
    other, _ = Augmenter(ALL)(images, None, step_generator(7, "x", 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    without = Augmenter(ALL.model_copy(update={"rotation": 0.0, "erase": 0.0})).draw(9, *SIZE, step_generator(4))
    draws = Augmenter(ALL).draw(9, *SIZE, step_generator(4))
    assert torch.equal(draws.shift, without.shift)
    assert torch.equal(draws.factors, without.factors)
    assert torch.equal(draws.equalize, without.equalize)


def test_padding_as_large_as_the_image_is_refused() -> None:
    with pytest.raises(BrunaError, match=r"augment\.pad is 24, but images of 48 x 24 .* at most 23"):
        Augmenter(NOTHING.model_copy(update={"pad": 24})).draw(1, *SIZE, step_generator(0))


def test_pillows_8_bit_chain_differs_by_rounding_only() -> None:
    params = ALL.model_copy(update={"rotation": 0.0, "equalize": 0.0, "erase": 0.0, "hue": 0.0})
    augmenter, images = Augmenter(params), photographs(30)
    draws = augmenter.draw(30, *SIZE, step_generator(2))
    got, _ = augmenter.apply(images, None, draws)
    changes = [TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation]
    for i, image in enumerate(images):
        pil = TF.pad(TF.to_pil_image(image), [params.pad], padding_mode="reflect")
        pil = TF.crop(pil, int(draws.shift[i, 0]), int(draws.shift[i, 1]), *SIZE)
        for kind in draws.order[i].tolist():
            pil = changes[kind](pil, float(draws.factors[i, kind])) if kind < 3 else pil
        pil = TF.horizontal_flip(pil) if draws.flip[i] else pil
        apart = (got[i] * 255 - TF.pil_to_tensor(pil).float()).abs()
        assert apart.mean() < 1.5
        assert apart.max() < 6  # three changes, each rounded down, the last ones enlarging what the first lost


def test_batches_of_one_and_of_none() -> None:
    one, _ = Augmenter(ALL)(photographs(1), None, step_generator(0))
    none, _ = Augmenter(ALL)(photographs(1)[:0], None, step_generator(0))
    assert one.shape == (1, 3, *SIZE)
    assert none.shape == (0, 3, *SIZE)
