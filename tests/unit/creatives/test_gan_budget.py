"""Capacity and steps follow from number and size of the pictures, and explicit ones stay."""

import pytest

from adloom.config.params import TrainGan
from adloom.creatives.gan_budget import OPERATIONS, complete_params
from adloom.creatives.gan_net import count_operations

CHOSEN = TrainGan(epochs=4, batch_size=64, learning_rate=0.002)


def test_explicit_params_stay() -> None:
    update = {
        "width": 5,
        "steps_per_epoch": 3,
        "augmentation": "never",
        "reconstruction": 0.5,
        "objective": "hinge",
    }
    params = CHOSEN.model_copy(update=update)
    assert complete_params(params, 1000, 1, 28, 10) == params


@pytest.mark.parametrize(("size", "width"), [(28, 24), (64, 16), (128, 8)])
def test_larger_pictures_get_narrower_nets(size: int, width: int) -> None:
    assert complete_params(CHOSEN, 60000, 3, size, 10).width == width


@pytest.mark.parametrize(
    ("pictures", "channels", "size"), [(60000, 1, 28), (1000, 1, 28), (1900, 3, 64), (500, 3, 128)]
)
def test_a_training_stays_within_its_operations(pictures: int, channels: int, size: int) -> None:
    params = complete_params(CHOSEN, pictures, channels, size, 10)
    operations = count_operations(channels, size, 10, params.width, params.latent) * 64
    assert params.epochs * params.steps_per_epoch * operations <= OPERATIONS


def test_smaller_sets_get_more_steps_augmentation_and_another_loss_but_not_without_end() -> None:
    large, small, tiny = (complete_params(CHOSEN, pictures, 1, 28, 10) for pictures in (60000, 2000, 7))
    assert (large.steps_per_epoch, large.augmentation, large.objective) == (400, "never", "relativistic")
    assert small.steps_per_epoch > 2 * large.steps_per_epoch
    assert (small.augmentation, small.objective) == ("always", "bce")
    assert tiny.steps_per_epoch == 75  # 300 passes, each of one batch


@pytest.mark.parametrize(
    ("pictures", "channels", "expected"),
    [(1500, 3, 0.5), (1500, 4, 0.5), (1500, 1, 0), (5000, 3, 0.125), (5000, 1, 0.125), (200000, 1, 0)],
)
def test_pictures_are_reconstructed_most_in_small_colour_sets(pictures: int, channels: int, expected: float) -> None:
    assert complete_params(CHOSEN, pictures, channels, 64, 10).reconstruction == expected
