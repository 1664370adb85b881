"""Measure what helps the copywriter, one change at a time, on the validation and test lines of a prepared table.

    python benchmarks/copywriter.py [--table data/dataset/copy] [--steps 1476] [--seeds 1] [--only "all lines" …]

Each row is a training of its own with the settings of params.yaml but for one change. It has the bits per character of
distinct test lines by the network and by its mixture with n-grams, the ratio of the latter to the best Kneser-Ney
model's, and the share of training lines among 1,000 that the mixture writes.
"""

import argparse
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from adloom.arrays import Float32Array, Int64Array
from adloom.config.params import TrainLstm, load
from adloom.copywriting import baseline, tokenizer
from adloom.copywriting.lines import LineRequest, write_lines
from adloom.copywriting.mixing import mix
from adloom.copywriting.scoring import line_bits
from adloom.copywriting.tokenizer import Tokenizer
from adloom.copywriting.written_lines import MAX_LENGTH, copied_sample
from adloom.onnx_models.runtime import LstmState
from adloom.sequences.batches import TokenDataset
from adloom.sequences.decoding import SequenceModel
from adloom.sequences.mixture import Mixture
from adloom.sequences.module import SequenceModule
from adloom.sequences.net import SequenceLstm
from adloom.storage import parquet

DRAWN = 1000  # lines
SPELLINGS = 8  # of each line, for BPE dropout
SENTENCE_END = re.compile(r"(?<=[.:?!])\s+|\n{2,}")
LONGEST = 100  # characters of a sentence of the general text
CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "every category of a line": {"unique": ["text", "category"]},
    "all lines": {"unique": None},
    "vocabulary 500": {"vocabulary": 500},
    "vocabulary 1500": {"vocabulary": 1500},
    "dropout 0.1": {"dropout": 0.1},
    "dropout 0.4": {"dropout": 0.4},
    "hidden 384": {"hidden": 384},
    "BPE dropout 0.05": {"bpe_dropout": 0.05},
    "dropped weights 0.3": {"weight_drop": 0.3},
    "averaged weights 0.99": {"average": 0.99},
    "warm start": {"warm_steps": 150},
}


class TorchModel:
    """A net as the model that scoring reads."""

    def __init__(self, net: SequenceLstm) -> None:
        self._net = net

    def start(self, batch: int) -> LstmState:
        """Return the state before the first token."""
        shape = (2, self._net.lstm.num_layers, batch, self._net.lstm.hidden_size)
        return LstmState(*np.zeros(shape, np.float32))

    def __call__(self, token: Int64Array, state: LstmState) -> tuple[Float32Array, LstmState]:
        """Return logits and the next state."""
        with torch.no_grad():
            logits, h, c = self._net(*map(torch.from_numpy, (token, state.h, state.c)))
        return logits.numpy(), LstmState(h.numpy(), c.numpy())


def main() -> None:
    """Train each change and print its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=Path("data/dataset/copy"))
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=list(CHANGES), choices=list(CHANGES))
    arguments = parser.parse_args()
    rows, params = parquet.read(arguments.table), load(arguments.params).train_lstm
    if arguments.steps:
        params = params.model_copy(update={"epochs": 1, "steps_per_epoch": arguments.steps})
    torch.set_num_threads(params.threads)
    splits = {split: rows[rows["split"] == split] for split in ("train", "validation", "test")}
    candidates = baseline.fit_candidates(
        splits["train"]["text"].tolist(), splits["validation"]["text"].drop_duplicates().tolist()
    )
    best, test = baseline.choose_best(candidates), _list_pairs(splits["test"], ["text"])
    characters = sum(len(text) + 1 for text in test[0])
    rival = float(best.model.line_bits(test[0]).sum()) / characters
    training = splits["train"]["text"].tolist()
    print(f"Kneser-Ney of {best.order} characters on {best.training}: {rival:.4f}, ", end="")
    print(f"copied {_measure_copied(map(''.join, best.model.sample(DRAWN, 0, MAX_LENGTH)), training):.3f}")
    print(f"{'change':<26}{'seed':>5}{'network':>9}{'mixture':>9}{'ratio':>8}{'copied':>8}", flush=True)
    for name in arguments.only:
        for seed in range(arguments.seeds):
            network, mixture, words = train(splits, params, seed, **CHANGES[name])
            models: tuple[SequenceModel[Any], ...] = network, mixture
            alone, mixed = (float(line_bits(model, words, *test).sum()) / characters for model in models)
            copied = _measure_copied(write_lines(mixture, words, LineRequest(DRAWN, seed)), training)
            print(f"{name:<26}{seed:>5}{alone:>9.4f}{mixed:>9.4f}{mixed / rival:>8.4f}{copied:>8.3f}", flush=True)


def train(
    splits: dict[str, pd.DataFrame],
    params: TrainLstm,
    seed: int,
    *,
    unique: Sequence[str] | None = ("text",),
    bpe_dropout: float = 0.0,
    weight_drop: float = 0.0,
    average: float = 0.0,
    warm_steps: int = 0,
    **settings: Any,
) -> tuple[TorchModel, Mixture[Any], Tokenizer]:
    """Train with changed settings, on rows that differ in the columns `unique`; return the network and the mixture."""
    params = params.model_copy(update=settings)
    torch.manual_seed(seed)
    texts, names = _list_pairs(splits["train"], unique)
    words = tokenizer.fit(splits["train"]["text"].drop_duplicates(), filter(None, names), params.vocabulary)
    module = SequenceModule(words.size, words.begin, params)
    if warm_steps:
        first = params.model_copy(update={"epochs": 1, "steps_per_epoch": warm_steps})
        general = list_general_sentences()
        dataset = _tokenise(general, [None] * len(general), words, 0.0, seed)
        warmed = _train_net(SequenceModule(words.size, words.begin, first), dataset, first, seed)
        module.net.load_state_dict(warmed.state_dict())
    dataset = _tokenise(texts, names, words, bpe_dropout, seed)
    net = TorchModel(_train_net(module, dataset, params, seed, weight_drop, average))
    return net, mix(net, words, list(dict.fromkeys(texts)), *_list_pairs(splits["validation"], ["text"])), words


def list_general_sentences() -> list[str]:
    """Return the distinct sentences of the language reference that Python ships, a general English text."""
    sentences = (" ".join(part.split()) for text in topics.values() for part in SENTENCE_END.split(text))
    return list(dict.fromkeys(sentence[:LONGEST] for sentence in sentences if " " in sentence))


def _train_net(
    module: SequenceModule,
    dataset: TokenDataset,
    params: TrainLstm,
    seed: int,
    weight_drop: float = 0.0,
    average: float = 0.0,
) -> SequenceLstm:
    """Train a module's net; return it with averaged weights."""
    averaged = deepcopy(module.net)
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    for rows in _draw_batches(len(dataset), params, seed):
        with DroppedWeights(module.net, weight_drop):
            nats = module._nats(dataset[rows])
            optimizer.zero_grad()
            torch.autograd.backward(nats.mean())
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for mean, new in zip(averaged.parameters(), module.net.parameters(), strict=True):
                mean.lerp_(new, 1 - average)
    return averaged.eval()


class DroppedWeights:
    """Drops recurrent weights of a net for one step (AWD-LSTM, Merity, Keskar & Socher 2018)."""

    def __init__(self, net: SequenceLstm, share: float) -> None:
        self._weight, self._share = dict(net.lstm.named_parameters())["weight_hh_l0"], share

    def __enter__(self) -> None:
        self._whole = self._weight.data
        self._mask = functional.dropout(torch.ones_like(self._whole), self._share)
        self._weight.data = self._whole * self._mask

    def __exit__(self, *_: object) -> None:
        self._weight.data = self._whole
        if self._weight.grad is not None:
            self._weight.grad *= self._mask


def _measure_copied(lines: Iterable[str], training: Sequence[str]) -> float:
    return float(copied_sample(list(lines), training).columns[0].mean())


def _list_pairs(rows: pd.DataFrame, unique: Sequence[str] | None) -> tuple[list[str], list[str | None]]:
    kept = rows.drop_duplicates(list(unique)) if unique else rows
    return kept["text"].tolist(), [None if pd.isna(name) else str(name) for name in kept["category"]]


def _tokenise(
    texts: list[str], names: list[str | None], words: Tokenizer, bpe_dropout: float, seed: int
) -> TokenDataset:
    """Return the lines in one spelling, or in SPELLINGS with merges left out at random (Provilkov et al. 2020)."""
    random.seed(seed)
    words._model.model.dropout = bpe_dropout or None
    spellings = SPELLINGS if bpe_dropout else 1
    tokens = [words.encode_line(text, name) for _ in range(spellings) for text, name in zip(texts, names, strict=True)]
    words._model.model.dropout = None
    return TokenDataset(tokens, [len(text) + 1 for text in texts] * spellings)


def _draw_batches(rows: int, params: TrainLstm, seed: int) -> Iterator[Int64Array]:
    rng = np.random.default_rng(seed)
    queue = rng.permutation(rows)
    for _ in range(params.epochs * params.steps_per_epoch):
        while len(queue) < params.batch_size:
            queue = np.concatenate([queue, rng.permutation(rows)])
        yield queue[: params.batch_size]
        queue = queue[params.batch_size :]


if __name__ == "__main__":
    main()
