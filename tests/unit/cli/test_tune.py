"""`adloom tune`: what it refuses and prints."""

import subprocess
import sys

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from adloom.cli.tune import format_result, format_trial
from adloom.config.params import TrainCnn
from adloom.tuning.spaces import SPACES
from adloom.tuning.study import TuneTask

BLOCK = TrainCnn(epochs=1, steps_per_epoch=1, batch_size=1, learning_rate=0.1)
TASK = TuneTask("train_cnn", BLOCK, SPACES["train_cnn"], {})
ROW = {"validation_loss": 0.25, "seconds": 12.34, "params": {"learning_rate": 0.004, "width": 32}}


@pytest.mark.slow
def test_a_stage_without_a_space_is_refused_before_torch_is_imported() -> None:
    program = (
        "import sys; sys.argv = ['adloom', 'tune', 'nope']\n"
        "from adloom.cli.main import main\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, "nope: has no metric" in result.stderr) == (2, True)


def test_a_trial_is_one_line() -> None:
    study = optuna.create_study()
    for value, state in ((0.5, TrialState.COMPLETE), (None, TrialState.FAIL)):
        study.enqueue_trial({"width": 32})
        study.tell(study.ask({"width": IntDistribution(1, 64)}), value, state)
    complete, failed = map(format_trial, study.trials)
    assert complete.split() == ["trial", "0", "complete", "0.5", "width", "32"]
    assert failed.split() == ["trial", "1", "fail", "-", "width", "32"]


def test_the_best_params_are_a_line_for_params_yaml() -> None:
    slow = ROW | {"validation_loss": 0.2, "params": {"learning_rate": 0.002, "width": 48}}
    result = {"objective": "validation_loss", "trials": 7, "importance": {"width": 0.8}, "front": [ROW, slow]}
    lines = format_result(TASK, result)
    assert lines[-1] == "train_cnn: {learning_rate: 0.002, width: 48}"
    assert any("width" in line and "80%" in line for line in lines)
    assert format_result(TASK, result | {"front": []}) == ["train_cnn: no trial was completed; give more --minutes"]
