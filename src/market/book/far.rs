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

use rustc_hash::FxHashMap;

/// Equal parts of an octave: the most buckets that it can have.
const PARTS: usize = 2048;

/// Octaves on each side of the anchor: 0 holds the nearest [`PARTS`] keys, and each of the others
/// all keys of one binary order of magnitude.
const OCTAVES: usize = (super::grid::STEPS.ilog2() - PARTS.ilog2() + 1) as usize;

/// log2 of the buckets that an octave begins with.
const FIRST: u32 = 3;

/// Levels of one bucket in no order; more of them than fit are in the next block.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Block {
    /// The low half of each level's distance; the bucket knows the rest.
    low: [u32; Block::LEVELS],
    /// How many levels, and above [`Block::LEN_BITS`] the index of the next block, 0 for none.
    tail: u32,
    amounts: [i64; Block::LEVELS],
}

const _: () = assert!(size_of::<Block>() == 64);

struct Octave {
    /// One for each bucket, then those that more levels needed; empty before the first level.
    blocks: Vec<Block>,
    len: usize,
    /// More levels than these need more buckets.
    room: usize,
    /// Fewer levels than these, and fewer buckets do.
    few: usize,
    /// Of [`PARTS`], log2 of how many make one bucket.
    shift: u32,
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
    octaves: Box<[Octave; 2 * OCTAVES]>,
    /// By key, where they are kept: the digits of a level's text. Apart, because a book that keeps
    /// them has few levels, and the others are faster without.
    texts: Option<FxHashMap<i64, u16>>,
}

/// Where a key belongs; octaves and parts are greater for better keys.
#[derive(Clone, Copy)]
struct Home {
    octave: usize,
    part: usize,
    /// Of the distance from the anchor. For keys below that, whose order is the other way around,
    /// it is mirrored by `!`.
    low: u32,
}

impl Home {
    #[inline]
    fn of(key: i64, anchor: i64) -> Home {
        let distance = key - anchor;
        let mirror = distance >> 63; // all ones for keys below the anchor
        let distance = (distance ^ mirror) as u64;
        let octave = (distance | (PARTS as u64 - 1)).ilog2() - (PARTS.ilog2() - 1);
        let part = (distance >> octave.saturating_sub(1)) as i64 ^ mirror;
        let octave = (i64::from(octave) ^ mirror) + OCTAVES as i64;
        Home {
            octave: octave as usize,
            part: part as usize % PARTS,
            low: distance as u32,
        }
    }
}

/// The key of a level in a bucket of 2^`shift` parts.
fn key(octave: usize, bucket: usize, shift: u32, low: u32, anchor: i64) -> i64 {
    let mirror = -i64::from(octave < OCTAVES);
    let out = out(octave);
    let bits = part_bits(out);
    let bucket = (bucket as i64 ^ mirror) as u64 % (PARTS >> shift) as u64;
    let begin = if out == 0 { 0 } else { (PARTS as u64) << bits };
    let begin = begin + (bucket << (shift + bits));
    let distance = begin & !u64::from(u32::MAX) | u64::from(low);
    anchor + (distance as i64 ^ mirror)
}

/// How many octaves out from the anchor.
fn out(octave: usize) -> usize {
    octave
        .checked_sub(OCTAVES)
        .unwrap_or_else(|| OCTAVES - 1 - octave)
}

/// log2 of how many keys make one part of the octave so many steps out.
fn part_bits(out: usize) -> u32 {
    out.saturating_sub(1) as u32
}

/// log2 of the parts that make the widest buckets of an octave: [`FIRST`] says how many there are,
/// but a bucket's levels must differ in their low halves.
fn widest(octave: usize) -> u32 {
    (PARTS.ilog2() - FIRST).min(32 - part_bits(out(octave)))
}

/// What a change did to the number of levels.
#[derive(Clone, Copy, Default)]
struct Done {
    came: bool,
    went: bool,
}

impl Block {
    const LEVELS: usize = 5;
    const LEN_BITS: u32 = 3;
    const EMPTY: Block = Block {
        low: [0; Block::LEVELS],
        tail: 0,
        amounts: [0; Block::LEVELS],
    };

    #[inline]
    fn len(&self) -> usize {
        (self.tail % (1 << Block::LEN_BITS)) as usize
    }

    #[inline]
    fn next(&self) -> usize {
        (self.tail >> Block::LEN_BITS) as usize
    }

    /// Where a level is; [`Block::LEVELS`] or more where it is not.
    #[inline]
    fn find(&self, low: u32) -> usize {
        // A form that becomes vector instructions.
        let mut bits = [0_u32; Block::LEVELS - 1];
        for (i, bit) in bits.iter_mut().enumerate() {
            *bit = if self.low[i] == low { 1 << i } else { 0 };
        }
        let last = u32::from(self.low[bits.len()] == low) << bits.len();
        let found = bits.iter().fold(last, |found, bit| found | bit);
        (found & ((1 << self.len()) - 1)).trailing_zeros() as usize
    }

    fn levels(&self) -> impl Iterator<Item = (u32, i64)> {
        let levels = self.low.iter().zip(&self.amounts);
        levels.take(self.len()).map(|(low, amount)| (*low, *amount))
    }

    /// Sets the amount at `at`, a place that [`Block::find`] gave, or of a new level where it gave
    /// none. There must be room for that one.
    #[inline]
    fn set(&mut self, at: usize, low: u32, amount: i64) -> Done {
        let new = at >= Block::LEVELS;
        let last = Block::LEVELS - 1;
        let len = self.len();
        let at = if new { len } else { at }.min(last);
        (self.low[at], self.amounts[at]) = (low, amount);
        // What goes leaves its place to the last one.
        let gone = amount == 0;
        let filled = len + usize::from(new);
        let from = if gone { filled - 1 } else { at }.min(last);
        (self.low[at], self.amounts[at]) = (self.low[from], self.amounts[from]);
        let done = Done {
            came: new & !gone,
            went: !new & gone,
        };
        self.tail = self.tail + u32::from(done.came) - u32::from(done.went);
        done
    }
}

impl Octave {
    const NEW: Octave = Octave {
        blocks: Vec::new(),
        len: 0,
        room: 0,
        few: 0,
        shift: 0,
    };

    /// Buckets for the first levels.
    #[cold]
    fn begin(&mut self, octave: usize) {
        self.split(octave, widest(octave));
    }

    /// Empty buckets of 2^`shift` parts.
    fn split(&mut self, octave: usize, shift: u32) {
        self.shift = shift;
        self.room = match shift {
            0 => usize::MAX,
            _ => self.buckets() * Block::LEVELS / 2,
        };
        self.few = match shift {
            _ if shift == widest(octave) => 0,
            _ => self.buckets() / 4,
        };
        self.blocks
            .reserve_exact(self.buckets() + self.buckets() / 8);
        self.blocks.resize(self.buckets(), Block::EMPTY);
    }

    #[inline]
    fn buckets(&self) -> usize {
        PARTS >> self.shift
    }

    /// Sets the amount at a level of this part of the octave; 0 removes the level.
    #[inline(always)]
    fn set(&mut self, part: usize, low: u32, amount: i64) -> Done {
        let mut at = part >> self.shift;
        loop {
            let block = &mut self.blocks[at];
            let (place, next) = (block.find(low), block.next());
            let room = block.len() < Block::LEVELS;
            if (place < Block::LEVELS) | ((next == 0) & room) {
                let done = block.set(place, low, amount);
                self.len = self.len + usize::from(done.came) - usize::from(done.went);
                return done;
            }
            if next == 0 {
                return self.extend(part >> self.shift, low, amount);
            }
            at = next;
        }
    }

    /// A level comes to a bucket whose last block is full.
    #[cold]
    fn extend(&mut self, bucket: usize, low: u32, amount: i64) -> Done {
        let came = amount != 0;
        if came {
            self.add(bucket, low, amount);
            self.len += 1;
        }
        Done { came, went: false }
    }

    /// Puts a level in that is not there yet.
    fn add(&mut self, bucket: usize, low: u32, amount: i64) {
        let mut at = bucket;
        while self.blocks[at].len() == Block::LEVELS {
            if self.blocks[at].next() == 0 {
                self.blocks[at].tail |= (self.blocks.len() as u32) << Block::LEN_BITS;
                self.blocks.push(Block::EMPTY);
            }
            at = self.blocks[at].next();
        }
        let block = &mut self.blocks[at];
        let place = block.len();
        (block.low[place], block.amounts[place]) = (low, amount);
        block.tail += 1;
    }

    /// Each bucket becomes four, or four become one.
    #[cold]
    fn resize(&mut self, octave: usize) {
        let (shift, blocks) = (self.shift, std::mem::take(&mut self.blocks));
        let narrower = self.len > self.room;
        self.split(
            octave,
            match narrower {
                true => shift.saturating_sub(2),
                false => (shift + 2).min(widest(octave)),
            },
        );
        let bits = self.shift + part_bits(out(octave));
        let mirror = usize::from(octave < OCTAVES).wrapping_neg();
        for bucket in 0..PARTS >> shift {
            for (low, amount) in chain(&blocks, bucket).flat_map(Block::levels) {
                let bucket = if narrower {
                    let split = shift - self.shift;
                    let part = (low as usize >> bits) ^ mirror;
                    (bucket << split) | (part % (1 << split))
                } else {
                    bucket >> (self.shift - shift)
                };
                self.add(bucket, low, amount);
            }
        }
    }

    /// The keys of a bucket's levels.
    fn keys(&self, octave: usize, bucket: usize, anchor: i64) -> impl Iterator<Item = i64> {
        let levels = chain(&self.blocks, bucket).flat_map(Block::levels);
        levels.map(move |(low, _)| key(octave, bucket, self.shift, low, anchor))
    }

    /// The greatest key below `limit` of the parts up to this one.
    fn below(&self, at: Home, limit: i64, anchor: i64) -> Option<i64> {
        if self.len == 0 {
            return None;
        }
        // Most buckets on the way are empty: those are passed without looking for keys.
        let firsts = self.blocks.iter().take((at.part >> self.shift) + 1);
        let mut filled = firsts
            .enumerate()
            .rev()
            .filter(|(_, first)| first.tail != 0);
        filled.find_map(|(bucket, _)| {
            let keys = self.keys(at.octave, bucket, anchor);
            keys.filter(|key| *key < limit).max()
        })
    }

    fn amount(&self, part: usize, low: u32) -> Option<i64> {
        chain(&self.blocks, part >> self.shift)
            .find_map(|block| block.amounts.get(block.find(low)).copied())
    }

    fn worst(&self, octave: usize, anchor: i64) -> Option<i64> {
        (0..self.buckets()).find_map(|bucket| self.keys(octave, bucket, anchor).min())
    }

    fn clear(&mut self) {
        self.len = 0;
        if !self.blocks.is_empty() {
            self.blocks.clear();
            self.blocks.resize(self.buckets(), Block::EMPTY);
        }
    }
}

/// The blocks of a bucket.
fn chain(blocks: &[Block], bucket: usize) -> impl Iterator<Item = &Block> {
    let next = |block: &&Block| blocks.get(block.next()).filter(|_| block.next() != 0);
    std::iter::successors(blocks.get(bucket), move |block| next(block))
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
        octave.amount(home.part, home.low).unwrap_or(0)
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
        if octave.blocks.is_empty() {
            if amount == 0 {
                return;
            }
            octave.begin(home.octave);
        }
        let done = octave.set(home.part, home.low, amount);
        if (octave.len > octave.room) | (done.went & (octave.len < octave.few)) {
            octave.resize(home.octave);
        }
        if octave.len <= 1 {
            let rest = self.present & !(1 << home.octave);
            self.present = rest | u128::from(octave.len > 0) << home.octave;
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
    fn better_keys_have_a_higher_home_and_a_home_knows_its_key() {
        let near = -70_000..70_000;
        let ends = (0..44).flat_map(|bit| [1_i64 << bit, -(1 << bit), (1 << bit) - 1]);
        let mut distances: Vec<i64> = near.chain(ends).collect();
        distances.sort_unstable();
        distances.dedup();
        for anchor in [0, 1, -1, 1000, -65_536, (1 << 44) - 1] {
            let keys = distances.iter().map(|distance| anchor + distance);
            let homes: Vec<_> = keys.clone().map(|key| Home::of(key, anchor)).collect();
            let places = homes.iter().map(|home| (home.octave, home.part));
            assert!(places.clone().is_sorted(), "anchor {anchor}");
            assert!(places.clone().all(|(o, p)| o < 2 * OCTAVES && p < PARTS));
            for (home, expected) in homes.iter().zip(keys) {
                for shift in [0, 2, u32::MAX] {
                    let shift = shift.min(widest(home.octave));
                    let found = key(home.octave, home.part >> shift, shift, home.low, anchor);
                    assert_eq!(found, expected, "anchor {anchor}, buckets of 2^{shift}");
                }
            }
        }
        let place = |key| {
            let home = Home::of(key, 500);
            (home.octave, home.part)
        };
        assert_eq!(place(500), (OCTAVES, 0));
        assert_eq!(place(499), (OCTAVES - 1, PARTS - 1));
        assert_eq!(place(500 - (1 << 44)), (0, 0));
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
        let split = |o: &Octave| !o.blocks.is_empty() && o.shift == 0;
        assert!(far.octaves.iter().any(split), "some are split to the end");
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
            let blocks: usize = far.octaves.iter().map(|o| o.blocks.capacity()).sum();
            assert!(blocks < 2 * 1000, "{blocks} blocks around {place}");
        }
        for key in levels {
            far.set(key, 0, 0);
        }
        let left: usize = far.octaves.iter().map(|o| o.blocks.capacity()).sum();
        assert!(left < 20 << (FIRST + 3), "{left} blocks for nothing");
        far.set(3, 1, 0);
        far.anchor(1 << 30, 0);
        assert_eq!(all(&far), [(3, 1, 0)]);
        let begun = far.octaves.iter().filter(|o| !o.blocks.is_empty());
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
