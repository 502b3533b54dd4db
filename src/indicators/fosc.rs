//! HOT PATH. Forecast oscillator, as TA-Lib's `FOSC`: how far the value is from what a straight
//! line through the n values before it foretold, in percent of the value. Budget: 10 ns an update.
//!
//! ```text
//! x        = age of each of the n values before: 0 is the newest
//! slope    = (n sum(x v) - sum(x) sum(v)) / (sum(x)² - n sum(x²))
//! forecast = (sum(v) + slope (n² - sum(x))) / n
//! FOSC     = 100 (value - forecast) / value                              (0 where value is 0)
//! ```
//! Source: Tushar Chande's, as in Achelis, Technical Analysis from A to Z (2nd edition), Forecast
//! Oscillator. In TA-Lib the forecast is the one made a bar before, one step ahead.
//!
//! The sums take in the new value and let the oldest out as TA-Lib's do, and are taken anew every
//! 32 n values as there: where value and forecast all but agree, the last bits of the sums decide
//! what is left. They are taken anew, too, when a value leaves that is far greater than all that
//! stays, and as long as a NaN is among them.

use super::{Info, Window};
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "FOSC",
    summary: "forecast oscillator: the value against its linear regression forecast, in percent",
    parameters: &[("timeperiod", 5.0)],
    inputs: &["value"],
    outputs: &["oscillator, percent"],
    warm_up: "period + 1 values",
    source: "Achelis, Technical Analysis from A to Z, 2nd edition, Forecast Oscillator",
};

/// Sums are taken anew after so many windows.
const WINDOWS: u32 = 32;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fosc {
    n: f64,
    /// 1 / n.
    weight: f64,
    /// The sum of ages.
    ages: f64,
    /// 1 / (sum(x)² - n sum(x²)).
    scale: f64,
    values: Window<f64>,
    line: Line,
    /// Values until the sums are taken anew.
    left: u32,
}

/// The sums that a regression on the age needs.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Line {
    sum: f64,
    /// Each times its age.
    aged: f64,
    /// Of magnitudes.
    size: f64,
}

impl Fosc {
    /// Panics on a period of less than 2.
    pub fn new(period: u32) -> Fosc {
        assert!(period > 1, "a period is at least 2");
        let n = f64::from(period);
        let ages = n * (n - 1.0) * 0.5;
        let squares = n * (n - 1.0) * (2.0 * n - 1.0) / 6.0;
        Fosc {
            n,
            weight: 1.0 / n,
            ages,
            scale: 1.0 / (ages * ages - n * squares),
            values: Window::new(period),
            line: Line::default(),
            left: 0,
        }
    }

    /// One step beyond the newest value.
    #[inline]
    fn forecast(&self) -> f64 {
        let slope = (self.n * self.line.aged - self.ages * self.line.sum) * self.scale;
        (self.line.sum - slope * self.ages) * self.weight + slope * self.n
    }

    /// After `old` went out for `value`.
    #[inline]
    fn slide(&mut self, old: f64, value: f64) {
        let out = self.n * old;
        self.line.aged = self.line.aged + self.line.sum - out;
        self.line.sum = self.line.sum - old + value;
        self.line.size = self.line.size - old.abs() + value.abs();
        self.left = self.left.saturating_sub(1);
        let holds = out.abs() <= 100.0 * self.line.size;
        // Anew also where either is NaN.
        if self.left == 0 || !holds {
            self.take_anew();
        }
    }

    fn take_anew(&mut self) {
        self.left = WINDOWS.saturating_mul(self.values.len() as u32);
        self.line = Line::default();
        let mut age = self.n;
        for value in self.values.iter() {
            age -= 1.0;
            self.line.sum += value;
            self.line.aged += age * value;
            self.line.size += value.abs();
        }
    }
}

impl Next<f64> for Fosc {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let forecast = self.values.is_full().then(|| self.forecast());
        match self.values.push(value) {
            Some(old) => self.slide(old, value),
            None if self.values.is_full() => self.take_anew(),
            None => {}
        }
        let off = value - forecast?;
        Some(if value == 0.0 {
            0.0
        } else {
            100.0 * off / value
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_value_against_the_line_before_it() {
        let mut fosc = Fosc::new(3);
        let values = [1.0, 2.0, 3.0, 4.0, 10.0, 0.0].map(|v| fosc.next(v));
        // Of 2, 3 and 4 the line goes on to 5: half of 10.
        assert_eq!(values, [None, None, None, Some(0.0), Some(50.0), Some(0.0)]);
    }

    #[test]
    fn it_recovers() {
        let mut fosc = Fosc::new(2);
        for value in [1.0, f64::NAN, f64::INFINITY, 1e300, 2.0, 3.0, 4.0, 5.0] {
            fosc.next(value);
        }
        assert_eq!(fosc.next(12.0), Some(50.0));
    }
}
