"""The sentences of prepared bodies, which the copywriter learns from besides its lines."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def list_sentences(rows: "pd.DataFrame") -> list[str]:
    """Return the distinct sentences of prepared copy."""
    if "body" not in rows:  # a table of an older adloom
        return []
    return list(dict.fromkeys(sentence for body in rows["body"].dropna() for sentence in body.split("\n")))
