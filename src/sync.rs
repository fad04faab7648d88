// SPDX-License-Identifier: MIT OR Apache-2.0
//! The atomic operations that the lock, the entries and the generation are made of, and what the model
//! checker puts in their places.
//!
//! Under `cfg(loom)` they are loom's, and a model may plant one [`Defect`] to see that it is noticed. In
//! every other build [`planted`] is the constant `false`.

#[cfg(not(loom))]
pub(crate) use core::hint::spin_loop;
#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, fence};
#[cfg(loom)]
pub(crate) use loom::hint::spin_loop;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, fence};

pub(crate) use core::sync::atomic::Ordering;

use core::ptr::NonNull;

/// What a model can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Defect {
    /// A reader has no full barrier between its announcement and its second look.
    ReaderBarrier = 1,
    /// A writer has no full barrier between its announcement and its look at the readers.
    WriterBarrier,
    /// A reader does not look for a writer once it is counted.
    SecondLook,
    /// A writer does not wait for the readers that are there.
    ReadersNotAwaited,
    /// A writer that finds readers takes its announcement back until they are gone.
    AnnouncementWithdrawn,
    /// What a reader did is not ordered before its leaving.
    ReaderLeave,
    /// What a writer did is not ordered before its leaving.
    WriterLeave,
    /// A reader that met a writer stays counted.
    RefusedStaysCounted,
    /// A writer that may not wait keeps its announcement.
    RefusedStaysAnnounced,
    /// A fault waits for a writer.
    FaultWaits,
    /// A resolved fault is counted by a load and a store.
    CountedInTwo,
    /// The entry of a new table is not ordered after the contents of the table.
    Publication,
    /// What an entry names is not ordered after the entry.
    Acquisition,
    /// What an entry beside the one that was walked to names is not ordered after the entry.
    NeighbourAcquisition,
    /// A fault writes its entry without comparing the old one.
    BlindReplacement,
    /// The loser of a race keeps its frame.
    FrameKept,
    /// The loser of a race keeps its tables.
    TableKept,
    /// Tables go back under the old generation.
    GenerationStays,
    /// A reader without the lock does not look at the generation again.
    GenerationUnread,
    /// What a reader without the lock reads is not ordered before its look at the generation.
    GenerationBarrier,
    /// A copy does not mark the page that it writes.
    #[cfg(feature = "dirty")]
    WriteUnmarked,
    /// Permissions are edited, or pages made clean, by a load and a store beside hardware that writes to leaves.
    PlainEdit,
    /// The pieces of a leaf say what it said before hardware made it dirty.
    #[cfg(feature = "dirty")]
    OldPieces,
    /// Two faults show one hidden table.
    #[cfg(feature = "hide")]
    OpenedTwice,
    /// A hidden table is shown before what is in it is hidden.
    #[cfg(feature = "hide")]
    OpenedFirst,
    /// The giver's space is waited for first, wherever it is.
    #[cfg(feature = "transfer")]
    GiverFirst,
    /// The taker's entries are written before the giver's are hidden.
    #[cfg(feature = "transfer")]
    TakerWritten,
    /// A merged leaf is dirty as the first of its pieces was.
    #[cfg(feature = "merge")]
    MergedDirt,
    /// A table is cold at the first look that finds its pages old.
    #[cfg(feature = "age")]
    ColdAtOnce,
    /// The bit of an entry that points to a table is cleared, and nothing flushed.
    #[cfg(feature = "age")]
    ColdUnflushed,
    /// A table stays cold when its entry is edited beside hardware.
    ColdKept,
    /// The host is asked for a page while a window is open.
    #[cfg(feature = "provider")]
    AskedInWindow,
    /// A page that the host brings takes the place of whatever is there.
    #[cfg(feature = "provider")]
    SupplyReplaces,
    /// `evicted` is called for a page before the flush, while CPUs can still write to it.
    #[cfg(feature = "provider")]
    EvictedUnflushed,
}

/// Whether a model planted a defect.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) const fn planted(_: Defect) -> bool {
    false
}

/// Whether a model planted a defect.
#[cfg(loom)]
pub(crate) fn planted(defect: Defect) -> bool {
    model::PLANTED.load(Ordering::Relaxed) == defect as u32
}

/// The reader's line that a model chose for the thread.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) const fn chosen_lane() -> Option<u64> {
    None
}

/// The reader's line that a model chose for the thread.
#[cfg(loom)]
pub(crate) fn chosen_lane() -> Option<u64> {
    Some(model::LANE.with(core::cell::Cell::get))
}

/// Writes the first two words of a table's frame while no other code knows of the frame. Loom's words are
/// loom's at all times.
///
/// # Safety
/// The frame is reachable, aligned, and no table is in it.
#[inline(always)]
pub(crate) unsafe fn write_links(frame: NonNull<u8>, links: [u64; 2]) {
    // SAFETY: by the caller's promise.
    #[cfg(not(loom))]
    unsafe {
        frame.cast::<[u64; 2]>().write(links);
    }
    // SAFETY: as above.
    #[cfg(loom)]
    unsafe {
        for (place, link) in links.into_iter().enumerate() {
            frame.cast::<AtomicU64>().add(place).as_ref().store(link, Ordering::Relaxed);
        }
    }
}

/// Reads what [`write_links`] wrote.
///
/// # Safety
/// As there.
#[inline(always)]
pub(crate) unsafe fn read_links(frame: NonNull<u8>) -> [u64; 2] {
    // SAFETY: by the caller's promise.
    #[cfg(not(loom))]
    return unsafe { frame.cast::<[u64; 2]>().read() };
    // SAFETY: as above.
    #[cfg(loom)]
    return unsafe {
        [0, 1].map(|place| frame.cast::<AtomicU64>().add(place).as_ref().load(Ordering::Relaxed))
    };
}

/// Zeroes a page of a guest's frame that no entry names yet. Under loom a frame holds one word.
///
/// # Safety
/// The page is reachable, aligned, and no other code reaches it.
#[inline(always)]
pub(crate) unsafe fn zero_page(page: NonNull<u8>) {
    // SAFETY: by the caller's promise.
    #[cfg(not(loom))]
    unsafe {
        page.as_ptr().write_bytes(0, crate::addr::PAGE_SIZE as usize);
    }
    // SAFETY: as above.
    #[cfg(loom)]
    unsafe {
        page.cast::<AtomicU64>().as_ref().store(0, Ordering::Relaxed);
    }
}

/// Copies a page of a guest's frame to another one. Under loom a frame holds one word.
///
/// # Safety
/// Both pages are reachable, aligned, distinct, and no other code reaches them.
#[cfg(feature = "merge")]
#[inline(always)]
pub(crate) unsafe fn copy_page(from: NonNull<u8>, to: NonNull<u8>) {
    // SAFETY: by the caller's promise.
    #[cfg(not(loom))]
    unsafe {
        to.copy_from_nonoverlapping(from, crate::addr::PAGE_SIZE as usize);
    }
    // SAFETY: as above.
    #[cfg(loom)]
    unsafe {
        let word = from.cast::<AtomicU64>().as_ref().load(Ordering::Relaxed);
        to.cast::<AtomicU64>().as_ref().store(word, Ordering::Relaxed);
    }
}

/// What models set.
#[cfg(loom)]
pub(crate) mod model {
    use core::cell::Cell;
    use core::sync::atomic::AtomicU32;

    /// The number of the defect that is planted.
    pub(crate) static PLANTED: AtomicU32 = AtomicU32::new(0);

    loom::thread_local! {
        /// The lane of the thread.
        pub(crate) static LANE: Cell<u64> = Cell::new(0);
    }
}

/// An ordering, unless a model planted the defect that it guards against.
#[inline(always)]
pub(crate) fn unless(defect: Defect, ordering: Ordering) -> Ordering {
    if planted(defect) { Ordering::Relaxed } else { ordering }
}
