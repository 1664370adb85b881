"""
Train the copywriter: byte-pair tokens of data/dataset/copy, an LSTM that continues them, and n-grams it is mixed with.

The artifact models/lstm holds copywriter.onnx, tokenizer.json, ngrams.npz (the n-grams and the exponents of the
mixture), known.npz (fingerprints of the training lines and of sentences of their bodies, so that serving can reject
verbatim copies), sample_lines.json, history.json and card.json; for lines with clicks also clicks.npz, a model that
ranks lines. The n-grams learn from sentences of bodies too.

Example: adloom train-lstm
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adloom.config.params import TrainLstm
from adloom.context import StageContext
from adloom.errors import DataError
from adloom.storage import manifest

if TYPE_CHECKING:
    import pandas as pd

    from adloom.copywriting.tokenizer import Tokenizer
    from adloom.onnx_models.runtime import LstmState
    from adloom.sequences.batches import TokenDataset
    from adloom.sequences.mixture import Mixture
    from adloom.training.session import History, TrainingSession

STAGE = "train_lstm"
SAMPLES = 8  # lines shown for each category


@dataclass(frozen=True)
class Inputs:
    """The prepared table of lines."""

    copy: Path = Path("data/dataset/copy")


@dataclass(frozen=True)
class Outputs:
    """The copywriter."""

    lstm: Path = Path("models/lstm")


def run(inputs: Inputs, outputs: Outputs, params: TrainLstm, context: StageContext) -> Mapping[str, float]:
    """
    Train on split train, stop by split validation.

    Raises DataError when there are too few lines, AdloomError when the ONNX model differs from torch.
    """
    if manifest.propagate_skip(outputs.lstm, STAGE, params, inputs.copy):
        return {}
    from adloom.storage import parquet
    from adloom.training.session import open_session

    with open_session(STAGE, inputs.copy, outputs.lstm, params, context) as session:
        train, validation = (
            _require_lines(parquet.read(inputs.copy, split), split) for split in ("train", "validation")
        )
        history = _train(train, validation, params, session)
    return {name: values[-1][1] for name, values in history.items()}


def _train(
    train: "pd.DataFrame", validation: "pd.DataFrame", params: TrainLstm, session: "TrainingSession"
) -> "History":
    from adloom.copywriting import click_model, tokenizer, verbatim_filter
    from adloom.copywriting.sentences import list_sentences
    from adloom.sequences.module import SequenceModule
    from adloom.stages import sequence_export
    from adloom.storage import npz
    from adloom.training import loop

    words = tokenizer.fit(train["text"].drop_duplicates(), train["category"].dropna(), params.vocabulary)
    module, history = loop.fit(
        lambda: SequenceModule(words.size, words.begin, params),
        _tokenise(train, words),
        params,
        session,
        validation=_tokenise(validation, words),
        patience=params.patience,
    )
    folder = session.draft.path
    sequence_export.export_onnx(module.net, folder / "copywriter.onnx")
    (folder / "tokenizer.json").write_text(words.to_json(), encoding="utf-8")
    sentences = list_sentences(train)
    npz.save(folder / "known.npz", fingerprints=verbatim_filter.fingerprint_lines([*train["text"], *sentences]))
    mixture = _mix(folder, words, train, sentences, validation, params)
    npz.save(folder / "ngrams.npz", **mixture.to_arrays())
    if clicks := click_model.fit(train, validation):
        npz.save(folder / "clicks.npz", **clicks.to_arrays())
    session.draft.write_json("sample_lines.json", _write_samples(folder, words, params))
    session.run.log_artifact(folder / "sample_lines.json")
    session.draft.rows.update(train=len(train), validation=len(validation))
    session.describe({"model": "lstm", "categories": words.categories}, history, params)
    return history


def _require_lines(rows: "pd.DataFrame", split: str) -> "pd.DataFrame":
    if rows.empty:
        raise DataError(
            f"copy: 0 lines in split {split}, expected at least 1; add lines to ingest.copy or leave it out"
        )
    return rows


def _list_distinct(rows: "pd.DataFrame") -> "tuple[list[str], list[str | None]]":
    """Return the distinct lines, each with the category of its first row: lines of several would be copied more."""
    distinct = rows.drop_duplicates("text")
    categories = distinct["category"].astype(object).where(distinct["category"].notna(), None)
    return distinct["text"].tolist(), categories.tolist()


def _tokenise(rows: "pd.DataFrame", words: "Tokenizer") -> "TokenDataset":
    from adloom.sequences.batches import TokenDataset

    texts, categories = _list_distinct(rows)
    tokens = [words.encode_line(text, category) for text, category in zip(texts, categories, strict=True)]
    return TokenDataset(tokens, [len(text) + 1 for text in texts])


def _mix(
    folder: Path,
    words: "Tokenizer",
    train: "pd.DataFrame",
    sentences: list[str],
    validation: "pd.DataFrame",
    params: TrainLstm,
) -> "Mixture[LstmState]":
    from adloom.copywriting.mixing import mix
    from adloom.onnx_models.runtime import Copywriter

    lines = train["text"].drop_duplicates().tolist()
    return mix(Copywriter(folder, params.threads), words, lines, *_list_distinct(validation), sentences)


def _write_samples(folder: Path, words: "Tokenizer", params: TrainLstm) -> list[dict[str, object]]:
    """Return lines of the exported model for each category and for none; no training lines."""
    import numpy as np

    from adloom.copywriting.lines import GUIDANCE, TEMPERATURE, TOP_P, LineRequest, LineRules, write_lines
    from adloom.onnx_models.runtime import Copywriter
    from adloom.sequences.mixture import load_mixture

    model = load_mixture(Copywriter(folder, params.threads), folder / "ngrams.npz")
    rules = LineRules(known=np.load(folder / "known.npz")["fingerprints"])
    names = enumerate((None, *words.categories))  # each has its own seed
    requests = [
        LineRequest(
            SAMPLES, params.seed + i, category, temperature=TEMPERATURE, top_p=TOP_P, guidance=GUIDANCE, rules=rules
        )
        for i, category in names
    ]
    return [{"category": r.category, "lines": write_lines(model, words, r)} for r in requests]
