"""
Byte-pair tokens of ad copy (Sennrich, Haddow & Birch 2016) over the bytes of UTF-8 (Radford et al. 2019).

Every text survives encoding and decoding. A line is `prefix, token, …, end`; the prefix is its category
(`<category:Dresses>`) or `<begin>`. A text that spells such a name stays text.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from adloom.errors import ArtifactError

BEGIN, END, CATEGORY = "<begin>", "<end>", "<category:{}>"
BYTES = 256
MIN_FREQUENCY = 2  # a pair that occurs once is no pattern
_PRINTABLE = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}  # bytes that stand for themselves
_OTHERS = [byte for byte in range(BYTES) if byte not in _PRINTABLE]
_ALPHABET = [chr(byte) if byte in _PRINTABLE else chr(BYTES + _OTHERS.index(byte)) for byte in range(BYTES)]


class Tokenizer:
    """Converts text to token ids and back."""

    def __init__(self, model: tokenizers.Tokenizer) -> None:
        # The file does not store this switch; without it the text "<end>" would become the end token.
        model.encode_special_tokens = True
        self._model = model
        names = {token.content: i for i, token in model.get_added_tokens_decoder().items()}
        self.begin, self.end = names[BEGIN], names[END]
        opening, closing = CATEGORY.split("{}")
        self._prefixes = {n.removeprefix(opening).removesuffix(closing): i for n, i in names.items() if opening in n}
        self.special = frozenset(names.values())
        self.size: int = model.get_vocab_size()
        self.pieces: list[str] = [
            str(model.id_to_token(i)) for i in range(self.size)
        ]  # each token as `spell` writes it
        self.piece_bytes = [  # the UTF-8 of each token
            b"" if i in self.special else bytes(map(_ALPHABET.index, piece)) for i, piece in enumerate(self.pieces)
        ]
        self.characters = np.array([sum(byte & 0xC0 != 0x80 for byte in piece) for piece in self.piece_bytes])

    @property
    def categories(self) -> list[str]:
        """The categories with a prefix of their own, sorted."""
        return sorted(self._prefixes)

    def prefix(self, category: str | None) -> int:
        """Return the first token of a line; an unknown category counts as none."""
        return self.begin if category is None else self._prefixes.get(category, self.begin)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, without prefix and end."""
        return self._model.encode(text).ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; invalid UTF-8 becomes U+FFFD."""
        return self._model.decode([i for i in tokens if i not in self.special])

    def encode_line(self, text: str, category: str | None) -> list[int]:
        """Return the tokens of a whole line: prefix, text, end."""
        return [self.prefix(category), *self.encode(text), self.end]

    def spell(self, text: str) -> str:
        """Return a text in the alphabet of `pieces`, one character per byte of UTF-8."""
        return spell_bytes(text.encode())

    def to_json(self) -> str:
        """Return the content of tokenizer.json; equal training gives equal bytes."""
        return self._model.to_str(pretty=True) + "\n"


def spell_bytes(content: bytes) -> str:
    """Return bytes in the alphabet of `Tokenizer.pieces`."""
    return "".join(_ALPHABET[byte] for byte in content)


def from_json(text: str) -> Tokenizer:
    """Parse tokenizer.json. Raises ArtifactError when it is invalid."""
    try:
        return Tokenizer(tokenizers.Tokenizer.from_str(text))
    except Exception as error:  # noqa: BLE001 - the library raises bare Exception
        raise ArtifactError(f"tokenizer.json: not a tokenizer of this project: {error}; train the copywriter") from None


def fit(lines: Iterable[str], categories: Iterable[str], vocabulary: int) -> Tokenizer:
    """Learn at most `vocabulary` tokens from lines, but always the 256 bytes, begin, end and the categories."""
    special = [BEGIN, END, *(CATEGORY.format(name) for name in sorted(set(categories)))]
    model = tokenizers.Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=max(vocabulary, BYTES + len(special)),
        min_frequency=MIN_FREQUENCY,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    model.train_from_iterator(list(lines), trainer)
    return Tokenizer(model)
