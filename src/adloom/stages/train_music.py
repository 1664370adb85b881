"""
Train the composer: notes of data/dataset/tunes as tokens and an LSTM that continues them.

The artifact models/music holds composer.onnx, vocabulary.json, known.npz (fingerprints of the training tunes' runs, so
that no melody repeats one), history.json and card.json.

Example: adloom train-music
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adloom.config.params import TrainMusic
from adloom.context import StageContext
from adloom.errors import DataError
from adloom.storage import manifest

if TYPE_CHECKING:
    from adloom.music.tune import Tune
    from adloom.music.vocabulary import NoteVocabulary
    from adloom.sequences.batches import TokenDataset
    from adloom.training.session import History, TrainingSession

STAGE = "train_music"


@dataclass(frozen=True)
class Inputs:
    """The prepared table of tunes."""

    tunes: Path = Path("data/dataset/tunes")


@dataclass(frozen=True)
class Outputs:
    """The composer."""

    music: Path = Path("models/music")


def run(inputs: Inputs, outputs: Outputs, params: TrainMusic, context: StageContext) -> Mapping[str, float]:
    """
    Train on split train, stop by split validation.

    Raises DataError when there are too few tunes, AdloomError when the ONNX model differs from torch.
    """
    if manifest.propagate_skip(outputs.music, STAGE, params, inputs.tunes):
        return {}
    from adloom.training.session import open_session

    with open_session(STAGE, inputs.tunes, outputs.music, params, context) as session:
        history = _train(_read(inputs.tunes, "train"), _read(inputs.tunes, "validation"), params, session)
    return {name: values[-1][1] for name, values in history.items()}


def _read(table: Path, split: str) -> "list[Tune]":
    from adloom.music.abc_notation import parse_abc
    from adloom.storage import parquet

    tunes = [parse_abc(notation) for notation in parquet.read(table, split)["notation"]]
    if not tunes:
        raise DataError(
            f"tunes: 0 tunes in split {split}, expected at least 1; add tunes to ingest.tunes or leave it out"
        )
    return tunes


def _train(train: "list[Tune]", validation: "list[Tune]", params: TrainMusic, session: "TrainingSession") -> "History":
    import torch

    from adloom.music import runs, vocabulary
    from adloom.sequences.module import SequenceModule
    from adloom.stages import sequence_export
    from adloom.storage import npz
    from adloom.training import loop

    notes = vocabulary.fit(train)
    module, history = loop.fit(
        lambda: SequenceModule(notes.size, notes.begin, params, torch.tensor(notes.parts)),
        _tokenise(train, notes),
        params,
        session,
        validation=_tokenise(validation, notes),
        patience=params.patience,
    )
    folder = session.draft.path
    sequence_export.export_onnx(module.net, folder / "composer.onnx")
    (folder / "vocabulary.json").write_text(notes.to_json(), encoding="utf-8")
    npz.save(folder / "known.npz", runs=runs.collect_runs([tune.notes for tune in train]))
    session.draft.rows.update(train=len(train), validation=len(validation))
    session.describe({"model": "music", "categories": list(notes.styles)}, history, params)
    return history


def _tokenise(tunes: "list[Tune]", notes: "NoteVocabulary") -> "TokenDataset":
    from adloom.sequences.batches import TokenDataset

    tokens = notes.encode(tunes)
    return TokenDataset(tokens, [len(sequence) - 1 for sequence in tokens])
