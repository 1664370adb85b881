"""Find repeated keys over the chunks of a table."""

import pandas as pd


class DuplicateFinder:
    """Finds repeated keys over the chunks of a table."""

    def __init__(self) -> None:
        self._seen: set[object] = set()

    def __call__(self, keys: pd.Series) -> pd.Series:
        """Return whether each key repeats an earlier one; missing keys do not."""
        repeated = keys.notna() & (keys.duplicated() | keys.isin(self._seen))
        self._seen.update(keys.dropna())
        return repeated
