"""`adloom tune`: what it refuses and prints."""

import subprocess
import sys

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from adloom.cli.tune import format_trial


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
