//! What has happened in the synthetic market, as REST tells it: candles and trades.
//!
//! Called by `synthetic` on the simulator's task.

use super::batch::Renderer;
use super::book::{Diff, Print, Sink, Touch};
use super::candles::Candles;
use super::server::Answer;
use super::trades::Trades;
use super::world::World;

pub struct History {
    candles: Candles,
    trades: Trades,
}

impl History {
    pub fn new(seed: u64, symbols: usize) -> History {
        History {
            candles: Candles::new(seed, symbols),
            trades: Trades::new(symbols),
        }
    }

    /// The answer, where this is a request for something of it.
    pub fn answer(&self, world: &World, path: &str, now_s: i64) -> Option<Answer> {
        let trades = self.trades.answer(world, path);
        trades.or_else(|| self.candles.answer(world, path, now_s))
    }
}

/// Renders what happens, and keeps its trades.
pub struct Watched<'a> {
    pub renderer: &'a mut Renderer,
    pub history: &'a mut History,
}

impl Sink for Watched<'_> {
    fn trade(&mut self, symbol: usize, trade: Print) {
        let now_us = self.renderer.now_us;
        self.history.candles.trade(symbol, &trade, now_us);
        self.history.trades.trade(symbol, &trade, now_us);
        self.renderer.trade(symbol, trade);
    }

    fn aggregate(&mut self, symbol: usize, aggregate: Print, first: u64, last: u64) {
        self.renderer.aggregate(symbol, aggregate, first, last);
    }

    fn touch(&mut self, symbol: usize, touch: Touch) {
        self.renderer.touch(symbol, touch);
    }

    fn diff(&mut self, symbol: usize, diff: Diff<'_>) {
        self.renderer.diff(symbol, diff);
    }
}
