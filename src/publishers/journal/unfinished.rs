//! Which signals have not ended yet? A daemon that starts reads them out of its journal
//! ([`unfinished`]) and watches them again; while it runs, [`Unfinished`] keeps how far back the
//! next start has to read, in a cursor beside the stores'. Used by the journal thread and at start.

use super::cursor::Cursor;
use super::reader::Reader;
use super::writer::Journal;
use crate::clock;
use crate::outcome::record::OutcomeRecord;
use crate::signal::record::SignalRecord;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::io;
use uuid::Uuid;

/// The cursor's name: no signal up to its number is open.
const NAME: &str = "unfinished";
/// A signal whose validity ended this long before the newest one is given up: its instrument is not
/// followed any more.
const GIVEN_UP_NS: i64 = 86_400_000_000_000;
/// Signals that are watched again at most, the newest ones: a start is not to wait for more.
const MOST: usize = 20_000;
/// The id of a record stands within so many bytes.
const HEAD: usize = 128;

/// Signals without an outcome, with their numbers, oldest first.
pub fn unfinished(journal: &Journal) -> io::Result<Vec<(u64, SignalRecord)>> {
    let end = journal.last_seq();
    let numbers = open_numbers(journal, end)?;
    let mut reader = Reader::open(journal.dir(), numbers.first().copied().unwrap_or(end));
    let mut numbers = numbers.into_iter().peekable();
    let mut all: Vec<(u64, SignalRecord)> = Vec::new();
    let mut newest_ns = i64::MIN;
    while let Some(record) = reader.next(end)? {
        if record.seq == end
            && let Ok(newest) = serde_json::from_slice::<Time>(record.payload)
        {
            newest_ns = newest.event_ns;
        }
        // What is of another version is a store's to complain about.
        if numbers.next_if_eq(&record.seq).is_some()
            && let Ok(signal) = serde_json::from_slice(record.payload)
        {
            all.push((record.seq, signal));
        }
    }
    all.retain(|(_, signal)| {
        let until = clock::parse_rfc3339(&signal.valid_until).unwrap_or(i64::MIN);
        until.saturating_add(GIVEN_UP_NS) >= newest_ns
    });
    Ok(all)
}

/// The newest [`MOST`] of them, by their numbers alone: a journal may hold a million records, and
/// reading each whole would take seconds.
fn open_numbers(journal: &Journal, end: u64) -> io::Result<Vec<u64>> {
    let mut reader = Reader::open(journal.dir(), journal.cursor(NAME).seq() + 1);
    let mut open: FxHashMap<Uuid, u64> = FxHashMap::default();
    while let Some(record) = reader.next(end)? {
        let Some(id) = id_of(record.payload) else {
            continue;
        };
        if OutcomeRecord::is(record.payload) {
            open.remove(&id);
        } else {
            open.insert(id, record.seq);
        }
    }
    let mut numbers: Vec<u64> = open.into_values().collect();
    numbers.sort_unstable();
    let too_many = numbers.len().saturating_sub(MOST);
    if too_many > 0 {
        tracing::warn!(
            too_many,
            "open signals of earlier runs that are not watched again: they end with their validity"
        );
    }
    Ok(numbers.split_off(too_many))
}

#[derive(serde::Deserialize)]
struct Time {
    event_ns: i64,
}

/// A record's `signal_id`, which is its second or third field.
fn id_of(payload: &[u8]) -> Option<Uuid> {
    const FIELD: &[u8] = br#""signal_id":""#;
    let head = &payload[..payload.len().min(HEAD)];
    let at = memchr::memmem::find(head, FIELD)? + FIELD.len();
    Uuid::try_parse_ascii(payload.get(at..at + 36)?).ok()
}

/// The journal thread's account of open signals.
pub struct Unfinished {
    cursor: Cursor,
    numbers: FxHashMap<Uuid, u64>,
    open: BTreeSet<u64>,
}

impl Unfinished {
    pub fn new(journal: &Journal, found: &[(Uuid, u64)]) -> Self {
        let mut account = Unfinished {
            cursor: journal.cursor(NAME),
            numbers: FxHashMap::default(),
            open: BTreeSet::new(),
        };
        found.iter().for_each(|(id, seq)| account.opened(*id, *seq));
        account
    }

    pub fn opened(&mut self, id: Uuid, seq: u64) {
        if let Some(repeated) = self.numbers.insert(id, seq) {
            self.open.remove(&repeated);
        }
        self.open.insert(seq);
    }

    pub fn ended(&mut self, id: Uuid) {
        if let Some(seq) = self.numbers.remove(&id) {
            self.open.remove(&seq);
        }
    }

    /// The journal ends with number `end`. Written when due: one that is behind costs reading.
    pub fn save(&mut self, end: u64) {
        self.advance(end);
        if let Err(error) = self.cursor.save_if_due() {
            tracing::debug!(%error, "the cursor of open signals was not written");
        }
    }

    pub fn finish(&mut self, end: u64) {
        self.advance(end);
        if let Err(error) = self.cursor.save() {
            tracing::debug!(%error, "the cursor of open signals was not written");
        }
    }

    fn advance(&mut self, end: u64) {
        let before_first = self.open.first().map_or(end, |first| first - 1);
        self.cursor.set(before_first.min(end));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::config::{JournalConfig, JournalSync};
    use crate::outcome::{Ending, Open, Outcome};
    use std::path::Path;
    use std::time::Duration;

    fn journal(dir: &Path) -> Journal {
        let config = JournalConfig {
            sync: JournalSync::Every(Duration::ZERO),
            max_bytes: 1 << 20,
            segment_bytes: 4096,
        };
        Journal::open(dir, &config).expect("opens").0
    }

    fn put<T: serde::Serialize>(journal: &mut Journal, record: &T) -> u64 {
        let payload = serde_json::to_vec(record).expect("JSON");
        let seq = journal.append(&payload).expect("appends");
        journal.commit(false).expect("commits");
        seq
    }

    fn outcome(n: u64) -> OutcomeRecord {
        let signal = sample::signal(n);
        let outcome = Outcome {
            open: Open::of(&signal, "ema_cross", false),
            instrument: 0,
            ending: Ending::Expired,
            exit_price: Some(signal.price),
            ended_ns: signal.valid_until_ns,
            gaps: 0,
        };
        OutcomeRecord::new(&outcome, &sample::instrument(), "host1")
    }

    fn numbers(journal: &Journal) -> Vec<u64> {
        let found = unfinished(journal).expect("reads");
        found.into_iter().map(|(seq, _)| seq).collect()
    }

    #[test]
    fn what_has_no_outcome_is_found_and_the_cursor_stays_before_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut written = journal(dir.path());
        for n in 1..=5 {
            put(&mut written, &sample::record(n));
        }
        for n in [1, 3, 5] {
            put(&mut written, &outcome(n));
        }
        assert_eq!(numbers(&written), [2, 4]);
        let found: Vec<(Uuid, u64)> = unfinished(&written)
            .expect("reads")
            .into_iter()
            .map(|(seq, s)| (s.signal_id, seq))
            .collect();
        let mut account = Unfinished::new(&written, &found);
        account.finish(written.last_seq());
        assert_eq!(written.cursor(NAME).seq(), 1);
        account.ended(sample::signal(2).id);
        account.finish(written.last_seq());
        assert_eq!(written.cursor(NAME).seq(), 3);
        assert_eq!(numbers(&written), [4], "read from the cursor on");
        account.ended(sample::signal(4).id);
        account.finish(written.last_seq());
        assert_eq!(numbers(&written), [0; 0]);
        let mut late = sample::record(6);
        late.event_ns += 2 * GIVEN_UP_NS;
        late.valid_until = clock::rfc3339(late.event_ns + 1);
        put(&mut written, &sample::record(7));
        put(&mut written, &late);
        assert_eq!(numbers(&written), [10], "one of long ago is given up");
    }
}
