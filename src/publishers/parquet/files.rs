//! How do rows get into files so that a kill at any point loses and doubles nothing?
//!
//! Segments of an hour are numbered from 1; a file's name says which it holds: `segment-000007` is
//! number 7, `segment-000001-000060` is 1 to 60. Every file is written as `….tmp`, synced, then
//! renamed: under its own name it is complete.
//!
//! A merge writes the numbers it holds into one file, renames it, and only then deletes the parts.
//! A kill before the rename leaves the parts (the `.tmp` goes at the next start); a kill after it
//! leaves parts whose numbers lie within the merged file's, which is how [`recover`] knows to
//! delete them, and how a reader that comes in between knows to pass over them. Number and content
//! never part: a number is given to one segment of its hour, once.

use crate::clock;
use anyhow::Context;
use polars::prelude::{DataFrame, ParallelStrategy, ParquetCompression, ParquetReader};
use polars::prelude::{ParquetWriter, SerReader};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows of a merge that are in memory at once.
const MERGE_ROWS: usize = 1 << 17;

/// The numbers of the segments that a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    first: u32,
    last: u32,
}

impl Span {
    fn parse(name: &str) -> Option<Span> {
        let numbers = name.strip_prefix("segment-")?.strip_suffix(".parquet")?;
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let span = Span {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
        };
        (span.first <= span.last && span.name() == name).then_some(span)
    }

    fn name(self) -> String {
        let Span { first, last } = self;
        if first == last {
            format!("segment-{first:06}.parquet")
        } else {
            format!("segment-{first:06}-{last:06}.parquet")
        }
    }

    fn within(self, other: Span) -> bool {
        self != other && other.first <= self.first && self.last <= other.last
    }
}

/// The folder of the hour that `ns` lies in.
pub fn hour_dir(root: &Path, table: &str, ns: i64) -> PathBuf {
    let text = clock::rfc3339(ns);
    let part = |range| text.get(range).unwrap_or("unknown").to_owned();
    root.join(table).join(part(0..10)).join(part(11..13))
}

/// The number of the hour's next segment; its folder is made.
pub fn next_number(hour: &Path) -> anyhow::Result<u32> {
    let context = || format!("a segment of {}", hour.display());
    std::fs::create_dir_all(hour).with_context(context)?;
    let spans = spans(hour).with_context(context)?;
    Ok(spans.iter().map(|s| s.last).max().unwrap_or(0) + 1)
}

/// Whether segment `number` is there, by itself or in a merged file.
pub fn holds(hour: &Path, number: u32) -> bool {
    let within = |span: &Span| (span.first..=span.last).contains(&number);
    spans(hour).is_ok_and(|spans| spans.iter().any(within))
}

/// Writes `frame` as the hour's segment `number`.
pub fn write_segment(hour: &Path, number: u32, frame: &mut DataFrame) -> anyhow::Result<()> {
    let span = Span {
        first: number,
        last: number,
    };
    publish(hour, span, |file| {
        writer(file).finish(frame)?;
        Ok(())
    })
    .with_context(|| format!("writing a segment of {}", hour.display()))
}

/// Merges the hour's files into one and returns its rows; `None` where there was nothing to merge,
/// or `abandon` was set.
pub fn merge(hour: &Path, abandon: &AtomicBool) -> anyhow::Result<Option<usize>> {
    let mut parts = clean(hour)?;
    parts.retain(|span| readable(hour, *span));
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return Ok(None);
    };
    if parts.len() < 2 {
        return Ok(None);
    }
    let span = Span {
        first: first.first,
        last: last.last,
    };
    let mut rows = 0;
    let result = publish(hour, span, |file| {
        let sample = reader(&hour.join(first.name()))?
            .with_slice(Some((0, 1)))
            .finish()?;
        let mut out = writer(file).batched(sample.schema())?;
        for part in &parts {
            rows += copy(&hour.join(part.name()), &mut out, abandon)?;
        }
        out.finish()?;
        Ok(())
    });
    match result {
        Err(error) if error.is::<Abandoned>() => return Ok(None),
        other => other.with_context(|| format!("merging {}", hour.display()))?,
    }
    for part in parts {
        std::fs::remove_file(hour.join(part.name()))?;
    }
    Ok(Some(rows))
}

/// Removes what a kill left behind, and lists the hours that have something to merge, each with the
/// time at which it is over.
pub fn recover(root: &Path) -> io::Result<Vec<(PathBuf, i64)>> {
    let mut unmerged = Vec::new();
    for table in folders(root)? {
        for day in folders(&table)? {
            for hour in folders(&day)? {
                remove_unfinished(&hour)?;
                if clean(&hour)?.len() > 1
                    && let Some(start_ns) = start_of(&hour)
                {
                    unmerged.push((hour, start_ns + super::HOUR_NS));
                }
            }
        }
    }
    Ok(unmerged)
}

/// The files of a table's hours from the one of `from_ns` on, in the order of their rows.
/// Unfinished ones, and those whose rows are in another, are left out.
pub fn hours(root: &Path, table: &str, from_ns: i64) -> io::Result<Vec<PathBuf>> {
    let mut hours = Vec::new();
    for day in folders(&root.join(table))? {
        for hour in folders(&day)? {
            let start_ns = start_of(&hour).filter(|start| start + super::HOUR_NS > from_ns);
            hours.extend(start_ns.map(|start_ns| (start_ns, hour)));
        }
    }
    hours.sort();
    let mut files = Vec::new();
    for (_, hour) in hours {
        let mut all = spans(&hour)?;
        all.sort_unstable();
        let merged = |span: &Span| all.iter().any(|other| span.within(*other));
        let whole = all.iter().filter(|span| !merged(span));
        files.extend(whole.map(|span| hour.join(span.name())));
    }
    Ok(files)
}

/// A whole file.
pub fn read(path: &Path) -> anyhow::Result<DataFrame> {
    Ok(reader(path)?.finish()?)
}

fn start_of(hour: &Path) -> Option<i64> {
    let day = hour.parent()?.file_name()?.to_str()?;
    clock::parse_rfc3339(&format!("{day}T{}:00:00Z", hour.file_name()?.to_str()?))
}

/// Deletes files whose rows are in a merged one; the rest, in order of numbers.
fn clean(hour: &Path) -> io::Result<Vec<Span>> {
    let mut all = spans(hour)?;
    all.sort_unstable();
    let (gone, kept): (Vec<Span>, Vec<Span>) = all
        .iter()
        .partition(|span| all.iter().any(|other| span.within(*other)));
    for span in gone {
        std::fs::remove_file(hour.join(span.name()))?;
    }
    Ok(kept)
}

/// Deletes what was being written when the process was killed.
fn remove_unfinished(hour: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(hour)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "tmp") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn spans(hour: &Path) -> io::Result<Vec<Span>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(hour)? {
        all.extend(entry?.file_name().to_str().and_then(Span::parse));
    }
    Ok(all)
}

fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            all.push(entry.path());
        }
    }
    Ok(all)
}

/// Writes a file under another name, syncs it, and gives it its own. On an error nothing is left.
fn publish(
    hour: &Path,
    span: Span,
    write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = hour.join(span.name());
    let temp = hour.join(format!("{}.tmp", span.name()));
    let result = (|| {
        let mut file = BufWriter::new(File::create(&temp)?);
        write(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        std::fs::rename(&temp, &path)?;
        File::open(hour)?.sync_all()?;
        Ok(())
    })();
    if result.is_err() {
        // Best effort: it is overwritten by the next try and deleted at the next start.
        let _ = std::fs::remove_file(&temp);
    }
    result
}

fn writer<W: Write>(to: W) -> ParquetWriter<W> {
    ParquetWriter::new(to)
        .with_compression(ParquetCompression::Zstd(None))
        .set_parallel(false)
}

fn reader(path: &Path) -> io::Result<ParquetReader<File>> {
    Ok(ParquetReader::new(File::open(path)?)
        .read_parallel(ParallelStrategy::None)
        .set_rechunk(true))
}

#[derive(Debug, thiserror::Error)]
#[error("the process ends")]
struct Abandoned;

fn copy<W: Write>(
    path: &Path,
    out: &mut polars::prelude::BatchedWriter<W>,
    abandon: &AtomicBool,
) -> anyhow::Result<usize> {
    let rows = reader(path)?.num_rows()?;
    for from in (0..rows).step_by(MERGE_ROWS) {
        if abandon.load(Ordering::Relaxed) {
            return Err(Abandoned.into());
        }
        let frame = reader(path)?
            .with_slice(Some((from, MERGE_ROWS.min(rows - from))))
            .finish()?;
        out.write_batch(&frame)?;
    }
    Ok(rows)
}

/// Whether a file has its footer. One that has not (a failing disk) is set aside, loudly, not
/// deleted.
fn readable(hour: &Path, span: Span) -> bool {
    let path = hour.join(span.name());
    let Err(error) = reader(&path)
        .map_err(anyhow::Error::from)
        .and_then(|mut r| Ok(r.num_rows()?))
    else {
        return true;
    };
    let aside = path.with_extension("parquet.damaged");
    tracing::error!(%error, file = %path.display(), "unreadable ticks are set aside");
    if let Err(error) = std::fs::rename(&path, aside) {
        tracing::error!(%error, "setting it aside failed");
    }
    false
}
