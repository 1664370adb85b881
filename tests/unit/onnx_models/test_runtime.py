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

from adloom.creatives.gan_net import Generator as GeneratorNet
from adloom.creatives.gan_net import Upsample
from adloom.errors import ArtifactError
from adloom.onnx_models import export as onnx_export
from adloom.onnx_models.runtime import Copywriter, Generator, LstmState, Reader
from adloom.sequences.net import SequenceLstm
from adloom.stages import sequence_export


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


@pytest.fixture(scope="module")
def random_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export nets of the default params with random weights."""
    folder = tmp_path_factory.mktemp("random")
    torch.manual_seed(0)
    export_generator(GeneratorNet(1, EDGE, len(CATEGORIES), 32, 64), folder / "generator.onnx")
    sequence_export.export_onnx(SequenceLstm(850, 256, 1, 0.0).eval(), folder / "copywriter.onnx")
    return folder


def export_generator(net: GeneratorNet, path: Path) -> None:
    for layer in list(net.modules()):
        if isinstance(layer, Upsample):
            layer.fold()
    batch = {0: "batch"}
    onnx_export.export(
        net.eval(),
        lambda count: {"z": torch.linspace(-1, 1, count * 64).view(count, 64), "condition": torch.eye(count, 3)},
        path,
        outputs=["picture"],
        dynamic={"z": batch, "condition": batch, "picture": batch},
        shapes=onnx_export.BATCHES,
    )


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_a_picture_does_not_depend_on_its_batch(random_models: Path, threads: int) -> None:
    generator = Generator(random_models, threads)
    z = np.random.default_rng(0).standard_normal((37, generator.latent), np.float32)
    condition = np.eye(3, dtype=np.float32)[np.arange(37) % 3]
    together = generator(z, condition)
    for size in (1, 2, 5, 16):
        alone = [generator(z[at : at + size], condition[at : at + size]) for at in range(0, 37, size)]
        assert (np.concatenate(alone) == together).all()


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_the_logits_of_a_line_do_not_depend_on_its_batch(random_models: Path, threads: int) -> None:
    writer, random = Copywriter(random_models, threads), np.random.default_rng(0)
    token = random.integers(0, 850, (37, 1))
    state = LstmState(*random.standard_normal((2, 1, 37, 256)).astype(np.float32))
    logits, after = writer(token, state)
    for size in (1, 2, 5, 16):
        rows = [slice(at, at + size) for at in range(0, 37, size)]
        parts = [writer(token[row], LstmState(state.h[:, row], state.c[:, row])) for row in rows]
        assert (np.concatenate([part for part, _ in parts]) == logits).all()
        assert (np.concatenate([part.h for _, part in parts], axis=1) == after.h).all()
