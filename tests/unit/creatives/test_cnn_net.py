"""The reader network: every size and colour."""

import pytest
import torch

from adloom.creatives.cnn_net import Probabilities, Reader

SHAPES = [(28, 1), (32, 3), (64, 3), (128, 1)]


@pytest.mark.parametrize(("size", "channels"), SHAPES)
def test_a_reader_gives_probabilities_and_a_unit_embedding(size: int, channels: int) -> None:
    reader = Probabilities(Reader(channels, size, 3, width=4, embedding=6)).eval()
    probabilities, embedding = reader(torch.rand(2, channels, size, size) * 2 - 1)
    assert probabilities.shape == (2, 3)
    assert probabilities.sum(1).tolist() == pytest.approx([1, 1])
    assert embedding.norm(dim=1).tolist() == pytest.approx([1, 1])
