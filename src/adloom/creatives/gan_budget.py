"""The capacity and the steps that suit a set of pictures."""

from adloom.config.params import TrainGan
from adloom.creatives.gan_net import count_operations

WIDTHS = {28: 24, 32: 24, 64: 16, 128: 8}  # by size: a narrower net that takes more steps draws better in the same time
OPERATIONS = 4.2e13  # of a training: 10 minutes at 70 GFLOP/s, on two cores
STEPS = 1600  # what a large set gets
LARGE = 20000  # pictures; smaller sets get more steps, in proportion to the square root
PASSES = 300  # over all pictures at most
SMALL = 5000  # pictures; smaller sets are augmented, colour pictures of smaller sets reconstructed


def complete_params(params: TrainGan, pictures: int, channels: int, size: int, columns: int) -> TrainGan:
    """Return params in which 0 and "auto" are replaced by what suits pictures of this number and shape."""
    width = params.width or WIDTHS[size]
    objective, augmentation = params.objective, params.augmentation
    if objective == "auto":
        objective = "bce" if pictures < SMALL else "relativistic"
    if augmentation == "auto":
        augmentation = "always" if pictures < SMALL else "never"
    reconstruction = params.reconstruction
    if reconstruction == "auto":
        reconstruction = "always" if pictures < SMALL and channels > 1 else "never"
    wanted = STEPS * max(1.0, (LARGE / pictures) ** 0.5)
    affordable = OPERATIONS / params.batch_size / count_operations(channels, size, columns, width, params.latent)
    steps = int(min(wanted, affordable, PASSES * max(pictures, params.batch_size) / params.batch_size))
    per_epoch = params.steps_per_epoch or max(1, steps // params.epochs)
    return params.model_copy(
        update={
            "width": width,
            "objective": objective,
            "augmentation": augmentation,
            "reconstruction": reconstruction,
            "steps_per_epoch": per_epoch,
        }
    )
