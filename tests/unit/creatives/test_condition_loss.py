"""The loss of a classifier of conditions, by hand."""

import torch
from torch.nn import functional

from adloom.creatives.condition_loss import classification_loss


def test_the_classification_loss_adds_attributes_and_ignores_absent_ones() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5, -0.5], [0.0, 1.0, 3.0, 1.0]])
    condition = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    category = functional.cross_entropy(logits[:, :2], torch.tensor([1, 0]))
    attribute = functional.cross_entropy(logits[:1, 2:], torch.tensor([0])) / 2  # of two rows, one has it
    assert torch.isclose(classification_loss(logits, condition, [2, 2]), category + attribute)
