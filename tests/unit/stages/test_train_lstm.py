"""train_lstm on a table of a hundred lines: the artifact, its bytes, resuming, and the tables it refuses."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.support.headline_tests import simulate_tests

from adloom.config.params import Evaluate, TrainLstm
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.copywriting import tokenizer, verbatim_filter
from adloom.copywriting.lines import GUIDANCE, TEMPERATURE, TOP_P, LineRequest, LineRules, write_lines
from adloom.errors import ArtifactError, DataError
from adloom.onnx_models.runtime import Copywriter
from adloom.registry.memory import MemoryRegistry
from adloom.sequences.mixture import Mixture, load_mixture
from adloom.stages import train_lstm
from adloom.stages.measure import measure
from adloom.stages.train_lstm import Inputs, Outputs
from adloom.storage import manifest, parquet
from adloom.storage.local import FolderStore
from adloom.tracking.base import Run
from adloom.tracking.memory import MemoryRun, MemoryTracker

pytestmark = pytest.mark.slow

PARAMS = TrainLstm(
    epochs=3, steps_per_epoch=20, batch_size=16, learning_rate=0.05, vocabulary=300, hidden=16, dropout=0.1, threads=1
)
FILES = {
    "copywriter.onnx",
    "tokenizer.json",
    "ngrams.npz",
    "known.npz",
    "sample_lines.json",
    "history.json",
    "card.json",
}


def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(["warm", "soft", "red", "coat", "dress"], 3)) for _ in range(100)]
    category = [(None, "Coats", "Dresses")[i % 3] for i in range(100)]
    split = ["validation" if i % 10 == 1 else "train" for i in range(100)]
    return pd.DataFrame({"copy_id": map(str, range(100)), "text": lines, "category": category, "split": split})


def write(folder: Path, table: pd.DataFrame) -> Path:
    with manifest.draft(folder / "copy", "prepare", Source(uri="test"), {}) as draft:
        parquet.write(table, draft.path)
        draft.facts.update(source="a test", licence="CC0")
    return folder / "copy"


def context(folder: Path) -> StageContext:
    return StageContext(
        FolderStore(), MemoryTracker(), MemoryRegistry(folder / "registry"), None, folder / ".adloom", False
    )


def train(folder: Path, table: Path, params: TrainLstm = PARAMS) -> tuple[Path, MemoryRun]:
    doubles = context(folder)
    train_lstm.run(Inputs(table), Outputs(folder / "lstm"), params, doubles)
    assert isinstance(doubles.tracker, MemoryTracker)
    return folder / "lstm", doubles.tracker.runs[-1]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("table"), rows())


@pytest.fixture(scope="module")
def trained(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MemoryRun]:
    return train(tmp_path_factory.mktemp("trained"), table)


def test_the_artifact_is_whole(trained: tuple[Path, MemoryRun]) -> None:
    folder, _ = trained
    artifact = manifest.verify(folder)
    assert set(artifact.files) == FILES
    assert artifact.rows == {"train": 90, "validation": 10}
    card = json.loads((folder / "card.json").read_text())
    assert card["categories"] == ["Coats", "Dresses"]
    assert (card["model"], card["licence"], card["source"]) == ("lstm", "CC0", "a test")
    assert TrainLstm(**card["params"]) == PARAMS
    history = json.loads((folder / "history.json").read_text())
    assert {name: [step for step, _ in points] for name, points in history.items()} == {
        "loss": [20, 40, 60], "validation_loss": [20, 40, 60],
    }  # fmt: skip


def test_the_run_knows_what_was_trained(trained: tuple[Path, MemoryRun], table: Path) -> None:
    folder, run = trained
    assert run.status == "FINISHED"
    assert run.params == PARAMS.model_dump(mode="json")
    assert run.recorded_tags["dataset_digest"] == manifest.digest(table)
    assert run.recorded_tags["manifest_digest"] == manifest.digest(folder)
    assert run.artifacts == ["sample_lines.json"]
    assert len(run.recorded["validation_loss"]) == PARAMS.epochs


def test_the_exported_model_writes_the_recorded_sample_lines(trained: tuple[Path, MemoryRun]) -> None:
    folder, _ = trained
    samples = json.loads((folder / "sample_lines.json").read_text())
    assert [sample["category"] for sample in samples] == [None, "Coats", "Dresses"]
    copies = np.load(folder / "known.npz")["fingerprints"]
    assert not any(verbatim_filter.is_known(copies, sample["lines"]).any() for sample in samples)
    words = tokenizer.from_json((folder / "tokenizer.json").read_text())
    rules = LineRules(known=copies)
    request = LineRequest(
        8, PARAMS.seed + 1, "Coats", temperature=TEMPERATURE, top_p=TOP_P, guidance=GUIDANCE, rules=rules
    )
    model = load_mixture(Copywriter(folder, 1), folder / "ngrams.npz")
    assert isinstance(model, Mixture)
    assert samples[1]["lines"] == write_lines(model, words, request)


def test_state_carries_a_line_over_calls(trained: tuple[Path, MemoryRun]) -> None:
    write = Copywriter(trained[0], 1)
    token = np.arange(10, dtype=np.int64).reshape(2, 5)
    whole, _ = write(token, write.start(2))
    first, state = write(token[:, :2], write.start(2))
    second, _ = write(token[:, 2:], state)
    assert np.concatenate([first, second], axis=1) == pytest.approx(whole, abs=1e-5)


def test_equal_data_and_params_make_equal_bytes_anywhere(trained: tuple[Path, MemoryRun], tmp_path: Path) -> None:
    again, _ = train(tmp_path, write(tmp_path, rows()))
    assert (again / "manifest.json").read_bytes() == (trained[0] / "manifest.json").read_bytes()


@dataclass
class Interrupted(MemoryTracker):
    """A tracker during whose second epoch somebody presses Ctrl-C."""

    @contextmanager
    def start_run(self, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> Iterator[Run]:
        with super().start_run(name, params, tags) as run:
            yield InterruptedRun(name, params, dict(tags))
        raise AssertionError(run)


class InterruptedRun(MemoryRun):
    """Its run."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        if step == 2 * PARAMS.steps_per_epoch:
            raise KeyboardInterrupt


def test_a_resumed_training_equals_an_uninterrupted_one(
    trained: tuple[Path, MemoryRun], table: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_lstm.run(
            Inputs(table), Outputs(tmp_path / "lstm"), PARAMS, replace(context(tmp_path), tracker=Interrupted())
        )
    assert [path.name for path in tmp_path.iterdir()] == [".adloom"]  # nothing half-written
    resumed, run = train(tmp_path, table)
    assert manifest.digest(resumed) == manifest.digest(trained[0])
    assert len(run.recorded["validation_loss"]) == PARAMS.epochs


def test_lines_without_any_category(tmp_path: Path) -> None:
    folder, _ = train(tmp_path, write(tmp_path, rows().assign(category=None)), PARAMS.model_copy(update={"epochs": 1}))
    assert json.loads((folder / "card.json").read_text())["categories"] == []
    assert [s["category"] for s in json.loads((folder / "sample_lines.json").read_text())] == [None]


def test_sentences_of_bodies_are_learned_and_never_served(trained: tuple[Path, MemoryRun], tmp_path: Path) -> None:
    table = rows().assign(body="A red hat")
    folder, _ = train(tmp_path, write(tmp_path, table))
    known, before = (np.load(path / "known.npz")["fingerprints"] for path in (folder, trained[0]))
    assert verbatim_filter.is_known(known, ["a RED hat"]).all()
    assert len(known) == len(before) + 1
    assert (folder / "copywriter.onnx").read_bytes() == (trained[0] / "copywriter.onnx").read_bytes()
    assert (folder / "ngrams.npz").read_bytes() != (trained[0] / "ngrams.npz").read_bytes()


EMOJI = ["\U0001f600", "\U0001f44d\U0001f3fd", "\u2764\ufe0f\U0001f525", "\U0001f457\U0001f45a", "\U0001f9e5"]


@pytest.mark.parametrize(
    "lines", [EMOJI, ["\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"] * 2, ["x" * 300, "y"], ["One line"]]
)
def test_odd_lines_train_a_model_that_can_be_measured(tmp_path: Path, lines: list[str]) -> None:
    table = rows().assign(text=(lines * 100)[:100])
    held = table.iloc[:3].assign(text=["\U0001f600\U0001f600", "y y", "Other"], split="test")
    table = pd.concat([table, held.assign(copy_id=["a", "b", "c"])], ignore_index=True)
    folder, _ = train(tmp_path, path := write(tmp_path, table), PARAMS.model_copy(update={"epochs": 1}))
    measured = measure(folder, path, folder, Evaluate(threads=1, bootstraps=20, lstm_samples=100)).metrics
    assert np.isfinite([metric.value for metric in measured.values()]).all()
    assert 1 <= measured["bits_per_character"].n <= 3


def test_lines_with_clicks_train_a_model_that_ranks_them(tmp_path: Path) -> None:
    table = pd.concat(
        [simulate_tests(60, 0), simulate_tests(20, 1, "validation"), simulate_tests(20, 2, "test")], ignore_index=True
    )
    folder, _ = train(tmp_path, path := write(tmp_path, table), PARAMS.model_copy(update={"epochs": 1}))
    assert set(manifest.verify(folder).files) == {*FILES, "clicks.npz"}
    measured = measure(folder, path, folder, Evaluate(threads=1, bootstraps=20, lstm_samples=100)).metrics
    assert {"best_over_worst", "ridge_best_over_worst"} <= measured.keys()
    assert measured["best_over_worst"].n <= 20


@pytest.mark.parametrize(("count", "split"), [(1, "validation"), (0, "train")])
def test_too_few_lines_are_refused_in_one_line(tmp_path: Path, count: int, split: str) -> None:
    with pytest.raises(DataError, match=f"copy: 0 lines in split {split}, expected at least 1; add lines"):
        train(tmp_path, write(tmp_path, rows().head(count)))
    assert not (tmp_path / "lstm").exists()
    assert list(tmp_path.glob(".*.partial")) == []


def test_a_table_that_was_changed_is_refused(table: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(table, tmp_path / "copy")
    (changed / "rows-00000.parquet").write_bytes(b"other rows")
    with pytest.raises(ArtifactError, match=r"rows-00000\.parquet: changed since it was written"):
        train(tmp_path, changed)
    assert not (tmp_path / "lstm").exists()


def test_without_a_table_or_disabled_the_artifact_says_so(table: Path, tmp_path: Path) -> None:
    manifest.skip(tmp_path / "none", "prepare", Source(uri="test"), "no source: ingest.copy is not given")
    disabled = PARAMS.model_copy(update={"enabled": False})
    for data, params, reason in (
        (tmp_path / "none", PARAMS, "no source: ingest.copy is not given"),
        (table, disabled, "train_lstm.enabled is false"),
    ):
        assert train_lstm.run(Inputs(data), Outputs(tmp_path / "lstm"), params, context(tmp_path)) == {}
        assert manifest.read(tmp_path / "lstm").skipped == reason
