//! HOT PATH. Awesome oscillator and its acceleration: how far a fast average of the middle of the
//! bars is above a slow one, and how far that is above its own average. As TA-Lib's `AO` and `AC`.
//! Budget: 6 ns and 10 ns an update.
//!
//! ```text
//! middle = (high + low) / 2
//! AO     = SMA(middle, fast) - SMA(middle, slow)
//! AC     = AO - SMA(AO, signal)
//! ```
//! Source: Bill Williams, New Trading Dimensions (1998). As in TA-Lib, the average of the shorter
//! period starts late, so that both have their first value at the same bar and the sums are rounded
//! alike. Unlike in `APO`, periods in the wrong order are not swapped: the sign turns. A NaN stays
//! for ever.

use super::{Info, Sma};
use serde::{Deserialize, Serialize};
use ta::{High, Low, Next};

pub const AO: Info = Info {
    name: "AO",
    summary: "awesome oscillator (Williams)",
    parameters: &[("fastperiod", 5.0), ("slowperiod", 34.0)],
    inputs: &["high", "low"],
    outputs: &["difference, in price"],
    warm_up: "slow period bars",
    source: "Williams, New Trading Dimensions, 1998",
};

pub const AC: Info = Info {
    name: "AC",
    summary: "acceleration/deceleration oscillator (Williams)",
    parameters: &[
        ("fastperiod", 5.0),
        ("slowperiod", 34.0),
        ("signalperiod", 5.0),
    ],
    inputs: &["high", "low"],
    outputs: &["difference, in price"],
    warm_up: "slow period + signal period - 1 bars",
    source: "Williams, New Trading Dimensions, 1998",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ao {
    fast: Sma,
    slow: Sma,
    /// Bars that each of them does not get.
    fast_late: u32,
    slow_late: u32,
}

impl Ao {
    /// Panics on a period of 0.
    pub fn new(fast: u32, slow: u32) -> Ao {
        Ao {
            fast: Sma::new(fast),
            slow: Sma::new(slow),
            fast_late: slow.saturating_sub(fast),
            slow_late: fast.saturating_sub(slow),
        }
    }
}

impl<T: High + Low> Next<&T> for Ao {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let middle = (bar.high() + bar.low()) / 2.0;
        let fast = late(&mut self.fast, &mut self.fast_late, middle);
        let slow = late(&mut self.slow, &mut self.slow_late, middle);
        Some(fast? - slow?)
    }
}

/// The average of `value`, of which the first `missing` ones do not count.
#[inline]
fn late(average: &mut Sma, missing: &mut u32, value: f64) -> Option<f64> {
    if *missing > 0 {
        *missing -= 1;
        return None;
    }
    average.next_in_steps(value)
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ac {
    ao: Ao,
    signal: Sma,
}

impl Ac {
    /// Panics on a period of 0.
    pub fn new(fast: u32, slow: u32, signal: u32) -> Ac {
        Ac {
            ao: Ao::new(fast, slow),
            signal: Sma::new(signal),
        }
    }
}

impl<T: High + Low> Next<&T> for Ac {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bar: &T) -> Option<f64> {
        let ao = self.ao.next(bar)?;
        Some(ao - self.signal.next_in_steps(ao)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::Hlc;

    fn bar(middle: f64) -> Hlc {
        Hlc {
            high: middle + 1.0,
            low: middle - 1.0,
            close: f64::NAN,
        }
    }

    #[test]
    fn is_the_difference_of_two_means() {
        let (mut ao, mut turned) = (Ao::new(2, 4), Ao::new(4, 2));
        let middles = [1.0, 2.0, 3.0, 6.0, 1.0];
        let found = middles.map(|middle| ao.next(&bar(middle)));
        assert_eq!(found, [None, None, None, Some(1.5), Some(0.5)]);
        let found = middles.map(|middle| turned.next(&bar(middle)));
        assert_eq!(found, [None, None, None, Some(-1.5), Some(-0.5)]);
    }

    #[test]
    fn a_steady_rise_does_not_accelerate() {
        let (mut ao, mut ac) = (Ao::new(2, 4), Ac::new(2, 4, 3));
        for i in 0..20 {
            let bar = bar(f64::from(i));
            assert_eq!(ao.next(&bar), (i >= 3).then_some(1.0));
            assert_eq!(ac.next(&bar), (i >= 5).then_some(0.0));
        }
    }
}
