//! What was traded in the last 24 hours before this run? Minutes of every instrument in one file,
//! each at a place of its own that is written over, so that the file does not grow. Kept through
//! the end of the process at any moment; what is torn by a power cut is left out.
//!
//! ```text
//!  a region for each instrument: 256 bytes of name, then 1441 places of 64 bytes
//!  name:  TFD1, crc of what follows (u32), length (u16), "exchange symbol"
//!  place: crc of what follows (u32), first trade (us, u32), minute, open, high, low, volume (i64),
//!         quiet minutes before it (u16), scales of price and amount (u8), little endian
//! ```
//! Runs on a thread of its own, since it blocks on the disk; [`load`] runs at start.

use crate::clock;
use crate::market::day::{History, Kept, Minute};
use crate::market::decimal;
use crate::market::{Day, InstrumentId, Registry};
use crate::ring::Consumer;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MAGIC: [u8; 4] = *b"TFD1";
const NAME: usize = 256;
const PLACE: usize = 64;
/// As many minutes as a [`Day`] has.
const PLACES: usize = 24 * 60 + 1;
const REGION: usize = NAME + PLACE * PLACES;
const MINUTE_NS: i64 = 60_000_000_000;
/// Between two looks at the ring.
const SLEEP: Duration = Duration::from_millis(200);
/// Between two lines about a disk that does not write.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// A minute that changed, and of which instrument.
pub type Changed = (InstrumentId, Minute);

/// The file, below the data folder.
pub fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("days")
}

/// The file as it was found.
pub struct Days {
    file: Option<File>,
    /// By `exchange symbol`.
    regions: HashMap<String, u64>,
    /// Of instruments that had no trade for a day.
    free: Vec<u64>,
    end: u64,
    place: String,
    complained: Option<Instant>,
}

/// Reads what the last 24 hours hold. A file that cannot be read costs the history, not the run.
pub fn load(path: &Path) -> (Days, History) {
    let mut days = Days {
        file: None,
        regions: HashMap::new(),
        free: Vec::new(),
        end: 0,
        place: path.display().to_string(),
        complained: None,
    };
    let mut history = History::new();
    if let Err(error) = days.open(path, &mut history) {
        let place = &days.place;
        tracing::error!("{place}: {error}; the last 24 hours begin anew; is the disk writable?");
    }
    (days, history)
}

/// Until the engine is gone.
pub fn run(mut changed: Consumer<Changed>, mut days: Days, registry: Arc<Registry>) {
    loop {
        let closed = changed.is_closed();
        while let Some((id, minute)) = changed.pop() {
            if let Err(error) = days.write(&registry.get(id).name(), &minute) {
                days.complain(&error);
            }
        }
        if closed {
            return;
        }
        std::thread::sleep(SLEEP);
    }
}

impl Days {
    fn open(&mut self, path: &Path, history: &mut History) -> io::Result<()> {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path)?;
        let bytes = file.metadata()?.len();
        let oldest = clock::now_ns() / MINUTE_NS - PLACES as i64 + 1;
        let mut region = vec![0; REGION];
        for at in (0..bytes).step_by(REGION) {
            // The last one may be short: its places follow when they are written.
            let read = read_up_to(&file, &mut region, at)?;
            region[read..].fill(0);
            let Some(name) = name_of(&region) else {
                self.free.push(at);
                continue;
            };
            match day_of(&region, oldest) {
                Some(kept) => {
                    self.regions.insert(name.clone(), at);
                    history.insert(name, kept);
                }
                None => self.free.push(at),
            }
        }
        self.end = bytes.next_multiple_of(REGION as u64);
        self.file = Some(file);
        Ok(())
    }

    fn write(&mut self, name: &str, minute: &Minute) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let at = match self.regions.get(name) {
            Some(at) => *at,
            None => {
                let free = self.free.pop();
                let at = free.unwrap_or(self.end);
                // What another instrument left there must not be read under this name.
                file.write_all_at(&vec![0; REGION], at)?;
                file.write_all_at(&name_bytes(name), at)?;
                self.end = self.end.max(at + REGION as u64);
                self.regions.insert(name.to_owned(), at);
                at
            }
        };
        let place = minute.minute.rem_euclid(PLACES as i64) as usize;
        let at = at + (NAME + place * PLACE) as u64;
        file.write_all_at(&place_bytes(minute), at)
    }

    fn complain(&mut self, error: &io::Error) {
        if self
            .complained
            .is_none_or(|then| then.elapsed() > COMPLAIN_EVERY)
        {
            self.complained = Some(Instant::now());
            let place = &self.place;
            tracing::error!("{place}: {error}; a restart will not know all of the last 24 hours");
        }
    }
}

fn read_up_to(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    loop {
        match file.read_at(&mut into[read..], at + read as u64) {
            Ok(0) => return Ok(read),
            Ok(n) => read += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn name_bytes(name: &str) -> [u8; NAME] {
    let mut bytes = [0; NAME];
    let name = &name.as_bytes()[..name.len().min(NAME - 10)];
    bytes[8..10].copy_from_slice(&(name.len() as u16).to_le_bytes());
    bytes[10..10 + name.len()].copy_from_slice(name);
    let crc = crc32fast::hash(&bytes[8..]);
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn name_of(region: &[u8]) -> Option<String> {
    let name = region.get(..NAME)?;
    let sound = name.starts_with(&MAGIC) && crc32fast::hash(&name[8..]).to_le_bytes() == name[4..8];
    let length = usize::from(u16::from_le_bytes([name[8], name[9]]));
    let text = name.get(10..10 + length).filter(|_| sound)?;
    String::from_utf8(text.to_vec()).ok()
}

fn place_bytes(m: &Minute) -> [u8; PLACE] {
    let mut bytes = [0; PLACE];
    bytes[4..8].copy_from_slice(&m.open_us.to_le_bytes());
    let numbers = [m.minute, m.open, m.high, m.low, m.volume];
    for (i, number) in numbers.iter().enumerate() {
        bytes[8 + i * 8..16 + i * 8].copy_from_slice(&number.to_le_bytes());
    }
    bytes[48..50].copy_from_slice(&m.quiet.to_le_bytes());
    (bytes[50], bytes[51]) = (m.price_scale, m.amount_scale);
    let crc = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn minute_of(place: &[u8]) -> Option<Minute> {
    let word = |at: usize| Some(u32::from_le_bytes(place.get(at..at + 4)?.try_into().ok()?));
    let number = |i: usize| {
        let bytes = place.get(8 + i * 8..16 + i * 8)?;
        Some(i64::from_le_bytes(bytes.try_into().ok()?))
    };
    if word(0)? != crc32fast::hash(place.get(4..)?) {
        return None;
    }
    Some(Minute {
        minute: number(0)?,
        open: number(1)?,
        high: number(2)?,
        low: number(3)?,
        volume: number(4)?,
        open_us: word(4)?,
        quiet: u16::from_le_bytes([place[48], place[49]]),
        price_scale: place[50].min(decimal::MAX_SCALE),
        amount_scale: place[51].min(decimal::MAX_SCALE),
    })
}

/// The day that a region holds, at the scales of its newest minute; `None` where it is over.
fn day_of(region: &[u8], oldest: i64) -> Option<Kept> {
    let places = region[NAME..].chunks_exact(PLACE);
    let minutes = places.filter_map(minute_of);
    let mut minutes: Vec<Minute> = minutes
        .filter(|m| m.minute >= oldest && m.open != 0)
        .collect();
    minutes.sort_unstable_by_key(|m| m.minute);
    let (price_scale, amount_scale) = minutes.last().map(|m| (m.price_scale, m.amount_scale))?;
    let mut day = Box::new(Day::default());
    for kept in &minutes {
        let price = |v| decimal::rescale(v, kept.price_scale, price_scale).map(|r| r.0);
        let amount = |v| decimal::rescale(v, kept.amount_scale, amount_scale).map(|r| r.0);
        let rescaled = (|| {
            Some(Minute {
                open: price(kept.open)?,
                high: price(kept.high)?,
                low: price(kept.low)?,
                volume: amount(kept.volume)?,
                ..*kept
            })
        })();
        // What does not fit these scales is not known.
        rescaled.into_iter().for_each(|m| day.restore(&m));
    }
    Some(Kept {
        day,
        price_scale,
        amount_scale,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publishers::intake::tests::instrument;
    use crate::ring::ring;

    fn minute(minute: i64, price: i64, price_scale: u8) -> Minute {
        Minute {
            minute,
            open: price,
            high: price + 5,
            low: price - 5,
            volume: 3,
            open_us: 17,
            quiet: 2,
            price_scale,
            amount_scale: 8,
        }
    }

    /// Writes these minutes as the engine gives them.
    fn write(path: &Path, all: &[Changed]) {
        let registry = Arc::new(Registry::default());
        registry.add(instrument("binance", "BTC/USDT"));
        registry.add(instrument("kraken", "BTC/USDT"));
        let (mut producer, consumer) = ring(64);
        for changed in all {
            assert!(producer.push(*changed).is_ok());
        }
        drop(producer);
        run(consumer, load(path).0, registry);
    }

    #[test]
    fn minutes_come_back_as_a_day_and_the_newest_state_counts() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = file(dir.path());
        let now = clock::now_ns() / MINUTE_NS;
        write(
            &path,
            &[
                (0, minute(now - 2_000, 900, 8)),
                (1, minute(now - 10, 50, 8)),
            ],
        );
        let coarse = minute(now - 20, 10, 7);
        write(
            &path,
            &[
                (0, coarse),
                (0, minute(now - 5, 100, 8)),
                (0, minute(now - 5, 110, 8)),
            ],
        );
        let (days, history) = load(&path);
        assert_eq!(
            (days.regions.len(), days.free.len(), history.len()),
            (2, 0, 2)
        );
        let kept = &history["binance BTC/USDT"];
        let stats = kept.day.stats();
        assert_eq!(
            (kept.price_scale, stats.open),
            (8, 100),
            "ten at a scale of 7"
        );
        assert_eq!((stats.high, stats.low, stats.volume), (150, 50, 6));
        assert_eq!(stats.seen_minutes, 6);
        assert_eq!(history["kraken BTC/USDT"].day.stats().open, 50);
    }

    #[test]
    fn damage_costs_the_minute_that_it_hit_and_old_regions_are_used_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = file(dir.path());
        let now = clock::now_ns() / MINUTE_NS;
        write(
            &path,
            &[(0, minute(now - 30, 100, 8)), (0, minute(now - 20, 200, 8))],
        );
        let mut bytes = std::fs::read(&path).expect("read");
        assert_eq!(bytes.len(), REGION);
        let place = (now - 20).rem_euclid(PLACES as i64) as usize;
        bytes[NAME + place * PLACE + 20] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        let (_, history) = load(&path);
        assert_eq!(history["binance BTC/USDT"].day.stats().high, 105);
        // A file of one instrument that is of no use any more.
        std::fs::remove_file(&path).expect("removed");
        write(&path, &[(0, minute(now - 2_000, 100, 8))]);
        write(&path, &[(1, minute(now - 1, 70, 8))]);
        assert_eq!(
            std::fs::metadata(&path).expect("there").len(),
            REGION as u64
        );
        let (_, history) = load(&path);
        assert_eq!(history.keys().collect::<Vec<_>>(), ["kraken BTC/USDT"]);
        std::fs::write(&path, b"not ours").expect("written");
        assert_eq!(load(&path).1.len(), 0);
    }
}
