"""Model folders: ``model.safetensors`` + ``card.json``; nothing in them is ever unpickled."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from palora_core import distributed, identity
from palora_core.adapters import LowRankLayer
from palora_core.benchmarks.base import Benchmark, benchmarks
from palora_core.conditioning.base import ParetoModel
from palora_core.conditioning.lowrank import LowRankModel, with_described_adapters
from palora_core.config import from_dict, method_from_dict, require
from palora_core.errors import UserError, quoted
from palora_core.machine import without_memory
from palora_core.networks.base import is_whole, networks
from palora_core.normalisation import match_statistics
from palora_core.sharding import is_sharded, whole
from palora_core.storage.cards import CARD, CARD_FORMAT, OWN, own_card, read_card
from palora_core.storage.writing import sha256, write_atomically, write_json

__all__ = [
    "CARD",
    "CARD_FORMAT",
    "WEIGHTS",
    "benchmark_of",
    "build",
    "load",
    "load_weights",
    "read_card",
    "read_weights",
    "save",
]

WEIGHTS = "model.safetensors"
MOST_PARTS = 256  # heads, or layers
# What network code may raise on options that it was not written for.
NOT_BUILT = (
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
)


def save(
    folder: Path | str,
    model: ParetoModel,
    card: Mapping[str, Any] | None = None,
    weights: str = WEIGHTS,
    adapters_only: bool = False,
) -> dict[str, Any]:
    """Write a model's weights and its card; each file is replaced atomically, the card last.

    Args:
        folder: made where it is missing.
        model: any λ-conditioned network; α, rank, form and adapted layers travel in its state.
        card: what a card should say beyond that (``title``, ``tasks``, ``licence``, …); see
            :func:`palora_core.storage.cards.own_card` for what stands in the places of what is missing.
        weights: file name.
        adapters_only: leave out the base network's tensors, of which hashes are kept: :func:`load` then asks for the
            same base as ``network=``.

    Of a sharded model (FSDP2) all ranks have to call; one of them gathers and writes.

    Returns:
        The card as written, with ``format`` and ``weights_sha256``.
    """
    if is_sharded(model):
        gathered = whole(model)
        own = [save(folder, gathered, card, weights, adapters_only)] if distributed.is_main() else []
        told: dict[str, Any] = distributed.gathered(own)[0]
        return told
    folder = Path(folder)
    state = storable(model.state_dict())
    told = own_card(model, card or {})
    if adapters_only:
        base = base_names(model)
        told["base"] = {name: fingerprint(state[name]) for name in base}
        state = {name: tensor for name, tensor in state.items() if name not in told["base"]}
    write_atomically(folder / weights, lambda path: save_file(state, path))
    written = {"format": CARD_FORMAT, **told, "weights_sha256": sha256(folder / weights)}
    write_json(folder / (CARD if weights == WEIGHTS else weights.replace(".safetensors", ".json")), written)
    return written


def rests_on_base(model: ParetoModel) -> bool:
    """Whether all of a model but its adapters comes from its network's factory, as it was: then they can do alone."""
    layers = [layer for layer in model.network.modules() if isinstance(layer, LowRankLayer)]
    adapters = {id(p) for layer in layers for p in (layer.adapter_a, layer.adapter_b)}
    trained = [p for p in model.parameters() if p.requires_grad]
    return is_whole(model.network) and bool(adapters) and all(id(p) in adapters for p in trained)


def base_names(model: ParetoModel) -> list[str]:
    """Names in the model's state of what the plain network has, too: all but adapters and statistics of λ.

    Raises:
        UserError: the conditioning adds nothing that could be stored alone.
    """
    if rests_on_base(model):  # no copy of what may be large
        frozen = {id(p) for p in model.parameters() if not p.requires_grad}
        return [name for name, tensor in model.state_dict(keep_vars=True).items() if id(tensor) in frozen]
    plain = model.merge(torch.full((model.num_tasks,), 1 / model.num_tasks)).state_dict()
    own = model.state_dict()
    base = [name for name in own if name.removeprefix("network.") in plain and name.startswith("network.")]
    if not model.controllable or len(base) == len(own) - (identity.KEY in own):
        raise UserError(f"A model with the conditioning {model.kind!r} has no adapters that could be saved alone.")
    return base


def fingerprint(tensor: Tensor) -> str:
    """A short hash of a tensor's format, shape and content."""
    told = f"{tensor.dtype}{list(tensor.shape)}".encode()
    content = tensor.detach().cpu().contiguous().view(torch.uint8) if tensor.dim() else tensor.detach().cpu()[None]
    return hashlib.sha256(told + content.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()[:16]


def storable(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` as safetensors takes it: on the CPU, contiguous, no two tensors in one memory.

    A parameter that a network has under several names (tied embeddings, a module that comes twice) is written under
    each of them, so that whoever reads the file finds all names; loaded, they share memory again.
    """
    seen: set[int] = set()
    result = {}
    for name, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        memory = tensor.untyped_storage()
        if memory.data_ptr() in seen or memory.nbytes() > tensor.nbytes:
            tensor = tensor.clone()
        seen.add(memory.data_ptr())
        result[name] = tensor
    return result


def load(
    folder: Path | str, weights: str = WEIGHTS, network: nn.Module | None = None
) -> tuple[ParetoModel, dict[str, Any]]:
    """The model and the card of a folder, in evaluation mode on the CPU.

    Args:
        folder: as :func:`save` wrote it.
        weights: file name.
        network: an instance of the network that the model was made of (copied), where it is no registered one; the
            base network itself for adapters alone.

    Raises:
        UserError: no such folder, a damaged or foreign file, a card that does not belong to the weights, or a network
            that is not the one the model was made of.
    """
    folder = Path(folder)
    card = read_card(folder, CARD if weights == WEIGHTS else weights.replace(".safetensors", ".json"))
    path = folder / weights
    if not path.is_file():
        raise UserError(f"{folder} has a card but no {weights}; copy the whole model folder, or train it again.")
    ours = network is None
    on_base = network is None and "base" in card
    if on_base:
        network = registered_base(card)
    untrained = OWN in (card["network"]["name"], card["method"]["name"])  # no method of ours says how it was made
    if network is None and untrained and card["benchmark"]["name"] in benchmarks:
        network = benchmark_of(card).problem().build(pretrained=False)
    if network is None:
        check_fit(card, path)  # before memory is spent: a card may describe any network
    state = read_weights(path)
    if sha256(path) != card["weights_sha256"]:
        raise UserError(
            f"The card in {folder} does not belong to {path.name} (their hashes differ); restore both files from one "
            "copy of the model, or resume the run that wrote them."
        )
    model = build(card, state) if network is None else onto(network if ours else copy.deepcopy(network), card, state)
    if on_base and isinstance(model, LowRankModel):
        model.train_adapters_only()  # as they were trained: what rests on a base never changes it
    return model.eval(), card


def registered_base(card: Mapping[str, Any]) -> nn.Module | None:
    """The base that the adapters of a card were trained on, with its weights; None where no registered one is named.

    Raises:
        UserError: the weights are not on this machine.
    """
    if card["network"]["name"] == OWN or not card["network"]["options"].get("pretrained"):
        return None
    require(card, "This model", network=networks)
    _check_network(card)
    try:
        network: nn.Module = networks.get(card["network"]["name"])(**card["network"]["options"])
    except UserError:
        raise
    except NOT_BUILT as error:
        raise _no_network(error) from None
    return network


def benchmark_of(card: Mapping[str, Any], what: str = "This model") -> Benchmark:
    """The benchmark that a card or a run's configuration names, with its options.

    Raises:
        UserError: it is not registered (``what`` begins the sentence), has no such options, or the card is damaged.
    """
    require(card, what, benchmark=benchmarks)
    try:
        return from_dict(benchmarks.get(card["benchmark"]["name"]), card["benchmark"].get("options") or {})
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{what} names no benchmark that can be built ({error!r}); restore its card.") from None


def onto(network: nn.Module, card: Mapping[str, Any], state: Mapping[str, Tensor]) -> ParetoModel:
    """The model of ``card`` and ``state``, made of ``network``.

    Raises:
        UserError: ``network`` is not the one that the model was made of.
    """
    told = identity.decode(state[identity.KEY]) if identity.KEY in state else {}
    if told.get("conditioning") == LowRankModel.kind:
        model: ParetoModel = with_described_adapters(network, told)
    else:
        require(card, "This model")
        model = method_from_dict(card["method"]).conditioning.condition(network, len(card["tasks"]))
    base = card.get("base")
    if isinstance(base, Mapping):
        own = storable({name: tensor for name, tensor in model.state_dict().items() if name in base})
        different = [name for name in base if name not in own or fingerprint(own[name]) != base[name]]
        if different:
            raise UserError(
                f"The adapters belong to another base: {different[0]!r} is not as it was when they were saved; give "
                "the base network that they were trained on, with its weights."
            )
        state = {**own, **state}
    load_weights(model, state)
    return model


def check_fit(card: Mapping[str, Any], path: Path) -> None:
    """Compare a card's network, built without memory, with the names and shapes in the header of its weights.

    Raises:
        UserError: they are not those of one model, or the file is damaged.
    """
    with without_memory():
        build(card, shapes(path))


def shapes(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, without their content."""
    try:
        with safe_open(path, framework="pt") as file:
            sizes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged_weights(path, error) from None
    return {name: torch.empty(size, device="meta") for name, size in sizes.items()}


def build(card: Mapping[str, Any], state: Mapping[str, Tensor] | None = None) -> ParetoModel:
    """The model that a card describes, with the weights ``state`` if given, else with random ones."""
    if card["network"]["name"] == OWN:
        raise UserError(
            f"This model's network ({quoted(card['network'].get('class', 'of its own'))}) is not registered; load it "
            "by pc.load(folder, network=…), or register it, and start with --plugin MODULE."
        )
    if "base" in card:
        raise UserError("These are adapters alone; load them by pc.load(folder, network=…) with their base network.")
    require(card, "This model", network=networks)
    try:
        _check_network(card)
        options = dict(card["network"]["options"])
        if "pretrained" in options:
            options["pretrained"] = False  # a card's own weights replace ImageNet's, which the machine need not have
        network = networks.get(card["network"]["name"])(**options)
        method = method_from_dict(card["method"])
        num_tasks = len(card["tasks"])
        model = method.conditioning.condition(network, num_tasks)
    except UserError:
        raise
    except NOT_BUILT as error:
        raise _no_network(error) from None
    if state is not None:
        load_weights(model, state)
    return model


def _no_network(error: Exception) -> UserError:
    reason = str(error).partition("\n")[0] or type(error).__name__
    return UserError(f"The model card describes no network that can be built ({reason}); restore it.")


def _check_network(card: Mapping[str, Any]) -> None:
    """Refuse options that would make a network of millions of layers, which takes long even without memory."""
    for name, value in card["network"]["options"].items():
        if isinstance(value, list | tuple | Mapping) and len(value) > MOST_PARTS:
            raise UserError(f"The network of the card has {len(value):,} {name}; expected at most {MOST_PARTS}.")
    layers = card["network"]["options"].get("layers")
    if isinstance(layers, int) and layers > MOST_PARTS:
        raise UserError(f"The network of the card has {quoted(layers)} layers; expected at most {MOST_PARTS}.")


def load_weights(model: ParetoModel, state: Mapping[str, Tensor]) -> None:
    """Load ``state`` strictly, statistics per preference included.

    Raises:
        UserError: names or shapes that do not fit the model.
    """
    if identity.KEY in state:
        model.set_extra_state(state[identity.KEY])
    match_statistics(model, state)
    own = model.state_dict()
    missing, foreign = sorted(set(own) - set(state) - {identity.KEY}), sorted(set(state) - set(own))
    if missing or foreign:
        what = f"misses {missing[0]!r}" if missing else f"has the unknown {foreign[0]!r}"
        raise UserError(f"The weights do not fit the network of the card: the file {what}; use the card it came with.")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape and name != identity.KEY:
            raise UserError(
                f"The weights do not fit the network of the card: {name} is {list(tensor.shape)}, expected "
                f"{list(own[name].shape)}; use the card it came with."
            )
    model.load_state_dict(dict(state))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The finite tensors of a safetensors file; UserError where it is damaged."""
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged_weights(path, error) from None
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not torch.isfinite(tensor).all()]
    if bad:
        raise UserError(f"{path} holds NaN or infinite values in {bad[0]!r}; use an earlier checkpoint.")
    return state


def damaged_weights(path: Path, error: Exception) -> UserError:
    """The sentence on a safetensors file that cannot be read."""
    return UserError(f"{path} is damaged or not a safetensors file ({error}); copy it again.")
