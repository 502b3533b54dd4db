//! HOT PATH. Exponential average over time, of a value that holds until the next one: for quotes
//! and books, which come at no steady pace. Budget: 5 ns an update.
//!
//! ```text
//! dt   = time since the last value         (a stamp that steps back counts as 0)
//! next = last + (value that held - last) dt / (tau + dt)
//! ```
//! Source: Zumbach and Müller, Operators on Inhomogeneous Time Series (2001), the EMA with
//! previous-point interpolation. Its weight exp(-dt/tau) is taken by an implicit Euler step, tau /
//! (tau + dt): within (dt/tau)²/2 of it, and the same to the last bit with every C library, which
//! exp() is not. TA-Lib and `ta` have averages over counts only. A value that was replaced within
//! the same instant weighs nothing.

use super::Info;
use serde::{Deserialize, Serialize};
use ta::Next;

pub const INFO: Info = Info {
    name: "TIME_EMA",
    summary: "exponential average over time, of values that come at no steady pace",
    parameters: &[("tau", 1e9)],
    inputs: &["time, ns", "value"],
    outputs: &["average"],
    warm_up: "tau of time",
    source: "Zumbach and Müller, Operators on Inhomogeneous Time Series, 2001",
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimeEma {
    tau_ns: i64,
    /// Time since the first value, counted up to tau.
    age_ns: i64,
    last_ns: i64,
    held: f64,
    average: Option<f64>,
}

impl TimeEma {
    /// Panics where `tau_ns` is not positive.
    pub fn new(tau_ns: i64) -> TimeEma {
        assert!(tau_ns > 0, "a time constant is positive");
        TimeEma {
            tau_ns,
            age_ns: 0,
            last_ns: 0,
            held: 0.0,
            average: None,
        }
    }

    /// Starts anew, cold: what came before says nothing about what follows.
    pub fn reset(&mut self) {
        *self = TimeEma::new(self.tau_ns);
    }
}

impl Next<(i64, f64)> for TimeEma {
    type Output = Option<f64>;

    /// `value` holds from `now_ns` on.
    #[inline]
    fn next(&mut self, (now_ns, value): (i64, f64)) -> Option<f64> {
        let Some(average) = &mut self.average else {
            self.average = Some(value);
            self.held = value;
            self.last_ns = now_ns;
            return None;
        };
        let dt = now_ns.saturating_sub(self.last_ns).max(0);
        *average += (self.held - *average) * (dt as f64 / (self.tau_ns as f64 + dt as f64));
        self.held = value;
        self.last_ns = self.last_ns.max(now_ns);
        self.age_ns = self.age_ns.saturating_add(dt).min(self.tau_ns);
        if self.age_ns < self.tau_ns {
            None
        } else {
            self.average
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_warm_after_tau() {
        let mut ema = TimeEma::new(100);
        assert_eq!(
            [0, 50, 99, 100].map(|t| ema.next((t, 2.0))),
            [None, None, None, Some(2.0)]
        );
        ema.reset();
        assert_eq!(ema.next((300, 1.0)), None);
    }

    #[test]
    fn a_value_weighs_as_long_as_it_held() {
        let mut ema = TimeEma::new(100);
        ema.next((0, 0.0));
        assert_eq!(ema.next((100, 1.0)), Some(0.0));
        assert_eq!(
            ema.next((100, 5.0)),
            Some(0.0),
            "the 1 was replaced in its instant"
        );
        assert_eq!(
            ema.next((90, 1.0)),
            Some(0.0),
            "a stamp that steps back is no time"
        );
        assert_eq!(ema.next((200, 0.0)), Some(0.5));
    }

    #[test]
    fn is_near_the_exponential_where_steps_are_small() {
        let mut ema = TimeEma::new(1_000_000);
        ema.next((0, 0.0));
        ema.next((1_000_000, 1.0));
        let last = (1..=1000)
            .map(|i| ema.next((1_000_000 + i * 1000, 1.0)))
            .last()
            .flatten();
        let exact = 1.0 - (-1.0f64).exp();
        assert!(
            (last.expect("warm") - exact).abs() < 1e-3,
            "{last:?} {exact}"
        );
    }
}
