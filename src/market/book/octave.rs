//! HOT PATH. Where far levels are kept: an octave's buckets, and which of them a key belongs to.
//!
//! Used by [`Far`](super::far::Far) alone, whose head says why it is so. A key's [`Home`] is found
//! by arithmetic from its distance to the anchor; an octave keeps its levels and nothing about the
//! others.

/// Equal parts of an octave: the most buckets that it can have.
pub(super) const PARTS: usize = 2048;

/// Octaves on each side of the anchor: 0 holds the nearest [`PARTS`] keys, and each of the others
/// all keys of one binary order of magnitude.
pub(super) const OCTAVES: usize = (super::grid::STEPS.ilog2() - PARTS.ilog2() + 1) as usize;

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

pub(super) struct Octave {
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

/// Where a key belongs; octaves and parts are greater for better keys.
#[derive(Clone, Copy)]
pub(super) struct Home {
    pub(super) octave: usize,
    pub(super) part: usize,
    /// Of the distance from the anchor. For keys below that, whose order is the other way around,
    /// it is mirrored by `!`.
    pub(super) low: u32,
}

impl Home {
    #[inline]
    pub(super) fn of(key: i64, anchor: i64) -> Home {
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
pub(super) struct Done {
    pub(super) came: bool,
    pub(super) went: bool,
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
    pub(super) const NEW: Octave = Octave {
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

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Sets the amount at a level that has its home here; 0 removes the level.
    #[inline]
    pub(super) fn put(&mut self, home: Home, amount: i64) -> Done {
        if self.blocks.is_empty() {
            if amount == 0 {
                return Done::default();
            }
            self.begin(home.octave);
        }
        let done = self.set(home.part, home.low, amount);
        if (self.len > self.room) | (done.went & (self.len < self.few)) {
            self.resize(home.octave);
        }
        done
    }

    /// As [`Octave::put`], where there are buckets.
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
    pub(super) fn below(&self, at: Home, limit: i64, anchor: i64) -> Option<i64> {
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

    pub(super) fn amount(&self, home: Home) -> Option<i64> {
        chain(&self.blocks, home.part >> self.shift)
            .find_map(|block| block.amounts.get(block.find(home.low)).copied())
    }

    pub(super) fn worst(&self, octave: usize, anchor: i64) -> Option<i64> {
        (0..self.buckets()).find_map(|bucket| self.keys(octave, bucket, anchor).min())
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
        if !self.blocks.is_empty() {
            self.blocks.clear();
            self.blocks.resize(self.buckets(), Block::EMPTY);
        }
    }

    /// Blocks that there is memory for.
    #[cfg(test)]
    pub(super) fn blocks(&self) -> usize {
        self.blocks.capacity()
    }

    /// As many buckets as can be.
    #[cfg(test)]
    pub(super) fn is_split_to_the_end(&self) -> bool {
        self.blocks() > 0 && self.shift == 0
    }
}

/// The blocks of a bucket.
fn chain(blocks: &[Block], bucket: usize) -> impl Iterator<Item = &Block> {
    let next = |block: &&Block| blocks.get(block.next()).filter(|_| block.next() != 0);
    std::iter::successors(blocks.get(bucket), move |block| next(block))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
