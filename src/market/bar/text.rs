//! Kinds of bars as people write them: `1m`, `time:1m`, `trades:100`, `volume:12.5`,
//! `notional:1000000`, `renko:10`. For the configuration and for what is shown; amounts are exact
//! decimals here and become an instrument's integers with [`BarSpec::at`].

use super::BarKind;
use crate::market::decimal::Scale;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The shortest and the longest interval of a bar of time, ns: 100 ms and a day.
const INTERVALS_NS: std::ops::RangeInclusive<i64> = 100_000_000..=86_400_000_000_000;

/// The longest first.
const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// A kind of bar before it is known of which instrument. Its text form is its serde form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BarSpec {
    /// Interval, ns.
    Time(i64),
    Trades(u32),
    /// Amount of base.
    Volume(Decimal),
    /// Amount of quote.
    Notional(Decimal),
    /// Price step.
    Renko(Decimal),
}

/// What is wrong with the text of a kind, or with a kind for an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BarSpecError {
    #[error(
        "no kind of bars; write 1m, time:1m, trades:100, volume:12.5, notional:1000000 or renko:10"
    )]
    Kind,
    #[error("a bar's interval is a whole number and ms, s, m, h or d, from 100ms to 1d")]
    Interval,
    #[error("a bar's trades are a whole number from 1 to 4294967295")]
    Trades,
    #[error("a bar's amount is a decimal number above 0, such as 12.5")]
    Amount,
    #[error("it has more decimals than the instrument's numbers")]
    Finer,
    #[error("it is too large for the instrument's numbers")]
    TooLarge,
}

impl BarSpec {
    /// As integers at an instrument's scales.
    pub fn at(self, price: Scale, amount: Scale) -> Result<BarKind, BarSpecError> {
        let narrow = |v: Result<i128, _>| i64::try_from(v?).map_err(|_| BarSpecError::TooLarge);
        Ok(match self {
            BarSpec::Time(ns) => BarKind::Time(ns),
            BarSpec::Trades(n) => BarKind::Trades(n),
            BarSpec::Volume(v) => BarKind::Volume(narrow(integer(v, amount))?),
            BarSpec::Notional(v) => BarKind::Notional(integer(v, price.saturating_add(amount))?),
            BarSpec::Renko(v) => BarKind::Renko(narrow(integer(v, price))?),
        })
    }
}

/// `value` times 10^`scale`, exactly.
fn integer(value: Decimal, scale: Scale) -> Result<i128, BarSpecError> {
    let value = value.normalize();
    let Some(zeros) = u32::from(scale).checked_sub(value.scale()) else {
        return Err(BarSpecError::Finer);
    };
    let factor = 10i128.checked_pow(zeros);
    let integer = factor.and_then(|f| f.checked_mul(value.mantissa()));
    integer.ok_or(BarSpecError::TooLarge)
}

impl FromStr for BarSpec {
    type Err = BarSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((kind, size)) = text.split_once(':') else {
            // Text without a number in front is meant to be a kind, not an interval.
            let is_interval = text.starts_with(|c: char| c.is_ascii_digit());
            return if is_interval {
                interval(text)
            } else {
                Err(BarSpecError::Kind)
            };
        };
        match kind {
            "time" => interval(size),
            "trades" => trades(size),
            "volume" => decimal(size).map(BarSpec::Volume),
            "notional" => decimal(size).map(BarSpec::Notional),
            "renko" => decimal(size).map(BarSpec::Renko),
            _ => Err(BarSpecError::Kind),
        }
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

fn interval(text: &str) -> Result<BarSpec, BarSpecError> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(end);
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let number = number.parse::<i64>().ok();
    let ns = unit.zip(number).and_then(|((_, ns), n)| n.checked_mul(*ns));
    let ns = ns.filter(|ns| INTERVALS_NS.contains(ns));
    ns.map(BarSpec::Time).ok_or(BarSpecError::Interval)
}

fn trades(text: &str) -> Result<BarSpec, BarSpecError> {
    let n = text.parse().ok().filter(|n| digits(text) && *n > 0);
    n.map(BarSpec::Trades).ok_or(BarSpecError::Trades)
}

fn decimal(text: &str) -> Result<Decimal, BarSpecError> {
    let plain = match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    };
    let value = Decimal::from_str_exact(text).ok();
    let value = value.filter(|v| plain && *v > Decimal::ZERO);
    value.map(|v| v.normalize()).ok_or(BarSpecError::Amount)
}

impl fmt::Display for BarSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            BarSpec::Time(ns) => {
                let unit = UNITS.iter().find(|(_, unit)| ns % unit == 0);
                let (name, unit) = unit.unwrap_or(&("ns", 1));
                write!(f, "time:{}{name}", ns / unit)
            }
            BarSpec::Trades(n) => write!(f, "trades:{n}"),
            BarSpec::Volume(v) => write!(f, "volume:{}", v.normalize()),
            BarSpec::Notional(v) => write!(f, "notional:{}", v.normalize()),
            BarSpec::Renko(v) => write!(f, "renko:{}", v.normalize()),
        }
    }
}

impl TryFrom<String> for BarSpec {
    type Error = BarSpecError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BarSpec> for String {
    fn from(spec: BarSpec) -> String {
        spec.to_string()
    }
}
