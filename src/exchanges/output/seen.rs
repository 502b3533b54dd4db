//! HOT PATH. Which trades were seen already?

/// Which of an exchange's counting trade ids were seen: a sliding window of bits below the newest
/// one (as IPsec's anti-replay window, RFC 6479). Exact for ids that grow, however they are
/// shuffled.
pub(super) struct SeenIds {
    newest: u128,
    bits: [u64; SeenIds::WINDOW / 64],
}

impl Default for SeenIds {
    fn default() -> Self {
        SeenIds {
            newest: 0,
            bits: [0; Self::WINDOW / 64],
        }
    }
}

impl SeenIds {
    const WINDOW: usize = 2048;
    /// An id this far below the newest is no replay: the exchange began to count anew.
    const RESTARTED: u128 = 1 << 20;

    /// True where the id is new.
    #[inline]
    pub(super) fn insert(&mut self, id: u128) -> bool {
        if self.newest.checked_add(1) == Some(id) {
            // The usual case: one after the other.
            self.newest = id;
            let (word, bit) = Self::place(id);
            self.bits[word] |= bit;
            return true;
        }
        if id > self.newest {
            let ahead = id - self.newest;
            if ahead >= Self::WINDOW as u128 {
                self.bits = [0; Self::WINDOW / 64];
            } else {
                (self.newest + 1..=id).for_each(|i| self.clear(i));
            }
            self.newest = id;
        } else if self.newest - id >= Self::WINDOW as u128 {
            if self.newest - id < Self::RESTARTED {
                return false;
            }
            *self = SeenIds {
                newest: id,
                ..SeenIds::default()
            };
        }
        let (word, bit) = Self::place(id);
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        new
    }

    #[inline]
    fn place(id: u128) -> (usize, u64) {
        let i = (id % Self::WINDOW as u128) as usize;
        (i / 64, 1 << (i % 64))
    }

    #[inline]
    fn clear(&mut self, id: u128) {
        let (word, bit) = Self::place(id);
        self.bits[word] &= !bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_once_however_shuffled() {
        let mut seen = SeenIds::default();
        for id in [5, 3, 4, 100, 99, 2_000, 2_001, 500] {
            assert!(seen.insert(id), "{id} is new");
            assert!(!seen.insert(id), "{id} is known");
        }
        assert!(!seen.insert(5), "still within the window");
        assert!(seen.insert(10_000_000));
        assert!(
            !seen.insert(10_000_000 - 5_000),
            "below the window: taken for a replay"
        );
        assert!(
            seen.insert(7),
            "far below: the exchange began to count anew"
        );
        assert!(seen.insert(8) && !seen.insert(8));
    }

    #[test]
    fn equals_a_set_on_a_stream_with_gaps_and_repeats() {
        let (mut seen, mut all) = (SeenIds::default(), std::collections::HashSet::new());
        let mut x = 1u64;
        let mut newest = 1_000u128;
        for _ in 0..200_000 {
            x = x
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            newest += u128::from((x >> 60) % 4);
            let id = newest - u128::from((x >> 33) % 1_000).min(newest);
            assert_eq!(seen.insert(id), all.insert(id), "{id}");
        }
    }
}
