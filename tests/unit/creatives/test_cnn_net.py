"""The reader network: every size and colour."""

import pytest
import torch
from torch.nn import functional

from adloom.creatives.cnn_net import Body, PretrainedBody, Probabilities, Reader, Residual
from adloom.creatives.efficientnet import EDGE, FEATURES, EfficientNetLite0

SHAPES = [(28, 1), (32, 3), (64, 3), (128, 1)]


@pytest.mark.parametrize(("size", "channels"), SHAPES)
def test_a_reader_gives_probabilities_and_a_unit_embedding(size: int, channels: int) -> None:
    reader = Probabilities(Reader(Body(channels, size, width=4), 16, categories=3, embedding=6)).eval()
    probabilities, embedding, _ = reader(torch.rand(2, channels, size, size) * 2 - 1)
    assert probabilities.shape == (2, 3)
    assert probabilities.sum(1).tolist() == pytest.approx([1, 1])
    assert embedding.norm(dim=1).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(("size", "channels"), SHAPES)
def test_the_evidence_of_all_places_adds_up_to_the_cosines(size: int, channels: int) -> None:
    torch.manual_seed(0)
    reader = Reader(Body(channels, size, width=4), 16, categories=3, embedding=6).eval()
    features = reader.body(torch.rand(2, channels, size, size))
    logits, _ = reader.read_features(features)
    evidence = reader.locate_evidence(features)
    assert evidence.shape == (2, 3, 8 if size != 28 else 7, 8 if size != 28 else 7)
    raw = reader.project(features.mean((2, 3)))
    constant = functional.normalize(reader.prototypes) @ reader.project.bias / raw.norm(dim=1)[:, None]
    torch.testing.assert_close(reader.scale * (evidence.mean((2, 3)) + constant), logits)


def test_a_large_picture_costs_about_as_much_as_a_small_one() -> None:
    """The first layers halve a picture of 128 pixels twice, so that the blocks see at most 32 by 32 places."""
    shapes = []
    for size in (32, 128):
        body = Body(3, size, width=4)
        body[-1].register_forward_hook(lambda _, __, output: shapes.append(output.shape))
        first = next(layer for layer in body if isinstance(layer, Residual))
        first.register_forward_hook(lambda _, __, output: shapes.append(output.shape))
        body(torch.zeros(1, 3, size, size))
    assert shapes == [(1, 8, 16, 16), (1, 16, 8, 8)] * 2


def test_a_pretrained_body_reads_every_picture() -> None:
    reader = Probabilities(Reader(PretrainedBody(EfficientNetLite0()), FEATURES, categories=3, embedding=6)).eval()
    with torch.no_grad():
        probabilities, _, evidence = reader(torch.rand(2, 1, 28, 28) * 2 - 1)
    assert probabilities.shape == (2, 3)
    assert evidence.shape == (2, 3, EDGE // 32, EDGE // 32)
