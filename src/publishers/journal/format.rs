//! What does a segment look like, byte by byte? Used by the writer's start and by readers; changes
//! nothing on disk.
//!
//! ```text
//!  0       4       8               16
//!  |length |crc32  |seq            |payload: `length` bytes of JSON
//!  little endian; the CRC is over length, seq and payload
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub const HEADER: usize = 16;
/// A longer payload is no signal: it is refused on writing and taken for damage on reading.
pub const MAX_PAYLOAD: usize = 1 << 20;
/// Read from disk at once.
const WINDOW: usize = 64 << 10;
/// How far ahead of the expected number a record found behind damage may be.
const MAX_JUMP: u64 = 1 << 32;

/// Appends one record to `out`.
pub fn encode(out: &mut Vec<u8>, seq: u64, payload: &[u8]) {
    let length = (payload.len() as u32).to_le_bytes();
    let seq = seq.to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&crc(&length, &seq, payload).to_le_bytes());
    out.extend_from_slice(&seq);
    out.extend_from_slice(payload);
}

fn crc(length: &[u8], seq: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(seq);
    hasher.update(payload);
    hasher.finalize()
}

/// The file of the segment whose first record is `first`.
pub fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.log"))
}

/// First numbers of all segments, ascending. Files of other names are left alone.
pub fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let first = name
            .to_str()
            .and_then(|n| n.strip_suffix(".log"))
            .filter(|n| n.len() == 20);
        all.extend(first.and_then(|n| n.parse::<u64>().ok()).filter(|n| *n > 0));
    }
    all.sort_unstable();
    Ok(all)
}

/// What stands at an offset of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole record; its payload is [`Segment::payload`].
    Record { seq: u64, next: u64 },
    /// The file ends exactly here.
    End,
    /// Cut short or damaged.
    Bad,
}

/// A segment being read through a window of bounded size.
pub struct Segment {
    file: File,
    pub first: u64,
    window: Vec<u8>,
    /// Where in the file the window begins.
    start: u64,
    payload: std::ops::Range<usize>,
}

impl Segment {
    pub fn open(dir: &Path, first: u64) -> io::Result<Segment> {
        let file = File::open(segment_path(dir, first))?;
        Ok(Segment {
            file,
            first,
            window: Vec::new(),
            start: 0,
            payload: 0..0,
        })
    }

    /// The payload of the record that [`Segment::parse`] returned last.
    pub fn payload(&self) -> &[u8] {
        &self.window[self.payload.clone()]
    }

    /// Reads from the disk again what is read next.
    pub fn forget(&mut self) {
        self.window.clear();
    }

    /// Reads the record at `offset`. What is not a whole record is looked up on disk again at the
    /// next call, for it may be in the middle of being written.
    pub fn parse(&mut self, offset: u64) -> io::Result<Parsed> {
        let parsed = self.parse_cached(offset)?;
        if !matches!(parsed, Parsed::Record { .. }) {
            self.forget();
        }
        Ok(parsed)
    }

    /// The first whole record after damage at `offset`, with a number above `expected`'s
    /// predecessor.
    pub fn resync(&mut self, offset: u64, expected: u64) -> io::Result<Option<u64>> {
        for at in offset + 1.. {
            let Some(header) = self.header(at)? else {
                return Ok(None);
            };
            let seq = u64_at(&header, 8);
            let plausible = seq >= expected && seq - expected < MAX_JUMP;
            if plausible && matches!(self.parse_cached(at)?, Parsed::Record { .. }) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn parse_cached(&mut self, offset: u64) -> io::Result<Parsed> {
        let Some(header) = self.header(offset)? else {
            let empty = self.bytes(offset, 1)?.is_none();
            return Ok(if empty { Parsed::End } else { Parsed::Bad });
        };
        let length = u32_at(&header, 0) as usize;
        if length == 0 || length > MAX_PAYLOAD {
            return Ok(Parsed::Bad);
        }
        let Some(record) = self.bytes(offset, HEADER + length)? else {
            return Ok(Parsed::Bad);
        };
        let (head, payload) = self.window[record.clone()].split_at(HEADER);
        if crc(&head[..4], &head[8..], payload) != u32_at(&header, 4) {
            return Ok(Parsed::Bad);
        }
        self.payload = record.start + HEADER..record.end;
        Ok(Parsed::Record {
            seq: u64_at(&header, 8),
            next: offset + (HEADER + length) as u64,
        })
    }

    fn header(&mut self, offset: u64) -> io::Result<Option<[u8; HEADER]>> {
        let Some(range) = self.bytes(offset, HEADER)? else {
            return Ok(None);
        };
        let mut header = [0; HEADER];
        header.copy_from_slice(&self.window[range]);
        Ok(Some(header))
    }

    /// Where in the window `length` bytes at `offset` stand; `None` where the file is too short.
    fn bytes(&mut self, offset: u64, length: usize) -> io::Result<Option<std::ops::Range<usize>>> {
        let held = self.start..self.start + self.window.len() as u64;
        if offset < held.start || offset + length as u64 > held.end {
            self.load(offset, length.max(WINDOW))?;
        }
        let from = (offset - self.start) as usize;
        Ok((from + length <= self.window.len()).then_some(from..from + length))
    }

    fn load(&mut self, offset: u64, length: usize) -> io::Result<()> {
        self.window.resize(length, 0);
        self.start = offset;
        let mut filled = 0;
        while filled < length {
            match self
                .file
                .read_at(&mut self.window[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.window.clear();
                    return Err(e);
                }
            }
        }
        self.window.truncate(filled);
        Ok(())
    }
}

fn u32_at(bytes: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEADER], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(dir: &Path, bytes: &[u8]) -> Segment {
        std::fs::write(segment_path(dir, 1), bytes).expect("writes");
        Segment::open(dir, 1).expect("opens")
    }

    #[test]
    fn records_come_back_and_every_flipped_bit_is_seen() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut bytes = Vec::new();
        encode(&mut bytes, 1, b"{\"a\":1}");
        let end = bytes.len() as u64;
        let mut s = segment(dir.path(), &bytes);
        assert_eq!(
            s.parse(0).expect("reads"),
            Parsed::Record { seq: 1, next: end }
        );
        assert_eq!(s.payload(), b"{\"a\":1}");
        assert_eq!(s.parse(end).expect("reads"), Parsed::End);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut s = segment(dir.path(), &flipped);
            assert_eq!(s.parse(0).expect("reads"), Parsed::Bad, "bit {bit}");
        }
    }

    #[test]
    fn resync_finds_the_next_whole_record_across_windows() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut bytes = Vec::new();
        encode(&mut bytes, 1, &vec![b'x'; WINDOW + 100]);
        let second = bytes.len() as u64;
        encode(&mut bytes, 2, b"{}");
        bytes[50] ^= 1;
        let mut s = segment(dir.path(), &bytes);
        assert_eq!(s.parse(0).expect("reads"), Parsed::Bad);
        assert_eq!(s.resync(0, 1).expect("reads"), Some(second));
        assert_eq!(s.resync(0, 3).expect("reads"), None);
    }

    #[test]
    fn only_segments_are_listed() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in [
            "00000000000000000007.log",
            "00000000000000000002.log",
            "lock",
            "7.log",
            "x.log",
        ] {
            std::fs::write(dir.path().join(name), b"").expect("writes");
        }
        assert_eq!(segments(dir.path()).expect("lists"), [2, 7]);
    }
}
