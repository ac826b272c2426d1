"""The networks: shapes, parameter groups, the mask channel, published weights."""

from pathlib import Path
from typing import get_args

import pytest
import torch
from torchvision import models as zoo

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import Task, logit_count, task1_tasks
from bruna.errors import BrunaError
from bruna.losses import attribute_losses
from bruna.models.adversary import Adversary
from bruna.models.attribute_logits import most_probable, predictions, probabilities
from bruna.models.attributes import AttributeNetwork
from bruna.models.backbones import BACKBONES, NETWORKS, Backbone, widen_first_convolution
from bruna.models.bruna import Bruna
from bruna.models.small_networks import lenet5
from bruna.models.unet import UNet
from bruna.params import BackboneName, NetworkName
from bruna.training.pretrained import load_pretrained
from course_schema import LOGITS, TASK1_LOGITS, TASKS


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
        bruna = Bruna("mobilenet_v3_small", 1600, ATTRIBUTES, mask, joined, 0.2).eval()
        with torch.inference_mode():
            found = bruna(images, masks, bottleneck)
        assert found.features.shape == (2, 1600) and found.logits.shape == (2, LOGITS)
        torch.testing.assert_close(found.features.norm(dim=1), torch.full((2,), 40.0), rtol=1e-3, atol=0)


def test_segmented_bruna_does_not_see_the_background() -> None:
    bruna = Bruna("mobilenet_v3_small", 64, ATTRIBUTES, "segmented", 0, 0.0).eval()
    images, masks = torch.rand(1, 3, 128, 64), torch.zeros(1, 1, 128, 64)
    masks[..., 32:96, 16:48] = 1
    changed = torch.where(masks > 0, images, torch.rand_like(images))
    with torch.inference_mode():
        torch.testing.assert_close(bruna(images, masks).features, bruna(changed, masks).features)


def test_attribute_probabilities_and_predictions_agree() -> None:
    logits = torch.randn(5, TASK1_LOGITS)
    found = probabilities(logits, ATTRIBUTES)
    assert found.shape == (5, LOGITS)
    torch.testing.assert_close(found[:, :4].sum(1), torch.ones(5))
    codes = predictions(logits, ATTRIBUTES)
    assert codes.shape == (5, 12)
    assert torch.equal(codes[:, 0], found[:, :4].argmax(1))
    assert torch.equal(codes[:, 1], (found[:, 4] > 0.5).long())
    assert torch.equal(most_probable(found, ATTRIBUTES), codes)
    of_all = predictions(logits, TASKS)
    assert torch.equal(of_all[:, :12], codes) and torch.equal(of_all[:, 12:], (logits[:, LOGITS:] > 0).long())


def test_probabilities_of_another_schema_by_hand() -> None:
    glasses, bag = Task("glasses", ("none", "clear", "dark")), Task("bag", ("no", "yes"))
    logits = torch.tensor([[1.0, 4.0, 1.0, 3.0], [3.0, 1.0, 2.0, 1 / 4]]).log()
    found = probabilities(logits, (glasses, bag))
    torch.testing.assert_close(found, torch.tensor([[1 / 6, 4 / 6, 1 / 6, 3 / 4], [3 / 6, 1 / 6, 2 / 6, 1 / 5]]))
    assert predictions(logits, (glasses, bag)).tolist() == [[1, 1], [0, 0]]
    assert most_probable(found, (glasses, bag)).tolist() == [[1, 1], [0, 0]]
    assert predictions(logits[:, [3, 0, 1, 2]], (bag, glasses)).tolist() == [
        [1, 1],
        [0, 0],
    ]  # their order is that given
    assert probabilities(logits, ()).shape == (2, 0) and predictions(logits, ()).shape == (2, 0)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_the_heads_are_as_wide_as_the_schema() -> None:
    schema = (Task("glasses", ("none", "clear", "dark")), Task("bag", ("no", "yes")))
    images = torch.rand(2, 3, 64, 32)
    for cameras in ((), (2,), (1, 2, 9)):
        tasks = task1_tasks(schema, cameras)
        network = AttributeNetwork("simple_cnn", tasks).eval()
        assert network.tasks == tasks and network(images).shape == (2, 4 + len(cameras) + 1)
        assert [task.name for task in tasks] == ["glasses", "bag", *(f"camera{c}" for c in cameras), "junk"]
    for attributes in (schema, ()):
        bruna = Bruna("mobilenet_v3_small", 16, attributes, "none", 0, 0.0).eval()
        found = bruna(images)
        assert found.schema == bruna.attributes == attributes
        assert found.logits.shape == found.attributes.shape == (2, logit_count(attributes))


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("simple_cnn", "features.block4.0.weight"),
        ("lenet5", "features.f6.weight"),
        ("alexnet", "classifier.4.weight"),
        ("resnet18", "features.layer4.0.conv1.weight"),
        ("resnet34", "features.layer4.2.conv2.weight"),
        ("resnet50", "features.layer4.0.conv1.weight"),
        ("resnet101", "features.layer4.2.conv3.weight"),
        ("resnet152", "features.layer4.2.conv3.weight"),
        ("mobilenet_v2", "features.18.0.weight"),
        ("mobilenet_v3_small", "features.12.0.weight"),
        ("mobilenet_v3_large", "features.16.0.weight"),
    ],
)
def test_every_network_trains_and_its_groups_are_the_paper_s(name: str, last: str) -> None:
    """At 128 x 64 and at another size; first convolution, last layer and head are high, and nothing is left out."""
    torch.manual_seed(0)
    network = AttributeNetwork(name, TASKS)
    high, low = network.fine_tuning_groups()
    assert sorted(map(id, [*high, *low])) == sorted(map(id, network.parameters()))
    named = dict(network.backbone.named_parameters())
    first = next(iter(named))
    assert {id(named[first]), id(named[last]), id(network.head.weight)} <= {id(p) for p in high}
    assert len(low) > 1
    for size in ((128, 64), (80, 63)):
        before = network.head.weight.detach().clone()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        logits = network(torch.rand(2, 3, *size))
        assert logits.shape == (2, TASK1_LOGITS)
        attribute_losses(logits, torch.zeros(2, 15, dtype=torch.int64), TASKS).sum().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
        optimizer.step()
        assert not torch.equal(before, network.head.weight)


def test_the_names_of_the_parameters_are_the_networks_there_are() -> None:
    assert sorted(get_args(NetworkName)) == sorted(NETWORKS)
    assert sorted(get_args(BackboneName)) == sorted(BACKBONES)


def test_lenet5_is_the_published_one_at_its_own_size() -> None:
    features = lenet5()
    shapes = {}
    x = torch.rand(1, 3, 32, 32)
    for name, layer in features.named_children():
        x = layer(x)
        shapes[name] = tuple(x.shape[1:])
    assert shapes["c1"] == (6, 28, 28) and shapes["s2"] == (6, 14, 14)
    assert shapes["c3"] == (16, 10, 10) and shapes["s4"] == shapes["fit"] == (16, 5, 5)
    assert shapes["c5"] == (120, 1, 1) and shapes["f6"] == (84, 1, 1)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("lenet5", "alexnet", "resnet152")])
def test_last_stride_1_doubles_the_feature_map_and_changes_no_weight(name: str) -> None:
    torch.manual_seed(0)
    usual = Backbone(name).eval()
    torch.manual_seed(0)
    fine = Backbone(name, last_stride=1).eval()
    assert all(torch.equal(a, b) for a, b in zip(usual.state_dict().values(), fine.state_dict().values(), strict=True))
    with torch.inference_mode():
        small, large = (backbone(torch.rand(1, 3, 64, 32)).shape for backbone in (usual, fine))
    assert large == (1, small[1], 2 * small[2], 2 * small[3])


@pytest.mark.parametrize("name", ["lenet5", "alexnet"])
def test_a_network_without_a_last_stride_says_so(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has no convolution of stride 2"):
        Backbone(name, last_stride=1)


def test_pooled_halves_by_hand() -> None:
    network = AttributeNetwork("simple_cnn", TASKS, pool="halves")
    network.backbone = torch.nn.Identity()
    features = torch.zeros(1, 3, 4, 2)
    network.normalize = torch.nn.Identity()
    features[0, 1, :2] = 6.0
    features[0, 2, 3] = 8.0
    network.head = torch.nn.Identity()
    # Channel by channel: upper half, lower half.
    torch.testing.assert_close(network(features), torch.tensor([[0.0, 0.0, 6.0, 0.0, 0.0, 4.0]]))


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


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18"])  # first convolutions of 3 x 3 and of 7 x 7
def test_a_state_dict_with_prefix_and_classifier_fits_a_backbone_with_a_mask_channel(tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    published = Backbone(name)
    state = {**published.state_dict(), "classifier.0.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}
    torch.save(state, tmp_path / "weights.pth")
    backbone = Backbone(name, 4)
    load_pretrained(backbone, name, str(tmp_path / "weights.pth"))
    images = torch.rand(1, 3, 64, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            backbone.eval()(torch.cat([images, torch.ones(1, 1, 64, 32)], 1)), published.eval()(images)
        )


@pytest.mark.parametrize("name", ["alexnet", "simple_cnn"])
def test_a_whole_network_s_state_dict_fits(name: str, tmp_path: Path) -> None:
    """AlexNet as torchvision publishes it: its hidden layers are kept, its last layer is left out."""
    published = zoo.get_model(name, weights=None).state_dict() if name == "alexnet" else Backbone(name).state_dict()
    torch.save(published, tmp_path / "weights.pth")
    backbone = Backbone(name)
    load_pretrained(backbone, name, str(tmp_path / "weights.pth"))
    assert all(torch.equal(value, published[key]) for key, value in backbone.state_dict().items())
    assert len(published) - len(backbone.state_dict()) == (2 if name == "alexnet" else 0)


def test_weights_that_do_not_fit_are_refused_with_their_names(tmp_path: Path) -> None:
    torch.save(Backbone("mobilenet_v2").state_dict(), tmp_path / "v2.pth")
    with pytest.raises(BrunaError, match="does not fit mobilenet_v3_small"):
        load_pretrained(Backbone("mobilenet_v3_small"), "mobilenet_v3_small", str(tmp_path / "v2.pth"))
    for name in ("simple_cnn", "lenet5"):
        with pytest.raises(BrunaError, match=f"imagenet has no weights for {name}"):
            load_pretrained(Backbone(name), name, "imagenet")
    with pytest.raises(BrunaError, match="is no file"):
        load_pretrained(Backbone("mobilenet_v2"), "mobilenet_v2", str(tmp_path / "absent.pth"))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(BrunaError, match="not a torch state dict"):
        load_pretrained(Backbone("mobilenet_v2"), "mobilenet_v2", str(tmp_path / "text.pth"))


def test_a_neck_ranks_by_normalised_features_of_the_usual_length() -> None:
    torch.manual_seed(0)
    bruna = Bruna("mobilenet_v3_small", 64, ATTRIBUTES, "none", 0, 0.0, last_stride=1, neck="batch_norm")
    images = torch.rand(4, 3, 64, 32)
    found = bruna.train()(images)
    assert not torch.equal(found.features, found.metric)  # told apart after the neck, distances learned before it
    torch.testing.assert_close(found.features.mean(dim=0), torch.zeros(64), atol=1e-5, rtol=0)
    with torch.no_grad():
        unseen = bruna.eval()(images)
    torch.testing.assert_close(unseen.features.norm(dim=1), torch.full((4,), 8.0))


def test_the_adversary_s_pairs_are_its_distances() -> None:
    torch.manual_seed(0)
    adversary = Adversary(unit=True).eval()
    with torch.no_grad():
        adversary.weight.uniform_(0.5, 2)
        features = adversary.embed(torch.rand(3, 3, 64, 32))
        torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
        one_by_one = adversary.distance(features, features.expand(3, -1, -1))
        torch.testing.assert_close(adversary.pairwise(features), one_by_one, atol=1e-5, rtol=1e-4)
