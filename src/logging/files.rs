//! Log files that never fill a disk: one is written, `NAME.log`; when it is large enough or the day
//! (UTC) is over, it gets its time into its name and a new one begins; the oldest go when all
//! together have no more room.
//!
//! Written by whichever thread logs, a line at a time, behind the lock of its owner. A disk that
//! takes nothing stops neither the log on stderr nor the daemon: lines that are missing here are
//! counted, and the count is written once there is room again.

use crate::clock;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;
/// Between two attempts at a disk that takes nothing.
const RETRY_NS: i64 = SECOND_NS;

pub struct LogFiles {
    folder: PathBuf,
    name: String,
    file_bytes: u64,
    total_bytes: u64,
    open: Option<Open>,
    /// Lines that no file took, and when to try again, ns since the epoch.
    lost: u64,
    retry_ns: i64,
}

struct Open {
    file: File,
    bytes: u64,
    /// Days since the epoch.
    day: i64,
}

impl LogFiles {
    /// Goes on with `NAME.log` in `folder`, which is made where it is missing.
    pub fn open(
        folder: &Path,
        name: &str,
        file_bytes: u64,
        total_bytes: u64,
    ) -> io::Result<LogFiles> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o750).create(folder)?;
        let mut files = LogFiles {
            folder: folder.to_owned(),
            name: name.to_owned(),
            file_bytes,
            total_bytes,
            open: None,
            lost: 0,
            retry_ns: 0,
        };
        files.begin(clock::now_ns())?;
        Ok(files)
    }

    fn current(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// Opens the file that is written; one of another day is put away first.
    fn begin(&mut self, now_ns: i64) -> io::Result<()> {
        let path = self.current();
        if let Ok(there) = fs::metadata(&path) {
            let changed = there.modified()?.duration_since(std::time::UNIX_EPOCH);
            let day = changed.map_or(0, |d| d.as_nanos() as i64 / DAY_NS);
            if day != now_ns / DAY_NS && there.len() > 0 {
                self.put_away(now_ns)?;
            }
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o640).open(&path)?;
        let bytes = file.metadata()?.len();
        self.open = Some(Open {
            file,
            bytes,
            day: now_ns / DAY_NS,
        });
        Ok(())
    }

    /// `NAME.log` becomes `NAME-20240115T103000.000000000Z.log`, and what has no room goes.
    fn put_away(&mut self, now_ns: i64) -> io::Result<()> {
        self.open = None;
        let named = |ns: i64| {
            let second = clock::rfc3339(ns - ns % SECOND_NS).replace(['-', ':', 'Z'], "");
            let name = format!("{}-{second}.{:09}Z.log", self.name, ns % SECOND_NS);
            self.folder.join(name)
        };
        let free = (now_ns..).map(named).find(|path| !path.exists());
        fs::rename(self.current(), free.unwrap_or_else(|| named(now_ns)))?;
        self.make_room()
    }

    /// Leaves room for one more file.
    fn make_room(&self) -> io::Result<()> {
        let mut old = self.old()?;
        let mut bytes: u64 = old.iter().map(|(_, bytes)| bytes).sum();
        while bytes + self.file_bytes > self.total_bytes && !old.is_empty() {
            let (path, size) = old.remove(0);
            fs::remove_file(path)?;
            bytes -= size;
        }
        Ok(())
    }

    /// What was put away, the oldest first, with its sizes.
    fn old(&self) -> io::Result<Vec<(PathBuf, u64)>> {
        let prefix = format!("{}-", self.name);
        let mut old = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let stamp = name
                .to_str()
                .and_then(|n| n.strip_prefix(&prefix)?.strip_suffix(".log"));
            // Another daemon's name may begin with ours.
            let ours = stamp.is_some_and(|s| s.starts_with(|c: char| c.is_ascii_digit()));
            if ours && stamp.is_some_and(|s| s.contains('T') && s.contains('Z')) {
                old.push((entry.path(), entry.metadata()?.len()));
            }
        }
        old.sort();
        Ok(old)
    }

    fn put(&mut self, line: &[u8], now_ns: i64) -> io::Result<()> {
        let over = |open: &Open| {
            let full = open.bytes + line.len() as u64 > self.file_bytes;
            open.bytes > 0 && (full || open.day != now_ns / DAY_NS)
        };
        if self.open.as_ref().is_some_and(over) {
            self.put_away(now_ns)?;
        }
        if self.open.is_none() {
            self.begin(now_ns)?;
        }
        let Some(open) = self.open.as_mut() else {
            return Ok(());
        };
        if self.lost > 0 {
            let text = format!("{{\"level\":\"WARN\",\"lines_lost_here\":{}}}\n", self.lost);
            open.file.write_all(text.as_bytes())?;
            open.bytes += text.len() as u64;
            self.lost = 0;
        }
        open.file.write_all(line)?;
        open.bytes += line.len() as u64;
        open.day = now_ns / DAY_NS;
        Ok(())
    }
}

impl Write for LogFiles {
    /// Takes a whole line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let now_ns = clock::now_ns();
        if now_ns < self.retry_ns {
            self.lost += 1;
        } else if self.put(line, now_ns).is_err() {
            self.open = None;
            self.lost += 1;
            self.retry_ns = now_ns + RETRY_NS;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // nothing is held back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_NS: i64 = 1_700_000_000_000_000_000;

    fn files(folder: &Path) -> LogFiles {
        LogFiles::open(folder, "host1", 100, 300).expect("opens")
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let names = entries.map(|e| {
            e.expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_bounded_in_size_and_number_and_the_newest_lines_stay() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("host1-beta.log"), "another daemon's").expect("written");
        let mut files = files(dir.path());
        for n in 0..1000 {
            files
                .put(format!("{n:09}\n").as_bytes(), NOW_NS + n)
                .expect("written");
            let all = files
                .old()
                .expect("readable")
                .iter()
                .map(|(_, b)| b)
                .sum::<u64>();
            assert!(
                all + files.open.as_ref().expect("open").bytes <= 300,
                "line {n}"
            );
        }
        let old = files.old().expect("readable");
        assert_eq!(old.len(), 2, "{old:?}");
        let text = fs::read_to_string(files.current()).expect("readable");
        assert!(text.ends_with("000000999\n") && text.len() <= 100, "{text}");
        assert!(names(dir.path()).contains(&"host1-beta.log".to_owned()));
    }

    #[test]
    fn each_day_has_its_file_and_a_restart_goes_on() {
        let dir = tempfile::tempdir().expect("a folder");
        {
            let mut files = files(dir.path());
            files.open.as_mut().expect("open").day = NOW_NS / DAY_NS;
            files.put(b"one\n", NOW_NS).expect("written");
            files.put(b"two\n", NOW_NS + DAY_NS).expect("written");
        }
        let put_away = "host1-20231115T221320.000000000Z.log";
        assert_eq!(names(dir.path()), [put_away, "host1.log"]);
        let mut files = files(dir.path());
        files.write_all(b"three\n").expect("written");
        assert_eq!(
            fs::read_to_string(files.current()).expect("readable"),
            "two\nthree\n"
        );
        assert_eq!(
            fs::read_to_string(dir.path().join(put_away)).expect("readable"),
            "one\n"
        );
    }

    #[test]
    fn what_no_disk_takes_is_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("logs");
        let mut files = files(&folder);
        files.open = None;
        fs::remove_dir_all(&folder).expect("gone");
        files.write_all(b"lost\n").expect("never an error");
        files.write_all(b"lost, too\n").expect("never an error");
        fs::create_dir(&folder).expect("made");
        files.retry_ns = 0;
        files.write_all(b"there\n").expect("written");
        let text = fs::read_to_string(files.current()).expect("readable");
        assert!(text.contains("\"lines_lost_here\":2}\nthere\n"), "{text}");
    }
}
