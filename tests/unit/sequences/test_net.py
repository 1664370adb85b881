"""The sequence net: dropout."""

import pytest
import torch

from adloom.sequences.net import SequenceDropout


def test_dropout_drops_a_feature_for_a_whole_line() -> None:
    torch.manual_seed(0)
    drop, ones = SequenceDropout(0.25), torch.ones(400, 3, 10)
    dropped = drop(ones)
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert sorted(set(dropped.flatten().tolist())) == pytest.approx([0, 1 / 0.75])
    assert dropped.mean() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(ones), ones)
