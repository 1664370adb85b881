"""The tables keep their contracts, and join."""

import numpy as np
import pandas as pd
import pytest
from tests.support.worlds import small_world

from adloom.data import contracts
from adloom.world.tables import build_tables


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return build_tables(small_world(), 1, impressions=3000)


@pytest.mark.parametrize("name", ["events", "impressions"])
def test_every_row_keeps_the_contract(tables: dict[str, pd.DataFrame], name: str) -> None:
    rows, reasons = contracts.validate(tables[name], name)
    assert len(rows) == len(tables[name]) > 20
    assert set(reasons) == {""}


def test_tables_join(tables: dict[str, pd.DataFrame]) -> None:
    impressions, creatives, events = tables["impressions"], tables["creatives"], tables["events"]
    ids = {*creatives["creative_id"]}
    assert {*impressions["creative_id"]} <= ids
    assert {*impressions["candidates"].iloc[0].split("|")} <= ids
    assert {*events["item_id"]} <= ids
    assert {*impressions["user_id"]} <= {*events["user_id"]}
    assert {*creatives["text"]} == {*tables["copy"]["text"]}
    assert events["timestamp"].max() < impressions["timestamp"].min()


def test_users_buy_what_their_segment_likes(tables: dict[str, pd.DataFrame]) -> None:
    adworld = small_world()
    bought = tables["events"].merge(adworld_categories(tables), on="item_id")
    segment = adworld.purchases.segment_of[bought["user_id"].str.slice(1).astype(int)]
    liked = [adworld.taste[name][number] for name, number in zip(bought["category"], segment, strict=True)]
    average = np.mean(list(adworld.taste.values()), 0)[segment]  # of the items, if bought at random
    assert np.mean(liked - average) > 0.3


def adworld_categories(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return tables["creatives"][["creative_id", "category"]].rename(columns={"creative_id": "item_id"})


def test_bots_click_on_one_creative_and_never_buy(tables: dict[str, pd.DataFrame]) -> None:
    impressions = tables["impressions"]
    clicks = impressions[impressions["clicked"] & impressions["user_id"].isin(["u00000", "u00001"])]
    assert clicks.groupby("user_id")["creative_id"].nunique().tolist() == [1, 1]
    assert clicks["conversions"].sum() == 0 < impressions["conversions"].sum()
