"""The sequence net: dropout and padding."""

import pytest
import torch

from adloom.sequences.net import SequenceDropout, SequenceLstm


def test_dropout_drops_a_feature_for_a_whole_line() -> None:
    torch.manual_seed(0)
    drop, ones = SequenceDropout(0.25), torch.ones(400, 3, 10)
    dropped = drop(ones)
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert sorted(set(dropped.flatten().tolist())) == pytest.approx([0, 1 / 0.75])
    assert dropped.mean() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(ones), ones)


@pytest.mark.parametrize("lengths", [(6, 5, 4), (6, 1, 2)], ids=["little padding", "mostly padding"])
def test_padding_changes_no_feature(lengths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net, token = SequenceLstm(9, 8, 2, 0.5).eval(), torch.randint(0, 9, (3, 6))
    padded = net.features(token, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone = net.features(token[row : row + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(padded[row, :length], alone[0])
