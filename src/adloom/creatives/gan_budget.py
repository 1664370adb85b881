"""The capacity and the steps that suit a set of pictures."""

from adloom.config.params import TrainGan
from adloom.creatives.gan_net import count_operations

WIDTHS = {28: 24, 32: 24, 64: 16, 128: 8}  # by size: a narrower net that takes more steps draws better in the same time
OPERATIONS = 4.2e13  # of a training: 10 minutes at 70 GFLOP/s, on two cores
STEPS = 1600  # what a large set gets
LARGE = 20000  # pictures; smaller sets get more steps, in proportion to the square root
PASSES = 300  # over all pictures at most
SMALL = 5000  # pictures; smaller sets are augmented
ENCODED = 100000  # pictures; larger sets are not reconstructed, as their codes would take too much memory


def complete_params(params: TrainGan, pictures: int, channels: int, size: int, columns: int) -> TrainGan:
    """Return params in which 0 and "auto" are replaced by what suits pictures of this number and shape."""
    width = params.width or WIDTHS[size]
    objective, augmentation = params.objective, params.augmentation
    if objective == "auto":
        objective = "bce" if pictures < SMALL else "relativistic"
    if augmentation == "auto":
        augmentation = "always" if pictures < SMALL else "never"
    reconstruction = params.reconstruction
    if reconstruction is None:
        reconstruction = _choose_reconstruction(pictures, channels)
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


def _choose_reconstruction(pictures: int, channels: int) -> float:
    """Return the share of a batch; more of it makes pictures more varied and fewer of them true to their category."""
    if pictures < SMALL:
        return 0.5 if channels > 1 else 0.0
    return 0.125 if pictures <= ENCODED else 0.0
