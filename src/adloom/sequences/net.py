"""The sequence net: an LSTM with tied input and output embeddings (Press & Wolf 2017)."""

import torch
from torch import Tensor, nn

GROUP = 32  # sequences that go through the LSTM together
OWN_SHARE = 0.1  # of a token's own embedding at first, where tokens have parts


class SequenceLstm(nn.Module):
    """
    Maps tokens and a state to logits and the next state. Dropout: Gal & Ghahramani 2016.

    `parts` (vocabulary, parts) are numbers of what tokens have in common, such as a pitch and a duration. The embedding
    of a token is then its own, small at first, and those of its parts.
    """

    parts: Tensor | None

    def __init__(self, vocabulary: int, hidden: int, layers: int, dropout: float, parts: Tensor | None = None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.register_buffer("parts", parts)
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.drop = SequenceDropout(dropout)
        nn.init.normal_(self.embedding.weight, std=hidden**-0.5)
        if parts is not None:
            self.part_embedding = nn.Embedding(int(parts.max()) + 1, hidden)
            nn.init.normal_(self.part_embedding.weight, std=hidden**-0.5)
            nn.init.normal_(self.embedding.weight, std=OWN_SHARE * hidden**-0.5)

    def forward(self, token: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map token (batch, sequence), h and c (layers, batch, hidden) to logits (batch, sequence, vocabulary)."""
        output, (h, c) = self.lstm(self._embed(token), (h, c))
        return self.logits(output), h, c

    def features(self, token: Tensor, lengths: Tensor) -> Tensor:
        """
        Return the features (batch, sequence, hidden) that predict each next token, without an initial state.

        Sequences of similar length go through the LSTM together: on CPUs that takes less time than packed sequences,
        down to a quarter. Padding comes last, so it changes nothing before it.
        """
        embedded, order = self.drop(self._embed(token)), lengths.argsort(stable=True)
        parts = []
        for rows in torch.split(order, GROUP if token.device.type == "cpu" else len(token)):
            output, _ = self.lstm(embedded[rows, : int(lengths[rows].max())])
            parts.append(nn.functional.pad(output, (0, 0, 0, token.shape[1] - output.shape[1])))
        dropped: Tensor = self.drop(torch.cat(parts)[order.argsort()])
        return dropped

    def logits(self, features: Tensor) -> Tensor:
        """Map features (…, hidden) to logits (…, vocabulary)."""
        return nn.functional.linear(features, self._weight(), self.bias)

    def _embed(self, token: Tensor) -> Tensor:
        return nn.functional.embedding(token, self._weight())

    def _weight(self) -> Tensor:
        """Return the embeddings of all tokens (vocabulary, hidden)."""
        own: Tensor = self.embedding.weight
        return own if self.parts is None else own + self.part_embedding(self.parts).sum(dim=1)


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
