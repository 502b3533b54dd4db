//! HOT PATH. The levels of one side that have no slot in the window: far from the touch, or off the
//! price grid.
//!
//! A feed without a depth limit has tens of thousands of them, the sparser the further away, and
//! most changes of a day may be there. So they are kept in buckets whose width grows with the
//! distance from an anchor, which is where the touch was: [`OCTAVES`] a side of the anchor, each
//! twice as wide as the one before. An octave has as many buckets of equal width as its levels
//! need, a few levels each, in any order: they are put in order by who reads them. So a change
//! searches nothing, moves nothing and has hardly a branch that depends on the market. The anchor
//! changes speed, never results.
//!
//! Memory is allocated where levels come to a place that never had so many, and kept.

use rustc_hash::FxHashMap;
use std::num::Wrapping;

/// Octaves on each side of the anchor: 0 holds the nearest [`BUCKETS`] keys, and each of the
/// others all keys of one binary order of magnitude.
const OCTAVES: usize = 64 - BUCKETS.ilog2() as usize + 1;

/// Equal parts of an octave at most.
const BUCKETS: usize = 512;

/// Levels that a bucket has on average before an octave gets twice as many buckets.
const FULL: usize = 3;

/// Levels of one bucket in no order; more of them than fit are in the next block.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Block {
    keys: [i64; Block::LEVELS],
    len: u32,
    /// Its index, or [`Block::NONE`].
    next: u32,
    amounts: [i64; Block::LEVELS],
}

struct Octave {
    len: usize,
    /// Of [`BUCKETS`], log2 of how many make one bucket here.
    shift: u32,
    /// Which buckets may hold a level; all that hold one.
    present: [u64; BUCKETS / 64],
    /// One for each bucket, then those that more levels needed.
    blocks: Vec<Block>,
}

pub(super) struct Far {
    anchor: i64,
    len: usize,
    /// The greatest key; meaningless while there is none.
    best: i64,
    /// Levels that came since the anchor was set.
    came: usize,
    /// Which octaves hold a level: the better the keys, the higher the bit.
    present: u128,
    octaves: Box<[Option<Box<Octave>>; 2 * OCTAVES]>,
    /// By key, where they are kept: the digits of a level's text. Apart, because a book that keeps
    /// them has few levels, and the others are faster without.
    texts: Option<FxHashMap<i64, u16>>,
}

/// Where a key belongs: its octave and which of [`BUCKETS`] parts of that, both
/// greater for better keys.
#[inline]
fn home(key: i64, anchor: i64) -> (usize, usize) {
    // All ones for keys below the anchor, whose order is the other way around: ! mirrors it.
    let mirror = Wrapping(-i64::from(key < anchor));
    let distance = ((Wrapping(key) - Wrapping(anchor)) ^ mirror).0 as u64;
    let octave = (distance | (BUCKETS as u64 - 1)).ilog2() - (BUCKETS.ilog2() - 1);
    let bucket = distance >> octave.saturating_sub(1);
    let above = Wrapping((OCTAVES + octave as usize) as i64);
    let octave = (above ^ mirror) + (Wrapping(2 * OCTAVES as i64) & mirror);
    let bucket = (bucket as i64 ^ mirror.0) as usize % BUCKETS;
    (octave.0 as usize, bucket)
}

/// What a change did to the number of levels.
#[derive(Clone, Copy, Default)]
struct Done {
    came: bool,
    went: bool,
}

impl Block {
    const LEVELS: usize = 7;
    const NONE: u32 = u32::MAX;
    const EMPTY: Block = Block {
        keys: [0; Block::LEVELS],
        len: 0,
        next: Block::NONE,
        amounts: [0; Block::LEVELS],
    };

    /// Where a key is; [`Block::LEVELS`] or more where it is not.
    #[inline]
    fn find(&self, key: i64) -> usize {
        let mut found = 0u32;
        for (i, held) in self.keys.iter().enumerate() {
            found |= u32::from(*held == key) << i;
        }
        (found & ((1 << self.len) - 1)).trailing_zeros() as usize
    }

    #[inline]
    fn keys(&self) -> &[i64] {
        &self.keys[..self.len as usize]
    }

    /// Sets the amount at `at`, a place that [`Block::find`] gave for this key, or of a new level
    /// where it gave none. There must be room for that one.
    #[inline]
    fn set(&mut self, at: usize, key: i64, amount: i64) -> Done {
        let new = at >= Block::LEVELS;
        let last = Block::LEVELS - 1;
        let at = if new { self.len as usize } else { at }.min(last);
        (self.keys[at], self.amounts[at]) = (key, amount);
        let len = self.len as usize + usize::from(new);
        // What goes leaves its place to the last one.
        let gone = amount == 0;
        let from = if gone { len.wrapping_sub(1) } else { at }.min(last);
        (self.keys[at], self.amounts[at]) = (self.keys[from], self.amounts[from]);
        self.len = (len - usize::from(gone)) as u32;
        Done {
            came: new & !gone,
            went: !new & gone,
        }
    }
}

impl Octave {
    #[cold]
    fn fresh() -> Option<Box<Octave>> {
        Some(Box::new(Octave {
            len: 0,
            shift: BUCKETS.ilog2(),
            present: [0; BUCKETS / 64],
            blocks: vec![Block::EMPTY],
        }))
    }

    #[inline]
    fn buckets(&self) -> usize {
        BUCKETS >> self.shift
    }

    /// Sets the amount at a key of this part of the octave; 0 removes the level.
    #[inline(always)]
    fn set(&mut self, part: usize, key: i64, amount: i64) -> Done {
        let bucket = part >> self.shift;
        let mut at = bucket;
        let done = loop {
            let block = &mut self.blocks[at];
            let (place, next) = (block.find(key), block.next);
            let room = block.len < Block::LEVELS as u32;
            if place < Block::LEVELS || (next == Block::NONE) & room {
                let done = block.set(place, key, amount);
                let present = block.len > 0 || at != bucket || next != Block::NONE;
                let (word, bit) = (bucket / 64 % self.present.len(), bucket % 64);
                let rest = self.present[word] & !(1 << bit);
                self.present[word] = rest | u64::from(present) << bit;
                break done;
            }
            if next == Block::NONE {
                break self.extend(bucket, key, amount);
            }
            at = next as usize;
        };
        self.len = self.len + usize::from(done.came) - usize::from(done.went);
        done
    }

    /// A level comes to a bucket whose last block is full.
    #[cold]
    fn extend(&mut self, bucket: usize, key: i64, amount: i64) -> Done {
        if amount == 0 {
            return Done::default();
        }
        let mut at = bucket;
        while self.blocks[at].len == Block::LEVELS as u32 {
            if self.blocks[at].next == Block::NONE {
                self.blocks[at].next = self.blocks.len() as u32;
                self.blocks.push(Block::EMPTY);
            }
            at = self.blocks[at].next as usize;
        }
        self.blocks[at].set(Block::LEVELS, key, amount)
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.len > FULL * self.buckets() && self.shift > 0
    }

    #[cold]
    fn grow(&mut self, anchor: i64) {
        let blocks = std::mem::take(&mut self.blocks);
        self.shift -= 1;
        self.clear();
        for block in &blocks {
            for (key, amount) in block.keys().iter().zip(block.amounts) {
                self.set(home(*key, anchor).1, *key, amount);
            }
        }
    }

    /// The blocks of a bucket.
    fn chain(&self, bucket: usize) -> impl Iterator<Item = &Block> {
        let first = self.blocks.get(bucket);
        std::iter::successors(first, |block| self.blocks.get(block.next as usize))
    }

    /// The greatest key below `limit` (all are, where it is `None`) of the parts up to this one.
    fn below(&self, part: usize, limit: Option<i64>) -> Option<i64> {
        let bucket = part >> self.shift;
        let (mut word, bit) = (bucket / 64, bucket % 64);
        let mut left = self.present[word] & (u64::MAX >> (63 - bit));
        loop {
            while left != 0 {
                let bit = left.ilog2() as usize;
                left ^= 1 << bit;
                let keys = self.chain(word * 64 + bit).flat_map(Block::keys);
                let lower = keys.filter(|key| limit.is_none_or(|limit| **key < limit));
                if let Some(key) = lower.max() {
                    return Some(*key);
                }
            }
            word = word.checked_sub(1)?;
            left = self.present[word];
        }
    }

    fn amount(&self, part: usize, key: i64) -> Option<i64> {
        self.chain(part >> self.shift)
            .find_map(|block| block.amounts.get(block.find(key)).copied())
    }

    fn worst(&self) -> Option<i64> {
        let worst = |bucket| self.chain(bucket).flat_map(Block::keys).min().copied();
        (0..self.buckets()).find_map(worst)
    }

    fn clear(&mut self) {
        self.len = 0;
        self.present = [0; BUCKETS / 64];
        self.blocks.clear();
        self.blocks.resize(self.buckets(), Block::EMPTY);
    }
}

impl Far {
    pub(super) fn new(keep_text: bool) -> Far {
        Far {
            anchor: 0,
            len: 0,
            best: 0,
            came: 0,
            present: 0,
            octaves: Box::new([const { None }; 2 * OCTAVES]),
            texts: keep_text.then(FxHashMap::default),
        }
    }

    pub(super) fn clear(&mut self) {
        self.empty();
        if let Some(texts) = &mut self.texts {
            texts.clear();
        }
    }

    fn empty(&mut self) {
        let octaves = self.octaves.iter_mut().flatten();
        octaves.for_each(|octave| octave.clear());
        (self.len, self.present) = (0, 0);
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
        let octave = self.octaves.get(self.present.trailing_zeros() as usize)?;
        octave.as_ref()?.worst()
    }

    /// The amount at a key; 0 where there is no level.
    pub(super) fn amount(&self, key: i64) -> i64 {
        let (octave, part) = home(key, self.anchor);
        let octave = self.octaves[octave].as_ref();
        octave.and_then(|o| o.amount(part, key)).unwrap_or(0)
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
        let (o, part) = home(key, self.anchor);
        let octave = &mut self.octaves[o.min(2 * OCTAVES - 1)];
        if octave.is_none() {
            *octave = Octave::fresh();
        }
        let Some(octave) = octave else { return };
        let done = octave.set(part, key, amount);
        if octave.is_full() {
            octave.grow(self.anchor);
        }
        if octave.len <= 1 {
            self.present = self.present & !(1 << o) | u128::from(octave.len > 0) << o;
        }
        // With none left before, any key is the best.
        let better = done.came & (self.len == 0 || key > self.best);
        self.best = if better { key } else { self.best };
        self.len = self.len + usize::from(done.came) - usize::from(done.went);
        self.came += usize::from(done.came);
        if key == self.best && done.went {
            self.best = self.below(key).unwrap_or(0);
        }
    }

    /// The greatest key that is less than this one.
    pub(super) fn below(&self, key: i64) -> Option<i64> {
        let (octave, part) = home(key, self.anchor);
        let here = self.octaves[octave].as_ref();
        here.and_then(|o| o.below(part, Some(key))).or_else(|| {
            let left = self.present & ((1 << octave) - 1);
            let next = left.checked_ilog2()? as usize;
            self.octaves[next].as_ref()?.below(BUCKETS - 1, None)
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
        self.empty();
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
    fn better_keys_have_a_higher_home_over_all_numbers() {
        let near: Vec<i64> = (-70_000..70_000).collect();
        let ends = (0..63).flat_map(|bit| [1_i64 << bit, -(1 << bit)]);
        let mut keys: Vec<i64> = near.into_iter().chain(ends).collect();
        keys.extend([i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]);
        keys.sort_unstable();
        keys.dedup();
        for anchor in [0, 1, -1, 1000, -65_536, i64::MIN, i64::MAX, i64::MAX / 2] {
            let homes: Vec<_> = keys.iter().map(|&key| home(key, anchor)).collect();
            assert!(homes.is_sorted(), "anchor {anchor}");
            assert!(homes.iter().all(|(g, b)| *g < 2 * OCTAVES && *b < BUCKETS));
        }
        assert_eq!(home(500, 500), (OCTAVES, 0));
        assert_eq!(home(499, 500), (OCTAVES - 1, BUCKETS - 1));
        assert_eq!(home(i64::MIN, i64::MAX), (0, 0));
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
        assert!(far.octaves.iter().flatten().any(|o| o.shift == 0));
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
