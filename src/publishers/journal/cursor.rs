//! How far has a store come? One small file for each store, replaced as a whole.
//!
//! A cursor that is missing, damaged or behind only means that signals are delivered again, which
//! their ids make harmless; so it is not synced to the disk. One that is ahead of the journal would
//! lose signals: [`clamp_all`] sets it back at start.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Written at most this often, and at the end.
const SAVE_EVERY: Duration = Duration::from_millis(200);

/// A store's position: the number of the last signal it has taken.
pub struct Cursor {
    path: PathBuf,
    seq: u64,
    saved: u64,
    saved_at: Instant,
}

impl Cursor {
    /// The cursor of store `name`, 0 where there is none that can be read.
    pub fn open(journal: &Path, name: &str) -> io::Result<Cursor> {
        let dir = journal.join("cursors");
        std::fs::create_dir_all(&dir)?;
        let path = dir.join(name);
        let seq = read(&path).unwrap_or(0);
        Ok(Cursor {
            path,
            seq,
            saved: seq,
            saved_at: Instant::now(),
        })
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Moves it, back too; written when due.
    pub fn set(&mut self, seq: u64) {
        self.seq = seq;
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
        if self.seq != self.saved {
            self.saved_at = Instant::now();
            write(&self.path, self.seq)?;
            self.saved = self.seq;
        }
        Ok(())
    }
}

/// Sets back cursors that are ahead of the journal's end: after a power cut the journal may end
/// before what a store has taken, and those numbers are given again, to new signals.
pub fn clamp_all(journal: &Path, last_seq: u64) -> io::Result<()> {
    let dir = journal.join("cursors");
    std::fs::create_dir_all(&dir)?;
    for entry in std::fs::read_dir(&dir)? {
        let path = entry?.path();
        if read(&path).is_some_and(|seq| seq > last_seq) {
            write(&path, last_seq)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let (seq, crc) = text.strip_suffix('\n')?.split_once(' ')?;
    (crc == checksum(seq)).then_some(())?;
    seq.parse().ok()
}

fn write(path: &Path, seq: u64) -> io::Result<()> {
    let seq = seq.to_string();
    let temp = path.with_extension("tmp");
    std::fs::write(&temp, format!("{seq} {}\n", checksum(&seq)))?;
    std::fs::rename(&temp, path)
}

fn checksum(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_and_damage_means_the_beginning() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = || Cursor::open(dir.path(), "postgres").expect("opens");
        assert_eq!(open().seq(), 0);
        let mut cursor = open();
        cursor.set(41);
        cursor.save().expect("saves");
        assert_eq!(open().seq(), 41);
        let file = dir.path().join("cursors/postgres");
        for damaged in [
            "",
            "41",
            "41 00000000\n",
            "42 5f5a2a9c\n",
            "\u{0}\u{0}\u{0}",
        ] {
            std::fs::write(&file, damaged).expect("writes");
            assert_eq!(open().seq(), 0, "{damaged:?}");
        }
    }

    #[test]
    fn cursors_ahead_of_the_journal_are_set_back() {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, seq) in [("postgres", 105), ("redis", 90)] {
            let mut cursor = Cursor::open(dir.path(), name).expect("opens");
            cursor.set(seq);
            cursor.save().expect("saves");
        }
        clamp_all(dir.path(), 100).expect("clamps");
        assert_eq!(
            Cursor::open(dir.path(), "postgres").expect("opens").seq(),
            100
        );
        assert_eq!(Cursor::open(dir.path(), "redis").expect("opens").seq(), 90);
    }
}
