//! How is a signal kept? [`Journal`] appends batches to the last segment, cuts back what failed,
//! and makes room when it is full. Owned by the journal thread; no other process can open the
//! folder.

use super::cursor::{self, Cursor};
use super::disk::{self, Disk, DiskFile, System};
use super::format::{self, Parsed, Segment};
use crate::config::JournalConfig;
use anyhow::Context;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a signal was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error(
        "the journal is full ({max_bytes} bytes) of signals that a store has not taken; is that \
         store up, and is journal.max_bytes right?"
    )]
    Full { max_bytes: u64 },
    #[error("journal at {dir}: {source}; is the disk full?")]
    Io { dir: PathBuf, source: io::Error },
}

/// What was found at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The last signal's number; 0 in a new journal.
    pub last_seq: u64,
    /// Bytes of the last segment: an unfinished record, cut off.
    pub torn_bytes: u64,
    /// Signals of the last segment that cannot be read although later ones can. Left where they
    /// are.
    pub damaged: u64,
    /// All segments.
    pub bytes: u64,
}

struct Closed {
    first: u64,
    bytes: u64,
}

pub struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Held until drop: the operating system lets go of it however the process ends.
    _lock: File,
    max_bytes: u64,
    segment_bytes: u64,
    closed: VecDeque<Closed>,
    closed_bytes: u64,
    /// The segment that grows: its first number, file, and whole records' bytes.
    first: u64,
    file: Arc<dyn DiskFile>,
    length: u64,
    /// Bytes may stand behind `length`: a write failed and could not be cut off yet.
    torn: bool,
    /// Cut off at start.
    torn_bytes: u64,
    /// Appended and not yet written.
    batch: Vec<u8>,
    /// Number of the next signal, and of the next one to be written.
    next_seq: u64,
    written_seq: u64,
    /// All stores have taken everything up to here.
    released: u64,
}

impl Journal {
    /// Opens the journal in `dir`, or begins one. Reads the last segment only.
    pub fn open(dir: &Path, config: &JournalConfig) -> anyhow::Result<(Journal, Opened)> {
        Journal::open_on(Arc::new(System), dir, config)
    }

    /// The same on another disk than the system's, for tests of power cuts.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: &JournalConfig,
    ) -> anyhow::Result<(Journal, Opened)> {
        let place = || format!("journal at {}", dir.display());
        disk::create_dirs(&*disk, dir).with_context(place)?;
        let lock = lock(dir)?;
        let mut firsts = format::segments(dir).with_context(place)?;
        let first = firsts.pop().unwrap_or(1);
        let mut closed = VecDeque::with_capacity(firsts.len());
        for first in firsts {
            let bytes = std::fs::metadata(format::segment_path(dir, first))
                .with_context(place)?
                .len();
            closed.push_back(Closed { first, bytes });
        }
        let path = format::segment_path(dir, first);
        let file = disk::open_named(&*disk, &path).with_context(place)?;
        let tail = scan(dir, first).with_context(place)?;
        let length = std::fs::metadata(&path).with_context(place)?.len();
        let torn_bytes = length.saturating_sub(tail.length);
        if torn_bytes > 0 {
            file.set_len(tail.length).with_context(place)?;
        }
        // What a killed process wrote last may stand in memory only. From here on it is served to
        // the stores, and with `before_publish` those get nothing that a power cut could take.
        file.sync_data().with_context(place)?;
        cursor::clamp_all(&disk, dir, tail.last_seq).with_context(place)?;
        let segment_bytes = config.segment_bytes.min(config.max_bytes / 4).max(1);
        let journal = Journal {
            disk,
            dir: dir.to_owned(),
            _lock: lock,
            max_bytes: config.max_bytes,
            segment_bytes,
            closed_bytes: closed.iter().map(|s| s.bytes).sum(),
            closed,
            first,
            file,
            length: tail.length,
            torn: false,
            torn_bytes,
            batch: Vec::new(),
            next_seq: tail.last_seq + 1,
            written_seq: tail.last_seq,
            released: 0,
        };
        let opened = Opened {
            last_seq: tail.last_seq,
            torn_bytes,
            damaged: tail.damaged,
            bytes: journal.bytes(),
        };
        if opened.torn_bytes > 0 || opened.damaged > 0 {
            tracing::warn!(
                torn_bytes,
                damaged = opened.damaged,
                after = opened.last_seq,
                "the journal's tail was torn (a kill or a power cut) and has been put in order"
            );
        }
        Ok((journal, opened))
    }

    /// Takes one signal (a JSON object) into the current batch and gives it its number, which holds
    /// once [`Journal::commit`] has succeeded.
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, AppendError> {
        if payload.is_empty() || payload.len() > format::MAX_PAYLOAD {
            return Err(self.io(io::Error::other(format!(
                "a signal of {} bytes",
                payload.len()
            ))));
        }
        self.make_room((format::HEADER + payload.len()) as u64)?;
        let seq = self.next_seq;
        format::encode(&mut self.batch, seq, payload);
        self.next_seq += 1;
        Ok(seq)
    }

    /// Writes the batch, to the disk itself where `durable`, else to the page cache, and returns
    /// the last number written. On an error none of the batch is kept and its numbers are given
    /// again.
    pub fn commit(&mut self, durable: bool) -> Result<u64, AppendError> {
        let mut result = self.write_batch(durable);
        // A full disk is relieved of what all stores have taken before a signal is refused.
        while result.as_ref().is_err_and(is_full) && self.relieve() {
            result = self.write_batch(durable);
        }
        self.batch.clear();
        match result {
            Ok(()) => {
                self.written_seq = self.next_seq - 1;
                Ok(self.written_seq)
            }
            Err(e) => {
                self.next_seq = self.written_seq + 1;
                self.torn = true;
                // What cannot be cut off now is cut off before the next write.
                let _ = self.cut();
                Err(self.io(e))
            }
        }
    }

    /// Waits until all that was written is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The file that grows, for syncing it elsewhere. Earlier segments are already on the disk.
    pub fn file(&self) -> Arc<dyn DiskFile> {
        Arc::clone(&self.file)
    }

    /// All stores have taken signals up to `seq`: their segments may go when room is needed.
    pub fn release(&mut self, seq: u64) {
        self.released = seq;
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A cursor beside this journal.
    pub fn cursor(&self, name: &str) -> Cursor {
        Cursor::open(Arc::clone(&self.disk), &self.dir, name)
    }

    /// The last number written.
    pub fn last_seq(&self) -> u64 {
        self.written_seq
    }

    /// Bytes of an unfinished record that were cut off at start.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Size of all segments, the current batch included.
    pub fn bytes(&self) -> u64 {
        self.closed_bytes + self.length + self.batch.len() as u64
    }

    /// Signals on disk.
    pub fn kept(&self) -> u64 {
        let oldest = self.closed.front().map_or(self.first, |s| s.first);
        self.written_seq + 1 - oldest
    }

    fn write_batch(&mut self, durable: bool) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if self.torn {
            self.cut()?;
        }
        if self.length > 0 && self.length + self.batch.len() as u64 > self.segment_bytes {
            self.roll()?;
        }
        self.torn = true;
        self.file.write_all_at(&self.batch, self.length)?;
        if durable {
            self.file.sync_data()?;
        }
        self.torn = false;
        self.length += self.batch.len() as u64;
        Ok(())
    }

    /// Cuts off a failed write, on the disk too: its whole records must not come back behind what
    /// is written in their place.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.sync_data()?;
        self.torn = false;
        Ok(())
    }

    /// Closes the growing segment, on the disk, and begins the next one.
    fn roll(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        let first = self.written_seq + 1;
        let path = format::segment_path(&self.dir, first);
        let file = disk::open_named(&*self.disk, &path)?;
        self.closed.push_back(Closed {
            first: self.first,
            bytes: self.length,
        });
        self.closed_bytes += self.length;
        self.file = file;
        self.first = first;
        self.length = 0;
        Ok(())
    }

    /// Deletes the oldest segments that all stores have taken, until `more` bytes fit.
    fn make_room(&mut self, more: u64) -> Result<(), AppendError> {
        while self.bytes() + more > self.max_bytes {
            if self.batch.is_empty() {
                self.roll_if_all_taken().map_err(|e| self.io(e))?;
            }
            if !self.drop_oldest().map_err(|e| self.io(e))? {
                return Err(AppendError::Full {
                    max_bytes: self.max_bytes,
                });
            }
        }
        Ok(())
    }

    /// Frees some of a full disk; false where nothing can be given up.
    fn relieve(&mut self) -> bool {
        let relieved = self.cut().and_then(|()| {
            self.roll_if_all_taken()?;
            self.drop_oldest()
        });
        relieved.unwrap_or(false)
    }

    /// Closes the only segment where all of it is taken, so that it can be deleted.
    fn roll_if_all_taken(&mut self) -> io::Result<()> {
        let all_taken = self.written_seq <= self.released;
        if self.closed.is_empty() && self.length > 0 && all_taken {
            self.roll()?;
        }
        Ok(())
    }

    /// Deletes the oldest closed segment; false where some store has not taken all of it.
    fn drop_oldest(&mut self) -> io::Result<bool> {
        let next = self.closed.get(1).map_or(self.first, |s| s.first);
        let Some(oldest) = self.closed.front().filter(|_| next - 1 <= self.released) else {
            return Ok(false);
        };
        match self
            .disk
            .remove(&format::segment_path(&self.dir, oldest.first))
        {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        self.closed_bytes -= oldest.bytes;
        self.closed.pop_front();
        Ok(true)
    }

    fn io(&self, source: io::Error) -> AppendError {
        AppendError::Io {
            dir: self.dir.clone(),
            source,
        }
    }
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("journal lock {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "journal at {} is in use by another tickforge; stop it, or give this one another \
             --data-dir",
            dir.display()
        ),
        Err(TryLockError::Error(e)) => {
            Err(e).with_context(|| format!("journal lock {}", path.display()))
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::StorageFull || kind == io::ErrorKind::QuotaExceeded
}

struct Tail {
    /// Where the last whole record ends.
    length: u64,
    last_seq: u64,
    damaged: u64,
}

/// Finds the end of the last segment. Damage that whole records follow is no torn tail: it stays,
/// and what follows it is kept.
fn scan(dir: &Path, first: u64) -> io::Result<Tail> {
    let mut segment = Segment::open(dir, first)?;
    let mut tail = Tail {
        length: 0,
        last_seq: first - 1,
        damaged: 0,
    };
    let mut offset = 0;
    loop {
        match segment.parse(offset)? {
            Parsed::Record { seq, next } if seq > tail.last_seq => {
                tail.damaged += seq - tail.last_seq - 1;
                tail.last_seq = seq;
                tail.length = next;
                offset = next;
            }
            Parsed::End => return Ok(tail),
            _ => match segment.resync(offset, tail.last_seq + 1)? {
                Some(at) => offset = at,
                None => return Ok(tail),
            },
        }
    }
}

#[cfg(test)]
mod tests;
