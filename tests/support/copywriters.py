"""Tiny copywriters with everything evaluation reads, a table of copy, and cheap params."""

import json
import shutil
from functools import cache
from pathlib import Path

import onnx
import pandas as pd
from onnx import numpy_helper
from tests.support import tiny_models

from adloom.config.gate import Gate, MetricRule
from adloom.config.params import Evaluate, Params, load
from adloom.config.sources import Source
from adloom.storage import manifest

ROOT = Path(__file__).parents[2]
EVALUATE = Evaluate(threads=1, bootstraps=40, lstm_samples=100)


def params(at_most: float = 100.0, margin: float = 0.01, *, approve: bool = False) -> Params:
    """Return the default params, with cheap measurements and one rule for the copywriter."""
    rule = MetricRule(metric="bits_ratio", at_most=at_most, margin=margin)
    gate = Gate.model_validate(
        {
            "approve": approve,
            "gan": [],
            "cnn": [],
            "lstm": [rule],
            "style": [],
            "music": [],
            "audience": [],
            "recommender": [],
            "policy": [MetricRule(metric="click_rate", margin=0)],
        }
    )
    return _load_defaults().model_copy(update={"evaluate": EVALUATE, "gate": gate})


@cache
def _load_defaults() -> Params:
    return load(ROOT / "params.yaml")


def copy_rows() -> pd.DataFrame:
    """Return 20 lines that the copywriter knows as split train, and 17 made of their word pairs."""
    lines = tiny_models.LINES * 4 + ["Soft warm dress"] + ["Lovely warm dress", "Very warm coat"] * 8
    split = ["train"] * 20 + ["validation"] + ["test"] * 16
    return pd.DataFrame({"copy_id": map(str, range(37)), "text": lines, "category": None, "split": split})


def copywriter(target: Path, sharpness: float = 1.0) -> Path:
    """Write a bigram copywriter; a sharpness below 1 makes it worse."""
    plain = target.with_name(f"{target.name}-plain")
    tiny_models.write_copywriter(plain)
    with manifest.draft(target, "train_lstm", Source(uri=f"sharpness {sharpness}"), {}) as draft:
        for path in plain.iterdir():
            if path.name != manifest.MANIFEST:
                shutil.copy(path, draft.path)
        model = onnx.load(draft.path / "copywriter.onnx")
        table = model.graph.initializer[0]
        logits = numpy_helper.to_array(table).copy()
        logits[:, logits.max(axis=0) > 0] *= sharpness**2  # tokens outside the lines stay unlikely
        table.CopyFrom(numpy_helper.from_array(logits, table.name))
        onnx.save(model, draft.path / "copywriter.onnx")
        curves = {"loss": [[1, 3.0], [2, 2.0]], "validation_loss": [[1, 3.1], [2, 2.2]]}
        (draft.path / "history.json").write_text(json.dumps(curves), encoding="utf-8")
    shutil.rmtree(plain)
    return target
