//! HOT PATH. How values cross from one thread to the next: a bounded ring with one writer and one
//! reader.
//!
//! Who uses it: the ingest thread writes events and the engine thread reads them; the engine thread
//! writes signals and each publisher reads its own ring. What happens when a ring is full is the
//! writer's decision: this file neither drops nor waits, it hands the value back. It allocates
//! once, in [`ring`], takes no lock, and makes a system call only to put a reader to sleep or to
//! wake it.
//!
//! # Why the orderings are enough
//!
//! `head` counts the values ever read, `tail` the values ever written; both only grow (wrapping),
//! and a value lives in the slot `position & mask`. Only the consumer writes `head`, only the
//! producer writes `tail`, so each side knows its own position and keeps a copy of the other's,
//! which it refreshes only when the copy says full or empty. An outdated copy is safe: it only ever
//! shows less room, or fewer values, than there are.
//!
//! - A value is written to its slot before `tail` is stored with `Release`; the consumer loads
//!   `tail` with `Acquire` before it reads the slot. So it sees the whole value.
//! - A value is read out of its slot before `head` is stored with `Release`; the producer loads
//!   `head` with `Acquire` before it writes that slot again. So nothing is overwritten while being
//!   read.
//! - Sleep: the consumer stores `asleep`, runs a `SeqCst` fence and then looks at `tail` once more;
//!   the producer stores `tail`, runs a `SeqCst` fence and then looks at `asleep`. One of the two
//!   fences comes first, so either the consumer sees the value or the producer sees the sleeper.

use crossbeam::sync::{Parker, Unparker};
use crossbeam::utils::CachePadded;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::time::Duration;

/// Makes a ring of at least `capacity` values, rounded up to a power of two.
///
/// Panics if that many values do not fit the address space.
pub fn ring<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity
        .max(1)
        .checked_next_power_of_two()
        .expect("a ring that fits the address space");
    let slots = (0..capacity)
        .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
        .collect();
    let shared = Arc::new(Shared {
        head: CachePadded::new(AtomicUsize::new(0)),
        tail: CachePadded::new(AtomicUsize::new(0)),
        asleep: CachePadded::new(AtomicBool::new(false)),
        producer_gone: AtomicBool::new(false),
        consumer_gone: AtomicBool::new(false),
        mask: capacity - 1,
        slots,
    });
    let parker = Parker::new();
    let unparker = parker.unparker().clone();
    let producer = Producer {
        tail: 0,
        cached_head: 0,
        shared: Arc::clone(&shared),
        unparker,
    };
    let consumer = Consumer {
        head: 0,
        cached_tail: 0,
        shared,
        parker,
    };
    (producer, consumer)
}

struct Shared<T> {
    /// Values ever read.
    head: CachePadded<AtomicUsize>,
    /// Values ever written.
    tail: CachePadded<AtomicUsize>,
    /// The consumer sleeps, or is about to.
    asleep: CachePadded<AtomicBool>,
    producer_gone: AtomicBool,
    consumer_gone: AtomicBool,
    mask: usize,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: the slots are all that is not `Sync` by itself. A slot is touched by one thread at a
// time: those in `head..tail` by the consumer, the others by the producer, and it changes hands
// through the Release/Acquire pairs told above. Values move between threads, hence `T: Send`.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn capacity(&self) -> usize {
        self.mask + 1
    }

    #[inline]
    fn slot(&self, position: usize) -> *mut T {
        self.slots[position & self.mask].get().cast()
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let (mut position, tail) = (*self.head.get_mut(), *self.tail.get_mut());
        while position != tail {
            // SAFETY: `head..tail` are the values written and not read; both ends are gone, so this
            // is the only reference to them, and each is dropped once.
            unsafe { self.slot(position).drop_in_place() };
            position = position.wrapping_add(1);
        }
    }
}

/// The writing end. Dropping it closes the ring and wakes the consumer.
pub struct Producer<T> {
    tail: usize,
    /// `head` when it was last looked at.
    cached_head: usize,
    shared: Arc<Shared<T>>,
    unparker: Unparker,
}

impl<T: Send> Producer<T> {
    /// Writes a value and publishes it at once; gives it back when the ring is full.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        if self.room() == 0 && self.free() == 0 {
            return Err(value);
        }
        // SAFETY: there is room, so the slot at `tail` holds no value and the consumer, which stays
        // below `tail`, does not touch it.
        unsafe { self.shared.slot(self.tail).write(value) };
        self.publish(1);
        Ok(())
    }

    /// Writes as many of `values` as fit, in order, publishes them together and says how many.
    #[inline]
    pub fn push_slice(&mut self, values: &[T]) -> usize
    where
        T: Copy,
    {
        let mut room = self.room();
        if room < values.len() {
            room = self.free();
        }
        let count = room.min(values.len());
        if count == 0 {
            return 0;
        }
        let start = self.tail & self.shared.mask;
        let until_end = count.min(self.shared.capacity() - start);
        let (first, rest) = values[..count].split_at(until_end);
        let slots = self.shared.slots.as_ptr().cast::<T>().cast_mut();
        // SAFETY: `count` slots from `tail` on are free and no one else touches them. `first` ends
        // at the last slot at the latest and `rest` begins at slot 0; a slot has the layout of a
        // `T`, may be written through a shared reference (`UnsafeCell`), and `values` is not inside
        // the ring.
        unsafe {
            slots
                .add(start)
                .copy_from_nonoverlapping(first.as_ptr(), first.len());
            slots.copy_from_nonoverlapping(rest.as_ptr(), rest.len());
        }
        self.publish(count);
        count
    }

    /// How many values can be written now; looks at where the consumer is.
    #[inline]
    pub fn free(&mut self) -> usize {
        self.cached_head = self.shared.head.load(Ordering::Acquire);
        self.room()
    }

    /// Values written and not yet read.
    #[inline]
    pub fn len(&self) -> usize {
        self.tail
            .wrapping_sub(self.shared.head.load(Ordering::Relaxed))
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn capacity(&self) -> usize {
        self.shared.capacity()
    }

    /// The consumer is gone: what is written now is never read.
    #[inline]
    pub fn is_abandoned(&self) -> bool {
        self.shared.consumer_gone.load(Ordering::Acquire)
    }

    /// Wakes the consumer if it sleeps in [`Consumer::park`]. Call it once after a batch of pushes;
    /// for a consumer that is awake it costs a fence and a load.
    #[inline]
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::Relaxed) {
            self.unpark();
        }
    }

    #[cold]
    fn unpark(&self) {
        // The swap lets one call of several do the work while the consumer is still getting up.
        if self.shared.asleep.swap(false, Ordering::Relaxed) {
            self.unparker.unpark();
        }
    }

    /// Free slots as far as the last look at the consumer tells.
    #[inline]
    fn room(&self) -> usize {
        self.capacity() - self.tail.wrapping_sub(self.cached_head)
    }

    #[inline]
    fn publish(&mut self, count: usize) {
        self.tail = self.tail.wrapping_add(count);
        self.shared.tail.store(self.tail, Ordering::Release);
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.shared.producer_gone.store(true, Ordering::Release);
        self.unparker.unpark();
    }
}

/// The reading end. Values left in the ring when both ends are gone are dropped.
pub struct Consumer<T> {
    head: usize,
    /// `tail` when it was last looked at.
    cached_tail: usize,
    shared: Arc<Shared<T>>,
    parker: Parker,
}

impl<T: Send> Consumer<T> {
    /// The oldest value.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.readable() == 0 {
            return None;
        }
        // SAFETY: `head` is below `tail`, so the slot holds a value that the producer leaves alone
        // until `head` has passed it; `head` passes it below, so it is read out once.
        let value = unsafe { self.shared.slot(self.head).read() };
        self.advance(1);
        Some(value)
    }

    /// The oldest values that lie side by side in memory, for reading in place; empty only when the
    /// ring is. They stay in the ring until [`Consumer::consume`].
    #[inline]
    pub fn peek(&mut self) -> &[T]
    where
        T: Copy,
    {
        // One look at the producer pays for a whole batch, so it is never left out.
        self.cached_tail = self.shared.tail.load(Ordering::Acquire);
        let start = self.head & self.shared.mask;
        let readable = self.cached_tail.wrapping_sub(self.head);
        let count = readable.min(self.shared.capacity() - start);
        let slots = self.shared.slots.as_ptr().cast::<T>();
        // SAFETY: `count` slots from `head` on hold values and do not run past the last slot; the
        // producer leaves them alone until `head` moves, which needs `&mut self` and so ends this
        // borrow.
        unsafe { std::slice::from_raw_parts(slots.add(start), count) }
    }

    /// Gives the `count` oldest values' slots back to the producer.
    ///
    /// Panics if fewer than that were seen by the last [`Consumer::peek`] or [`Consumer::pop`].
    #[inline]
    pub fn consume(&mut self, count: usize)
    where
        T: Copy,
    {
        assert!(
            count <= self.cached_tail.wrapping_sub(self.head),
            "consumes what was never read"
        );
        self.advance(count);
    }

    /// Values ready to be read.
    #[inline]
    pub fn len(&self) -> usize {
        self.shared
            .tail
            .load(Ordering::Acquire)
            .wrapping_sub(self.head)
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn capacity(&self) -> usize {
        self.shared.capacity()
    }

    /// The producer is gone and everything it wrote has been read.
    #[inline]
    pub fn is_closed(&self) -> bool {
        // In this order: a producer that is gone has stored its last `tail` before.
        self.shared.producer_gone.load(Ordering::Acquire) && self.is_empty()
    }

    /// Sleeps until [`Producer::wake`], the producer's end or the timeout, and not at all when
    /// there is something to read. May return early for no reason.
    pub fn park(&mut self, timeout: Duration) {
        self.shared.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // The producer's end needs no flag to be seen: its `unpark` also counts when it comes
        // first.
        if self.is_empty() && !self.shared.producer_gone.load(Ordering::Acquire) {
            self.parker.park_timeout(timeout);
        }
        self.shared.asleep.store(false, Ordering::Relaxed);
    }

    #[inline]
    fn readable(&mut self) -> usize {
        let seen = self.cached_tail.wrapping_sub(self.head);
        if seen != 0 {
            return seen;
        }
        self.cached_tail = self.shared.tail.load(Ordering::Acquire);
        self.cached_tail.wrapping_sub(self.head)
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.head = self.head.wrapping_add(count);
        self.shared.head.store(self.head, Ordering::Release);
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.shared.consumer_gone.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(20);

    /// Moves `0..total` through a ring in batches of the given sizes (1 = push and pop).
    fn check_order(capacity: usize, total: u64, write: usize, read: usize) {
        let (mut producer, mut consumer) = ring::<u64>(capacity);
        let writer = thread::spawn(move || {
            let values: Vec<u64> = (0..total).collect();
            let mut rest = values.as_slice();
            while let Some(&value) = rest.first() {
                let done = match write {
                    1 => usize::from(producer.push(value).is_ok()),
                    _ => producer.push_slice(&rest[..write.min(rest.len())]),
                };
                rest = &rest[done..];
                if done == 0 {
                    thread::yield_now();
                }
            }
        });
        let mut next = 0;
        while !consumer.is_closed() {
            let before = next;
            if read == 1 {
                if let Some(value) = consumer.pop() {
                    assert_eq!(value, next);
                    next += 1;
                }
            } else {
                let run = consumer.peek();
                let count = run.len().min(read);
                for &value in &run[..count] {
                    assert_eq!(value, next);
                    next += 1;
                }
                consumer.consume(count);
            }
            if next == before {
                thread::yield_now();
            }
        }
        assert_eq!(
            next, total,
            "capacity {capacity}, write {write}, read {read}"
        );
        writer.join().expect("the writer");
    }

    #[test]
    fn every_value_arrives_once_and_in_order() {
        check_order(1000, 1_000_000, 1, 1);
        check_order(1000, 1_000_000, 7, 13);
        check_order(64, 1_000_000, 100, 1);
        check_order(3, 100_000, 1, 3);
        check_order(2, 100_000, 5, 2);
        check_order(1, 20_000, 1, 1);
    }

    #[test]
    fn full_gives_back_and_empty_gives_nothing() {
        for (asked, capacity) in [(0, 1), (1, 1), (2, 2), (3, 4), (64, 64), (65, 128)] {
            let (mut producer, mut consumer) = ring::<usize>(asked);
            assert_eq!(
                (producer.capacity(), consumer.capacity()),
                (capacity, capacity)
            );
            assert_eq!(consumer.pop(), None);
            // Several rounds, so that positions pass the end of the memory at every offset.
            for round in 0..3 * capacity {
                for i in 0..capacity {
                    assert_eq!(producer.free(), capacity - i);
                    assert_eq!(producer.push(round + i), Ok(()));
                }
                assert_eq!(producer.push(7), Err(7));
                assert_eq!(producer.push_slice(&[7]), 0);
                assert_eq!(
                    (producer.free(), producer.len(), consumer.len()),
                    (0, capacity, capacity)
                );
                assert_eq!(consumer.pop(), Some(round));
                assert_eq!(producer.push(usize::MAX), Ok(()));
                for i in 1..capacity {
                    assert_eq!(consumer.pop(), Some(round + i));
                }
                assert_eq!(consumer.pop(), Some(usize::MAX));
                assert_eq!(consumer.pop(), None);
                assert!(producer.is_empty() && consumer.is_empty());
            }
        }
    }

    #[test]
    fn slices_wrap_around_the_end() {
        let (mut producer, mut consumer) = ring::<u32>(8);
        assert_eq!(producer.push_slice(&[1, 2, 3, 4, 5, 6]), 6);
        assert_eq!(consumer.peek(), [1, 2, 3, 4, 5, 6]);
        consumer.consume(5);
        assert_eq!(producer.push_slice(&[7, 8, 9, 10, 11, 12, 13, 14]), 7);
        assert_eq!(consumer.peek(), [6, 7, 8], "up to the end of the memory");
        consumer.consume(3);
        assert_eq!(consumer.peek(), [9, 10, 11, 12, 13]);
        consumer.consume(5);
        assert!(consumer.peek().is_empty());
    }

    #[test]
    fn positions_may_overflow() {
        let (mut producer, mut consumer) = ring::<u8>(4);
        let start = usize::MAX - 1;
        (producer.tail, producer.cached_head) = (start, start);
        (consumer.head, consumer.cached_tail) = (start, start);
        producer.shared.head.store(start, Ordering::Relaxed);
        producer.shared.tail.store(start, Ordering::Relaxed);
        for _ in 0..3 {
            assert_eq!(producer.push_slice(&[1, 2, 3, 4, 5]), 4);
            assert_eq!((producer.push(5), producer.len()), (Err(5), 4));
            assert_eq!(
                (0..4).map_while(|_| consumer.pop()).collect::<Vec<_>>(),
                [1, 2, 3, 4]
            );
            assert_eq!(consumer.pop(), None);
        }
    }

    #[test]
    #[should_panic(expected = "never read")]
    fn consuming_more_than_was_seen_panics() {
        let (mut producer, mut consumer) = ring::<u8>(4);
        assert_eq!(producer.push(1), Ok(()));
        assert_eq!(consumer.peek(), [1]);
        consumer.consume(2);
    }

    #[test]
    fn values_are_dropped_exactly_once() {
        let token = Arc::new(());
        for (pushed, popped) in [(0, 0), (5, 0), (5, 3), (8, 8), (8, 1)] {
            let (mut producer, mut consumer) = ring::<Arc<()>>(8);
            for _ in 0..6 {
                assert!(producer.push(Arc::clone(&token)).is_ok() && consumer.pop().is_some());
            }
            for _ in 0..pushed {
                assert!(producer.push(Arc::clone(&token)).is_ok());
            }
            for _ in 0..popped {
                assert!(consumer.pop().is_some());
            }
            assert_eq!(Arc::strong_count(&token), 1 + pushed - popped);
            drop(consumer);
            assert_eq!(
                Arc::strong_count(&token),
                1 + pushed - popped,
                "the producer lives"
            );
            drop(producer);
            assert_eq!(Arc::strong_count(&token), 1);
        }
    }

    #[test]
    fn each_end_sees_the_other_go() {
        let (mut producer, mut consumer) = ring::<u8>(2);
        assert!(!producer.is_abandoned() && !consumer.is_closed());
        assert_eq!(producer.push(1), Ok(()));
        drop(producer);
        assert!(!consumer.is_closed(), "a value is left");
        assert_eq!(consumer.pop(), Some(1));
        assert!(consumer.is_closed());

        let (producer, consumer) = ring::<u8>(2);
        drop(consumer);
        assert!(producer.is_abandoned());
    }

    #[test]
    fn ping_pong_over_parked_threads_misses_no_wake() {
        let (mut ping, mut ping_end) = ring::<u32>(1);
        let (mut pong, mut pong_end) = ring::<u32>(1);
        let echo = thread::spawn(move || {
            while !ping_end.is_closed() {
                match ping_end.pop() {
                    Some(value) => {
                        assert_eq!(pong.push(value), Ok(()));
                        pong.wake();
                    }
                    None => ping_end.park(LONG),
                }
            }
        });
        let begun = Instant::now();
        for round in 0..10_000 {
            assert_eq!(ping.push(round), Ok(()));
            ping.wake();
            let answer = loop {
                match pong_end.pop() {
                    Some(value) => break value,
                    None => pong_end.park(LONG),
                }
            };
            assert_eq!(answer, round);
        }
        drop(ping);
        echo.join().expect("the echo");
        assert!(begun.elapsed() < LONG, "a park ran into its timeout");
    }

    #[test]
    fn park_returns_for_a_value_the_end_or_the_timeout() {
        let (mut producer, mut consumer) = ring::<u8>(1);
        let begun = Instant::now();
        consumer.park(Duration::from_millis(20));
        assert!(
            begun.elapsed() >= Duration::from_millis(20),
            "nothing there: the timeout"
        );

        let begun = Instant::now();
        assert_eq!(producer.push(1), Ok(()));
        consumer.park(LONG);
        assert_eq!(consumer.pop(), Some(1));
        let sleeper = thread::spawn(move || {
            while !consumer.is_closed() {
                consumer.park(LONG);
            }
        });
        thread::sleep(Duration::from_millis(20));
        drop(producer);
        sleeper.join().expect("the sleeper");
        assert!(begun.elapsed() < LONG, "a park ran into its timeout");
    }
}
