"""MIDI files, read by mido."""

import io

import mido

from adloom.music.tune import BEAT, Note


def read_midi(content: bytes) -> tuple[list[Note], list[mido.MetaMessage]]:
    """Return the notes and rests of a MIDI file of one voice, and its meta messages."""
    file = mido.MidiFile(file=io.BytesIO(content))
    assert file.ticks_per_beat == BEAT
    notes, waited = [], 0
    for message in file.tracks[0]:
        waited += message.time
        if waited and message.type in ("note_on", "note_off", "end_of_track"):
            notes.append(Note(message.note if message.type == "note_off" else None, waited))
            waited = 0
    return notes, [message for message in file.tracks[0] if message.is_meta]
