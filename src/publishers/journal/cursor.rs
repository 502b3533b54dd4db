//! How far has a store come? One small file for each store, of two slots written in turn, so that
//! a write that a power cut tears leaves the one before it.
//!
//! ```text
//!  0                          512
//!  |version seq crc32 newline |version seq crc32 newline     the higher version counts
//! ```
//! A cursor that is missing, damaged or behind only means that signals are delivered again, which
//! their ids make harmless; so a step forward is not synced to the disk. A step back is, before
//! anything follows from it: the disk could still hold the higher number, and after a power cut the
//! store would miss what lies between. Steps back are [`clamp_all`] at start, where the journal
//! ends before what a store has taken, and [`Cursor::set_back`].

use super::disk::{self, Disk, DiskFile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Written at most this often, and at the end.
const SAVE_EVERY: Duration = Duration::from_millis(200);
/// A slot has a sector of the disk for itself.
const SLOT: usize = 512;
/// The longest text of a slot: two numbers of 20 digits, a CRC of 8, two spaces and a line's end.
const TEXT: usize = 51;

/// A store's position: the number of the last signal it has taken.
pub struct Cursor {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Opened at the first write: a full disk must not keep a store from what would free it.
    file: Option<Arc<dyn DiskFile>>,
    version: u64,
    seq: u64,
    saved: u64,
    saved_at: Instant,
}

impl Cursor {
    /// The cursor of store `name`, 0 where there is none that can be read.
    pub fn open(disk: Arc<dyn Disk>, journal: &Path, name: &str) -> Cursor {
        let path = journal.join("cursors").join(name);
        let (version, seq) = read(&path).unwrap_or_default();
        Cursor {
            disk,
            path,
            file: None,
            version,
            seq,
            saved: seq,
            saved_at: Instant::now(),
        }
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Moves it forward; written when due.
    pub fn set(&mut self, seq: u64) {
        self.seq = seq;
    }

    /// Moves it back, on the disk itself when this returns.
    pub fn set_back(&mut self, seq: u64) -> io::Result<()> {
        self.write_both(seq)?;
        self.seq = seq;
        Ok(())
    }

    /// Writes it where it has moved and the last write is long enough ago.
    pub fn save_if_due(&mut self) -> io::Result<()> {
        if self.saved_at.elapsed() >= SAVE_EVERY {
            self.save()
        } else {
            Ok(())
        }
    }

    pub fn save(&mut self) -> io::Result<()> {
        if self.seq == self.saved {
            return Ok(());
        }
        self.saved_at = Instant::now();
        if self.version == 0 {
            return self.write_both(self.seq);
        }
        self.write_slot(self.seq)?;
        self.saved = self.seq;
        Ok(())
    }

    /// Both slots, so that none is left that says more, and the disk's word for it.
    fn write_both(&mut self, seq: u64) -> io::Result<()> {
        self.write_slot(seq)?;
        self.write_slot(seq)?;
        self.file()?.sync_data()?;
        self.saved = seq;
        Ok(())
    }

    fn write_slot(&mut self, seq: u64) -> io::Result<()> {
        let version = self.version + 1;
        let offset = version % 2 * SLOT as u64;
        self.file()?.write_all_at(&encode(version, seq), offset)?;
        self.version = version;
        Ok(())
    }

    fn file(&mut self) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        if let Some(dir) = self.path.parent() {
            disk::create_dirs(&*self.disk, dir)?;
        }
        let file = disk::open_named(&*self.disk, &self.path)?;
        Ok(Arc::clone(self.file.insert(file)))
    }
}

/// Sets back cursors that are ahead of the journal's end: after a power cut the journal may end
/// before what a store has taken, and those numbers are given again, to new signals.
pub fn clamp_all(disk: &Arc<dyn Disk>, journal: &Path, last_seq: u64) -> io::Result<()> {
    let entries = match std::fs::read_dir(journal.join("cursors")) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let mut cursor = Cursor::open(Arc::clone(disk), journal, name);
        if cursor.seq > last_seq {
            cursor.set_back(last_seq)?;
        }
    }
    Ok(())
}

/// Version and number of the slot that counts.
fn read(path: &Path) -> Option<(u64, u64)> {
    let bytes = std::fs::read(path).ok()?;
    bytes.chunks(SLOT).take(2).filter_map(decode).max()
}

fn encode(version: u64, seq: u64) -> [u8; TEXT] {
    let numbers = format!("{version} {seq}");
    let text = format!("{numbers} {:08x}\n", crc32fast::hash(numbers.as_bytes()));
    let mut slot = [0; TEXT];
    for (to, from) in slot.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, u64)> {
    let line = slot.split(|b| *b == b'\n').next()?;
    let (numbers, crc) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
    (crc == format!("{:08x}", crc32fast::hash(numbers.as_bytes()))).then_some(())?;
    let (version, seq) = numbers.split_once(' ')?;
    Some((version.parse().ok()?, seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::disk::System;
    use super::*;

    fn open(dir: &Path, name: &str) -> Cursor {
        Cursor::open(Arc::new(System), dir, name)
    }

    fn saved(dir: &Path, name: &str, seq: u64) -> Cursor {
        let mut cursor = open(dir, name);
        cursor.set(seq);
        cursor.save().expect("saves");
        cursor
    }

    #[test]
    fn a_cursor_survives_and_damage_costs_the_last_step() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(open(dir.path(), "postgres").seq(), 0);
        let mut cursor = saved(dir.path(), "postgres", 40);
        for seq in [41, 42] {
            cursor.set(seq);
            cursor.save().expect("saves");
            assert_eq!(open(dir.path(), "postgres").seq(), seq);
        }
        let file = dir.path().join("cursors/postgres");
        let image = std::fs::read(&file).expect("reads");
        for at in 0..image.len() {
            let mut damaged = image.clone();
            damaged[at] ^= 1;
            std::fs::write(&file, &damaged).expect("writes");
            let seq = open(dir.path(), "postgres").seq();
            assert!([41, 42].contains(&seq), "byte {at}: {seq}");
        }
        for worthless in ["", "41", "3 41 00000000\n", "\u{0}\u{0}\u{0}"] {
            std::fs::write(&file, worthless).expect("writes");
            assert_eq!(open(dir.path(), "postgres").seq(), 0, "{worthless:?}");
        }
    }

    #[test]
    fn the_longest_numbers_fit_a_slot() {
        assert_eq!(
            decode(&encode(u64::MAX, u64::MAX)),
            Some((u64::MAX, u64::MAX))
        );
        assert_eq!(encode(u64::MAX, u64::MAX)[TEXT - 1], b'\n');
    }

    #[test]
    fn a_step_back_leaves_no_slot_that_says_more() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut cursor = saved(dir.path(), "redis", 100);
        cursor.set(105);
        cursor.save().expect("saves");
        cursor.set_back(7).expect("saves");
        let bytes = std::fs::read(dir.path().join("cursors/redis")).expect("reads");
        let slots: Vec<_> = bytes.chunks(SLOT).filter_map(decode).map(|s| s.1).collect();
        assert_eq!(slots, [7, 7]);
    }

    #[test]
    fn cursors_ahead_of_the_journal_are_set_back() {
        let dir = tempfile::tempdir().expect("a folder");
        clamp_all(&(Arc::new(System) as Arc<dyn Disk>), dir.path(), 100).expect("none yet");
        saved(dir.path(), "postgres", 105);
        saved(dir.path(), "redis", 90);
        clamp_all(&(Arc::new(System) as Arc<dyn Disk>), dir.path(), 100).expect("clamps");
        assert_eq!(open(dir.path(), "postgres").seq(), 100);
        assert_eq!(open(dir.path(), "redis").seq(), 90);
    }
}
