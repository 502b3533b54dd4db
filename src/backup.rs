//! What is a good backup? A dump that pg_restore reads to its end, beside a manifest that says what
//! was in the database when it was taken: rows and checksum of each table, and the file's own.
//!
//! [`folder`] keeps them, [`tools`] drives pg_dump and pg_restore, [`content`] looks into a
//! database. Used by `tickforge db backup`, `restore` and `status`; knows no configuration.

pub mod content;
pub mod folder;
pub mod tools;

use anyhow::{Context, bail, ensure};
use content::Content;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use tools::Tools;

/// Stands beside a backup, as `NAME.backup.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub file: String,
    pub bytes: u64,
    /// Of the file, in hexadecimal digits: what `sha256sum` prints.
    pub sha256: String,
    pub database: String,
    pub server_version: String,
    pub taken_at: String,
    pub tables: BTreeMap<String, Content>,
}

impl Manifest {
    /// Where the manifest of this backup is.
    pub fn path(backup: &Path) -> PathBuf {
        let mut path = backup.as_os_str().to_owned();
        path.push(".json");
        path.into()
    }

    /// `None` where there is none: a dump that something else made.
    pub fn of(backup: &Path) -> anyhow::Result<Option<Manifest>> {
        let path = Manifest::path(backup);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("{} cannot be read", path.display())),
        };
        let manifest = serde_json::from_slice(&text);
        let remedy = "is no manifest; delete it to go by pg_restore's judgement alone";
        manifest
            .map(Some)
            .with_context(|| format!("{} {remedy}", path.display()))
    }

    /// Whether the file is the one that was written.
    pub fn fits(&self, backup: &Path) -> anyhow::Result<()> {
        let bytes = std::fs::metadata(backup).map(|m| m.len());
        let bytes = bytes.with_context(|| format!("{} cannot be read", backup.display()))?;
        let place = backup.display();
        if bytes != self.bytes {
            bail!(
                "{place}: damaged: {bytes} bytes, and {} were written",
                self.bytes
            );
        }
        let sha256 = sha256(backup)?;
        ensure!(
            sha256 == self.sha256,
            "{place}: damaged: its content has changed since it was written (SHA-256 {sha256}, and \
             {} in {})",
            self.sha256,
            Manifest::path(backup).display()
        );
        Ok(())
    }
}

/// Whether a backup is good to the last byte. The error says what is wrong with it, and what to
/// do. Gives the manifest, where there is one.
pub async fn verify(backup: &Path, tools: &Tools) -> anyhow::Result<Option<Manifest>> {
    let remedy = || {
        let folder = backup.parent().unwrap_or(Path::new("."));
        match folder::newest_good_but(folder, backup) {
            Some(good) => format!("do not use it; the newest good one is {}", good.display()),
            None => {
                "do not use it; no good one is beside it, look where copies are kept".to_owned()
            }
        }
    };
    let manifest = Manifest::of(backup)?;
    if let Some(manifest) = &manifest {
        manifest.fits(backup).with_context(remedy)?;
    }
    tools.read_through(backup).await.with_context(remedy)?;
    Ok(manifest)
}

/// In hexadecimal digits.
pub fn sha256(path: &Path) -> anyhow::Result<String> {
    let failed = || format!("{} cannot be read", path.display());
    let mut file = File::open(path).with_context(failed)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).with_context(failed)?;
        if n == 0 {
            break;
        }
        digest.update(&buffer[..n]);
    }
    let mut text = String::new();
    for byte in digest.finalize() {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_sha256sum() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "abc").expect("written");
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(file.path()).expect("readable"), expected);
    }
}
