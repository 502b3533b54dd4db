//! Which thread runs on which core? Linux's affinity masks, and the rules of `[ingest] core` and
//! `[engine] core`.
//!
//! Used once, at start: a thread that is told where to run sets its own mask before its work. Knows
//! no thread by itself.

use crate::config::{Config, EngineConfig, IngestConfig, IngestMode};
use anyhow::{Context, bail};
use std::io;
use std::mem::size_of_val;
use std::time::Duration;

/// An engine that looks for events so long without a pause hardly ever sleeps.
const SPINNING: Duration = Duration::from_millis(1);

/// Where each thread may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// `None` = where the system puts it.
    pub ingest: Option<Vec<usize>>,
    pub engine: Option<Vec<usize>>,
    pub others: Option<Vec<usize>>,
}

impl Placement {
    /// An error says what the machine cannot give, and what to do.
    pub fn new(config: &Config) -> anyhow::Result<Placement> {
        let allowed = allowed().context("the cores of this process cannot be asked for")?;
        // A quota of the control group counts, too: it stops who spins beyond it.
        let usable = std::thread::available_parallelism().map_or(1, usize::from);
        let (ingest, engine) = (&config.ingest, &config.engine);
        let placement = Placement::plan(&allowed, usable, ingest, engine)?;
        if let Some(core) = ingest.core.or(engine.core) {
            let remedy = "a systemd unit must allow the system calls of @resources";
            let pinned = allow(&[core]).and_then(|()| allow(&allowed));
            pinned.with_context(|| format!("core {core} cannot be pinned; {remedy}"))?;
        }
        Ok(placement)
    }

    fn plan(
        allowed: &[usize],
        usable: usize,
        ingest: &IngestConfig,
        engine: &EngineConfig,
    ) -> anyhow::Result<Placement> {
        for (section, core) in [("ingest", ingest.core), ("engine", engine.core)] {
            if let Some(core) = core.filter(|core| !allowed.contains(core)) {
                bail!(
                    "[{section}] core = {core}: this process may run on {allowed:?}; \
                     name one of them, or leave the key out"
                );
            }
        }
        let polls = ingest.mode == IngestMode::BusyPoll;
        let spinning = usize::from(polls) + usize::from(engine.spin >= SPINNING);
        if polls && (usable < 2 || usable < spinning) {
            bail!(
                "[ingest] mode = \"busy_poll\" takes a core for itself, and this process has \
                 {usable}; write \"tokio\", or give it two"
            );
        }
        if polls && usable == spinning {
            tracing::warn!(
                "[engine] spin = {:?} and busy_poll take all {usable} cores: journal and stores \
                 wait for one of them; a spin below {SPINNING:?} leaves them room",
                engine.spin
            );
        }
        let others = others(allowed, ingest.core, engine.core);
        let pinned = |core: Option<usize>| core.map(|core| vec![core]).or(others.clone());
        Ok(Placement {
            ingest: pinned(ingest.core),
            engine: pinned(engine.core),
            others,
        })
    }
}

/// Off the pinned cores; where that leaves none, off the ingest thread's alone.
fn others(allowed: &[usize], ingest: Option<usize>, engine: Option<usize>) -> Option<Vec<usize>> {
    if ingest.is_none() && engine.is_none() {
        return None;
    }
    let without = |pinned: &[Option<usize>]| -> Vec<usize> {
        let free = allowed
            .iter()
            .filter(|core| !pinned.contains(&Some(**core)));
        free.copied().collect()
    };
    let choices = [
        without(&[ingest, engine]),
        without(&[ingest]),
        allowed.to_vec(),
    ];
    choices.into_iter().find(|cores| !cores.is_empty())
}

/// The cores that the calling thread may use, ascending.
pub fn allowed() -> io::Result<Vec<usize>> {
    // SAFETY: a cpu_set_t is plain bits, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most the size given, to a set that is ours.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let bits = 0..8 * size_of_val(&set);
    // SAFETY: the core is below the number of bits of the set.
    Ok(bits
        .filter(|core| unsafe { libc::CPU_ISSET(*core, &set) })
        .collect())
}

/// From here on the calling thread, and the threads that it starts, run on these cores only.
pub fn allow(cores: &[usize]) -> io::Result<()> {
    // SAFETY: a cpu_set_t is plain bits, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let bits = 8 * size_of_val(&set);
    for core in cores.iter().filter(|core| **core < bits) {
        // SAFETY: the core is below the number of bits of the set.
        unsafe { libc::CPU_SET(*core, &mut set) };
    }
    // SAFETY: the kernel reads as many bytes as given, of a set that is ours.
    if unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plan for cores 0 to `n - 1`, of which `usable` may be used at once.
    fn plan(n: usize, usable: usize, text: &str) -> Result<Placement, String> {
        let config = Config::parse(text, "x.toml").expect("valid");
        let allowed: Vec<usize> = (0..n).collect();
        Placement::plan(&allowed, usable, &config.ingest, &config.engine)
            .map_err(|error| error.to_string())
    }

    const POLL: &str = "[ingest]\nmode = \"busy_poll\"\n";

    #[test]
    fn others_keep_off_pinned_cores_as_long_as_there_are_others() {
        let all = |n: usize, text: &str| {
            let p = plan(n, n, text).expect("a plan");
            (p.ingest, p.engine, p.others)
        };
        assert_eq!(all(2, ""), (None, None, None));
        assert_eq!(all(2, POLL), (None, None, None));
        let ingest = format!("{POLL}core = 0\n");
        assert_eq!(
            all(2, &ingest),
            (Some(vec![0]), Some(vec![1]), Some(vec![1]))
        );
        let both = format!("{ingest}[engine]\ncore = 1\n");
        assert_eq!(all(2, &both), (Some(vec![0]), Some(vec![1]), Some(vec![1])));
        assert_eq!(all(4, &both).2, Some(vec![2, 3]));
        assert_eq!(all(1, "[engine]\ncore = 0\n").2, Some(vec![0]));
    }

    #[test]
    fn what_the_machine_cannot_give_is_refused_with_a_remedy() {
        for (n, usable, text, expected) in [
            (
                1,
                1,
                POLL,
                "takes a core for itself, and this process has 1",
            ),
            (
                8,
                1,
                POLL,
                "takes a core for itself, and this process has 1",
            ),
            (
                2,
                2,
                "[ingest]\ncore = 2",
                "[ingest] core = 2: this process may run on [0, 1]",
            ),
            (
                2,
                2,
                "[engine]\ncore = 9",
                "[engine] core = 9: this process may run on [0, 1]",
            ),
        ] {
            let error = plan(n, usable, text).expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
        let spins = format!("{POLL}[engine]\nspin = \"1s\"\n");
        assert!(plan(2, 2, &spins).is_ok(), "with a warning");
    }

    #[test]
    fn a_thread_runs_where_it_is_told_and_its_children_too() {
        let before = allowed().expect("cores");
        let last = *before.last().expect("a core");
        let inside = std::thread::spawn(move || {
            allow(&[last]).expect("pinned");
            let child = std::thread::spawn(allowed).join().expect("the child");
            (allowed().expect("cores"), child.expect("cores"))
        });
        let (own, child) = inside.join().expect("the thread");
        assert_eq!((own, child), (vec![last], vec![last]));
        assert_eq!(allowed().expect("cores"), before, "others are left alone");
        assert!(allow(&[]).is_err());
    }
}
