//! HOT PATH. Exact decimal numbers: an exchange's text becomes an `i64` at a power-of-ten scale,
//! without a float.
//!
//! A [`Number`] is what the text says (digits and how many of them stand after the point);
//! [`Number::at`] places it on a [`Scale`]. Trailing zeros are not digits: `1.500` fits scale 1.
//! Budget: under 10 ns a number.

use rust_decimal::Decimal;

/// Decimals after the point of an instrument's integers: value = integer / 10^scale. At most 18.
pub type Scale = u8;

/// The largest scale an `i64` can hold a whole unit at.
pub const MAX_SCALE: Scale = 18;

const POW10: [u64; 20] = {
    let mut table = [1u64; 20];
    let mut i = 1;
    while i < 20 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// 10^n for n ≤ 19.
#[inline]
pub const fn pow10(n: u8) -> u64 {
    POW10[n as usize]
}

/// A decimal as the exchange wrote it: `mantissa / 10^fraction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    pub mantissa: u64,
    /// Digits written after the point, trailing zeros included (a checksum needs them).
    pub fraction: u8,
    pub negative: bool,
    /// False where the text had more digits than fit and the last one was rounded half to even.
    pub exact: bool,
}

/// How a number sits on a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Exact(i64),
    /// Needs this many decimals, more than the scale has.
    Finer(Scale),
    /// Does not fit an `i64` at this scale.
    TooLarge,
}

impl Number {
    /// Reads plain decimal text (`-12.340`); anything else, exponents and more than 19 digits
    /// included, takes a slower path. `None` if it is no number.
    #[inline]
    pub fn parse(text: &[u8]) -> Option<Number> {
        let (negative, digits) = match text.first()? {
            b'-' => (true, &text[1..]),
            _ => (false, text),
        };
        if digits.len() > 19 {
            return parse_slow(text);
        }
        let mut mantissa = 0u64;
        let mut point = usize::MAX;
        for (i, &c) in digits.iter().enumerate() {
            let d = c.wrapping_sub(b'0');
            if d < 10 {
                mantissa = mantissa * 10 + u64::from(d);
            } else if c == b'.' && point == usize::MAX {
                point = i;
            } else {
                return parse_slow(text);
            }
        }
        let fraction = if point == usize::MAX {
            0
        } else {
            digits.len() - point - 1
        };
        if digits.len() == usize::from(point != usize::MAX) {
            return None; // "", "-", "."
        }
        Some(Number {
            mantissa,
            fraction: fraction as u8,
            negative,
            exact: true,
        })
    }

    /// This number as an integer at `scale`.
    #[inline(always)]
    pub fn at(self, scale: Scale) -> Fit {
        // Most exchanges write as many decimals as the scale has.
        if self.fraction == scale && self.mantissa <= i64::MAX as u64 {
            Fit::Exact(self.signed(self.mantissa))
        } else {
            self.at_another(scale)
        }
    }

    #[inline]
    fn at_another(self, scale: Scale) -> Fit {
        if self.fraction <= scale {
            let factor = POW10[usize::from(scale - self.fraction)];
            match self.mantissa.checked_mul(factor) {
                Some(v) if v <= i64::MAX as u64 => Fit::Exact(self.signed(v)),
                _ => Fit::TooLarge,
            }
        } else {
            self.at_coarser(scale)
        }
    }

    #[cold]
    fn at_coarser(self, scale: Scale) -> Fit {
        let (mut mantissa, mut fraction) = (self.mantissa, self.fraction);
        while fraction > scale && mantissa % 10 == 0 {
            mantissa /= 10;
            fraction -= 1;
        }
        if fraction > scale {
            return Fit::Finer(fraction);
        }
        Number {
            mantissa,
            fraction,
            ..self
        }
        .at(scale)
    }

    /// The nearest integer at `scale`, half to even; `None` where even that is too large.
    pub fn rounded(self, scale: Scale) -> Option<i64> {
        if self.fraction <= scale {
            return match self.at(scale) {
                Fit::Exact(v) => Some(v),
                _ => None,
            };
        }
        let drop = self.fraction - scale;
        if drop > 19 {
            return Some(0);
        }
        let v = div_half_even(
            u128::from(self.mantissa),
            u128::from(POW10[usize::from(drop)]),
        );
        i64::try_from(v)
            .ok()
            .map(|v| if self.negative { -v } else { v })
    }

    /// As [`Number::rounded`], for amounts of quote: their scale is the sum of two.
    #[cold]
    pub fn rounded_wide(self, scale: u8) -> Option<i128> {
        let mantissa = u128::from(self.mantissa);
        let v = if self.fraction <= scale {
            let factor = 10u128.checked_pow(u32::from(scale - self.fraction))?;
            mantissa.checked_mul(factor)?
        } else {
            // More decades than a u128 has leave nothing.
            let drop = 10u128.checked_pow(u32::from(self.fraction - scale));
            drop.map_or(0, |d| div_half_even(mantissa, d))
        };
        let v = i128::try_from(v).ok()?;
        Some(if self.negative { -v } else { v })
    }

    /// Decimals needed once trailing zeros are gone.
    pub fn decimals(self) -> Scale {
        let (mut mantissa, mut fraction) = (self.mantissa, self.fraction);
        while fraction > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            fraction -= 1;
        }
        fraction
    }

    #[inline]
    fn signed(self, v: u64) -> i64 {
        if self.negative { -(v as i64) } else { v as i64 }
    }
}

fn div_half_even(n: u128, d: u128) -> u128 {
    let (q, r) = (n / d, n % d);
    match (r * 2).cmp(&d) {
        std::cmp::Ordering::Less => q,
        std::cmp::Ordering::Greater => q + 1,
        std::cmp::Ordering::Equal => q + (q & 1),
    }
}

/// Exponents (`-6.2e-11`), signs, more digits than 19: correct, not fast.
#[cold]
fn parse_slow(text: &[u8]) -> Option<Number> {
    let (negative, rest) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, exponent) = match rest.iter().position(|c| matches!(c, b'e' | b'E')) {
        Some(i) => (
            &rest[..i],
            std::str::from_utf8(&rest[i + 1..])
                .ok()?
                .parse::<i32>()
                .ok()?,
        ),
        None => (rest, 0),
    };
    // 38 digits hold every price and amount seen; what comes after them is sticky for rounding.
    let (mut value, mut fraction, mut seen_point, mut any, mut sticky) =
        (0u128, 0i32, false, false, false);
    let mut dropped = 0i32;
    for &c in digits {
        match c {
            b'0'..=b'9' => {
                any = true;
                if value < 10u128.pow(36) {
                    value = value * 10 + u128::from(c - b'0');
                    fraction += i32::from(seen_point);
                } else {
                    sticky |= c != b'0';
                    dropped += i32::from(!seen_point);
                }
            }
            b'.' if !seen_point => seen_point = true,
            _ => return None,
        }
    }
    if !any || exponent.unsigned_abs() > 64 {
        return None;
    }
    fraction -= exponent + dropped;
    if value == 0 {
        return Some(Number {
            mantissa: 0,
            fraction: fraction.clamp(0, 36) as u8,
            negative,
            exact: !sticky,
        });
    }
    while fraction < 0 {
        value = value.checked_mul(10)?;
        fraction += 1;
    }
    let mut exact = !sticky;
    while value > u128::from(u64::MAX) || fraction > 36 {
        if fraction == 0 {
            return None; // more than 19 digits before the point: no price, no amount
        }
        // Drop whole decades at once, so that rounding happens a single time.
        let mut k = 1;
        while value / 10u128.pow(k) > u128::from(u64::MAX) && (k as i32) < fraction {
            k += 1;
        }
        let d = 10u128.pow(k);
        exact &= value % d == 0;
        value = if sticky && (value % d) * 2 == d {
            value / d + 1
        } else {
            div_half_even(value, d)
        };
        fraction -= k as i32;
    }
    Some(Number {
        mantissa: value as u64,
        fraction: fraction as u8,
        negative,
        exact,
    })
}

/// `value` at `from` expressed at `to`: exact when finer, half to even when coarser (the flag says
/// whether nothing was lost). `None` on overflow.
pub fn rescale(value: i64, from: Scale, to: Scale) -> Option<(i64, bool)> {
    if to >= from {
        value
            .checked_mul(POW10[usize::from(to - from)] as i64)
            .map(|v| (v, true))
    } else {
        let d = u128::from(POW10[usize::from(from - to)]);
        let magnitude = u128::from(value.unsigned_abs());
        let v = div_half_even(magnitude, d) as i64;
        Some((if value < 0 { -v } else { v }, magnitude.is_multiple_of(d)))
    }
}

/// For the edges: SQL, Redis, display. Trailing zeros are removed.
pub fn to_decimal(value: i64, scale: Scale) -> Decimal {
    Decimal::new(value, u32::from(scale)).normalize()
}

/// Half of `twice`, exactly: the middle of two prices at `scale`. `None` where it has too many
/// digits.
pub fn half(twice: i128, scale: Scale) -> Option<Decimal> {
    // Ten times five over ten times ten.
    let tenfold = twice.checked_mul(5)?;
    Decimal::try_from_i128_with_scale(tenfold, u32::from(scale) + 1)
        .ok()
        .map(|d| d.normalize())
}

/// For indicators and models only.
#[inline]
pub fn to_f64(value: i64, scale: Scale) -> f64 {
    value as f64 / POW10[usize::from(scale)] as f64
}

/// A decimal's integer at `scale`, nearest, half to even.
pub fn from_decimal(value: Decimal, scale: Scale) -> Option<i64> {
    let mut v = value.round_dp(u32::from(scale));
    v.rescale(u32::from(scale));
    i64::try_from(v.mantissa()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, scale: Scale) -> Fit {
        Number::parse(text.as_bytes()).expect("a number").at(scale)
    }

    #[test]
    fn plain_text_lands_on_its_scale() {
        assert_eq!(at("91234.56000000", 8), Fit::Exact(9_123_456_000_000));
        assert_eq!(at("0.00100000", 3), Fit::Exact(1));
        assert_eq!(at("-1.5", 1), Fit::Exact(-15));
        assert_eq!(at("7", 0), Fit::Exact(7));
        assert_eq!(at("0.12345", 4), Fit::Finer(5));
        assert_eq!(at("92233720368.54775808", 8), Fit::TooLarge);
        assert_eq!(at("92233720368.54775807", 8), Fit::Exact(i64::MAX));
    }

    #[test]
    fn odd_text_takes_the_slow_path_and_stays_exact_where_it_can() {
        assert_eq!(at("1e-7", 8), Fit::Exact(10));
        assert_eq!(at("-6.2604214e-11", 18), Fit::Exact(-62_604_214));
        assert_eq!(at("1.5E3", 0), Fit::Exact(1500));
        assert_eq!(at("+2.5", 1), Fit::Exact(25));
        let long = Number::parse(b"1234.5678901234567890123").expect("a number");
        assert!(!long.exact);
        assert_eq!(long.rounded(4), Some(12_345_679));
        let zeros = Number::parse(b"0.100000000000000000000000").expect("a number");
        assert!(zeros.exact);
        assert_eq!(zeros.at(1), Fit::Exact(1));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", "-", ".", "1.2.3", "abc", "1e", "0x10", "1e999", "NaN", "--1",
        ] {
            assert_eq!(Number::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn halves_round_to_even() {
        let n = |t: &str| Number::parse(t.as_bytes()).expect("a number");
        assert_eq!(n("0.25").rounded(1), Some(2));
        assert_eq!(n("0.35").rounded(1), Some(4));
        assert_eq!(n("0.251").rounded(1), Some(3));
        assert_eq!(rescale(25, 2, 1), Some((2, false)));
        assert_eq!(rescale(-35, 2, 1), Some((-4, false)));
        assert_eq!(rescale(20, 2, 1), Some((2, true)));
        assert_eq!(rescale(i64::MAX, 0, 1), None);
        assert_eq!(
            n("2434.19055334").rounded_wide(16),
            Some(24_341_905_533_400_000_000)
        );
        assert_eq!(n("-0.25").rounded_wide(1), Some(-2));
        assert_eq!(n("1234567890123").rounded_wide(36), None);
    }
}
