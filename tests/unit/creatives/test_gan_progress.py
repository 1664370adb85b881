"""The kernel distance puts worse pictures further away, drawing leaves no trace, and a collapse is noticed."""

import copy

import pytest
import torch
from torch.nn import functional

from adloom.creatives.gan_net import Generator
from adloom.creatives.gan_progress import (
    CollapseDetector,
    draw_by_batch_statistics,
    measure_kernel_distance,
    spread_within,
)
from adloom.errors import ConfigError

STEPS = 200


def draw_squares(number: int, seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    shades = torch.rand(number, 1, 1, 1, generator=random)
    pictures = torch.rand(number, 1, 28, 28, generator=random) / 4 - 1
    pictures[:, :, 8:20, 8:20] += shades
    return pictures


def test_worse_pictures_are_further_away() -> None:
    real, again = draw_squares(200, 0), draw_squares(200, 1)
    blurred = functional.avg_pool2d(again, 5, 1, 2)
    noise = torch.rand(200, 1, 28, 28, generator=torch.Generator().manual_seed(2)) * 2 - 1
    distances = [measure_kernel_distance(drawn, real) for drawn in (again, blurred, noise)]
    assert abs(distances[0]) < 0.05
    assert distances == sorted(distances)
    assert distances[1] > 1


def test_drawing_is_repeatable_and_leaves_the_generator_as_it_is() -> None:
    torch.manual_seed(0)
    generator = Generator(1, 28, 2, 4, 5)
    before, condition = copy.deepcopy(generator.state_dict()), torch.eye(2).repeat(5, 1)
    first = draw_by_batch_statistics(generator, condition, 5, 4)
    assert torch.equal(first, draw_by_batch_statistics(generator, condition, 5, 4))
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


def draw_batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(step)
    category = functional.one_hot(torch.arange(32) % 4, 4).float()
    return torch.rand(32, 1, 8, 8, generator=random) + (category @ torch.arange(4.0))[:, None, None, None], category


def test_one_picture_per_category_is_noticed_within_200_steps() -> None:
    detector, (prototypes, _) = CollapseDetector(), draw_batch(1000)
    with pytest.raises(ConfigError, match=r"^train_gan: the generator collapsed by step 1\d\d: .*train_gan.seed"):
        for step in range(STEPS):
            real, category = draw_batch(step)
            detector.update(real, prototypes[torch.arange(32) % 4], category, step)


@pytest.mark.parametrize("contrast", [0.5, 1.0, 2.0])
def test_pictures_that_differ_are_accepted(contrast: float) -> None:
    detector = CollapseDetector()
    for step in range(STEPS):
        real, category = draw_batch(step)
        detector.update(real, contrast * draw_batch(step + STEPS)[0], category, step)
    assert detector.variety > 0.2


def test_a_set_with_one_picture_per_category_is_no_collapse() -> None:
    detector, category = CollapseDetector(), torch.eye(4)
    for step in range(STEPS):
        detector.update(torch.ones(4, 1, 2, 2), torch.ones(4, 1, 2, 2), category, step)
    assert detector.variety == 1


def test_the_spread_ignores_differences_between_categories() -> None:
    picture = torch.tensor([0.0, 2.0, 10.0, 10.0])[:, None, None, None]
    category = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert spread_within(picture, category).item() == pytest.approx((1 + 1) / 4)
