"""The objectives of the picture generator, and the gradient penalty."""

import torch
from torch.nn import functional


def discriminator_loss(objective: str, real: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
    """
    Return the discriminator's loss for scores (batch,) of real and generated pictures, of equal conditions in each row.

    Cross-entropy (Goodfellow et al. 2014), hinge (Lim & Ye 2017), or relativistic pairs (Jolicoeur-Martineau 2018).
    """
    if objective == "relativistic":
        return functional.softplus(generated - real).mean()
    if objective == "hinge":
        return functional.relu(1 - real).mean() + functional.relu(1 + generated).mean()
    return functional.softplus(-real).mean() + functional.softplus(generated).mean()


def generator_loss(objective: str, real: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
    """Return the generator's loss for the same scores."""
    if objective == "relativistic":
        return functional.softplus(real - generated).mean()
    if objective == "hinge":
        return -generated.mean()
    return functional.softplus(-generated).mean()


def gradient_penalty(scores: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """
    Return the mean squared norm of the scores' gradient in the pictures.

    Over real pictures it is R1, over generated ones R2 (Mescheder et al. 2018).
    """
    (gradient,) = torch.autograd.grad(scores.sum(), pictures, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()
