"""Texts are encoded once; blank ones are unknown."""

from pathlib import Path

import numpy as np
import pytest
from tests.support.tiny_encoder import pin_encoder

from adloom.context import StageContext
from adloom.copywriting.sentence_encoder import SentenceEncoder
from adloom.errors import DataError
from adloom.stages.text_embeddings import embed_texts
from adloom.storage.manifest import sha256


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return pin_encoder(tmp_path / "encoder", monkeypatch)


def test_texts_have_the_embeddings_of_their_sentences(encoder: Path, context: StageContext) -> None:
    (coat, none, again, bag), digest = embed_texts(["soft coat", " ", "soft coat", "🎉 bag"], str(encoder), context)
    expected = SentenceEncoder.load(encoder).encode(["soft coat", "🎉 bag"])
    assert coat is not None
    assert again is not None
    assert bag is not None
    assert none is None
    np.testing.assert_allclose(np.array([coat, bag]), expected, atol=6e-5)
    np.testing.assert_array_equal(coat, again)
    assert digest == sha256(encoder / "model.safetensors")


def test_a_text_is_encoded_once(encoder: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,), _ = embed_texts(["soft coat"], str(encoder), context)
    monkeypatch.setattr(SentenceEncoder, "load", lambda folder: pytest.fail("the text is known"))
    (second,), _ = embed_texts(["soft coat"], str(encoder), context)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first, second)


def test_a_damaged_database_is_named(encoder: Path, context: StageContext) -> None:
    embed_texts(["soft coat"], str(encoder), context)
    (path,) = context.home.glob("text-embeddings-*.sqlite")
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(DataError, match=rf"{path.name}: file is not a database; delete it, and texts are encoded"):
        embed_texts(["soft coat"], str(encoder), context)
