//! What did the engine remember at the end of the run before? A file for each instrument, written
//! anew once a minute and at the end, so that a restart goes on where it stood. Books are not in
//! it: they are fetched afresh.
//!
//! ```text
//! TFS1, crc of what follows (u32), digest of the code that wrote it (u64), when (ns, i64),
//! length of the name (u16), "exchange symbol", what the engine wrote; little endian
//! ```
//! A file is replaced whole, so that a kill at any moment leaves the old one or the new one; one
//! that a power cut tore is left out, as is one of other code. Runs on a thread of its own, since
//! it blocks on the disk; [`load`] runs at start.

use crate::clock;
use crate::market::{InstrumentId, Registry};
use crossbeam::channel::{Receiver, Sender};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MAGIC: [u8; 4] = *b"TFS1";
/// Magic, crc, digest, time, length of the name.
const HEAD: usize = 4 + 4 + 8 + 8 + 2;
/// Between two lines about a disk that does not write.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// The folder, below the data folder.
pub fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join("state")
}

/// By the instrument's name: what the engine wrote no longer than `max_age` ago. A file that is of
/// no use is said and left; the instrument begins cold.
pub fn load(dir: &Path, code: u64, max_age: Duration) -> HashMap<String, Vec<u8>> {
    let mut saved = HashMap::new();
    let (mut old, mut foreign) = (0, 0);
    let now_ns = clock::now_ns();
    let oldest = now_ns.saturating_sub(max_age.as_nanos().min(i64::MAX as u128) as i64);
    let day_ago = now_ns - 86_400_000_000_000;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "state") {
            continue;
        }
        let file = std::fs::read(&path).map(|bytes| parsed(&bytes));
        if let Ok(Some(file)) = &file
            && file.saved_ns < day_ago
        {
            // Of an instrument that is followed no more. What cannot be removed stays.
            let _ = std::fs::remove_file(&path);
        }
        match file {
            Ok(Some(file)) if file.code != code => foreign += 1,
            Ok(Some(file)) if file.saved_ns < oldest => old += 1,
            Ok(Some(file)) => {
                saved.insert(file.name, file.state);
            }
            Ok(None) => tracing::warn!("{}: damaged; it begins cold", path.display()),
            Err(error) => tracing::warn!("{}: {error}; it begins cold", path.display()),
        }
    }
    if !saved.is_empty() {
        tracing::info!(
            instruments = saved.len(),
            "going on where the run before stood"
        );
    }
    if old > 0 || foreign > 0 {
        tracing::info!(
            too_old = old,
            of_other_code = foreign,
            "what was remembered of instruments is of no use: they begin cold"
        );
    }
    saved
}

/// Writes what comes until the engine is gone; emptied buffers go back.
pub fn run(
    dir: &Path,
    code: u64,
    filled: &Receiver<(InstrumentId, Vec<u8>)>,
    empty: &Sender<Vec<u8>>,
    registry: &Arc<Registry>,
) {
    let mut complained: Option<Instant> = None;
    let mut file = Vec::new();
    for (id, state) in filled {
        let name = registry.get(id).name();
        render(&mut file, code, clock::now_ns(), &name, &state);
        let written = write(dir, &name, &file);
        if let Err(error) = written
            && complained.is_none_or(|then| then.elapsed() > COMPLAIN_EVERY)
        {
            complained = Some(Instant::now());
            let place = dir.display();
            tracing::error!("{place}: {error}; a restart will begin cold; is the disk full?");
        }
        // The engine is gone, or has buffers enough.
        let _ = empty.try_send(state);
    }
}

/// Writes one instrument's state, as of `saved_ns`.
pub fn keep(dir: &Path, code: u64, saved_ns: i64, name: &str, state: &[u8]) -> io::Result<()> {
    let mut file = Vec::new();
    render(&mut file, code, saved_ns, name, state);
    write(dir, name, &file)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = dir.join(file_name(name));
    let new = path.with_extension("new");
    if std::fs::write(&new, bytes).is_err() {
        std::fs::create_dir_all(dir)?;
        std::fs::write(&new, bytes)?;
    }
    std::fs::rename(new, path)
}

/// `binance_BTC-USDT.state`; what is neither letter nor digit is written by its number, so that no
/// two instruments share a file.
fn file_name(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        match c {
            ' ' => text.push('_'),
            '/' => text.push('-'),
            c if c.is_ascii_alphanumeric() => text.push(c),
            c => text.push_str(&format!("%{:x}.", u32::from(c))),
        }
    }
    text + ".state"
}

fn render(file: &mut Vec<u8>, code: u64, now_ns: i64, name: &str, state: &[u8]) {
    file.clear();
    file.extend(MAGIC);
    file.extend([0; 4]);
    file.extend(code.to_le_bytes());
    file.extend(now_ns.to_le_bytes());
    file.extend((name.len() as u16).to_le_bytes());
    file.extend(name.as_bytes());
    file.extend(state);
    let crc = crc32fast::hash(&file[8..]);
    file[4..8].copy_from_slice(&crc.to_le_bytes());
}

struct File {
    code: u64,
    saved_ns: i64,
    name: String,
    state: Vec<u8>,
}

fn parsed(bytes: &[u8]) -> Option<File> {
    let head = bytes.get(..HEAD)?;
    let word = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
    let sound =
        head.starts_with(&MAGIC) && crc32fast::hash(&bytes[8..]).to_le_bytes() == head[4..8];
    let name = HEAD + usize::from(u16::from_le_bytes([head[24], head[25]]));
    let text = bytes.get(HEAD..name).filter(|_| sound)?;
    Some(File {
        code: word(8)?,
        saved_ns: word(16)? as i64,
        name: String::from_utf8(text.to_vec()).ok()?,
        state: bytes[name..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publishers::intake::tests::instrument;
    use crossbeam::channel::bounded;

    const CODE: u64 = 7;
    const LONG: Duration = Duration::from_secs(600);

    fn keep(dir: &Path, states: &[(InstrumentId, &[u8])]) {
        let registry = Arc::new(Registry::default());
        registry.add(instrument("binance", "BTC/USDT"));
        registry.add(instrument("kraken", "1000SATS/USD"));
        let (full, filled) = bounded(8);
        let (used, empty) = bounded(8);
        for (id, state) in states {
            full.send((*id, state.to_vec())).expect("there is room");
        }
        drop(full);
        run(dir, CODE, &filled, &used, &registry);
        assert_eq!(empty.len(), states.len(), "buffers come back");
    }

    #[test]
    fn the_newest_of_each_instrument_comes_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path().join("state");
        assert!(load(&dir, CODE, LONG).is_empty());
        keep(&dir, &[(0, b"old"), (1, b"other"), (0, b"new")]);
        let saved = load(&dir, CODE, LONG);
        assert_eq!(saved["binance BTC/USDT"], b"new");
        assert_eq!(saved["kraken 1000SATS/USD"], b"other");
        assert_eq!(saved.len(), 2);
    }

    #[test]
    fn what_is_old_or_of_other_code_or_damaged_is_left_out() {
        let dir = tempfile::tempdir().expect("a folder");
        keep(dir.path(), &[(0, b"whole"), (1, b"torn")]);
        let torn = dir.path().join("kraken_1000SATS-USD.state");
        let bytes = std::fs::read(&torn).expect("written");
        std::fs::write(&torn, &bytes[..bytes.len() - 1]).expect("torn");
        assert_eq!(load(dir.path(), CODE, LONG).len(), 1);
        assert!(load(dir.path(), CODE + 1, LONG).is_empty());
        assert!(load(dir.path(), CODE, Duration::ZERO).is_empty());
        std::fs::write(&torn, b"x").expect("written");
        assert_eq!(load(dir.path(), CODE, LONG).len(), 1);
        let days_old = clock::now_ns() - 2 * 86_400_000_000_000;
        super::keep(dir.path(), CODE, days_old, "binance BTC/USDT", b"").expect("written");
        assert!(load(dir.path(), CODE, LONG).is_empty());
        assert!(
            !dir.path().join("binance_BTC-USDT.state").exists(),
            "removed"
        );
    }

    #[test]
    fn no_two_names_share_a_file() {
        assert_eq!(file_name("binance BTC/USDT"), "binance_BTC-USDT.state");
        assert_ne!(file_name("a B-C/D"), file_name("a B/C-D"));
        assert_ne!(file_name("a é/D"), file_name("a e/D"));
    }
}
