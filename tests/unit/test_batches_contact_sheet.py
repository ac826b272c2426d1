import numpy as np
import torch

from bruna.batches.contact_sheet import contact_sheet


def test_images_lie_row_by_row() -> None:
    images = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 3, 4, 2) * 50
    sheet = np.asarray(contact_sheet(images, columns=3, scale=2))
    assert sheet.shape == (16, 12, 3)
    assert sheet[::8, ::4, 0].tolist() == [[0, 50, 100], [150, 200, 0]]
    assert np.array_equal(np.asarray(contact_sheet(images[:, :1] / 255, columns=3, scale=2)), sheet)
