//! HOT PATH. What speaks for a rise and what for a fall: the two sums that oscillators compare.

use serde::{Deserialize, Serialize};
use std::ops::Add;

/// Neither is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpDown {
    pub up: f64,
    pub down: f64,
}

impl UpDown {
    /// By the sign of a change; neither where it is NaN.
    #[inline]
    pub fn of(change: f64) -> UpDown {
        UpDown {
            up: change.max(0.0),
            down: (-change).max(0.0),
        }
    }

    /// The upward share of both in percent; `None` where there is neither.
    #[inline]
    pub fn share(self) -> Option<f64> {
        let both = self.up + self.down;
        (both != 0.0).then(|| 100.0 * self.up / both)
    }

    /// Up less down in percent of both; `None` where there is neither.
    #[inline]
    pub fn balance(self) -> Option<f64> {
        let both = self.up + self.down;
        (both != 0.0).then(|| 100.0 * (self.up - self.down) / both)
    }
}

impl Add for UpDown {
    type Output = UpDown;

    #[inline]
    fn add(self, other: UpDown) -> UpDown {
        UpDown {
            up: self.up + other.up,
            down: self.down + other.down,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_compares_rises_with_falls() {
        let both = UpDown::of(3.0) + UpDown::of(-1.0) + UpDown::of(0.0);
        assert_eq!((both.up, both.down), (3.0, 1.0));
        assert_eq!((both.share(), both.balance()), (Some(75.0), Some(50.0)));
        assert_eq!(UpDown::default().share(), None);
        assert_eq!(UpDown::default().balance(), None);
    }
}
