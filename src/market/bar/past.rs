//! HOT PATH. The bars of one kind that closed last, as many as somebody is warmed by.

use super::Bar;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A queue that forgets its oldest bar when it is full. Keeps nothing until [`Past::keep`] asks for
/// it, and allocates nowhere else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    keep: usize,
    bars: VecDeque<Bar>,
}

impl Past {
    /// To keep at least this many from now on.
    #[cold]
    pub fn keep(&mut self, count: usize) {
        self.keep = self.keep.max(count);
        self.bars.reserve_exact(self.keep - self.bars.len());
    }

    /// How many it keeps.
    pub fn kept(&self) -> usize {
        self.keep
    }

    pub fn len(&self) -> usize {
        self.bars.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }

    #[inline]
    pub fn push(&mut self, bar: &Bar) {
        if self.keep == 0 {
            return;
        }
        if self.bars.len() == self.keep {
            self.bars.pop_front();
        }
        self.bars.push_back(*bar);
    }

    /// Oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Bar> + ExactSizeIterator {
        self.bars.iter()
    }

    /// Holds the newest of another's bars instead of its own.
    #[cold]
    pub fn take_over(&mut self, other: &Past) {
        self.bars.clear();
        other.bars.iter().for_each(|bar| self.push(bar));
    }

    /// Puts older bars before those that are there, and bars of the time between them where they
    /// belong: all that do not overlap with complete ones. `bars` are of time, oldest first.
    #[cold]
    pub fn fill(&mut self, bars: &[Bar]) {
        let whole = |bar: &Bar| bars.iter().any(|b| b.start_ns == bar.start_ns);
        let known = self.bars.iter().copied();
        let known: Vec<Bar> = known
            .filter(|bar| !(bar.incomplete && whole(bar)))
            .collect();
        let overlaps = |bar: &Bar| {
            let mut known = known.iter();
            known.any(|k| bar.start_ns < k.end_ns && k.start_ns < bar.end_ns)
        };
        let missing = bars.iter().filter(|bar| !overlaps(bar)).copied();
        let mut all: Vec<Bar> = missing.collect();
        all.extend(&known);
        all.sort_by_key(|bar| bar.start_ns);
        let surplus = all.len().saturating_sub(self.keep);
        self.bars.clear();
        self.bars.extend(&all[surplus..]);
    }

    /// Re-expresses all after a change of scale; what no longer fits is forgotten.
    #[cold]
    pub fn rescale(
        &mut self,
        price: &impl Fn(i64) -> Option<i64>,
        amount: &impl Fn(i64) -> Option<i64>,
    ) {
        self.bars
            .retain_mut(|bar| match bar.rescaled(price, amount) {
                Some(rescaled) => {
                    *bar = rescaled;
                    true
                }
                None => false,
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(start_ns: i64) -> Bar {
        Bar {
            start_ns,
            end_ns: start_ns + 10,
            close: start_ns,
            ..Bar::default()
        }
    }

    fn starts(past: &Past) -> Vec<i64> {
        past.iter().map(|b| b.start_ns).collect()
    }

    #[test]
    fn the_newest_are_kept() {
        let mut past = Past::default();
        past.push(&bar(0));
        assert_eq!(starts(&past), [0; 0], "nobody asked");
        past.keep(3);
        (1..6).for_each(|n| past.push(&bar(10 * n)));
        assert_eq!(starts(&past), [30, 40, 50]);
        past.keep(2);
        assert_eq!(past.kept(), 3);
    }

    #[test]
    fn history_fills_what_is_missing_and_replaces_nothing() {
        let mut past = Past::default();
        past.keep(5);
        past.push(&bar(30));
        past.push(&bar(60));
        past.fill(&[bar(0), bar(10), bar(20), bar(35), bar(40), bar(60)]);
        assert_eq!(starts(&past), [10, 20, 30, 40, 60]);
    }
}
