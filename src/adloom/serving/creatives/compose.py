"""Compose a melody: the answer of its endpoint."""

import base64
import secrets
from http import HTTPStatus

from adloom.credentials.origin import SOURCE_TYPE
from adloom.errors import UserError
from adloom.music.abc_notation import parse_key
from adloom.music.composing import MelodyRequest, compose, parse_short_metre
from adloom.music.midi import write_midi
from adloom.music.tune import Key, Metre, TuneError
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import MelodyNote, MusicAnswer, MusicRequest
from adloom.serving.creatives.issuer import Issuer, describe_origin
from adloom.serving.models.loader import Models


def answer(request: MusicRequest, models: Models, issuer: Issuer) -> MusicAnswer:
    """Compose a melody, and sign it. Raises Problem for an unknown key or metre, and if no melody was found."""
    music = models.music
    seed = secrets.randbits(32) if request.seed is None else request.seed
    melody_request = MelodyRequest(
        request.bars, seed, _parse_key(request.key), _parse_metre(request.metre), request.temperature
    )
    try:
        tune = compose(music.model.write, music.model.notes, melody_request, music.model.known)
    except UserError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    facts = {"model": music.origin.digest, "seed": str(seed), "source_type": SOURCE_TYPE}
    midi = write_midi(tune, tuple(f"adloom:{name}={value}" for name, value in facts.items()))
    described = {"key": str(tune.key), "metre": str(tune.metre)}
    return MusicAnswer(
        model=music.origin,
        seed=seed,
        key=str(tune.key),
        metre=str(tune.metre),
        source_type=SOURCE_TYPE,
        bars=[[MelodyNote(pitch=note.pitch, ticks=note.ticks) for note in bar] for bar in tune.bars],
        midi=base64.b64encode(midi).decode(),
        sidecar=issuer.issue_file(midi, describe_origin(music, seed, described)),
    )


def _parse_key(text: str) -> Key:
    try:
        key = parse_key(text)
    except TuneError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), "key") from None
    if key is None:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "key: none, expected one such as D", "key")
    return key


def _parse_metre(text: str | None) -> Metre | None:
    try:
        return parse_short_metre(text or "")
    except TuneError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), "metre") from None
