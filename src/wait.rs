//! HOT PATH. What a reader of a [`ring`](crate::ring) does while there is nothing to read.
//!
//! First it spins, so that the next event is seen within nanoseconds; then it yields, so that
//! others get the core; then it sleeps in [`Consumer::park`], so that a quiet market costs nothing.
//! Belongs to the loop of the engine thread and of blocking publishers; decides nothing about the
//! data.

use crate::ring::Consumer;
use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

/// Pauses between two looks at the ring while spinning.
const SPINS: u32 = 4;

/// The shortest sleep: a thousand wake-ups a second would already be felt as load.
const MIN_PARK: Duration = Duration::from_millis(1);

/// Spins, then yields, then parks, by how long there has been nothing to do.
#[derive(Debug)]
pub struct Waiter {
    spin: Duration,
    /// Spinning and yielding together.
    awake: Duration,
    park: Duration,
    /// When the present pause began.
    since: Option<Instant>,
}

impl Waiter {
    /// Spins for `spin`, then yields for `yield_for`, then sleeps `park` at a time (at least 1 ms;
    /// the producer's wake ends a sleep early). With a single core there is no spinning, because it
    /// would only keep the writer from running.
    pub fn new(spin: Duration, yield_for: Duration, park: Duration) -> Waiter {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Waiter::with_cores(cores, spin, yield_for, park)
    }

    fn with_cores(cores: usize, spin: Duration, yield_for: Duration, park: Duration) -> Waiter {
        let spin = if cores > 1 { spin } else { Duration::ZERO };
        Waiter {
            spin,
            awake: spin + yield_for,
            park: park.max(MIN_PARK),
            since: None,
        }
    }

    /// Nothing was there to do: waits a little, and returns when it is time to look again.
    // COLD: there is nothing to do, so the clock may be read.
    #[inline]
    pub fn idle<T: Send>(&mut self, consumer: &mut Consumer<T>) {
        let now = Instant::now();
        let idle = now - *self.since.get_or_insert(now);
        if idle < self.spin {
            for _ in 0..SPINS {
                spin_loop();
            }
        } else if idle < self.awake {
            thread::yield_now();
        } else {
            consumer.park(self.park);
        }
    }

    /// There was something to do: the next pause begins with spinning again.
    #[inline]
    pub fn busy(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::ring;

    const SPIN: Duration = Duration::from_millis(2);
    const PARK: Duration = Duration::from_millis(100);

    /// How long the first and the last of several idle passes took.
    fn first_and_last(waiter: &mut Waiter) -> (Duration, Duration) {
        let (_producer, mut consumer) = ring::<u8>(1);
        let mut pass = || {
            let begun = Instant::now();
            waiter.idle(&mut consumer);
            begun.elapsed()
        };
        let first = pass();
        thread::sleep(2 * SPIN);
        (first, pass())
    }

    #[test]
    fn a_pause_begins_awake_and_ends_asleep() {
        let mut waiter = Waiter::with_cores(2, SPIN, SPIN, PARK);
        for _ in 0..2 {
            let (first, last) = first_and_last(&mut waiter);
            assert!(first < PARK && last >= PARK, "{first:?}, then {last:?}");
            waiter.busy();
        }
    }

    #[test]
    fn a_single_core_sleeps_at_once_and_never_for_less_than_a_millisecond() {
        let mut waiter = Waiter::with_cores(1, SPIN, Duration::ZERO, Duration::ZERO);
        let (first, _) = first_and_last(&mut waiter);
        assert!(first >= MIN_PARK, "{first:?}");
    }

    #[test]
    fn a_value_ends_the_sleep() {
        let (mut producer, mut consumer) = ring::<u8>(1);
        let long = Duration::from_secs(20);
        let reader = thread::spawn(move || {
            let mut waiter = Waiter::new(SPIN, SPIN, long);
            while consumer.pop().is_none() {
                waiter.idle(&mut consumer);
            }
            waiter.busy();
        });
        thread::sleep(4 * SPIN);
        let begun = Instant::now();
        assert_eq!(producer.push(1), Ok(()));
        producer.wake();
        reader.join().expect("the reader");
        assert!(begun.elapsed() < long);
    }
}
