//! HOT PATH. Prices as numbers of price steps, and back.

/// Prices of so many steps or more are off the grid: no market has one. The far levels count on
/// distances that are shorter.
pub(super) const STEPS: u64 = 1 << 44;

/// The price grid of an instrument.
///
/// `price / tick` takes one multiplication: with tick = odd · 2^k, `rotate(price · odd⁻¹, k)` maps
/// the multiples of the tick to their quotients, one to one, and everything else to numbers above
/// all quotients. Source: Granlund and Montgomery, Division by Invariant Integers using
/// Multiplication (1994), section 9.
pub(super) struct Grid {
    tick: u64,
    /// Of the odd part of the tick, modulo 2^64.
    inverse: u64,
    zeros: u32,
    /// The greatest number of steps.
    limit: u64,
}

impl Grid {
    /// A tick that makes no sense becomes 1.
    pub(super) fn new(tick: i64) -> Grid {
        let tick = tick.max(1) as u64;
        let zeros = tick.trailing_zeros();
        let odd = tick >> zeros;
        // Newton's iteration doubles the bits that are right, three at first.
        let mut inverse = odd;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        Grid {
            tick,
            inverse,
            zeros,
            limit: (i64::MAX as u64 / tick).min(STEPS - 1),
        }
    }

    /// `None` between steps, below 0 and beyond [`STEPS`].
    #[inline]
    pub(super) fn steps(&self, price: i64) -> Option<i64> {
        let steps = (price as u64).wrapping_mul(self.inverse);
        let steps = steps.rotate_right(self.zeros);
        (steps <= self.limit).then_some(steps as i64)
    }

    /// Of a number of steps that [`Grid::steps`] gave.
    #[inline]
    pub(super) fn price(&self, steps: i64) -> i64 {
        steps * self.tick as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_what_division_says() {
        for tick in [1, 2, 3, 5, 10, 25, 48, 1_000_000, 2_500_000_001, i64::MAX] {
            let grid = Grid::new(tick);
            let near = (-2000..2000_i64).flat_map(|i| [i, i64::MAX - i.abs(), i64::MIN + i.abs()]);
            let steps = (0..40).filter_map(|bit| tick.checked_mul((1 << bit) + 1));
            let around = steps.flat_map(|price| (price - 3)..=price.saturating_add(3));
            for price in near.chain(around) {
                let exact = price >= 0 && price % tick == 0 && price / tick < STEPS as i64;
                let expected = exact.then_some(price / tick);
                assert_eq!(grid.steps(price), expected, "{price} in steps of {tick}");
                assert_eq!(expected.map(|s| grid.price(s)), exact.then_some(price));
            }
        }
    }

    #[test]
    fn a_tick_that_makes_no_sense_becomes_one() {
        for tick in [0, -5, i64::MIN] {
            assert_eq!(Grid::new(tick).steps(7), Some(7));
        }
    }
}
