"""train_gan on sixty painted pictures: the artifact, its bytes, resuming, colour, and one category alone."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support import painted_pictures
from tests.support.interrupted_training import interrupt

from adloom.config.params import TrainGan
from adloom.creatives import gan_module, gan_progress, pictures
from adloom.creatives.gan_module import GanModule
from adloom.creatives.picture_codes import encode_pictures
from adloom.errors import ConfigError, DataError
from adloom.onnx_models.runtime import Generator
from adloom.stages import train_gan
from adloom.stages.train_gan import Inputs, Outputs
from adloom.storage import manifest
from adloom.tracking.memory import MemoryRun, MemoryTracker

PARAMS = TrainGan(epochs=3, steps_per_epoch=3, batch_size=8, learning_rate=0.001, width=4, latent=5, threads=1)
ONE_EPOCH = PARAMS.model_copy(update={"epochs": 1, "steps_per_epoch": 2})


def train(folder: Path, table: Path, params: TrainGan = PARAMS) -> tuple[Path, MemoryRun]:
    doubles = painted_pictures.context(folder)
    train_gan.run(Inputs(table), Outputs(folder / "gan"), params, doubles)
    assert isinstance(doubles.tracker, MemoryTracker)
    return folder / "gan", doubles.tracker.runs[-1]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted_pictures.write(tmp_path_factory.mktemp("table"), painted_pictures.rows())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, table: Path) -> tuple[Path, MemoryRun]:
    return train(tmp_path_factory.mktemp("trained"), table)


def test_the_artifact_holds_a_generator_and_its_samples(trained: tuple[Path, MemoryRun]) -> None:
    folder, run = trained
    files = manifest.verify(folder).files
    assert set(files) == {"generator.onnx", "sample_sheet.png", "history.json", "card.json"}
    generator = Generator(folder, threads=1)
    assert generator.latent == PARAMS.latent
    drawn = generator(np.zeros((3, PARAMS.latent), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 0]])
    assert drawn.shape == (3, 1, 28, 28)
    assert np.abs(drawn).max() <= 1
    assert (drawn[0] == drawn[2]).all()
    sheets = [f"sample_sheet_{step:06}.png" for step in (3, 6, 9)]
    assert run.artifacts == [*sheets, "sample_sheet.png"]
    with Image.open(io.BytesIO((folder / "sample_sheet.png").read_bytes())) as sheet:
        assert sheet.height == 2 * 60 - 4  # twice (28 + 2) pixels each, without the last gap
        assert sheet.width > 10 * 60 - 4  # the names stand before the rows


def test_the_card_names_categories_source_and_licence(trained: tuple[Path, MemoryRun]) -> None:
    card = json.loads((trained[0] / "card.json").read_text())
    assert (card["model"], card["categories"], card["licence"]) == ("gan", ["squares", "stripes"], "CC0")
    assert card["attributes"] == {}
    assert card["image"] == {"height": 28, "width": 28, "channels": 1}
    assert card["rows"] == {"train": 36}


def test_generator_steps_are_counted_not_those_of_both_optimizers(trained: tuple[Path, MemoryRun]) -> None:
    recorded = trained[1].recorded
    assert set(recorded) == {"generator_loss", "discriminator_loss", "kernel_distance"}
    assert [step for step, _ in recorded["generator_loss"]] == [3, 6, 9]


def test_every_objective_trains_with_penalty_and_augmentation(table: Path, tmp_path: Path) -> None:
    update = {"objective": "relativistic", "spectral_norm": False, "gradient_penalty": 0.1, "augmentation": "always"}
    first, again = (train(tmp_path / name, table, ONE_EPOCH.model_copy(update=update))[0] for name in ("a", "b"))
    assert manifest.verify(first).files == manifest.verify(again).files


def test_a_collapse_stops_the_training_and_leaves_no_artifact(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gan_progress, "LEAST", 1.1)  # every generator has collapsed
    with pytest.raises(ConfigError, match=r"^train_gan: the generator collapsed by step 1: "):
        train(tmp_path, table)
    assert not (tmp_path / "gan").exists()


def test_an_epoch_further_from_the_pictures_is_not_the_model(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distances = iter([2.0, 1.0, 3.0, 4.0, 0.0])
    monkeypatch.setattr(gan_module, "measure_kernel_distance", lambda *_: next(distances))
    params = PARAMS.model_copy(update={"epochs": 5, "patience": 2})
    folder, run = train(tmp_path, table, params)
    assert [value for _, value in run.recorded["kernel_distance"]] == [2, 1, 3, 4]
    assert run.files["sample_sheet_000006.png"] != run.files["sample_sheet_000012.png"]
    assert (folder / "generator.onnx").exists()


def test_with_reconstruction_the_last_epoch_is_the_model_whatever_its_distance(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = PARAMS.model_copy(update={"patience": 1, "reconstruction": 0.5})

    def train_generator(name: str, *values: float) -> manifest.File:
        distances = iter(values)
        monkeypatch.setattr(gan_module, "measure_kernel_distance", lambda *_: next(distances))
        return manifest.verify(train(tmp_path / name, table, params)[0]).files["generator.onnx"]

    assert train_generator("further", 1.0, 2.0, 3.0) == train_generator("nearer", 3.0, 2.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("reconstruction", [0.0, 0.5])
def test_interrupted_and_resumed_elsewhere_the_bytes_are_the_same(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reconstruction: float
) -> None:
    params = PARAMS.model_copy(update={"reconstruction": reconstruction})
    whole, uninterrupted = train(tmp_path / "whole", table, params)
    interrupt(monkeypatch, GanModule, (2, 1), lambda: train(tmp_path, table, params))
    assert not (tmp_path / "gan").exists()
    folder, run = train(tmp_path, table, params)
    assert manifest.digest(folder) == manifest.digest(whole)
    assert run.recorded == uninterrupted.recorded


@pytest.mark.slow
def test_colour_at_64_and_one_category_alone(tmp_path: Path) -> None:
    table = painted_pictures.write(tmp_path, painted_pictures.rows(("posters",), size=64, channels=3))
    folder, _ = train(tmp_path, table, ONE_EPOCH)
    drawn = Generator(folder, threads=1)(np.zeros((2, PARAMS.latent), np.float32), np.ones((2, 1), np.float32))
    assert drawn.shape == (2, 3, 64, 64)
    assert json.loads((folder / "card.json").read_text())["categories"] == ["posters"]


def test_transparent_pictures_are_drawn_transparent_and_shown_on_white(tmp_path: Path) -> None:
    table = painted_pictures.write(tmp_path, painted_pictures.rows(channels=4))
    folder, _ = train(tmp_path, table, ONE_EPOCH)
    drawn = Generator(folder, threads=1)(np.zeros((2, PARAMS.latent), np.float32), np.eye(2, dtype=np.float32))
    assert drawn.shape == (2, 4, 28, 28)
    assert json.loads((folder / "card.json").read_text())["image"]["channels"] == 4
    with Image.open(folder / "sample_sheet.png") as sheet:
        assert sheet.mode == "RGB"


@pytest.mark.slow
def test_the_code_of_a_picture_draws_one_like_it(tmp_path: Path) -> None:
    rows = painted_pictures.rows(channels=3)
    shades = np.random.default_rng(2).integers(20, 230, (60, 1, 1, 1), np.uint8)
    rows["image"] = pictures.encode_pngs(np.broadcast_to(shades, (60, 3, 28, 28)))
    params = PARAMS.model_copy(update={"epochs": 1, "steps_per_epoch": 100, "learning_rate": 0.006})
    folder, _ = train(tmp_path, painted_pictures.write(tmp_path, rows), params)
    number = np.flatnonzero(rows["split"] == "train")
    z, category = np.zeros((len(number), PARAMS.latent), np.float32), number % 2
    codes = encode_pictures([pictures.decode_pngs(rows["image"].iloc[number].tolist(), 3, 28, 28)], category, 5)
    z[:, : codes.shape[1]] = codes
    drawn = Generator(folder, threads=1)(z, np.eye(2, dtype=np.float32)[category])
    assert np.corrcoef(drawn.mean((1, 2, 3)), shades[number, 0, 0, 0])[0, 1] > 0.8


@pytest.mark.slow
def test_attributes_are_columns_of_the_condition(tmp_path: Path) -> None:
    rows = painted_pictures.rows().assign(attr_tone=["dark", "light", "light"] * 20)
    folder, _ = train(tmp_path, painted_pictures.write(tmp_path, rows), ONE_EPOCH)
    assert json.loads((folder / "card.json").read_text())["attributes"] == {"tone": ["dark", "light"]}
    assert Generator(folder, threads=1).columns == 4


def test_the_dcgan_of_the_tutorials_is_trained_and_exported(tmp_path: Path, table: Path) -> None:
    classic = ONE_EPOCH.model_copy(update={"net": "dcgan", "objective": "bce"})
    folder, run = train(tmp_path, table, classic)
    drawn = Generator(folder, threads=1)(np.zeros((2, PARAMS.latent), np.float32), np.eye(2, dtype=np.float32))
    assert drawn.shape == (2, 1, 28, 28)
    assert set(run.recorded) >= {"generator_loss", "discriminator_loss"}


def test_a_skipped_table_and_a_disabled_stage_give_a_skipped_artifact(tmp_path: Path, table: Path) -> None:
    manifest.skip(tmp_path / "creatives", "prepare", PARAMS, "no source")
    doubles, folder = painted_pictures.context(tmp_path), tmp_path / "gan"
    train_gan.run(Inputs(tmp_path / "creatives"), Outputs(folder), PARAMS, doubles)
    assert manifest.skip_reason(folder) == "no source"
    off = PARAMS.model_copy(update={"enabled": False})
    train_gan.run(Inputs(table), Outputs(folder), off, doubles)
    assert manifest.skip_reason(folder) == "train_gan.enabled is false"


def test_a_table_without_training_pictures_is_refused(tmp_path: Path) -> None:
    table = painted_pictures.write(tmp_path, painted_pictures.rows().query("split == 'test'"))
    with pytest.raises(DataError, match="no picture in split train"):
        train(tmp_path, table)
    assert not (tmp_path / "gan").exists()
