// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lock alone.

use core::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use loom::cell::UnsafeCell;
use loom::thread::yield_now;

use super::{explore, on_cpu};
use crate::npt::lock::{Attempt, ExclusiveGuard, Lock};

/// A lock and what it guards: loom fails when an access to it meets one that it is not ordered with.
struct Guarded {
    lock: Lock,
    data: UnsafeCell<u64>,
}

// SAFETY: loom checks that the data is used as the lock allows.
unsafe impl Send for Guarded {}
// SAFETY: as above.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Self { lock: Lock::new(false), data: UnsafeCell::new(0) })
    }

    fn read(&self) -> u64 {
        // SAFETY: under the lock.
        self.data.with(|data| unsafe { *data })
    }

    fn write(&self) {
        // SAFETY: under the lock, exclusively.
        self.data.with_mut(|data| unsafe { *data += 1 });
    }

    /// Enters alone, as the calls of a space do.
    fn alone(&self, no_wait: bool, relax: impl Fn()) -> Option<ExclusiveGuard<'_>> {
        let entered = match self.lock.try_exclusive() {
            Attempt::Alone => true,
            tried => self.lock.exclusive(tried, no_wait, relax),
        };
        entered.then(|| self.lock.entered())
    }

    /// Writes with the lock held.
    fn change(&self) {
        let guard = self.alone(false, yield_now);
        assert!(guard.is_some());
        self.write();
    }
}

#[test]
fn a_reader_and_a_writer_exclude_each_other() {
    explore(|| {
        let guarded = Guarded::new();
        let reader = on_cpu(1, {
            let guarded = guarded.clone();
            move || guarded.lock.try_shared().map(|_guard| guarded.read())
        });
        guarded.change();
        assert!(matches!(reader.join().unwrap(), None | Some(0 | 1)));
    });
}

#[test]
fn a_fault_that_was_resolved_leaves_before_the_writer_enters() {
    explore(|| {
        let guarded = Guarded::new();
        let fault = on_cpu(1, {
            let guarded = guarded.clone();
            move || {
                let Some(guard) = guarded.lock.try_shared() else { return 0 };
                guarded.read();
                guard.leave_resolved();
                1
            }
        });
        guarded.change();
        let resolved = fault.join().unwrap();
        assert_eq!(guarded.lock.resolved(), resolved);
    });
}

#[test]
fn two_readers_and_a_writer_exclude_each_other() {
    explore(|| {
        let guarded = Guarded::new();
        let readers = [0, 1].map(|lane| {
            let guarded = guarded.clone();
            on_cpu(lane, move || guarded.lock.try_shared().map(|_guard| guarded.read()))
        });
        guarded.change();
        for reader in readers {
            assert!(matches!(reader.join().unwrap(), None | Some(0 | 1)));
        }
    });
}

#[test]
fn a_reader_and_two_writers_exclude_each_other() {
    explore(|| {
        let guarded = Guarded::new();
        let reader = on_cpu(1, {
            let guarded = guarded.clone();
            move || guarded.lock.try_shared().map(|_guard| guarded.read())
        });
        let writer = on_cpu(0, {
            let guarded = guarded.clone();
            move || guarded.alone(true, yield_now).map(|_guard| guarded.write()).is_some()
        });
        guarded.change();
        let writes = 1 + u64::from(writer.join().unwrap());
        assert!(matches!(reader.join().unwrap(), None | Some(0..=2)));
        guarded.change();
        assert_eq!(guarded.read(), writes + 1);
    });
}

#[test]
fn two_writers_exclude_each_other() {
    explore(|| {
        let guarded = Guarded::new();
        let other = on_cpu(1, {
            let guarded = guarded.clone();
            move || guarded.change()
        });
        guarded.change();
        other.join().unwrap();
        guarded.change();
        assert_eq!(guarded.read(), 3);
    });
}

#[test]
fn two_readers_on_one_line_are_both_counted() {
    explore(|| {
        let guarded = Guarded::new();
        let resolve = |guarded: &Guarded| {
            let guard = guarded.lock.try_shared().expect("no writer is there");
            guard.leave_resolved();
        };
        let other = on_cpu(0, {
            let guarded = guarded.clone();
            move || resolve(&guarded)
        });
        resolve(&guarded);
        other.join().unwrap();
        assert_eq!(guarded.lock.resolved(), 2, "a resolved fault was not counted");
        assert!(guarded.alone(true, yield_now).is_some(), "a reader is still counted");
    });
}

#[test]
fn a_reader_that_is_refused_is_not_counted() {
    explore(|| {
        let guarded = Guarded::new();
        let reader = on_cpu(1, {
            let guarded = guarded.clone();
            move || drop(guarded.lock.try_shared())
        });
        guarded.change();
        reader.join().unwrap();
        let again = guarded.alone(true, yield_now);
        assert!(again.is_some(), "a reader is still counted");
    });
}

#[test]
fn a_writer_that_may_not_wait_goes_away_again() {
    explore(|| {
        let guarded = Guarded::new();
        let writer = on_cpu(1, {
            let guarded = guarded.clone();
            move || guarded.alone(true, || panic!("waits")).map(|_| guarded.write())
        });
        if let Some(guard) = guarded.lock.try_shared() {
            guarded.read();
            drop(guard);
        }
        assert!(matches!(writer.join().unwrap(), None | Some(())));
        assert!(guarded.lock.try_shared().is_some(), "a writer is still announced");
    });
}

#[test]
fn readers_that_come_after_a_writer_do_not_enter_before_him() {
    explore(|| {
        let guarded = Guarded::new();
        let (waits, is_in) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let readers = on_cpu(1, {
            let (guarded, waits, is_in) = (guarded.clone(), waits.clone(), is_in.clone());
            move || {
                for _ in 0..3 {
                    // In the order of the interleaving: the writer's announcement came first.
                    let comes_after = waits.load(Ordering::SeqCst);
                    let guard = guarded.lock.try_shared();
                    let overtakes = comes_after && !is_in.load(Ordering::SeqCst);
                    assert!(guard.is_none() || !overtakes, "readers can starve a writer");
                    drop(guard);
                }
            }
        });
        let guard = guarded.alone(false, || {
            waits.store(true, Ordering::SeqCst);
            yield_now();
        });
        is_in.store(true, Ordering::SeqCst);
        guarded.write();
        drop(guard);
        readers.join().unwrap();
    });
}
