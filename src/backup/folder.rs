//! The folder of backups: what is in it, how a new one becomes visible (whole and proven, or not at
//! all), and which ones may go. Never the newest good one, whatever its age and the clock say.

use super::Manifest;
use crate::clock;
use anyhow::{Context, bail};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PREFIX: &str = "trading_bot_";
const SUFFIX: &str = ".backup";
const PARTIAL: &str = ".partial";
const LOCK: &str = ".lock";

/// A backup, by its name alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backup {
    /// When it was taken, ns since the epoch.
    pub taken_ns: i64,
    pub path: PathBuf,
}

/// All backups in `folder`, the newest first.
pub fn list(folder: &Path) -> io::Result<Vec<Backup>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(taken_ns) = entry.file_name().to_str().and_then(taken_ns) {
            all.push(Backup {
                taken_ns,
                path: entry.path(),
            });
        }
    }
    all.sort_by(|a, b| b.cmp(a));
    Ok(all)
}

/// Tells when the newest backup was taken, ns since the epoch, 0 where there is none: now and every
/// minute, for as long as it is asked.
pub async fn watch(folder: &Path, newest_ns: impl Fn(i64)) {
    loop {
        // A name, and a manifest beside it, is all that is looked at: this is the daemon's thread.
        let all = list(folder).unwrap_or_default();
        let finished = all
            .iter()
            .find(|backup| Manifest::path(&backup.path).exists());
        newest_ns(finished.map_or(0, |backup| backup.taken_ns));
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

/// `trading_bot_20240115_103000.backup`, in UTC.
fn name(taken_ns: i64) -> String {
    let text = clock::rfc3339(taken_ns);
    let digits = |from: usize, to: usize| {
        text.get(from..to)
            .unwrap_or_default()
            .replace(['-', ':'], "")
    };
    format!("{PREFIX}{}_{}{SUFFIX}", digits(0, 10), digits(11, 19))
}

fn taken_ns(name: &str) -> Option<i64> {
    let stamp = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (day, time) = stamp.split_once('_')?;
    if !stamp.is_ascii() || day.len() != 8 || time.len() != 6 {
        return None;
    }
    let (year, month, day) = (&day[..4], &day[4..6], &day[6..]);
    let (hour, minute, second) = (&time[..2], &time[2..4], &time[4..]);
    clock::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// The newest backup whose file is what its manifest says, other than `this`.
pub fn newest_good_but(folder: &Path, this: &Path) -> Option<PathBuf> {
    let others = list(folder).ok()?.into_iter().filter(|b| b.path != this);
    others.map(|b| b.path).find(|path| is_good(path))
}

fn is_good(path: &Path) -> bool {
    matches!(Manifest::of(path), Ok(Some(manifest)) if manifest.fits(path).is_ok())
}

/// The folder, in the hands of one backup at a time.
pub struct Folder {
    path: PathBuf,
    /// Held until the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing, for its owner and group alone, and clears away what a
    /// killed backup has left.
    pub fn open(path: &Path) -> anyhow::Result<Folder> {
        let place = path.display();
        let remedy = "set [paths] backups to a folder that this user may write";
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o750);
        builder
            .create(path)
            .with_context(|| format!("{place} cannot be made; {remedy}"))?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(path.join(LOCK));
        let lock = lock.with_context(|| format!("{place} cannot be written; {remedy}"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => bail!("{place}: another backup is at work there"),
            Err(fs::TryLockError::Error(e)) => {
                return Err(e).with_context(|| format!("{place}/{LOCK} cannot be locked"));
            }
        }
        let folder = Folder {
            path: path.to_owned(),
            _lock: lock,
        };
        folder
            .clear()
            .with_context(|| format!("{place} cannot be put in order"))?;
        Ok(folder)
    }

    /// Files that were never finished, and manifests whose backup is gone.
    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
                continue;
            };
            let orphan = name.strip_suffix(".json").is_some_and(|backup| {
                taken_ns(backup).is_some() && !self.path.join(backup).exists()
            });
            if name.starts_with(PREFIX) && name.ends_with(PARTIAL) || orphan {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// A new, empty file that only its owner reads, and the name that it gets when it is good.
    pub fn begin(&self, now_ns: i64) -> anyhow::Result<Unfinished> {
        const SECOND_NS: i64 = 1_000_000_000;
        let free = |ns: &i64| !self.path.join(name(*ns)).exists();
        let taken_ns = (0..60).map(|n| now_ns + n * SECOND_NS).find(free);
        let final_path = self.path.join(name(taken_ns.unwrap_or(now_ns)));
        let mut partial = final_path.clone().into_os_string();
        partial.push(PARTIAL);
        let partial = PathBuf::from(partial);
        let mut options = OpenOptions::new();
        options.create_new(true).write(true).mode(0o600);
        let made = options.open(&partial);
        made.with_context(|| format!("{} cannot be made", partial.display()))?;
        Ok(Unfinished {
            partial,
            final_path,
            finished: false,
        })
    }

    /// Deletes what is older than `keep`, but never the newest good one, and nothing at all where
    /// none is good. Gives the names of what went.
    pub fn prune(&self, keep: Duration, now_ns: i64) -> anyhow::Result<Vec<String>> {
        let failed = |path: &Path| format!("{} cannot be deleted", path.display());
        let all =
            list(&self.path).with_context(|| format!("{} cannot be read", self.path.display()))?;
        let Some(newest_good) = all.iter().find(|b| is_good(&b.path)) else {
            return Ok(Vec::new());
        };
        let oldest_ns = i128::from(now_ns) - keep.as_nanos() as i128;
        let mut gone = Vec::new();
        for backup in all.iter().filter(|b| *b != newest_good) {
            if i128::from(backup.taken_ns) >= oldest_ns {
                continue;
            }
            // The manifest last: alone it says nothing, and the next backup clears it away.
            fs::remove_file(&backup.path).with_context(|| failed(&backup.path))?;
            match fs::remove_file(Manifest::path(&backup.path)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(e).with_context(|| failed(&Manifest::path(&backup.path)));
                }
                _ => gone.extend(
                    backup
                        .path
                        .file_name()
                        .map(|n| n.to_string_lossy().into_owned()),
                ),
            }
        }
        Ok(gone)
    }
}

/// A backup in the making; dropped before its end, it leaves nothing.
pub struct Unfinished {
    pub partial: PathBuf,
    /// What it is called once it is good.
    pub final_path: PathBuf,
    finished: bool,
}

impl Unfinished {
    /// To the disk, beside its manifest, and only then visible.
    pub fn finish(mut self, manifest: &Manifest) -> anyhow::Result<PathBuf> {
        let place = self.final_path.display().to_string();
        self.publish(manifest)
            .with_context(|| format!("{place} cannot be finished"))?;
        self.finished = true;
        Ok(self.final_path.clone())
    }

    fn publish(&self, manifest: &Manifest) -> io::Result<()> {
        File::open(&self.partial)?.sync_all()?;
        let text = serde_json::to_vec_pretty(manifest)?;
        let manifest = Manifest::path(&self.final_path);
        let mut unfinished = manifest.clone().into_os_string();
        unfinished.push(PARTIAL);
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        let mut file = options.open(&unfinished)?;
        file.write_all(&text)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&unfinished, &manifest)?;
        fs::rename(&self.partial, &self.final_path)?;
        let folder = self.final_path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // Where this fails, the next backup clears it away.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_NS: i64 = 86_400_000_000_000;
    const NOW_NS: i64 = 1_700_000_000_000_000_000;
    const KEEP: Duration = Duration::from_secs(30 * 86_400);

    /// A file of that age, with a manifest that fits it.
    fn backup(folder: &Folder, days: i64) -> PathBuf {
        let new = folder.begin(NOW_NS - days * DAY_NS).expect("a new file");
        fs::write(&new.partial, format!("{days}")).expect("written");
        let manifest = Manifest {
            file: String::new(),
            bytes: fs::metadata(&new.partial).expect("there").len(),
            sha256: crate::backup::sha256(&new.partial).expect("readable"),
            database: String::new(),
            server_version: String::new(),
            taken_at: String::new(),
            tables: Default::default(),
        };
        new.finish(&manifest).expect("finished")
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder)
            .expect("a folder")
            .map(|e| e.expect("an entry").file_name());
        let mut names: Vec<_> = names.map(|n| n.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_name_tells_when_it_was_taken() {
        assert_eq!(name(NOW_NS), "trading_bot_20231114_221320.backup");
        assert_eq!(taken_ns(&name(NOW_NS)), Some(NOW_NS));
        for other in [
            "trading_bot_x.backup",
            "trading_bot_20231114_221320.backup.json",
            "y",
        ] {
            assert_eq!(taken_ns(other), None, "{other}");
        }
    }

    #[test]
    fn old_ones_go_and_the_newest_good_one_never() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(dir.path()).expect("ours");
        let [old, older, fresh] = [40, 50, 1].map(|days| backup(&folder, days));
        // Newer than all, and damaged: no reason to let an old good one go.
        fs::write(&fresh, "2").expect("written");
        let gone = folder.prune(KEEP, NOW_NS).expect("pruned");
        assert_eq!(gone, [older.file_name().expect("a name").to_string_lossy()]);
        assert!(old.exists() && Manifest::path(&old).exists() && !Manifest::path(&older).exists());
        assert_eq!(newest_good_but(dir.path(), &fresh), Some(old.clone()));
        // Once there is a new good one, it goes.
        let newest = backup(&folder, 0);
        let gone = folder.prune(KEEP, NOW_NS).expect("pruned");
        assert_eq!(gone, [old.file_name().expect("a name").to_string_lossy()]);
        assert!(newest.exists() && fresh.exists());
        // Nor does age alone, where nothing good would be left.
        let late = NOW_NS + 400 * DAY_NS;
        folder.prune(KEEP, late).expect("pruned");
        assert!(newest.exists() && !fresh.exists());
        fs::write(&newest, "damaged").expect("written");
        assert!(folder.prune(KEEP, late).expect("pruned").is_empty());
        assert!(newest.exists(), "none is good: none goes");
    }

    #[test]
    fn what_was_not_finished_is_not_there_and_is_cleared_away() {
        let dir = tempfile::tempdir().expect("a folder");
        {
            let folder = Folder::open(dir.path()).expect("ours");
            assert!(Folder::open(dir.path()).is_err(), "two at once");
            drop(folder.begin(NOW_NS).expect("a new file"));
            assert_eq!(names(dir.path()), [LOCK]);
            // As after a kill.
            std::mem::forget(folder.begin(NOW_NS).expect("a new file"));
            fs::write(dir.path().join(name(NOW_NS) + ".json"), "{}").expect("written");
            assert!(list(dir.path()).expect("readable").is_empty());
        }
        fs::write(dir.path().join("of somebody else.partial"), "").expect("written");
        let folder = Folder::open(dir.path()).expect("ours");
        assert_eq!(names(dir.path()), [LOCK, "of somebody else.partial"]);
        let (first, second) = (backup(&folder, 0), backup(&folder, 0));
        assert_ne!(first, second, "a name of its own within one second, too");
    }
}
