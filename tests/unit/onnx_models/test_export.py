"""Export to ONNX: any shape, equal bytes, and a file that does not do what torch does is refused."""

from pathlib import Path

import pytest
import torch
from torch import nn

from adloom.errors import AdloomError
from adloom.onnx_models import export as onnx_export

BATCH = {0: "batch"}


class Recurrent(nn.Module):
    """An LSTM as the copywriter's: three inputs, three outputs, two axes that change."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y, (h, c) = self.lstm(x, (h, c))
        return y, h, c


class Frozen(nn.Module):
    """Its output has as many rows as the traced example."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[: int(x.shape[0])].sum(0, keepdim=True).expand(int(x.shape[0]), 3) * torch.ones(int(x.shape[0]), 1)


class Forgetful(nn.Module):
    """It branches on its input, which tracing forgets."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 if len(x) > onnx_export.TRACE_LENGTH else x


def rows(batch: int) -> dict[str, torch.Tensor]:
    return {"x": torch.linspace(-1, 1, batch * 3).reshape(batch, 3)}


def export(module: nn.Module, path: Path) -> bytes:
    onnx_export.export(module, rows, path, outputs=["y"], dynamic={"x": BATCH, "y": BATCH}, shapes=onnx_export.BATCHES)
    return path.read_bytes()


def test_equal_modules_make_equal_bytes_wherever_they_are_written(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train()
    (tmp_path / "elsewhere").mkdir()
    first, second = export(module, tmp_path / "a.onnx"), export(module, tmp_path / "elsewhere" / "b.onnx")
    assert first == second
    assert module.training  # the module itself was left alone
    assert str(tmp_path).encode() not in first
    assert b"test_onnx" not in first


def test_a_sequence_model_runs_on_every_batch_and_length(tmp_path: Path) -> None:
    def example(batch: int, sequence: int) -> dict[str, torch.Tensor]:
        x = torch.linspace(-1, 1, batch * sequence * 3).reshape(batch, sequence, 3)
        return {"x": x, "h": torch.zeros(1, batch, 4), "c": torch.ones(1, batch, 4)}

    onnx_export.export(
        Recurrent(),
        example,
        tmp_path / "r.onnx",
        outputs=["y", "h_out", "c_out"],
        dynamic={"x": {0: "batch", 1: "sequence"}, "y": {0: "batch", 1: "sequence"}}
        | {state: {1: "batch"} for state in ("h", "c", "h_out", "c_out")},
        shapes=onnx_export.SEQUENCES,
    )


def test_what_tracing_forgot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdloomError, match=r"f\.onnx: y for \{'x': \(7, 3\)\}: differs from torch by 1, expected at"):
        export(Forgetful(), tmp_path / "f.onnx")


def test_a_frozen_axis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdloomError, match=r"z\.onnx"):
        export(Frozen(), tmp_path / "z.onnx")
