"""A new model is tried in a process of its own, and one that never ends or takes all memory harms nobody."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support.bad_generators import Burden, write_bad_generator
from tests.support.tiny_models import write_models

from adloom.config.models import MODELS
from adloom.errors import AdloomError, ArtifactError, UnavailableError
from adloom.onnx_models.runtime import Generator
from adloom.serving.models.refresher import ModelRefresher
from adloom.serving.models.sources import ModelArtifact
from adloom.serving.models.trial import TrialProcess


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    for burden in ("loops", "loops with noise", "takes memory"):
        write_bad_generator(folder / burden, burden)
    return folder


@pytest.fixture(scope="module")
def trials() -> Iterator[TrialProcess]:
    """Trials of two seconds and 256 MiB."""
    trials = TrialProcess(threads=1, seconds=2, megabytes=256)
    yield trials
    trials.close()


@pytest.mark.slow
def test_good_models_pass(trials: TrialProcess, folder: Path) -> None:
    for model in MODELS:
        trials(model, folder / model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("burden", "why"), [("loops", "its trial takes over 2 s"), ("takes memory", "Failed to allocate memory|bad_alloc")]
)
def test_a_bad_model_fails_and_is_not_tried_again_at_once(
    trials: TrialProcess, bad: Path, burden: Burden, why: str
) -> None:
    with pytest.raises(ArtifactError, match=why):
        trials("gan", bad / burden)
    began = time.monotonic()
    with pytest.raises(ArtifactError, match=why):
        trials("gan", bad / burden)
    assert time.monotonic() - began < 1


def test_after_a_bad_model_the_next_is_tried(trials: TrialProcess, bad: Path, folder: Path) -> None:
    with pytest.raises(ArtifactError):
        trials("gan", bad / "loops")
    trials("gan", folder / "gan")


def test_a_trial_under_way_ends_with_the_service(bad: Path) -> None:
    trials = TrialProcess(threads=1, seconds=600, megabytes=256)
    refresher = ModelRefresher(
        lambda: {"gan": ModelArtifact(bad / "loops", 1, "registry")}, 1, trial=trials, close_source=trials.close
    )
    failed: list[AdloomError] = []

    def look() -> None:
        try:
            refresher.refresh()
        except AdloomError as error:
            failed.append(error)

    looking = threading.Thread(target=look)
    looking.start()
    refresher.close()
    looking.join(10)
    assert not looking.is_alive()
    assert isinstance(failed[0], UnavailableError)


def test_a_bad_champion_is_refused_and_what_served_serves_on(trials: TrialProcess, bad: Path, tmp_path: Path) -> None:
    write_models(tmp_path)
    found = {"gan": ModelArtifact(tmp_path / "gan", 1, "registry")}
    refresher = ModelRefresher(lambda: found, 1, trial=trials)
    first = refresher.refresh().models.loaded["gan"]
    found["gan"] = ModelArtifact(bad / "loops", 2, "registry")
    result = refresher.refresh()
    assert result.models.loaded["gan"] is first
    assert (result.newly_failed, "its trial takes over" in result.refused["gan"]) == (("gan",), True)
    assert refresher.refresh().newly_failed == ()  # it is said and counted once


@pytest.mark.slow
def test_a_model_that_loops_with_some_input_only_is_stopped(trials: TrialProcess, bad: Path) -> None:
    trials("gan", bad / "loops with noise")
    generator = Generator(bad / "loops with noise", threads=1, seconds=0.5)
    zeros, condition = np.zeros((1, generator.latent), "f4"), np.eye(1, 3, dtype="f4")
    assert generator(zeros, condition).shape[0] == 1
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"stopped after 0.5 s"):
        generator(zeros + 1, condition)
    assert time.monotonic() - began < 10
    assert generator(zeros, condition).shape[0] == 1  # the next request is answered
