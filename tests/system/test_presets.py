"""A preset on a small shop: its models train and are judged, the others are skipped."""

import json
from pathlib import Path

import pytest
import yaml
from tests.support import all_stages, shop

from adloom.config import params
from adloom.config.models import MODELS
from adloom.context import StageContext
from adloom.datasets.project import apply_overlay, init_project
from adloom.onnx_models.runtime import Generator
from adloom.storage import manifest

pytestmark = pytest.mark.slow
SMALL = {
    "train_gan": {"epochs": 1, "steps_per_epoch": 3, "batch_size": 8, "width": 4, "threads": 1},
    "train_cnn": {"epochs": 1, "steps_per_epoch": 3, "batch_size": 8, "width": 8, "threads": 1, "backbone": "scratch"},
    "evaluate": {"gan_samples": 100, "bootstraps": 20, "threads": 1, "features": None},
}


def test_the_classic_dcgan_trains_and_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: StageContext
) -> None:
    monkeypatch.chdir(tmp_path)
    init_project(Path(), "classic_dcgan")
    source = shop.write_shop(tmp_path, pictures=20, size=28)["ingest"]["creatives"]
    path = Path("params.yaml")
    path.write_text(apply_overlay(path.read_text(), yaml.safe_dump({"ingest": {"creatives": source}, **SMALL})))
    loaded = params.load(path)
    all_stages.run_all(loaded, context)
    trained = {name for name in MODELS if manifest.verify(Path("models", name)).skipped is None}
    assert trained == {"gan", "cnn"}
    generator = Generator(Path("models/gan"), threads=1)
    assert (generator.latent, generator.columns) == (100, 3)
    metrics = json.loads(Path("reports/gan/metrics.json").read_text())
    assert {rule.metric for rule in loaded.gate.rules("gan")} <= set(metrics)
