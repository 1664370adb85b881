"""The networks of pictures: every size and colour, and what their modules promise."""

import numpy as np
import pytest
import torch

from adloom.config.params import TrainCnn, TrainGan
from adloom.creatives import gan_module
from adloom.creatives.batches import PictureDataset
from adloom.creatives.cnn_module import ReaderModule, calibrate, shift_randomly
from adloom.creatives.cnn_net import Probabilities, Reader
from adloom.creatives.gan_module import GanModule
from adloom.creatives.gan_net import Discriminator, Generator

SHAPES = [(28, 1), (32, 3), (64, 3), (128, 1)]
CNN = TrainCnn(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=0.01, width=4, embedding=6)
GAN = TrainGan(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=0.01, width=4, latent=5)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Threads gain nothing on nets this small, and wait for each other when tests run side by side."""
    torch.set_num_threads(1)


@pytest.mark.parametrize(("size", "channels"), SHAPES)
def test_a_reader_gives_probabilities_and_a_unit_embedding(size: int, channels: int) -> None:
    reader = Probabilities(Reader(channels, size, 3, width=4, embedding=6)).eval()
    probabilities, embedding = reader(torch.rand(2, channels, size, size) * 2 - 1)
    assert probabilities.shape == (2, 3)
    assert probabilities.sum(1).tolist() == pytest.approx([1, 1])
    assert embedding.norm(dim=1).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(("size", "channels"), SHAPES)
@pytest.mark.parametrize("categories", [1, 3])
def test_a_generator_draws_what_its_discriminator_scores(size: int, channels: int, categories: int) -> None:
    generator = Generator(channels, size, categories, width=4, latent=5)
    category = torch.arange(3) % categories
    picture = generator(torch.randn(3, 5), category)
    assert picture.shape == (3, channels, size, size)
    assert picture.abs().max() <= 1
    score, logits = Discriminator(channels, size, categories, width=4)(picture, category)
    assert (score.shape, logits.shape) == ((3,), (3, categories))


def test_a_generator_obeys_the_category() -> None:
    generator = Generator(1, 28, 2, width=4, latent=5).eval()
    torch.nn.init.constant_(generator.norms[-1].bias.weight[1].data, 5.0)  # type: ignore[union-attr,index]
    first, second = generator(torch.zeros(2, 5), torch.tensor([0, 1]))
    assert not torch.equal(first, second)


def test_rows_are_floats_of_bytes() -> None:
    rows = PictureDataset(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1), np.array([3, 4]))
    picture, category = rows[np.array([1, 0, 1])]
    assert picture.flatten().tolist() == [1, -1, 1]
    assert category.tolist() == [4, 3, 4]


def test_shifted_pictures_move_by_a_pixel_and_repeat_their_edge() -> None:
    picture = torch.arange(9.0).reshape(1, 1, 3, 3)
    torch.manual_seed(0)
    found = {tuple(shift_randomly(picture).flatten().int().tolist()) for _ in range(200)}
    assert len(found) == 9  # three rows by three columns
    assert (0, 0, 1, 0, 0, 1, 3, 3, 4) in found  # down and to the right
    assert tuple(range(9)) in found


def test_calibration_finds_the_temperature_the_logits_were_multiplied_by() -> None:
    torch.manual_seed(0)
    reader = Reader(1, 28, 3, width=4, embedding=6).eval()
    pictures = torch.rand(600, 1, 28, 28) * 2 - 1
    with torch.no_grad():
        reader.project.weight *= 30  # tell the pictures apart
        logits, _ = reader(pictures)
        truth = torch.multinomial(logits.softmax(1), 1)[:, 0]
        reader.scale.mul_(5)
    assert calibrate(reader, [(pictures[:300], truth[:300]), (pictures[300:], truth[300:])]) == pytest.approx(
        5, rel=0.3
    )
    assert reader.scale.item() == pytest.approx(10, rel=0.3)
    assert calibrate(reader, []) == 1


def test_scales_and_biases_are_not_decayed() -> None:
    module = ReaderModule(Reader(1, 28, 3, width=4, embedding=6), CNN)
    optimizer = module.configure_optimizers()["optimizer"]
    assert isinstance(optimizer, torch.optim.AdamW)
    decayed, others = optimizer.param_groups
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in others["params"]} == {0, 1}
    assert others["weight_decay"] == 0


def test_the_averaged_generator_follows_and_is_settled() -> None:
    torch.manual_seed(0)
    module = GanModule(Generator(1, 28, 2, 4, 5), Discriminator(1, 28, 2, 4), GAN)
    before = module.average.begin.weight.clone()
    with torch.no_grad():
        module.generator.begin.weight.add_(1)
    module.steps += 1
    module._update_average()  # the first step's decay is 1 / 11
    assert torch.allclose(module.average.begin.weight, before + 10 / 11, atol=1e-5)
    generator = gan_module.standing_statistics(module, 2)
    first = gan_module.standing_statistics(module, 2).norms[0].norm.running_mean.clone()  # type: ignore[union-attr,operator]
    assert torch.equal(first, generator.norms[0].norm.running_mean)  # type: ignore[union-attr,arg-type]
    assert not generator.training
