//! HOT PATH. A value against the one n values before, as TA-Lib's `MOM`, `ROC`, `ROCP`, `ROCR` and
//! `ROCR100`. Budget: 3 ns an update.
//!
//! ```text
//! MOM     = value - before
//! ROC     = 100 (value / before - 1)
//! ROCP    = (value - before) / before
//! ROCR    = value / before
//! ROCR100 = 100 value / before
//! ```
//! Source: Murphy, Technical Analysis of the Financial Markets (1999), chapter 10. In TA-Lib the
//! rates of change from 0 are 0. `ta`'s own has the values of `ROC` once warm, but answers from the
//! first value on, against the oldest it has.

use super::{Info, Window};
use serde::{Deserialize, Serialize};
use ta::Next;

const SOURCE: &str = "Murphy, Technical Analysis of the Financial Markets, 1999, chapter 10";

pub const MOM: Info = Info {
    name: "MOM",
    summary: "momentum: the change over the period",
    parameters: &[("timeperiod", 10.0)],
    inputs: &["value"],
    outputs: &["change"],
    warm_up: "period + 1 values",
    source: SOURCE,
};

pub const ROC: Info = Info {
    name: "ROC",
    summary: "rate of change over the period, in percent",
    parameters: &[("timeperiod", 10.0)],
    inputs: &["value"],
    outputs: &["rate, percent"],
    warm_up: "period + 1 values",
    source: SOURCE,
};

pub const ROCP: Info = Info {
    name: "ROCP",
    summary: "rate of change over the period, as a fraction",
    parameters: &[("timeperiod", 10.0)],
    inputs: &["value"],
    outputs: &["rate"],
    warm_up: "period + 1 values",
    source: SOURCE,
};

pub const ROCR: Info = Info {
    name: "ROCR",
    summary: "the value as a ratio to the one a period before",
    parameters: &[("timeperiod", 10.0)],
    inputs: &["value"],
    outputs: &["ratio"],
    warm_up: "period + 1 values",
    source: SOURCE,
};

pub const ROCR100: Info = Info {
    name: "ROCR100",
    summary: "the value in percent of the one a period before",
    parameters: &[("timeperiod", 10.0)],
    inputs: &["value"],
    outputs: &["ratio, percent"],
    warm_up: "period + 1 values",
    source: SOURCE,
};

/// `$of` makes its value of this one and the one a period before.
macro_rules! against_before {
    ($name:ident, $of:expr) => {
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub struct $name {
            window: Window<f64>,
        }

        impl $name {
            /// Panics on a period of 0.
            pub fn new(period: u32) -> $name {
                $name {
                    window: Window::new(period),
                }
            }
        }

        impl Next<f64> for $name {
            type Output = Option<f64>;

            #[inline]
            fn next(&mut self, value: f64) -> Option<f64> {
                let before = self.window.push(value)?;
                let of: fn(f64, f64) -> f64 = $of;
                Some(of(value, before))
            }
        }
    };
}

against_before!(Mom, |value, before| value - before);
against_before!(Roc, |value, before| 100.0
    * (ratio(value, before).unwrap_or(1.0) - 1.0));
against_before!(Rocp, |value, before| ratio(value - before, before)
    .unwrap_or(0.0));
against_before!(Rocr, |value, before| ratio(value, before).unwrap_or(0.0));
against_before!(Rocr100, |value, before| 100.0
    * ratio(value, before).unwrap_or(0.0));

#[inline]
fn ratio(value: f64, before: f64) -> Option<f64> {
    (before != 0.0).then(|| value / before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn third<I: Next<f64, Output = Option<f64>>>(mut indicator: I, values: [f64; 3]) -> f64 {
        let [a, b, c] = values.map(|v| indicator.next(v));
        assert_eq!((a, b), (None, None), "two values are not three");
        c.expect("it is warm")
    }

    #[test]
    fn each_is_against_the_value_a_period_before() {
        let values = [4.0, 9.0, 5.0];
        assert_eq!(third(Mom::new(2), values), 1.0);
        assert_eq!(third(Roc::new(2), values), 25.0);
        assert_eq!(third(Rocp::new(2), values), 0.25);
        assert_eq!(third(Rocr::new(2), values), 1.25);
        assert_eq!(third(Rocr100::new(2), values), 125.0);
    }

    #[test]
    fn a_change_from_zero_has_no_rate() {
        let values = [0.0, 9.0, 5.0];
        assert_eq!(third(Mom::new(2), values), 5.0);
        assert_eq!(third(Roc::new(2), values), 0.0);
        assert_eq!(third(Rocp::new(2), values), 0.0);
        assert_eq!(third(Rocr::new(2), values), 0.0);
        assert_eq!(third(Rocr100::new(2), values), 0.0);
    }
}
