//! The hot path allocates nothing after warm-up: frames to signals under a counting allocator.

use crate::frames::{Path, frames};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts the allocations of each thread by itself, and the bytes, since tests run side by side.
pub struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Bytes held now, and the most since [`Mark::set`]. What another thread frees is missing.
    static HELD: Cell<(i64, i64)> = const { Cell::new((0, 0)) };
}

fn count(bytes: i64) {
    // A thread that is ending has no counter any more.
    let _ = COUNT.try_with(|c| c.set(c.get() + 1));
    hold(bytes);
}

fn hold(bytes: i64) {
    let _ = HELD.try_with(|h| {
        let (now, most) = h.get();
        h.set((now + bytes, most.max(now + bytes)));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain cell of the
// thread, whose access allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(-(layout.size() as i64));
        // SAFETY: as above; `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: as above; `pointer` came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

pub fn counted() -> u64 {
    COUNT.with(Cell::get)
}

/// A moment from which on the memory of this thread is looked at.
pub struct Mark(i64);

impl Mark {
    pub fn set() -> Mark {
        let now = HELD.get().0;
        HELD.set((now, now));
        Mark(now)
    }

    /// The most bytes held at once since, beyond those held then.
    pub fn most(&self) -> u64 {
        (HELD.get().1 - self.0).max(0) as u64
    }
}

#[test]
fn frames_to_signals_allocate_nothing_after_warm_up() {
    let frames = frames(150_000);
    let (warm, hot) = frames.split_at(100_000);
    let mut path = Path::new();
    warm.iter().for_each(|f| path.frame(f));
    let (signals, before) = (path.made.signals, counted());
    hot.iter().for_each(|f| path.frame(f));
    assert_eq!(counted() - before, 0, "allocations in {} frames", hot.len());
    assert!(path.made.signals > signals, "signals were made meanwhile");
    assert!(before > 0, "the counter counts");
}
