"""What a study found, as lines."""

from adloom.config.params import TrainCnn
from adloom.tuning.spaces import SPACES
from adloom.tuning.study import TuneTask
from adloom.tuning.summary import format_summary

BLOCK = TrainCnn(epochs=1, steps_per_epoch=1, batch_size=1, learning_rate=0.1)
TASK = TuneTask("train_cnn", BLOCK, SPACES["train_cnn"], {})
ROW = {"validation_loss": 0.25, "seconds": 12.34, "params": {"learning_rate": 0.004, "width": 32}}


def test_the_best_params_are_a_line_for_params_yaml() -> None:
    slow = ROW | {"validation_loss": 0.2, "params": {"learning_rate": 0.002, "width": 48}}
    result = {"objective": "validation_loss", "trials": 7, "importance": {"width": 0.8}, "front": [ROW, slow]}
    lines = format_summary(TASK, result)
    assert lines[-1] == "train_cnn: {learning_rate: 0.002, width: 48}"
    assert any("width" in line and "80%" in line for line in lines)
    assert format_summary(TASK, result | {"front": []}) == [
        "train_cnn: no trial was completed; allow more time or fewer epochs"
    ]
