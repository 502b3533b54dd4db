//! HOT PATH. One side of a book: the window near the touch and the far levels beside it, as one
//! sorted list.
//!
//! **Keys.** A bid's key is its price in steps of the instrument's tick, an ask's the complement of
//! that (`!steps`, which turns the order around). So on both sides the best level has the greatest
//! key, and one code serves both. Levels between two steps of the grid, which an exchange has where
//! prices are finer than the step that it lists, are kept apart in an ordinary map: slower, and the
//! one place where a change may allocate, never wrong.
//!
//! **Where the window stands** changes speed, never results: a level is in the window if it has a
//! slot there, else it is far, and both are looked at for the best level. The window is placed at
//! the first level of an empty side, with most of its steps below the best level and [`SLOTS`] −
//! [`HOME`] steps above for the touch to rise into. Afterwards only changes that miss the window
//! count; twice in [`PATIENCE`] of them it is asked whether the window stands well, that is whether
//! the best level lies in slots [`LOW`]..[`SLOTS`], and if not both times, it is placed anew. So a
//! move, which goes through the window's memory once, is shared by that many changes even where the
//! touch jumps to and fro between distant prices, and changes that hit the window pay nothing.

use super::Level;
use super::far::Far;
use super::grid::Grid;
use super::window::{SLOTS, Walk, Window};
use crate::market::event::Side;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The slot where the best level stands after a move.
const HOME: usize = SLOTS * 3 / 4;

/// With the best level below this slot too few steps are left for the levels behind it.
const LOW: usize = SLOTS / 2;

/// Misses that a badly placed window may cause before it moves.
const PATIENCE: u32 = 128;

/// Steps that the touch may go away from the far levels' anchor.
const REACH: u64 = 64 * SLOTS as u64;

pub(super) struct Ladder {
    /// Steps xor this = key: 0 for bids, −1 for asks. A price of `odd` is turned around by it, too.
    flip: i64,
    grid: Grid,
    window: Window,
    far: Far,
    /// Amount and text of the levels off the grid.
    odd: BTreeMap<i64, (i64, u16)>,
    /// The best level; an amount of 0 where there is none.
    best: Level,
    /// Its price, turned around for asks; the lowest there is where there is none.
    best_turned: i64,
    misses: u32,
}

const NONE: Level = Level {
    price: 0,
    amount: 0,
};

impl Ladder {
    pub(super) fn new(side: Side, tick: i64, keep_text: bool) -> Ladder {
        Ladder {
            flip: match side {
                Side::Buy => 0,
                Side::Sell => -1,
            },
            grid: Grid::new(tick),
            window: Window::new(keep_text),
            far: Far::new(keep_text),
            odd: BTreeMap::new(),
            best: NONE,
            best_turned: i64::MIN,
            misses: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.window.clear();
        self.far.clear();
        self.odd.clear();
        (self.best, self.best_turned) = (NONE, i64::MIN);
        self.misses = 0;
    }

    /// Empties the side and changes its price step.
    pub(super) fn set_tick(&mut self, tick: i64) {
        self.clear();
        self.grid = Grid::new(tick);
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.window.len() + self.far.len() + self.odd.len()
    }

    /// Sets the amount at a price; 0 removes the level.
    #[inline]
    pub(super) fn set(&mut self, price: i64, amount: i64, text: u16) {
        match self.grid.steps(price) {
            Some(steps) => {
                let key = steps ^ self.flip;
                match self.window.slot(key) {
                    Some(slot) => self.window.set(slot, amount, text),
                    None => self.set_far(key, amount, text),
                }
            }
            None => self.set_odd(price, amount, text),
        }
        if price ^ self.flip >= self.best_turned {
            if amount != 0 {
                self.best = Level { price, amount };
                self.best_turned = price ^ self.flip;
            } else {
                self.find_best();
            }
        }
    }

    /// The best level has gone, or one that was better and not there.
    fn find_best(&mut self) {
        let best = self.levels().next();
        self.best = best.unwrap_or(NONE);
        self.best_turned = best.map_or(i64::MIN, |level| level.price ^ self.flip);
    }

    #[cold]
    fn set_odd(&mut self, price: i64, amount: i64, text: u16) {
        match amount {
            0 => self.odd.remove(&(price ^ self.flip)),
            _ => self.odd.insert(price ^ self.flip, (amount, text)),
        };
    }

    #[inline(never)]
    fn set_far(&mut self, key: i64, amount: i64, text: u16) {
        if self.window.len() + self.far.len() == 0 {
            return self.set_first(key, amount, text);
        }
        self.far.set(key, amount, text);
        self.misses += 1;
        if self.misses.is_multiple_of(PATIENCE / 2) {
            self.look_around();
        }
    }

    /// The first level of an empty side: the window goes where it is.
    #[cold]
    fn set_first(&mut self, key: i64, amount: i64, text: u16) {
        if amount != 0 {
            self.place(key);
            self.window.set(HOME, amount, text);
        }
    }

    /// Moves a window that stood badly the last time, too.
    #[cold]
    fn look_around(&mut self) {
        let near = self.window.best().map(|slot| self.window.key(slot));
        match near.max(self.far.best()) {
            Some(best) if !self.window.covers(best, LOW) => {
                if self.misses >= PATIENCE {
                    self.place(best);
                }
            }
            _ => self.misses = 0,
        }
    }

    #[cold]
    fn place(&mut self, key: i64) {
        let (window, far) = (&mut self.window, &mut self.far);
        window.place(key, HOME, |key, amount, text| far.set(key, amount, text));
        far.take(window.key(0), |key, amount, text| match window.slot(key) {
            Some(slot) => {
                window.set(slot, amount, text);
                true
            }
            None => false,
        });
        far.anchor(key, REACH);
        self.misses = 0;
    }

    #[inline]
    pub(super) fn best(&self) -> Option<Level> {
        (self.best.amount != 0).then_some(self.best)
    }

    /// Removes the worst levels down to `depth`.
    #[cold]
    pub(super) fn cut(&mut self, depth: usize) {
        for _ in depth..self.len() {
            let near = self.window.worst().map(|slot| self.window.key(slot));
            let worst = match (near, self.far.worst()) {
                (Some(near), Some(far)) => Some(near.min(far)),
                (near, far) => near.or(far),
            };
            let worst = worst.map(|key| self.price(key));
            let odd = self
                .odd
                .first_key_value()
                .map(|(turned, _)| turned ^ self.flip);
            let worse = |a: i64, b: i64| if a ^ self.flip < b ^ self.flip { a } else { b };
            let worst = match (worst, odd) {
                (Some(a), Some(b)) => Some(worse(a, b)),
                (a, b) => a.or(b),
            };
            let Some(price) = worst else { return };
            self.set(price, 0, 0);
        }
    }

    /// Best first.
    #[inline]
    pub(super) fn levels(&self) -> Levels<'_> {
        Levels {
            ladder: self,
            near: self.window.walk(),
            far: self.far.best(),
            odd: self.odd.last_key_value().map(|(turned, _)| *turned),
            left: self.len(),
        }
    }

    /// What the best `count` levels hold, all together.
    pub(super) fn depth(&self, count: usize) -> i64 {
        let mut walk = self.window.walk();
        let (mut sum, mut worst, mut left) = (0_i64, None, count);
        while left > 0
            && let Some(slot) = walk.slot(&self.window)
        {
            walk.advance();
            sum = sum.saturating_add(self.window.amount(slot));
            worst = Some(slot);
            left -= 1;
        }
        // Where no level beside the window belongs to them, which is as good as always.
        let worst = worst.map(|slot| self.window.key(slot));
        let far_are_worse = self.far.best().is_none_or(|far| Some(far) < worst);
        let enough = left == 0 || self.far.len() == 0;
        if enough && far_are_worse && self.odd.is_empty() {
            return sum;
        }
        let amounts = self.levels().take(count).map(|level| level.amount);
        amounts.fold(0, i64::saturating_add)
    }

    #[inline]
    fn price(&self, key: i64) -> i64 {
        self.grid.price(key ^ self.flip)
    }

    #[inline]
    fn near_level(&self, slot: usize) -> Level {
        Level {
            price: self.price(self.window.key(slot)),
            amount: self.window.amount(slot),
        }
    }

    #[inline]
    fn far_level(&self, key: i64) -> Level {
        Level {
            price: self.price(key),
            amount: self.far.amount(key),
        }
    }
}

/// The levels of a side, best first. Borrows the book and allocates nothing.
#[derive(Clone)]
pub struct Levels<'a> {
    ladder: &'a Ladder,
    near: Walk,
    /// The key of the next far level.
    far: Option<i64>,
    /// The next level off the grid.
    odd: Option<i64>,
    left: usize,
}

impl Levels<'_> {
    /// The next level and the digits of its text.
    #[inline]
    pub(super) fn next_with_text(&mut self) -> Option<(Level, u16)> {
        let ladder = self.ladder;
        self.left = self.left.checked_sub(1)?;
        let near = self.near.slot(&ladder.window);
        let near = near.map(|slot| (ladder.window.key(slot), slot));
        let best = near.map(|(key, _)| key).max(self.far);
        if let Some(turned) = self.odd
            && best.is_none_or(|key| ladder.price(key) ^ ladder.flip < turned)
        {
            return self.next_odd(turned);
        }
        match near {
            Some((key, slot)) if best == Some(key) => {
                self.near.advance();
                Some((ladder.near_level(slot), ladder.window.text(slot)))
            }
            _ => {
                let key = self.far?;
                self.far = ladder.far.below(key);
                Some((ladder.far_level(key), ladder.far.text(key)))
            }
        }
    }

    #[cold]
    fn next_odd(&mut self, turned: i64) -> Option<(Level, u16)> {
        let (amount, text) = *self.ladder.odd.get(&turned)?;
        let lower = (Bound::Unbounded, Bound::Excluded(turned));
        self.odd = self
            .ladder
            .odd
            .range(lower)
            .next_back()
            .map(|(next, _)| *next);
        let price = turned ^ self.ladder.flip;
        Some((Level { price, amount }, text))
    }
}

impl Iterator for Levels<'_> {
    type Item = Level;

    #[inline]
    fn next(&mut self) -> Option<Level> {
        self.next_with_text().map(|(level, _)| level)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Levels<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets `count` levels a step apart, upwards from `from`, each with its price as its amount.
    fn fill(ladder: &mut Ladder, from: i64, count: i64) {
        for price in from..from + count {
            ladder.set(price, price, 0);
        }
    }

    #[track_caller]
    fn check(ladder: &Ladder, expected: impl Iterator<Item = i64>) {
        let prices: Vec<i64> = ladder.levels().map(|level| level.price).collect();
        assert_eq!(prices, expected.collect::<Vec<_>>());
        assert!(ladder.levels().all(|level| level.amount == level.price));
        assert_eq!(ladder.best(), ladder.levels().next());
        assert_eq!(ladder.len(), prices.len());
    }

    #[test]
    fn the_window_follows_the_touch_in_both_directions() {
        for side in [Side::Buy, Side::Sell] {
            let mut ladder = Ladder::new(side, 1, false);
            fill(&mut ladder, 100_000, 20_000);
            match side {
                Side::Buy => check(&ladder, (100_000..120_000).rev()),
                Side::Sell => check(&ladder, 100_000..120_000),
            }
            assert!(
                ladder.window.len() > LOW,
                "most of the window is used: {}",
                ladder.window.len()
            );
            // The touch walks away: the best levels go, one by one, while the worst one changes.
            let (step, worst) = match side {
                Side::Buy => (-1, 100_000),
                Side::Sell => (1, 119_999),
            };
            for _ in 0..15_000 {
                let best = ladder.best().expect("a level").price;
                ladder.set(best, 0, 0);
                ladder.set(worst, worst, 0);
                let next = best + step;
                assert_eq!(
                    ladder.best(),
                    Some(Level {
                        price: next,
                        amount: next
                    })
                );
            }
            assert_eq!(ladder.len(), 5_000);
            assert!(
                ladder.window.len() > LOW,
                "it came along: {}",
                ladder.window.len()
            );
        }
    }

    #[test]
    fn a_lone_level_far_off_does_not_drag_the_window_along() {
        let mut ladder = Ladder::new(Side::Buy, 1, false);
        fill(&mut ladder, 100_000, 1_000);
        let before = ladder.window.len();
        for _ in 0..PATIENCE / 2 - 1 {
            ladder.set(500_000, 500_000, 0);
            assert_eq!(ladder.best().map(|level| level.price), Some(500_000));
            ladder.set(500_000, 0, 0);
        }
        assert_eq!(ladder.window.len(), before);
        check(&ladder, (100_000..101_000).rev());
    }

    #[test]
    fn cutting_takes_the_worst_of_both_kinds() {
        for side in [Side::Buy, Side::Sell] {
            let mut ladder = Ladder::new(side, 10, false);
            let prices = [1000, 1003, 1010, 1015, 1020, 500_000, -500_000];
            for price in prices {
                ladder.set(price, price, 0);
            }
            let mut expected = prices.to_vec();
            expected.sort_unstable_by_key(|price| if side == Side::Buy { -price } else { *price });
            for depth in (0..=prices.len()).rev() {
                ladder.cut(depth);
                check(&ladder, expected[..depth].iter().copied());
            }
        }
    }
}
