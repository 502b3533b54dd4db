//! What is held against TA-Lib: an indicator of ours, its parameters, and how it takes a candle.

use serde::{Serialize, de::DeserializeOwned};
use tickforge::indicators::{Candle, Info};

/// Outputs at one bar, in TA-Lib's order.
pub type Row = Vec<Option<f64>>;

type Run = Box<dyn Fn(&[Candle]) -> Vec<Row>>;
/// Candles, how many of them warm it up, and a counter of allocations.
type Count = Box<dyn Fn(&[Candle], usize, fn() -> u64) -> u64>;

pub struct Case {
    pub info: &'static Info,
    /// Beside the defaults, by TA-Lib's names.
    pub parameters: &'static [(&'static str, f64)],
    /// One row for each candle. Its state is saved and restored in the middle.
    pub run: Run,
    /// The same, and how often it allocated after `warm` candles, by this counter.
    pub allocations: Count,
}

/// `new` makes it with `parameters`, `next` gives it the inputs that TA-Lib's default names.
pub fn case<I, const N: usize>(
    info: &'static Info,
    parameters: &'static [(&'static str, f64)],
    new: fn() -> I,
    next: fn(&mut I, &Candle) -> [Option<f64>; N],
) -> Case
where
    I: Serialize + DeserializeOwned + 'static,
{
    let run = move |candles: &[Candle]| {
        let mut indicator = new();
        let mut rows = Vec::with_capacity(candles.len());
        for (i, candle) in candles.iter().enumerate() {
            if i == 20 || i == candles.len() / 2 {
                let saved = postcard::to_allocvec(&indicator).expect("it can be saved");
                indicator = postcard::from_bytes(&saved).expect("it can be restored");
            }
            rows.push(next(&mut indicator, candle).to_vec());
        }
        rows
    };
    let allocations = move |candles: &[Candle], warm: usize, counted: fn() -> u64| {
        let mut indicator = new();
        let mut before = counted();
        for (i, candle) in candles.iter().enumerate() {
            if i == warm {
                before = counted();
            }
            std::hint::black_box(next(&mut indicator, candle));
        }
        counted() - before
    };
    Case {
        info,
        parameters,
        run: Box::new(run),
        allocations: Box::new(allocations),
    }
}

/// For an output of several numbers.
pub fn all<T, const N: usize>(value: Option<T>, parts: fn(T) -> [f64; N]) -> [Option<f64>; N] {
    match value {
        Some(value) => parts(value).map(Some),
        None => [None; N],
    }
}
