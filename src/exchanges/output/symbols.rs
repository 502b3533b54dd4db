//! HOT PATH. Which slot has this symbol? Nearly all symbols are of sixteen bytes at most: those are
//! looked up as one integer, with no memory to follow and nothing to compare byte by byte.

use super::SlotId;
use rustc_hash::FxHashMap;

#[derive(Default)]
pub(super) struct Symbols {
    short: FxHashMap<u128, SlotId>,
    long: FxHashMap<Box<[u8]>, SlotId>,
}

impl Symbols {
    pub(super) fn insert(&mut self, symbol: &[u8], slot: SlotId) {
        match key(symbol) {
            Some(key) => self.short.insert(key, slot),
            None => self.long.insert(symbol.into(), slot),
        };
    }

    #[inline(always)]
    pub(super) fn get(&self, symbol: &[u8]) -> Option<SlotId> {
        match key(symbol) {
            Some(key) => self.short.get(&key).copied(),
            None => self.get_long(symbol),
        }
    }

    #[cold]
    #[inline(never)]
    fn get_long(&self, symbol: &[u8]) -> Option<SlotId> {
        self.long.get(symbol).copied()
    }
}

/// Its bytes and, so that no symbol is the beginning of another, its length: none where it is
/// longer than fifteen bytes or holds a zero.
#[inline(always)]
fn key(symbol: &[u8]) -> Option<u128> {
    let n = symbol.len();
    if n > 15 {
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
}
