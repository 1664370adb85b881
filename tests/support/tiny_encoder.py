"""A sentence encoder of two layers with random weights, as published and as files that the catalogue's pins accept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from adloom.catalogue import entries, networks
from adloom.storage.base import SourceFile
from adloom.storage.manifest import sha256

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "soft", "wool", "coat", "red", "bag", "new")
WIDTH, HIDDEN, LAYERS, POSITIONS = 64, 96, 2, 128


def write_encoder(folder: Path) -> Path:
    """Write the weights and the tokenizer, and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (len(WORDS), WIDTH),
        "embeddings.position_embeddings.weight": (POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        **_norm("embeddings"),
    }
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _dense(f"{layer}.attention.{part}", WIDTH, WIDTH)
        shapes |= _dense(f"{layer}.intermediate.dense", HIDDEN, WIDTH) | _dense(f"{layer}.output.dense", WIDTH, HIDDEN)
        shapes |= _norm(f"{layer}.attention.output") | _norm(f"{layer}.output")
    weights = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(weights, folder / "model.safetensors")
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens([*WORDS[:4]])
    tokenizer.enable_padding(length=POSITIONS)  # as published
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def pin_encoder(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write the encoder, and let the catalogue expect it."""
    write_encoder(folder)
    names = [file.path for file in networks.MINILM.files]
    files = tuple(SourceFile(name, (folder / name).stat().st_size, f"sha256:{sha256(folder / name)}") for name in names)
    entry = replace(networks.MINILM, files=files)
    patch.setattr(entries, "ENTRIES", {**entries.ENTRIES, "all-minilm-l6-v2": entry})
    return folder


def _dense(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.LayerNorm.{part}": (WIDTH,) for part in ("weight", "bias")}
