"""The objectives, by hand, and the gradient penalty."""

import math

import pytest
import torch

from adloom.creatives.gan_loss import discriminator_loss, generator_loss, gradient_penalty

REAL, GENERATED = torch.tensor([2.0, 0.0]), torch.tensor([0.0, -3.0])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("objective", "discriminator", "generator"),
    [
        ("hinge", 1 / 2 + 1 / 2, 3 / 2),
        (
            "bce",
            (softplus(-2) + softplus(0) + softplus(0) + softplus(-3)) / 2,
            (softplus(0) + softplus(3)) / 2,
        ),
        ("relativistic", (softplus(-2) + softplus(-3)) / 2, (softplus(2) + softplus(3)) / 2),
    ],
)
def test_an_objective_has_its_losses(objective: str, discriminator: float, generator: float) -> None:
    assert discriminator_loss(objective, REAL, GENERATED).item() == pytest.approx(discriminator)
    assert generator_loss(objective, REAL, GENERATED).item() == pytest.approx(generator)


def test_the_penalty_of_a_linear_score_is_its_squared_slope() -> None:
    slope = torch.tensor(3.0, requires_grad=True)
    pictures = torch.randn(2, 1, 2, 2, requires_grad=True)
    penalty = gradient_penalty((slope * pictures).sum((1, 2, 3)), pictures)
    assert penalty.item() == pytest.approx(4 * 9)
    (gradient,) = torch.autograd.grad(penalty, slope)
    assert gradient.item() == pytest.approx(4 * 2 * 3)
