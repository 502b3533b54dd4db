//! HOT PATH. Technical indicators: O(1) an update, no allocation after construction, no `NaN` to
//! begin with.
//!
//! Each is a file of its own, implements [`ta::Next`] and answers `None` until it is warm; from
//! then on it agrees with TA-Lib to 1e-9 relative (held by reference values in each file's tests).
//! Strategies call them on the engine thread. They know no market: values in, values out.
//!
//! To add one: its file, a `pub mod` line and a line in [`ALL`].

pub mod atr;
pub mod ema;
pub mod rsi;
pub mod sma;
pub mod time_ema;

pub use atr::Atr;
pub use ema::Ema;
pub use rsi::Rsi;
pub use sma::Sma;
pub use time_ema::TimeEma;

/// What an indicator's file says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// TA-Lib's name where it has one.
    pub name: &'static str,
    pub summary: &'static str,
    pub parameters: &'static [&'static str],
    pub inputs: &'static [&'static str],
    pub outputs: &'static [&'static str],
    /// When its first value comes.
    pub warm_up: &'static str,
    /// Where its definition is published.
    pub source: &'static str,
}

/// All indicators, by name.
pub static ALL: &[Info] = &[atr::INFO, ema::INFO, rsi::INFO, sma::INFO, time_ema::INFO];

/// High, low and close of a bar, in quote currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hlc {
    pub high: f64,
    pub low: f64,
    pub close: f64,
}

impl ta::High for Hlc {
    fn high(&self) -> f64 {
        self.high
    }
}

impl ta::Low for Hlc {
    fn low(&self) -> f64 {
        self.low
    }
}

impl ta::Close for Hlc {
    fn close(&self) -> f64 {
        self.close
    }
}

#[cfg(test)]
pub(crate) mod reference {
    //! A market of 35 bars, and the check of an indicator against what TA-Lib 0.8.1 makes of it.

    use super::Hlc;

    const HIGH: [f64; 35] = [
        100.48, 100.32, 100.56, 99.49, 98.75, 97.76, 97.79, 99.83, 98.65, 98.8, 99.4, 99.34, 99.0,
        98.38, 99.17, 99.12, 98.04, 96.9, 95.31, 93.78, 92.24, 91.63, 90.73, 91.46, 91.17, 90.69,
        88.33, 87.59, 88.17, 87.93, 86.17, 86.11, 85.28, 84.57, 85.32,
    ];
    const LOW: [f64; 35] = [
        99.61, 99.1, 99.75, 99.08, 97.93, 97.28, 97.55, 98.87, 98.45, 97.07, 98.21, 98.64, 98.72,
        97.93, 97.85, 97.99, 97.31, 96.59, 94.26, 93.28, 91.82, 91.19, 90.13, 89.97, 90.76, 90.22,
        87.28, 87.3, 86.45, 86.36, 85.87, 85.03, 84.49, 82.43, 84.34,
    ];
    pub const CLOSE: [f64; 35] = [
        100.0, 100.3, 100.03, 99.14, 98.68, 97.69, 97.75, 99.09, 98.6, 97.98, 98.47, 98.82, 98.93,
        98.0, 97.97, 98.66, 97.32, 96.86, 94.96, 93.67, 91.83, 91.59, 90.33, 90.6, 90.76, 90.57,
        88.05, 87.51, 87.46, 87.58, 86.05, 85.57, 84.59, 83.78, 84.84,
    ];

    pub fn bars() -> Vec<Hlc> {
        let bar = |i| Hlc {
            high: HIGH[i],
            low: LOW[i],
            close: CLOSE[i],
        };
        (0..CLOSE.len()).map(bar).collect()
    }

    /// `values` are an indicator's, one for each bar; TA-Lib's come last and are all there are.
    pub fn check(values: Vec<Option<f64>>, expected: &[f64]) {
        let warm_up = values.len() - expected.len();
        assert!(
            values[..warm_up].iter().all(Option::is_none),
            "it answers before it is warm"
        );
        for (i, (value, expected)) in values[warm_up..].iter().zip(expected).enumerate() {
            let value = value.expect("it is warm");
            assert!(
                (value / expected - 1.0).abs() < 1e-9,
                "bar {}: {value}, not {expected}",
                warm_up + i
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn the_list_is_sorted_and_complete() {
        assert!(
            ALL.windows(2).all(|w| w[0].name < w[1].name),
            "sorted by name, none twice"
        );
        for info in ALL {
            let texts = [info.name, info.summary, info.warm_up, info.source];
            assert!(texts.iter().all(|t| !t.is_empty()), "{info:?}");
            assert!(
                !info.inputs.is_empty() && !info.outputs.is_empty(),
                "{info:?}"
            );
        }
    }
}
