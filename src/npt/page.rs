// SPDX-License-Identifier: MIT OR Apache-2.0
//! One page at a time, where the table that holds it is there and stays: a walk and a store.
//!
//! What these do not do, the ways for ranges do.

use super::NestedPageTable;
use super::arch::Format;
use super::entry::{Entry, Way};
use super::units::{Gpa, GpaRange, Hpa, Index, Level};
use crate::abi::{AXAS_FLUSH_NEW, AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL, AXAS_SCOPE_LOCAL};
use crate::addr::{Bits, PAGE_SIZE};
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, publish_tables};
use crate::sync::{AtomicU64, Ordering};

/// The entry of level 1 that covers an address, and the one that points to its table.
pub(super) struct Slots<'a, F> {
    above: &'a AtomicU64,
    above_entry: Entry<F>,
    table: *const AtomicU64,
    index: Index,
}

impl NestedPageTable {
    /// Where a page of a table is, without a window.
    #[inline(always)]
    fn place(&self, page: Hpa) -> Option<*const AtomicU64> {
        if self.is_direct {
            return Some(page.bits().wrapping_add(self.offset) as *const AtomicU64);
        }
        self.host.open_page(page).map(|base| base.as_ptr().cast_const().cast())
    }

    /// The slots of a page, in a space that is plain; none where there is no table of level 1.
    #[inline(always)]
    pub(super) fn slots<F: Format>(&self, gpa: Gpa) -> Option<Slots<'_, F>> {
        let mut page = self.root_page(gpa);
        let levels = self.levels.get();
        macro_rules! step {
            ($level:literal) => {{
                let table = self.place(page)?;
                // SAFETY: 1. the page of a table, 512 words aligned for 64-bit accesses, reached without a
                // window that would close; 2. an `Index` is below 512; 3. every access to it is atomic.
                let slot = unsafe { &*table.add(gpa.index(Level::new($level)).get()) };
                let entry = Entry::<F>::from_word(slot.load(Ordering::Acquire));
                let Way::Down(below) = entry.way($level) else { return None };
                page = below;
                (slot, entry)
            }};
        }
        if F::MAX_LEVELS >= 5 && levels >= 5 {
            step!(5);
        }
        if levels >= 4 {
            step!(4);
        }
        step!(3);
        let (above, above_entry) = step!(2);
        let table = self.place(page)?;
        Some(Slots { above, above_entry, table, index: gpa.index(Level::PAGE) })
    }
}
