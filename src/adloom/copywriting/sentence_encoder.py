"""
Embeddings of sentences by a BERT encoder with mean pooling, such as all-MiniLM-L6-v2 (Reimers and Gurevych 2019).

NumPy computes a sentence at a time, so that its bytes do not depend on the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from adloom.arrays import Float32Array

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TOKENS = 128  # of a sentence, as in the training of all-MiniLM-L6-v2; the rest is cut
HEAD_WIDTH = 32
EPSILON = np.float32(1e-12)  # of layer norms
WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"


@dataclass(frozen=True)
class SentenceEncoder:
    """The weights by their published names, and the tokenizer."""

    weights: Mapping[str, Float32Array]
    tokenizer: "Tokenizer"
    layers: int

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the published files."""
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        weights = load_file(folder / WEIGHTS)
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        tokenizer.encode_special_tokens = True  # a sentence that spells [SEP] stays text
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        layers = sum(name.endswith("intermediate.dense.weight") for name in weights)
        return cls(weights, tokenizer, layers)

    @property
    def width(self) -> int:
        """The length of an embedding."""
        return len(self.weights["embeddings.LayerNorm.bias"])

    def encode(self, sentences: Sequence[str]) -> Float32Array:
        """Return embeddings of unit length (sentences, width)."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, "blas"):
            rows = [self._encode(self.tokenizer.encode(sentence).ids) for sentence in sentences]
        return np.array(rows, np.float32).reshape(-1, self.width)

    def _encode(self, tokens: Sequence[int]) -> Float32Array:
        x = self.weights["embeddings.word_embeddings.weight"][list(tokens)]
        x = x + self.weights["embeddings.position_embeddings.weight"][: len(tokens)]
        x = self._normalise(x + self.weights["embeddings.token_type_embeddings.weight"][0], "embeddings")
        for number in range(self.layers):
            layer = f"encoder.layer.{number}"
            x = self._normalise(x + self._attend(x, f"{layer}.attention"), f"{layer}.attention.output")
            hidden = _gelu(self._project(x, f"{layer}.intermediate.dense"))
            x = self._normalise(x + self._project(hidden, f"{layer}.output.dense"), f"{layer}.output")
        mean: Float32Array = x.mean(0)
        return mean / np.linalg.norm(mean)

    def _attend(self, x: Float32Array, name: str) -> Float32Array:
        heads = (self._project(x, f"{name}.self.{part}") for part in ("query", "key", "value"))
        query, key, value = (head.reshape(len(x), -1, HEAD_WIDTH).swapaxes(0, 1) for head in heads)
        logits = query @ key.swapaxes(1, 2) / np.float32(HEAD_WIDTH**0.5)  # (heads, tokens, tokens)
        odds = np.exp(logits - logits.max(2, keepdims=True))
        mixed = odds / odds.sum(2, keepdims=True) @ value
        return self._project(mixed.swapaxes(0, 1).reshape(x.shape), f"{name}.output.dense")

    def _project(self, x: Float32Array, name: str) -> Float32Array:
        projected: Float32Array = x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return projected

    def _normalise(self, x: Float32Array, name: str) -> Float32Array:
        centred = x - x.mean(1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + EPSILON)
        normalised: Float32Array = scaled * self.weights[f"{name}.LayerNorm.weight"]
        return normalised + self.weights[f"{name}.LayerNorm.bias"]


def _gelu(x: Float32Array) -> Float32Array:
    from scipy.special import erf

    activated: Float32Array = x * (1 + erf(x / np.float32(2**0.5))) / 2
    return activated
