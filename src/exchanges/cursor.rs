//! HOT PATH. A cursor over a frame's bytes for an exchange's usual field order.
//!
//! Every byte is checked; on anything unexpected it answers `None`, "not mine", and the complete
//! decoder (simd-json) takes the frame. It never guesses and never skips what it does not know.

use crate::market::Number;
use crate::market::decimal::pow10;
use crate::swar;

// Where a field ends is asked byte by byte, by branches that a processor foresees, since fields of
// one feed are of the same length again and again; what it says is computed eight bytes at once,
// beside that. (Counting digits by the word is less work, but each field would wait for the one
// before it.)
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub fn new(frame: &'a [u8]) -> Self {
        Cursor { rest: frame }
    }

    /// These very bytes come next.
    #[inline(always)]
    pub fn expect<const N: usize>(&mut self, literal: &[u8; N]) -> Option<()> {
        self.accept(literal).then_some(())
    }

    /// As [`Cursor::expect`], for bytes whose number is known only at run time.
    #[inline(always)]
    pub fn expect_bytes(&mut self, literal: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(literal)?;
        Some(())
    }

    /// As [`Cursor::expect`], but a wish: says whether they came.
    #[inline(always)]
    pub fn accept<const N: usize>(&mut self, literal: &[u8; N]) -> bool {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) if head == literal => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Eight bytes from `at` on, the first one lowest; `None` where fewer are left.
    #[inline(always)]
    fn word(&self, at: usize) -> Option<u64> {
        let bytes = self.rest.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    #[inline(always)]
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    /// Text up to the closing quote, which is taken too. An escape is "not mine".
    #[inline(always)]
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let mut i = 0;
        while let Some(w) = self.word(i) {
            let quotes = swar::equal(w, b'"');
            let others = swar::equal(w, b'\\') | swar::below(w, 0x20);
            if quotes | others == 0 {
                i += 8;
                continue;
            }
            // Nothing else may stand in front of the first quote.
            if others != 0 && swar::first(others) < swar::first(quotes) {
                return None;
            }
            while *self.rest.get(i)? != b'"' {
                i += 1;
            }
            break;
        }
        loop {
            match *self.rest.get(i)? {
                b'"' => break,
                b'\\' | 0..=0x1f => return None,
                _ => i += 1,
            }
        }
        let text = self.take(i)?;
        self.rest = &self.rest[1..];
        Some(text)
    }

    /// Decimal text up to the closing quote, which is taken too.
    #[inline(always)]
    pub fn decimal(&mut self) -> Option<Number> {
        let read = self.short_decimal(|end| end == b'"');
        let (number, length) = match read {
            Some(read) => read,
            None => long_decimal(self.rest)?,
        };
        self.rest = self.rest.get(length + 1..)?;
        Some(number)
    }

    /// As [`Cursor::decimal`], for numbers that are written like the one before, with eight
    /// decimals: `whole` is how many digits that one had in front of its point.
    #[inline(always)]
    pub fn decimal_like(&mut self, whole: &mut usize) -> Option<Number> {
        if let Some(number) = self.padded(*whole) {
            self.rest = self.rest.get(*whole + 10..)?;
            return Some(number);
        }
        let before = self.rest.len();
        let number = self.decimal()?;
        let length = before - self.rest.len();
        *whole = length.saturating_sub(2 + usize::from(number.fraction));
        Some(number)
    }

    /// `whole` digits, a point, eight digits and a quote.
    #[inline(always)]
    fn padded(&self, whole: usize) -> Option<Number> {
        let text = self.rest.first_chunk::<24>()?;
        if !(1..=7).contains(&whole) || text[whole] != b'.' || text[whole + 9] != b'"' {
            return None;
        }
        let word = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(text[at..at + 8].try_into().ok()?))
        };
        let units = swar::few(word(0)?, whole)?;
        let parts = swar::eight(word(whole + 1)?)?;
        Some(exact(units * 100_000_000 + parts, 8))
    }

    /// `1` to `1234567`, and up to eight digits behind a point, then a byte that ends it: its value
    /// and its length. `None` for all else.
    #[inline(always)]
    fn short_decimal(&self, ends: impl Fn(u8) -> bool) -> Option<(Number, usize)> {
        let w = self.word(0)?;
        let mut whole = 1;
        while whole < 8 && (w >> (8 * whole)) as u8 >= b'0' {
            whole += 1;
        }
        if whole == 8 {
            return None;
        }
        let after = (w >> (8 * whole)) as u8;
        let units = swar::few(w, whole)?;
        if after != b'.' {
            return ends(after).then(|| (exact(units, 0), whole));
        }
        let f = self.word(whole + 1)?;
        if let Some(parts) = swar::eight(f) {
            let padded = exact(units * 100_000_000 + parts, 8);
            return ends(*self.rest.get(whole + 9)?).then_some((padded, whole + 9));
        }
        let places = swar::digits(f);
        if places == 0 || !ends((f >> (8 * places)) as u8) {
            return None;
        }
        let mantissa = units * pow10(places as u8) + swar::few(f, places)?;
        Some((exact(mantissa, places), whole + 1 + places))
    }

    /// A JSON number without sign or exponent, up to a byte that cannot belong to it (not taken).
    #[inline(always)]
    pub fn number(&mut self) -> Option<Number> {
        let ends = |c| matches!(c, b',' | b'}' | b']');
        let (number, length) = match self.short_decimal(ends) {
            // JSON has no leading zeros.
            Some(read) if self.rest[0] != b'0' || self.rest[1] < b'0' => read,
            _ => long_number(self.rest)?,
        };
        self.rest = self.rest.get(length..)?;
        Some(number)
    }

    /// An unsigned integer of at most 19 digits, up to a byte that is no digit (not taken).
    #[inline(always)]
    pub fn integer(&mut self) -> Option<u64> {
        let (value, length) = match self.short_integer() {
            Some(read) => read,
            None => long_integer(self.rest)?,
        };
        self.rest = self.rest.get(length..)?;
        Some(value)
    }

    /// Up to sixteen digits, and their number.
    #[inline(always)]
    fn short_integer(&self) -> Option<(u64, usize)> {
        let w = self.word(0)?;
        let Some(high) = swar::eight(w) else {
            let n = leading(w);
            // JSON has no leading zeros.
            if n == 0 || (n > 1 && w as u8 == b'0') {
                return None;
            }
            return Some((swar::few(w, n)?, n));
        };
        let w2 = self.word(8)?;
        if w as u8 == b'0' {
            return None;
        }
        // Milliseconds since the epoch have 13 digits.
        if let Some(low) = swar::few(w2, 5)
            && !((w2 >> 40) as u8).is_ascii_digit()
        {
            return Some((high * 100_000 + low, 13));
        }
        // Microseconds have 16.
        if let Some(low) = swar::eight(w2) {
            let ended = !self.rest.get(16)?.is_ascii_digit();
            return ended.then_some((high * 100_000_000 + low, 16));
        }
        let n = leading(w2);
        if n == 0 {
            return None;
        }
        Some((high * pow10(n as u8) + swar::few(w2, n)?, 8 + n))
    }

    /// `true` or `false`.
    #[inline(always)]
    pub fn boolean(&mut self) -> Option<bool> {
        if self.accept(b"true") {
            Some(true)
        } else {
            self.expect(b"false").map(|()| false)
        }
    }

    /// Nothing is left.
    #[inline(always)]
    pub fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }
}

/// How many digits a word that is not all digits begins with.
#[inline(always)]
fn leading(w: u64) -> usize {
    let mut n = 0;
    while n < 8 && ((w >> (8 * n)) as u8).is_ascii_digit() {
        n += 1;
    }
    n
}

/// Digits and at most one point, up to a byte that `ends` takes: the mantissa, where the point is,
/// and the length.
// These three are not methods: a cursor whose address is passed on is kept in memory, not in
// registers.
#[inline(always)]
fn plain(text: &[u8], ends: impl Fn(u8) -> bool) -> Option<(u64, Option<usize>, usize)> {
    let mut mantissa = 0u64;
    let mut point = None;
    for (i, &c) in text.iter().enumerate() {
        let d = c.wrapping_sub(b'0');
        if d < 10 {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(d));
        } else if c == b'.' && point.is_none() {
            point = Some(i);
        } else if ends(c) {
            return Some((mantissa, point, i));
        } else {
            return None;
        }
    }
    None
}

/// Any plain decimal of at most 19 digits up to a quote, and its length.
#[cold]
#[inline(never)]
fn long_decimal(text: &[u8]) -> Option<(Number, usize)> {
    let (mantissa, point, length) = plain(text, |c| c == b'"')?;
    let digits = length - usize::from(point.is_some());
    if digits == 0 || digits > 19 {
        return None; // more digits than a u64 surely holds: the complete path rounds
    }
    let fraction = point.map_or(0, |p| length - p - 1);
    Some((exact(mantissa, fraction), length))
}

#[cold]
#[inline(never)]
fn long_number(text: &[u8]) -> Option<(Number, usize)> {
    let (mantissa, point, length) = plain(text, |c| matches!(c, b',' | b'}' | b']'))?;
    let whole = point.unwrap_or(length);
    let fraction = point.map_or(0, |p| length - p - 1);
    let leading_zero = whole > 1 && text[0] == b'0';
    let bare_point = point.is_some() && fraction == 0;
    if whole == 0 || leading_zero || bare_point || whole + fraction > 19 {
        return None;
    }
    Some((exact(mantissa, fraction), length))
}

#[cold]
#[inline(never)]
fn long_integer(text: &[u8]) -> Option<(u64, usize)> {
    let length = text
        .iter()
        .position(|c| !c.is_ascii_digit())
        .unwrap_or(text.len());
    if length == 0 || length > 19 || (text[0] == b'0' && length > 1) {
        return None;
    }
    let digits = text[..length].iter().map(|c| u64::from(c - b'0'));
    Some((digits.fold(0, |value, d| value * 10 + d), length))
}

#[inline(always)]
fn exact(mantissa: u64, fraction: usize) -> Number {
    Number {
        mantissa,
        fraction: fraction as u8,
        negative: false,
        exact: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What was read and how many bytes it took.
    fn read<'a, T>(
        text: &'a [u8],
        read: impl Fn(&mut Cursor<'a>) -> Option<T>,
    ) -> Option<(T, usize)> {
        let mut c = Cursor::new(text);
        let value = read(&mut c)?;
        Some((value, text.len() - c.rest.len()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn words_read_as_single_bytes_do(
            text in "[0-9]{0,21}(\\.[0-9]{0,10})?[\",}\\]./:\\\\a]{0,3}[0-9\"]{0,12}",
        ) {
            let text = text.as_bytes();
            let quoted = long_decimal(text).map(|(n, length)| (n, length + 1));
            prop_assert_eq!(read(text, Cursor::decimal), quoted);
            for whole in 0..9 {
                prop_assert_eq!(read(text, |c| c.decimal_like(&mut { whole })), quoted);
            }
            prop_assert_eq!(read(text, Cursor::number), long_number(text));
            prop_assert_eq!(read(text, Cursor::integer), long_integer(text));
        }

        #[test]
        fn text_ends_at_its_quote(head in "[a-z\u{e9}~]{0,30}", end in "[\"\\\\\u{1f}]", tail in "[a-z\"]{0,9}") {
            let all = format!("{head}{end}{tail}");
            let mut c = Cursor::new(all.as_bytes());
            let read = c.text();
            if end == "\"" {
                prop_assert_eq!(read, Some(head.as_bytes()));
                prop_assert_eq!(c.rest, tail.as_bytes());
            } else {
                prop_assert_eq!(read, None);
            }
        }
    }
}
