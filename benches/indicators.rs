//! An update of six indicators, beside the crates `ta`, `yata` and `kand`.
//!
//! Values come one by one, as in an engine that is live. All contenders take the same 10,000 closes
//! or bars of a random walk, over and over, with TA-Lib's defaults, and are warm when they are
//! measured. What they answer last is ours, to a millionth, but for these: `ta`'s RSI and ATR
//! smooth by 2 / (n + 1), not by Wilder's 1 / n; yata's bands divide by n - 1, not by n. And before
//! they are warm, all three answer other numbers than TA-Lib.
//!
//! kand keeps no state: its caller does, here the last answers and, for SMA and BBANDS, a ring of
//! values. `macd_inc` gives the two averages not back that it wants next time, so that kand's MACD
//! is three times `ema_inc`. yata has no ATR: its true range and its average of Wilder's stand for
//! it. Its RSI, MACD and bands look for signals too.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kand::ohlcv::{atr, bbands, ema, rsi, sma};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::hint::black_box;
use std::time::Duration;
use ta::Next;
use ta::indicators::{
    AverageTrueRange, BollingerBands, ExponentialMovingAverage, MovingAverageConvergenceDivergence,
    RelativeStrengthIndex, SimpleMovingAverage,
};
use tickforge::indicators::{Atr, BBands, Bands, Candle, Ema, MaType, Macd, MacdValue, Rsi, Sma};
use yata::core::{IndicatorConfig, IndicatorInstance, IndicatorResult, Method};
use yata::helpers::MA;
use yata::methods::{RMA, TR};

mod paired;
use paired::{Contender, compare};

const COUNT: usize = 10_000;
const RIGHT: &str = "its parameters are right";

/// A random walk from 60,000 up and down, on a grid of 0.1.
fn candles() -> Vec<Candle> {
    let mut draw = StdRng::seed_from_u64(1);
    let mut last = 600_000_i64;
    let mut bar = || {
        let open = last;
        last = (last + draw.random_range(-300..=300)).max(300_000);
        let high = open.max(last) + draw.random_range(0..=150);
        let low = open.min(last) - draw.random_range(0..=150);
        let [open, high, low, close] = [open, high, low, last].map(|ticks| ticks as f64 / 10.0);
        Candle {
            open,
            high,
            low,
            close,
            volume: 1.0,
        }
    };
    (0..COUNT).map(|_| bar()).collect()
}

/// One indicator's contenders, each with its own state.
struct Contest<'a> {
    title: &'static str,
    /// What the first one, ours, answers last in a round.
    expected: Option<f64>,
    contenders: Vec<Contender<'a>>,
}

impl<'a> Contest<'a> {
    fn new(title: &'static str) -> Contest<'a> {
        Contest {
            title,
            expected: None,
            contenders: Vec::with_capacity(4),
        }
    }

    /// Warms it up by one round. `value` is what has to be ours, of its last answer.
    fn add<S: 'a, I, O>(
        &mut self,
        name: &'static str,
        inputs: &'a [I],
        mut state: S,
        next: impl Fn(&mut S, &I) -> O + 'a,
        value: impl Fn(O) -> Option<f64>,
    ) {
        let answers = inputs.iter().map(|input| next(&mut state, input));
        if let Some(value) = answers.last().and_then(value) {
            let expected = *self.expected.get_or_insert(value);
            assert!(
                (value - expected).abs() <= 1e-6 * expected.abs(),
                "{} of {name}: {value}, not {expected}",
                self.title
            );
        }
        let work = move || {
            for input in inputs {
                // In memory from update to update, as in an engine that does other things between.
                black_box(next(black_box(&mut state), input));
            }
        };
        let contender = Contender::new(name, inputs.len() as u64, work);
        self.contenders.push(contender);
    }

    fn run(mut self, c: &mut Criterion) {
        let mut group = c.benchmark_group(self.title);
        group.throughput(Throughput::Elements(COUNT as u64));
        group.warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        for contender in &mut self.contenders {
            group.bench_function(contender.name, |b| b.iter(|| (contender.work)()));
        }
        group.finish();
        compare(self.title, 21, self.contenders);
    }
}

/// The last values that kand's callers hold.
struct Ring<const N: usize> {
    values: [f64; N],
    at: usize,
}

impl<const N: usize> Ring<N> {
    /// Puts a value in, and gives the one that it replaces.
    #[inline]
    fn push(&mut self, value: f64) -> f64 {
        let old = std::mem::replace(&mut self.values[self.at], value);
        self.at = if self.at + 1 < N { self.at + 1 } else { 0 };
        old
    }
}

/// The inputs, in each crate's form.
struct Inputs {
    closes: Vec<f64>,
    candles: Vec<Candle>,
    yata: Vec<yata::core::Candle>,
}

impl Inputs {
    fn new() -> Inputs {
        let candles = candles();
        let of_yata = |c: &Candle| (c.open, c.high, c.low, c.close, c.volume).into();
        Inputs {
            closes: candles.iter().map(|candle| candle.close).collect(),
            yata: candles.iter().map(of_yata).collect(),
            candles,
        }
    }
}

fn simple_average<'a>(inputs: &'a Inputs) -> Contest<'a> {
    let closes = &inputs.closes;
    let mut contest = Contest::new("SMA 30");
    contest.add("tickforge", closes, Sma::new(30), |s, v| s.next(*v), |v| v);
    let state = SimpleMovingAverage::new(30).expect(RIGHT);
    contest.add("ta", closes, state, |s, v| s.next(*v), Some);
    let state = yata::methods::SMA::new(30, &closes[0]).expect(RIGHT);
    contest.add("yata", closes, state, |s, v| s.next(v), Some);
    let values = [closes[0]; 30];
    let state = (Ring { values, at: 0 }, closes[0]);
    let next = |(ring, last): &mut (Ring<30>, f64), value: &f64| {
        *last = sma::sma_inc(*last, *value, ring.push(*value), 30).expect(RIGHT);
        *last
    };
    contest.add("kand", closes, state, next, Some);
    contest
}

fn exponential_average<'a>(inputs: &'a Inputs) -> Contest<'a> {
    let closes = &inputs.closes;
    let mut contest = Contest::new("EMA 30");
    contest.add("tickforge", closes, Ema::new(30), |s, v| s.next(*v), |v| v);
    let state = ExponentialMovingAverage::new(30).expect(RIGHT);
    contest.add("ta", closes, state, |s, v| s.next(*v), Some);
    let state = yata::methods::EMA::new(30, &closes[0]).expect(RIGHT);
    contest.add("yata", closes, state, |s, v| s.next(v), Some);
    let next = |last: &mut f64, value: &f64| {
        *last = ema::ema_inc(*value, *last, 30, Some(2.0 / 31.0)).expect(RIGHT);
        *last
    };
    contest.add("kand", closes, closes[0], next, Some);
    contest
}

fn strength<'a>(inputs: &'a Inputs) -> Contest<'a> {
    let closes = &inputs.closes;
    let mut contest = Contest::new("RSI 14");
    contest.add("tickforge", closes, Rsi::new(14), |s, v| s.next(*v), |v| v);
    let state = RelativeStrengthIndex::new(14).expect(RIGHT);
    contest.add("ta", closes, state, |s, v| s.next(*v), |_| None);
    let config = yata::indicators::RSI {
        ma: MA::RMA(14),
        ..Default::default()
    };
    let state = config.init(&inputs.yata[0]).expect(RIGHT);
    let value = |r: IndicatorResult| Some(100.0 * r.value(0));
    contest.add("yata", &inputs.yata, state, |s, v| s.next(v), value);
    let next = |state: &mut [f64; 3], value: &f64| {
        let [last, gain, loss] = *state;
        let (rsi, gain, loss) = rsi::rsi_inc(*value, last, gain, loss, 14).expect(RIGHT);
        *state = [*value, gain, loss];
        rsi
    };
    contest.add("kand", closes, [closes[0], 0.0, 0.0], next, Some);
    contest
}

fn convergence<'a>(inputs: &'a Inputs) -> Contest<'a> {
    let closes = &inputs.closes;
    let mut contest = Contest::new("MACD 12/26/9");
    let value = |v: Option<MacdValue>| v.map(|v| v.signal);
    let state = Macd::new(12, 26, 9);
    contest.add("tickforge", closes, state, |s, v| s.next(*v), value);
    let state = MovingAverageConvergenceDivergence::new(12, 26, 9).expect(RIGHT);
    contest.add("ta", closes, state, |s, v| s.next(*v), |v| Some(v.signal));
    let config = yata::indicators::MACD::default();
    let state = config.init(&inputs.yata[0]).expect(RIGHT);
    let value = |r: IndicatorResult| Some(r.value(1));
    contest.add("yata", &inputs.yata, state, |s, v| s.next(v), value);
    let next = |state: &mut [f64; 3], value: &f64| {
        let average = |value, last, n: usize| {
            ema::ema_inc(value, last, n, Some(2.0 / (n as f64 + 1.0))).expect(RIGHT)
        };
        let fast = average(*value, state[0], 12);
        let slow = average(*value, state[1], 26);
        let macd = fast - slow;
        let signal = average(macd, state[2], 9);
        *state = [fast, slow, signal];
        [macd, signal, macd - signal]
    };
    let state = [closes[0], closes[0], 0.0];
    contest.add("kand", closes, state, next, |v| Some(v[1]));
    contest
}

fn bands<'a>(inputs: &'a Inputs) -> Contest<'a> {
    let closes = &inputs.closes;
    let mut contest = Contest::new("BBANDS 20/2/2");
    let value = |b: Option<Bands>| b.map(|b| b.upper);
    let state = BBands::new(20, 2.0, 2.0, MaType::Sma);
    contest.add("tickforge", closes, state, |s, v| s.next(*v), value);
    let state = BollingerBands::new(20, 2.0).expect(RIGHT);
    contest.add("ta", closes, state, |s, v| s.next(*v), |v| Some(v.upper));
    let config = yata::indicators::BollingerBands::default();
    let state = config.init(&inputs.yata[0]).expect(RIGHT);
    contest.add("yata", &inputs.yata, state, |s, v| s.next(v), |_| None);
    let first = closes[0];
    let values = [first; 20];
    let sums = [first, 20.0 * first, 20.0 * first * first];
    let next = |(ring, sums): &mut (Ring<20>, [f64; 3]), value: &f64| {
        let ([mean, sum, squares], old) = (*sums, ring.push(*value));
        let all = bbands::bbands_inc(*value, mean, sum, squares, old, 20, 2.0, 2.0);
        let (upper, middle, lower, mean, sum, squares) = all.expect(RIGHT);
        *sums = [mean, sum, squares];
        [upper, middle, lower]
    };
    let state = (Ring { values, at: 0 }, sums);
    contest.add("kand", closes, state, next, |v| Some(v[0]));
    contest
}

fn range<'a>(inputs: &'a Inputs) -> Contest<'a> {
    let candles = &inputs.candles;
    let mut contest = Contest::new("ATR 14");
    contest.add("tickforge", candles, Atr::new(14), |s, c| s.next(c), |v| v);
    let state = AverageTrueRange::new(14).expect(RIGHT);
    contest.add("ta", candles, state, |s, c| s.next(c), |_| None);
    let range = TR::new(&inputs.yata[0]).expect(RIGHT);
    let average = RMA::new(14, &0.0).expect(RIGHT);
    let next = |(range, average): &mut (TR, RMA), candle: &yata::core::Candle| {
        average.next(&range.next(candle))
    };
    contest.add("yata", &inputs.yata, (range, average), next, Some);
    let next = |(close, last): &mut (f64, f64), candle: &Candle| {
        *last = atr::atr_inc(candle.high, candle.low, *close, *last, 14).expect(RIGHT);
        *close = candle.close;
        *last
    };
    contest.add("kand", candles, (candles[0].close, 0.0), next, Some);
    contest
}

fn bench(c: &mut Criterion) {
    let inputs = Inputs::new();
    let contests = [
        simple_average,
        exponential_average,
        strength,
        convergence,
        bands,
        range,
    ];
    for contest in contests {
        contest(&inputs).run(c);
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
