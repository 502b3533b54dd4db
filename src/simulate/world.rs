//! All symbols' markets as one sequence of happenings, in market time.
//!
//! A pure function of seed, number of symbols and rate. Called by `synthetic` on the simulator's
//! task.

use super::book::Sink;
use super::market::{MESSAGES_PER_SECOND, Market};
use super::symbols::{Symbol, symbols};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub struct World {
    pub symbols: Vec<Symbol>,
    pub markets: Vec<Market>,
    queue: BinaryHeap<Reverse<(u64, usize)>>,
    /// Seconds of market time in one second at the wanted rate.
    pace: f64,
}

impl World {
    pub fn new(seed: u64, count: usize, rate: u32, levels: usize) -> World {
        let symbols = symbols(count);
        let pace = f64::from(rate) / (MESSAGES_PER_SECOND * count as f64);
        let markets: Vec<Market> = symbols
            .iter()
            .enumerate()
            .map(|(index, symbol)| Market::new(seed, index, symbol, pace, levels))
            .collect();
        let queue = markets
            .iter()
            .enumerate()
            .map(|(i, m)| Reverse((m.next_at(), i)))
            .collect();
        World {
            symbols,
            markets,
            queue,
            pace,
        }
    }

    pub fn pace(&self) -> f64 {
        self.pace
    }

    /// When something happens next, ns of market time.
    pub fn next_at(&self) -> u64 {
        self.queue.peek().map_or(u64::MAX, |Reverse((at, _))| *at)
    }

    /// Lets the next thing happen.
    pub fn step(&mut self, sink: &mut impl Sink) {
        if let Some(mut next) = self.queue.peek_mut() {
            let index = next.0.1;
            self.markets[index].step(sink);
            next.0.0 = self.markets[index].next_at();
        }
    }

    /// Sends what the books have changed since their last message, so that all who follow are even.
    pub fn settle(&mut self, sink: &mut impl Sink) {
        self.markets.iter_mut().for_each(|m| m.settle(sink));
    }

    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.symbols.iter().position(|s| s.name == name)
    }
}
