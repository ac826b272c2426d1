"""People by ONNX Runtime, NumPy and Pillow alone: python example.py a.jpg b.jpg (model.json explains the outputs)."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def pixels(image: Image.Image, height: int, width: int) -> Any:
    """3 x height x width bytes; the graph normalises them."""
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


def photo(path: str) -> Image.Image:
    """An upright RGB image; a file that is none ends the program with a message."""
    try:
        return ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        sys.exit(f"{path} is not read: {error}. Give image files, such as a.jpg b.jpg.")


def describe(folder: Path, paths: list[str]) -> dict[str, Any]:
    """The outputs of all graphs by name, of N images: `features` is N x F."""
    images = [photo(path) for path in paths]
    found: dict[str, Any] = {}
    for graph in sorted(folder.glob("*.onnx")):
        session = onnxruntime.InferenceSession(str(graph))
        given = {x.name: np.stack([pixels(each, *x.shape[2:]) for each in images]) for x in session.get_inputs()}
        found |= dict(zip([x.name for x in session.get_outputs()], session.run(None, given), strict=True))
    return found


def main(folder: Path, paths: list[str]) -> None:
    """Print what people wear, and how far each is from the first."""
    model, found = json.loads((folder / "model.json").read_text("utf-8")), describe(folder, paths)
    chances = np.mean([found[name] for name in model["attributes_from"]] or [np.zeros((len(paths), 0))], axis=0)
    apart = {name: np.linalg.norm(rows - rows[0], axis=-1) for name, rows in found.items() if "features" in name}
    for i, path in enumerate(paths):
        print(path)
        for attribute in model["attributes"]:
            part = chances[i, slice(*attribute["columns"])]
            print(
                f"  {attribute['name']}: {attribute['values'][int(part[0] > 0.5 if len(part) == 1 else part.argmax())]}"
            )
        if model["distance"]:
            factor = model["distance"]["offset"] + apart["attribute_features"][i] if len(apart) > 1 else 1.0
            print(f"  distance from the first: {apart['features'][i] * factor:.1f}")


if __name__ == "__main__":
    main(Path(__file__).parent, sys.argv[1:]) if sys.argv[1:] else sys.exit(__doc__)
