"""A melody as sound: plucked tones as a WAV file."""

import io
import wave

import numpy as np

from adloom.music.midi import quarter_seconds
from adloom.music.tune import BEAT, Metre, Tune

RATE = 22_050  # samples a second
HARMONICS = (1.0, 0.5, 0.3, 0.15, 0.08)
DECAY, ATTACK = 2.5, 0.008  # per second; seconds
LOUDNESS = 0.4  # of the loudest possible


def render_wav(tune: Tune) -> bytes:
    """Return a mono WAV file of 16 bits."""
    seconds = quarter_seconds(tune.metre or Metre(4, 4)) / BEAT
    ends = np.rint(np.cumsum([note.ticks for note in tune.notes]) * seconds * RATE).astype(int)
    samples = np.zeros(ends[-1])
    for note, start, end in zip(tune.notes, [0, *ends[:-1]], ends, strict=True):
        if note.pitch is not None:
            samples[start:end] = _pluck(440 * 2 ** ((note.pitch - 69) / 12), end - start)
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * LOUDNESS * 32767).astype("<i2").tobytes())
    return stream.getvalue()


def _pluck(frequency: float, length: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return a tone with harmonics below half the rate, which fades out (length,)."""
    time = np.arange(length) / RATE
    heard = [(i, share) for i, share in enumerate(HARMONICS, 1) if i * frequency < RATE / 2]
    tone = sum(share * np.sin(2 * np.pi * i * frequency * time) for i, share in heard) / sum(HARMONICS)
    envelope = np.minimum(time / ATTACK, 1) * np.exp(-DECAY * time) * np.minimum((length / RATE - time) / ATTACK, 1)
    return np.asarray(tone * envelope, np.float64)
