//! HOT PATH. The levels of one side that have no slot in the window: far from the touch, or off the
//! price grid. Sorted, the best last, in rings: a change moves the levels on the shorter side of
//! it, and a snapshot that comes best first moves none.
//!
//! Three rings side by side, because searching needs the keys alone. They have room for
//! [`RESERVED`] levels from the start; a larger book makes them grow while it is being filled.

use std::collections::VecDeque;

/// Levels that fit without allocating.
const RESERVED: usize = 256;

pub(super) struct Far {
    /// Ascending, no two alike.
    keys: VecDeque<i64>,
    amounts: VecDeque<i64>,
    /// Digits of each level's text; 0 where they are not kept.
    texts: VecDeque<u16>,
}

impl Far {
    pub(super) fn new() -> Far {
        Far {
            keys: VecDeque::with_capacity(RESERVED),
            amounts: VecDeque::with_capacity(RESERVED),
            texts: VecDeque::with_capacity(RESERVED),
        }
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.amounts.clear();
        self.texts.clear();
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The best key.
    #[inline]
    pub(super) fn best(&self) -> Option<i64> {
        self.keys.back().copied()
    }

    /// Key, amount and text at an index below [`Far::len`]; 0 is the worst.
    #[inline]
    pub(super) fn get(&self, i: usize) -> (i64, i64, u16) {
        (self.keys[i], self.amounts[i], self.texts[i])
    }

    /// Sets the amount at a key; 0 removes the level.
    pub(super) fn set(&mut self, key: i64, amount: i64, text: u16) {
        match (self.keys.binary_search(&key), amount) {
            (Ok(i), 0) => {
                self.keys.remove(i);
                self.amounts.remove(i);
                self.texts.remove(i);
            }
            (Ok(i), _) => {
                self.amounts[i] = amount;
                self.texts[i] = text;
            }
            (Err(_), 0) => {}
            (Err(i), _) => {
                self.keys.insert(i, key);
                self.amounts.insert(i, amount);
                self.texts.insert(i, text);
            }
        }
    }

    /// Removes the `count` worst levels.
    pub(super) fn cut(&mut self, count: usize) {
        self.keys.drain(..count);
        self.amounts.drain(..count);
        self.texts.drain(..count);
    }

    /// Hands the levels from key `low` up to `take` (key, amount, text), ascending, and removes
    /// those for which it answers true.
    pub(super) fn take(&mut self, low: i64, mut take: impl FnMut(i64, i64, u16) -> bool) {
        let first = self.keys.partition_point(|&key| key < low);
        let mut kept = first;
        for i in first..self.keys.len() {
            let (key, amount, text) = self.get(i);
            if !take(key, amount, text) {
                (self.keys[kept], self.amounts[kept], self.texts[kept]) = (key, amount, text);
                kept += 1;
            }
        }
        self.keys.truncate(kept);
        self.amounts.truncate(kept);
        self.texts.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(far: &Far) -> Vec<(i64, i64, u16)> {
        (0..far.len()).map(|i| far.get(i)).collect()
    }

    #[test]
    fn levels_stay_sorted_and_single() {
        let mut far = Far::new();
        for (key, amount) in [
            (5, 50),
            (-3, 30),
            (9, 90),
            (5, 51),
            (7, 0),
            (-3, 0),
            (1, 10),
        ] {
            far.set(key, amount, key as u16);
        }
        assert_eq!(all(&far), [(1, 10, 1), (5, 51, 5), (9, 90, 9)]);
        assert_eq!(far.best(), Some(9));
        far.cut(1);
        assert_eq!(all(&far), [(5, 51, 5), (9, 90, 9)]);
    }

    #[test]
    fn taking_removes_what_was_taken_and_nothing_below() {
        let mut far = Far::new();
        for key in 0..10 {
            far.set(key, 1, 0);
        }
        let mut seen = Vec::new();
        far.take(4, |key, _, _| {
            seen.push(key);
            key % 2 == 0
        });
        assert_eq!(seen, [4, 5, 6, 7, 8, 9]);
        assert_eq!(far.keys, [0, 1, 2, 3, 5, 7, 9]);
        assert_eq!((far.amounts.len(), far.texts.len()), (7, 7));
    }
}
