"""A tiny language model with a tokenizer of its own, in transformers' layout, and texts to train it on."""

from __future__ import annotations

from pathlib import Path

WORDS = [
    "the",
    "a",
    "sea",
    "sky",
    "sword",
    "king",
    "tea",
    "house",
    "was",
    "is",
    "and",
    "or",
    "to",
    "of",
    "said",
    "he",
    "she",
    "walked",
    ".",
    ",",
    "?",
]
SHAPE = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def small_base(folder: Path, context: int = 64) -> Path:
    """A Llama of a few thousand parameters with a tokenizer of words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    spaced = {word: number for number, word in enumerate(["<end>", "<unknown>", *WORDS])}
    own = Tokenizer(models.WordLevel(spaced, unk_token="<unknown>"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.decoder = decoders.Fuse()
    words = PreTrainedTokenizerFast(tokenizer_object=own, eos_token="<end>", pad_token="<end>", unk_token="<unknown>")
    config = LlamaConfig(
        vocab_size=len(words), num_key_value_heads=1, max_position_embeddings=context, tie_word_embeddings=True, **SHAPE
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def small_texts(data: Path, repeats: int = 60) -> Path:
    """Two texts below ``data``: one of kings, one of tea."""
    folder = data / "authors"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kings.txt").write_text("the king said , the sword was to the sky . he walked to the sea . " * repeats)
    (folder / "tea.txt").write_text("she was a tea house and the house was tea . is tea a house or a sea ? " * repeats)
    return data
