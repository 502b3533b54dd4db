//! What `record` runs: ingest with a recorder, and an engine that only keeps the books, so that one
//! that breaks is fetched again while it is recorded.

use super::{Around, BROKEN_RING, StopSender, Wiring, spawn};
use crate::capture::Recorder;
use crate::clock::Clock;
use crate::config::Config;
use crate::cores::Placement;
use crate::engine::Engine;
use crate::market::Registry;
use crate::metrics::Metrics;
use crate::net::{PastContext, SwitchContext};
use crate::ring::ring;
use crate::summary::Summary;
use anyhow::bail;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::watch;

pub struct Recording {
    config: Config,
    metrics: Arc<Metrics>,
    started: Instant,
    stop: StopSender,
    ingest: JoinHandle<()>,
    engine: JoinHandle<Engine>,
    /// Reads a ring that stays empty: without strategies there are no signals.
    signals: JoinHandle<()>,
}

impl Recording {
    pub fn start(config: Config, recorder: Recorder) -> anyhow::Result<Recording> {
        let registry = Arc::new(Registry::default());
        let engine = Engine::new(Arc::clone(&registry), Vec::new());
        let wiring = Wiring {
            metrics: Arc::new(Metrics::default()),
            registry,
            clock: Clock::system(),
            names: Vec::new(),
            settings: Arc::clone(engine.settings()),
            tuned: watch::channel(Vec::new()).1,
            placement: Placement::new(&config)?,
            fresh: watch::channel(config.http.fresh).1,
            config,
        };
        let (stop, stopped) = watch::channel(None);
        let (events, events_out) = ring(wiring.config.engine.ring);
        let (signals, mut none) = ring(wiring.config.engine.signal_ring);
        let (broken, broken_out) = ring(BROKEN_RING);
        let signals_end = spawn("signals", &wiring.placement.others, move || {
            while !none.is_closed() {
                none.park(super::PARK);
            }
        })?;
        let around = Around {
            ticks: Vec::new(),
            days: None,
            keeper: None,
        };
        let engine = wiring.engine(engine, events_out, signals, around, broken)?;
        let told = SwitchContext::default().told;
        let context = (told, PastContext::default());
        let ingest = wiring.ingest(events, broken_out, Some(recorder), context, stopped)?;
        Ok(Recording {
            config: wiring.config,
            metrics: wiring.metrics,
            started: Instant::now(),
            stop,
            ingest,
            engine,
            signals: signals_end,
        })
    }

    pub fn crippled(&self) -> bool {
        self.ingest.is_finished() || self.engine.is_finished()
    }

    /// Completes the file and says what is in it.
    pub fn stop(self) -> anyhow::Result<Summary> {
        let seconds = self.started.elapsed().as_secs_f64();
        let deadline = Instant::now() + self.config.engine.drain;
        self.stop.send_replace(Some(deadline));
        let ended = [
            self.ingest.join().is_ok(),
            self.engine.join().is_ok(),
            self.signals.join().is_ok(),
        ];
        if ended != [true; 3] {
            bail!("a thread panicked: the recording may be incomplete");
        }
        Ok(Summary::new(&self.metrics, &self.config.data_dir, seconds))
    }
}
