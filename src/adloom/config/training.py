"""The parameters that every training of a network has."""

from typing import Literal, Self

from pydantic import Field, model_validator

from adloom.config.base import ConfigModel, Share


class Training(ConfigModel):
    """Settings of every training stage."""

    enabled: bool = Field(True, description="False writes a skipped artifact instead.")
    seed: int = Field(7, ge=0, lt=2**32, description="All randomness is a function of (seed, epoch, step).")
    epochs: int = Field(gt=0, description="Epochs; a checkpoint is written after each.")
    steps_per_epoch: int = Field(gt=0, description="Optimizer steps in an epoch (of the generator, in a GAN).")
    batch_size: int = Field(gt=0, description="Rows per batch, divided evenly among all processes.")
    learning_rate: float = Field(gt=0, description="Peak learning rate.")
    threads: int = Field(2, gt=0, description="CPU threads; the result's bytes depend on it.")
    precision: Literal["32-true", "bf16-mixed"] = Field("32-true", description="Lightning's precision.")
    nodes: int = Field(1, gt=0, description="Machines that train together; the result's bytes depend on it.")
    devices: int = Field(
        1, gt=0, description="Processes per machine, usually one per GPU; the result's bytes depend on it."
    )

    @property
    def processes(self) -> int:
        """The number of training processes."""
        return self.nodes * self.devices

    @model_validator(mode="after")
    def _check_batch_size(self) -> Self:
        if self.batch_size % self.processes:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be divided evenly among "
                f"{self.processes} processes (nodes x devices)"
            )
        return self


class SequenceTraining(Training):
    """An LSTM over tokens."""

    hidden: int = Field(256, gt=0, description="Width of the LSTM's state.")
    layers: int = Field(1, gt=0, description="LSTM layers.")
    dropout: Share = Field(0.2, description="Dropout on embeddings and outputs.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's weight decay.")
    patience: int = Field(
        3, gt=0, description="Training stops after this many epochs without a better validation loss."
    )
