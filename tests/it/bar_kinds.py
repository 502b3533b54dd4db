"""Bars of every kind as polars makes them of the raw trades, held against those of the engine.

usage: bar_kinds.py FOLDER...

Each folder has `events.csv` (what happened, in order of arrival: t a trade, q another event that
carries a stamp, g a gap), `kinds.csv` (index, kind and size as an integer) and `bars.csv` (what the
engine made of it; the bar still open comes last). Shares nothing with the engine. Prints one JSON
object: how many bars of each kind were compared, and what differs.
"""
import json
import sys
from bisect import bisect_left
from pathlib import Path

import polars as pl

# A trade further than this many bricks from the last one starts the grid afresh.
MOST_BRICKS = 1000

FIELDS = [
    "start_ns", "end_ns", "open", "high", "low", "close", "volume", "taker_buy_volume", "notional",
    "first_ns", "last_ns", "trades", "late", "incomplete", "vwap", "state",
]


def events_of(folder):
    events = pl.read_csv(folder / "events.csv", infer_schema=False).with_row_index("row")
    numbers = pl.col("time", "price", "amount").cast(pl.Int64)
    # The newest stamp so far: what time it is.
    return events.with_columns(numbers).with_columns(
        pl.col("row").cast(pl.Int64), now=pl.col("time").cum_max().forward_fill()
    )


def trades_of(events):
    """Trades, each with whether there was a gap since the one before."""
    gaps = (pl.col("what") == "g").cum_sum()
    trades = events.with_columns(gaps=gaps).filter(pl.col("what") == "t")
    return trades.with_columns(
        after_gap=pl.col("gaps") > pl.col("gaps").shift(1, fill_value=0),
        notional=pl.col("price").cast(pl.Int128) * pl.col("amount").cast(pl.Int128),
        bought=pl.when(pl.col("bought") == "1").then("amount").otherwise(0),
    ).drop("gaps", "what")


def bars_by(trades, late):
    """A row for each `bar` of the trades, in order; `late` is an expression on a trade."""
    return (
        trades.group_by("bar", maintain_order=True)
        .agg(
            pl.col("price").first().alias("open"),
            pl.col("price").max().alias("high"),
            pl.col("price").min().alias("low"),
            pl.col("price").last().alias("close"),
            pl.col("amount").sum().alias("volume"),
            pl.col("bought").sum().alias("taker_buy_volume"),
            pl.col("notional").sum(),
            pl.col("time").first().alias("first_ns"),
            pl.col("time").last().alias("last_ns"),
            pl.col("time").min().alias("oldest"),
            pl.col("time").max().alias("newest"),
            pl.len().cast(pl.Int64).alias("trades"),
            late.sum().cast(pl.Int64).alias("late"),
            pl.col("after_gap").any().alias("incomplete"),
            pl.col("row").last().alias("last_row"),
        )
        .sort("bar")
    )


def time_ids(trades, interval):
    """The interval of each trade's bar, counted from the epoch.

    Time is what the newest stamp says, so a trade is in the interval of its `now`, unless it is
    late and nothing of that interval is open yet: then it is in its own one, if that has not
    closed, else in the one after the last that has, and the next event closes that bar.
    """
    trades = trades.with_columns(
        own=pl.col("time") // interval, bar=pl.col("now") // interval
    ).with_columns(opened=(pl.col("own") == pl.col("bar")).cum_max().over("bar"))
    ids = trades["bar"].to_list()
    own = trades["own"].to_list()
    for at in trades.with_row_index("at").filter(~pl.col("opened"))["at"]:
        now = ids[at]
        # A bar of this interval may be open with late trades alone.
        if at > 0 and ids[at - 1] == now:
            continue
        ids[at] = min(now, max(own[at], ids[at - 1] + 1)) if at > 0 else own[at]
    return trades.with_columns(bar=pl.Series(ids, dtype=pl.Int64)).drop("own", "opened")


def time_bars(events, trades, interval):
    trades = time_ids(trades, interval)
    bars = bars_by(trades, pl.col("time") < pl.col("bar") * interval)
    bars = bars.with_columns(
        start_ns=pl.col("bar") * interval, end_ns=(pl.col("bar") + 1) * interval
    )
    # A gap, the bar of the trade before it, and the last event in between: was the bar still open?
    last = events.with_columns(
        seen=pl.when(pl.col("what") == "g").then(None).otherwise("what").forward_fill()
    )
    gaps = last.filter(pl.col("what") == "g").select("row", "now", "seen")
    gaps = gaps.join_asof(trades.select("row", "bar"), on="row").drop_nulls("bar")
    inside = (pl.col("seen") == "t") | (pl.col("now") < (pl.col("bar") + 1) * interval)
    broken = gaps.filter(inside)["bar"].unique()
    first = pl.col("bar") == pl.col("bar").first()
    bars = bars.with_columns(
        incomplete=pl.col("incomplete") | pl.col("bar").is_in(broken.to_list()) | first
    )
    # The last bar is open unless time went past its end.
    after = pl.lit(events.filter(pl.col("time").is_not_null())["row"].max()) > pl.col("last_row")
    over = after & (pl.lit(events["now"].max()) >= pl.col("end_ns"))
    is_last = pl.col("bar") == pl.col("bar").last()
    return bars.with_columns(
        state=pl.when(is_last & ~over).then(pl.lit("open")).otherwise(pl.lit("closed"))
    )


def with_clock(trades):
    """Late is what is older than the newest stamp of the bars before."""
    newest = (
        trades.group_by("bar").agg(pl.col("time").max().alias("newest")).sort("bar")
        .select("bar", closed=pl.col("newest").cum_max().shift(1))
    )
    return trades.join(newest, on="bar", how="left", maintain_order="left")


def spans(bars):
    closed = pl.col("newest").cum_max().shift(1)
    return bars.with_columns(
        start_ns=pl.max_horizontal("oldest", closed), end_ns=pl.max_horizontal("newest", closed) + 1
    )


def filled_bars(trades, ids, closed):
    """Bars of these ids, of which the first `closed` are closed."""
    trades = with_clock(trades.with_columns(bar=ids))
    bars = spans(bars_by(trades, pl.col("time") < pl.col("closed")))
    state = pl.when(pl.col("bar") < closed).then(pl.lit("closed")).otherwise(pl.lit("open"))
    return bars.with_columns(state=state)


def counted_bars(trades, n):
    return filled_bars(trades, pl.int_range(pl.len()) // n, trades.height // n)


def threshold_bars(trades, column, size):
    """Each bar ends where the sum since the one before reaches the size."""
    sums = trades[column].cast(pl.Int128).cum_sum().to_list()
    ends, before = [], 0
    while (end := bisect_left(sums, before + size, lo=ends[-1] + 1 if ends else 0)) < len(sums):
        ends.append(end)
        before = sums[end]
    closes = pl.Series([0] * len(sums), dtype=pl.Int64).scatter(ends, 1)
    return filled_bars(trades, closes.cum_sum().shift(1, fill_value=0), len(ends))


def bricks_of(prices, brick):
    """What each trade makes: its bricks (from, to), and whether the grid started afresh."""
    made, afresh = [], []
    low = high = None
    for price in prices:
        bricks, torn = [], False
        if low is None:
            low = high = price // brick * brick
        elif price > high + MOST_BRICKS * brick or price < low - MOST_BRICKS * brick:
            low = high = price // brick * brick
            torn = True
        if price >= high + brick:
            count = (price - high) // brick
            bricks = [(high + i * brick, high + (i + 1) * brick) for i in range(count)]
        elif price <= low - brick:
            count = (low - price) // brick
            bricks = [(low - i * brick, low - (i + 1) * brick) for i in range(count)]
        if bricks:
            low, high = sorted(bricks[-1])
        made.append(bricks)
        afresh.append(torn)
    return made, afresh


def renko_bars(trades, brick):
    made, afresh = bricks_of(trades["price"].to_list(), brick)
    closes = pl.Series([int(bool(bricks)) for bricks in made], dtype=pl.Int64)
    moves = filled_bars(
        trades.with_columns(after_gap=pl.col("after_gap") | pl.Series(afresh)),
        closes.cum_sum().shift(1, fill_value=0),
        closes.sum(),
    )
    by_row = zip(trades["row"], trades["time"], trades["after_gap"], made)
    bricks = [
        {"last_row": row, "step": step, "from": a, "to": b, "at": time, "torn": torn}
        for row, time, torn, bricks in by_row
        for step, (a, b) in enumerate(bricks)
    ]
    schema = {"last_row": pl.Int64, "step": pl.Int64, "from": pl.Int64, "to": pl.Int64}
    bricks = pl.DataFrame(bricks, schema={**schema, "at": pl.Int64, "torn": pl.Boolean})
    both = moves.join(bricks, on="last_row", how="left", maintain_order="left_right")
    is_brick, further = pl.col("from").is_not_null(), pl.col("step") > 0

    def prices(name, value):
        return pl.when(is_brick).then(value).otherwise(name).alias(name)

    nothing = ["volume", "taker_buy_volume", "notional", "trades", "late"]
    newest = pl.col("end_ns") - 1
    return both.with_columns(
        prices("open", pl.col("from")),
        prices("close", pl.col("to")),
        prices("high", pl.max_horizontal("from", "to")),
        prices("low", pl.min_horizontal("from", "to")),
        *[pl.when(further).then(0).otherwise(n).alias(n) for n in nothing],
        *[pl.when(further).then("at").otherwise(n).alias(n) for n in ["first_ns", "last_ns"]],
        start_ns=pl.when(further).then(newest).otherwise("start_ns"),
        incomplete=pl.when(further).then("torn").otherwise("incomplete"),
    )


def made_by(events, trades, kind, size):
    match kind:
        case "time":
            return time_bars(events, trades, size)
        case "trades":
            return counted_bars(trades, size)
        case "volume":
            return threshold_bars(trades, "amount", size)
        case "notional":
            return threshold_bars(trades, "notional", size)
        case "renko":
            return renko_bars(trades, size)


def half_even(n, d):
    whole, rest = divmod(n, d)
    return whole + (2 * rest > d or (2 * rest == d and whole % 2 == 1))


def as_text(bars):
    """Numbers as text, and the average price."""
    sums = zip(bars["notional"], bars["volume"])
    vwap = [str(half_even(n, v)) if v else "none" for n, v in sums]
    vwap = pl.Series(vwap, dtype=pl.String)
    bars = bars.with_columns(pl.col("incomplete").cast(pl.Int64), vwap=vwap)
    return bars.select(pl.col(FIELDS).cast(pl.String))


def compare(folder, told):
    events = events_of(folder)
    trades = trades_of(events)
    stored = pl.read_csv(folder / "bars.csv", infer_schema=False)
    kinds = pl.read_csv(folder / "kinds.csv", infer_schema=False)
    for index, kind, size in kinds.iter_rows():
        made = as_text(made_by(events, trades, kind, int(size)))
        ours = stored.filter(pl.col("index") == index).select(FIELDS)
        name = f"{kind}:{size}"
        for field in ["incomplete", "late"]:
            marked = (made[field] != "0").sum()
            told["marked"][field] = told["marked"].get(field, 0) + marked
        told["compared"][name] = told["compared"].get(name, 0) + made.height
        if not made.equals(ours):
            told["wrong"].append(difference(f"{folder.name} {name}", made, ours))


def difference(name, made, ours):
    for at, (a, b) in enumerate(zip(made.iter_rows(named=True), ours.iter_rows(named=True))):
        if a != b:
            fields = {f: [a[f], b[f]] for f in FIELDS if a[f] != b[f]}
            return f"{name}: bar {at} of {a['start_ns']}: polars and engine: {fields}"
    return f"{name}: {made.height} bars by polars, {ours.height} by the engine"


told = {"compared": {}, "marked": {}, "wrong": []}
for folder in sys.argv[1:]:
    compare(Path(folder), told)
print(json.dumps(told))
