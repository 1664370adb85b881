"""Arms of experiments in a table of impressions: their shares of the users, and the sample-ratio test."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from adloom.evaluation.metric import Table
from adloom.evaluation.sample_ratio import sample_ratio_p_value

COLUMNS = ("experiment", "arm", "arm_probability", "user_id", "clicked")
ARM = list(COLUMNS[:3])
HEADER = ["arm", "users", "share of users", "planned", "impressions", "clicks per 1,000", "sample-ratio p-value"]
CAPTION = (
    "Arms that showed ads in the holdout period; planned shares are those among these arms. A p-value below 0.001 says "
    "that users did not reach the arms as planned, so the arms are not comparable."
)


def build_arms_table(chunks: Iterable[pd.DataFrame]) -> Table | None:
    """Return the arms in chunks of COLUMNS, or None without an experiment."""
    arms = _count_arms(chunks)
    rows: list[list[str | float | int]] = []
    for name, group in arms.groupby("experiment"):
        planned = group["arm_probability"] / group["arm_probability"].sum()
        ratio = _test_ratio(group, planned)
        share = group["users"] / group["users"].sum()
        for arm, own, plan in zip(group.to_dict("records"), share, planned, strict=True):
            rate = round(1000 * arm["clicked"] / arm["impressions"], 3)
            shares = [f"{own:.1%}", f"{plan:.1%}"]
            rows.append([f"{name}: {arm['arm']}", int(arm["users"]), *shares, int(arm["impressions"]), rate, ratio])
    return Table("Arms of experiments", CAPTION, HEADER, rows) if rows else None


def _count_arms(chunks: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the impressions, clicks and users of each arm; an impression without a user is a user of its own."""
    counts, pairs = [], []
    for chunk in chunks:
        rows = chunk.dropna(subset=ARM)
        user = rows.get("user_id", pd.Series(None, rows.index, "str"))
        known = rows[ARM].assign(user=pd.util.hash_array(user.astype("str").to_numpy(object)))[user.notna()]
        pairs.append(known.drop_duplicates())
        counts.append(rows[ARM].assign(impressions=1, clicked=rows["clicked"].astype(int), users=user.isna()))
    arms = pd.concat(counts).groupby(ARM, as_index=False).sum()
    users = pd.concat(pairs).drop_duplicates().groupby(ARM).size().reindex(pd.MultiIndex.from_frame(arms[ARM]))
    return arms.assign(users=arms["users"].to_numpy() + users.fillna(0).to_numpy(int))


def _test_ratio(arms: pd.DataFrame, planned: pd.Series) -> str:
    if arms["arm"].duplicated().any():
        return "not tested: shares changed"
    if len(arms) == 1:
        return "not tested: one arm"
    return f"{sample_ratio_p_value(arms['users'].to_numpy(float), planned.to_numpy(np.float64)):.3g}"
