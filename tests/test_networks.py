"""Networks: published parameter counts, shapes, options, and the sizes that each conditioning gives them."""

import pytest
import torch

from palora_core import normalisation
from palora_core.conditioning.base import conditionings
from palora_core.errors import UserError
from palora_core.networks.base import MultiTaskNetwork, networks

DIGITS = {"left": 10, "right": 10}
NETWORKS = {
    "multimnist": ("lenet", {"outputs": DIGITS}, 27_450),
    "multimnist3": ("lenet", {"outputs": {**DIGITS, "third": 10}}, 30_510),
    "census": ("mlp", {"outputs": {"age": 2, "education": 2}, "inputs": 468, "hidden": (256,)}, 121_092),
    "sarcos": ("mlp", {"outputs": {str(t): 1 for t in range(7)}, "inputs": 21, "hidden": [256, 256, 256]}, 139_015),
    "utkface": ("resnet18", {"outputs": {"age": 1, "gender": 2, "race": 5}}, 11_185_224),
    "celeba": ("resnet18", {"outputs": {str(t): 2 for t in range(40)}}, 11_332_752),
    "cityscapes": ("segnet", {"outputs": {"semantic": 7, "depth": 1}}, 25_017_672),
    "nyuv2": ("segnet", {"outputs": {"semantic": 13, "depth": 1, "normal": 3}}, 25_055_185),
}
# benchmark → parameters that InputConcat adds, and all of HyperNetwork's. Those of the chunked ones are the published
# counts (11,036,716 for UTKFace) less chunk embeddings that the published code never reads.
ADDED = {"multimnist": 708, "multimnist3": 1_218, "census": 512, "sarcos": 1_792, "utkface": 2_196}
ADDED |= {"celeba": 40 * 40 * 52 + 40 * 576, "cityscapes": 1_360, "nyuv2": 2_196}
HYPER = {"multimnist": 2_792_950, "multimnist3": 3_102_110, "census": 12_250_792, "utkface": 11_036_716 - 3 * 64}


def build(benchmark):
    name, options, _ = NETWORKS[benchmark]
    with torch.device("meta"):
        return networks.get(name)(**options), len(options["outputs"])


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("benchmark", NETWORKS)
def test_published_parameter_count(benchmark):
    network, tasks = build(benchmark)
    assert isinstance(network, MultiTaskNetwork) and len(network.heads) == tasks
    assert count(network) == NETWORKS[benchmark][2]


@pytest.mark.parametrize("benchmark", [name for name in NETWORKS if name != "celeba"])
def test_ensemble_has_exactly_t_times_the_parameters(benchmark):
    network, tasks = build(benchmark)
    base = count(network)
    with torch.device("meta"):
        assert count(conditionings.get("ensemble")().condition(network, tasks)) == tasks * base


@pytest.mark.parametrize("benchmark", NETWORKS)
def test_what_cosmos_adds(benchmark):
    network, tasks = build(benchmark)
    base = count(network)
    with torch.device("meta"):
        assert count(conditionings.get("inputconcat")().condition(network, tasks)) - base == ADDED[benchmark]


@pytest.mark.parametrize("benchmark", HYPER)
def test_hypernetwork_size(benchmark):
    network, tasks = build(benchmark)
    with torch.device("meta"):
        assert count(conditionings.get("hypernetwork")().condition(network, tasks)) == HYPER[benchmark]


def test_hypernetwork_of_segnet_is_bounded_and_can_have_the_published_size():
    for chunk_size, wanted in ((0, 24_036_684), (480_000, 48_036_684 - 52 * 64)):
        network, tasks = build("cityscapes")
        with torch.device("meta"):
            model = conditionings.get("hypernetwork")(chunk_size=chunk_size).condition(network, tasks)
        assert count(model) == wanted


@pytest.mark.parametrize("form", ["kernel", "flat"])
def test_dora_adds_low_rank_factors_and_magnitudes(form):
    network, tasks = build("multimnist")
    with torch.device("meta"):
        model = conditionings.get("dora")(rank=1, conv_form=form).condition(network, tasks)
    assert count(model) - 27_450 == {"kernel": 1_990, "flat": 3_430}[form] + 400 == model.num_adapter_parameters


def test_mlp_shapes_and_hidden_layers():
    network = networks.get("mlp")({"a": 2, "b": 3}, inputs=4, hidden=(6, 5))
    assert {task: tuple(y.shape) for task, y in network(torch.zeros(7, 4)).items()} == {"a": (7, 2), "b": (7, 3)}
    assert [m.out_features for m in network.trunk if hasattr(m, "out_features")] == [6, 5]


@pytest.mark.parametrize("size", [32, 96])
def test_resnet_takes_other_image_sizes(size):
    network = networks.get("resnet18")({"a": 2}, size=size, width=1 / 16).eval()
    assert network(torch.zeros(2, 3, size, size))["a"].shape == (2, 2)


def test_resnet_names_are_torchvisions():
    from torchvision.models import resnet18

    shapes = {name: p.shape for name, p in resnet18().named_parameters() if not name.startswith(("fc", "conv1"))}
    with torch.device("meta"):
        trunk = networks.get("resnet18")({"a": 2}).trunk
    assert {n: p.shape for n, p in trunk.named_parameters() if not n.startswith("conv1")} == shapes


def test_resnet_rejects_a_size_that_does_not_divide():
    with pytest.raises(UserError, match="size is 50"):
        networks.get("resnet18")({"a": 2}, size=50)


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """A TORCH_HOME that holds MobileNetV2's file, with random weights; their hash is taken for the right one."""
    from torchvision.models import mobilenet_v2

    from palora_core.networks import _imagenet

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(_imagenet, "sha256", lambda path: "b0353104" + "0" * 56)
    state = {f: torch.randn_like(t) if t.is_floating_point() else t for f, t in mobilenet_v2().state_dict().items()}
    path = tmp_path / "hub/checkpoints/mobilenet_v2-b0353104.pth"
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    return path, state


@pytest.mark.parametrize("dense", [False, True])
def test_mobilenet_starts_from_the_weights_in_torch_home(imagenet, dense):
    network = networks.get("mobilenet")({"a": 3}, dense=dense, pretrained=True)
    own = network.state_dict()
    for name, tensor in imagenet[1].items():
        if name.startswith("features.") and not (dense and name.startswith("features.18.")):
            assert torch.equal(own[f"trunk.{name}"], tensor), name


def test_a_dense_mobilenet_shares_few_channels_and_predicts_positive_quantities_at_full_size():
    torch.manual_seed(0)
    network = networks.get("mobilenet")({"a": 3, "b": 1}, dense=True, shared=5, positive=["b"]).eval()
    with torch.no_grad():
        found = network(torch.rand(2, 3, 64, 96))
    assert found["a"].shape == (2, 3, 64, 96) and found["b"].shape == (2, 1, 64, 96)
    assert network.heads["a"][0].weight.shape == (3, 5, 1, 1)
    assert (found["b"] > 0).all() and (found["a"] < 0).any()


def test_weights_that_are_missing_or_damaged_are_named(imagenet):
    path, state = imagenet
    torch.save({**state, "features.0.0.weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match=r"TORCH_HOME do not fit this network .*size mismatch for 0.0.weight"):
        networks.get("mobilenet")({"a": 3}, pretrained=True)
    torch.save([1, 2], path)
    with pytest.raises(UserError, match=r"mobilenet_v2-b0353104.pth holds no state_dict"):
        networks.get("mobilenet")({"a": 3}, pretrained=True)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"mobilenet_v2-b0353104.pth is damaged or holds no weights"):
        networks.get("mobilenet")({"a": 3}, pretrained=True)
    path.unlink()
    files = {"mobilenet": "mobilenet_v2-b0353104", "deeplab": "resnet50-0676ba61", "vit": "vit_b_16-c867db91"}
    for name, file in files.items():
        with pytest.raises(UserError, match=rf"no {file}.pth .*checkpoints; .* from https://.*/{file}.pth"):
            networks.get(name)({"a": 3}, pretrained=True)


def test_weights_of_a_persons_own_under_torchvisions_name_are_used_with_a_warning(imagenet, monkeypatch):
    from torchvision.models import resnet50

    from palora_core.networks import _imagenet

    monkeypatch.setattr(_imagenet, "sha256", lambda path: "f" * 64)
    state = resnet50().state_dict()
    torch.save(state, imagenet[0].with_name("resnet50-0676ba61.pth"))
    with pytest.warns(UserWarning, match=r"resnet50-0676ba61.pth is not torchvision's file"):
        own = networks.get("deeplab")({"a": 3}, pretrained=True).state_dict()
    assert all(torch.equal(own[f"trunk.{name}"], t) for name, t in state.items() if not name.startswith("fc."))


@pytest.mark.parametrize("dense", [False, True])
def test_a_mobilenet_with_fixed_statistics_keeps_them_and_looks_at_one_item_at_a_time(dense):
    torch.manual_seed(0)
    network = networks.get("mobilenet")({"a": 3}, dense=dense, norm="fixed", shared=6)
    assert normalisation.batch_norms(network) == [] and len(normalisation.norms_with_statistics(network)) > 40
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    x = torch.randn(3, 3, 64, 64)
    network.train()
    network.trunk.get_submodule("dropout" if not dense else "decoder").eval()
    together = network(x)["a"]
    torch.testing.assert_close(network(x[:1])["a"], together[:1], atol=1e-4, rtol=1e-4)
    together.square().mean().backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())
    trained = [layer.weight.grad for layer in normalisation.norms_with_statistics(network)]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in trained)


def test_a_mobilenet_has_two_norms():
    with pytest.raises(UserError, match=r"norm is 'layer'; expected 'batch' or 'fixed'"):
        networks.get("mobilenet")({"a": 3}, norm="layer")
