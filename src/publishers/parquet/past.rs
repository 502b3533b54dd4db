//! Stored trades, oldest first: what earlier runs saw, for warming a later one up.

use super::files::{hours, read};
use crate::market::Side;
use anyhow::Context;
use polars::prelude::{Column, DataFrame, PolarsResult};
use std::path::Path;

/// A trade as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    pub exchange: &'a str,
    pub symbol: &'a str,
    /// 0 where the exchange gave none.
    pub exchange_ns: i64,
    pub recv_ns: i64,
    pub price: i64,
    pub amount: i64,
    pub taker: Side,
    /// 0 where it is no number.
    pub id: u128,
    pub price_scale: u8,
    pub amount_scale: u8,
    pub flags: u8,
}

/// Gives each trade of the hour of `from_ns` and of those after it, below `root` (the data folder's
/// `ticks`), in the order of receipt. A file that cannot be read is named in the error.
pub fn trades(root: &Path, from_ns: i64, mut take: impl FnMut(&Stored)) -> anyhow::Result<u64> {
    let mut count = 0;
    for path in hours(root, "trades", from_ns)? {
        let place = || format!("{} cannot be read", path.display());
        let frame = read(&path).with_context(place)?;
        count += rows(&frame, &mut take).with_context(place)?;
    }
    Ok(count)
}

fn rows(frame: &DataFrame, take: &mut impl FnMut(&Stored)) -> PolarsResult<u64> {
    let column = |name: &str| -> PolarsResult<&Column> { frame.column(name) };
    let (exchange, symbol) = (column("exchange")?.str()?, column("symbol")?.str()?);
    let (side, id) = (column("side")?.str()?, column("id")?.str()?);
    let (exchange_ns, recv_ns) = (column("exchange_ns")?.i64()?, column("recv_ns")?.i64()?);
    let (price, amount) = (column("price")?.i64()?, column("amount")?.i64()?);
    let price_scale = column("price_scale")?.u8()?;
    let (amount_scale, flags) = (column("amount_scale")?.u8()?, column("flags")?.u8()?);
    for i in 0..frame.height() {
        let stored = (|| {
            Some(Stored {
                exchange: exchange.get(i)?,
                symbol: symbol.get(i)?,
                exchange_ns: exchange_ns.get(i).unwrap_or(0),
                recv_ns: recv_ns.get(i)?,
                price: price.get(i)?,
                amount: amount.get(i)?,
                taker: if side.get(i)? == "sell" {
                    Side::Sell
                } else {
                    Side::Buy
                },
                id: id.get(i)?.parse().unwrap_or(0),
                price_scale: price_scale.get(i)?,
                amount_scale: amount_scale.get(i)?,
                flags: flags.get(i)?,
            })
        })();
        if let Some(stored) = stored {
            take(&stored);
        }
    }
    Ok(frame.height() as u64)
}
