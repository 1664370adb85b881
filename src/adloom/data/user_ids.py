"""Checks of user ids: do they look like one id per user?"""

from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa

SHORTENED = r"[+-]?[0-9]([.,][0-9]+[eE][+-]?|[eE]\+)[0-9]+"  # 1.23457E+11
SPREADSHEET_DIGITS = 15  # spreadsheets replace further digits by zeros
EXACT = {pa.float32(): 2**24, pa.float64(): 2**53}  # largest whole number below which a type holds all
MIN_LONG_IDS = 10  # fewer may end in zeros by chance


@dataclass
class UserIdCheck:
    """Counts rows with user ids that spreadsheets have changed, and compares the lengths of numeric ids."""

    shortened: int = 0
    long: int = 0  # more digits than a spreadsheet keeps
    rounded: int = 0  # of these, with zeros after the digits that it keeps
    longest_padded: int = field(default=0, init=False)  # digits of an id with leading zeros
    shortest_plain: int | None = field(default=None, init=False)  # digits of an id without
    inexact: int = field(default=0, init=False)  # floating-point numbers of more digits than they hold

    def count(self, ids: pd.Series) -> None:
        """Count the ids of some rows, before they become pseudonyms."""
        self.shortened += int(ids.str.fullmatch(SHORTENED).fillna(False).sum())
        numbers = ids[ids.str.isdigit().fillna(False).astype("bool")]
        digits, is_padded = numbers.str.len(), numbers.str.startswith("0") & (numbers != "0")
        is_long = digits > SPREADSHEET_DIGITS
        self.long += int(is_long.sum())
        self.rounded += int(numbers[is_long].str.slice(SPREADSHEET_DIGITS).str.fullmatch("0+").sum())
        self.longest_padded = max(self.longest_padded, int(digits[is_padded].max()) if is_padded.any() else 0)
        if not is_padded.all():
            shortest = int(digits[~is_padded].min())
            self.shortest_plain = min(self.shortest_plain or shortest, shortest)

    def count_inexact(self, raw: pd.Series) -> None:
        """Count the ids that a column of floating-point numbers may have rounded."""
        if isinstance(raw.dtype, pd.ArrowDtype) and (limit := EXACT.get(raw.dtype.pyarrow_dtype)):
            self.inexact += int((raw.abs() > limit).fillna(False).sum())

    def warnings(self) -> list[str]:
        """Return what is wrong with the ids."""
        notes = []
        if self.shortened:
            notes.append(
                f"user_id: a spreadsheet shortened ids to numbers such as 1.23457E+11 (rows: {self.shortened}); "
                "several users may share one; export the ids as text"
            )
        if self.inexact:
            notes.append(
                f"user_id: a column of floating-point numbers rounds long ids (rows: {self.inexact}); several users "
                "may share one; export the ids as whole numbers or text"
            )
        if self.long >= MIN_LONG_IDS and self.rounded == self.long:
            notes.append(
                f"user_id: all ids of more than {SPREADSHEET_DIGITS} digits end in zeros (rows: {self.long}), as a "
                "spreadsheet rounds them; several users may share one; export the ids as text"
            )
        if self.longest_padded > (self.shortest_plain or self.longest_padded):
            notes.append(
                "user_id: some numbers have leading zeros and shorter ones have none, such as 042 and 42; if both are "
                "one user, write them in one way"
            )
        return notes
