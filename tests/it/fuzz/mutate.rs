//! How a well-formed input is damaged: bytes, JSON values and fields, whole lines. Every draw comes
//! from a seeded generator, so that a seed says what was done.

use std::ops::Range;

/// SplitMix64: small, seeded, and good enough to choose by.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A range of at most `longest` within `0..length`.
    fn range(&mut self, length: usize, longest: usize) -> Range<usize> {
        if length == 0 {
            return 0..0;
        }
        let start = self.below(length);
        start..start + self.below(longest.min(length - start) + 1)
    }
}

/// Numbers at and beyond every limit that a decoder has, and texts that only look like numbers.
const NUMBERS: [&str; 44] = [
    "0",
    "-0",
    "1",
    "-1",
    "0.0",
    "00",
    "01",
    ".5",
    "5.",
    "+1",
    "1e5",
    "1E-8",
    "1e-64",
    "1e64",
    "1e400",
    "-1e-400",
    "1e99999999999",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "123456789012345678901234567890123456789012345678901234567890",
    "0.00000000000000000000000000000000000000000001",
    "0.123456789012345678",
    "0.001123456789012345678",
    "92233720368.54775807",
    "92233720368.54775808",
    "922337203685.4775807",
    "100000",
    "10000000000",
    "1.123456789",
    "0.1234567895",
    "NaN",
    "Infinity",
    "null",
    "true",
    "1_000",
    "0x10",
    "1.2.3",
];

/// Values of any other kind, texts that a lenient reader trips over.
const VALUES: [&str; 24] = [
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "\"\"",
    "\"\\\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "[[]]",
    "[[],[]]",
    "[\"1\"]",
    "[\"1\",\"2\",\"3\"]",
    "[1,2]",
    "{\"a\":{}}",
    "\"snapshot\"",
    "\"update\"",
    "\"buy\"",
    "-",
    "\"2026-11-22T10:00:00.123456Z\"",
    "\"9999-12-31T23:59:59Z\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"2026-02-30T24:61:61Z\"",
];

/// Bytes that are no UTF-8: a lone continuation, an overlong slash, a surrogate, a torn sequence.
const NOT_UTF8: [&[u8]; 6] = [
    b"\x80",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98",
    b"\xff",
    b"\xfe",
];

/// One to six changes to `input`; `other` is another input to take parts of.
pub fn mutate(input: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let changes = 1 + rng.below(3) * rng.below(3) + rng.below(2);
    for _ in 0..changes {
        match rng.below(20) {
            0 => flip(&mut bytes, rng),
            1 => change_range(&mut bytes, rng),
            2 => splice(&mut bytes, other, rng),
            3 if rng.below(4) == 0 => bytes.truncate(rng.below(bytes.len() + 1)),
            3 => tear_line(&mut bytes, rng),
            4..7 => lines(&mut bytes, other, rng),
            7..12 => word(&mut bytes, rng),
            12..14 => borrow_word(&mut bytes, other, rng),
            14..18 => member(&mut bytes, rng),
            18 => nest(&mut bytes, rng),
            _ => strange_text(&mut bytes, rng),
        }
    }
    bytes.truncate(MAX_INPUT);
    bytes
}

/// Longer inputs are cut.
const MAX_INPUT: usize = 256 << 10;

fn replace(bytes: &mut Vec<u8>, range: Range<usize>, with: &[u8]) {
    bytes.splice(range, with.iter().copied());
}

fn flip(bytes: &mut [u8], rng: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.below(bytes.len());
    bytes[at] = match rng.below(4) {
        0 => bytes[at] ^ (1 << rng.below(8)),
        1 => bytes[at].wrapping_add(1),
        2 => rng.next() as u8,
        _ => *rng.pick(b"0123456789.,:\"{}[]-+eE\\ \n\0"),
    };
}

/// Removes, doubles, moves or fills some bytes.
fn change_range(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let range = rng.range(bytes.len(), 64);
    match rng.below(4) {
        0 => replace(bytes, range, b""),
        1 => {
            let part = bytes[range.clone()].to_vec();
            replace(bytes, range.end..range.end, &part);
        }
        2 => {
            let part = bytes[range.clone()].to_vec();
            replace(bytes, range, b"");
            let at = rng.below(bytes.len() + 1);
            replace(bytes, at..at, &part);
        }
        _ => {
            let fill = *rng.pick(&[0u8, 0xff, b'0', b'9', b' ', b'[']);
            bytes[range].fill(fill);
        }
    }
}

/// The beginning of one and the end of another, or a part of another in the middle.
fn splice(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let at = rng.below(bytes.len() + 1);
    if rng.below(2) == 0 {
        bytes.truncate(at);
        bytes.extend_from_slice(&other[rng.below(other.len() + 1)..]);
    } else {
        let range = rng.range(other.len(), 256);
        replace(bytes, at..at, &other[range]);
    }
}

fn line_ranges(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut all = Vec::new();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        all.push(start..start + line.len());
        start += line.len();
    }
    all
}

fn tear_line(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let all = line_ranges(bytes);
    if let Some(line) = all.get(rng.below(all.len().max(1))).cloned() {
        let keep = line.start + rng.below(line.len());
        replace(bytes, keep..line.end, b"\n");
    }
}

/// Removes, doubles or swaps lines, or takes one from another input.
fn lines(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let all = line_ranges(bytes);
    if all.is_empty() {
        return;
    }
    let one = rng.pick(&all).clone();
    let text = bytes[one.clone()].to_vec();
    match rng.below(4) {
        0 => replace(bytes, one, b""),
        1 => {
            let at = rng.pick(&all).start;
            replace(bytes, at..at, &text);
        }
        2 => {
            let two = rng.pick(&all).clone();
            let (first, second) = if one.start < two.start {
                (one, two)
            } else {
                (two, one)
            };
            let (a, b) = (
                bytes[first.clone()].to_vec(),
                bytes[second.clone()].to_vec(),
            );
            replace(bytes, second, &a);
            replace(bytes, first, &b);
        }
        _ => {
            let theirs = line_ranges(other);
            if !theirs.is_empty() {
                let line = rng.pick(&theirs).clone();
                replace(bytes, one.start..one.start, &other[line]);
            }
        }
    }
}

/// The run of letters, digits, signs and points at `at`: a number, or a word of a text.
fn word_at(bytes: &[u8], at: usize) -> Range<usize> {
    let part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'_');
    let start = bytes[..at]
        .iter()
        .rposition(|b| !part(b))
        .map_or(0, |i| i + 1);
    let end = bytes[at..]
        .iter()
        .position(|b| !part(b))
        .map_or(bytes.len(), |i| at + i);
    start..end.max(start)
}

/// A number or word becomes an extreme one, a neighbour, longer, empty.
fn word(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let range = word_at(bytes, rng.below(bytes.len()));
    let old = bytes[range.clone()].to_vec();
    let number = std::str::from_utf8(&old)
        .ok()
        .and_then(|t| t.parse::<i128>().ok());
    let new = match (rng.below(9), number) {
        (0..4, _) => rng.pick(&NUMBERS).as_bytes().to_vec(),
        (4..6, Some(n)) => (n + rng.below(5) as i128 - 2).to_string().into_bytes(),
        (6, _) => [&old[..], &vec![*rng.pick(b"0159x"); rng.below(40)]].concat(),
        (7, _) => {
            let mut text = old;
            let at = rng.below(text.len() + 1);
            text.insert(at, *rng.pick(b".-e0 5"));
            text
        }
        (8, _) if rng.below(8) == 0 => vec![*rng.pick(b"a1 \t"); rng.below(20_000)],
        _ => Vec::new(),
    };
    replace(bytes, range, &new);
}

/// A word becomes another one of these inputs.
fn borrow_word(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let from = if rng.below(2) == 0 {
        bytes.clone()
    } else {
        other.to_vec()
    };
    if bytes.is_empty() || from.is_empty() {
        return;
    }
    let theirs = word_at(&from, rng.below(from.len()));
    let ours = word_at(bytes, rng.below(bytes.len()));
    replace(bytes, ours, &from[theirs]);
}

/// A random object or array: its members, between its commas, and its end.
fn members(bytes: &[u8], rng: &mut Rng) -> Option<Vec<Range<usize>>> {
    let opens = |b: &u8| matches!(b, b'{' | b'[');
    let from = rng.below(bytes.len().max(1));
    let open = bytes[from.min(bytes.len())..]
        .iter()
        .position(opens)
        .map(|i| from + i)?;
    let (mut depth, mut quoted, mut escaped, mut start) = (0, false, false, open + 1);
    let mut all = Vec::new();
    for (i, b) in bytes.iter().enumerate().skip(open) {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    all.push(start..i);
                    return (start < i || all.len() > 1).then_some(all);
                }
            }
            b',' if depth == 1 => {
                all.push(start..i);
                start = i + 1;
            }
            _ => {}
        }
    }
    None
}

/// Removes, doubles, swaps or multiplies members of an object or array, or changes a value's kind.
fn member(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let Some(all) = members(bytes, rng) else {
        return;
    };
    let one = rng.pick(&all).clone();
    let text = bytes[one.clone()].to_vec();
    match rng.below(6) {
        0 if one.end < bytes.len() && bytes[one.end] == b',' => {
            replace(bytes, one.start..one.end + 1, b"")
        }
        0 => replace(bytes, one.start - usize::from(all.len() > 1)..one.end, b""),
        1 => replace(bytes, one.end..one.end, &[b",", &text[..]].concat()),
        2 => {
            let two = rng.pick(&all).clone();
            let (first, second) = if one.start < two.start {
                (one, two)
            } else {
                (two, one)
            };
            let (a, b) = (
                bytes[first.clone()].to_vec(),
                bytes[second.clone()].to_vec(),
            );
            replace(bytes, second, &a);
            replace(bytes, first, &b);
        }
        3 if rng.below(8) == 0 => {
            let many = [b",", &text[..]].concat().repeat(1 + rng.below(2_000));
            replace(bytes, one.end..one.end, &many[..many.len().min(64 << 10)]);
        }
        3 => replace(bytes, one.start..one.start, b"\"x\":[1,{\"y\":null}],"),
        _ => {
            let value = text.iter().position(|b| *b == b':').map_or(0, |i| i + 1);
            let new = *rng.pick(&VALUES);
            replace(bytes, one.start + value..one.end, new.as_bytes());
        }
    }
}

/// Brackets deep enough for any recursion, closed or not.
fn nest(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let depth = *rng.pick(&[3, 130, 1_100, 30_000]);
    let at = rng.below(bytes.len() + 1);
    let (open, close) = *rng.pick(&[("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")]);
    let depth = if rng.below(4) == 0 {
        depth
    } else {
        depth.min(130)
    };
    let mut text = open.repeat(depth) + "1";
    if rng.below(2) == 0 {
        text += &close.repeat(depth);
    }
    replace(bytes, at..at, text.as_bytes());
}

/// Bytes that are no UTF-8, escapes, odd white space.
fn strange_text(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.below(bytes.len() + 1);
    match rng.below(4) {
        0 => replace(bytes, at..at, rng.pick::<&[u8]>(&NOT_UTF8)),
        1 => replace(bytes, at..at, "é😀\u{feff}\u{2028}".as_bytes()),
        2 if at < bytes.len() => {
            let escape = format!("\\u{:04x}", bytes[at]);
            replace(bytes, at..at + 1, escape.as_bytes());
        }
        _ => replace(
            bytes,
            at..at,
            rng.pick::<&[u8]>(&[&b" "[..], b"\t", b"\r", b"\\", b"\\n", b"\0"]),
        ),
    }
}
