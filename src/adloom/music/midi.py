"""Melodies as MIDI files, by mido."""

import io

import mido

from adloom.music.tune import BEAT, Metre, Tune

VIOLIN = 40  # General MIDI program, counted from 0
VELOCITY = 80
PULSE = 104  # pulses a minute: of a half note, a quarter, or three eighths
SIGNATURES = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")  # from 7 flats


def write_midi(tune: Tune, texts: tuple[str, ...] = ()) -> bytes:
    """Return a MIDI file of one track, with texts such as its origin. Equal tunes give equal bytes."""
    track = mido.MidiTrack(mido.MetaMessage("text", text=text) for text in texts)
    metre = tune.metre or Metre(4, 4)
    track.append(mido.MetaMessage("time_signature", numerator=metre.beats, denominator=metre.unit))
    track.append(mido.MetaMessage("key_signature", key=SIGNATURES[7 + (tune.key.sharps if tune.key else 0)]))
    track.append(mido.MetaMessage("set_tempo", tempo=round(quarter_seconds(metre) * 1e6)))
    track.append(mido.Message("program_change", program=VIOLIN))
    rest = 0
    for note in tune.notes:
        if note.pitch is None:
            rest += note.ticks
            continue
        track.append(mido.Message("note_on", note=note.pitch, velocity=VELOCITY, time=rest))
        track.append(mido.Message("note_off", note=note.pitch, velocity=0, time=note.ticks))
        rest = 0
    track.append(mido.MetaMessage("end_of_track", time=rest))
    stream = io.BytesIO()
    mido.MidiFile(type=0, ticks_per_beat=BEAT, tracks=[track]).save(file=stream)
    return stream.getvalue()


def quarter_seconds(metre: Metre) -> float:
    """Return how long a quarter note sounds."""
    is_compound = metre.unit == 8 and metre.beats % 3 == 0
    return 60 / PULSE / (1.5 if is_compound else 4 / metre.unit)
