//! HOT PATH. How does a replay read millions of frames a second? Many at a time: their bytes,
//! unescaped, in one buffer that is used again.
//!
//! A line in the layout that [`Writer`](super::Writer) gives to a text frame is read by a cursor
//! that checks every byte outside the frame; all others by serde. Budget: a third of a microsecond
//! for a frame of 200 bytes, decompression not counted.

use super::{CaptureError, Chunk, Dir, Fault, Line, Reader};
use crate::swar;
use std::collections::VecDeque;
use std::path::PathBuf;

/// Bytes of frames in one batch, about.
const BATCH_BYTES: usize = 256 << 10;
/// Items in one batch at most, so that a batch of short lines stays small, too.
const BATCH_ITEMS: usize = 4096;

/// One line of a capture within a [`Batch`].
#[derive(Debug)]
pub enum Item {
    /// A connection not met before: from here on it is known by the number of such items before
    /// this one.
    Connection(String),
    Frame {
        t: i64,
        /// Its ordinal among the received ones; -1 where the line does not say.
        n: i64,
        conn: u32,
        /// Where its bytes are in [`Batch::text`].
        from: usize,
        to: usize,
    },
    /// Anything but a received frame, and its line's number.
    Line(Box<Line>, usize),
    /// A line that is none, and where; the next one may be whole.
    Fault(CaptureError),
}

#[derive(Debug, Default)]
pub struct Batch {
    pub text: Vec<u8>,
    pub items: Vec<Item>,
}

impl Batch {
    #[inline]
    pub fn bytes(&self, from: usize, to: usize) -> &[u8] {
        &self.text[from..to]
    }
}

/// Reads files one after the other into batches.
pub struct Batches {
    files: VecDeque<PathBuf>,
    reader: Option<Reader>,
    names: Vec<String>,
    /// The number that the last line's connection has.
    last: usize,
}

impl Batches {
    /// Opens the first of `files`.
    pub fn open(files: &[PathBuf]) -> anyhow::Result<Batches> {
        let mut files: VecDeque<PathBuf> = files.iter().cloned().collect();
        let reader = files.pop_front().map(Reader::open).transpose()?;
        Ok(Batches {
            files,
            reader,
            names: Vec::new(),
            last: 0,
        })
    }

    /// Puts the next lines into `batch`, which is emptied first; false where there are none.
    pub fn fill(&mut self, batch: &mut Batch) -> anyhow::Result<bool> {
        batch.text.clear();
        batch.items.clear();
        while batch.text.len() < BATCH_BYTES && batch.items.len() < BATCH_ITEMS {
            let Some(reader) = &mut self.reader else {
                break;
            };
            match reader.advance() {
                Ok(true) => self.take(batch),
                Ok(false) => {
                    self.reader = self.files.pop_front().map(Reader::open).transpose()?;
                }
                Err(fault) => batch.items.push(Item::Fault(fault)),
            }
        }
        Ok(!batch.items.is_empty())
    }

    /// The line in the reader's buffer becomes an item.
    #[inline]
    fn take(&mut self, batch: &mut Batch) {
        let Some(reader) = &self.reader else { return };
        let from = batch.text.len();
        match usual(&reader.buffer, &mut batch.text) {
            Some(Usual { t, n, conn }) => {
                let known = self
                    .names
                    .get(self.last)
                    .is_some_and(|k| k.as_bytes() == conn);
                let conn = if known {
                    self.last
                } else {
                    number(&mut self.names, &String::from_utf8_lossy(conn), batch)
                };
                self.last = conn;
                batch.items.push(Item::Frame {
                    t,
                    n,
                    conn: conn as u32,
                    from,
                    to: batch.text.len(),
                });
            }
            None => {
                batch.text.truncate(from);
                self.take_unusual(batch);
            }
        }
    }

    #[cold]
    fn take_unusual(&mut self, batch: &mut Batch) {
        let Some(reader) = &self.reader else { return };
        let line: Line = match serde_json::from_slice(&reader.buffer) {
            Ok(line) => line,
            Err(e) => {
                let fault = reader.error(Fault::Syntax(e));
                return batch.items.push(Item::Fault(fault));
            }
        };
        let number_of_line = reader.line;
        self.last = number(&mut self.names, &line.conn, batch);
        if line.dir != Dir::Recv {
            return batch.items.push(Item::Line(Box::new(line), number_of_line));
        }
        let from = batch.text.len();
        match line.payload() {
            Ok(bytes) => batch.text.extend_from_slice(&bytes),
            Err(e) => {
                let fault = Fault::Syntax(serde::de::Error::custom(e));
                return batch.items.push(Item::Fault(reader.error(fault)));
            }
        }
        batch.items.push(Item::Frame {
            t: line.t,
            n: line.n.map_or(-1, |n| n as i64),
            conn: self.last as u32,
            from,
            to: batch.text.len(),
        });
    }
}

/// The number of a connection; a new one is announced.
#[cold]
fn number(names: &mut Vec<String>, name: &str, batch: &mut Batch) -> usize {
    if let Some(known) = names.iter().position(|n| n == name) {
        return known;
    }
    names.push(name.to_owned());
    batch.items.push(Item::Connection(name.to_owned()));
    names.len() - 1
}

impl Reader {
    /// Reads the next line that is not blank into the buffer; false at the end. A last line
    /// without its line feed is given if it is whole.
    fn advance(&mut self) -> Result<bool, CaptureError> {
        while !self.ended {
            self.line += 1;
            match self.read_line() {
                Ok(Chunk::Line) if self.buffer.trim_ascii().is_empty() => {}
                Ok(Chunk::Line) => return Ok(true),
                Ok(Chunk::TooLong) => return Err(self.error(Fault::TooLong)),
                Ok(Chunk::End) => return Ok(self.last().is_some()),
                Err(e) => {
                    self.ended = true;
                    return Err(self.error(Fault::Read(e)));
                }
            }
        }
        Ok(false)
    }
}

/// The head of a received text frame.
struct Usual<'a> {
    t: i64,
    n: i64,
    conn: &'a [u8],
}

/// `{"t":1,"conn":"x","dir":"recv","n":1,"raw":"…"}`, its frame unescaped behind `text`. `None`
/// where anything is otherwise; `text` is then to be cut back.
#[inline]
fn usual<'a>(line: &'a [u8], text: &mut Vec<u8>) -> Option<Usual<'a>> {
    let rest = line.strip_prefix(b"{\"t\":")?;
    let (t, rest) = digits(rest)?;
    let rest = rest.strip_prefix(b",\"conn\":\"")?;
    let end = memchr::memchr2(b'"', b'\\', rest)?;
    let (conn, rest) = rest.split_at(end);
    let rest = rest.strip_prefix(b"\",\"dir\":\"recv\",")?;
    let (n, rest) = match rest.strip_prefix(b"\"n\":") {
        Some(rest) => {
            let (n, rest) = digits(rest)?;
            (n, rest.strip_prefix(b",")?)
        }
        None => (-1, rest),
    };
    let raw = rest.strip_prefix(b"\"raw\":\"")?.strip_suffix(b"\"}")?;
    unescape(raw, text).then_some(Usual { t, n, conn })
}

/// A whole number of at most 18 digits.
#[inline]
fn digits(text: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0i64;
    let mut i = 0;
    while let Some(digit) = text
        .get(i)
        .map(|c| c.wrapping_sub(b'0'))
        .filter(|d| *d < 10)
    {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        i += 1;
    }
    // 19 digits of nanoseconds hold until the year 2262.
    (1..=19)
        .contains(&i)
        .then_some((value, &text[i..]))
        .filter(|(v, _)| *v >= 0)
}

/// Appends what a JSON string without its quotes says; false where it holds more than plain text
/// and escaped quotes, slashes and backslashes.
#[inline]
fn unescape(raw: &[u8], text: &mut Vec<u8>) -> bool {
    let start = text.len();
    text.resize(start + raw.len() + 8, 0);
    let out = &mut text[start..];
    let (mut i, mut o) = (0, 0);
    // Eight bytes at a time: copied first, then looked at.
    while let Some(chunk) = raw.get(i..i + 8).and_then(|c| <[u8; 8]>::try_from(c).ok()) {
        // An assignment, as `copy_from_slice` is a call for each eight bytes. There is room.
        let Some(place) = out[o..].first_chunk_mut() else {
            return false;
        };
        *place = chunk;
        let word = u64::from_le_bytes(chunk);
        let plain = swar::first(swar::equal(word, b'\\') | swar::equal(word, b'"'));
        (i, o) = (i + plain, o + plain);
        if plain == 8 {
            continue;
        }
        if !escape(raw, i, &mut out[o]) {
            return false;
        }
        (i, o) = (i + 2, o + 1);
    }
    while i < raw.len() {
        if matches!(raw[i], b'\\' | b'"') {
            if !escape(raw, i, &mut out[o]) {
                return false;
            }
            i += 1;
        } else {
            out[o] = raw[i];
        }
        (i, o) = (i + 1, o + 1);
    }
    text.truncate(start + o);
    true
}

#[inline(always)]
fn escape(raw: &[u8], at: usize, out: &mut u8) -> bool {
    match raw.get(at..at + 2) {
        Some([b'\\', c @ (b'"' | b'\\' | b'/')]) => {
            *out = *c;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Writer;
    use std::path::Path;

    /// Connection, time, ordinal, bytes.
    type Frame = (String, i64, i64, Vec<u8>);

    /// What the batches of a file hold, as lines.
    fn batched(path: &Path) -> (Vec<Frame>, Vec<Line>, Vec<usize>) {
        let mut batches = Batches::open(&[path.to_owned()]).expect("opens");
        let (mut batch, mut names) = (Batch::default(), Vec::new());
        let (mut frames, mut lines, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        while batches.fill(&mut batch).expect("reads") {
            for item in &batch.items {
                match item {
                    Item::Connection(name) => names.push(name.clone()),
                    Item::Frame {
                        t,
                        n,
                        conn,
                        from,
                        to,
                    } => {
                        let name: &String = &names[*conn as usize];
                        frames.push((name.clone(), *t, *n, batch.bytes(*from, *to).to_vec()));
                    }
                    Item::Line(line, _) => lines.push((**line).clone()),
                    Item::Fault(e) => faults.push(e.line),
                }
            }
        }
        (frames, lines, faults)
    }

    #[test]
    fn equals_the_complete_reader() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.jsonl.zst");
        let mut writer = Writer::create(&path).expect("creates");
        let texts = [
            r#"{"e":"trade","s":"BTCUSDT"}"#,
            r#"{"path":"a/b","back":"\\"}"#,
            "\"\\",
            "",
            "q",
            "näh \u{1F980} \u{7f}",
            "line\nfeed\ttab\u{1}",
            "12345678\"",
            "1234567\"8",
        ];
        for i in 0..20_000 {
            let text = texts[i % texts.len()];
            let mut line = Line::new(1_795_339_200_123_456_789 + i as i64, "b", Dir::Recv);
            line.conn = ["binance.ws.0", "k\"q", "coinbase.ws.1"][i / 3 % 3].to_owned();
            line.n = (i % 5 > 0).then_some(i as u64);
            line = line.with_payload(text.as_bytes(), i % 7 == 0);
            if i % 50 == 0 {
                line.dir = Dir::Http;
                line.url = Some("https://x".to_owned());
            }
            writer.write(&line).expect("writes");
        }
        writer.finish().expect("finishes");
        let (mut frames, mut lines) = (Vec::new(), Vec::new());
        for line in Reader::open(&path).expect("opens") {
            let (_, line) = line.expect("a line");
            if line.dir == Dir::Recv {
                let bytes = line.payload().expect("bytes").into_owned();
                frames.push((line.conn, line.t, line.n.map_or(-1, |n| n as i64), bytes));
            } else {
                lines.push(line);
            }
        }
        assert_eq!(batched(&path), (frames, lines, Vec::new()));
    }

    #[test]
    fn faults_are_named_and_the_rest_goes_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.jsonl");
        let good = r#"{"t":1,"conn":"x","dir":"recv","n":0,"raw":"{}"}"#;
        let none = r#"{"t":1,"conn":"x","dir":"recv","n":0}"#;
        let more = r#"{"t":1,"conn":"x","dir":"recv","n":0,"raw":"a","why":"b"}"#;
        let text = format!("{good}\nnot a line\n\n{none}\n{more}\n{good}\n{{\"t\":1,\"con");
        std::fs::write(&path, text).expect("writes");
        let (frames, _, faults) = batched(&path);
        let bytes: Vec<&[u8]> = frames.iter().map(|f| f.3.as_slice()).collect();
        assert_eq!(bytes, [b"{}".as_slice(), b"a", b"{}"]);
        assert_eq!(faults, [2, 4]);
    }
}
