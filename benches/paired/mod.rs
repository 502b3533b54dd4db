//! Contenders in turn, round after round, so that a machine that slows down slows all of them: what
//! is compared is the median over rounds of the ratio within a round. Criterion's own figures are
//! taken one contender after the other.

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

/// Work that can be timed: `prepare` is not in the time, `work` is and does `operations`.
pub struct Contender<'a> {
    pub name: &'static str,
    pub operations: u64,
    pub prepare: Box<dyn FnMut() + 'a>,
    pub work: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    /// A contender without preparation.
    pub fn new(name: &'static str, operations: u64, work: impl FnMut() + 'a) -> Self {
        Contender {
            name,
            operations,
            prepare: Box::new(|| ()),
            work: Box::new(work),
        }
    }

    fn round(&mut self) -> f64 {
        (self.prepare)();
        let begun = Instant::now();
        (self.work)();
        begun.elapsed().as_nanos() as f64 / self.operations as f64
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints each contender's median, ns an operation, and how many times the first one's it is.
pub fn compare(title: &str, rounds: usize, mut contenders: Vec<Contender>) {
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..rounds + 2 {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let ns = black_box(contender.round());
            if round >= 2 {
                times.push(ns); // the first two warm up
            }
        }
    }
    let first = times[0].clone();
    for (contender, times) in contenders.iter().zip(&mut times) {
        let mut ratios: Vec<f64> = times.iter().zip(&first).map(|(a, b)| a / b).collect();
        let (ratio, ns) = (median(&mut ratios), median(times));
        // A closed standard output ends a bench anyway.
        let _ = writeln!(
            std::io::stdout(),
            "paired, {rounds} rounds: {title}: {:<22} {ns:>9.1} ns, {ratio:>6.2} times the first",
            contender.name
        );
    }
}
