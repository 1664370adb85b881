"""The loss of a classifier of conditions."""

from collections.abc import Sequence

import torch
from torch.nn import functional


def classification_loss(logits: torch.Tensor, condition: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """
    Return the sum of the mean cross-entropies of the groups of columns of these sizes.

    A row counts 0 in a group that is not given. `logits` and `condition` are (rows, columns).
    """
    groups = zip(torch.split(logits, list(sizes), 1), torch.split(condition, list(sizes), 1), strict=True)
    return torch.stack([functional.cross_entropy(logit, target) for logit, target in groups]).sum()
