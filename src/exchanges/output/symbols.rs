//! HOT PATH. Which slot has this symbol? Nearly all symbols are of fifteen bytes at most: those are
//! looked up as one integer, with no memory to follow and nothing to compare byte by byte.
//!
//! Their table is our own: the standard map's search is compiled into other parts of a program than
//! its caller, and takes 200 instructions a symbol where this one takes 76 (by callgrind, in the
//! release profile).

use super::SlotId;
use rustc_hash::FxHashMap;

pub(super) struct Symbols {
    /// A key's place is the first that is free from its home on. A power of two of them, half of
    /// them free at least, by key 0.
    short: Box<[(u128, SlotId)]>,
    /// How many are not free.
    len: usize,
    long: FxHashMap<Box<[u8]>, SlotId>,
}

impl Default for Symbols {
    fn default() -> Symbols {
        Symbols {
            short: vec![(0, 0); 2].into(),
            len: 0,
            long: FxHashMap::default(),
        }
    }
}

impl Symbols {
    pub(super) fn insert(&mut self, symbol: &[u8], slot: SlotId) {
        match key(symbol) {
            Some(key) => self.insert_short(key, slot),
            None => drop(self.long.insert(symbol.into(), slot)),
        }
    }

    fn insert_short(&mut self, key: u128, slot: SlotId) {
        if 2 * (self.len + 1) > self.short.len() {
            let double = vec![(0, 0); 2 * self.short.len()].into();
            let all = std::mem::replace(&mut self.short, double);
            self.len = 0;
            let taken = all.into_iter().filter(|(key, _)| *key != 0);
            taken.for_each(|(key, slot)| self.insert_short(key, slot));
        }
        let mut at = home(key);
        loop {
            at %= self.short.len();
            let place = &mut self.short[at];
            if place.0 == 0 || place.0 == key {
                self.len += usize::from(place.0 == 0);
                *place = (key, slot);
                return;
            }
            at += 1;
        }
    }

    #[inline(always)]
    pub(super) fn get(&self, symbol: &[u8]) -> Option<SlotId> {
        let Some(key) = key(symbol) else {
            return self.get_long(symbol);
        };
        let mut at = home(key);
        loop {
            let (taken, slot) = *self.short.get(at & (self.short.len() - 1))?;
            if taken == key {
                return Some(slot);
            }
            if taken == 0 {
                return None;
            }
            at += 1;
        }
    }

    #[cold]
    #[inline(never)]
    fn get_long(&self, symbol: &[u8]) -> Option<SlotId> {
        self.long.get(symbol).copied()
    }
}

/// Where a key is looked for first, in a table of any size: the halves of a product, mixed.
#[inline(always)]
fn home(key: u128) -> usize {
    let halves = [key as u64 ^ 0x9e37_79b9_7f4a_7c15, (key >> 64) as u64];
    let product = u128::from(halves[0]) * u128::from(halves[1] ^ 0xd1b5_4a32_d192_ed03);
    (product ^ product >> 64) as usize
}

/// Its bytes and, so that no symbol is the beginning of another, their number; never 0. `None`
/// where there are more than fifteen, or none.
#[inline(always)]
fn key(symbol: &[u8]) -> Option<u128> {
    let n = symbol.len();
    if n > 15 || n == 0 {
        return None;
    }
    let word = |at: usize| -> u64 {
        let bytes = symbol[at..at + 8].try_into();
        bytes.map_or(0, u64::from_le_bytes)
    };
    let half = |at: usize| -> u32 {
        let bytes = symbol[at..at + 4].try_into();
        bytes.map_or(0, u32::from_le_bytes)
    };
    // Two loads that overlap cover every length without a loop.
    let bytes = if n >= 8 {
        u128::from(word(0)) | u128::from(word(n - 8)) << (8 * (n - 8))
    } else if n >= 4 {
        u128::from(half(0)) | u128::from(half(n - 4)) << (8 * (n - 4))
    } else {
        let byte = |i: usize| symbol.get(i).map_or(0, |b| u128::from(*b) << (8 * i));
        byte(0) | byte(1) | byte(2)
    };
    Some(bytes | (n as u128) << 120)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_is_found_and_no_other() {
        let text = b"0123456789ABCDEFGHIJ";
        let mut symbols = Symbols::default();
        for n in 0..=text.len() {
            symbols.insert(&text[..n], n as SlotId);
        }
        symbols.insert(b"BTC\0", 100);
        for n in 0..=text.len() {
            assert_eq!(symbols.get(&text[..n]), Some(n as SlotId));
            let mut other = text[..n].to_vec();
            for i in 0..n {
                other[i] ^= 0x20;
                assert_eq!(symbols.get(&other), None, "{n} {i}");
                other[i] ^= 0x20;
            }
        }
        assert_eq!(
            (symbols.get(b"BTC\0"), symbols.get(b"BTC")),
            (Some(100), None)
        );
    }

    #[test]
    fn thousands_of_symbols_are_told_apart_in_a_few_steps() {
        let mut symbols = Symbols::default();
        let name = |i: u32| {
            format!(
                "{:X}{}",
                i * 7,
                ["USDT", "BTC", "-USD", "/EUR"][i as usize % 4]
            )
        };
        for i in 0..6000 {
            symbols.insert(name(i).as_bytes(), i);
        }
        for i in 0..6000 {
            assert_eq!(symbols.get(name(i).as_bytes()), Some(i));
            assert_eq!(symbols.get(name(i + 6000).as_bytes()), None);
        }
        symbols.insert(name(7).as_bytes(), 70_000);
        assert_eq!(symbols.get(name(7).as_bytes()), Some(70_000));
        assert_eq!(symbols.len, 6000, "the same one again");
        let mut longest = 0;
        for (at, (key, _)) in symbols.short.iter().enumerate().filter(|(_, s)| s.0 != 0) {
            longest = longest.max(at.wrapping_sub(home(*key)) % symbols.short.len());
        }
        assert!(longest < 40, "{longest} steps");
    }
}
