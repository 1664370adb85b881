"""train_music on sixty small tunes: the artifact, its bytes, and the tables it refuses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.support.interrupted_training import interrupt
from tests.support.toy_tunes import tune_rows

from adloom.config.params import TrainMusic
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.errors import DataError
from adloom.music import vocabulary
from adloom.music.abc_notation import parse_abc
from adloom.music.composing import MelodyRequest, compose
from adloom.music.runs import collect_runs, has_known_run
from adloom.music.tune import Key
from adloom.onnx_models.runtime import Composer
from adloom.registry.memory import MemoryRegistry
from adloom.sequences.module import SequenceModule
from adloom.stages import train_music
from adloom.stages.train_music import Inputs, Outputs
from adloom.storage import manifest, parquet
from adloom.storage.local import FolderStore
from adloom.tracking.memory import MemoryTracker

pytestmark = pytest.mark.slow

PARAMS = TrainMusic(epochs=2, steps_per_epoch=20, batch_size=8, learning_rate=0.03, hidden=16, threads=1)
FILES = {"composer.onnx", "vocabulary.json", "known.npz", "history.json", "card.json"}


def train(folder: Path, rows: pd.DataFrame, params: TrainMusic = PARAMS) -> Path:
    with manifest.draft(folder / "tunes", "prepare", Source(uri="test"), {}) as draft:
        parquet.write(rows, draft.path)
        draft.facts.update(source="a test", licence="public domain")
    registry = MemoryRegistry(folder / "registry")
    context = StageContext(FolderStore(), MemoryTracker(), registry, None, folder / ".adloom", False)
    train_music.run(Inputs(folder / "tunes"), Outputs(folder / "music"), params, context)
    return folder / "music"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("trained"), tune_rows())


def test_the_artifact_is_whole_and_its_bytes_repeat(trained: Path, tmp_path: Path) -> None:
    artifact = manifest.verify(trained)
    assert set(artifact.files) == FILES
    assert artifact.rows == {"train": 48, "validation": 6}
    card = json.loads((trained / "card.json").read_text())
    assert (card["model"], card["licence"], card["categories"]) == ("music", "public domain", ["2/4 major"])
    assert manifest.digest(train(tmp_path, tune_rows())) == manifest.digest(trained)


def test_a_resumed_training_equals_an_uninterrupted_one(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, SequenceModule, (1, 2), lambda: train(tmp_path, tune_rows()))
    assert not (tmp_path / "music").exists()
    assert manifest.digest(train(tmp_path, tune_rows())) == manifest.digest(trained)


def test_it_learns_and_its_melodies_are_new(trained: Path) -> None:
    history = json.loads((trained / "history.json").read_text())
    notes = vocabulary.from_json((trained / "vocabulary.json").read_text())
    assert history["validation_loss"][-1][1] < 3.2  # the notes are drawn from eight: 3 bits
    known = np.load(trained / "known.npz")["runs"]
    rows = tune_rows()
    tunes = [parse_abc(text) for text in rows.loc[rows["split"] == "train", "notation"]]
    assert known.tolist() == collect_runs([tune.notes for tune in tunes]).tolist()
    melody = compose(Composer(trained, 1), notes, MelodyRequest(8, 3, Key(2, "major")), known)
    assert [sum(note.ticks for note in bar) for bar in melody.bars] == [960] * 8
    assert not has_known_run(melody.notes, known)


def test_no_validation_tune_is_an_error_and_a_skip_is_passed_on(tmp_path: Path) -> None:
    rows = tune_rows()
    with pytest.raises(DataError, match="tunes: 0 tunes in split validation, expected at least 1"):
        train(tmp_path, rows[rows["split"] == "train"])
    disabled = PARAMS.model_copy(update={"enabled": False})
    assert manifest.read(train(tmp_path / "off", rows, disabled)).skipped == "train_music.enabled is false"
