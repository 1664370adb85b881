"""The sequence net: an LSTM with tied input and output embeddings (Press & Wolf 2017)."""

import torch
from torch import Tensor, nn
from torch.nn.utils import rnn


class SequenceLstm(nn.Module):
    """Maps tokens and a state to logits and the next state. Dropout: Gal & Ghahramani 2016."""

    def __init__(self, vocabulary: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.drop = SequenceDropout(dropout)
        nn.init.normal_(self.embedding.weight, std=hidden**-0.5)

    def forward(self, token: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map token (batch, sequence), h and c (layers, batch, hidden) to logits (batch, sequence, vocabulary)."""
        output, (h, c) = self.lstm(self.embedding(token), (h, c))
        return self.logits(output), h, c

    def features(self, token: Tensor, lengths: Tensor) -> Tensor:
        """Return the features (batch, sequence, hidden) that predict each next token, without an initial state."""
        packed = rnn.pack_padded_sequence(self.drop(self.embedding(token)), lengths, True, enforce_sorted=False)
        output, _ = rnn.pad_packed_sequence(self.lstm(packed)[0], True, total_length=token.shape[1])
        dropped: Tensor = self.drop(output)
        return dropped

    def logits(self, features: Tensor) -> Tensor:
        """Map features (…, hidden) to logits (…, vocabulary)."""
        return nn.functional.linear(features, self.embedding.weight, self.bias)


class SequenceDropout(nn.Module):
    """Dropout of a feature at every position of a sequence: (batch, sequence, features)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, features: Tensor) -> Tensor:
        """Drop features in training only."""
        if not self.training or not self.share:
            return features
        mask = torch.empty_like(features[:, :1]).bernoulli_(1 - self.share)
        return features * mask / (1 - self.share)
