"""Train the LSTM over items and export it."""

from typing import TYPE_CHECKING

from adloom.config.recommendation import Recommend
from adloom.onnx_models.runtime import ItemEncoder
from adloom.recommendation.interactions import Interactions
from adloom.recommendation.recurrent import BEGIN, RecurrentScorer, cut_sequences
from adloom.sequences.batches import TokenDataset
from adloom.sequences.module import SequenceModule
from adloom.stages import sequence_export
from adloom.storage import npz
from adloom.training import loop

if TYPE_CHECKING:
    from adloom.training.session import History, TrainingSession


def train_lstm(
    interactions: Interactions, start: int, params: Recommend, session: "TrainingSession"
) -> "tuple[RecurrentScorer, History] | None":
    """
    Train on the events before a time, stop by those after it, and write lstm.npz and encoder.onnx.

    Returns None without a known item on each side. Raises AdloomError when the ONNX model differs from torch.
    """
    chosen, settings = interactions.sample(params.users), params.lstm
    train = cut_sequences(chosen.keep(chosen.time < start), settings.length)
    validation = cut_sequences(chosen.keep(chosen.time >= start), settings.length)
    if not train or not validation:
        return None
    module, history = loop.fit(
        lambda: SequenceModule(len(interactions.items) + 1, BEGIN, settings),
        _to_dataset(train),
        settings,
        session,
        validation=_to_dataset(validation),
        patience=settings.patience,
    )
    folder, net = session.draft.path, module.net
    sequence_export.export_onnx(sequence_export.Encoder(net), folder / "encoder.onnx")
    embedding, bias = net.embedding.weight.detach().numpy()[1:], net.bias.detach().numpy()[1:]
    scorer = RecurrentScorer(ItemEncoder(folder, settings.threads), embedding, bias, settings.length)
    npz.save(folder / "lstm.npz", **scorer.to_arrays())
    return scorer, history


def _to_dataset(sequences: list[list[int]]) -> TokenDataset:
    return TokenDataset(sequences, [len(sequence) - 1 for sequence in sequences])
