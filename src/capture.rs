//! How raw traffic is kept on disk: one JSON object a line, in the order of processing.
//!
//! [`Reader`] streams a capture, [`Writer`] makes one; both take plain files and, by the extension,
//! zstd. Nothing here knows an exchange. A torn end (the recorder was killed) is a normal end; a
//! broken line in the middle is an error naming its place, after which reading can go on.
//! Called by the [`Recorder`]'s thread, and by replay, export, inspect and the simulator.

mod frames;
pub mod mark;
mod recorder;

pub use frames::{Batch, Batches, Item};
pub use recorder::Recorder;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Longer lines are refused: no exchange's answer comes near it.
const MAX_LINE: usize = 64 << 20;

/// Written lines reach the file after this long at most, as long as lines or [`Writer::tick`] come.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dir {
    /// A WebSocket was opened at `url`.
    Connect,
    /// We sent `raw`.
    Send,
    /// `raw` or `b64` arrived.
    Recv,
    /// `url` was answered by `raw` or `b64`.
    Http,
    Disconnect,
    /// The ingest thread decided something by its clock (stale, resync, drop): `mark` and `why`.
    Mark,
}

/// One line of a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it arrived, ns since the epoch.
    pub t: i64,
    /// The connection's name.
    pub conn: String,
    pub dir: Dir,
    /// Ordinal among the `recv` lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// HTTP status, where it was not 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The exact text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// A binary frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b64: Option<String>,
    /// What was decided, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The native symbol that a mark is about; the whole connection where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// Why it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Why a line has no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    #[error("it has neither \"raw\" nor \"b64\"")]
    Missing,
    #[error("its \"b64\" is not base64")]
    Base64,
}

impl Line {
    /// A line with nothing but its head; the caller fills in what it has.
    pub fn new(t: i64, conn: impl Into<String>, dir: Dir) -> Line {
        Line {
            t,
            conn: conn.into(),
            dir,
            n: None,
            url: None,
            status: None,
            raw: None,
            b64: None,
            mark: None,
            symbol: None,
            why: None,
        }
    }

    /// The same line carrying `bytes`: as text where they are UTF-8 and `binary` is not set.
    #[must_use]
    pub fn with_payload(mut self, bytes: &[u8], binary: bool) -> Line {
        match std::str::from_utf8(bytes) {
            Ok(text) if !binary => self.raw = Some(text.to_owned()),
            _ => self.b64 = Some(BASE64.encode(bytes)),
        }
        self
    }

    #[must_use]
    pub fn with_url(mut self, url: impl Into<String>) -> Line {
        self.url = Some(url.into());
        self
    }

    #[must_use]
    pub fn with_text(mut self, text: &str) -> Line {
        self.raw = Some(text.to_owned());
        self
    }

    /// What was decided, about which native symbol (`""` = the whole connection), and why.
    #[must_use]
    pub fn with_mark(mut self, mark: &str, symbol: &str, why: &str) -> Line {
        self.mark = Some(mark.to_owned());
        self.symbol = (!symbol.is_empty()).then(|| symbol.to_owned());
        self.why = Some(why.to_owned());
        self
    }

    /// The bytes as they came over the wire.
    pub fn payload(&self) -> Result<Cow<'_, [u8]>, PayloadError> {
        match (&self.raw, &self.b64) {
            (Some(text), _) => Ok(Cow::Borrowed(text.as_bytes())),
            (None, Some(text)) => BASE64
                .decode(text)
                .map(Cow::Owned)
                .map_err(|_| PayloadError::Base64),
            (None, None) => Err(PayloadError::Missing),
        }
    }
}

/// A part of a capture that cannot be used. After all but [`Fault::Read`] the reader can go on.
#[derive(Debug, thiserror::Error)]
#[error("capture {}, line {line}: {fault}", path.display())]
pub struct CaptureError {
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    pub fault: Fault,
}

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("not a capture line ({0}); remove the line, or record again if there are many")]
    Syntax(serde_json::Error),
    #[error("longer than 64 MiB; is this a capture? remove the line if it is")]
    TooLong,
    #[error("cannot read on ({0}); the file is damaged here: copy it again, or use what precedes")]
    Read(io::Error),
}

/// Streams a capture: an iterator of numbered lines.
pub struct Reader {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
    line: usize,
    torn: bool,
    ended: bool,
}

/// What reading up to the next line feed came to.
enum Chunk {
    Line,
    TooLong,
    /// The end; what is in the buffer has no line feed.
    End,
}

impl Reader {
    pub fn open(path: impl AsRef<Path>) -> anyhow::Result<Reader> {
        let path = path.as_ref();
        let file = File::open(path).with_context(|| {
            format!(
                "capture {}: cannot open; is the path right?",
                path.display()
            )
        })?;
        let input: Box<dyn BufRead + Send> = if is_zst(path) {
            let decoder = zstd::Decoder::new(file)
                .with_context(|| format!("capture {}: cannot start zstd", path.display()))?;
            // Little at a time: what one call has unpacked is lost where it comes to a damage.
            Box::new(BufReader::with_capacity(4 << 10, decoder))
        } else {
            Box::new(BufReader::with_capacity(256 << 10, file))
        };
        let (buffer, path) = (Vec::with_capacity(64 << 10), path.to_owned());
        Ok(Reader {
            path,
            input,
            buffer,
            line: 0,
            torn: false,
            ended: false,
        })
    }

    /// Whether the end was torn off; known once the iterator has ended.
    pub fn torn(&self) -> bool {
        self.torn
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills the buffer up to the next line feed, which is left out.
    fn read_line(&mut self) -> io::Result<Chunk> {
        self.buffer.clear();
        let mut too_long = false;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // A frame of zstd without its end: the recorder was killed.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    self.torn = true;
                    return Ok(Chunk::End);
                }
                Err(e) => return Err(e),
            };
            if available.is_empty() {
                return Ok(Chunk::End);
            }
            let end = memchr::memchr(b'\n', available);
            let part = &available[..end.unwrap_or(available.len())];
            too_long |= self.buffer.len() + part.len() > MAX_LINE;
            if !too_long {
                self.buffer.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(if too_long {
                    Chunk::TooLong
                } else {
                    Chunk::Line
                });
            }
        }
    }

    fn error(&self, fault: Fault) -> CaptureError {
        CaptureError {
            path: self.path.clone(),
            line: self.line,
            fault,
        }
    }

    /// The last line of a file that does not end with a line feed: whole, or torn.
    fn last(&mut self) -> Option<(usize, Line)> {
        self.ended = true;
        if self.buffer.trim_ascii().is_empty() {
            return None;
        }
        match serde_json::from_slice(&self.buffer) {
            Ok(line) => Some((self.line, line)),
            Err(_) => {
                self.torn = true;
                None
            }
        }
    }
}

impl Iterator for Reader {
    type Item = Result<(usize, Line), CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            self.line += 1;
            match self.read_line() {
                Ok(Chunk::Line) if self.buffer.trim_ascii().is_empty() => {}
                Ok(Chunk::Line) => {
                    let line = serde_json::from_slice(&self.buffer);
                    let line = line.map_err(|e| self.error(Fault::Syntax(e)));
                    return Some(line.map(|line| (self.line, line)));
                }
                Ok(Chunk::TooLong) => return Some(Err(self.error(Fault::TooLong))),
                Ok(Chunk::End) => return self.last().map(Ok),
                Err(e) => {
                    self.ended = true;
                    return Some(Err(self.error(Fault::Read(e))));
                }
            }
        }
        None
    }
}

enum Output {
    Plain(BufWriter<File>),
    Zst(zstd::Encoder<'static, BufWriter<File>>),
}

/// Writes a capture. What is dropped without [`Writer::finish`] has a torn end, which readers
/// accept.
pub struct Writer {
    path: PathBuf,
    output: Output,
    flushed: Instant,
    dirty: bool,
}

impl Writer {
    pub fn create(path: impl AsRef<Path>) -> anyhow::Result<Writer> {
        let path = path.as_ref();
        let file = File::create(path).with_context(|| {
            format!(
                "capture {}: cannot create; does its folder exist?",
                path.display()
            )
        })?;
        let file = BufWriter::with_capacity(64 << 10, file);
        let output = if is_zst(path) {
            let encoder = zstd::Encoder::new(file, 3)
                .with_context(|| format!("capture {}: cannot start zstd", path.display()))?;
            Output::Zst(encoder)
        } else {
            Output::Plain(file)
        };
        Ok(Writer {
            path: path.to_owned(),
            output,
            flushed: Instant::now(),
            dirty: false,
        })
    }

    pub fn write(&mut self, line: &Line) -> anyhow::Result<()> {
        let written = match &mut self.output {
            Output::Plain(file) => write_line(file, line),
            Output::Zst(file) => write_line(file, line),
        };
        written.with_context(|| self.advice())?;
        self.dirty = true;
        self.tick()
    }

    /// Flushes if it is time. To be called about every half second while no lines come, so that a
    /// kill loses at most a second.
    pub fn tick(&mut self) -> anyhow::Result<()> {
        if self.dirty && self.flushed.elapsed() >= FLUSH_EVERY {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands all that was written to the operating system; a reader can decode it from then on.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        let flushed = match &mut self.output {
            Output::Plain(file) => file.flush(),
            Output::Zst(file) => file.flush(),
        };
        (self.flushed, self.dirty) = (Instant::now(), false);
        flushed.with_context(|| self.advice())
    }

    /// Writes the end; the file is complete and on disk afterwards.
    pub fn finish(self) -> anyhow::Result<()> {
        let advice = self.advice();
        let end = || {
            let file = match self.output {
                Output::Plain(file) => file,
                Output::Zst(file) => file.finish()?,
            };
            file.into_inner()
                .map_err(io::IntoInnerError::into_error)?
                .sync_all()
        };
        end().with_context(|| advice)
    }

    fn advice(&self) -> String {
        format!(
            "capture {}: cannot write; is the disk full?",
            self.path.display()
        )
    }
}

fn write_line(output: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *output, line)?;
    output.write_all(b"\n")
}

fn is_zst(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("zst"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(n: u64) -> Line {
        let line = Line {
            n: Some(n),
            ..Line::new(1_000 + n as i64, "x.ws.1", Dir::Recv)
        };
        line.with_payload(
            format!("{{\"i\":{n},\"text\":\"q\\\"é\"}}").as_bytes(),
            false,
        )
    }

    /// Lines read, lines refused, and whether the end was torn.
    fn read(path: &Path) -> (Vec<u64>, Vec<usize>, bool) {
        let mut reader = Reader::open(path).expect("opens");
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for line in reader.by_ref() {
            match line {
                Ok((_, line)) => good.push(line.n.expect("numbered")),
                Err(e) => bad.push(e.line),
            }
        }
        (good, bad, reader.torn())
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("folder");
        for name in ["a.jsonl", "a.jsonl.zst"] {
            let path = dir.path().join(name);
            let mut writer = Writer::create(&path).expect("creates");
            let mut lines: Vec<Line> = (0..100).map(sample).collect();
            lines.push(Line::new(2, "b", Dir::Recv).with_payload(&[0, 159, 255], true));
            let mark = Line::new(3, "b", Dir::Mark);
            lines.push(Line {
                mark: Some("stale".into()),
                why: Some("no frame for 30 s".into()),
                ..mark
            });
            lines.iter().for_each(|l| writer.write(l).expect("writes"));
            writer.finish().expect("finishes");
            let back: Vec<Line> = Reader::open(&path)
                .expect("opens")
                .map(|l| l.expect("a line").1)
                .collect();
            assert_eq!(back, lines, "{name}");
            assert_eq!(
                back[100].payload().expect("decodes").as_ref(),
                &[0, 159, 255]
            );
            assert_eq!(back[101].payload(), Err(PayloadError::Missing));
        }
    }

    #[test]
    fn a_torn_end_is_an_end_wherever_it_is_torn() {
        let dir = tempfile::tempdir().expect("folder");
        for name in ["t.jsonl", "t.jsonl.zst"] {
            let path = dir.path().join(name);
            let mut writer = Writer::create(&path).expect("creates");
            for n in 0..50 {
                writer.write(&sample(n)).expect("writes");
                writer.flush().expect("flushes");
            }
            writer.finish().expect("finishes");
            let whole = std::fs::read(&path).expect("reads");
            for cut in (1..whole.len()).step_by(13) {
                std::fs::write(&path, &whole[..cut]).expect("writes");
                let (good, bad, _) = read(&path);
                assert_eq!(bad, [0usize; 0], "{name} cut at {cut}");
                assert_eq!(
                    good,
                    (0..good.len() as u64).collect::<Vec<_>>(),
                    "{name} at {cut}"
                );
                assert!(
                    good.len() as f64 > cut as f64 / whole.len() as f64 * 50.0 - 8.0,
                    "{cut}"
                );
            }
            std::fs::write(&path, &whole[..whole.len() - 9]).expect("writes");
            assert!(read(&path).2, "{name}");
            std::fs::write(&path, &whole).expect("writes");
            assert!(!read(&path).2, "{name}");
        }
    }

    #[test]
    fn an_unfinished_writer_keeps_what_was_flushed() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("k.jsonl.zst");
        let mut writer = Writer::create(&path).expect("creates");
        (0..20).for_each(|n| writer.write(&sample(n)).expect("writes"));
        writer.flush().expect("flushes");
        assert_eq!(read(&path), ((0..20).collect(), vec![], true));
        drop(writer);
    }

    #[test]
    fn a_broken_line_is_named_and_passed() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("b.jsonl");
        let good = |n| serde_json::to_string(&sample(n)).expect("serialises");
        let text = format!("{}\n{{\"t\":oops\n\n{}\n{}", good(0), good(1), good(2));
        std::fs::write(&path, text).expect("writes");
        assert_eq!(read(&path), (vec![0, 1, 2], vec![2], false));
        let error = Reader::open(&path)
            .expect("opens")
            .nth(1)
            .expect("a line")
            .expect_err("broken");
        let text = error.to_string();
        assert!(
            text.contains("b.jsonl, line 2") && text.contains("remove the line"),
            "{text}"
        );
    }

    #[test]
    fn damage_inside_zstd_is_an_error_and_the_end() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("d.jsonl.zst");
        let mut writer = Writer::create(&path).expect("creates");
        for n in 0..200 {
            writer.write(&sample(n)).expect("writes");
            writer.flush().expect("flushes");
        }
        writer.finish().expect("finishes");
        let mut bytes = std::fs::read(&path).expect("reads");
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0xff);
        std::fs::write(&path, bytes).expect("writes");
        let (good, bad, torn) = read(&path);
        assert!(
            good.len() < 200 && bad.len() == 1 && !torn,
            "{} {bad:?}",
            good.len()
        );
    }
}
