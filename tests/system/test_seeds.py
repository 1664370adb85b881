"""Trainings with several seeds on a toy table: values, intervals, and what a second run does not repeat."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from scripts import seeds
from tests.support import painted_pictures, shop

from adloom.config.params import Params
from adloom.context import StageContext

pytestmark = pytest.mark.slow


@pytest.fixture
def params() -> Params:
    return Params.model_validate(shop.params())


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StageContext:
    """A project's folder with a prepared table of pictures."""
    monkeypatch.chdir(tmp_path)
    painted_pictures.write(tmp_path / "data" / "dataset", painted_pictures.rows())
    return painted_pictures.context(tmp_path)


def test_every_seed_trains_a_model_and_its_judge_once(
    params: Params, context: StageContext, capsys: pytest.CaptureFixture[str]
) -> None:
    values = seeds.measure_seeds(["gan"], [1, 2], params, context)
    assert list(values) == ["gan"]
    assert values["gan"]["agreement"].shape == (2,)
    trained = [f"seed {seed}: {stage}" for seed in (1, 2) for stage in ("train_cnn", "train_gan")]
    assert capsys.readouterr().out.splitlines() == trained
    assert "| gan | agreement |" in seeds.tabulate(values, params)
    shutil.rmtree(context.home / "seeds" / "2" / "models" / "gan")
    again = seeds.measure_seeds(["gan"], [1, 2], params, context)
    assert capsys.readouterr().out.splitlines() == ["seed 2: train_gan"]
    assert {name: each.tolist() for name, each in again["gan"].items()} == {
        name: each.tolist() for name, each in values["gan"].items()
    }


@pytest.mark.parametrize(
    ("model", "trained"),
    [("policy", ["cnn", "audience", "policy"]), ("gan", ["cnn", "gan"]), ("music", ["music"])],
)
def test_a_model_alone_is_trained_after_what_it_needs(model: str, trained: list[str]) -> None:
    assert seeds.list_trainings([model]) == trained


def test_the_interval_is_students() -> None:
    low, high = seeds.compute_interval(np.array([1.0, 2.0, 3.0]))  # t of 2 degrees is 4.3027, s / √3 is 0.57735
    assert (low, high) == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-4)
