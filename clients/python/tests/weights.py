"""Weights for the gate under test: small networks, in files as `postern pull` leaves them.

Their numbers are random, so what comes of them is no picture and no translation of anything; how
they are loaded, run and answered is what customers get.
"""

from __future__ import annotations

import json
import random
import shutil
import string
import struct
from array import array
from math import prod
from pathlib import Path
from typing import Any

GOLDENS = Path(__file__).resolve().parents[3] / "tests/goldens"
# Numbers in a token's row, and tokens in a text, of the small encoder.
WIDTH, LONGEST = 64, 256
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
SIGNS = string.ascii_lowercase + string.digits + ".,!?"


def install(folder: Path) -> None:
    """Fill `folder` for `sharp` and for the encoder `labse`; `usem3` stays missing."""
    _sharp(folder / "sharp")
    _labse(folder / "labse")


def _sharp(folder: Path) -> None:
    folder.mkdir(parents=True)
    golden = GOLDENS / "sharp/11_e2e_grid2_no_overlap"
    case = json.loads((golden / "case.json").read_text())
    (folder / "config.json").write_text(json.dumps(case["config"]))
    shutil.copy(golden / "weights.safetensors", folder / "sharp_2572gikvuh.pt")


def _labse(folder: Path) -> None:
    folder.mkdir(parents=True)
    words = [*SPECIAL, *(form for sign in SIGNS for form in (sign, f"##{sign}"))]
    config = {
        "vocab_size": len(words),
        "hidden_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": WIDTH,
        "max_position_embeddings": LONGEST,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(words)))
    shapes = {
        "embeddings.word_embeddings.weight": [len(words), WIDTH],
        "embeddings.position_embeddings.weight": [LONGEST, WIDTH],
        "embeddings.token_type_embeddings.weight": [2, WIDTH],
        **_affine("embeddings.LayerNorm", [WIDTH]),
    }
    layer = "encoder.layer.0."
    for name in ("self.query", "self.key", "self.value", "output.dense"):
        shapes |= _affine(f"{layer}attention.{name}", [WIDTH, WIDTH])
    for name in ("intermediate.dense", "output.dense"):
        shapes |= _affine(layer + name, [WIDTH, WIDTH])
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        shapes |= _affine(layer + name, [WIDTH])
    (folder / "model.safetensors").write_bytes(_safetensors(shapes))
    (folder / "dense.safetensors").write_bytes(_safetensors(_affine("linear", [WIDTH, WIDTH])))


def _affine(name: str, shape: list[int]) -> dict[str, list[int]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _tokenizer(words: list[str]) -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {word: index for index, word in enumerate(words)},
        },
    }


def _safetensors(shapes: dict[str, list[int]]) -> bytes:
    """Make a file of random tensors: the length of a header of JSON, the header, the numbers."""
    numbers, random_ = array("f"), random.Random(1)
    header: dict[str, Any] = {}
    for name, shape in shapes.items():
        begin = 4 * len(numbers)
        numbers.extend(random_.uniform(-1.0, 1.0) for _ in range(prod(shape)))
        offsets = [begin, 4 * len(numbers)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers.tobytes()
