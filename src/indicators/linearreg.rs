//! HOT PATH. The straight line that fits the last n values best, as TA-Lib's `LINEARREG`,
//! `LINEARREG_ANGLE`, `LINEARREG_INTERCEPT`, `LINEARREG_SLOPE` and `TSF`. Budget: 12 ns an update,
//! and an arc tangent for the angle.
//!
//! ```text
//! slope m     = (n sum x y - sum x sum y) / (n sum x² - (sum x)²)       x = 0 (oldest) to n - 1
//! intercept b = (sum y - m sum x) / n
//! LINEARREG   = b + m (n - 1)        the line at the newest value
//! TSF         = b + m n              one value further
//! angle       = atan(m), in degrees
//! ```
//! Source: Gauss, Theoria Motus Corporum Coelestium (1809), for the method of least squares; for
//! prices, Kaufman, Trading Systems and Methods (2013), Regression Analysis.
//!
//! TA-Lib moves its sums on by each value and takes them afresh from the window every 32 periods:
//! at prices of 60,000 a slope is off by up to 1e-8 in between. To agree, these do the same; and
//! when a value has left beside which the others are nothing (or that was none), within a period.
//! The angle is that of price over bars: it depends on the unit of the price.

use super::{Info, Window};
use serde::{Deserialize, Serialize};
use ta::Next;

const fn info(name: &'static str, summary: &'static str, outputs: &'static [&'static str]) -> Info {
    Info {
        name,
        summary,
        parameters: &[("timeperiod", 14.0)],
        inputs: &["value"],
        outputs,
        warm_up: "period values",
        source: "Kaufman, Trading Systems and Methods, 2013, Regression Analysis",
    }
}

pub const LINEARREG: Info = info(
    "LINEARREG",
    "the line of best fit at the newest value",
    &["value of the line"],
);

pub const LINEARREG_ANGLE: Info = info(
    "LINEARREG_ANGLE",
    "angle of the line of best fit",
    &["degrees, -90 to 90"],
);

pub const LINEARREG_INTERCEPT: Info = info(
    "LINEARREG_INTERCEPT",
    "the line of best fit at the oldest value",
    &["value of the line"],
);

pub const LINEARREG_SLOPE: Info = info(
    "LINEARREG_SLOPE",
    "slope of the line of best fit",
    &["rise per value"],
);

pub const TSF: Info = info(
    "TSF",
    "time series forecast: the line of best fit one value ahead",
    &["value of the line"],
);

/// The line of best fit.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fit {
    period: u32,
    values: Window<f64>,
    /// Values since the sums were taken afresh, and at how many they are again.
    age: u32,
    due: u32,
    n: f64,
    per_value: f64,
    sum_x: f64,
    per_slope: f64,
    sum_y: f64,
    /// Its x counts back from the newest value.
    sum_xy: f64,
}

impl Fit {
    fn new(period: u32) -> Fit {
        assert!(period > 1, "a period is at least 2");
        let n = f64::from(period);
        let sum_x = n * (n - 1.0) * 0.5;
        let sum_xx = n * (n - 1.0) * (2.0 * n - 1.0) / 6.0;
        Fit {
            period,
            values: Window::new(period),
            age: 0,
            due: period,
            n,
            per_value: 1.0 / n,
            sum_x,
            per_slope: 1.0 / (sum_x * sum_x - n * sum_xx),
            sum_y: 0.0,
            sum_xy: 0.0,
        }
    }

    /// The slope, once there are n values.
    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        const MUCH: f64 = 100.0;
        let old = self.values.push(value);
        self.age = self.age.saturating_add(1);
        if !value.is_finite() {
            // When it has left.
            self.due = self.age.saturating_add(self.period);
            (self.sum_y, self.sum_xy) = (f64::NAN, f64::NAN);
        }
        if let Some(old) = old {
            let out = self.n * old;
            self.sum_xy = self.sum_xy + self.sum_y - out;
            self.sum_y = self.sum_y - old + value;
            if out.abs() > MUCH * self.sum_y.abs() {
                self.due = self.due.min(self.age.max(self.period));
            }
        } else if !self.values.is_full() {
            return None;
        }
        if self.age >= self.due {
            self.sum_up();
        }
        Some((self.n * self.sum_xy - self.sum_x * self.sum_y) * self.per_slope)
    }

    fn sum_up(&mut self) {
        (self.sum_y, self.sum_xy) = (0.0, 0.0);
        (self.age, self.due) = (0, self.period.saturating_mul(32));
        let mut x = self.n;
        for value in self.values.iter() {
            x -= 1.0;
            self.sum_y += value;
            self.sum_xy += x * value;
        }
    }

    #[inline]
    fn intercept(&self, slope: f64) -> f64 {
        (self.sum_y - slope * self.sum_x) * self.per_value
    }
}

/// The line of best fit at the newest value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinearReg {
    fit: Fit,
}

impl LinearReg {
    /// Panics on a period below 2.
    pub fn new(period: u32) -> LinearReg {
        LinearReg {
            fit: Fit::new(period),
        }
    }
}

impl Next<f64> for LinearReg {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let slope = self.fit.next(value)?;
        Some(self.fit.intercept(slope) + slope * (self.fit.n - 1.0))
    }
}

/// Angle of the line of best fit, in degrees.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinearRegAngle {
    fit: Fit,
}

impl LinearRegAngle {
    /// Panics on a period below 2.
    pub fn new(period: u32) -> LinearRegAngle {
        LinearRegAngle {
            fit: Fit::new(period),
        }
    }
}

impl Next<f64> for LinearRegAngle {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.fit
            .next(value)
            .map(|slope| slope.atan() * (180.0 / std::f64::consts::PI))
    }
}

/// The line of best fit at the oldest value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinearRegIntercept {
    fit: Fit,
}

impl LinearRegIntercept {
    /// Panics on a period below 2.
    pub fn new(period: u32) -> LinearRegIntercept {
        LinearRegIntercept {
            fit: Fit::new(period),
        }
    }
}

impl Next<f64> for LinearRegIntercept {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.fit.next(value).map(|slope| self.fit.intercept(slope))
    }
}

/// Slope of the line of best fit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinearRegSlope {
    fit: Fit,
}

impl LinearRegSlope {
    /// Panics on a period below 2.
    pub fn new(period: u32) -> LinearRegSlope {
        LinearRegSlope {
            fit: Fit::new(period),
        }
    }
}

impl Next<f64> for LinearRegSlope {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        self.fit.next(value)
    }
}

/// Time series forecast: the line of best fit one value ahead.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tsf {
    fit: Fit,
}

impl Tsf {
    /// Panics on a period below 2.
    pub fn new(period: u32) -> Tsf {
        Tsf {
            fit: Fit::new(period),
        }
    }
}

impl Next<f64> for Tsf {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, value: f64) -> Option<f64> {
        let slope = self.fit.next(value)?;
        Some(self.fit.intercept(slope) + slope * self.fit.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Option<f64>, exact: f64) -> bool {
        found.is_some_and(|found| (found - exact).abs() < 1e-12)
    }

    #[test]
    fn a_straight_line_is_its_own_fit() {
        let (mut line, mut slope) = (LinearReg::new(4), LinearRegSlope::new(4));
        let (mut start, mut ahead) = (LinearRegIntercept::new(4), Tsf::new(4));
        let mut angle = LinearRegAngle::new(4);
        for i in 0..20 {
            let value = 10.0 - f64::from(i);
            let rows = [
                line.next(value),
                slope.next(value),
                start.next(value),
                ahead.next(value),
            ];
            let degrees = angle.next(value);
            if i < 3 {
                assert_eq!((rows, degrees), ([None; 4], None));
                continue;
            }
            let exact = [value, -1.0, value + 3.0, value - 1.0];
            assert!(
                rows.iter().zip(exact).all(|(row, exact)| near(*row, exact)),
                "{rows:?}"
            );
            assert!(near(degrees, -45.0));
        }
    }

    #[test]
    fn squares_are_least() {
        let mut line = LinearReg::new(3);
        // Slope 1.5, mean 3.
        let last = [2.0, 2.0, 5.0].map(|v| line.next(v))[2];
        assert!(near(last, 4.5), "{last:?}");
    }

    #[test]
    fn no_number_outlives_its_window() {
        for odd in [f64::NAN, f64::INFINITY] {
            for at in 0..6 {
                let mut slope = LinearRegSlope::new(3);
                for i in 0..6 {
                    let found = slope.next(if i == at { odd } else { f64::from(i) });
                    assert_eq!(found.is_some(), i >= 2);
                    assert_eq!(
                        found.is_some_and(f64::is_nan),
                        i >= 2 && (at..at + 3).contains(&i)
                    );
                }
                let last = (6..9).map(|i| slope.next(f64::from(i))).last().flatten();
                assert!(near(last, 1.0), "{odd} at {at}: {last:?}");
            }
        }
    }

    #[test]
    fn an_outlier_leaves_no_trace() {
        for at in 0..20 {
            let mut slope = LinearRegSlope::new(5);
            let line = |i: u32| if i == at { 1e17 } else { f64::from(i) + 0.1 };
            let last = (0..at + 11).map(|i| slope.next(line(i))).last().flatten();
            assert!(near(last, 1.0), "{at}: {last:?}");
        }
    }
}
