"""Drawing pictures and writing lines: what the generating endpoints answer, from checked requests and served models."""

import base64
import secrets
from http import HTTPStatus

import numpy as np

from adloom.copywriting.lines import LineRequest, LineRules, write_lines
from adloom.creatives import pictures
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import CopyAnswer, CopyRequest, GenerateAnswer, GenerateRequest
from adloom.serving.creatives import content_credentials
from adloom.serving.models.loader import Models, Writer

MAX_PIXELS = 64 * 64 * 64  # that one request may draw: 64 pictures of 64x64, 16 of 128x128
MAX_TOKENS = 64  # of a prompt, and of what is written after it
MAX_DRAWN = 16_384  # tokens that one request may draw, whether a rule refuses their lines or not


def generate(asked: GenerateRequest, models: Models) -> GenerateAnswer:
    """Draw pictures of a category. Raises Problem when the category or the model is not there."""
    gan = models.gan
    category = gan.category_index(asked.category)
    _require_few(asked.n, gan.card.shape)
    seed = _seed(asked.seed)
    z = np.random.default_rng([seed, category]).standard_normal((asked.n, gan.model.latent), np.float32)
    pixels = pictures.to_pixels(gan.model(z, np.full(asked.n, category, np.int64)))
    facts = {"model": gan.origin.digest, "category": asked.category, "seed": str(seed)}
    return GenerateAnswer(
        model=gan.origin,
        category=asked.category,
        seed=seed,
        source_type=content_credentials.SOURCE_TYPE,
        pictures=[_stamped(png, {**facts, "number": str(i)}) for i, png in enumerate(pictures.encode_pngs(pixels))],
    )


def write(asked: CopyRequest, models: Models) -> CopyAnswer:
    """Write lines of copy. Raises Problem when the category or the model is not there."""
    lstm = models.lstm
    if asked.category is not None:
        lstm.category_index(asked.category)
    seed = _seed(asked.seed)
    request = LineRequest(
        n=asked.n,
        seed=seed,
        category=asked.category,
        prompt=asked.prompt,
        temperature=asked.rules.temperature,
        max_tokens=MAX_TOKENS + 2 * _length(asked.prompt, lstm.model),  # a prompt may be spelled in more tokens
        max_drawn=MAX_DRAWN,
        rules=LineRules(tuple(asked.rules.banned_words), asked.rules.max_characters, lstm.model.known),
    )
    lines = write_lines(lstm.model.write, lstm.model.tokenizer, request)
    return CopyAnswer(
        model=lstm.origin, category=asked.category, seed=seed, source_type=content_credentials.SOURCE_TYPE, lines=lines
    )


def _require_few(n: int, shape: tuple[int, int, int]) -> None:
    """Raise Problem when so many pictures (channels, height, width) are more than one request may draw."""
    _, height, width = shape
    most = MAX_PIXELS // (height * width)
    if n > most:
        detail = f"n: {n} pictures of {width}x{height}, at most {most} are drawn by one request; ask again for the rest"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, "n")


def _length(prompt: str, model: Writer) -> int:
    """Return the tokens of a prompt. Raises Problem when they are too many."""
    tokens = len(model.tokenizer.encode(prompt))
    if tokens > MAX_TOKENS:
        detail = f"prompt: {tokens} tokens, expected at most {MAX_TOKENS}; make it shorter"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, "prompt")
    return tokens


def _seed(asked: int | None) -> int:
    return secrets.randbits(32) if asked is None else asked


def _stamped(png: bytes, facts: dict[str, str]) -> str:
    return base64.b64encode(content_credentials.stamp(png, facts)).decode()
