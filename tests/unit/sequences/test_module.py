"""The net and its training step: padding is no information, and the loss is what the evaluation measures."""

import numpy as np
import pytest
import torch
from tests.support.toy_lines import LINES, words

from adloom.arrays import Float32Array, Int64Array
from adloom.config.params import TrainLstm
from adloom.copywriting.scoring import line_bits
from adloom.sequences.batches import TokenDataset
from adloom.sequences.module import SequenceModule, drop_prefixes
from adloom.sequences.net import SequenceLstm

WORDS = words()
PARAMS = TrainLstm(epochs=1, steps_per_epoch=1, batch_size=2, learning_rate=0.01, hidden=8, layers=2, dropout=0.5)
State = tuple[torch.Tensor, torch.Tensor]


class InTorch:
    """The net as the decoding sees it, before any export."""

    def __init__(self, net: SequenceLstm) -> None:
        self.net = net

    def start(self, batch: int) -> State:
        zeros = torch.zeros(PARAMS.layers, batch, PARAMS.hidden)
        return zeros, zeros

    def __call__(self, token: Int64Array, state: State) -> tuple[Float32Array, State]:
        with torch.no_grad():
            logits, h, c = self.net(torch.from_numpy(token), *state)
        return logits.numpy(), (h, c)


@pytest.fixture
def module() -> SequenceModule:
    torch.manual_seed(3)
    module = SequenceModule(WORDS.size, WORDS.begin, PARAMS)
    module.eval()
    return module


def rows() -> TokenDataset:
    return TokenDataset([WORDS.encode_line(line, "Coats") for line in LINES], [len(line) + 1 for line in LINES])


def test_the_loss_is_the_bits_per_character_that_the_evaluation_measures(module: SequenceModule) -> None:
    batch = rows()[np.arange(len(LINES))]
    with torch.no_grad():
        bits = float(module._nats(batch).sum()) / np.log(2)
    assert bits == pytest.approx(line_bits(InTorch(module.net), WORDS, LINES, ["Coats"] * len(LINES)).sum(), rel=1e-5)


def test_padding_is_no_information(module: SequenceModule) -> None:
    batch = rows()[np.array([0])]
    token, target, real = (torch.nn.functional.pad(part, (0, 5)) for part in (batch.token, batch.target, batch.real))
    wider = batch._replace(token=token, target=target, real=real)
    with torch.no_grad():
        assert torch.equal(module._nats(batch), module._nats(wider))


def test_training_sees_some_lines_without_their_category() -> None:
    token = rows()[np.zeros(2000, np.int64)].token
    torch.manual_seed(0)
    forgotten = drop_prefixes(token, WORDS.begin)
    assert (forgotten[:, 0] == WORDS.begin).float().mean() == pytest.approx(0.1, abs=0.02)
    assert torch.equal(forgotten[:, 1:], token[:, 1:])
    assert (token[:, 0] == WORDS.prefix("Coats")).all()  # the rows themselves are as they were
