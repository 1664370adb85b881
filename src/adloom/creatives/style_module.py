"""Training of the stylizer."""

import pytorch_lightning as pl
import torch

from adloom.arrays import Int64Array, UInt8Array
from adloom.config.params import TrainStyle
from adloom.creatives.efficientnet import EfficientNetLite0
from adloom.creatives.gram_transfer_net import measure_variation
from adloom.creatives.style_losses_net import compute_grams, content_loss, pretrained_features, style_loss
from adloom.creatives.stylizer_net import Stylizer

Batch = tuple[torch.Tensor, torch.Tensor]

SMOOTHNESS = 0.02  # weight of the squared difference of neighbouring pixels
LARGEST_LOSS = 5.0  # of a style: a blank one, which any stroke misses by far, must not decide the step
CLIP = 1.0  # largest norm of a gradient


class StylePairs:
    """All pairs of a content and a style, stored as bytes (pictures, 3, edge, edge); a batch is floats in [-1, 1]."""

    def __init__(self, contents: UInt8Array, styles: UInt8Array) -> None:
        self._contents, self._styles = torch.from_numpy(contents), torch.from_numpy(styles)

    def __len__(self) -> int:
        return len(self._contents) * len(self._styles)

    def __getitem__(self, rows: Int64Array) -> Batch:
        content, style = (torch.from_numpy(index) for index in divmod(rows, len(self._styles)))
        return self._contents[content].float() / 127.5 - 1, self._styles[style].float() / 127.5 - 1


class StyleModule(pl.LightningModule):
    """Adam under a one-cycle schedule, on the style and content losses of the result (Johnson et al. 2016)."""

    def __init__(self, net: Stylizer, judge: EfficientNetLite0, params: TrainStyle) -> None:
        super().__init__()
        self.net, self._params = net, params
        self._judge = [judge]  # in a list, so that a checkpoint leaves it out

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """Return the loss of one batch; the colours of contents and styles are swapped at random."""
        content, style = (picture[:, torch.randperm(3, device=picture.device)] for picture in batch)
        features = pretrained_features(self._judge[0].to(content.device))
        painted = self.net(content, style, content.new_ones(len(content)))
        layers = features.compute(painted)
        with torch.no_grad():
            kept, grams = features.compute(content)[features.content], compute_grams(features.compute(style))
        styles, contents = style_loss(layers, grams), content_loss(layers[features.content], kept)
        values = {"style_loss": styles.mean(), "content_loss": contents.mean()}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(content), sync_dist=True)
        total = styles.clamp(max=LARGEST_LOSS) + self._params.content_weight * contents
        loss: torch.Tensor = (total + SMOOTHNESS * measure_variation(painted)).mean()
        return loss

    def configure_optimizers(self) -> dict[str, object]:
        """Return the optimizer and its schedule."""
        weights = [weight for weight in self.net.parameters() if weight.requires_grad]
        optimizer = torch.optim.Adam(weights, lr=self._params.learning_rate)
        steps = self._params.epochs * self._params.steps_per_epoch
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self._params.learning_rate, total_steps=steps, pct_start=0.15
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: object, **__: object) -> None:
        """Clip the gradient's norm."""
        self.clip_gradients(optimizer, gradient_clip_val=CLIP, gradient_clip_algorithm="norm")
