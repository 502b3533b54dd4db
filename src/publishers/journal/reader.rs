//! What does the journal say from number N on? Read by stores and by `tickforge signals`, while the
//! daemon writes or not; takes no lock and changes nothing. Memory is bounded by one window of a
//! file.

use super::format::{self, Parsed, Segment};
use std::io;
use std::path::{Path, PathBuf};

/// A signal as it was appended.
#[derive(Debug)]
pub struct Record<'a> {
    pub seq: u64,
    pub payload: &'a [u8],
}

pub struct Reader {
    dir: PathBuf,
    next_seq: u64,
    segment: Option<Segment>,
    offset: u64,
    skipped: u64,
    damaged: u64,
}

impl Reader {
    /// A reader that begins with signal `from_seq`, or the oldest that is there.
    pub fn open(dir: &Path, from_seq: u64) -> Reader {
        let next_seq = from_seq.max(1);
        Reader {
            dir: dir.to_owned(),
            next_seq,
            segment: None,
            offset: 0,
            skipped: 0,
            damaged: 0,
        }
    }

    /// Number of the signal that is read next.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Signals passed over because their segments were deleted.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Signals passed over because they cannot be read.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The next signal, up to number `end` (what was published; `u64::MAX` where that is not
    /// known); `None` where there is no more yet.
    pub fn next(&mut self, end: u64) -> io::Result<Option<Record<'_>>> {
        let Some(seq) = self.advance(end)? else {
            return Ok(None);
        };
        Ok(self.segment.as_ref().map(|s| Record {
            seq,
            payload: s.payload(),
        }))
    }

    fn advance(&mut self, end: u64) -> io::Result<Option<u64>> {
        while self.next_seq <= end {
            let Some(segment) = self.segment.as_mut() else {
                if self.find_segment()? {
                    continue;
                }
                return Ok(None);
            };
            match segment.parse(self.offset)? {
                Parsed::Record { seq, .. } if seq > end => {
                    // Numbers ascend: what was published and does not come before it is gone.
                    self.damaged += end + 1 - self.next_seq;
                    self.next_seq = end + 1;
                }
                Parsed::Record { seq, next } => {
                    self.offset = next;
                    if seq >= self.next_seq {
                        self.damaged += seq - self.next_seq;
                        self.next_seq = seq + 1;
                        return Ok(Some(seq));
                    }
                }
                nothing => {
                    if !self.go_on(nothing)? {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Opens the segment that holds the next signal, or the oldest one; false where there is none.
    fn find_segment(&mut self) -> io::Result<bool> {
        let firsts = format::segments(&self.dir)?;
        let holding = firsts.iter().rev().find(|first| **first <= self.next_seq);
        let Some(&first) = holding.or(firsts.first()) else {
            return Ok(false);
        };
        let opened = self.enter(first)?;
        if opened && first > self.next_seq {
            self.skipped += first - self.next_seq;
            self.next_seq = first;
        }
        Ok(true)
    }

    /// Finds a way past a place where no record stands: the next record after damage, or the next
    /// segment; false where there is none yet. The writer may be at work at that very place: what
    /// comes later is looked up first and the place again after it, for records become visible in
    /// order, and a segment that another one follows is final.
    fn go_on(&mut self, seen: Parsed) -> io::Result<bool> {
        let Some(segment) = self.segment.as_mut() else {
            return Ok(false);
        };
        let firsts = format::segments(&self.dir)?;
        let later = firsts.iter().find(|first| **first > segment.first);
        let damaged = seen == Parsed::Bad;
        let mut resumed = None;
        if damaged {
            resumed = segment.resync(self.offset, self.next_seq)?;
        }
        segment.forget();
        if segment.parse(self.offset)? != seen {
            return Ok(true);
        }
        if let Some(at) = resumed {
            self.offset = at;
            return Ok(true);
        }
        let Some(&first) = later else {
            return Ok(false);
        };
        if self.enter(first)? {
            let lost = first.saturating_sub(self.next_seq);
            let count = if damaged {
                &mut self.damaged
            } else {
                &mut self.skipped
            };
            *count += lost;
            self.next_seq += lost;
        }
        Ok(true)
    }

    /// False where the segment was deleted in between: what is there must be looked up again.
    fn enter(&mut self, first: u64) -> io::Result<bool> {
        match Segment::open(&self.dir, first) {
            Ok(segment) => {
                self.segment = Some(segment);
                self.offset = 0;
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::writer::Journal;
    use super::*;
    use crate::config::{JournalConfig, JournalSync};
    use std::time::Duration;

    fn journal(dir: &Path, max_bytes: u64, segment_bytes: u64) -> Journal {
        let sync = JournalSync::Every(Duration::ZERO);
        Journal::open(
            dir,
            &JournalConfig {
                sync,
                max_bytes,
                segment_bytes,
            },
        )
        .expect("opens")
        .0
    }

    fn put(journal: &mut Journal, n: u64) {
        assert_eq!(
            journal
                .append(format!("{{\"n\":{n}}}").as_bytes())
                .expect("appends"),
            n
        );
        journal.commit(false).expect("commits");
    }

    fn drain(reader: &mut Reader, end: u64) -> Vec<u64> {
        let mut out = Vec::new();
        while let Some(r) = reader.next(end).expect("reads") {
            assert_eq!(r.payload, format!("{{\"n\":{}}}", r.seq).as_bytes());
            out.push(r.seq);
        }
        out
    }

    #[test]
    fn follows_a_writer_on_another_thread_across_segments() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut writer = journal(dir.path(), 1 << 20, 600);
        let thread = std::thread::spawn(move || (1..=2000).for_each(|n| put(&mut writer, n)));
        let mut reader = Reader::open(dir.path(), 1);
        let mut seen = Vec::new();
        while seen.len() < 2000 {
            seen.extend(drain(&mut reader, u64::MAX));
        }
        thread.join().expect("the writer ends");
        assert!(seen.iter().copied().eq(1..=2000));
        assert_eq!((reader.skipped(), reader.damaged()), (0, 0));
    }

    #[test]
    fn begins_anywhere_and_never_passes_the_published_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut writer = journal(dir.path(), 1 << 20, 100);
        (1..=20).for_each(|n| put(&mut writer, n));
        let mut reader = Reader::open(dir.path(), 7);
        assert_eq!(drain(&mut reader, 6), [0; 0]);
        assert_eq!(drain(&mut reader, 9), [7, 8, 9]);
        assert_eq!(reader.next_seq(), 10);
        assert_eq!(drain(&mut reader, u64::MAX).last(), Some(&20));
        assert_eq!(drain(&mut Reader::open(dir.path(), 99), u64::MAX), [0; 0]);
        let empty = tempfile::tempdir().expect("a folder");
        assert_eq!(drain(&mut Reader::open(empty.path(), 1), 5), [0; 0]);
    }

    #[test]
    fn goes_on_at_the_oldest_when_segments_are_deleted_under_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut writer = journal(dir.path(), 2000, 200);
        let mut reader = Reader::open(dir.path(), 1);
        (1..=3).for_each(|n| put(&mut writer, n));
        assert_eq!(drain(&mut reader, 2), [1, 2]);
        for n in 4..=300 {
            writer.release(n - 1);
            put(&mut writer, n);
        }
        let seen = drain(&mut reader, u64::MAX);
        assert_eq!(seen.last(), Some(&300));
        assert_eq!(seen.len() as u64 + reader.skipped() + 2, 300);
        assert!(reader.skipped() > 200);
        assert_eq!(reader.damaged(), 0);
    }

    #[test]
    fn damage_in_an_older_segment_costs_the_damaged_records() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut writer = journal(dir.path(), 1 << 20, 100);
        (1..=20).for_each(|n| put(&mut writer, n));
        let second = format::segments(dir.path()).expect("lists")[1];
        let path = format::segment_path(dir.path(), second);
        let mut image = std::fs::read(&path).expect("reads");
        image[0] ^= 0xff; // the length itself: the end of the record is not known
        std::fs::write(&path, &image).expect("writes");
        let mut reader = Reader::open(dir.path(), 1);
        let seen = drain(&mut reader, 20);
        assert!((1..=20).filter(|n| *n != second).eq(seen));
        assert_eq!(reader.damaged(), 1);
        let mut reader = Reader::open(dir.path(), second);
        assert_eq!(
            drain(&mut reader, second),
            [0; 0],
            "it is gone, and that is known"
        );
        assert_eq!((reader.next_seq(), reader.damaged()), (second + 1, 1));
        std::fs::write(&path, b"nothing to be read here").expect("writes");
        let third = format::segments(dir.path()).expect("lists")[2];
        let mut reader = Reader::open(dir.path(), 1);
        assert!((1..second).chain(third..=20).eq(drain(&mut reader, 20)));
        assert_eq!(reader.damaged(), third - second);
    }
}
