//! What does a ledger look like, byte by byte, and what does one say that was left behind?
//!
//! ```text
//!  0        8       48     64          128         4096
//!  |magic   |boot id|clean |settler 0  |settler 1  |names, offered, settled: see the constants
//!  |TFLEDG01|text   |0 or 1|turn, said, effect: 3 words of 8
//! ```
//! Numbers are words of 8 bytes as the processor writes them: the file never leaves its host. For
//! each settler two columns of settled ticks: column `turn % 2` is valid. Where `said = turn + 1`,
//! the other one is what holds once the effect is there.

use super::{Effect, INSTRUMENTS, LAST, Settler};
use memmap2::{MmapOptions, MmapRaw};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

const MAGIC: [u8; 8] = *b"TFLEDG01";
const BOOT: usize = 1;
const BOOT_BYTES: usize = 40;
const CLEAN: usize = 6;
const SETTLERS: usize = 8;
const SETTLER_WORDS: usize = 8;
/// Bytes of a name; a longer one is cut.
const NAME: usize = 64;
// Places in words.
const NAMES: usize = 512;
const OFFERED: usize = NAMES + INSTRUMENTS * NAME / 8;
const SETTLED: usize = OFFERED + INSTRUMENTS;
const WORDS: usize = SETTLED + 4 * INSTRUMENTS;

/// The words of a ledger, in a mapped file or in memory alone.
pub struct Words {
    start: *const AtomicU64,
    _held: Held,
}

#[expect(dead_code, reason = "held so that the words stay where they are")]
enum Held {
    Mapped(MmapRaw),
    Memory(Box<[u64]>),
}

// SAFETY: the words are atomic, and what holds them is theirs alone and never moves.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    pub fn in_memory() -> Words {
        let mut words = vec![0u64; WORDS].into_boxed_slice();
        Words {
            start: words.as_mut_ptr().cast_const().cast(),
            _held: Held::Memory(words),
        }
    }

    /// The file has its room on the disk before it is mapped: a full disk is an error here rather
    /// than a signal later. It takes the place of an older one.
    pub fn create(path: &Path) -> io::Result<Words> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let temp = path.with_extension("new");
        let made = Words::map(&temp);
        let renamed = made.and_then(|words| std::fs::rename(&temp, path).map(|()| words));
        renamed.inspect_err(|_| {
            // Best effort: the next try overwrites it.
            let _ = std::fs::remove_file(&temp);
        })
    }

    fn map(path: &Path) -> io::Result<Words> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(path)?;
        // SAFETY: a call about a file that is open, with no memory of ours.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, (WORDS * 8) as libc::off_t) } {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        let mapped = MmapOptions::new().len(WORDS * 8).map_raw(&file)?;
        let words = Words {
            start: mapped.as_mut_ptr().cast_const().cast(),
            _held: Held::Mapped(mapped),
        };
        words.set_text(BOOT, BOOT_BYTES, &boot_id());
        words.set_text(0, MAGIC.len(), &String::from_utf8_lossy(&MAGIC));
        Ok(words)
    }

    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at < WORDS);
        // SAFETY: within the words that `_held` keeps, aligned as a page or a u64 is, and touched
        // only as atomics for as long as `self` lives.
        unsafe { &*self.start.add(at) }
    }

    #[inline]
    pub fn offered(&self, row: usize) -> &AtomicU64 {
        self.word(OFFERED + row.min(LAST))
    }

    pub fn settled(&self, settler: Settler, column: usize, row: usize) -> &AtomicU64 {
        let column = settler as usize * 2 + column;
        self.word(SETTLED + column * INSTRUMENTS + row)
    }

    pub fn turn(&self, settler: Settler) -> &AtomicU64 {
        self.word(place(settler))
    }

    pub fn announce(&self, settler: Settler, effect: Effect) {
        let at = place(settler);
        for (i, word) in words_of(effect).into_iter().enumerate() {
            self.word(at + 2 + i).store(word, Release);
        }
        let turn = self.word(at).load(Relaxed);
        self.word(at + 1).store(turn + 1, Release);
    }

    pub fn withdraw(&self, settler: Settler) {
        self.word(place(settler) + 1).store(0, Release);
    }

    pub fn set_clean(&self) {
        self.word(CLEAN).store(1, Release);
    }

    pub fn set_name(&self, row: usize, name: &str) {
        self.set_text(NAMES + row * NAME / 8, NAME, name);
    }

    /// Filled up with zeros, cut between two characters.
    fn set_text(&self, at: usize, room: usize, text: &str) {
        let mut bytes = [0; NAME];
        let end = text.floor_char_boundary(room);
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        for (i, word) in bytes[..room].as_chunks().0.iter().enumerate() {
            self.word(at + i).store(u64::from_ne_bytes(*word), Release);
        }
    }
}

const fn place(settler: Settler) -> usize {
    SETTLERS + settler as usize * SETTLER_WORDS
}

fn words_of(effect: Effect) -> [u64; 3] {
    match effect {
        Effect::Sent => [1, 0, 0],
        Effect::Frame(id) => [2, id, 0],
        Effect::Segment {
            table,
            hour,
            number,
        } => [
            3,
            u64::from(table),
            u64::from(hour) << 32 | u64::from(number),
        ],
    }
}

fn effect_of(words: [u64; 3]) -> Option<Effect> {
    match words {
        [1, ..] => Some(Effect::Sent),
        [2, id, _] => Some(Effect::Frame(id)),
        [3, table, place] => Some(Effect::Segment {
            table: table as u8,
            hour: (place >> 32) as u32,
            number: place as u32,
        }),
        _ => None,
    }
}

/// Another one after each start of the machine; empty where the system does not say.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

/// Looks whether an effect is there; never asked about [`Effect::Sent`].
pub type Landed<'a> = &'a dyn Fn(Effect) -> bool;

/// One instrument's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub offered: u64,
    pub settled: u64,
    /// Of those that are not settled, these were on their way to a server.
    pub unsure: u64,
}

impl Row {
    fn new(name: String) -> Row {
        Row {
            name,
            offered: 0,
            settled: 0,
            unsure: 0,
        }
    }

    pub fn lost(&self) -> u64 {
        self.offered.saturating_sub(self.settled)
    }
}

/// What a ledger says that nobody writes any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    pub boot_id: String,
    /// The run came to an orderly end.
    pub clean: bool,
    /// One for each name, without those that nothing was offered of.
    pub rows: Vec<Row>,
}

impl Contents {
    /// `None` where this is no ledger of ours.
    pub fn read(path: &Path, landed: Landed<'_>) -> io::Result<Option<Contents>> {
        let bytes = std::fs::read(path)?;
        let (words, rest) = bytes.as_chunks();
        if words.len() != WORDS || !rest.is_empty() || words[0] != MAGIC {
            return Ok(None);
        }
        let left = LeftBehind(words);
        let settlers = [Settler::Publisher, Settler::Disk].map(|s| left.columns(s, landed));
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        for row in 0..INSTRUMENTS {
            let of = |column: usize| left.word(SETTLED + column * INSTRUMENTS + row);
            let offered = left.word(OFFERED + row);
            let settled = settlers.iter().map(|(valid, _)| of(*valid)).sum::<u64>();
            if offered == 0 && settled == 0 {
                continue;
            }
            let begun = |(valid, begun): &(usize, Option<usize>)| {
                Some(of((*begun)?).saturating_sub(of(*valid)))
            };
            let name = left.name(row);
            let known = rows.entry(name.clone()).or_insert_with(|| Row::new(name));
            known.offered += offered;
            known.settled += settled;
            known.unsure += settlers.iter().filter_map(begun).sum::<u64>();
        }
        for row in rows.values_mut() {
            row.unsure = row.unsure.min(row.lost());
        }
        Ok(Some(Contents {
            boot_id: left.text(BOOT, BOOT_BYTES),
            clean: left.word(CLEAN) == 1,
            rows: rows.into_values().collect(),
        }))
    }

    pub fn lost(&self) -> u64 {
        self.rows.iter().map(Row::lost).sum()
    }
}

/// The words of a whole file.
struct LeftBehind<'a>(&'a [[u8; 8]]);

impl LeftBehind<'_> {
    fn word(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.0[at])
    }

    /// The column that holds, and the one that may hold instead.
    fn columns(&self, settler: Settler, landed: Landed<'_>) -> (usize, Option<usize>) {
        let at = place(settler);
        let turn = self.word(at);
        let column = |turn: u64| settler as usize * 2 + (turn % 2) as usize;
        let (valid, other) = (column(turn), column(turn.wrapping_add(1)));
        let said = self.word(at + 1) == turn.wrapping_add(1);
        let effect = effect_of([2, 3, 4].map(|i| self.word(at + i)));
        match effect.filter(|_| said) {
            Some(Effect::Sent) => (valid, Some(other)),
            Some(effect) if landed(effect) => (other, None),
            _ => (valid, None),
        }
    }

    fn name(&self, row: usize) -> String {
        let name = self.text(NAMES + row * NAME / 8, NAME);
        match name.as_str() {
            "" if row == LAST => "others".to_owned(),
            "" => "unknown".to_owned(),
            _ => name,
        }
    }

    fn text(&self, at: usize, room: usize) -> String {
        let bytes = self.0[at..at + room / 8].as_flattened();
        let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
}
