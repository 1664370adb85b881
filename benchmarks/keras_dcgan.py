"""The training loop of the Keras DCGAN programs, for `training_peers.py keras`, which runs it in a venv of its own.

    python benchmarks/keras_dcgan.py BATCH STEPS THREADS      # prints the seconds of each round as JSON, wall and CPU

The nets are those of the DCGAN tutorial for 28 x 28 pictures. Each step trains the discriminator on real and then on
generated pictures, and the generator through the frozen discriminator, as the programs do with `train_on_batch`.
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from tensorflow.keras import Sequential, layers, optimizers

LATENT, ROUNDS, WARM_UP = 100, 5, 5


def build_generator() -> Sequential:
    """Return the generator."""
    net = [layers.Input((LATENT,)), layers.Dense(7 * 7 * 256, use_bias=False), layers.BatchNormalization()]
    net += [layers.LeakyReLU(), layers.Reshape((7, 7, 256))]
    for width, stride in ((128, 1), (64, 2)):
        net += [layers.Conv2DTranspose(width, 5, stride, padding="same", use_bias=False)]
        net += [layers.BatchNormalization(), layers.LeakyReLU()]
    return Sequential([*net, layers.Conv2DTranspose(1, 5, 2, padding="same", use_bias=False, activation="tanh")])


def build_discriminator() -> Sequential:
    """Return the discriminator."""
    net = [layers.Input((28, 28, 1))]
    for width in (64, 128):
        net += [layers.Conv2D(width, 5, 2, padding="same"), layers.LeakyReLU(), layers.Dropout(0.3)]
    return Sequential([*net, layers.Flatten(), layers.Dense(1, activation="sigmoid")])


def main() -> None:
    batch, steps, threads = map(int, sys.argv[1:])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    generator, discriminator = build_generator(), build_discriminator()
    discriminator.compile(optimizers.Adam(1e-4), "binary_crossentropy")
    frozen = tf.keras.models.clone_model(discriminator)  # its weights differ, its time does not
    frozen.trainable = False
    both = Sequential([generator, frozen])
    both.compile(optimizers.Adam(1e-4), "binary_crossentropy")
    rng = np.random.default_rng(0)
    pictures = rng.uniform(-1, 1, (1000, 28, 28, 1)).astype(np.float32)
    ones, zeros = np.ones((batch, 1), np.float32), np.zeros((batch, 1), np.float32)

    def train_step() -> None:
        noise = rng.standard_normal((batch, LATENT)).astype(np.float32)
        discriminator.train_on_batch(pictures[rng.integers(0, 1000, batch)], ones)
        discriminator.train_on_batch(generator.predict(noise, verbose=0), zeros)
        both.train_on_batch(noise, ones)

    for _ in range(WARM_UP):
        train_step()
    rounds = []
    for _ in range(ROUNDS):
        wall, processors = time.perf_counter(), time.process_time()
        for _ in range(steps):
            train_step()
        rounds.append(((time.perf_counter() - wall) / steps, (time.process_time() - processors) / steps))
    print(json.dumps(rounds))


if __name__ == "__main__":
    main()
