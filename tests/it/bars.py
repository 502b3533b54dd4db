"""Bars as polars makes them of the raw trades in InfluxDB, held against those that are stored.

usage: bars.py URL DATABASE

Shares nothing with the daemon but the store. Prints one JSON object: how many bars of each policy were
compared, and what differs.
"""
import json
import sys
import urllib.parse
import urllib.request
from decimal import Decimal

import polars as pl

URL, DATABASE = sys.argv[1:3]
SPANS = {"short_term": 10**9, "medium_term": 60 * 10**9, "long_term": 3600 * 10**9}
SERIES = ["symbol", "exchange"]


def rows(query):
    """All rows of an answer in pieces, numbers as the text that the server wrote."""
    parameters = {"db": DATABASE, "epoch": "ns", "chunked": "true", "q": query}
    url = f"{URL}/query?{urllib.parse.urlencode(parameters)}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    text = opener.open(url, timeout=60).read().decode()
    found = []
    for line in text.splitlines():
        for result in json.loads(line, parse_float=str, parse_int=str)["results"]:
            if "error" in result:
                raise SystemExit(f"{query}: {result['error']}")
            for series in result.get("series", []):
                for values in series["values"]:
                    found.append({**dict(zip(series["columns"], values)), **series["tags"]})
    return found


def frame(query, numbers):
    found = rows(query)
    schema = {name: pl.String for name in ["time", *numbers, *SERIES]}
    frame = pl.DataFrame([{k: r.get(k) for k in schema} for r in found], schema=schema)
    exact = [pl.col(n).map_elements(plain, return_dtype=pl.String) for n in numbers]
    frame = frame.with_columns(pl.col("time").cast(pl.Int64), *exact)
    return frame.with_columns(pl.col(n).cast(pl.Decimal(38, 12)) for n in numbers)


def plain(text):
    """Without an exponent."""
    return f"{Decimal(text):f}"


def bars_of(trades, span):
    """One row for each window with a trade in it, by the time of the trades' points."""
    window = (pl.col("time") // span * span).alias("start")
    cost = pl.col("price").cast(pl.Float64) * pl.col("volume").cast(pl.Float64)
    return (
        trades.sort("time")
        .with_columns(window, cost.alias("cost"))
        .group_by([*SERIES, "start"])
        .agg(
            pl.col("price").first().alias("open"),
            pl.col("price").max().alias("high"),
            pl.col("price").min().alias("low"),
            pl.col("price").last().alias("close"),
            pl.col("volume").sum().alias("volume"),
            pl.len().cast(pl.Decimal(38, 12)).alias("trades"),
            pl.col("cost").sum().alias("cost"),
        )
    )


def compare(trades, policy, span):
    exact = ["open", "high", "low", "close", "price", "volume", "trades"]
    query = f'SELECT * FROM "{policy}".market_data GROUP BY symbol, exchange'
    stored = frame(query, [*exact, "turnover", "vwap"]).rename({"time": "start"})
    made = bars_of(trades, span)
    both = made.join(stored, on=[*SERIES, "start"], how="full", suffix="_stored", coalesce=True)
    wrong = pl.lit(False)
    for name in ["open", "high", "low", "close", "volume", "trades"]:
        wrong = wrong | pl.col(name).ne_missing(pl.col(f"{name}_stored"))
    wrong = wrong | pl.col("close").ne_missing(pl.col("price"))
    turnover = pl.col("turnover").cast(pl.Float64)
    close_to = lambda a, b: ((a - b).abs() <= b.abs() * 1e-9).fill_null(False)
    average = pl.col("cost") / pl.col("volume").cast(pl.Float64)
    wrong = wrong | ~close_to(turnover, pl.col("cost"))
    wrong = wrong | ~close_to(pl.col("vwap").cast(pl.Float64), average)
    bad = both.filter(wrong).sort("start")
    return both.height, [str(row) for row in bad.head(5).to_dicts()], bad.height


def main():
    query = "SELECT price, volume FROM realtime.market_data GROUP BY symbol, exchange"
    trades = frame(query, ["price", "volume"])
    told = {"trades": trades.height}
    for policy, span in SPANS.items():
        compared, examples, wrong = compare(trades, policy, span)
        told[policy] = {"compared": compared, "wrong": wrong, "examples": examples}
    print(json.dumps(told))


main()
