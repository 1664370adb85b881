"""Sentences become vectors as PyTorch's encoder layers compute them, each independent of the others."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.support.tiny_encoder import HIDDEN, LAYERS, POSITIONS, WIDTH, write_encoder
from torch import Tensor, nn

from adloom.arrays import Float32Array
from adloom.copywriting.sentence_encoder import HEAD_WIDTH, SentenceEncoder

SENTENCES = ["Soft wool coat", "red bag", "🎉 new!", "", "wool " * 500]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SentenceEncoder:
    return SentenceEncoder.load(folder)


def build_layer(weights: dict[str, Tensor], name: str) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(WIDTH, WIDTH // HEAD_WIDTH, HIDDEN, 0.0, "gelu", 1e-12, batch_first=True)
    own = {
        "self_attn.out_proj": "attention.output.dense",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm1": "attention.output.LayerNorm",
        "norm2": "output.LayerNorm",
    }
    state = {f"{ours}.{kind}": weights[f"{name}.{theirs}.{kind}"]
             for ours, theirs in own.items() for kind in ("weight", "bias")}  # fmt: skip
    for kind in ("weight", "bias"):
        parts = [weights[f"{name}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        state[f"self_attn.in_proj_{kind}"] = torch.cat(parts)
    layer.load_state_dict(state)
    return layer.eval()


def encode_with_torch(folder: Path, tokens: list[int]) -> Float32Array:
    weights = load_file(folder / "model.safetensors")
    x = weights["embeddings.word_embeddings.weight"][tokens] + weights["embeddings.token_type_embeddings.weight"][0]
    x = x + weights["embeddings.position_embeddings.weight"][: len(tokens)]
    weight, bias = (weights[f"embeddings.LayerNorm.{kind}"] for kind in ("weight", "bias"))
    x = nn.functional.layer_norm(x, (WIDTH,), weight, bias, 1e-12)[None]
    with torch.no_grad():
        for number in range(LAYERS):
            x = build_layer(weights, f"encoder.layer.{number}")(x)
    return np.asarray(nn.functional.normalize(x[0].mean(0), dim=0).numpy())


def test_it_computes_what_pytorch_computes(folder: Path, encoder: SentenceEncoder) -> None:
    """[CLS] soft wool coat [SEP], without the padding that the tokenizer's file asks for."""
    (embedding,) = encoder.encode(["Soft wool coat"])
    np.testing.assert_allclose(embedding, encode_with_torch(folder, [2, 4, 5, 6, 3]), atol=2e-6)


def test_a_sentence_has_the_same_bytes_alone_and_among_others(encoder: SentenceEncoder) -> None:
    together = encoder.encode(SENTENCES)
    np.testing.assert_array_equal(together, np.concatenate([encoder.encode([each]) for each in SENTENCES]))
    np.testing.assert_array_equal(together, encoder.encode(SENTENCES[::-1])[::-1])
    np.testing.assert_allclose((together**2).sum(1), 1, rtol=1e-5)


def test_a_long_sentence_is_cut_and_none_is_an_empty_table(encoder: SentenceEncoder) -> None:
    one, other = encoder.encode(["wool " * POSITIONS, "wool " * 3000])
    np.testing.assert_array_equal(one, other)
    assert encoder.encode([]).shape == (0, WIDTH)


def test_a_sentence_that_spells_a_special_token_is_text(encoder: SentenceEncoder) -> None:
    plain, spelled = encoder.encode(["wool", "wool [SEP]"])
    assert encoder.tokenizer.encode("[SEP]").ids[1:-1] != [3]
    assert (plain != spelled).any()
