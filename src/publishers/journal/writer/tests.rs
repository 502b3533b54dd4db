//! Tails torn at any byte, damage, a full journal, a full disk, writes that fail.

use super::*;
use crate::config::JournalSync;
use crate::publishers::journal::reader::Reader;
use std::time::Duration;

fn config(max_bytes: u64, segment_bytes: u64) -> JournalConfig {
    JournalConfig {
        sync: JournalSync::Every(Duration::ZERO),
        max_bytes,
        segment_bytes,
    }
}

fn open(dir: &Path) -> (Journal, Opened) {
    Journal::open(dir, &config(1 << 20, 1 << 16)).expect("opens")
}

fn put(journal: &mut Journal, payload: &str) -> Result<u64, AppendError> {
    journal.append(payload.as_bytes())?;
    journal.commit(false)
}

fn all(dir: &Path) -> Vec<(u64, String)> {
    let mut reader = Reader::open(dir, 1);
    let mut out = Vec::new();
    while let Some(r) = reader.next(u64::MAX).expect("reads") {
        out.push((r.seq, String::from_utf8(r.payload.to_vec()).expect("text")));
    }
    out
}

fn records(payloads: &[&str]) -> Vec<(u64, String)> {
    payloads
        .iter()
        .enumerate()
        .map(|(i, p)| (i as u64 + 1, (*p).to_owned()))
        .collect()
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_the_rest_is_intact() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut journal, _) = open(dir.path());
    put(&mut journal, "{\"n\":1}").expect("appends");
    put(&mut journal, "{\"n\":2}").expect("appends");
    let whole = journal.bytes();
    put(&mut journal, "{\"n\":3}").expect("appends");
    let (end, path) = (journal.bytes(), format::segment_path(dir.path(), 1));
    drop(journal);
    let image = std::fs::read(&path).expect("reads");
    for cut in whole..end {
        std::fs::write(&path, &image[..cut as usize]).expect("writes");
        let (mut journal, opened) = open(dir.path());
        let expected = Opened {
            last_seq: 2,
            torn_bytes: cut - whole,
            damaged: 0,
            bytes: whole,
        };
        assert_eq!(opened, expected, "cut at {cut}");
        assert_eq!(put(&mut journal, "{\"n\":4}").expect("appends"), 3);
        drop(journal);
        assert_eq!(
            all(dir.path()),
            records(&["{\"n\":1}", "{\"n\":2}", "{\"n\":4}"])
        );
    }
}

#[test]
fn a_damaged_last_record_is_cut_and_a_damaged_middle_one_costs_itself_only() {
    for (victim, last_seq, damaged, rest) in [(2, 2, 0, vec![1, 2]), (1, 3, 1, vec![1, 3])] {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut journal, _) = open(dir.path());
        for n in 1..=3 {
            put(&mut journal, &format!("{{\"n\":{n}}}")).expect("appends");
        }
        let size = journal.bytes() / 3;
        drop(journal);
        let path = format::segment_path(dir.path(), 1);
        let mut image = std::fs::read(&path).expect("reads");
        image[victim * size as usize + format::HEADER + 2] ^= 4;
        std::fs::write(&path, &image).expect("writes");
        let (mut journal, opened) = open(dir.path());
        assert_eq!((opened.last_seq, opened.damaged), (last_seq, damaged));
        assert_eq!(opened.torn_bytes, if damaged == 0 { size } else { 0 });
        put(&mut journal, "{}").expect("appends");
        let seqs: Vec<u64> = all(dir.path()).iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, [rest, vec![last_seq + 1]].concat());
    }
}

#[test]
fn full_refuses_until_stores_have_taken_the_oldest() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut journal, _) = Journal::open(dir.path(), &config(4000, 1000)).expect("opens");
    let payload = format!("\"{}\"", "x".repeat(98));
    let mut taken = 0;
    while put(&mut journal, &payload).is_ok() {
        taken += 1;
    }
    assert!((30..=34).contains(&taken), "{taken}");
    assert!(matches!(
        put(&mut journal, &payload),
        Err(AppendError::Full { .. })
    ));
    journal.release(2);
    assert!(
        put(&mut journal, &payload).is_err(),
        "no whole segment is taken yet"
    );
    journal.release(taken);
    assert_eq!(put(&mut journal, &payload).expect("appends"), taken + 1);
    assert!(journal.bytes() <= 4000);
    let mut reader = Reader::open(dir.path(), 1);
    let first = reader.next(u64::MAX).expect("reads").expect("a record").seq;
    assert!(first > 1);
    assert_eq!(reader.skipped(), first - 1);
}

#[test]
fn one_segment_that_is_all_taken_makes_room_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut journal, _) = Journal::open(dir.path(), &config(400, 400)).expect("opens");
    for seq in 1..50 {
        assert_eq!(put(&mut journal, &"x".repeat(300)).expect("appends"), seq);
        journal.release(seq);
    }
}

#[test]
fn what_failed_is_cut_off_and_its_number_given_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut journal, _) = open(dir.path());
    put(&mut journal, "{\"n\":1}").expect("appends");
    let path = format::segment_path(dir.path(), 1);
    let writable = journal.file();
    journal.file = Arc::new(File::open(&path).expect("opens")); // read only: writes fail
    assert!(matches!(
        put(&mut journal, "{\"n\":2}"),
        Err(AppendError::Io { .. })
    ));
    assert!(journal.torn);
    writable
        .write_all_at(b"half a rec", journal.length)
        .expect("writes");
    assert!(put(&mut journal, "{\"n\":2}").is_err(), "still failing");
    journal.file = writable;
    assert_eq!(put(&mut journal, "{\"n\":3}").expect("appends"), 2);
    drop(journal);
    assert_eq!(all(dir.path()), records(&["{\"n\":1}", "{\"n\":3}"]));
    assert_eq!(open(dir.path()).1.torn_bytes, 0);
}

/// Runs where `TICKFORGE_TEST_SMALL_DISK` names a folder of a file system of less than 1 MB.
#[test]
fn a_full_disk_gives_up_taken_history_first_and_then_refuses() {
    let Some(disk) = std::env::var_os("TICKFORGE_TEST_SMALL_DISK") else {
        return;
    };
    let dir = Path::new(&disk).join("journal");
    let _ = std::fs::remove_dir_all(&dir);
    let (mut journal, _) = Journal::open(&dir, &config(1 << 30, 8192)).expect("opens");
    let payload = "z".repeat(1000);
    let mut seq = 0;
    while let Ok(next) = put(&mut journal, &payload) {
        assert_eq!(next, seq + 1);
        seq = next;
    }
    assert!(matches!(
        put(&mut journal, &payload),
        Err(AppendError::Io { .. })
    ));
    assert_eq!(all(&dir).len() as u64, seq, "what was taken is whole");
    journal.release(seq);
    for _ in 0..2000 {
        seq += 1;
        assert_eq!(put(&mut journal, &payload).expect("makes room"), seq);
        journal.release(seq);
    }
    drop(journal);
    assert_eq!(
        Journal::open(&dir, &config(1 << 30, 8192))
            .expect("opens")
            .1
            .last_seq,
        seq
    );
    std::fs::remove_dir_all(&dir).expect("removes");
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) = open(dir.path());
    let Err(second) = Journal::open(dir.path(), &config(1 << 20, 1 << 16)) else {
        panic!("two writers");
    };
    assert!(
        second.to_string().contains("in use by another tickforge"),
        "{second}"
    );
    drop(journal);
    open(dir.path());
}

#[test]
fn a_restart_goes_on_in_the_last_segment_and_numbers_go_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let small = config(1 << 20, 200);
    for round in 0..5u64 {
        let (mut journal, opened) = Journal::open(dir.path(), &small).expect("opens");
        assert_eq!(opened.last_seq, round * 3);
        for _ in 0..3 {
            put(&mut journal, &"y".repeat(80)).expect("appends");
        }
    }
    assert!(format::segments(dir.path()).expect("lists").len() >= 7);
    assert_eq!(all(dir.path()).len(), 15);
}
