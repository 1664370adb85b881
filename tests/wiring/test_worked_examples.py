"""The page of worked examples: its code against the numbers by hand, PyTorch, ONNX Runtime and adloom's functions."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from adloom.audience import fit
from adloom.onnx_models import export
from adloom.onnx_models.runtime import open_session
from adloom.sequences.net import SequenceLstm

FILE = Path(__file__).parents[2] / "docs" / "how-to" / "worked-examples.md"
PAGE = FILE.read_text(encoding="utf-8").replace("\N{MINUS SIGN}", "-")
CONVOLVED = [[21, 24, 27], [36, 39, 42], [51, 54, 57]]
GATE, CANDIDATE, STATE, HIDDEN = 0.982014, 0.999329, 0.981355, 0.740097
MEANS = np.array([[1 / 3, 1 / 3], [24 / 5, 31 / 5], [12, 0]])
GROUPS = [0, 0, 0, 1, 1, 1, 1, 1, 2]  # A, B with C, D


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """The names that the page's code defines."""
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    return names


def test_a_convolution_in_torch_and_onnx(page: dict[str, Any], tmp_path: Path) -> None:
    sums = [int(text) for text in re.findall(r"\d+ \+ \d+ - \d+ \+ \d+ \+ \d+ = (\d+)", PAGE)]
    assert np.array(sums).reshape(3, 3).tolist() == page["convolved"][0, 0].tolist() == CONVOLVED
    convolution = nn.Conv2d(1, 1, 3, bias=False)
    convolution.weight.data = page["kernel"]
    axes, path = {0: "batch"}, tmp_path / "convolution.onnx"
    export.export(
        convolution,
        lambda batch: {"x": page["ramp"].expand(batch, 1, 5, 5)},
        path,
        outputs=["y"],
        dynamic={"x": axes, "y": axes},
        shapes=[(1,)],
    )
    assert open_session(path, 1).run(["y"], {"x": page["ramp"].numpy()})[0][0, 0].tolist() == CONVOLVED


def test_the_sums_of_the_convolution_take_the_right_numbers() -> None:
    ramp = np.arange(1, 26).reshape(5, 5)
    for row in range(1, 4):
        for column in range(1, 4):
            up, down = ramp[row - 1, column], ramp[row + 1, column]
            left, centre, right = ramp[row, column - 1 : column + 2]
            assert f"{up} + {left} - {centre} + {right} + {down} = {CONVOLVED[row - 1][column - 1]} " in PAGE


def test_a_step_of_an_lstm_in_torch(page: dict[str, Any]) -> None:
    assert torch.sigmoid(torch.tensor(4.0)).item() == pytest.approx(GATE, abs=1e-6)
    assert torch.tanh(torch.tensor(4.0)).item() == pytest.approx(CANDIDATE, abs=1e-6)
    assert page["state"].tolist() == pytest.approx([STATE] * 3, abs=1e-6)
    assert page["hidden"].tolist() == pytest.approx([HIDDEN] * 3, abs=1e-6)
    hidden, state = page["take_step"](second_bias=1.0)
    assert [state[0].item(), hidden[0].item()] == pytest.approx([0.993217, 0.753653], abs=1e-6)
    assert all(f"{number}" in PAGE for number in (GATE, CANDIDATE, STATE, HIDDEN, 0.993217, 0.753653))


def test_the_copywriter_takes_the_same_step() -> None:
    net = SequenceLstm(vocabulary=2, hidden=3, layers=1, dropout=0.0)
    for name, parameter in net.lstm.named_parameters():
        parameter.data.fill_(0.0 if name == "bias_hh_l0" else 1.0)
    net.embedding.weight.data[1] = torch.tensor([1.0, 0.0, 1.0])
    _, h, c = net(torch.tensor([[1]]), torch.tensor([[[0.0, 1.0, 0.0]]]), torch.zeros(1, 1, 3))
    assert [*h.flatten().tolist(), *c.flatten().tolist()] == pytest.approx([HIDDEN] * 3 + [STATE] * 3, abs=1e-6)


def test_kmeans_finds_three_clusters(page: dict[str, Any]) -> None:
    assert page["kmeans"].labels_.tolist() == GROUPS
    assert page["kmeans"].inertia_ == pytest.approx(4 / 3 + 18.8 + 0.8)
    assert page["kmeans"].cluster_centers_ == pytest.approx(MEANS)
    [found] = fit._fit_kmeans(page["points"], [3], 9, seed=7)
    assert np.array(sorted(found.prototypes.tolist())) == pytest.approx(MEANS)


def test_agglomerative_clustering_merges_in_the_order_of_the_page(page: dict[str, Any]) -> None:
    assert page["heights"] == pytest.approx([1, 1, 1, 1.2910, 1.2910, 5.9610, 12.2665, 14.8959], abs=5e-5)
    [found] = fit._fit_agglomerative(page["points"], [3], 9, 7)
    assert np.array(sorted(found.prototypes.tolist())) == pytest.approx(MEANS)


def test_dbscan_finds_the_dense_clusters_and_noise(page: dict[str, Any]) -> None:
    assert page["dense"].tolist() == [0, 0, 0, 1, 1, 1, -1, -1, -1]
    assert page["looser"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, -1]
