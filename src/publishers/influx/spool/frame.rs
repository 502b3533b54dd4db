//! What does a file of the spool look like, byte by byte? One frame: lines of one moment, with the
//! instruments that they are of. Touches no disk.
//!
//! ```text
//!  0      4       8       12     16        20       24        28
//!  |magic |crc    |crc    |points|bytes of |bytes of|bytes of | table | body
//!  |TFSn  |head   |body   |      |table    |body    |it, plain|
//!  n is 1 to 4: the policy, from `realtime` to `long_term`
//!  little endian; the first CRC is over bytes 8 to the table's end
//!  table: for each instrument its lines (u32), its name's length (u16), its name
//!  body:  zstd of each line's place in the table (u32), then the text of all lines
//! ```
//! The table stands alone in front, so that what a lost file held can be counted without reading
//! the rest, and where the rest is torn.

use super::super::lines::{Lines, Tally};
use super::super::policy::Policy;
use std::collections::HashMap;
use std::sync::Arc;

pub const HEADER: usize = 28;
const MAGIC: [u8; 3] = *b"TFS";
/// More is no frame of ours: it is taken for damage.
const MAX_TABLE: usize = 16 << 20;
const MAX_PLAIN: usize = 1 << 30;
/// The fastest: lines of one market repeat themselves, a tenth remains.
const LEVEL: i32 = 1;

/// What a frame says of itself at its beginning.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub tally: Tally,
    /// Of the whole file.
    pub bytes: u64,
    body_crc: u32,
    plain: usize,
}

impl Head {
    pub fn points(&self) -> u64 {
        self.tally.iter().map(|(_, n)| n).sum()
    }
}

pub fn encode(lines: &Lines) -> std::io::Result<Vec<u8>> {
    let tally = lines.tally();
    let mut table = Vec::new();
    for (name, n) in &tally {
        let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
        table.extend_from_slice(&(*n as u32).to_le_bytes());
        table.extend_from_slice(&(name.len() as u16).to_le_bytes());
        table.extend_from_slice(name);
    }
    let plain = plain(lines, &tally);
    let body = zstd::bulk::compress(&plain, LEVEL)?;
    let mut out = Vec::with_capacity(HEADER + table.len() + body.len());
    out.extend_from_slice(&MAGIC);
    out.push(b'1' + lines.policy as u8);
    out.extend_from_slice(&[0; 4]);
    for word in [
        crc32fast::hash(&body),
        lines.len() as u32,
        table.len() as u32,
        body.len() as u32,
        plain.len() as u32,
    ] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&table);
    let crc = head_crc(&out);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

fn plain(lines: &Lines, tally: &Tally) -> Vec<u8> {
    let places: HashMap<_, _> = tally.iter().map(|(name, _)| name).zip(0u32..).collect();
    let all = 0..lines.len();
    let mut plain = Vec::new();
    for (owner, _) in lines.each_of(&all) {
        plain.extend_from_slice(&places[owner].to_le_bytes());
    }
    if !lines.is_empty() {
        plain.extend_from_slice(lines.text(&all));
    }
    plain
}

/// Of all that stands in front of the body, without itself.
fn head_crc(head: &[u8]) -> u32 {
    let crc = crc32fast::hash(&head[8..]);
    // Frames of `realtime` are as they were before there were others.
    match head[3] {
        b'1' => crc,
        policy => !crc ^ u32::from(policy),
    }
}

fn policy(head: &[u8]) -> Option<Policy> {
    let n = head.get(3)?.checked_sub(b'1')?;
    Policy::ALL.get(usize::from(n)).copied()
}

/// How many bytes header and table take; `None` where this is no frame.
pub fn head_bytes(header: &[u8]) -> Option<usize> {
    let table = word(header, 16)? as usize;
    let ours = header.starts_with(&MAGIC) && policy(header).is_some();
    (ours && table <= MAX_TABLE).then_some(HEADER + table)
}

/// Reads header and table; `None` where they are damaged.
pub fn decode_head(bytes: &[u8]) -> Option<Head> {
    let end = head_bytes(bytes)?;
    let (body, plain) = (word(bytes, 20)?, word(bytes, 24)? as usize);
    let sound = head_crc(bytes.get(..end)?) == word(bytes, 4)?;
    if !sound || plain > MAX_PLAIN {
        return None;
    }
    let mut table = &bytes[HEADER..end];
    let mut tally = Tally::new();
    while !table.is_empty() {
        let n = word(table, 0)?;
        let length = usize::from(u16::from_le_bytes([*table.get(4)?, *table.get(5)?]));
        let name = std::str::from_utf8(table.get(6..6 + length)?).ok()?;
        tally.push((name.into(), u64::from(n)));
        table = &table[6 + length..];
    }
    let head = Head {
        tally,
        bytes: end as u64 + u64::from(body),
        body_crc: word(bytes, 8)?,
        plain,
    };
    (head.points() == u64::from(word(bytes, 12)?)).then_some(head)
}

/// The lines of a whole file; `None` where it is damaged.
pub fn decode(bytes: &[u8]) -> Option<Lines> {
    let head = decode_head(bytes)?;
    let body = &bytes[head_bytes(bytes)?..];
    if bytes.len() as u64 != head.bytes || crc32fast::hash(body) != head.body_crc {
        return None;
    }
    let plain = zstd::bulk::decompress(body, head.plain).ok()?;
    let points = head.points() as usize;
    let (places, mut text) = plain.split_at_checked(points * 4)?;
    let names: Vec<&Arc<str>> = head.tally.iter().map(|(name, _)| name).collect();
    let mut lines = Lines::of(policy(bytes)?);
    for place in places.chunks_exact(4) {
        let name = names.get(word(place, 0)? as usize)?;
        let (line, rest) = text.split_at(memchr::memchr(b'\n', text)? + 1);
        lines.push(name, |out| out.extend_from_slice(line));
        text = rest;
    }
    text.is_empty().then_some(lines)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Lines `from..to`, of two instruments by turns.
    pub fn lines(numbers: std::ops::Range<u32>) -> Lines {
        let names: [Arc<str>; 2] = ["binance BTC/USDT".into(), "kraken 币安/EUR".into()];
        let mut lines = Lines::default();
        for n in numbers {
            let text = format!("market_data,symbol=x price=1 {n}\n");
            lines.push(&names[n as usize % 2], |out| {
                out.extend_from_slice(text.as_bytes())
            });
        }
        lines
    }

    #[test]
    fn lines_come_back_with_their_instruments() {
        for count in [0, 1, 2, 5_001] {
            let mut lines = lines(0..count);
            lines.policy = Policy::ALL[count as usize % 4];
            let bytes = encode(&lines).expect("encoded");
            let head = decode_head(&bytes).expect("a head");
            assert_eq!(
                (head.points(), head.bytes),
                (count.into(), bytes.len() as u64)
            );
            assert_eq!(head.tally, lines.tally());
            assert_eq!(decode(&bytes), Some(lines));
        }
        let many = lines(0..5_001);
        let text = many.text(&(0..5_001)).len();
        let bytes = encode(&many).expect("encoded").len();
        assert!(bytes * 4 < text, "{bytes} bytes of {text}");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let bytes = encode(&lines(0..7)).expect("encoded");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), None, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None, "cut at {end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(decode(&longer), None);
    }

    #[test]
    fn a_torn_body_still_says_what_was_in_it() {
        let bytes = encode(&lines(0..7)).expect("encoded");
        let head = decode_head(&bytes[..bytes.len() - 1]).expect("a head");
        assert_eq!((head.points(), head.tally[0].1), (7, 4));
    }
}
