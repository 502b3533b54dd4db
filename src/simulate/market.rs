//! One symbol's market: a limit order book at integer ticks, and those who trade in it.
//!
//! What happens is a pure function of the seed, the symbol and the pace; nothing here reads a
//! clock. Time is market time in ns, in which a symbol has about [`MESSAGES_PER_SECOND`] messages a
//! second. A latent price (its drift reverts, its volatility clusters) pulls takers and makers;
//! trades excite more trades. Called by `world` on the simulator's task.

use super::book::{Book, Print, Side, Sink};
use super::draw::Draw;
use super::symbols::Symbol;

/// Messages (trades, best prices, book changes) of one symbol per second of market time, on
/// average.
pub const MESSAGES_PER_SECOND: f64 = 33.3;

/// Book changes are sent together about this often.
const DEPTH_EVERY_NS: u64 = 100_000_000;

/// A book keeps at least so many levels a side where nothing else is asked for; and rarely more
/// than the second more.
pub const LEVELS: usize = 510;
const MORE_LEVELS: usize = 290;

/// What those in the market do per second while it is calm.
const CALM_ACTIONS: f64 = 26.0;
/// How long excitement lasts, s; how much an order and a shock add to it; how often shocks come.
const HEAT_SECONDS: f64 = 0.6;
const HEAT_OF_ORDER: f64 = 0.16;
const HEAT_OF_SHOCK: f64 = 6.0;
const SHOCKS_PER_SECOND: f64 = 0.05;
const MAX_HEAT: f64 = 12.0;

/// A spread of more gaps than this is one that nobody widens further.
const WIDE: f64 = 2.5;
/// How often a change behind the touch comes with a second one.
const MORE_DEEP: f64 = 0.6;
/// Levels that are missing come at this distance from the touch, gaps for each level, on average.
const FAR: f64 = 400.0 / LEVELS as f64;

pub struct Market {
    index: usize,
    gap: f64,
    size: f64,
    anchor: f64,
    /// Seconds of market time in one of wall time: trends last seconds for the onlooker.
    pace: f64,
    /// Levels that each side keeps.
    levels: usize,
    draw: Draw,
    pub book: Book,
    now: u64,
    next_action: u64,
    next_depth: u64,
    trade_id: u64,
    aggregate_id: u64,
    latent: f64,
    drift: f64,
    log_volatility: f64,
    imbalance: f64,
    heat: f64,
}

impl Market {
    pub fn new(seed: u64, index: usize, symbol: &Symbol, pace: f64, levels: usize) -> Market {
        let mut draw = Draw::new(seed, index as u64);
        let base = 1_000_000_000 + draw.below(1 << 32);
        let next_depth = DEPTH_EVERY_NS + draw.below(DEPTH_EVERY_NS);
        let mut market = Market {
            index,
            gap: symbol.gap,
            size: symbol.size,
            anchor: symbol.start as f64,
            pace,
            levels,
            book: Book::new(base * 12),
            now: 0,
            next_action: 0,
            next_depth,
            trade_id: base,
            aggregate_id: base - base / 4,
            latent: symbol.start as f64,
            drift: 0.0,
            log_volatility: 0.0,
            imbalance: 0.0,
            heat: 0.0,
            draw,
        };
        market.populate(symbol.start);
        market.next_action = market.wait();
        market
    }

    fn populate(&mut self, start: i64) {
        let (mut bid, mut ask) = (start, start + 1);
        for depth in 0..(self.levels + 140) as u32 {
            let lots = self.lots(f64::from(depth));
            self.book.lay(Side::Bid, bid, lots);
            let lots = self.lots(f64::from(depth));
            self.book.lay(Side::Ask, ask, lots);
            bid -= self.distance(self.gap);
            ask += self.distance(self.gap);
        }
    }

    /// When something happens next, in market time.
    pub fn next_at(&self) -> u64 {
        self.next_action.min(self.next_depth)
    }

    /// Lets the next thing happen.
    pub fn step(&mut self, sink: &mut impl Sink) {
        if self.next_depth <= self.next_action {
            self.now = self.next_depth;
            self.next_depth += DEPTH_EVERY_NS;
            self.book.flush(self.index, sink, false);
            return;
        }
        let seconds = (self.next_action - self.now) as f64 / 1e9;
        self.now = self.next_action;
        self.evolve(seconds);
        let before = self.book.touch();
        self.act(sink);
        self.keep_deep();
        let after = self.book.touch();
        if (before.bid, before.ask) != (after.bid, after.ask) {
            sink.touch(self.index, after);
        }
        self.next_action = self.now + self.wait();
    }

    /// Sends what the book has changed since its last message, on both streams.
    pub fn settle(&mut self, sink: &mut impl Sink) {
        self.book.flush(self.index, sink, true);
    }

    /// Time until somebody acts, ns.
    fn wait(&mut self) -> u64 {
        let mean = 1e9 / (CALM_ACTIONS * (1.0 + self.heat));
        (self.draw.exponential(mean) as u64).max(1)
    }

    /// The latent price, its drift and volatility, the mood and the excitement, `seconds` later.
    fn evolve(&mut self, seconds: f64) {
        self.heat *= (-seconds / HEAT_SECONDS).exp();
        if self.draw.chance(SHOCKS_PER_SECOND * seconds) {
            self.heat = (self.heat + HEAT_OF_SHOCK).min(MAX_HEAT);
            self.log_volatility += 0.7;
            self.drift += 8.0 * self.draw.normal();
        }
        let wall = (seconds / self.pace).min(1.0);
        let root = wall.sqrt();
        // Mean reversion in wall seconds, and the deviation that it settles at.
        let d = &mut self.draw;
        self.log_volatility += -self.log_volatility * wall / 8.0 + 0.25 * root * d.normal();
        self.drift += -self.drift * wall / 4.0 + 4.2 * root * d.normal();
        self.imbalance += -self.imbalance * wall / 2.0 + root * d.normal();
        let noise = 5.0 * self.log_volatility.exp() * root * d.normal();
        self.latent += self.gap * (self.drift * wall + noise);
        self.latent += (self.anchor - self.latent) * wall / 45.0;
        let limit = self.anchor / 4.0;
        self.latent = self.latent.clamp(self.anchor - limit, self.anchor + limit);
    }

    /// How far the latent price is above the middle of the book, in gaps.
    fn pull(&self) -> f64 {
        let middle = (self.book.best(Side::Bid).0 + self.book.best(Side::Ask).0) as f64 / 2.0;
        (self.latent - middle) / self.gap
    }

    fn act(&mut self, sink: &mut impl Sink) {
        let excited = self.heat / (1.0 + self.heat);
        let orders = 0.09 + 0.04 * excited;
        let makers = if self.is_wide() { 0.30 } else { 0.14 };
        let kind = self.draw.unit();
        if kind < orders {
            self.market_order(sink);
        } else if kind < orders + makers {
            self.quote(excited);
        } else {
            self.deep();
            if self.draw.chance(MORE_DEEP) {
                self.deep();
            }
        }
    }

    /// A taker takes the touch, or part of it, or more.
    fn market_order(&mut self, sink: &mut impl Sink) {
        let lean = 1.2 * self.pull() + 0.8 * self.imbalance;
        let buy = self.draw.chance(1.0 / (1.0 + (-lean).exp()));
        let maker = if buy { Side::Ask } else { Side::Bid };
        let (_, touch_lots) = self.book.best(maker);
        let share = match self.draw.unit() {
            u if u < 0.60 => 0.02 + 0.9 * self.draw.unit(),
            u if u < 0.86 => 1.0,
            _ => self.draw.pareto(1.2).min(20.0),
        };
        let mut left = ((touch_lots as f64 * share) as i64).max(1);
        for _ in 0..6 {
            let (price, lots) = self.book.best(maker);
            let taken = left.min(lots);
            self.book.set(maker, price, lots - taken);
            self.print(sink, price, taken, !buy);
            self.heat = (self.heat + HEAT_OF_ORDER).min(MAX_HEAT);
            left -= taken;
            if left == 0 {
                break;
            }
        }
    }

    /// One order's trades at one price: one for each resting order it meets.
    fn print(&mut self, sink: &mut impl Sink, price: i64, lots: i64, buyer_is_maker: bool) {
        let makers = match self.draw.unit() {
            u if u < 0.75 => 1,
            u if u < 0.93 => 2,
            _ => 3 + self.draw.below(3) as i64,
        };
        let first = self.trade_id + 1;
        let mut left = lots;
        for rest in (0..makers.min(lots)).rev() {
            let part = if rest == 0 {
                left
            } else {
                1 + self.draw.below((left - rest) as u64) as i64
            };
            left -= part;
            self.trade_id += 1;
            sink.trade(
                self.index,
                Print {
                    id: self.trade_id,
                    price,
                    lots: part,
                    buyer_is_maker,
                },
            );
        }
        self.aggregate_id += 1;
        let aggregate = Print {
            id: self.aggregate_id,
            price,
            lots,
            buyer_is_maker,
        };
        sink.aggregate(self.index, aggregate, first, self.trade_id);
    }

    fn is_wide(&self) -> bool {
        let spread = self.book.best(Side::Ask).0 - self.book.best(Side::Bid).0;
        spread as f64 > WIDE * self.gap
    }

    /// A maker changes the touch: gives way, improves it, or another amount.
    fn quote(&mut self, excited: f64) {
        let pull = self.pull();
        let (bid, ask) = (self.book.best(Side::Bid).0, self.book.best(Side::Ask).0);
        let ahead = if pull > 0.0 { Side::Bid } else { Side::Ask };
        let behind = if pull > 0.0 { Side::Ask } else { Side::Bid };
        let choice = self.draw.unit();
        let (gives_way, improves) = match self.is_wide() {
            true => (0.0, 0.9),
            false => {
                let gives_way = (0.15 * pull.abs()).min(0.45) + 0.15 * excited;
                (gives_way, 0.55 - 0.25 * excited)
            }
        };
        if choice < gives_way {
            self.book.set(behind, self.book.best(behind).0, 0);
        } else if ask - bid > 1 && choice < gives_way + improves {
            let side = if self.draw.chance(0.75) {
                ahead
            } else {
                behind
            };
            // The wider the spread, the more there is to gain by stepping in.
            let room = (ask - bid) as f64;
            let step = self
                .distance((self.gap / 3.0).max(room / 2.0))
                .min(ask - bid - 1);
            let price = if side == Side::Bid {
                bid + step
            } else {
                ask - step
            };
            let lots = self.lots(0.0);
            self.book.set(side, price, lots);
        } else {
            let heavy = self
                .draw
                .chance(0.5 + 0.3 * self.imbalance.clamp(-1.0, 1.0));
            let side = if heavy { Side::Bid } else { Side::Ask };
            let lots = self.lots(0.0);
            self.book.set(side, self.book.best(side).0, lots);
        }
    }

    /// Somebody adds, changes or takes back an order behind the touch.
    fn deep(&mut self) {
        let side = if self.draw.chance(0.5) {
            Side::Bid
        } else {
            Side::Ask
        };
        let levels = self.book.len(side);
        let reach = if self.draw.chance(0.12) {
            self.far()
        } else {
            12.0
        };
        let distance = 1 + self.distance(self.gap * reach);
        let best = self.book.best(side).0;
        let depth = distance as f64 / self.gap;
        let lots = self.lots(depth);
        let add = if levels < self.levels + 90 {
            0.45
        } else {
            0.26
        };
        let choice = self.draw.unit();
        let price = if side == Side::Bid {
            best - distance
        } else {
            best + distance
        };
        let most = self.levels + MORE_LEVELS;
        let near = if levels > most {
            Some(self.book.worst(side))
        } else {
            self.book.behind(side, price)
        };
        match near {
            Some(near) if levels > most || choice > 0.74 => self.book.set(side, near, 0),
            Some(near) if choice > add => self.book.set(side, near, lots),
            _ if price > 0 => self.book.set(side, price, lots),
            _ => {}
        }
    }

    /// New levels where trades ate into the book.
    fn keep_deep(&mut self) {
        for side in [Side::Bid, Side::Ask] {
            while self.book.len(side) < self.levels {
                // Somewhere behind the touch, not beyond the worst: the far end stays where it is,
                // however long the market runs.
                let distance = self.distance(self.gap * self.far());
                let depth = distance as f64 / self.gap;
                let lots = self.lots(depth);
                let best = self.book.best(side).0;
                let price = match side {
                    Side::Bid => best - distance,
                    Side::Ask => best + distance,
                };
                if price > 0 {
                    self.book.set(side, price, lots);
                }
            }
        }
    }

    /// How far from the touch levels that are missing come, gaps, on average.
    fn far(&self) -> f64 {
        FAR * self.levels as f64
    }

    /// A number of ticks, at least 1.
    fn distance(&mut self, mean: f64) -> i64 {
        1 + self.draw.exponential((mean - 1.0).max(0.0)) as i64
    }

    /// An amount as people place them at this depth: broad, larger far out, often round.
    fn lots(&mut self, depth: f64) -> i64 {
        let typical = self.size * (0.3 + (depth / 40.0).min(2.0));
        let lots = (typical * (0.9 * self.draw.normal()).exp()) as i64;
        if self.draw.chance(0.25) {
            let unit = 10i64.pow((lots.max(1)).ilog10());
            return (lots / unit * unit).max(1);
        }
        lots.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::book::{Diff, Touch};
    use super::super::symbols::symbols;
    use super::*;
    use std::collections::BTreeMap;

    /// Rebuilds the book from diffs and keeps what it saw.
    #[derive(Default)]
    struct Follower {
        bids: BTreeMap<i64, i64>,
        asks: BTreeMap<i64, i64>,
        last_id: [Option<u64>; 2],
        trades: u64,
        touches: u64,
        diffs: u64,
        diff_levels: Vec<usize>,
        last_trade: Option<u64>,
        aggregated: u64,
        touch: Option<Touch>,
        prices: Vec<f64>,
        digest: u64,
    }

    impl Follower {
        fn mix(&mut self, values: &[u64]) {
            for v in values {
                self.digest = (self.digest ^ v)
                    .wrapping_mul(0x0100_0000_01b3)
                    .rotate_left(17);
            }
        }
    }

    impl Sink for Follower {
        fn trade(&mut self, _: usize, t: Print) {
            assert!(t.lots > 0);
            assert!(
                self.last_trade.is_none_or(|id| id + 1 == t.id),
                "ids are +1"
            );
            self.last_trade = Some(t.id);
            self.trades += 1;
            self.mix(&[t.id, t.price as u64, t.lots as u64]);
        }

        fn aggregate(&mut self, _: usize, a: Print, first: u64, last: u64) {
            assert_eq!(Some(last), self.last_trade);
            assert!(first <= last && a.lots > 0);
            self.aggregated += last - first + 1;
        }

        fn touch(&mut self, _: usize, t: Touch) {
            assert!(t.bid.0 < t.ask.0 && t.bid.1 > 0 && t.ask.1 > 0, "{t:?}");
            self.touches += 1;
            self.prices.push((t.bid.0 + t.ask.0) as f64 / 2.0);
            self.touch = Some(t);
            self.mix(&[t.update_id, t.bid.0 as u64, t.ask.1 as u64]);
        }

        fn diff(&mut self, _: usize, d: Diff<'_>) {
            let last = &mut self.last_id[usize::from(d.slow)];
            assert!(last.is_none_or(|id| id + 1 == d.first_id), "contiguous");
            assert!(d.first_id <= d.last_id);
            *last = Some(d.last_id);
            if d.slow {
                return;
            }
            self.diffs += 1;
            self.diff_levels.push(d.bids.len() + d.asks.len());
            self.mix(&[d.first_id, d.last_id]);
            for (book, levels) in [(&mut self.bids, d.bids), (&mut self.asks, d.asks)] {
                for &(price, lots) in levels {
                    if lots == 0 {
                        book.remove(&price)
                    } else {
                        book.insert(price, lots)
                    };
                }
            }
        }
    }

    fn run(seed: u64, symbol: usize, steps: usize, check: bool) -> (Market, Follower) {
        let list = symbols(symbol + 1);
        let mut market = Market::new(seed, symbol, &list[symbol], 15.0, LEVELS);
        let mut follower = Follower::default();
        follower.bids.extend(market.book.bids());
        follower.asks.extend(market.book.asks());
        for step in 0..steps {
            market.step(&mut follower);
            if check && step % 64 == 0 {
                assert!(market.book.best(Side::Bid).0 < market.book.best(Side::Ask).0);
                assert!(market.book.bids().len() >= 500 && market.book.asks().len() >= 500);
                assert!(market.book.worst(Side::Bid) > 0);
            }
        }
        market.settle(&mut follower);
        (market, follower)
    }

    #[test]
    fn diffs_rebuild_the_book_and_it_is_never_crossed() {
        for (seed, symbol) in [(1, 0), (2, 2), (3, 5), (4, 9), (5, 40)] {
            let (market, follower) = run(seed, symbol, 30_000, true);
            assert!(
                follower
                    .bids
                    .iter()
                    .rev()
                    .map(|(p, q)| (*p, *q))
                    .eq(market.book.bids())
            );
            assert!(
                follower
                    .asks
                    .iter()
                    .map(|(p, q)| (*p, *q))
                    .eq(market.book.asks())
            );
            let touch = follower.touch.expect("touches");
            assert_eq!(
                (touch.bid, touch.ask),
                (market.book.touch().bid, market.book.touch().ask)
            );
            assert_eq!(follower.aggregated, follower.trades);
            assert!(market.book.bids().len() <= 1_000 && market.book.asks().len() <= 1_000);
        }
    }

    #[test]
    fn the_mix_and_the_pace_are_those_promised() {
        for (seed, symbol) in [(11, 0), (12, 2)] {
            let (market, mut f) = run(seed, symbol, 100_000, false);
            let all = (f.trades + f.touches + f.diffs) as f64;
            let shares = [f.touches, f.trades, f.diffs].map(|n| n as f64 / all);
            let rate = all / (market.now as f64 / 1e9) / MESSAGES_PER_SECOND;
            f.diff_levels.sort_unstable();
            let median = f.diff_levels[f.diff_levels.len() / 2];
            let seen = format!("{shares:?}, rate {rate}, median {median}");
            assert!((shares[0] - 0.40).abs() < 0.05, "{seen}");
            assert!((shares[1] - 0.30).abs() < 0.05, "{seen}");
            assert!((shares[2] - 0.30).abs() < 0.05, "{seen}");
            assert!((rate - 1.0).abs() < 0.1, "{seen}");
            assert!((5..=7).contains(&median), "{seen}");
        }
    }

    #[test]
    fn a_seed_is_a_market() {
        let digest = |seed, symbol| run(seed, symbol, 20_000, false).1.digest;
        assert_eq!(digest(5, 1), digest(5, 1));
        assert_ne!(digest(5, 1), digest(6, 1));
    }

    /// In 30 s at the default rate a fast and a slow average cross, and the RSI has extremes.
    #[test]
    fn prices_trend_and_revert_within_seconds() {
        for seed in 0..4 {
            let (market, f) = run(seed, 2, 26_000, false);
            assert!(market.now as f64 / 1e9 / 15.0 > 25.0, "{}", market.now);
            let (mut fast, mut slow, mut crosses, mut above) = (f.prices[0], f.prices[0], 0, None);
            let (mut ups, mut downs, mut extremes) = (0.0, 0.0, 0);
            for pair in f
                .prices
                .chunks(100)
                .map(|c| c[0])
                .collect::<Vec<_>>()
                .windows(2)
            {
                fast += (pair[1] - fast) * 2.0 / 6.0;
                slow += (pair[1] - slow) * 2.0 / 14.0;
                crosses += u32::from(above.is_some_and(|a| a != (fast > slow)));
                above = Some(fast > slow);
                let step = pair[1] - pair[0];
                ups += (step.max(0.0) - ups) / 7.0;
                downs += ((-step).max(0.0) - downs) / 7.0;
                let rsi: f64 = 100.0 * ups / (ups + downs).max(1e-9);
                extremes += u32::from(!(30.0..=70.0).contains(&rsi));
            }
            assert!(crosses >= 2, "seed {seed}: {crosses} crosses");
            assert!(extremes >= 2, "seed {seed}: {extremes} extremes");
        }
    }

    /// However long it runs: prices near where they began, and a touch that is a touch.
    #[test]
    fn a_market_does_not_run_away() {
        for (seed, symbol) in [(1, 0), (1, 1), (1, 2), (1, 3), (7, 2)] {
            let list = symbols(symbol + 1);
            let (start, gap) = (list[symbol].start as f64, list[symbol].gap);
            let mut market = Market::new(seed, symbol, &list[symbol], 60.0, LEVELS);
            let mut sink = Follower::default();
            let mut spreads = Vec::new();
            for step in 0..400_000 {
                market.step(&mut sink);
                let touch = market.book.touch();
                spreads.push(touch.ask.0 - touch.bid.0);
                let middle = (touch.bid.0 + touch.ask.0) as f64 / 2.0;
                assert!(
                    (middle / start - 1.0).abs() < 0.3,
                    "step {step}: {touch:?} from {start}"
                );
                assert!(market.book.worst(Side::Bid) > 0, "step {step}");
            }
            spreads.sort_unstable();
            let share = |s: f64| spreads[(spreads.len() as f64 * s) as usize] as f64 / gap;
            assert!(
                share(0.5) < 4.0,
                "{seed} {symbol}: median spread of {} gaps",
                share(0.5)
            );
            assert!(share(0.999) < 60.0, "99.9% spread of {} gaps", share(0.999));
        }
    }
}
