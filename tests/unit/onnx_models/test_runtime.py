"""Models run from ONNX files: shapes, deadlines, and no telemetry."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tests.support.tiny_models import CATEGORIES, DIMENSIONS, EDGE, write_copywriter, write_generator, write_reader
from torch import nn

from adloom.errors import ArtifactError
from adloom.onnx_models import export as onnx_export
from adloom.onnx_models.runtime import Copywriter, Generator, Reader


@pytest.mark.parametrize("seconds", [None, 10.0])
def test_the_generator_draws_a_picture_for_each_category(tmp_path: Path, seconds: float | None) -> None:
    write_generator(tmp_path / "gan")
    generator = Generator(tmp_path / "gan", 1, seconds)
    pictures = generator(np.zeros((3, generator.latent), np.float32), np.eye(3, dtype=np.float32))
    assert pictures.shape == (3, 1, EDGE, EDGE)
    assert np.abs(pictures).max() <= 1


def test_a_generator_of_an_older_version_is_refused(tmp_path: Path) -> None:
    write_generator(tmp_path / "gan")
    model = onnx.load(tmp_path / "gan/generator.onnx")
    model.graph.input[1].name = model.graph.node[0].input[0] = "category"
    onnx.save(model, tmp_path / "gan/generator.onnx")
    with pytest.raises(ArtifactError, match="another version of adloom; run `adloom train-gan` again"):
        Generator(tmp_path / "gan", 1)


def test_the_reader_gives_probabilities_and_unit_embeddings(tmp_path: Path) -> None:
    write_reader(tmp_path / "cnn")
    output = Reader(tmp_path / "cnn", 1)(np.full((2, 1, EDGE, EDGE), 0.5, np.float32))
    assert (output.probabilities.shape, output.embedding.shape) == ((2, len(CATEGORIES)), (2, DIMENSIONS))
    assert output.probabilities.sum(axis=1) == pytest.approx(1)
    assert np.linalg.norm(output.embedding, axis=1) == pytest.approx(1)


def test_the_copywriter_continues_from_its_state(tmp_path: Path) -> None:
    write_copywriter(tmp_path / "lstm")
    writer = Copywriter(tmp_path / "lstm", 1)
    state = writer.start(2)
    logits, after = writer(np.zeros((2, 1), np.int64), state)
    assert state.h.shape == after.h.shape == (writer.layers, 2, writer.hidden)
    assert logits.shape[:2] == (2, 1)


ASK = """
from pathlib import Path
from adloom.onnx_models.runtime import open_session
open_session(Path("m.onnx"), threads=1).run(None, {"x": [[1.0, 2.0, 3.0]]})
"""


def test_a_model_that_is_run_leaves_no_device_id_behind(tmp_path: Path) -> None:
    onnx_export.export(
        nn.Linear(3, 2),
        lambda batch: {"x": torch.zeros(batch, 3)},
        tmp_path / "m.onnx",
        outputs=["y"],
        dynamic={"x": {0: "batch"}, "y": {0: "batch"}},
        shapes=[(1,)],
    )
    own = ("CI", "GITHUB_ACTIONS", "XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY")  # in CI it is silent of its own accord
    environment = {name: value for name, value in os.environ.items() if name not in own} | {"HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", ASK], cwd=tmp_path, env=environment, check=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["m.onnx"]
