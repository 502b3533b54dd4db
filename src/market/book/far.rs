//! HOT PATH. The levels of one side that have no slot in the window: those far from the touch.
//!
//! A feed without a depth limit has tens of thousands of them, the sparser the further away, and
//! most changes of a day may be there. So they are kept in buckets whose width grows with the
//! distance from an anchor, which is where the touch was: [`OCTAVES`] a side of the anchor, each
//! twice as wide as the one before. An octave has as many buckets of equal width as its levels
//! need, a few levels each, in any order: they are put in order by who reads them. So a change
//! searches nothing, moves nothing and has hardly a branch that depends on the market, and a bucket
//! is one cache line, for most of them are not in the caches that are near. The anchor changes
//! speed, never results.
//!
//! Keys are numbers of price steps, turned around for asks (see [`Ladder`](super::ladder::Ladder)),
//! and less than [`STEPS`](super::grid::STEPS) apart. Memory follows the levels: an octave has four
//! times the buckets when it has become two and a half times as full, and a quarter of them when it
//! has become that much emptier. Between the two nothing is allocated or given back.

use super::octave::{Home, OCTAVES, Octave, PARTS};
use rustc_hash::FxHashMap;

pub(super) struct Far {
    anchor: i64,
    len: usize,
    /// The greatest key; meaningless while there is none.
    best: i64,
    /// Levels that came since the anchor was set.
    came: usize,
    /// Which octaves hold a level: the better the keys, the higher the bit.
    present: u128,
    octaves: Box<[Octave; 2 * OCTAVES]>,
    /// By key, where they are kept: the digits of a level's text. Apart, because a book that keeps
    /// them has few levels, and the others are faster without.
    texts: Option<FxHashMap<i64, u16>>,
}

impl Far {
    pub(super) fn new(keep_text: bool) -> Far {
        Far {
            anchor: 0,
            len: 0,
            best: 0,
            came: 0,
            present: 0,
            octaves: Box::new([const { Octave::NEW }; 2 * OCTAVES]),
            texts: keep_text.then(FxHashMap::default),
        }
    }

    /// Its memory stays: what comes next is as large, most often.
    pub(super) fn clear(&mut self) {
        self.octaves.iter_mut().for_each(Octave::clear);
        (self.len, self.present) = (0, 0);
        if let Some(texts) = &mut self.texts {
            texts.clear();
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The best key.
    #[inline]
    pub(super) fn best(&self) -> Option<i64> {
        (self.len > 0).then_some(self.best)
    }

    /// The worst key.
    #[cold]
    pub(super) fn worst(&self) -> Option<i64> {
        let octave = self.present.trailing_zeros() as usize;
        self.octaves.get(octave)?.worst(octave, self.anchor)
    }

    /// The amount at a key; 0 where there is no level.
    pub(super) fn amount(&self, key: i64) -> i64 {
        let home = Home::of(key, self.anchor);
        let octave = &self.octaves[home.octave];
        octave.amount(home).unwrap_or(0)
    }

    /// The digits of a level's text; 0 where they are not kept.
    pub(super) fn text(&self, key: i64) -> u16 {
        let texts = self.texts.as_ref();
        texts.and_then(|t| t.get(&key)).copied().unwrap_or(0)
    }

    /// Sets the amount at a key; 0 removes the level.
    #[inline]
    pub(super) fn set(&mut self, key: i64, amount: i64, text: u16) {
        self.put(key, amount);
        if self.texts.is_some() {
            self.set_text(key, (amount != 0).then_some(text));
        }
    }

    #[inline(never)]
    fn set_text(&mut self, key: i64, text: Option<u16>) {
        let texts = self.texts.get_or_insert_default();
        match text {
            Some(text) => drop(texts.insert(key, text)),
            None => drop(texts.remove(&key)),
        }
    }

    #[inline]
    fn put(&mut self, key: i64, amount: i64) {
        let home = Home::of(key, self.anchor);
        let octave = &mut self.octaves[home.octave.min(2 * OCTAVES - 1)];
        let done = octave.put(home, amount);
        if octave.len() <= 1 {
            let rest = self.present & !(1 << home.octave);
            self.present = rest | u128::from(octave.len() > 0) << home.octave;
        }
        // With none left before, any key is the best.
        let better = done.came & (self.len == 0 || key > self.best);
        self.best = if better { key } else { self.best };
        self.len = self.len + usize::from(done.came) - usize::from(done.went);
        self.came += usize::from(done.came);
        if done.went && key == self.best {
            self.best = self.below(key).unwrap_or(0);
        }
    }

    /// The greatest key that is less than this one.
    pub(super) fn below(&self, key: i64) -> Option<i64> {
        let home = Home::of(key, self.anchor);
        let here = self.octaves[home.octave].below(home, key, self.anchor);
        here.or_else(|| {
            let left = self.present & ((1 << home.octave) - 1);
            let octave = left.checked_ilog2()? as usize;
            let all = Home {
                octave,
                part: PARTS - 1,
                low: 0,
            };
            self.octaves[octave].below(all, i64::MAX, self.anchor)
        })
    }

    /// Says where the touch is now, `reach` being far from it. Where the anchor has become useless,
    /// all levels move, but never more often than as many came.
    #[cold]
    pub(super) fn anchor(&mut self, key: i64, reach: u64) {
        if self.len > 0 && (self.anchor.abs_diff(key) <= reach || self.came < self.len) {
            return;
        }
        let walk = std::iter::successors(self.best(), |key| self.below(*key));
        let levels: Vec<(i64, i64)> = walk.map(|key| (key, self.amount(key))).collect();
        // Other octaves will hold them: what these had is given back.
        self.octaves.fill_with(|| Octave::NEW);
        (self.len, self.present) = (0, 0);
        self.anchor = key;
        for (key, amount) in levels {
            self.put(key, amount);
        }
        self.came = 0;
    }

    /// Hands over the levels from key `low` up (key, amount, text), and removes those for which
    /// `take` answers true.
    #[cold]
    pub(super) fn take(&mut self, low: i64, mut take: impl FnMut(i64, i64, u16) -> bool) {
        let mut next = self.best();
        while let Some(key) = next.filter(|key| *key >= low) {
            next = self.below(key);
            if take(key, self.amount(key), self.text(key)) {
                self.set(key, 0, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(far: &Far) -> Vec<(i64, i64, u16)> {
        let walk = std::iter::successors(far.best(), |key| far.below(*key));
        let seen: Vec<_> = walk
            .map(|key| (key, far.amount(key), far.text(key)))
            .collect();
        assert_eq!(seen.len(), far.len());
        assert_eq!(far.best(), seen.first().map(|level| level.0));
        assert_eq!(far.worst(), seen.last().map(|level| level.0));
        seen
    }

    #[test]
    fn levels_stay_sorted_and_single() {
        let mut far = Far::new(true);
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
        assert_eq!(all(&far), [(9, 90, 9), (5, 51, 5), (1, 10, 1)]);
    }

    #[test]
    fn many_levels_are_as_few() {
        let mut far = Far::new(true);
        far.anchor(3_000_000, 0);
        // All orders of magnitude, both sides, and enough in one place to split it.
        let keys: Vec<i64> = (0..20_000).map(|i| (i * i * 7) % 4_000_037).collect();
        let mut model = std::collections::BTreeMap::new();
        for (i, &key) in keys.iter().enumerate() {
            let amount = (i % 3) as i64;
            far.set(key, amount, i as u16);
            match amount {
                0 => model.remove(&key),
                _ => model.insert(key, (amount, i as u16)),
            };
            if i % 997 == 0 {
                let expected = model.iter().rev().map(|(k, (a, t))| (*k, *a, *t));
                assert_eq!(all(&far), expected.collect::<Vec<_>>());
            }
        }
        assert!(
            far.octaves.iter().any(Octave::is_split_to_the_end),
            "some are split to the end"
        );
        let before = all(&far);
        far.anchor(1_000, 10_000);
        assert_eq!(far.anchor, 1_000);
        assert_eq!(all(&far), before);
        for (key, _) in model {
            far.set(key, 0, 0);
        }
        assert_eq!(all(&far), []);
    }

    #[test]
    fn memory_follows_the_levels() {
        let mut far = Far::new(false);
        let mut levels = std::collections::BTreeSet::new();
        // A thousand levels that walk away from the anchor and back, through all octaves there are.
        let begin = (0..18).chain((0..18).rev()).map(|bit| 1_i64 << bit);
        let places = begin.flat_map(|begin| [begin, -begin]);
        for place in places {
            for i in 0..1000 {
                let key = place + i * 7;
                if levels.insert(key) {
                    far.set(key, 1 + i, 0);
                }
            }
            while levels.len() > 1000 {
                let key = match place > 0 {
                    true => levels.pop_first(),
                    false => levels.pop_last(),
                };
                far.set(key.expect("more than a thousand"), 0, 0);
            }
            assert!(
                all(&far)
                    .iter()
                    .map(|level| level.0)
                    .rev()
                    .eq(levels.iter().copied())
            );
            let blocks: usize = far.octaves.iter().map(Octave::blocks).sum();
            assert!(blocks < 2 * 1000, "{blocks} blocks around {place}");
        }
        for key in levels {
            far.set(key, 0, 0);
        }
        let left: usize = far.octaves.iter().map(Octave::blocks).sum();
        assert!(left < 1000, "{left} blocks for nothing");
        far.set(3, 1, 0);
        far.anchor(1 << 30, 0);
        assert_eq!(all(&far), [(3, 1, 0)]);
        let begun = far.octaves.iter().filter(|o| o.blocks() > 0);
        assert_eq!(begun.count(), 1);
    }

    #[test]
    fn taking_removes_what_was_taken_and_nothing_below() {
        let mut far = Far::new(true);
        for key in 0..1000 {
            far.set(key, 1, 0);
        }
        let mut seen = Vec::new();
        far.take(400, |key, _, _| {
            seen.push(key);
            key % 2 == 0
        });
        assert_eq!(seen, (400..1000).rev().collect::<Vec<_>>());
        let left = (0..1000).rev().filter(|key| *key < 400 || key % 2 == 1);
        let left: Vec<_> = left.map(|key| (key, 1, 0)).collect();
        assert_eq!(all(&far), left);
    }
}
