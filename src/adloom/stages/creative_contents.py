"""What is known of creatives: their categories, pictures and texts, from the tables of creatives and of copy."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adloom.config.audience import TrainPolicy
from adloom.context import StageContext
from adloom.storage import manifest

if TYPE_CHECKING:
    import pandas as pd

    from adloom.arrays import Float32Array
    from adloom.policy.content_model import Contents
    from adloom.policy.models import Categories

KEYS = {"creatives": "creative_id", "copy": "copy_id"}  # the columns that impressions name as creative_id
MIN_TEXTS = 20  # distinct ones in the log; with fewer, sentences tell little more than words


def read_contents(
    creatives: Path, copy: Path, cnn: Path, logged: Collection[str], params: TrainPolicy, context: StageContext
) -> "tuple[Categories, Contents | None]":
    """
    Return the categories and contents of creatives; none if both tables lack the log's creatives.

    A table counts if it has some of them. Where both have one, the table of creatives comes first.
    """
    from adloom.policy.content_model import Contents, join_features
    from adloom.policy.models import Categories

    tables = (_read_table(creatives, KEYS["creatives"]), _read_table(copy, KEYS["copy"]))
    joined = [rows for rows in tables if rows.index.isin(list(logged)).any()]
    if not joined:
        return Categories(), None
    rows = joined[0].combine_first(joined[-1])
    category_of = {str(creative): str(category) for creative, category in rows["category"].dropna().items()}
    categories = Categories(tuple(sorted(set(category_of.values()))), category_of)
    texts = rows["text"].fillna("")
    pictures = _embed_pictures(creatives, cnn, rows.index, params.threads)
    if not pictures.size and not texts.str.strip().any():
        return categories, None
    sentences, encoder = _embed_sentences(texts, logged, params, context)
    features = join_features(pictures, texts.tolist(), sentences)
    reader = manifest.digest(cnn) if pictures.size else None
    return categories, Contents(
        rows.index.to_numpy(str), rows["category"].fillna("").to_numpy(str), features, reader, encoder
    )


def _read_table(folder: Path, key: str) -> "pd.DataFrame":
    """Return the category and the text by creative; no rows if the table is skipped."""
    import pandas as pd

    from adloom.storage import parquet

    columns = ["category", "text"]
    if manifest.skip_reason(folder):
        return pd.DataFrame(columns=columns, dtype="str")
    present = [name for name in parquet.list_columns(folder) if name in (key, *columns)]
    return parquet.read(folder, columns=present).set_index(key).reindex(columns=columns).astype("str")


def _embed_pictures(creatives: Path, cnn: Path, ids: "pd.Index[str]", threads: int) -> "Float32Array":
    """
    Return the reader's embeddings of pictures (ids, n), NaN without a picture.

    n is 0 without a reader, and if no creative has a picture.
    """
    import pandas as pd

    from adloom.creatives.inference import read_pictures
    from adloom.onnx_models.runtime import Reader
    from adloom.stages.creative_rows import open_creatives

    nothing = np.zeros((len(ids), 0), np.float32)
    if manifest.skip_reason(creatives, cnn):
        return nothing
    table = open_creatives(creatives)
    if not table.rows["creative_id"].isin(ids).any():
        return nothing
    with np.load(cnn / "known.npz", allow_pickle=False) as known:
        read = pd.DataFrame(known["embedding"].astype(np.float32), known["creative_id"])
    unread = np.flatnonzero(~table.rows["creative_id"].isin(read.index))
    if len(unread):
        _, embedding = read_pictures(Reader(cnn, threads), table.decode_batches(unread))
        read = pd.concat([read, pd.DataFrame(embedding, table.rows["creative_id"].iloc[unread])])
    return read.reindex(ids).to_numpy(np.float32)


def _embed_sentences(
    texts: "pd.Series[str]", logged: Collection[str], params: TrainPolicy, context: StageContext
) -> "tuple[list[Float32Array | None], str | None]":
    """Return the embeddings of texts and their encoder's digest; none without an encoder or with few logged texts."""
    from adloom.stages.text_embeddings import embed_texts

    in_log = texts[texts.index.isin(list(logged))].str.strip()
    if params.text_encoder is None or in_log[in_log != ""].nunique() < MIN_TEXTS:
        return [], None
    return embed_texts(texts.tolist(), params.text_encoder, context)
