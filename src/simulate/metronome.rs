//! Ticks at a steady pace of microseconds: a `timerfd` of Linux. The runtime's own timers go by
//! whole milliseconds, and what a market sends would come in bundles of one to two of them.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub struct Metronome(AsyncFd<OwnedFd>);

impl Metronome {
    /// The first tick comes after one `period`. On a runtime, with I/O.
    pub fn new(period: Duration) -> io::Result<Metronome> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let period = Timespec::try_from(period)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "an endless period"))?;
        let times = Itimerspec {
            it_interval: period,
            it_value: period,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        // SAFETY: an OwnedFd is open, and the same descriptor, for as long as the AsyncFd owns it.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        Ok(Metronome(timer))
    }

    /// Waits for the next tick; those missed meanwhile are one with it, and delay none after them.
    /// May be dropped at any time: no tick is lost.
    pub async fn tick(&self) -> io::Result<()> {
        let mut ticks = [0; 8];
        loop {
            let mut ready = self.0.readable().await?;
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut ticks)?));
            if let Ok(read) = read {
                return read.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn ticks_keep_their_pace_and_missed_ones_come_as_one() {
        let period = Duration::from_micros(400);
        let begun = Instant::now();
        let metronome = Metronome::new(period).expect("a timer");
        for n in 1..=25 {
            metronome.tick().await.expect("a tick");
            assert!(begun.elapsed() >= period * n);
        }
        std::thread::sleep(20 * period);
        let before = Instant::now();
        metronome.tick().await.expect("a tick");
        metronome.tick().await.expect("a tick");
        metronome.tick().await.expect("a tick");
        assert!(
            before.elapsed() >= period,
            "not one for each that was missed"
        );
    }
}
