//! HOT PATH. One kind of bar of one instrument, trade by trade. Allocates nothing, never panics;
//! sums saturate.

use super::{Bar, BarKind, Requote};
use serde::{Deserialize, Serialize};

/// A trade further from the last brick than this many bricks makes none: the grid starts afresh
/// at its price, and the next brick is incomplete. So one bad price cannot hold up the market.
pub const MOST_BRICKS: i64 = 1_000;

/// Builds the bars of one kind for one instrument.
///
/// In this order for each event: [`BarBuilder::close_due`] where time has come to it, and for a
/// trade [`BarBuilder::trade`], then [`BarBuilder::next_closed`] until it says `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarBuilder {
    kind: BarKind,
    /// Open where it has trades.
    bar: Bar,
    /// What has closed reaches to here: the end of the last bar of time, the newest stamp in any
    /// other.
    closed_ns: i64,
    /// Trades may be missing before the next one.
    gap: bool,
    grid: Grid,
}

impl BarBuilder {
    /// A size below 1 counts as 1. The first bar of time is incomplete, since it began before its
    /// first trade was seen.
    pub fn new(kind: BarKind) -> Self {
        BarBuilder {
            kind: kind.at_least_one(),
            bar: Bar::default(),
            closed_ns: i64::MIN,
            gap: kind.is_time(),
            grid: Grid::default(),
        }
    }

    /// All was watched from the beginning of the first bar on, so it is complete.
    #[must_use]
    pub fn watched_from_start(self) -> Self {
        BarBuilder { gap: false, ..self }
    }

    #[inline]
    pub fn kind(&self) -> BarKind {
        self.kind
    }

    /// The bar under way, if any. A brick under way has the prices that were traded.
    #[inline]
    pub fn open_bar(&self) -> Option<&Bar> {
        (self.bar.trades > 0).then_some(&self.bar)
    }

    /// When the open bar of time is over, ns; `i64::MAX` where there is none.
    #[inline]
    pub(super) fn due_ns(&self) -> i64 {
        if self.kind.is_time() && self.bar.trades > 0 {
            self.bar.end_ns
        } else {
            i64::MAX
        }
    }

    /// Time has come to `now_ns`: the bar of time that is over, if any. Call before
    /// [`BarBuilder::trade`]. No other bar is ever due.
    #[inline]
    pub fn close_due(&mut self, now_ns: i64) -> Option<Bar> {
        if self.bar.trades == 0 || now_ns < self.bar.end_ns || !self.kind.is_time() {
            return None;
        }
        let closed = std::mem::take(&mut self.bar);
        // Remembered, so that an older trade is known to be late.
        self.closed_ns = closed.end_ns;
        Some(closed)
    }

    /// Takes a trade. What it closes, [`BarBuilder::next_closed`] gives; what is not taken before
    /// the next trade goes on.
    #[inline]
    pub fn trade(&mut self, time_ns: i64, price: i64, amount: i64, taker_bought: bool) {
        let after_gap = std::mem::replace(&mut self.gap, false);
        let closed_ns = self.closed_ns;
        let bar = &mut self.bar;
        let begins = bar.trades == 0;
        if begins {
            *bar = Bar {
                open: price,
                high: price,
                low: price,
                first_ns: time_ns,
                ..Bar::default()
            };
        }
        let late = if let BarKind::Time(interval_ns) = self.kind {
            if begins {
                let into = time_ns.checked_rem_euclid(interval_ns).unwrap_or(0);
                bar.start_ns = time_ns.saturating_sub(into).max(closed_ns);
                bar.end_ns = bar.start_ns.saturating_add(interval_ns);
            }
            time_ns < bar.start_ns
        } else {
            let at_ns = time_ns.max(closed_ns);
            let after_ns = at_ns.saturating_add(1);
            if begins {
                (bar.start_ns, bar.end_ns) = (at_ns, after_ns);
            }
            bar.start_ns = bar.start_ns.min(at_ns);
            bar.end_ns = bar.end_ns.max(after_ns);
            time_ns < closed_ns
        };
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.close = price;
        bar.volume = bar.volume.saturating_add(amount);
        if taker_bought {
            bar.taker_buy_volume = bar.taker_buy_volume.saturating_add(amount);
        }
        // Two factors of 64 bits always fit.
        let notional = i128::from(price) * i128::from(amount);
        bar.notional = bar.notional.saturating_add(notional);
        bar.last_ns = time_ns;
        bar.trades = bar.trades.saturating_add(1);
        bar.late = bar.late.saturating_add(u32::from(late));
        bar.incomplete |= after_gap;
        if let BarKind::Renko(brick) = self.kind {
            bar.incomplete |= !self.grid.trade(brick, time_ns, price, after_gap);
        }
    }

    /// A bar that the last trade closed: at most one, but for bricks. Nothing for bars of time.
    #[inline]
    pub fn next_closed(&mut self) -> Option<Bar> {
        if !self.has_closed() {
            return None;
        }
        let mut closed = std::mem::take(&mut self.bar);
        if let BarKind::Renko(brick) = self.kind {
            if closed.trades == 0 {
                closed = self.grid.further(self.closed_ns);
            }
            self.grid.step(brick, &mut closed);
        }
        // The newest stamp in it, and of what closed earlier.
        self.closed_ns = closed.end_ns.saturating_sub(1);
        Some(closed)
    }

    /// Drops the open bar of time, which is known whole from elsewhere and ends at `end_ns`.
    #[cold]
    pub(super) fn give_up(&mut self, end_ns: i64) {
        self.bar = Bar::default();
        self.closed_ns = self.closed_ns.max(end_ns);
    }

    /// Whether [`BarBuilder::next_closed`] has something.
    #[inline]
    pub(super) fn has_closed(&self) -> bool {
        let bar = &self.bar;
        match self.kind {
            BarKind::Time(_) => false,
            BarKind::Trades(n) => bar.trades > 0 && bar.trades >= n,
            BarKind::Volume(v) => bar.trades > 0 && bar.volume >= v,
            BarKind::Notional(n) => bar.trades > 0 && bar.notional >= n,
            BarKind::Renko(brick) => self.grid.next(brick).is_some(),
        }
    }

    /// Trades may be missing from here to the next trade: a lost connection, a hole in a sequence,
    /// a stopped process. The open bar is incomplete, and so is the one that the next trade falls
    /// into.
    #[inline]
    pub fn gap(&mut self) {
        self.gap = true;
        self.bar.incomplete |= self.bar.trades > 0;
    }

    /// Re-expresses the kind's size and the open bar after a change of scale, which multiplies
    /// prices and amounts by powers of ten. What is open and no longer fits starts afresh,
    /// incomplete.
    #[cold]
    pub fn rescale(
        &mut self,
        price: impl Fn(i64) -> Option<i64>,
        amount: impl Fn(i64) -> Option<i64>,
    ) {
        let quote = Requote::new(&price, &amount);
        self.kind = self.kind.rescaled(&price, &amount, quote.as_ref());
        let bar = self.bar.rescaled(&price, &amount);
        match bar.zip(self.grid.rescaled(&price)) {
            Some((bar, grid)) => (self.bar, self.grid) = (bar, grid),
            None => {
                (self.bar, self.grid) = (Bar::default(), Grid::default());
                self.gap = true;
            }
        }
    }
}

/// Where the last brick is, and the price now. Of use to bricks only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Grid {
    /// The first trade has set it.
    anchored: bool,
    /// The last brick; both are where the grid starts before the first one.
    low: i64,
    high: i64,
    /// Of the last trade.
    price: i64,
    time_ns: i64,
    /// The last trade was the first after a gap: what was traded on the way to it is not known.
    after_gap: bool,
}

impl Grid {
    /// Says whether the grid goes on; it starts afresh where the price is too far away.
    #[inline]
    fn trade(&mut self, brick: i64, time_ns: i64, price: i64, after_gap: bool) -> bool {
        (self.price, self.time_ns, self.after_gap) = (price, time_ns, after_gap);
        let reach = brick.saturating_mul(MOST_BRICKS);
        let near =
            price <= self.high.saturating_add(reach) && price >= self.low.saturating_sub(reach);
        if self.anchored && near {
            return true;
        }
        let into = price.checked_rem_euclid(brick).unwrap_or(0);
        self.low = price.saturating_sub(into);
        self.high = self.low;
        !std::mem::replace(&mut self.anchored, true)
    }

    /// The next brick on the way to the price: from, to.
    #[inline]
    fn next(&self, brick: i64) -> Option<(i64, i64)> {
        if !self.anchored || brick <= 0 {
            return None;
        }
        let up = self.high.checked_add(brick);
        if let Some(up) = up.filter(|up| self.price >= *up) {
            return Some((self.high, up));
        }
        let down = self.low.checked_sub(brick);
        let down = down.filter(|down| self.price <= *down)?;
        Some((self.low, down))
    }

    /// Makes the next brick of `bar`, and the last one of the grid.
    #[inline]
    fn step(&mut self, brick: i64, bar: &mut Bar) {
        let Some((open, close)) = self.next(brick) else {
            return;
        };
        (self.low, self.high) = (open.min(close), open.max(close));
        (bar.open, bar.close) = (open, close);
        (bar.low, bar.high) = (self.low, self.high);
    }

    /// A brick that the last trade makes after the first one: nothing was traded in it.
    #[inline]
    fn further(&self, closed_ns: i64) -> Bar {
        let at_ns = self.time_ns.max(closed_ns);
        Bar {
            start_ns: at_ns,
            end_ns: at_ns.saturating_add(1),
            first_ns: self.time_ns,
            last_ns: self.time_ns,
            incomplete: self.after_gap,
            ..Bar::default()
        }
    }

    #[cold]
    fn rescaled(self, price: &impl Fn(i64) -> Option<i64>) -> Option<Grid> {
        Some(Grid {
            low: price(self.low)?,
            high: price(self.high)?,
            price: price(self.price)?,
            ..self
        })
    }
}
