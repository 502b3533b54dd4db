//! HOT PATH. Eight bytes at once in one integer ("SIMD within a register"): where do digits end, and
//! what do they say?
//!
//! Words hold their first byte lowest, as `u64::from_le_bytes` gives them. Marks are the high bits
//! of bytes; the lowest mark is exact, those above it may be wrong. Sources: Mycroft's zero-byte
//! test, and the three-multiplication parse of eight digits (Lemire, "Faster integer parsing",
//! 2022).

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES * 0x80;

/// Marks bytes equal to `byte`.
#[inline(always)]
pub fn equal(word: u64, byte: u8) -> u64 {
    let zeros = word ^ (ONES * byte as u64);
    zeros.wrapping_sub(ONES) & !zeros & HIGHS
}

/// Marks bytes below `limit`, which is at most 0x80.
#[inline(always)]
pub fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * limit as u64) & !word & HIGHS
}

/// Position of the lowest mark; 8 where there is none.
#[inline(always)]
pub fn first(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// How many bytes, from the first on, are decimal digits: 0 to 8.
#[inline(always)]
pub fn digits(word: u64) -> usize {
    // A digit's high half is 3, and still is when 6 is added. A carry out of a byte comes only from
    // one that is no digit itself.
    let high = |w: u64| w & (ONES * 0xf0) ^ (ONES * 0x30);
    first(high(word) | high(word.wrapping_add(ONES * 6)))
}

/// What eight digits say; `None` where one of the bytes is none.
#[inline(always)]
pub fn eight(word: u64) -> Option<u64> {
    said(word.wrapping_sub(ONES * 0x30))
}

/// What the first `n` bytes, 1 to 8 of them, say; `None` where one of them is no digit.
#[inline(always)]
pub fn few(word: u64, n: usize) -> Option<u64> {
    // In front of them come zeros; what follows them falls out.
    said(word.wrapping_sub(ONES * 0x30) << ((64 - 8 * n) % 64))
}

/// The number that eight bytes from 0 to 9 make, the first one the highest.
#[inline(always)]
fn said(v: u64) -> Option<u64> {
    // A byte that was below '0' has its high bit set; one that was above '9' gets it.
    if (v.wrapping_add(ONES * 0x76) | v) & HIGHS != 0 {
        return None;
    }
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let v = v.wrapping_mul(10).wrapping_add(v >> 8);
    let high = (v & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let low = (v >> 16 & PAIRS).wrapping_mul(1 + (10_000 << 32));
    Some(high.wrapping_add(low) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_and_read() {
        for (text, n, says) in [
            ("12345678", 8, 12_345_678),
            ("00000000", 8, 0),
            ("99999999", 8, 99_999_999),
            ("1.345678", 1, 1),
            ("0123456\"", 7, 123_456),
            ("12\"\",\"a\"", 2, 12),
            ("9/:;<=>?", 1, 9),
            ("\u{7f}1234567", 0, 0),
            ("55\u{e9}\u{e9}12", 2, 55),
            ("123456\u{ff}", 6, 123_456),
        ] {
            let word = u64::from_le_bytes(text.as_bytes()[..8].try_into().expect("eight"));
            assert_eq!(digits(word), n, "{text:?}");
            if n > 0 {
                assert_eq!(few(word, n), Some(says), "{text:?}");
            }
            if n < 8 {
                assert_eq!((few(word, n + 1), eight(word)), (None, None), "{text:?}");
            } else {
                assert_eq!(eight(word), Some(says));
            }
        }
    }

    #[test]
    fn every_byte_is_told_apart_in_every_place() {
        for place in 0..8 {
            for byte in 0..=255u8 {
                let mut bytes = *b"70707070";
                bytes[place] = byte;
                let word = u64::from_le_bytes(bytes);
                let expected = if byte.is_ascii_digit() { 8 } else { place };
                assert_eq!(digits(word), expected, "{byte:#x} at {place}");
                assert_eq!(eight(word).is_some(), expected == 8, "{byte:#x} at {place}");
                let quote = first(equal(word, b'"'));
                assert_eq!(quote, if byte == b'"' { place } else { 8 });
                let control = first(below(word, 0x20));
                assert_eq!(control, if byte < 0x20 { place } else { 8 });
            }
        }
    }
}
