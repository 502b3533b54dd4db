//! HOT PATH. The last values of a series, and what is kept of them in O(1): what many indicators
//! are made of.

use serde::{Deserialize, Serialize};

/// The last `n` values.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Window<T> {
    values: Box<[T]>,
    /// Where the next value goes; once full, the oldest is there.
    next: usize,
    len: usize,
}

impl<T: Copy + Default> Window<T> {
    /// Panics where `n` is 0.
    pub fn new(n: u32) -> Window<T> {
        assert!(n > 0, "a period is at least 1");
        Window {
            values: vec![T::default(); n as usize].into_boxed_slice(),
            next: 0,
            len: 0,
        }
    }

    /// The value that `value` pushes out; `None` while there is room.
    #[inline]
    pub fn push(&mut self, value: T) -> Option<T> {
        let old = std::mem::replace(&mut self.values[self.next], value);
        self.next += 1;
        if self.next == self.values.len() {
            self.next = 0;
        }
        if self.len == self.values.len() {
            return Some(old);
        }
        self.len += 1;
        None
    }

    #[inline]
    pub fn is_full(&self) -> bool {
        self.len == self.values.len()
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value `back` values before the newest, which is `get(0)`. Panics where there is none.
    #[inline]
    pub fn get(&self, back: usize) -> T {
        assert!(back < self.len, "the window has no value that old");
        let at = self.next + self.values.len() - 1 - back;
        self.values[if at >= self.values.len() {
            at - self.values.len()
        } else {
            at
        }]
    }

    /// The oldest value that is held. Panics where there is none.
    #[inline]
    pub fn oldest(&self) -> T {
        self.get(self.len - 1)
    }

    /// Oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> {
        let start = if self.is_full() { self.next } else { 0 };
        let (late, early) = self.values[..self.len].split_at(start);
        early.iter().chain(late).copied()
    }
}

/// The greatest of the last `n` values, and how long ago it was: each value enters and leaves a
/// queue once, so an update is O(1) on average. Of equal values the newest counts, as in TA-Lib.
/// For the least, push negated values.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Greatest {
    n: u64,
    seen: u64,
    /// Values that may still become the greatest, falling, with their ordinals; a ring.
    queue: Box<[(u64, f64)]>,
    head: usize,
    len: usize,
}

impl Greatest {
    /// Panics where `n` is 0.
    pub fn new(n: u32) -> Greatest {
        assert!(n > 0, "a period is at least 1");
        Greatest {
            n: u64::from(n),
            seen: 0,
            queue: vec![(0, 0.0); n as usize].into_boxed_slice(),
            head: 0,
            len: 0,
        }
    }

    /// The greatest value now and how many values ago it came (0 = this one); of those seen so far
    /// while there are fewer than `n`.
    #[inline]
    pub fn push(&mut self, value: f64) -> (f64, u64) {
        self.seen += 1;
        let now = self.seen;
        if self.len > 0 && self.queue[self.head].0 + self.n <= now {
            self.head = self.wrap(self.head + 1);
            self.len -= 1;
        }
        // Not `<=` alone: a NaN in the queue must not stay for ever.
        while self.len > 0 {
            let last = self.wrap(self.head + self.len - 1);
            if self.queue[last].1 > value {
                break;
            }
            self.len -= 1;
        }
        let end = self.wrap(self.head + self.len);
        self.queue[end] = (now, value);
        self.len += 1;
        let (at, greatest) = self.queue[self.head];
        (greatest, now - at)
    }

    #[inline]
    pub fn is_full(&self) -> bool {
        self.seen >= self.n
    }

    #[inline]
    fn wrap(&self, at: usize) -> usize {
        if at >= self.queue.len() {
            at - self.queue.len()
        } else {
            at
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_the_last_values_in_order() {
        let mut window = Window::new(3);
        assert!(window.is_empty());
        let out: Vec<_> = [1.0, 2.0, 3.0, 4.0, 5.0].map(|v| window.push(v)).into();
        assert_eq!(out, [None, None, None, Some(1.0), Some(2.0)]);
        assert_eq!(window.iter().collect::<Vec<_>>(), [3.0, 4.0, 5.0]);
        assert_eq!([0, 1, 2].map(|i| window.get(i)), [5.0, 4.0, 3.0]);
        assert_eq!((window.oldest(), window.len()), (3.0, 3));
        let mut half = Window::new(3);
        half.push(7);
        half.push(8);
        assert_eq!(half.iter().collect::<Vec<_>>(), [7, 8]);
        assert_eq!((half.get(0), half.oldest(), half.is_full()), (8, 7, false));
    }

    #[test]
    fn the_greatest_is_that_of_a_search() {
        let values: Vec<f64> = (0..500_u32).map(|i| f64::from(i * i * 37 % 23)).collect();
        for n in [1, 2, 3, 7, 30] {
            let mut greatest = Greatest::new(n);
            for i in 0..values.len() {
                let from = (i + 1).saturating_sub(n as usize);
                let best = (from..=i).max_by(|a, b| values[*a].total_cmp(&values[*b]));
                let best = best.expect("not empty");
                let found = greatest.push(values[i]);
                assert_eq!(found, (values[best], (i - best) as u64), "{n}: value {i}");
                assert_eq!(greatest.is_full(), i + 1 >= n as usize);
            }
        }
    }
}
