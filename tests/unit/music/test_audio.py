"""The sound of a melody."""

import io
import wave

import numpy as np
import pytest

from adloom.music.audio import RATE, render_wav
from adloom.music.midi import quarter_seconds
from adloom.music.tune import BEAT, Metre, Note, Tune


def test_a_tone_has_its_length_and_pitch_and_a_rest_is_silent() -> None:
    tune = Tune(None, Metre(2, 4), ((Note(69, 2 * BEAT), Note(None, 2 * BEAT)),))
    with wave.open(io.BytesIO(render_wav(tune))) as file:
        assert file.getframerate() == RATE
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    half = round(2 * quarter_seconds(Metre(2, 4)) * RATE)
    assert len(samples) == pytest.approx(2 * half, abs=1)
    tone, rest = samples[:half], samples[half:]
    assert np.abs(np.fft.rfft(tone)).argmax() * RATE / half == pytest.approx(440, abs=1)
    assert np.abs(rest).max() == 0
    assert np.abs(tone).max() < 0.5 * 32767
