"""Tunes: ABC notation, notes as tokens, melodies under rules, MIDI. Pure."""
