"""The baseline of the copywriter: the Kneser-Ney model of characters that predicts the validation lines best."""

from collections.abc import Sequence
from dataclasses import dataclass

from adloom.sequences import kneser_ney
from adloom.sequences.kneser_ney import KneserNey

ORDERS = (3, 12)  # lowest and highest number of characters that compete


@dataclass(frozen=True)
class FittedBaseline:
    """A fitted model with its bits per character of the validation lines."""

    model: KneserNey[str]
    training: str  # "distinct lines", or "all lines": a line counts as often as it occurs
    bits: float

    @property
    def order(self) -> int:
        """The length of the longest n-grams."""
        return len(self.model.orders)


def fit_candidates(train: Sequence[str], validation: Sequence[str]) -> list[FittedBaseline]:
    """Fit every order on distinct lines and on all lines; `validation` are distinct lines."""
    distinct = list(dict.fromkeys(train))
    trainings = {"distinct lines": distinct} | ({"all lines": train} if len(distinct) < len(train) else {})
    characters = sum(len(line) + 1 for line in validation)
    lowest, highest = ORDERS
    return [
        FittedBaseline(model, name, float(model.line_bits(validation).sum()) / characters)
        for name, lines in trainings.items()
        for model in kneser_ney.fit_orders(lines, highest)[lowest - 1 :] or [kneser_ney.fit(lines, lowest)]
    ]


def choose_best(candidates: Sequence[FittedBaseline]) -> FittedBaseline:
    """Return the candidate with the fewest bits, of equal ones the first."""
    return min(candidates, key=lambda candidate: candidate.bits)
