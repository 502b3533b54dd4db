//! The spool's files on disk: a frame each, oldest first by number. Which there are, how many bytes
//! they take, and what goes when there is no room. Blocks on the disk: for the spool's thread.

use super::super::lines::{Lines, Tally};
use super::frame;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Points that are gone for good.
#[derive(Debug, PartialEq, Eq)]
pub struct Lost {
    /// Of an earlier run.
    pub backlog: bool,
    pub tally: Tally,
}

/// What an earlier run left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Opened {
    pub points: u64,
    /// Bytes of damaged files, which are gone.
    pub torn_bytes: u64,
    /// Of `points`.
    pub lost: Vec<Lost>,
}

/// The oldest frame, which is its owner's until it is done with.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    pub backlog: bool,
    pub lines: Lines,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    bytes: u64,
    points: u64,
    backlog: bool,
}

pub struct Folder {
    dir: PathBuf,
    max_bytes: u64,
    entries: VecDeque<Entry>,
    /// Not among the entries, so that it cannot be dropped for room.
    taken: Option<Entry>,
    pub bytes: u64,
    /// The number of the next frame that is put.
    pub next_id: u64,
    /// Written, and perhaps not on the disk itself.
    unsynced: Vec<File>,
}

impl Folder {
    /// Damaged files are cut at once: they are removed, and counted where they say what they held.
    pub fn open(dir: PathBuf, max_bytes: u64) -> io::Result<(Folder, Opened)> {
        fs::create_dir_all(&dir)?;
        let mut folder = Folder::empty(dir, max_bytes);
        let mut opened = Opened::default();
        let mut ids = Vec::new();
        for entry in fs::read_dir(&folder.dir)? {
            ids.extend(entry?.file_name().to_str().and_then(id_of));
        }
        ids.sort_unstable();
        for id in ids {
            folder.next_id = id + 1;
            let path = folder.path(id);
            let bytes = fs::metadata(&path)?.len();
            let (points, sound) = match head(&path)? {
                Some(head) => (head.points(), head.bytes == bytes),
                None => (0, false),
            };
            opened.points += points;
            folder.bytes += bytes;
            let backlog = true;
            folder.entries.push_front(Entry {
                id,
                bytes,
                points,
                backlog,
            });
            if sound {
                folder.entries.rotate_left(1);
            } else {
                opened.torn_bytes += bytes;
                folder.discard_oldest(&mut opened.lost)?;
            }
        }
        folder.make_room(0, &mut opened.lost)?;
        Ok((folder, opened))
    }

    /// One that knows of no files, where the disk cannot be read; writing may still work later.
    pub fn empty(dir: PathBuf, max_bytes: u64) -> Folder {
        Folder {
            dir,
            max_bytes,
            entries: VecDeque::new(),
            taken: None,
            bytes: 0,
            next_id: 1,
            unsynced: Vec::new(),
        }
    }

    /// Writes a frame behind all others. What has to go to make room for it is added to `lost`.
    pub fn put(&mut self, lines: &Lines, lost: &mut Vec<Lost>) -> io::Result<()> {
        let frame = frame::encode(lines)?;
        let bytes = frame.len() as u64;
        let taken = self.taken.as_ref().map_or(0, |t| t.bytes);
        if taken + bytes > self.max_bytes {
            let reason = format!("a frame of {bytes} bytes is more than spool_max_bytes leaves");
            return Err(io::Error::new(ErrorKind::QuotaExceeded, reason));
        }
        self.make_room(bytes, lost)?;
        let id = self.next_id;
        // A number is not used again: a removal that failed may have left its file.
        self.next_id += 1;
        let path = self.path(id);
        if let Err(error) = self.write(&path, &frame) {
            let _ = fs::remove_file(path);
            return Err(error);
        }
        self.bytes += bytes;
        self.entries.push_back(Entry {
            id,
            bytes,
            points: lines.len() as u64,
            backlog: false,
        });
        Ok(())
    }

    fn write(&mut self, path: &Path, frame: &[u8]) -> io::Result<()> {
        let open = || File::options().write(true).create_new(true).open(path);
        let mut file = match open() {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(&self.dir)?;
                open()?
            }
            opened => opened?,
        };
        file.write_all(frame)?;
        self.unsynced.push(file);
        Ok(())
    }

    /// From the page cache to the disk: what is written survives a power cut, too.
    pub fn sync(&mut self) -> io::Result<()> {
        self.unsynced
            .drain(..)
            .try_for_each(|file| file.sync_data())
    }

    /// The oldest frame that is whole. What was in damaged ones before it is added to `lost`.
    pub fn take(&mut self, lost: &mut Vec<Lost>) -> io::Result<Option<Taken>> {
        while let Some(entry) = self.entries.front() {
            let bytes = match fs::read(self.path(entry.id)) {
                Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
                read => read?,
            };
            if let Some(lines) = frame::decode(&bytes) {
                let backlog = entry.backlog;
                self.taken = self.entries.pop_front();
                return Ok(Some(Taken { backlog, lines }));
            }
            self.discard_oldest(lost)?;
        }
        Ok(None)
    }

    /// The taken frame is stored, or these of its lines are all that is left of it.
    pub fn done(&mut self, rest: Option<&Lines>) -> io::Result<()> {
        let Some(entry) = self.taken.take() else {
            return Ok(());
        };
        let path = self.path(entry.id);
        let Some(rest) = rest else {
            self.bytes -= entry.bytes;
            return remove(&path);
        };
        let frame = frame::encode(rest)?;
        let part = path.with_extension("part");
        let written = remove(&part).and_then(|()| self.write(&part, &frame));
        written.and_then(|()| fs::rename(&part, &path))?;
        self.bytes = self.bytes - entry.bytes + frame.len() as u64;
        self.entries.push_front(Entry {
            bytes: frame.len() as u64,
            points: rest.len() as u64,
            ..entry
        });
        Ok(())
    }

    fn make_room(&mut self, bytes: u64, lost: &mut Vec<Lost>) -> io::Result<()> {
        while self.bytes + bytes > self.max_bytes && !self.entries.is_empty() {
            self.discard_oldest(lost)?;
        }
        Ok(())
    }

    /// Removes a frame for good, and says what was in it by its head.
    fn discard_oldest(&mut self, lost: &mut Vec<Lost>) -> io::Result<()> {
        let Some(entry) = self.entries.front() else {
            return Ok(());
        };
        let path = self.path(entry.id);
        let known = head(&path).ok().flatten().map(|head| head.tally);
        let tally = known.unwrap_or_else(|| vec![("unknown".into(), entry.points)]);
        remove(&path)?;
        self.bytes -= entry.bytes;
        if entry.points > 0 {
            let backlog = entry.backlog;
            lost.push(Lost { backlog, tally });
        }
        self.entries.pop_front();
        Ok(())
    }

    fn path(&self, id: u64) -> PathBuf {
        path(&self.dir, id)
    }
}

fn path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:020}.frame"))
}

/// Whether this frame is there, whole or torn behind its head: then opening counts its points.
pub fn says_what_it_holds(dir: &Path, id: u64) -> bool {
    head(&path(dir, id)).is_ok_and(|head| head.is_some())
}

fn id_of(name: &str) -> Option<u64> {
    let id = name.strip_suffix(".frame").filter(|id| id.len() == 20)?;
    id.parse().ok()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// What a file says of itself; `None` where that is damaged.
fn head(path: &Path) -> io::Result<Option<frame::Head>> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    Read::by_ref(&mut file)
        .take(frame::HEADER as u64)
        .read_to_end(&mut bytes)?;
    let Some(head) = frame::head_bytes(&bytes) else {
        return Ok(None);
    };
    file.take((head - frame::HEADER) as u64)
        .read_to_end(&mut bytes)?;
    Ok(frame::decode_head(&bytes))
}

#[cfg(test)]
mod tests {
    use super::frame::tests::lines;
    use super::*;

    fn open(dir: &Path, max_bytes: u64) -> (Folder, Opened) {
        Folder::open(dir.to_owned(), max_bytes).expect("a folder")
    }

    fn lost(backlog: bool, of: &Lines) -> Lost {
        let tally = of.tally();
        Lost { backlog, tally }
    }

    fn taken(folder: &mut Folder) -> Option<Lines> {
        let mut lost = Vec::new();
        let taken = folder.take(&mut lost).expect("read");
        assert_eq!(lost, []);
        taken.map(|t| t.lines)
    }

    fn put(folder: &mut Folder, lines: &Lines) -> Vec<Lost> {
        let mut lost = Vec::new();
        folder.put(lines, &mut lost).expect("written");
        lost
    }

    #[test]
    fn frames_come_back_in_order_and_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut folder, opened) = open(dir.path(), 1 << 20);
        assert_eq!(opened, Opened::default());
        for n in 0..4 {
            assert_eq!(put(&mut folder, &lines(n * 10..n * 10 + 10)), []);
        }
        assert_eq!(taken(&mut folder), Some(lines(0..10)));
        folder.done(None).expect("removed");
        // Of the next one, a part is done with; of the one after it, nothing.
        assert_eq!(taken(&mut folder), Some(lines(10..20)));
        folder.done(Some(&lines(17..20))).expect("rewritten");
        let bytes = folder.bytes;
        drop(folder);
        let (mut folder, opened) = open(dir.path(), 1 << 20);
        assert_eq!((opened.points, opened.lost.len()), (23, 0));
        assert_eq!(folder.bytes, bytes);
        for expected in [lines(17..20), lines(20..30), lines(30..40)] {
            let next = folder
                .take(&mut Vec::new())
                .expect("read")
                .expect("a frame");
            assert!(next.backlog);
            assert_eq!(next.lines, expected);
            folder.done(None).expect("removed");
        }
        assert_eq!((taken(&mut folder), folder.bytes), (None, 0));
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
    }

    #[test]
    fn the_oldest_go_when_there_is_no_room_and_the_taken_one_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let all: Vec<Lines> = (0..6).map(|n| lines(n * 10 + 100..n * 10 + 110)).collect();
        let size = frame::encode(&all[0]).expect("encoded").len() as u64 + 8;
        let (mut folder, _) = open(dir.path(), 3 * size);
        for lines in &all[..3] {
            assert_eq!(put(&mut folder, lines), []);
        }
        assert_eq!(taken(&mut folder).as_ref(), Some(&all[0]));
        assert_eq!(put(&mut folder, &all[3]), [lost(false, &all[1])]);
        assert!(folder.bytes <= 3 * size);
        folder.done(None).expect("removed");
        assert_eq!(put(&mut folder, &all[4]), []);
        drop(folder);
        // Less room than before.
        let (mut folder, opened) = open(dir.path(), size);
        assert_eq!(opened.points, 30);
        assert_eq!(opened.lost, [lost(true, &all[2]), lost(true, &all[3])]);
        let mut gone = Vec::new();
        let too_large = folder.put(&lines(0..10_000), &mut gone);
        let error = too_large.expect_err("too large");
        assert_eq!((error.kind(), gone), (ErrorKind::QuotaExceeded, vec![]));
        assert_eq!(taken(&mut folder).as_ref(), Some(&all[4]));
    }

    #[test]
    fn torn_and_damaged_files_are_cut_and_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut folder, _) = open(dir.path(), 1 << 20);
        for n in 0..4 {
            assert_eq!(put(&mut folder, &lines(n * 10..n * 10 + 10)), []);
        }
        let cut = |id: u64, len: u64| {
            let path = dir.path().join(format!("{id:020}.frame"));
            let file = File::options().write(true).open(&path).expect("a frame");
            file.set_len(len).expect("cut");
            path
        };
        let head_only = frame::HEADER + 60;
        cut(4, head_only as u64);
        cut(3, 10);
        drop(folder);
        let (mut folder, opened) = open(dir.path(), 1 << 20);
        assert_eq!(opened.torn_bytes, head_only as u64 + 10);
        // The third no longer says what it held.
        assert_eq!(opened.points, 30);
        assert_eq!(opened.lost, [lost(true, &lines(30..40))]);
        // Damage that only reading shows.
        let first = dir.path().join(format!("{:020}.frame", 1));
        let mut bytes = fs::read(&first).expect("read");
        *bytes.last_mut().expect("a byte") ^= 1;
        fs::write(&first, bytes).expect("written");
        let mut damaged = Vec::new();
        let next = folder.take(&mut damaged).expect("read");
        assert_eq!(damaged, [lost(true, &lines(0..10))]);
        assert_eq!(next.map(|t| t.lines), Some(lines(10..20)));
        assert!(!first.exists());
    }
}
