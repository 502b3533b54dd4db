//! HOT PATH. A cursor over a frame's bytes for an exchange's usual field order.
//!
//! Every byte is checked; on anything unexpected it answers `None`, "not mine", and the complete
//! decoder (simd-json) takes the frame. It never guesses and never skips what it does not know.

use crate::market::Number;

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
    pub fn expect(&mut self, literal: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(literal)?;
        Some(())
    }

    /// As [`Cursor::expect`], but a wish: says whether they came.
    #[inline(always)]
    pub fn accept(&mut self, literal: &[u8]) -> bool {
        match self.rest.strip_prefix(literal) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Text up to the closing quote, which is taken too. An escape is "not mine".
    #[inline(always)]
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let mut i = 0;
        loop {
            match *self.rest.get(i)? {
                b'"' => break,
                b'\\' | 0..=0x1f => return None,
                _ => i += 1,
            }
        }
        let (text, rest) = self.rest.split_at(i);
        self.rest = &rest[1..];
        Some(text)
    }

    /// Decimal text up to the closing quote, which is taken too.
    #[inline(always)]
    pub fn decimal(&mut self) -> Option<Number> {
        let mut mantissa = 0u64;
        let mut i = 0;
        let mut point = None;
        loop {
            let c = *self.rest.get(i)?;
            let d = c.wrapping_sub(b'0');
            if d < 10 {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(d));
            } else if c == b'.' && point.is_none() {
                point = Some(i);
            } else if c == b'"' {
                break;
            } else {
                return None;
            }
            i += 1;
        }
        let digits = i - usize::from(point.is_some());
        if digits == 0 || digits > 19 {
            return None; // more digits than a u64 surely holds: the complete path rounds
        }
        let fraction = point.map_or(0, |p| i - p - 1);
        self.rest = &self.rest[i + 1..];
        Some(Number {
            mantissa,
            fraction: fraction as u8,
            negative: false,
            exact: true,
        })
    }

    /// A JSON number without sign or exponent, up to a byte that cannot belong to it (not taken).
    #[inline(always)]
    pub fn number(&mut self) -> Option<Number> {
        let mut mantissa = 0u64;
        let mut i = 0;
        let mut point = None;
        loop {
            let c = *self.rest.get(i)?;
            let d = c.wrapping_sub(b'0');
            if d < 10 {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(d));
            } else if c == b'.' && point.is_none() {
                point = Some(i);
            } else if matches!(c, b',' | b'}' | b']') {
                break;
            } else {
                return None;
            }
            i += 1;
        }
        let whole = point.unwrap_or(i);
        let fraction = point.map_or(0, |p| i - p - 1);
        let leading_zero = whole > 1 && self.rest[0] == b'0';
        let bare_point = point.is_some() && fraction == 0;
        if whole == 0 || leading_zero || bare_point || whole + fraction > 19 {
            return None;
        }
        self.rest = &self.rest[i..];
        Some(Number {
            mantissa,
            fraction: fraction as u8,
            negative: false,
            exact: true,
        })
    }

    /// An unsigned integer of at most 19 digits, up to a byte that is no digit (not taken).
    #[inline(always)]
    pub fn integer(&mut self) -> Option<u64> {
        let mut value = 0u64;
        let mut i = 0;
        while let Some(d) = self.rest.get(i).map(|c| c.wrapping_sub(b'0'))
            && d < 10
        {
            if i == 19 {
                return None;
            }
            value = value * 10 + u64::from(d);
            i += 1;
        }
        // JSON has no leading zeros.
        if i == 0 || (self.rest[0] == b'0' && i > 1) {
            return None;
        }
        self.rest = &self.rest[i..];
        Some(value)
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
