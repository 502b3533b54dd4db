//! HOT PATH. Moving average convergence/divergence: how far a fast average is above a slow one, and
//! an average of that as the signal. As TA-Lib's `MACD`, `MACDFIX` and `MACDEXT`. Budget: 4 ns an
//! update, 15 ns of `MACDEXT`.
//!
//! ```text
//! macd      = EMA(value, fast) - EMA(value, slow)
//! signal    = EMA(macd, signal)
//! histogram = macd - signal
//! ```
//! Source: Gerald Appel, Technical Analysis: Power Tools for Active Investors (2005); TA-Lib,
//! function MACDEXT, 0.8.1. As in TA-Lib, the fast average starts late, so that both have their
//! first value at the same value, and no output is there before the signal is. Periods that are
//! given in the wrong order are swapped. `MACDFIX` has Appel's first weights, 0.15 and 0.075, which
//! are near those of 12 and 26 values; `MACDEXT` takes an average of any kind for each of the
//! three. A NaN stays for ever.

use super::{Info, Ma, MaType};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const MACD: Info = Info {
    name: "MACD",
    summary: "moving average convergence/divergence (Appel)",
    parameters: &[
        ("fastperiod", 12.0),
        ("slowperiod", 26.0),
        ("signalperiod", 9.0),
    ],
    inputs: &["value"],
    outputs: &["macd", "signal", "histogram"],
    warm_up: "slow period + signal period - 1 values",
    source: "Appel, Technical Analysis: Power Tools for Active Investors, 2005",
};

pub const MACDFIX: Info = Info {
    name: "MACDFIX",
    summary: "MACD with Appel's weights of 0.15 and 0.075",
    parameters: &[("signalperiod", 9.0)],
    inputs: &["value"],
    outputs: &["macd", "signal", "histogram"],
    warm_up: "signal period + 25 values",
    source: "Appel, Technical Analysis: Power Tools for Active Investors, 2005",
};

pub const MACDEXT: Info = Info {
    name: "MACDEXT",
    summary: "MACD with averages of any kind",
    parameters: &[
        ("fastperiod", 12.0),
        ("fastmatype", 0.0),
        ("slowperiod", 26.0),
        ("slowmatype", 0.0),
        ("signalperiod", 9.0),
        ("signalmatype", 0.0),
    ],
    inputs: &["value"],
    outputs: &["macd", "signal", "histogram"],
    warm_up: "that of the later of fast and slow, then that of the signal",
    source: "TA-Lib, function MACDEXT, 0.8.1",
};

/// What [`Macd`], [`MacdFix`] and [`MacdExt`] answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MacdValue {
    pub macd: f64,
    pub signal: f64,
    pub histogram: f64,
}

impl MacdValue {
    #[inline]
    fn new(macd: f64, signal: f64) -> MacdValue {
        MacdValue {
            macd,
            signal,
            histogram: macd - signal,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Macd {
    /// Values until it answers.
    missing: u64,
    fast_k: f64,
    slow_k: f64,
    signal_k: f64,
    /// Each is a sum until its average is warm.
    fast: f64,
    slow: f64,
    signal: f64,
    seen: u64,
    fast_period: u32,
    slow_period: u32,
    signal_period: u32,
}

impl Macd {
    /// Panics on a period of 0.
    pub fn new(fast: u32, slow: u32, signal: u32) -> Macd {
        let (fast, slow) = (fast.min(slow), fast.max(slow));
        let divisor = |period: u32| f64::from(period) + 1.0;
        Macd::with(
            [fast, slow, signal],
            [k(2.0, divisor(fast)), k(2.0, divisor(slow))],
        )
    }

    fn with([fast, slow, signal]: [u32; 3], [fast_k, slow_k]: [f64; 2]) -> Macd {
        assert!(fast > 0 && signal > 0, "a period is at least 1");
        Macd {
            missing: u64::from(slow) + u64::from(signal) - 1,
            fast_k,
            slow_k,
            signal_k: 2.0 / (f64::from(signal) + 1.0),
            fast: 0.0,
            slow: 0.0,
            signal: 0.0,
            seen: 0,
            fast_period: fast,
            slow_period: slow,
            signal_period: signal,
        }
    }

    #[inline]
    fn averages(&mut self, value: f64) -> f64 {
        self.fast += self.fast_k * (value - self.fast);
        self.slow += self.slow_k * (value - self.slow);
        self.fast - self.slow
    }

    #[inline]
    fn warm_up(&mut self, value: f64) -> Option<MacdValue> {
        let (fast, slow) = (u64::from(self.fast_period), u64::from(self.slow_period));
        self.seen += 1;
        self.missing -= 1;
        let macd = if self.seen > slow {
            self.averages(value)
        } else {
            self.slow += value;
            if self.seen > slow - fast {
                self.fast += value;
            }
            if self.seen < slow {
                return None;
            }
            self.fast /= f64::from(self.fast_period);
            self.slow /= f64::from(self.slow_period);
            self.fast - self.slow
        };
        self.signal += macd;
        if self.missing > 0 {
            return None;
        }
        self.signal /= f64::from(self.signal_period);
        Some(MacdValue::new(macd, self.signal))
    }
}

impl Next<f64> for Macd {
    type Output = Option<MacdValue>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<MacdValue> {
        if self.missing > 0 {
            return self.warm_up(value);
        }
        let macd = self.averages(value);
        self.signal += self.signal_k * (macd - self.signal);
        Some(MacdValue::new(macd, self.signal))
    }
}

/// `part / whole`, and where that is no number in binary, the one after the nearest: on the side
/// on which the nearest is off. Averages of prices on a grid often meet a value halfway between two
/// numbers; with this it is rounded as by TA-Lib, which multiplies and adds in one.
fn k(part: f64, whole: f64) -> f64 {
    let nearest = part / whole;
    match nearest.mul_add(-whole, part) {
        over if over < 0.0 => nearest.next_up(),
        under if under > 0.0 => nearest.next_down(),
        _ => nearest,
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MacdFix(Macd);

impl MacdFix {
    /// Panics on a period of 0.
    pub fn new(signal: u32) -> MacdFix {
        MacdFix(Macd::with([12, 26, signal], [k(3.0, 20.0), k(3.0, 40.0)]))
    }
}

impl Next<f64> for MacdFix {
    type Output = Option<MacdValue>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<MacdValue> {
        self.0.next(value)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MacdExt {
    fast: Ma,
    slow: Ma,
    signal: Ma,
    /// Values that each of them does not get.
    fast_late: u32,
    slow_late: u32,
}

impl MacdExt {
    /// Panics on a period of 0.
    pub fn new(
        fast: u32,
        fast_kind: MaType,
        slow: u32,
        slow_kind: MaType,
        signal: u32,
        signal_kind: MaType,
    ) -> MacdExt {
        let (mut fast, mut slow) = ((fast, fast_kind), (slow, slow_kind));
        if fast.0 > slow.0 {
            std::mem::swap(&mut fast, &mut slow);
        }
        let lookbacks = [fast, slow].map(|(period, kind)| kind.lookback(period));
        MacdExt {
            fast: Ma::new(fast.0, fast.1),
            slow: Ma::new(slow.0, slow.1),
            signal: Ma::new(signal, signal_kind),
            fast_late: lookbacks[1].saturating_sub(lookbacks[0]),
            slow_late: lookbacks[0].saturating_sub(lookbacks[1]),
        }
    }
}

impl Next<f64> for MacdExt {
    type Output = Option<MacdValue>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<MacdValue> {
        let fast = late(&mut self.fast, &mut self.fast_late, value);
        let slow = late(&mut self.slow, &mut self.slow_late, value);
        let macd = fast? - slow?;
        Some(MacdValue::new(macd, self.signal.next(macd)?))
    }
}

/// The average of `value`, of which the first `missing` ones do not count.
#[inline]
fn late(average: &mut Ma, missing: &mut u32, value: f64) -> Option<f64> {
    if *missing > 0 {
        *missing -= 1;
        return None;
    }
    average.next(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_averages_start_together() {
        // k = 2/3 and 1/2. The 1 counts for the slow one only: 11 / 3, and (4 + 6) / 2.
        let mut macd = Macd::new(2, 3, 1);
        let found = [1.0, 4.0, 6.0, 9.0].map(|v| macd.next(v).map(|m| m.macd));
        assert_eq!(found[..2], [None, None]);
        let expected = [5.0 - 11.0 / 3.0, 23.0 / 3.0 - 19.0 / 3.0];
        for (found, expected) in found[2..].iter().zip(expected) {
            let found = found.expect("it is warm");
            assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
        }
    }

    #[test]
    fn weights_are_off_on_the_side_of_the_nearest() {
        assert_eq!([k(2.0, 4.0), k(2.0, 16.0)], [0.5, 0.125], "exact");
        // The numbers nearest to 0.1 and 0.2 are too great, that nearest to 0.15 is too small.
        let found = [k(2.0, 20.0), k(2.0, 10.0), k(3.0, 20.0)];
        assert_eq!(
            found,
            [0.1_f64.next_up(), 0.2_f64.next_up(), 0.15_f64.next_down()]
        );
    }

    #[test]
    fn order_of_the_periods_is_free() {
        let (mut one, mut other) = (Macd::new(3, 7, 2), Macd::new(7, 3, 2));
        let kinds = (MaType::Ema, MaType::Ema);
        let mut ext = MacdExt::new(7, kinds.0, 3, kinds.1, 2, MaType::Ema);
        for i in 0..50 {
            let value = f64::from(i * i % 17);
            let expected = one.next(value);
            assert_eq!(other.next(value), expected);
            assert_eq!(
                ext.next(value),
                expected,
                "of any kind, exponential ones too"
            );
            assert_eq!(expected.is_some(), i >= 7, "value {i}");
        }
    }

    #[test]
    fn a_flat_market_diverges_from_nothing() {
        let (mut macd, mut fix) = (Macd::new(12, 26, 9), MacdFix::new(9));
        for i in 0..100 {
            let both = [macd.next(4.0), fix.next(4.0)];
            let zero = MacdValue::new(0.0, 0.0);
            assert_eq!(both, [(i >= 33).then_some(zero); 2], "value {i}");
        }
    }
}
