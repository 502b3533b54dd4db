//! What does the store have of the time before: whose raw trades, and which bars? For the roll-up,
//! which makes bars again, and for `tickforge warm`, whose [`Reader`] is here.
//!
//! Only reads, and never much at once: the trades of [`SLICE_NS`], [`BARS`] bars of one series.

use super::bar::{Bar, Fact, Rolling, Span};
use super::policy::Policy;
use super::server::{Row, Series, Server};
use crate::config::InfluxConfig;
use crate::exchanges;
use crate::exchanges::candles::{self, Candle, Turnover};
use crate::market::{self, Scale, Side};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use std::collections::BTreeMap;
use std::ops::Range;

/// Raw trades that are asked for at once, ns of their time.
const SLICE_NS: i64 = 10_000_000_000;
/// Bars of one series that are asked for at once.
const BARS: i64 = 10_000;

/// The fields of a raw trade that a bar is made of, of the trade itself, and of a bar.
const FACT: &str = "price, volume, high_24h, low_24h, change_24h, volume_24h";
const TRADE: &str = "price, volume, id, side";
const BAR: &str = "open, high, low, close, volume, turnover, trades, high_24h, low_24h, \
                   change_24h, volume_24h";

/// Whose: symbol and exchange, as the store's tags have them.
pub type Name = (String, String);

/// By whose they are and where they begin.
pub(super) type Bars = BTreeMap<(Name, i64), Bar>;

/// The stored bars of a range, of one series or of all.
pub(super) async fn bars(
    server: &Server,
    of: &Option<Name>,
    span: Span,
    range: &Range<i64>,
) -> Result<Bars, String> {
    let mut bars = Bars::new();
    let statement = select(of, span.policy(), BAR, range);
    for series in server.query(&statement).await? {
        let name = name(&series);
        for row in series.each() {
            if let Some((start_ns, bar)) = stored(&row, span) {
                bars.insert((name.clone(), start_ns), bar);
            }
        }
    }
    Ok(bars)
}

/// Gives what bars are made of: the raw trades of a range, of one series or of all, slice by slice.
pub(super) async fn facts(
    server: &Server,
    of: &Option<Name>,
    range: &Range<i64>,
    mut take: impl FnMut(&Name, &Fact),
) -> Result<(), String> {
    for slice in slices(range) {
        let statement = select(of, Policy::Realtime, FACT, &slice);
        for series in server.query(&statement).await? {
            let name = name(&series);
            let facts = series.each().filter_map(|row| fact(&row));
            facts.for_each(|fact| take(&name, &fact));
        }
    }
    Ok(())
}

fn slices(range: &Range<i64>) -> impl Iterator<Item = Range<i64>> + use<> {
    let Range { start, end } = *range;
    let starts = (0_i64..).map(move |n| start + n * SLICE_NS);
    let starts = starts.take_while(move |from| *from < end);
    starts.map(move |from| from..end.min(from + SLICE_NS))
}

/// A raw trade of one of the series of a [`Reader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawTrade {
    /// Which of [`Reader::names`].
    pub of: usize,
    /// When it was, ns: what its id had added to the time of its point is taken off.
    pub time_ns: i64,
    pub price: Decimal,
    pub amount: Decimal,
    pub id: u128,
    pub taker: Side,
}

/// What earlier runs stored, of exchanges that this version knows.
pub struct Reader {
    server: Server,
    names: Vec<Name>,
    /// By series: what its exchange's stamps are multiples of, ns.
    resolutions: Vec<u32>,
    /// Where the second of the oldest raw trade begins, ns.
    first_ns: Option<i64>,
}

impl Reader {
    /// Finds the series that have raw trades from `from_ns` on. An error names the place and the
    /// reason.
    pub async fn open(config: &InfluxConfig, from_ns: i64) -> Result<Reader, String> {
        let mut reader = Reader {
            server: Server::new(config)?,
            names: Vec::new(),
            resolutions: Vec::new(),
            first_ns: None,
        };
        let range = from_ns..i64::MAX;
        let statement = select(&None, Policy::Realtime, "FIRST(price)", &range);
        let found = reader.server.query(&statement).await?;
        for series in found {
            let name = name(&series);
            let oldest = series.each().filter_map(|row| row.time_ns()).min();
            let Some((exchange, oldest)) = exchanges::by_name(&name.1).zip(oldest) else {
                continue;
            };
            let oldest = Span::Second.start(oldest);
            reader.first_ns = Some(reader.first_ns.map_or(oldest, |first| first.min(oldest)));
            reader.resolutions.push(exchange.stamp_resolution_ns());
            reader.names.push(name);
        }
        Ok(reader)
    }

    /// Where it reads, for messages.
    pub fn place(&self) -> &str {
        &self.server.place
    }

    /// The series, each symbol and exchange.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The times from the oldest raw trade to `until_ns`, in parts to be asked for one by one; none
    /// where there is no trade.
    pub fn slices(&self, until_ns: i64) -> impl Iterator<Item = Range<i64>> + use<> {
        slices(&(self.first_ns.unwrap_or(until_ns)..until_ns))
    }

    /// The raw trades of all series in one slice, in the order of time; what is no trade of ours is
    /// left out.
    pub async fn trades(&self, slice: &Range<i64>) -> Result<Vec<RawTrade>, String> {
        let mut trades = Vec::new();
        let statement = select(&None, Policy::Realtime, TRADE, slice);
        for series in self.server.query(&statement).await? {
            let name = name(&series);
            let Some(of) = self.names.iter().position(|known| *known == name) else {
                continue;
            };
            let resolution_ns = self.resolutions[of];
            let read = |row: Row<'_>| raw_trade(&row, of, resolution_ns);
            trades.extend(series.each().filter_map(read));
        }
        // Those of one stamp have come in the order of their ids.
        trades.sort_unstable_by_key(|trade| (trade.time_ns, trade.of, trade.id));
        Ok(trades)
    }

    /// The bars of a series in these windows, made of the finer ones that are stored; `scales`: of
    /// prices, of amounts. None where no stored bar is as fine as the interval needs, and none that
    /// the scales do not hold.
    pub async fn bars(
        &self,
        of: usize,
        interval_ns: i64,
        windows: &Range<i64>,
        scales: (Scale, Scale),
    ) -> Result<Vec<market::Bar>, String> {
        let Some(span) = coarsest(interval_ns) else {
            return Ok(Vec::new());
        };
        let one = Some(self.names[of].clone());
        let mut whole = BTreeMap::new();
        let mut start = windows.start;
        while start < windows.end {
            let end = windows.end.min(start.saturating_add(BARS * span.ns()));
            let fine = bars(&self.server, &one, span, &(start..end)).await?;
            let fine = fine.iter().map(|((_, start_ns), bar)| (*start_ns, bar));
            merge(&mut whole, fine, interval_ns);
            start = end;
        }
        let made = whole.iter();
        let made = made.filter_map(|(start_ns, bar)| at(*start_ns, bar, interval_ns, scales));
        Ok(made.collect())
    }
}

/// Whether bars of this interval, ns, can be made of stored ones: not those that are finer than a
/// second, or no whole number of them.
pub fn has_bars(interval_ns: i64) -> bool {
    coarsest(interval_ns).is_some()
}

/// The longest stored bars that bars of an interval consist of.
fn coarsest(interval_ns: i64) -> Option<Span> {
    let mut longest_first = Span::ALL.into_iter().rev();
    longest_first.find(|span| interval_ns > 0 && interval_ns % span.ns() == 0)
}

/// Adds fine bars to those of an interval, each to the one of the window that it lies in.
fn merge<'a>(
    whole: &mut BTreeMap<i64, Bar>,
    fine: impl Iterator<Item = (i64, &'a Bar)>,
    interval_ns: i64,
) {
    for (start_ns, bar) in fine {
        let window = start_ns - start_ns.rem_euclid(interval_ns);
        whole.entry(window).or_insert(Bar::EMPTY).merge(bar);
    }
}

/// A bar as the engine has it, by the rules for candles: who was the taker was not stored.
fn at(start_ns: i64, bar: &Bar, interval_ns: i64, scales: (Scale, Scale)) -> Option<market::Bar> {
    let values = [
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.turnover,
    ];
    let [open, high, low, close, volume, turnover] = values.map(|value| value.to_string());
    let candle = Candle {
        start_ns,
        open: &open,
        high: &high,
        low: &low,
        close: &close,
        volume: &volume,
        turnover: Turnover::Given(&turnover),
        trades: Some(u32::try_from(bar.trades).unwrap_or(u32::MAX)),
        taker_bought: None,
    };
    let over_ns = start_ns.checked_add(interval_ns)?;
    let made = candles::bars([candle], interval_ns, over_ns, scales).ok()?;
    made.into_iter().next()
}

fn select(of: &Option<Name>, policy: Policy, fields: &str, range: &Range<i64>) -> String {
    let whose = of.as_ref().map_or_else(String::new, |(symbol, exchange)| {
        let (symbol, exchange) = (quoted(symbol), quoted(exchange));
        format!(" AND symbol = {symbol} AND exchange = {exchange}")
    });
    // No end is said where there is none: the server's own is before the largest number.
    let until = match range.end {
        i64::MAX => String::new(),
        end => format!(" AND time < {end}"),
    };
    let (policy, from) = (policy.name(), range.start);
    format!(
        "SELECT {fields} FROM \"{policy}\".market_data WHERE time >= {from}{until}{whose} \
         GROUP BY symbol, exchange"
    )
}

fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{text}'")
}

fn name(series: &Series) -> Name {
    (
        series.tag("symbol").to_owned(),
        series.tag("exchange").to_owned(),
    )
}

fn rolling(row: &Row<'_>) -> Rolling {
    Rolling {
        high: row.decimal("high_24h"),
        low: row.decimal("low_24h"),
        change: row.decimal("change_24h"),
        volume: row.decimal("volume_24h"),
    }
}

fn fact(row: &Row<'_>) -> Option<Fact> {
    Some(Fact {
        time_ns: row.time_ns()?,
        price: row.decimal("price")?,
        amount: row.decimal("volume")?,
        rolling: rolling(row),
    })
}

fn raw_trade(row: &Row<'_>, of: usize, resolution_ns: u32) -> Option<RawTrade> {
    let id: u128 = row.text("id")?.parse().ok()?;
    // As the point got its time: see `points::trade_time_ns`.
    let offset = id % u128::from(resolution_ns.max(1));
    Some(RawTrade {
        of,
        time_ns: row.time_ns()?.saturating_sub(offset as i64),
        price: row.decimal("price")?,
        amount: row.decimal("volume")?,
        id,
        taker: match row.text("side")?.as_str() {
            "buy" => Side::Buy,
            "sell" => Side::Sell,
            _ => return None,
        },
    })
}

/// A stored bar and its start. Its trades are somewhere in its window.
fn stored(row: &Row<'_>, span: Span) -> Option<(i64, Bar)> {
    let start_ns = row.time_ns()?;
    let price = |name: &str| row.decimal(name);
    let prices = [
        price("open")?,
        price("high")?,
        price("low")?,
        price("close")?,
    ];
    let trades = row.decimal("trades")?.to_u64()?;
    let sums = (row.decimal("volume")?, row.decimal("turnover")?, trades);
    let mut bar = Bar::read((start_ns, start_ns + span.ns() - 1), prices, sums);
    bar.rolling = rolling(row);
    Some((start_ns, bar))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publishers::influx::server::parse;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn awkward_names_are_quoted() {
        let of = Some(("it's\\".to_owned(), "x".to_owned()));
        let text = select(&of, Policy::ShortTerm, BAR, &(1..2));
        assert!(
            text.contains(r"symbol = 'it\'s\\' AND exchange = 'x'"),
            "{text}"
        );
        assert!(text.contains("FROM \"short_term\".market_data WHERE time >= 1 AND time < 2"));
        let text = select(&None, Policy::Realtime, TRADE, &(1..i64::MAX));
        assert!(text.contains("WHERE time >= 1 GROUP BY"), "{text}");
    }

    #[test]
    fn slices_join_and_end_where_the_range_does() {
        let cut = |range: Range<i64>| slices(&range).collect::<Vec<_>>();
        let (a, b) = (5 + SLICE_NS, 5 + 2 * SLICE_NS);
        assert_eq!(cut(5..b + 1), [5..a, a..b, b..b + 1]);
        assert_eq!(cut(5..a).len(), 1);
        assert!(cut(5..5).is_empty());
    }

    #[test]
    fn a_trade_has_its_stamp_again_and_what_is_none_is_left_out() {
        let text = r#"{"results":[{"series":[{"name":"market_data","columns":
            ["time","price","volume","id","side"],"values":[
            [1705329930123000001,45000.1,0.25,"7000001","sell"],
            [1705329930123000002,45000.1,0.25,"7000002","?"],
            [1705329930123000003,45000.1,0.25,null,"buy"]]}]}]}"#;
        let all = parse(text.as_bytes()).expect("rows");
        let read = |row: Row<'_>| raw_trade(&row, 3, 1_000_000);
        let trades: Vec<RawTrade> = all[0].each().filter_map(read).collect();
        let trade = RawTrade {
            of: 3,
            time_ns: 1_705_329_930_123_000_000,
            price: Decimal::new(450_001, 1),
            amount: Decimal::new(25, 2),
            id: 7_000_001,
            taker: Side::Sell,
        };
        assert_eq!(trades, [trade]);
    }

    #[test]
    fn bars_come_from_the_longest_that_divide_their_interval() {
        for (interval_ns, span) in [
            (4 * 3600 * SECOND, Some(Span::Hour)),
            (90 * 60 * SECOND, Some(Span::Minute)),
            (60 * SECOND, Some(Span::Minute)),
            (90 * SECOND, Some(Span::Second)),
            (SECOND, Some(Span::Second)),
            (250_000_000, None),
            (1_500_000_000, None),
            (0, None),
        ] {
            assert_eq!(coarsest(interval_ns), span, "{interval_ns}");
            assert_eq!(has_bars(interval_ns), span.is_some());
        }
    }

    /// The bar of the second `n`: its prices are `n`, more and less.
    fn second(n: i64) -> (i64, Bar) {
        let price = |v: i64| Decimal::new(v, 1);
        let prices = [n * 10, n * 10 + 5, n * 10 - 5, n * 10 + 1].map(price);
        let sums = (Decimal::new(25, 2), Decimal::new(n, 0), 2);
        let start_ns = n * SECOND;
        let times = (start_ns, start_ns + SECOND - 1);
        (start_ns, Bar::read(times, prices, sums))
    }

    #[test]
    fn fine_bars_make_bars_of_the_interval_on_its_boundaries() {
        let fine: Vec<(i64, Bar)> = [10, 13, 14, 15, 29].into_iter().map(second).collect();
        // In two answers, one of which ends within a window.
        let mut whole = BTreeMap::new();
        for part in [&fine[..2], &fine[2..]] {
            let part = part.iter().map(|(start_ns, bar)| (*start_ns, bar));
            merge(&mut whole, part, 5 * SECOND);
        }
        let made = whole.iter();
        let made = made.filter_map(|(start_ns, bar)| at(*start_ns, bar, 5 * SECOND, (2, 2)));
        let made: Vec<market::Bar> = made.collect();
        let expected = market::Bar {
            start_ns: 10 * SECOND,
            end_ns: 15 * SECOND,
            open: 1_000,
            high: 1_450,
            low: 950,
            close: 1_410,
            volume: 75,
            taker_buy_volume: 37,
            notional: 370_000,
            first_ns: 10 * SECOND,
            last_ns: 15 * SECOND - 1,
            trades: 6,
            late: 0,
            incomplete: false,
        };
        assert_eq!(made[0], expected);
        let starts = made.iter().map(|bar| bar.start_ns / SECOND);
        assert_eq!(starts.collect::<Vec<_>>(), [10, 15, 25]);
    }

    #[test]
    fn a_bar_that_the_scales_do_not_hold_is_left_out() {
        let (start_ns, bar) = second(10);
        assert!(at(start_ns, &bar, SECOND, (2, 2)).is_some());
        assert_eq!(at(start_ns, &bar, SECOND, (18, 2)), None, "prices");
        assert_eq!(
            at(start_ns, &bar, SECOND, (2, 0)),
            None,
            "no amount is left"
        );
    }
}
