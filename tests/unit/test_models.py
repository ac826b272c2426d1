"""The networks: shapes, parameter groups, the mask channel, published weights."""

from pathlib import Path

import pytest
import torch

from bruna.dataset.attributes import LOGITS
from bruna.errors import BrunaError
from bruna.models.adversary import Adversary
from bruna.models.attributes import TASK1_LOGITS, AttributeNetwork
from bruna.models.backbones import BACKBONES, Backbone, widen_first_convolution
from bruna.models.bruna import Bruna, attribute_predictions, attribute_probabilities
from bruna.models.unet import UNet
from bruna.training.pretrained import load_pretrained


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_says_its_width_truly(name: str) -> None:
    backbone = Backbone(name, 4).eval()
    with torch.inference_mode():
        assert backbone(torch.rand(1, 4, 128, 64)).shape == (1, backbone.out_channels, 4, 2)


def test_unet_keeps_the_size_and_has_the_paper_s_bottleneck() -> None:
    assert UNet(64, 4).bottleneck_channels == 1024
    unet = UNet(4, 3).eval()
    with torch.inference_mode():
        found = unet(torch.rand(2, 3, 32, 16))
    assert found.logits.shape == (2, 1, 32, 16)
    assert found.bottleneck.shape == (2, 32)


def test_bruna_embeds_to_a_fixed_length_whatever_the_mask_setting() -> None:
    images, masks, bottleneck = torch.rand(2, 3, 128, 64), torch.rand(2, 1, 128, 64), torch.rand(2, 16)
    for mask, joined in (("none", 0), ("segmented", 0), ("channel", 16)):
        bruna = Bruna("mobilenet_v3_small", 1600, mask, joined, 0.2).eval()
        with torch.inference_mode():
            found = bruna(images, masks, bottleneck)
        assert found.features.shape == (2, 1600) and found.logits.shape == (2, LOGITS)
        torch.testing.assert_close(found.features.norm(dim=1), torch.full((2,), 40.0), rtol=1e-3, atol=0)


def test_segmented_bruna_does_not_see_the_background() -> None:
    bruna = Bruna("mobilenet_v3_small", 64, "segmented", 0, 0.0).eval()
    images, masks = torch.rand(1, 3, 128, 64), torch.zeros(1, 1, 128, 64)
    masks[..., 32:96, 16:48] = 1
    changed = torch.where(masks > 0, images, torch.rand_like(images))
    with torch.inference_mode():
        torch.testing.assert_close(bruna(images, masks).features, bruna(changed, masks).features)


def test_attribute_probabilities_and_predictions_agree() -> None:
    logits = torch.randn(5, TASK1_LOGITS)
    probabilities = attribute_probabilities(logits)
    assert probabilities.shape == (5, LOGITS)
    torch.testing.assert_close(probabilities[:, :4].sum(1), torch.ones(5))
    codes = attribute_predictions(logits)
    assert codes.shape == (5, 12)
    assert torch.equal(codes[:, 0], probabilities[:, :4].argmax(1))
    assert torch.equal(codes[:, 1], (probabilities[:, 4] > 0.5).long())


def test_fine_tuning_groups_are_the_paper_s_and_cover_every_parameter_once() -> None:
    network = AttributeNetwork("resnet18")
    high, low = network.fine_tuning_groups()
    assert {id(p) for p in high}.isdisjoint(id(p) for p in low)
    assert len(high) + len(low) == len(list(network.parameters()))
    assert any(p is network.backbone.features.conv1.weight for p in high)
    assert any(p is network.head.weight for p in high)
    assert any(p is network.backbone.features.layer1[0].conv1.weight for p in low)


def test_adversary_distance_by_hand() -> None:
    adversary = Adversary()
    with torch.no_grad():
        adversary.weight.zero_()
        adversary.weight[:2] = torch.tensor([1.0, 0.5])
    anchors, others = torch.zeros(1, 576), torch.zeros(1, 2, 576)
    others[0, 0, :2] = torch.tensor([3.0, 2.0])
    torch.testing.assert_close(adversary.distance(anchors, others), torch.tensor([[9.0 + 2.0, 0.0]]))


def test_a_new_channel_changes_nothing_until_it_is_trained() -> None:
    torch.manual_seed(0)
    backbone = Backbone("mobilenet_v2").eval()
    images = torch.rand(1, 3, 64, 32)
    with torch.inference_mode():
        before = backbone(images)
        widen_first_convolution(backbone.features, 4)
        after = backbone(torch.cat([images, torch.rand(1, 1, 64, 32)], dim=1))
    torch.testing.assert_close(before, after)


def test_a_state_dict_with_prefix_and_classifier_fits_a_backbone_with_a_mask_channel(tmp_path: Path) -> None:
    torch.manual_seed(1)
    published = Backbone("mobilenet_v3_small")
    state = {**published.state_dict(), "classifier.0.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "weights.pth")
    backbone = Backbone("mobilenet_v3_small", 4)
    load_pretrained(backbone, "mobilenet_v3_small", str(tmp_path / "weights.pth"))
    images = torch.rand(1, 3, 64, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            backbone.eval()(torch.cat([images, torch.ones(1, 1, 64, 32)], 1)), published.eval()(images)
        )


def test_weights_that_do_not_fit_are_refused_with_their_names(tmp_path: Path) -> None:
    torch.save(Backbone("mobilenet_v2").state_dict(), tmp_path / "v2.pth")
    with pytest.raises(BrunaError, match="does not fit mobilenet_v3_small"):
        load_pretrained(Backbone("mobilenet_v3_small"), "mobilenet_v3_small", str(tmp_path / "v2.pth"))
    with pytest.raises(BrunaError, match="is no file"):
        load_pretrained(Backbone("mobilenet_v2"), "mobilenet_v2", str(tmp_path / "absent.pth"))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(BrunaError, match="not a torch state dict"):
        load_pretrained(Backbone("mobilenet_v2"), "mobilenet_v2", str(tmp_path / "text.pth"))
