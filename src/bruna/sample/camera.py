"""What a camera makes of the light: blur, resolution, colour cast, exposure, noise."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from bruna.sample.canvas import HEIGHT, WIDTH


@dataclass(frozen=True)
class Camera:
    """The persistent traits of one camera.

    Attributes:
        gains: factors of red, green and blue (white balance).
        gamma: above 1 darkens the middle tones.
        black: what black becomes, 0..255 (haze).
        white: what white becomes, 0..255.
        saturation: 0 gray, 1 as lit.
        noise: standard deviation of the noise, 0..255 units.
        blur: mean radius of the defocus, image pixels.
        light: where the light comes from, -1 left to 1 right.
        pitch: how steeply it looks down.
        feet: height of the feet in its place, share of the place's height.
    """

    gains: tuple[float, float, float]
    gamma: float
    black: float
    white: float
    saturation: float
    noise: float
    blur: float
    light: float
    pitch: float
    feet: float


CAMERAS: tuple[Camera, ...] = (
    Camera((1.02, 1.00, 0.965), 1.00, 10, 246, 1.02, 3.0, 0.30, 0.7, 0.12, 0.80),
    Camera((1.00, 0.99, 1.02), 1.04, 9, 242, 0.96, 4.0, 0.40, -0.6, 0.10, 0.82),
    Camera((0.985, 1.02, 0.985), 0.98, 12, 245, 0.93, 4.0, 0.35, 0.4, 0.16, 0.80),
    Camera((0.995, 0.98, 1.025), 1.09, 8, 234, 0.90, 5.5, 0.55, -0.9, 0.10, 0.84),
    Camera((1.03, 1.005, 0.955), 1.02, 10, 243, 1.03, 4.0, 0.35, 0.9, 0.14, 0.86),
    Camera((0.98, 1.00, 1.02), 0.94, 14, 248, 0.92, 4.5, 0.45, -0.3, 0.08, 0.82),
)
"""Cameras 1 to 6: warm, dim and violet, greenish, dark and noisy, amber, hazy and blue."""


def photograph(scene: Image.Image, camera: Camera, rng: np.random.Generator) -> Image.Image:
    """Record a lit scene: 64 x 128, RGB in and out.

    Only rounded tables and exactly rounded arithmetic touch the pixels (no powers or sines), so that the
    bytes do not depend on which vector instructions a processor has.
    """
    image = _motion(scene, rng)
    if rng.random() < 0.45:  # a person far away is enlarged to the common size
        share = float(rng.uniform(0.55, 0.95))
        small = image.resize((round(WIDTH * share), round(HEIGHT * share)), Image.Resampling.BILINEAR)
        image = small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    blur = camera.blur * float(rng.uniform(0.4, 1.6))
    image = image.filter(ImageFilter.GaussianBlur(blur))
    gray = np.asarray(image.convert("L"), dtype=np.float64)[:, :, None]
    saturation = camera.saturation * float(rng.uniform(0.85, 1.1))
    coloured = gray + saturation * (np.asarray(image, dtype=np.float64) - gray)
    pixels = _to_bytes(coloured * _uneven_light(rng))
    tables = _tone_tables(camera, rng)
    toned = np.stack([tables[i][pixels[:, :, i]] for i in range(3)], axis=2).astype(np.float64)
    noise = camera.noise * float(rng.uniform(0.6, 1.3))
    toned += noise * rng.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32)
    toned += 0.5 * noise * rng.standard_normal((HEIGHT, WIDTH, 3), dtype=np.float32)
    return Image.fromarray(_to_bytes(toned))


def _motion(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Smear sideways over up to four pixels, in a third of the images."""
    length = int(rng.integers(2, 5)) if rng.random() < 0.33 else 1
    if length == 1:
        return image
    pixels = np.pad(np.asarray(image, dtype=np.uint16), ((0, 0), (0, length - 1), (0, 0)), mode="edge")
    total = sum(pixels[:, i : i + WIDTH] for i in range(length)) // length
    return Image.fromarray(np.asarray(total, dtype=np.uint8))


def _uneven_light(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Light that falls off to a side, or the shade of a tree over a part; H x W x 1 factors."""
    left, right, top, low = (float(v) for v in rng.uniform(0.9, 1.07, size=4))
    across = left + (right - left) * np.arange(WIDTH) / (WIDTH - 1)
    down = top + (low - top) * np.arange(HEIGHT) / (HEIGHT - 1)
    field = down[:, None] * across[None, :]
    if rng.random() < 0.2:
        edge, slope = float(rng.uniform(20, 108)), float(rng.uniform(-0.8, 0.8))
        rows = np.arange(HEIGHT)[:, None] + slope * (np.arange(WIDTH)[None, :] - WIDTH / 2)
        field = field * (0.7 + 0.3 * np.clip((rows - edge) / 6 + 0.5, 0, 1))
    return np.asarray(field[:, :, None])


def _tone_tables(camera: Camera, rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """One table of 256 values a colour: exposure, white balance, contrast curve."""
    exposure = float(rng.uniform(0.88, 1.08))
    gamma = camera.gamma * float(rng.uniform(0.94, 1.07))
    tables = []
    for gain in camera.gains:
        cast = gain * exposure * float(rng.uniform(0.98, 1.02))
        lit = [min(1.0, value / 255 * cast) ** gamma for value in range(256)]
        tables.append(np.array([round(camera.black + (camera.white - camera.black) * v) for v in lit]))
    return tables


def _to_bytes(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(pixels), 0, 255), dtype=np.uint8)
