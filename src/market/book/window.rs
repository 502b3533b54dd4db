//! HOT PATH. The levels of one side near the touch: an array with a slot for each price step.
//!
//! Works on keys, not prices: numbers of steps, the better the level, the greater its key (see
//! [`Ladder`](super::ladder::Ladder)). Which slots hold a level is kept in a bitmap of 48 words
//! with one word above that says which of those are not zero, so the best level is two bit scans
//! away and a change has no branch that depends on the market. Knows nothing of the levels outside
//! of it and does not decide where it stands.

/// Price steps in the window.
pub(super) const SLOTS: usize = 3072;

const WORDS: usize = SLOTS / 64;

pub(super) struct Window {
    /// Key of slot 0.
    base: i64,
    /// Keys that have a slot: [`SLOTS`], or 0 while the window stands nowhere.
    span: u64,
    len: usize,
    summary: u64,
    words: [u64; WORDS],
    /// 0 = no level.
    amounts: Box<[i64; SLOTS]>,
    /// Empty unless texts are kept.
    texts: Box<[u16]>,
}

impl Window {
    pub(super) fn new(keep_text: bool) -> Window {
        // On the heap from the start: 24 KiB do not belong on a stack.
        let amounts = vec![0; SLOTS].into_boxed_slice();
        Window {
            base: 0,
            span: 0,
            len: 0,
            summary: 0,
            words: [0; WORDS],
            amounts: amounts.try_into().expect("SLOTS amounts"),
            texts: vec![0; if keep_text { SLOTS } else { 0 }].into_boxed_slice(),
        }
    }

    /// Empties the window; it stands nowhere until it is moved.
    pub(super) fn clear(&mut self) {
        if self.len > 0 {
            self.amounts.fill(0);
            self.words = [0; WORDS];
            self.summary = 0;
            self.len = 0;
        }
        self.span = 0;
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The slot of a key; `None` outside the window.
    #[inline]
    pub(super) fn slot(&self, key: i64) -> Option<usize> {
        // A key below the base gives a negative offset, which is huge as a `u64`.
        let offset = (key - self.base) as u64;
        (offset < self.span).then_some(offset as usize)
    }

    #[inline]
    pub(super) fn key(&self, slot: usize) -> i64 {
        self.base + slot as i64
    }

    #[inline]
    pub(super) fn amount(&self, slot: usize) -> i64 {
        self.amounts[slot.min(SLOTS - 1)]
    }

    #[inline]
    pub(super) fn text(&self, slot: usize) -> u16 {
        self.texts.get(slot).copied().unwrap_or(0)
    }

    /// Sets the amount of a slot; 0 removes the level.
    #[inline]
    pub(super) fn set(&mut self, slot: usize, amount: i64, text: u16) {
        let slot = slot.min(SLOTS - 1);
        let was = std::mem::replace(&mut self.amounts[slot], amount);
        let (word, present) = (slot / 64, u64::from(amount != 0));
        let bits = self.words[word] & !(1 << (slot % 64)) | present << (slot % 64);
        self.words[word] = bits;
        self.summary = self.summary & !(1 << word) | u64::from(bits != 0) << word;
        self.len = self.len + usize::from(amount != 0) - usize::from(was != 0);
        if let Some(kept) = self.texts.get_mut(slot) {
            *kept = text;
        }
    }

    #[inline]
    pub(super) fn best(&self) -> Option<usize> {
        let word = self.summary.checked_ilog2()? as usize;
        Some(word * 64 + self.words[word].checked_ilog2()? as usize)
    }

    #[inline]
    pub(super) fn worst(&self) -> Option<usize> {
        if self.summary == 0 {
            return None;
        }
        let word = self.summary.trailing_zeros() as usize;
        Some(word * 64 + self.words[word].trailing_zeros() as usize)
    }

    /// Whether `key` lies at or above slot `low` and not above the window.
    pub(super) fn covers(&self, key: i64, low: usize) -> bool {
        self.slot(key).is_some_and(|slot| slot >= low)
    }

    /// Moves the window so that `key` is at slot `home`. What no longer fits is handed to `leave`
    /// (key, amount, text), ascending; the caller brings in the levels that the window now covers.
    pub(super) fn place(&mut self, key: i64, home: usize, leave: impl FnMut(i64, i64, u16)) {
        let base = key - home as i64;
        if self.len > 0 {
            let limit = SLOTS as i64;
            self.shift((base - self.base).clamp(-limit, limit) as isize, leave);
        }
        self.base = base;
        self.span = SLOTS as u64;
    }

    /// Moves the contents down by `steps` slots (up where negative).
    fn shift(&mut self, steps: isize, mut leave: impl FnMut(i64, i64, u16)) {
        let by = steps.unsigned_abs();
        let (gone, kept, to, fresh) = if steps > 0 {
            (0..by, by..SLOTS, 0, SLOTS - by..SLOTS)
        } else {
            (SLOTS - by..SLOTS, 0..SLOTS - by, by, 0..by)
        };
        for slot in gone {
            if self.amounts[slot] != 0 {
                leave(self.key(slot), self.amounts[slot], self.text(slot));
            }
        }
        self.amounts.copy_within(kept.clone(), to);
        self.amounts[fresh].fill(0);
        if !self.texts.is_empty() {
            self.texts.copy_within(kept, to);
        }
        self.recount();
    }

    fn recount(&mut self) {
        (self.len, self.summary) = (0, 0);
        for (i, amounts) in self.amounts.chunks_exact(64).enumerate() {
            let bits = amounts
                .iter()
                .rev()
                .fold(0, |bits, &a| bits << 1 | u64::from(a != 0));
            self.words[i] = bits;
            self.len += bits.count_ones() as usize;
            self.summary |= u64::from(bits != 0) << i;
        }
    }

    /// A walk over the levels, best first.
    #[inline]
    pub(super) fn walk(&self) -> Walk {
        Walk {
            summary: self.summary,
            word: 0,
            bits: 0,
        }
    }
}

/// Where a walk over a window's levels stands.
#[derive(Clone)]
pub(super) struct Walk {
    /// The words not yet begun.
    summary: u64,
    word: usize,
    /// What is left of the present word.
    bits: u64,
}

impl Walk {
    /// The slot the walk stands at.
    #[inline]
    pub(super) fn slot(&mut self, window: &Window) -> Option<usize> {
        if self.bits == 0 {
            self.word = self.summary.checked_ilog2()? as usize;
            self.summary ^= 1 << self.word;
            self.bits = window.words[self.word];
        }
        Some(self.word * 64 + self.bits.checked_ilog2()? as usize)
    }

    /// Goes on to the next worse slot.
    #[inline]
    pub(super) fn advance(&mut self) {
        let top = self.bits.checked_ilog2().unwrap_or(0);
        self.bits &= !(1 << top);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_found_and_nothing_beside_them() {
        let mut window = Window::new(false);
        assert_eq!(window.slot(0), None, "stands nowhere yet");
        window.place(1000, 100, |_, _, _| panic!("it is empty"));
        for slot in [0, 1, 99, 100, 101, SLOTS - 1] {
            assert_eq!(window.key(slot), 900 + slot as i64);
            assert_eq!(window.slot(window.key(slot)), Some(slot));
        }
        assert_eq!(window.slot(899), None);
        assert_eq!(window.slot(900 + SLOTS as i64), None);
    }

    #[test]
    fn what_falls_out_of_a_moving_window_is_handed_over() {
        for (to, gone) in [
            (5000, vec![]),
            (5001, vec![2952]),
            (4900, vec![6000]),
            (3000, vec![5000, 6000]),
            (99_999, vec![2952, 5000, 6000]),
        ] {
            let mut window = Window::new(true);
            window.place(5000, 2048, |_, _, _| panic!("it is empty"));
            for key in [2952, 5000, 6000] {
                let slot = window.slot(key).expect("inside");
                window.set(slot, key * 10, 7);
            }
            let mut left = Vec::new();
            window.place(to, 2048, |key, amount, text| left.push((key, amount, text)));
            let expected: Vec<_> = gone.iter().map(|&key| (key, key * 10, 7)).collect();
            assert_eq!(left, expected, "to {to}");
            let mut walk = window.walk();
            let mut seen = Vec::new();
            while let Some(slot) = walk.slot(&window) {
                walk.advance();
                assert_eq!(
                    (window.amount(slot), window.text(slot)),
                    (window.key(slot) * 10, 7)
                );
                seen.push(window.key(slot));
            }
            let stayed = [6000, 5000, 2952]
                .into_iter()
                .filter(|key| !gone.contains(key));
            assert_eq!(seen, stayed.collect::<Vec<_>>(), "to {to}");
            assert_eq!(seen.len(), window.len());
        }
    }
}
