// SPDX-License-Identifier: MIT OR Apache-2.0
//! Models for loom: the real lock and the real engine over small tables, in every interleaving and with
//! every value that the memory model lets a load see.
//!
//! `scripts/loom.sh` runs them; `docs/loom.md` says what is real and what is not. A model that is run with
//! `AXAS_LOOM_DEFECT=<name>` has that [`Defect`] planted and must fail.

mod aged;
mod faults;
mod hidden;
mod host;
mod lock;
mod logged;
mod merged;
mod provided;
mod readers;
mod transfer;
mod writers;

use std::format;
use std::println;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sync::Defect;
use crate::sync::model::{LANE, PLANTED};

const DEFECTS: [Defect; 34] = [
    Defect::ReaderBarrier,
    Defect::WriterBarrier,
    Defect::SecondLook,
    Defect::ReadersNotAwaited,
    Defect::AnnouncementWithdrawn,
    Defect::ReaderLeave,
    Defect::WriterLeave,
    Defect::RefusedStaysCounted,
    Defect::RefusedStaysAnnounced,
    Defect::FaultWaits,
    Defect::CountedInTwo,
    Defect::Publication,
    Defect::Acquisition,
    Defect::NeighbourAcquisition,
    Defect::BlindReplacement,
    Defect::FrameKept,
    Defect::TableKept,
    Defect::GenerationStays,
    Defect::GenerationUnread,
    Defect::GenerationBarrier,
    Defect::WriteUnmarked,
    Defect::PlainEdit,
    Defect::OldPieces,
    Defect::OpenedTwice,
    Defect::OpenedFirst,
    Defect::GiverFirst,
    Defect::TakerWritten,
    Defect::MergedDirt,
    Defect::ColdAtOnce,
    Defect::ColdUnflushed,
    Defect::ColdKept,
    Defect::AskedInWindow,
    Defect::SupplyReplaces,
    Defect::EvictedUnflushed,
];

/// Entries of an operation that loom keeps books on, at most: a run that takes more does not end.
const MAX_BRANCHES: usize = 20_000;

/// Runs a scenario in all its interleavings, with the defect planted that the environment names.
fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    if let Some(name) = std::env::var("AXAS_LOOM_DEFECT").ok().filter(|name| !name.is_empty()) {
        let defect = DEFECTS.into_iter().find(|defect| format!("{defect:?}") == name);
        PLANTED.store(defect.expect("no such defect") as u32, Ordering::Relaxed);
    }
    let mut model = loom::model::Builder::new();
    model.max_branches = MAX_BRANCHES;
    let executions = Arc::new(AtomicU64::new(0));
    let counted = executions.clone();
    model.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        scenario();
    });
    println!("executions: {}", executions.load(Ordering::Relaxed));
}

/// Another CPU, which enters the lock through a line of its own (or not).
fn on_cpu<T: 'static>(
    lane: u64,
    work: impl FnOnce() -> T + 'static,
) -> loom::thread::JoinHandle<T> {
    loom::thread::spawn(move || {
        LANE.with(|own| own.set(lane));
        work()
    })
}
