"""Style losses: Gram matrices by hand, 0 at the style itself, 1 at a blank picture."""

import torch

from adloom.creatives.style_losses_net import compute_grams, content_loss, style_loss


def test_a_gram_matrix_is_the_mean_product_of_channels() -> None:
    layer = torch.tensor([[[[1.0, 2.0]], [[3.0, 5.0]]]])
    assert compute_grams([layer])[0].tolist() == [[[2.5, 6.5], [6.5, 17.0]]]


def test_the_style_loss_ignores_where_things_are_and_the_content_loss_does_not() -> None:
    layer = torch.rand((2, 3, 4, 4), generator=torch.Generator().manual_seed(1))
    moved, grams = layer.roll(1, 3), compute_grams([layer])
    torch.testing.assert_close(style_loss([moved], grams), torch.zeros(2))
    assert (content_loss(moved, layer) > 0.1).all()


def test_a_blank_layer_has_loss_1() -> None:
    layer = torch.rand((1, 3, 4, 4), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(style_loss([layer * 0], compute_grams([layer])), torch.ones(1))
    torch.testing.assert_close(content_loss(layer * 0, layer), torch.ones(1))
