"""Export a sequence model."""

from pathlib import Path

import torch

from adloom.onnx_models import export
from adloom.sequences.net import SequenceLstm


class Encoder(torch.nn.Module):
    """The LSTM of a sequence net, without logits."""

    def __init__(self, net: SequenceLstm) -> None:
        super().__init__()
        self.embedding, self.lstm = net.embedding, net.lstm

    def forward(self, token: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """Map token (batch, sequence), h and c (layers, batch, hidden) to features (batch, sequence, hidden)."""
        output: torch.Tensor = self.lstm(self.embedding(token), (h, c))[0]
        return output


def export_onnx(net: SequenceLstm | Encoder, path: Path) -> None:
    """Write a net as an ONNX file with the inputs token, h and c. Raises AdloomError when it differs from torch."""
    layers, hidden = net.lstm.num_layers, net.lstm.hidden_size

    def example(batch: int, sequence: int) -> dict[str, torch.Tensor]:
        random = torch.Generator().manual_seed(batch * 1000 + sequence)
        token = torch.randint(net.embedding.num_embeddings, (batch, sequence), generator=random)
        h, c = torch.randn((2, layers, batch, hidden), generator=random).tanh()
        return {"token": token, "h": h, "c": c}

    state, each = {1: "batch"}, {0: "batch", 1: "sequence"}
    outputs = ["features"] if isinstance(net, Encoder) else ["logits", "h_out", "c_out"]
    export.export(
        net,
        example,
        path,
        outputs=outputs,
        dynamic={"token": each, outputs[0]: each, **dict.fromkeys(("h", "c", *outputs[1:]), state)},
        shapes=export.SEQUENCES,
    )
