//! HOT PATH. RFC 3339 text becomes ns since the Unix epoch.
//!
//! The layout that exchanges send (`2026-11-22T10:00:00.123456Z`, 0 to 9 digits of fraction) is
//! read in place; any other RFC 3339 text takes the slow path to the same answer. Reads no clock.
//! Called by decoders on the ingest thread. Budget: under 10 ns.

/// Ns since the epoch; 0 for year 1, by which exchanges say that they have no time. `None` where
/// the text is no RFC 3339 time, or one that no `i64` of ns can hold.
#[inline]
pub fn parse(text: &[u8]) -> Option<i64> {
    match usual(text) {
        Some(ns) => Some(ns),
        None => unusual(text),
    }
}

#[inline]
fn usual(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_at_checked(19)?;
    let separators = [head[4], head[7], head[10], head[13], head[16]];
    if separators != *b"--T::" {
        return None;
    }
    let (year, month, day) = (
        two(head, 0)? * 100 + two(head, 2)?,
        two(head, 5)?,
        two(head, 8)?,
    );
    let (hour, minute, second) = (two(head, 11)?, two(head, 14)?, two(head, 17)?);
    // Whole years that fit an i64 of ns; each month's days are counted below.
    if !(1970..2262).contains(&year) || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    if day > days_of_month(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000_000 + fraction_ns(tail)?)
}

/// Two digits at `i`.
#[inline(always)]
fn two(text: &[u8], i: usize) -> Option<i64> {
    let (a, b) = (text[i].wrapping_sub(b'0'), text[i + 1].wrapping_sub(b'0'));
    (a < 10 && b < 10).then_some(i64::from(a) * 10 + i64::from(b))
}

/// `.123Z` or `Z`, in ns.
#[inline(always)]
fn fraction_ns(tail: &[u8]) -> Option<i64> {
    let Some(digits) = tail.strip_suffix(b"Z")?.strip_prefix(b".") else {
        return (tail.len() == 1).then_some(0);
    };
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut ns = 0;
    for &c in digits {
        let d = c.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        ns = ns * 10 + i64::from(d);
    }
    const SCALE: [i64; 10] = [
        1_000_000_000,
        100_000_000,
        10_000_000,
        1_000_000,
        100_000,
        10_000,
        1_000,
        100,
        10,
        1,
    ];
    Some(ns * SCALE[digits.len()])
}

#[inline(always)]
fn days_of_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar; a year begins in March here, so that the leap
/// day is its last (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
#[inline(always)]
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cold]
fn unusual(text: &[u8]) -> Option<i64> {
    if text.starts_with(b"0001-01-01T") {
        return Some(0);
    }
    crate::clock::parse_rfc3339(std::str::from_utf8(text).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_of_exchanges_are_read_exactly() {
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000000001Z", 1),
            ("2026-11-22T10:00:00.123456Z", 1_795_341_600_123_456_000),
            ("2026-11-22T10:00:00.0Z", 1_795_341_600_000_000_000),
            ("2026-11-22T10:00:00.5Z", 1_795_341_600_500_000_000),
            ("2024-02-29T23:59:59.999999999Z", 1_709_251_199_999_999_999),
            ("2000-03-01T00:00:00Z", 951_868_800_000_000_000),
            ("2261-12-31T23:59:59Z", 9_214_646_399_000_000_000),
            ("0001-01-01T00:00:00.000000Z", 0),
            ("0001-01-01T00:00:00Z", 0),
            // The slow path.
            (
                "2026-11-22T11:00:00.123456+01:00",
                1_795_341_600_123_456_000,
            ),
            ("2026-11-22t10:00:00z", 1_795_341_600_000_000_000),
            ("1969-12-31T23:59:59Z", -1_000_000_000),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(ns), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "Z",
            "2026-11-22",
            "2026-11-22T10:00:00",
            "2026-11-22T10:00:00.Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:60:00Z",
            "2026-11-22T10:00:0xZ",
            "2026-11-22T10:00:00.12a4Z",
            "2500-01-01T00:00:00Z",
            "2026/11/22T10:00:00Z",
            "2026-11-22T10:00:00.123Zjunk",
            "now",
            "2026-11-2\u{e9}T10:00:00Z",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_comes_back(ns in 0i64..9_214_646_400_000_000_000) {
            let text = crate::clock::rfc3339(ns);
            prop_assert_eq!(usual(text.as_bytes()), Some(ns), "{}", text);
        }
    }
}
