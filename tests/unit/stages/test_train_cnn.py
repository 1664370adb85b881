"""train_cnn on sixty painted pictures: the artifact, its bytes, resuming, and the tables it does not take."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.support import painted_pictures
from tests.support.interrupted_training import interrupt

from adloom.arrays import UInt8Array
from adloom.config.params import Evaluate, TrainCnn
from adloom.creatives.cnn_module import ReaderModule
from adloom.creatives.pictures import decode_pngs, encode_pngs, to_floats
from adloom.creatives.whitening import fit_whitening
from adloom.errors import ArtifactError, DataError
from adloom.onnx_models.runtime import Reader
from adloom.serving.models.card import ModelCard
from adloom.serving.models.loader import open_reader
from adloom.stages import train_cnn
from adloom.stages.measure import measure
from adloom.stages.train_cnn import Inputs, Outputs
from adloom.storage import manifest, parquet
from adloom.tracking.memory import MemoryRun, MemoryTracker

PARAMS = TrainCnn(
    epochs=3,
    steps_per_epoch=4,
    batch_size=16,
    learning_rate=0.02,
    width=8,
    embedding=6,
    threads=1,
    weight_decay=0.0,
    backbone="scratch",
)


def train(folder: Path, table: Path, params: TrainCnn = PARAMS) -> tuple[Path, MemoryRun]:
    doubles = painted_pictures.context(folder)
    train_cnn.run(Inputs(table), Outputs(folder / "cnn"), params, doubles)
    assert isinstance(doubles.tracker, MemoryTracker)
    return folder / "cnn", doubles.tracker.runs[-1]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted_pictures.write(tmp_path_factory.mktemp("table"), painted_pictures.rows())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, table: Path) -> tuple[Path, MemoryRun]:
    return train(tmp_path_factory.mktemp("trained"), table)


def test_the_artifact_holds_a_reader_that_has_learned(trained: tuple[Path, MemoryRun], table: Path) -> None:
    folder, _ = trained
    assert set(manifest.verify(folder).files) == {
        "reader.onnx", "known.npz", "fingerprint.npz", "history.json", "card.json",
    }  # fmt: skip
    rows = parquet.read(table, "test")
    reading = Reader(folder, threads=1)(to_floats(decode_pngs(rows["image"].tolist(), 1, 28, 28)))
    predicted = np.array(["squares", "stripes"])[reading.probabilities.argmax(1)]
    assert (predicted == rows["category"]).mean() >= 0.9
    assert np.linalg.norm(reading.embedding, axis=1) == pytest.approx(1)


def test_known_pictures_are_the_training_rows(trained: tuple[Path, MemoryRun], table: Path) -> None:
    folder, _ = trained
    rows = parquet.read(table, "train")
    with np.load(folder / "known.npz", allow_pickle=False) as known:
        assert known["creative_id"].tolist() == rows["creative_id"].tolist()
        assert known["category"].tolist() == rows["category"].tolist()
        assert known["embedding"].dtype == np.float16
        read = Reader(folder, threads=1)(to_floats(decode_pngs(rows["image"].tolist()[:3], 1, 28, 28)))
        assert known["embedding"][:3] == pytest.approx(read.embedding, abs=1e-3)
        fitted = fit_whitening(known["embedding"])
        assert (known["mean"] == fitted.mean).all()
        assert (known["whitening"] == fitted.matrix).all()


def test_the_card_names_categories_source_and_licence(trained: tuple[Path, MemoryRun]) -> None:
    folder, _ = trained
    assert json.loads((folder / "card.json").read_text()) == {
        "model": "cnn",
        "categories": ["squares", "stripes"],
        "attributes": {},
        "image": {"height": 28, "width": 28, "channels": 1},
        "licence": "CC0",
        "source": "a test",
        "backbone": "scratch",
        "rows": {"train": 36, "validation": 12},
        "params": PARAMS.model_dump(mode="json"),
    }


@pytest.mark.slow
def test_the_reader_learns_attributes_beside_the_category(tmp_path: Path) -> None:
    rows = painted_pictures.rows()
    pixels = decode_pngs(rows["image"].tolist(), 1, 28, 28)
    inverted = np.arange(60) % 3 == 0
    pixels[inverted] = 255 - pixels[inverted]
    tone = np.where(inverted, "inverted", "plain")
    table = painted_pictures.write(tmp_path, rows.assign(image=encode_pngs(pixels), attr_tone=tone))
    folder, _ = train(tmp_path, table, PARAMS.model_copy(update={"epochs": 6}))
    assert json.loads((folder / "card.json").read_text())["attributes"] == {"tone": ["inverted", "plain"]}
    test = np.flatnonzero(rows["split"] == "test")
    read = Reader(folder, threads=1).read_attributes(to_floats(pixels[test]))
    assert read.sum(1) == pytest.approx(1)
    assert (read.argmax(1) == np.where(inverted[test], 0, 1)).mean() >= 0.9


def test_the_run_is_tracked(trained: tuple[Path, MemoryRun], table: Path) -> None:
    folder, run = trained
    assert set(run.recorded) == {"loss", "accuracy", "validation_loss", "validation_accuracy"}
    assert [step for step, _ in run.recorded["loss"]] == [4, 8, 12]
    assert run.recorded_tags == {
        "dataset_digest": manifest.digest(table),
        "params_digest": PARAMS.digest(),
        "manifest_digest": manifest.digest(folder),
    }


@pytest.mark.slow
def test_interrupted_and_resumed_elsewhere_the_bytes_are_the_same(
    trained: tuple[Path, MemoryRun], table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, ReaderModule, (1, 2), lambda: train(tmp_path, table))
    assert not (tmp_path / "cnn").exists()
    assert not (tmp_path / ".cnn.partial").exists()
    folder, run = train(tmp_path, table)
    assert manifest.digest(folder) == manifest.digest(trained[0])
    assert run.recorded == trained[1].recorded


def test_one_category_is_skipped_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "cnn"
    table = painted_pictures.write(tmp_path, painted_pictures.rows(("squares",)))
    assert train_cnn.run(Inputs(table), Outputs(folder), PARAMS, painted_pictures.context(tmp_path)) == {}
    assert manifest.skip_reason(folder) == "one category only (squares); a reader needs at least two to tell apart"


def test_a_skipped_table_and_a_disabled_stage_give_a_skipped_artifact(tmp_path: Path, table: Path) -> None:
    manifest.skip(tmp_path / "creatives", "prepare", PARAMS, "no source")
    doubles, folder = painted_pictures.context(tmp_path), tmp_path / "cnn"
    train_cnn.run(Inputs(tmp_path / "creatives"), Outputs(folder), PARAMS, doubles)
    assert manifest.skip_reason(folder) == "no source"
    off = PARAMS.model_copy(update={"enabled": False})
    train_cnn.run(Inputs(table), Outputs(folder), off, doubles)
    assert manifest.skip_reason(folder) == "train_cnn.enabled is false"


def test_a_table_without_training_pictures_is_refused(tmp_path: Path) -> None:
    table = painted_pictures.write(tmp_path, painted_pictures.rows().query("split == 'test'"))
    with pytest.raises(DataError, match="no picture in split train"):
        train(tmp_path, table)
    assert not (tmp_path / "cnn").exists()


def test_a_changed_table_is_refused(tmp_path: Path) -> None:
    table = painted_pictures.write(tmp_path, painted_pictures.rows())
    (table / "rows-00000.parquet").write_bytes(b"?")
    with pytest.raises(ArtifactError, match=r"rows-00000\.parquet: changed since it was written"):
        train(tmp_path, table)


def draw_rows(categories: list[str], pixels: UInt8Array, splits: list[str]) -> pd.DataFrame:
    number, channels, height, width = pixels.shape
    return pd.DataFrame(
        {
            "creative_id": [f"creative-{row}" for row in range(number)],
            "category": categories,
            "image": encode_pngs(pixels),
            "width": width,
            "height": height,
            "channels": channels,
            "split": splits,
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 300])
def test_one_picture_a_category_is_learned(tmp_path: Path, number: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (number, 1, 28, 28), np.uint8)
    names = [f"category-{row:03}" for row in range(number)]
    folder, _ = train(tmp_path, painted_pictures.write(tmp_path, draw_rows(names, pixels, ["train"] * number)))
    reading = Reader(folder, threads=1)(to_floats(pixels))
    assert reading.probabilities.shape == (number, number)
    assert np.isfinite(reading.probabilities).all()
    with pytest.raises(
        DataError, match="0 pictures in split test, expected at least 1; add pictures to ingest.creatives"
    ):
        measure(folder, tmp_path / "creatives", folder, Evaluate(threads=1, bootstraps=20))


@pytest.mark.slow
def test_seven_pictures_are_learned_and_measured(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 1, 28, 28), np.uint8)
    rows = draw_rows([*["hat", "shoe"] * 3, "hat"], pixels, [*["train"] * 5, "validation", "test"])
    folder, _ = train(tmp_path, painted_pictures.write(tmp_path, rows))
    measured = measure(folder, tmp_path / "creatives", folder, Evaluate(threads=1, bootstraps=20)).metrics
    assert measured["accuracy"].n == 1
    assert {name: metric.value for name, metric in measured.items() if not np.isfinite(metric.value)} == {}


@pytest.mark.slow
def test_black_pictures_are_read_without_certainty(tmp_path: Path) -> None:
    splits = [split for split in ("train", "validation", "test") for _ in range(2)] * 8
    rows = draw_rows(["a", "b"] * 24, np.zeros((48, 3, 32, 32), np.uint8), splits)
    folder, _ = train(tmp_path, painted_pictures.write(tmp_path, rows))
    reading = Reader(folder, threads=1)(np.full((1, 3, 32, 32), -1, np.float32))
    assert reading.probabilities[0] == pytest.approx([0.5, 0.5], abs=0.15)
    measured = measure(folder, tmp_path / "creatives", folder, Evaluate(threads=1, bootstraps=20)).metrics
    assert measured["accuracy"].value == 0.5


@pytest.mark.slow
def test_a_category_of_one_in_five_hundred_is_read(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    is_rare = np.arange(1002) >= 1000
    pixels = random.integers(0, 60, (1002, 1, 28, 28), np.uint8)
    pixels[is_rare, :, 8:20, 8:20] += 150
    pixels[~is_rare, :, ::4] += 150
    names = np.where(is_rare, "rare", "usual").tolist()
    params = PARAMS.model_copy(update={"steps_per_epoch": 12, "batch_size": 64})
    folder, _ = train(tmp_path, painted_pictures.write(tmp_path, draw_rows(names, pixels, ["train"] * 1002)), params)
    fresh = random.integers(0, 60, (20, 1, 28, 28), np.uint8)
    fresh[:, :, 8:20, 8:20] += 150
    assert (Reader(folder, threads=1)(to_floats(fresh)).probabilities.argmax(1) == 0).mean() >= 0.9


def test_copies_of_training_pictures_are_recognised(trained: tuple[Path, MemoryRun], table: Path) -> None:
    folder, _ = trained
    check = open_reader(folder, ModelCard.model_validate_json((folder / "card.json").read_bytes()), 1).copy_check
    assert check is not None
    pixels = {s: decode_pngs(parquet.read(table, s)["image"].tolist(), 1, 28, 28) for s in ("train", "test")}
    assert check.find_copies(pixels["train"][..., ::-1].copy()).all()
    assert not check.find_copies(pixels["test"]).any()
