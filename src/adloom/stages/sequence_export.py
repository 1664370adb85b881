"""Export a sequence model."""

from pathlib import Path

import torch

from adloom.onnx_models import export
from adloom.sequences.net import SequenceLstm


def export_onnx(net: SequenceLstm, path: Path) -> None:
    """Write the net as an ONNX file with the inputs token, h and c. Raises AdloomError when it differs from torch."""
    layers, hidden = net.lstm.num_layers, net.lstm.hidden_size

    def example(batch: int, sequence: int) -> dict[str, torch.Tensor]:
        random = torch.Generator().manual_seed(batch * 1000 + sequence)
        token = torch.randint(net.embedding.num_embeddings, (batch, sequence), generator=random)
        h, c = torch.randn((2, layers, batch, hidden), generator=random).tanh()
        return {"token": token, "h": h, "c": c}

    state = {1: "batch"}
    export.export(
        net,
        example,
        path,
        outputs=["logits", "h_out", "c_out"],
        dynamic={
            "token": {0: "batch", 1: "sequence"},
            "logits": {0: "batch", 1: "sequence"},
            **dict.fromkeys(("h", "c", "h_out", "c_out"), state),
        },
        shapes=export.SEQUENCES,
    )
