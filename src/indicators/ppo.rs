//! HOT PATH. Price and volume oscillators: how far a fast average is above a slow one, in price or
//! in percent of the slow one. As TA-Lib's `APO`, `PPO` and `PVO`. Budget: 9 ns an update.
//!
//! ```text
//! APO = average(value, fast) - average(value, slow)
//! PPO = 100 APO / average(value, slow)
//! PVO = PPO of the volume
//! ```
//! Source: Steven B. Achelis, Technical Analysis from A to Z (2nd edition), Price Oscillator and
//! Volume Oscillator. As in TA-Lib, periods that are given in the wrong order are swapped, and the
//! averages are exponential ones by default. Unlike in MACD, the fast one starts with the first
//! value, so the first values of `APO` are not those of `MACD`. `PPO` and `PVO` are 0 where the
//! slow average is (by less than 1e-14). A NaN stays for ever in most averages.

use super::{Info, Ma, MaType};
use serde::{Deserialize, Serialize};
use ta::{Next, Volume};

pub const APO: Info = Info {
    name: "APO",
    summary: "absolute price oscillator",
    parameters: &[("fastperiod", 12.0), ("slowperiod", 26.0), ("matype", 1.0)],
    inputs: &["value"],
    outputs: &["difference"],
    warm_up: "that of the slow average",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Price Oscillator",
};

pub const PPO: Info = Info {
    name: "PPO",
    summary: "percentage price oscillator",
    parameters: &[("fastperiod", 12.0), ("slowperiod", 26.0), ("matype", 1.0)],
    inputs: &["value"],
    outputs: &["difference, in percent"],
    warm_up: "that of the slow average",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Price Oscillator",
};

pub const PVO: Info = Info {
    name: "PVO",
    summary: "percentage volume oscillator",
    parameters: &[("fastperiod", 12.0), ("slowperiod", 26.0), ("matype", 1.0)],
    inputs: &["volume"],
    outputs: &["difference, in percent"],
    warm_up: "that of the slow average",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Volume Oscillator",
};

/// What counts as 0 in TA-Lib.
const ZERO: f64 = 1e-14;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Averages {
    fast: Ma,
    slow: Ma,
}

impl Averages {
    fn new(fast: u32, slow: u32, kind: MaType) -> Averages {
        let kind = if kind == MaType::Own {
            MaType::Ema
        } else {
            kind
        };
        Averages {
            fast: Ma::new(fast.min(slow), kind),
            slow: Ma::new(fast.max(slow), kind),
        }
    }

    #[inline]
    fn next(&mut self, value: f64) -> Option<(f64, f64)> {
        let (fast, slow) = (self.fast.next(value), self.slow.next(value));
        Some((fast?, slow?))
    }

    #[inline]
    fn percent(&mut self, value: f64) -> Option<f64> {
        let (fast, slow) = self.next(value)?;
        Some(if slow.abs() < ZERO {
            0.0
        } else {
            (fast - slow) / slow * 100.0
        })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Apo(Averages);

impl Apo {
    /// Panics on a period of 0.
    pub fn new(fast: u32, slow: u32, kind: MaType) -> Apo {
        Apo(Averages::new(fast, slow, kind))
    }
}

impl Next<f64> for Apo {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let (fast, slow) = self.0.next(value)?;
        Some(fast - slow)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ppo(Averages);

impl Ppo {
    /// Panics on a period of 0.
    pub fn new(fast: u32, slow: u32, kind: MaType) -> Ppo {
        Ppo(Averages::new(fast, slow, kind))
    }
}

impl Next<f64> for Ppo {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.0.percent(value)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pvo(Averages);

impl Pvo {
    /// Panics on a period of 0.
    pub fn new(fast: u32, slow: u32, kind: MaType) -> Pvo {
        Pvo(Averages::new(fast, slow, kind))
    }
}

impl<T: Volume> Next<&T> for Pvo {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        self.0.percent(bar.volume())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Candle;

    #[test]
    fn is_the_difference_of_two_averages() {
        let (mut apo, mut ppo) = (Apo::new(4, 2, MaType::Sma), Ppo::new(2, 4, MaType::Sma));
        let values = [1.0, 2.0, 3.0, 10.0];
        assert_eq!(values.map(|v| apo.next(v)), [None, None, None, Some(2.5)]);
        assert_eq!(values.map(|v| ppo.next(v)), [None, None, None, Some(62.5)]);
    }

    #[test]
    fn own_averages_are_exponential() {
        let mut own = Apo::new(3, 5, MaType::Own);
        let mut exponential = Apo::new(3, 5, MaType::Ema);
        for i in 0..30 {
            let value = f64::from(i * i % 11);
            assert_eq!(own.next(value), exponential.next(value));
        }
    }

    #[test]
    fn no_volume_is_no_change() {
        let mut pvo = Pvo::new(2, 3, MaType::Ema);
        let last = (0..5).map(|_| pvo.next(&Candle::default())).last();
        assert_eq!(last, Some(Some(0.0)));
    }
}
