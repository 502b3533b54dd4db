//! Who writes a recording? A thread of its own, so that compression and the disk are not in the
//! ingest thread's way.
//!
//! Lines come in the order of processing and are written in it. Where the disk does not keep up
//! the queue fills, and then [`Recorder::record`] waits: sockets are read later, nothing is
//! skipped. A recording that cannot go on (a full disk) ends with a word; the daemon goes on.

use super::mark::{RECORDER, RECORDING};
use super::{Dir, Line, Writer};
use crate::clock;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

/// Lines between the ingest thread and the disk.
const QUEUE: usize = 16_384;
/// How often what was written is handed to the operating system while no line comes.
const TICK: Duration = Duration::from_millis(500);

pub struct Recorder {
    lines: Option<Sender<Line>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Recorder {
    /// Creates the file and starts the thread.
    pub fn start(path: &Path) -> anyhow::Result<Recorder> {
        let mut writer = Writer::create(path)?;
        let program = concat!("tickforge ", env!("CARGO_PKG_VERSION"));
        let first = Line::new(clock::now_ns(), RECORDER, Dir::Mark);
        writer.write(&first.with_mark(RECORDING, "", program))?;
        let (lines, queue) = bounded(QUEUE);
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || write(writer, &queue))?;
        Ok(Recorder {
            lines: Some(lines),
            thread: Some(thread),
        })
    }

    /// Adds a line; waits while the queue is full.
    pub fn record(&mut self, line: Line) {
        let ended = match &self.lines {
            Some(lines) => lines.send(line).is_err(),
            None => false,
        };
        if ended {
            self.lines = None;
            self.report();
        }
    }

    /// Writes what is queued and the file's end.
    pub fn finish(mut self) {
        self.lines = None;
        self.report();
    }

    /// What became of the thread, once.
    fn report(&mut self) {
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => {}
            Some(Ok(Err(e))) => {
                tracing::error!("recording ends here, the daemon goes on: {e:#}");
            }
            Some(Err(_)) => tracing::error!("the recorder panicked; the daemon goes on"),
        }
    }
}

fn write(mut writer: Writer, queue: &Receiver<Line>) -> anyhow::Result<()> {
    let mut received = 0;
    loop {
        match queue.recv_timeout(TICK) {
            Ok(mut line) => {
                if line.dir == Dir::Recv {
                    line.n = Some(received);
                    received += 1;
                }
                writer.write(&line)?;
            }
            Err(RecvTimeoutError::Timeout) => writer.tick()?,
            Err(RecvTimeoutError::Disconnected) => return writer.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Reader;

    #[test]
    fn lines_are_numbered_and_all_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.capture.jsonl.zst");
        let mut recorder = Recorder::start(&path).expect("starts");
        for i in 0..40_000 {
            let dir = if i % 4 == 0 { Dir::Mark } else { Dir::Recv };
            recorder.record(Line::new(i, "x.ws.0", dir).with_payload(b"{}", false));
        }
        recorder.finish();
        let lines: Vec<Line> = Reader::open(&path)
            .expect("opens")
            .map(|l| l.expect("a line").1)
            .collect();
        assert_eq!(lines[0].mark.as_deref(), Some(RECORDING));
        let times: Vec<i64> = lines[1..].iter().map(|l| l.t).collect();
        assert_eq!(times, (0..40_000).collect::<Vec<_>>(), "in order");
        let numbers: Vec<u64> = lines.iter().filter_map(|l| l.n).collect();
        assert_eq!(numbers, (0..30_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_disk_ends_the_recording_only() {
        let mut recorder = Recorder::start(Path::new("/dev/full")).expect("starts");
        for i in 0..200_000 {
            recorder.record(Line::new(i, "x.ws.0", Dir::Recv).with_payload(b"{}", false));
        }
        recorder.finish();
    }
}
