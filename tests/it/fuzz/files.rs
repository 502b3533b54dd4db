//! What is read from disk: captures, plain and packed, and their playback; the journal; the
//! configuration.

use super::{Verdict, fingerprint, fuzz, scratch};
use crate::alloc::Mark;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tickforge::app;
use tickforge::capture::{Dir, Fault, Line, Reader};
use tickforge::config::{Config, JournalConfig, JournalSync};
use tickforge::exchanges::by_name;
use tickforge::playback::Playback;
use tickforge::publishers::journal::{self, Journal};

fn data(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "data", name]
        .iter()
        .collect();
    std::fs::read(path).unwrap()
}

/// Fails where more was held at once since `before` than a reader of `length` bytes may ask for.
fn bounded(before: Mark, length: usize, what: &str) -> Result<(), String> {
    let (held, allowed) = (before.most(), (4 << 20) + 64 * length as u64);
    if held > allowed {
        return Err(format!(
            "{what}: {held} bytes held for an input of {length}"
        ));
    }
    Ok(())
}

/// Lines read and numbers of lines refused, up to the end.
type Read = (Vec<(usize, Line)>, Vec<usize>, bool);

fn read(path: &Path) -> Result<Read, String> {
    let mut reader = Reader::open(path).map_err(|e| format!("{e:#}"))?;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for line in reader.by_ref() {
        match line {
            Ok(line) => good.push(line),
            Err(e) => bad.push((e.line, matches!(e.fault, Fault::Read(_)))),
        }
    }
    let damaged = bad.iter().any(|(_, read)| *read);
    if damaged && !bad.last().is_some_and(|(_, read)| *read) {
        return Err("something was read after the file could not be".to_owned());
    }
    if reader.next().is_some() {
        return Err("there is something behind the end".to_owned());
    }
    Ok((
        good,
        bad.into_iter().map(|(line, _)| line).collect(),
        reader.torn(),
    ))
}

/// What the format says of these bytes, line by line.
fn expected(bytes: &[u8]) -> Read {
    let (mut good, mut bad, mut torn) = (Vec::new(), Vec::new(), false);
    let mut lines: Vec<_> = bytes.split(|b| *b == b'\n').collect();
    let last = lines.pop().unwrap_or_default();
    let blank = |line: &[u8]| line.trim_ascii().is_empty();
    for (i, line) in lines.iter().enumerate().filter(|(_, line)| !blank(line)) {
        match serde_json::from_slice(line) {
            Ok(line) => good.push((i + 1, line)),
            Err(_) => bad.push(i + 1),
        }
    }
    if !blank(last) {
        match serde_json::from_slice(last) {
            Ok(line) => good.push((lines.len() + 1, line)),
            Err(_) => torn = true,
        }
    }
    (good, bad, torn)
}

fn plain_capture(path: &Path, input: &[u8]) -> Verdict {
    std::fs::write(path, input).unwrap();
    let before = Mark::set();
    let read = read(path)?;
    bounded(before, input.len(), "the reader")?;
    if read != expected(input) {
        return Err(format!("read {read:?}, there is {:?}", expected(input)));
    }
    let mut did = vec![fingerprint((
        read.0.len().min(8),
        read.1.len().min(4),
        read.2,
    ))];
    for (_, line) in &read.0 {
        let again = serde_json::to_string(line).unwrap();
        if serde_json::from_str::<Line>(&again).ok().as_ref() != Some(line) {
            return Err(format!("{again} is not read as it was written"));
        }
        let filled = [
            line.raw.is_some(),
            line.b64.is_some(),
            line.url.is_some(),
            line.mark.is_some(),
        ];
        did.push(fingerprint((
            line.dir as u8,
            filled,
            line.payload().is_ok(),
            line.t.signum(),
        )));
    }
    Ok(did)
}

/// The capture of a conversation, and one with lines of every kind.
fn captures() -> Vec<Vec<u8>> {
    let mark = Line::new(3, "k", Dir::Mark).with_mark("stale", "BTC/USD", "no frame for 30 s");
    let binary = Line::new(4, "k", Dir::Recv).with_payload(&[0, 159, 255], true);
    let lost = Line::new(5, "k", Dir::Disconnect);
    let kinds = [mark, binary, lost].map(|line| serde_json::to_string(&line).unwrap());
    let mut all = vec![kinds.join("\n").into_bytes()];
    for name in ["kraken", "coinbase"] {
        let whole = data(&format!("{name}/conversation.capture.jsonl"));
        let lines: Vec<_> = whole.split_inclusive(|b| *b == b'\n').collect();
        all.extend(lines.chunks(12).map(|part| part.concat()));
        all.push(whole);
    }
    all
}

#[test]
fn capture() {
    let dir = scratch();
    let path = dir.path().join("a.jsonl");
    fuzz("capture", captures(), |input| plain_capture(&path, input));
}

/// A file that claims to be zstd and is damaged: what is read of it is how the whole one begins, as
/// far as zstd can tell.
#[test]
fn capture_zst() {
    let dir = scratch();
    let path = dir.path().join("a.jsonl.zst");
    let packed = captures().into_iter().flat_map(|text| {
        let one = zstd::encode_all(&text[..], 3).unwrap();
        let two = [
            &one[..],
            &zstd::encode_all(&text[..text.len() / 2], 1).unwrap(),
        ]
        .concat();
        [one, two]
    });
    fuzz("capture_zst", packed.collect(), |input| {
        std::fs::write(&path, input).unwrap();
        let unpacked = unpack(input);
        let before = Mark::set();
        let read = read(&path)?;
        bounded(before, unpacked.0.len(), "the reader")?;
        let (mut good, bad, torn) = expected(&unpacked.0);
        if unpacked.1.is_some_and(|torn| !torn) {
            // Damage: what precedes it in its line is not looked at.
            good.retain(|(n, _)| *n <= unpacked.0.iter().filter(|b| **b == b'\n').count());
            let refused = bad.len() + 1;
            if read.0 != good || read.1.len() != refused {
                return Err(format!("damage: {read:?}, there is {good:?} {bad:?}"));
            }
        } else if (&read.0, &read.1) != (&good, &bad) || read.2 != (torn || unpacked.1.is_some()) {
            return Err(format!("{read:?}, there is {good:?} {bad:?} {torn}"));
        }
        Ok(vec![fingerprint((
            read.0.len().min(8),
            read.1.len().min(4),
            read.2,
            unpacked.1,
        ))])
    });
}

/// What zstd makes of it, and where it gave up whether that was for want of more.
fn unpack(input: &[u8]) -> (Vec<u8>, Option<bool>) {
    let mut text = Vec::new();
    let mut decoder = zstd::Decoder::new(input).unwrap();
    let mut part = vec![0; 4096];
    loop {
        match std::io::Read::read(&mut decoder, &mut part) {
            Ok(0) => return (text, None),
            Ok(n) => text.extend_from_slice(&part[..n]),
            Err(e) => return (text, Some(e.kind() == std::io::ErrorKind::UnexpectedEof)),
        }
    }
}

/// A conversation of Binance as a capture, for its REST answers and times as numbers.
fn binance_capture() -> Vec<u8> {
    let url = |path: &str| format!("https://api.binance.com/api/v3/{path}");
    let head = |n: usize, dir| Line::new(n as i64, "binance-1", dir);
    let listing = head(0, Dir::Http).with_url(url("exchangeInfo"));
    let mut lines = vec![listing.with_text(super::decoders::BINANCE_LIST)];
    for (n, frame) in super::decoders::BINANCE.lines().enumerate() {
        lines.push(
            match frame
                .strip_prefix("@snapshot ")
                .and_then(|s| s.split_once(' '))
            {
                Some((native, body)) => {
                    let depth = url(&format!("depth?symbol={native}&limit=1000"));
                    head(n, Dir::Http).with_url(depth).with_text(body)
                }
                None => head(n, Dir::Recv).with_text(frame),
            },
        );
    }
    let text = lines
        .iter()
        .map(|line| serde_json::to_string(line).unwrap() + "\n");
    text.collect::<String>().into_bytes()
}

/// Whatever lines a capture has, all of the live code behind it takes them.
#[test]
fn playback() {
    let strategies = app::plans(&Config::parse("", "fuzz").unwrap()).unwrap();
    let seeds = [captures(), vec![binance_capture()]].concat();
    fuzz("playback", seeds, |input| {
        let mut playback = Playback::new(None, strategies.clone()).unwrap();
        let mut did = Vec::new();
        for (_, line) in expected(input).0 {
            let before = Mark::set();
            let mut seen = Vec::new();
            let outcome = playback.line(&line, |event, change, _, _| {
                seen.push((event.kind as u8, change))
            });
            bounded(
                before,
                line.raw.as_ref().map_or(0, String::len),
                "the playback",
            )?;
            let told =
                outcome.map(|outcome| format!("{outcome:?}").chars().take(40).collect::<String>());
            let changes: std::collections::BTreeSet<_> = seen
                .iter()
                .map(|(kind, change)| format!("{kind} {change:?}"))
                .collect();
            did.push(fingerprint((told.map_err(|_| ()), changes)));
            if let Some(name) = playback.out.stopped.first() {
                return Err(format!("the strategy {name} panicked"));
            }
        }
        Ok(did)
    });
}

/// A journal on disk, of which one segment is damaged: the last one, or one that others follow.
struct Image {
    /// By file name; the damaged segment is the one of number `damaged`.
    files: Vec<(String, Vec<u8>)>,
    damaged: u64,
    payloads: Vec<Vec<u8>>,
}

fn every(segment_bytes: u64) -> JournalConfig {
    let sync = JournalSync::Every(Duration::ZERO);
    JournalConfig {
        sync,
        max_bytes: 1 << 30,
        segment_bytes,
    }
}

impl Image {
    /// Five segments of one record each, one of all `payloads`, and `after` of one record each.
    fn new(payloads: &[Vec<u8>], after: usize) -> Image {
        let dir = scratch();
        let records = |segment_bytes: u64, payloads: &[Vec<u8>]| {
            let (mut journal, _) = Journal::open(dir.path(), &every(segment_bytes)).unwrap();
            for payload in payloads {
                journal.append(payload).unwrap();
                journal.commit(false).unwrap();
            }
        };
        let small: Vec<_> = (0..5)
            .map(|n| format!("{{\"early\":{n}}}").into_bytes())
            .collect();
        records(1, &small);
        records(1 << 20, payloads);
        records(1, &vec![b"{\"late\":1}".to_vec(); after]);
        let logs = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let logs = logs.filter(|path| path.extension().is_some_and(|e| e == "log"));
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let files: Vec<_> = logs
            .map(|path| (name(&path), std::fs::read(&path).unwrap()))
            .collect();
        assert_eq!(files.len(), 5 + after);
        let late = std::iter::repeat_n(b"{\"late\":1}".to_vec(), after);
        let payloads = small
            .into_iter()
            .chain(payloads.iter().cloned())
            .chain(late)
            .collect();
        Image {
            files,
            damaged: 5,
            payloads,
        }
    }

    fn segment(&self) -> Vec<u8> {
        let name = format!("{:020}.log", self.damaged);
        self.files
            .iter()
            .find(|(n, _)| *n == name)
            .expect("the segment")
            .1
            .clone()
    }

    /// Writes it with `segment` as the damaged one; returns how many bytes.
    fn write(&self, dir: &Path, segment: &[u8]) -> usize {
        let _ = std::fs::remove_dir_all(dir);
        std::fs::create_dir_all(dir).unwrap();
        for (name, bytes) in &self.files {
            let damaged = *name == format!("{:020}.log", self.damaged);
            std::fs::write(dir.join(name), if damaged { segment } else { bytes }).unwrap();
        }
        segment.len() + 1024
    }
}

fn drain(dir: &Path, from: u64, length: usize) -> Result<Vec<(u64, Vec<u8>)>, String> {
    let mut reader = journal::Reader::open(dir, from);
    let mut all: Vec<(u64, Vec<u8>)> = Vec::new();
    while let Some(record) = reader
        .next(u64::MAX)
        .map_err(|e| format!("the reader: {e}"))?
    {
        if all.last().is_some_and(|(seq, _)| record.seq <= *seq) {
            return Err(format!("number {} after {:?}", record.seq, all.last()));
        }
        all.push((record.seq, record.payload.to_vec()));
        if all.len() > length {
            return Err("more records than bytes".to_owned());
        }
    }
    let told = all.len() as u64 + reader.damaged() + reader.skipped();
    if from == 1 && told != reader.next_seq() - 1 {
        return Err(format!(
            "{told} numbers are accounted for, next is {}",
            reader.next_seq()
        ));
    }
    Ok(all)
}

/// Opens what is there, reads it, appends to it, and opens it again.
fn play_journal(dir: &Path, image: &Image, input: &[u8]) -> Verdict {
    let length = image.write(dir, input);
    let config = every(1 << 20);
    let before = Mark::set();
    let untouched = drain(dir, 1, length)?;
    let (mut journal, opened) = Journal::open(dir, &config).map_err(|e| format!("{e:#}"))?;
    bounded(before, length, "opening")?;
    let records = drain(dir, 1, length)?;
    if records != untouched {
        return Err(format!(
            "opening changed what is read: {untouched:?}, now {records:?}"
        ));
    }
    if let Some(foreign) = records
        .iter()
        .find(|(_, payload)| !image.payloads.contains(payload))
    {
        return Err(format!(
            "a damaged record was taken for a good one: {foreign:?}"
        ));
    }
    if let Some((last, _)) = records.last()
        && *last > opened.last_seq
    {
        return Err(format!("record {last} is there, {opened:?} was found"));
    }
    let seq = journal.append(b"{\"new\":1}").map_err(|e| e.to_string())?;
    journal.commit(false).map_err(|e| e.to_string())?;
    drop(journal);
    let (journal, again) = Journal::open(dir, &config).map_err(|e| format!("{e:#}"))?;
    drop(journal);
    let after = drain(dir, 1, length + 64)?;
    if seq != opened.last_seq + 1 || again.last_seq != seq || again.torn_bytes != 0 {
        return Err(format!(
            "after {opened:?} number {seq} was given, then {again:?} found"
        ));
    }
    if after.last() != Some(&(seq, b"{\"new\":1}".to_vec())) || after[..after.len() - 1] != records
    {
        return Err(format!("{records:?} and number {seq} became {after:?}"));
    }
    let tail = drain(dir, seq, length + 64)?;
    if tail.len() != 1 {
        return Err(format!("from {seq} on there is {tail:?}"));
    }
    let gaps = records.windows(2).filter(|w| w[1].0 != w[0].0 + 1).count();
    let few = |n: u64| n.min(3);
    Ok(vec![fingerprint((
        records.len(),
        gaps,
        few(opened.torn_bytes),
        few(opened.damaged),
    ))])
}

/// Short records, long ones, and one that holds what looks like records itself.
fn payloads() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..9)
        .map(|n| format!("{{\"n\":{n}}}").into_bytes())
        .collect();
    all.extend([100, 700].map(|n| vec![b'a'; n]));
    let inner = Image::new(&all[..3], 0).segment();
    all.extend([
        inner,
        b"{}".to_vec(),
        vec![b'z'; 3_000],
        b"{\"end\":1}".to_vec(),
    ]);
    all
}

fn damage_journal(target: &str, after: usize) {
    let image = Image::new(&payloads(), after);
    let dir = scratch();
    let folder = dir.path().join("journal");
    let whole = image.segment();
    let seeds = vec![whole[..300].to_vec(), whole, Vec::new()];
    fuzz(target, seeds, |input| play_journal(&folder, &image, input));
}

#[test]
fn journal() {
    damage_journal("journal", 0);
}

#[test]
fn journal_middle() {
    damage_journal("journal_middle", 2);
}

/// Every text is a configuration, or refused with its line.
#[test]
fn config() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documented = std::fs::read(root.join("config/tickforge.toml")).unwrap();
    let bare: Vec<u8> = documented
        .split_inclusive(|b| *b == b'\n')
        .map(|line| {
            line.strip_prefix(b"# ")
                .filter(|rest| rest.contains(&b'='))
                .unwrap_or(line)
        })
        .filter(|line| !line.starts_with(b"#"))
        .collect::<Vec<_>>()
        .concat();
    let small = b"name = \"a\"\n[exchanges.kraken]\nsymbols = [\"BTC/USD\"]\n[journal]\nmax_bytes = \"1GB\"\n".to_vec();
    fuzz("config", vec![documented, bare, small], |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return Ok(Vec::new());
        };
        let before = Mark::set();
        let parsed = Config::parse(text, "fuzz.toml");
        // What is refused may be brackets alone, of which a tree of TOML takes some 150 bytes each;
        // a file is 1 MiB at most.
        let times = if parsed.is_ok() { 1 } else { 4 };
        bounded(before, times * input.len(), "the configuration")?;
        match parsed {
            Ok(_) => Ok(vec![0]),
            Err(e) if e.problems.is_empty() => Err("refused, and no problem is named".to_owned()),
            Err(e) => {
                let words = |p: &String| {
                    p.split(['"', '\'', '='])
                        .next()
                        .map(|t| t.replace(|c: char| c.is_ascii_digit(), ""))
                };
                Ok(e.problems.iter().map(|p| fingerprint(words(p))).collect())
            }
        }
    });
}

#[test]
fn lists_of_instruments() {
    // Bounded by what they say; refused with words.
    let lists = [
        ("binance", "{\"symbols\":[]}"),
        ("coinbase", "{\"products\":[]}"),
        ("kraken", "{\"error\":[],\"result\":{}}"),
    ];
    for (name, list) in lists {
        let exchange = by_name(name).expect("an exchange");
        let seeds = [list.as_bytes().to_vec(), listing(name)];
        fuzz(&format!("{name}_list"), seeds.into(), |input| {
            let before = Mark::set();
            let listed = exchange.parse_listing(input);
            bounded(before, input.len(), "the list")?;
            let told = match &listed {
                Ok(list) => format!("{}", list.len().min(4)),
                Err(e) => {
                    let words = e.root_cause().to_string();
                    words.split([' ', '`']).take(3).collect::<String>()
                }
            };
            Ok(vec![fingerprint(told)])
        });
    }
}

/// A list with every field that is read.
fn listing(name: &str) -> Vec<u8> {
    if name == "binance" {
        return super::decoders::BINANCE_LIST.as_bytes().to_vec();
    }
    let capture = data(&format!("{name}/conversation.capture.jsonl"));
    let lines = expected(&capture).0;
    let http = lines.into_iter().find(|(_, line)| line.dir == Dir::Http);
    http.and_then(|(_, line)| line.raw)
        .expect("a list")
        .into_bytes()
}
