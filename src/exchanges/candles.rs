//! Candles of REST answers as bars: what all exchanges share.
//!
//! Each exchange reads its own layout into [`Candle`]s; here are the grid, the exact integers, and
//! what stands in for a number that an exchange does not give. Called at start only, by the codecs,
//! by the simulator, and for bars that a store kept.

use super::Reject;
use crate::market::{Bar, Number, Scale};

pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;

/// Intervals, ns, and an exchange's names of them.
pub(super) type Intervals = [(i64, &'static str)];

pub(super) fn name_of(intervals: &Intervals, interval_ns: i64) -> Option<&'static str> {
    let found = intervals.iter().find(|(ns, _)| *ns == interval_ns);
    found.map(|(_, name)| *name)
}

pub(super) fn interval_of(intervals: &Intervals, name: &str) -> Option<i64> {
    let found = intervals.iter().find(|(_, known)| *known == name);
    found.map(|(ns, _)| *ns)
}

/// A parameter of a URL's query.
pub(crate) fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// When the interval under way began, s since the epoch.
pub(super) fn open_since_s(interval_ns: i64, now_ns: i64) -> i64 {
    now_ns.div_euclid(interval_ns) * interval_ns / SECOND
}

/// What `serde_json` found wrong.
pub(super) fn unread(error: &serde_json::Error, field: &'static str) -> Reject {
    if error.is_data() {
        Reject::Field(field)
    } else {
        Reject::Json
    }
}

/// Where a candle's amount of quote comes from.
pub(crate) enum Turnover<'a> {
    Given(&'a str),
    /// The average price is given.
    AtVwap(&'a str),
    /// Neither is: the volume at the typical price.
    Typical,
}

/// A candle as its exchange writes it.
pub(crate) struct Candle<'a> {
    pub start_ns: i64,
    pub open: &'a str,
    pub high: &'a str,
    pub low: &'a str,
    pub close: &'a str,
    /// Amount of base.
    pub volume: &'a str,
    pub turnover: Turnover<'a>,
    pub trades: Option<u32>,
    /// Amount of base that takers bought.
    pub taker_bought: Option<&'a str>,
}

/// The candles that were closed at `now_ns` and had a trade, oldest first. `scales`: of prices, of
/// amounts.
pub(crate) fn bars<'a>(
    candles: impl IntoIterator<Item = Candle<'a>>,
    interval_ns: i64,
    now_ns: i64,
    scales: (Scale, Scale),
) -> Result<Vec<Bar>, Reject> {
    let mut bars = Vec::new();
    for candle in candles {
        if candle.start_ns.checked_rem_euclid(interval_ns) != Some(0) {
            return Err(Reject::Grid);
        }
        let end_ns = candle.start_ns.checked_add(interval_ns);
        let end_ns = end_ns.ok_or(Reject::Range)?;
        if end_ns > now_ns {
            continue;
        }
        let bar = candle.bar(end_ns, scales)?;
        if bar.trades > 0 && bar.volume > 0 {
            bars.push(bar);
        }
    }
    bars.sort_by_key(|bar| bar.start_ns);
    bars.dedup_by_key(|bar| bar.start_ns);
    Ok(bars)
}

impl Candle<'_> {
    fn bar(&self, end_ns: i64, (price_scale, amount_scale): (Scale, Scale)) -> Result<Bar, Reject> {
        let price = |text, field| integer(text, price_scale, field);
        let (open, high) = (price(self.open, "open")?, price(self.high, "high")?);
        let (low, close) = (price(self.low, "low")?, price(self.close, "close")?);
        let volume = integer(self.volume, amount_scale, "volume")?;
        let notional = match self.turnover {
            Turnover::Given(text) => {
                let number = number(text, "quote volume")?;
                let wide = number.rounded_wide(price_scale + amount_scale);
                wide.ok_or(Reject::Range)?
            }
            Turnover::AtVwap(text) => i128::from(price(text, "vwap")?) * i128::from(volume),
            Turnover::Typical => {
                let thrice = i128::from(high) + i128::from(low) + i128::from(close);
                thrice.saturating_mul(i128::from(volume)) / 3
            }
        };
        let taker_buy_volume = match self.taker_bought {
            Some(text) => integer(text, amount_scale, "taker buy volume")?,
            None => volume / 2,
        };
        Ok(Bar {
            start_ns: self.start_ns,
            end_ns,
            open,
            high,
            low,
            close,
            volume,
            taker_buy_volume,
            notional,
            first_ns: self.start_ns,
            last_ns: end_ns - 1,
            trades: self.trades.unwrap_or(1),
            late: 0,
            incomplete: false,
        })
    }
}

/// A number that is not below zero.
fn number(text: &str, field: &'static str) -> Result<Number, Reject> {
    let number = Number::parse(text.as_bytes()).ok_or(Reject::Number(field))?;
    if number.negative && number.mantissa != 0 {
        return Err(Reject::Range);
    }
    Ok(number)
}

fn integer(text: &str, scale: Scale, field: &'static str) -> Result<i64, Reject> {
    number(text, field)?.rounded(scale).ok_or(Reject::Range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candle(start_ns: i64) -> Candle<'static> {
        Candle {
            start_ns,
            open: "10.0",
            high: "12.5",
            low: "9.5",
            close: "11",
            volume: "3",
            turnover: Turnover::Typical,
            trades: None,
            taker_bought: None,
        }
    }

    #[test]
    fn what_is_not_given_is_estimated() {
        let bars = bars([candle(MINUTE)], MINUTE, 2 * MINUTE, (2, 1)).expect("bars");
        let bar = Bar {
            start_ns: MINUTE,
            end_ns: 2 * MINUTE,
            open: 1_000,
            high: 1_250,
            low: 950,
            close: 1_100,
            volume: 30,
            taker_buy_volume: 15,
            notional: 33_000,
            first_ns: MINUTE,
            last_ns: 2 * MINUTE - 1,
            trades: 1,
            late: 0,
            incomplete: false,
        };
        assert_eq!(bars, [bar]);
    }

    #[test]
    fn closed_ones_come_once_and_oldest_first() {
        let starts = |list: &[i64], now_ns| {
            let candles = list.iter().map(|minute| candle(minute * MINUTE));
            let made = bars(candles, MINUTE, now_ns, (8, 8)).expect("bars");
            made.iter().map(|b| b.start_ns / MINUTE).collect::<Vec<_>>()
        };
        assert_eq!(starts(&[7, 5, 6, 5], 8 * MINUTE), [5, 6, 7]);
        assert_eq!(starts(&[7, 5, 6, 5], 8 * MINUTE - 1), [5, 6]);
    }

    #[test]
    fn nothing_traded_makes_no_bar() {
        let empty = Candle {
            volume: "0.000",
            ..candle(0)
        };
        let untraded = Candle {
            trades: Some(0),
            ..candle(0)
        };
        assert_eq!(bars([empty, untraded], MINUTE, MINUTE, (8, 8)), Ok(vec![]));
    }

    #[test]
    fn what_is_no_candle_of_the_grid_is_refused() {
        let make = |candle| bars([candle], MINUTE, 9 * MINUTE, (8, 8));
        let of = |text| Candle {
            low: text,
            ..candle(0)
        };
        assert_eq!(make(candle(MINUTE + 1)), Err(Reject::Grid));
        assert_eq!(make(candle(i64::MAX - MINUTE)), Err(Reject::Grid));
        assert_eq!(make(of("x")), Err(Reject::Number("low")));
        assert_eq!(make(of("-1")), Err(Reject::Range));
        assert_eq!(make(of("99999999999999")), Err(Reject::Range));
    }

    #[test]
    fn parameters_are_found_by_their_whole_name() {
        let url = "https://host/path?xpair=1&pair=A/B&last";
        assert_eq!(parameter(url, "pair"), Some("A/B"));
        assert_eq!(parameter(url, "last"), None);
        assert_eq!(parameter("/path", "pair"), None);
    }
}
