"""The sequence net: dropout and padding."""

import pytest
import torch

from adloom.sequences.net import GROUP, SequenceDropout, SequenceLstm


def test_dropout_drops_a_feature_for_a_whole_line() -> None:
    torch.manual_seed(0)
    drop, ones = SequenceDropout(0.25), torch.ones(400, 3, 10)
    dropped = drop(ones)
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert sorted(set(dropped.flatten().tolist())) == pytest.approx([0, 1 / 0.75])
    assert dropped.mean() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(ones), ones)


def test_padding_and_other_sequences_change_no_feature() -> None:
    torch.manual_seed(0)
    net, lengths = SequenceLstm(9, 8, 2, 0.5).eval(), torch.randint(1, 7, (2 * GROUP + 5,))
    lengths[0] = 6
    token = torch.randint(0, 9, (len(lengths), 6))
    padded = net.features(token, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = net.features(token[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(padded[row, :length], alone[0])
