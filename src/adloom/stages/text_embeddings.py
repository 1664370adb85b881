"""Embeddings of texts by the pretrained sentence encoder; each text is encoded once."""

import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing

import numpy as np

from adloom.arrays import Float32Array
from adloom.context import StageContext
from adloom.copywriting.sentence_encoder import WEIGHTS, SentenceEncoder
from adloom.errors import DataError
from adloom.stages.pretrained import fetch_encoder
from adloom.storage import manifest

DECIMALS = 4  # of an embedding, so that its bytes do not depend on the processor
DIGITS = 12  # of the encoder's digest in file names
TABLE = "CREATE TABLE IF NOT EXISTS embeddings (text TEXT PRIMARY KEY, embedding BLOB) WITHOUT ROWID"


def embed_texts(texts: Sequence[str], uri: str, context: StageContext) -> tuple[list[Float32Array | None], str]:
    """
    Return the embedding of each text, None for a blank one, and the digest of the encoder.

    Texts encoded before are read from a database below ADLOOM_HOME. Raises DataError when it is damaged.
    """
    folder = fetch_encoder(uri, context)
    digest = manifest.sha256(folder / WEIGHTS)
    path = context.home / f"text-embeddings-{digest[:DIGITS]}.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = sorted({text for text in texts if text.strip()})
    try:
        with closing(sqlite3.connect(path, timeout=60)) as database, database:
            database.execute(TABLE)
            known = _read(database, wanted)
            missing = [text for text in wanted if text not in known]
            if missing:
                encoded = SentenceEncoder.load(folder).encode(missing).round(DECIMALS)
                database.executemany(
                    "INSERT OR IGNORE INTO embeddings VALUES (?, ?)",
                    [(text, row.tobytes()) for text, row in zip(missing, encoded, strict=True)],
                )
                known |= zip(missing, encoded, strict=True)
    except sqlite3.DatabaseError as error:
        raise DataError(f"{path}: {error}; delete it, and texts are encoded again") from None
    return [known.get(text) for text in texts], digest


def _read(database: sqlite3.Connection, texts: Collection[str]) -> dict[str, Float32Array]:
    query = "SELECT embedding FROM embeddings WHERE text = ?"
    rows = ((text, database.execute(query, [text]).fetchone()) for text in texts)
    return {text: np.frombuffer(row[0], np.float32) for text, row in rows if row}
