// SPDX-License-Identifier: MIT OR Apache-2.0
//! New tags for what is in a range: a check, the memory for the cuts, then the stores. Hardware does not see a tag,
//! so that nothing is flushed but what a cut broke.

use super::NestedPageTable;
use super::arch::Format;
use super::entry::Entry;
use super::split::Cut;
use super::sweep::{Run, Sweep};
use super::table::{Broken, Table};
use super::units::GpaRange;
use super::work::Work;
use crate::abi::{AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL};
use crate::error::{Error, Result};
use crate::flags::Tag;
use crate::hal::{FlushRequest, publish_tables};
use crate::sync::{AtomicU64, Ordering};

impl NestedPageTable {
    /// Gives everything in a range, in which there must be no hole, a tag.
    #[inline(never)]
    pub(crate) fn retag<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        tag: Tag,
    ) -> Result<()> {
        self.check_occupied::<F>(&mut work.sweep, range)?;
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::Tag(tag), &mut request)?;
        let Work { sweep, broken, .. } = work;
        let changed = self.change_tags::<F>(sweep, broken, range, tag);
        if request.is_needed() {
            self.issue::<F>(request, AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL);
        } else {
            request.cancel();
        }
        let mended = self.mend::<F>(broken);
        publish_tables();
        changed.and(mended).ok_or(Error::BadState)
    }

    #[inline(never)]
    fn change_tags<F: Format>(
        &self,
        sweep: &mut Sweep,
        broken: &Broken,
        range: GpaRange,
        tag: Tag,
    ) -> Option<()> {
        sweep.begin(self, range);
        while sweep.next::<F>(self, broken)? {
            let Run { page, span, .. } = sweep.run;
            // What is valid in a run is a leaf.
            Table::<F>::reach(self, page)?.edit(span, |entry| entry.with_tag(tag));
        }
        Some(())
    }

    /// That nothing in a range is absent.
    #[inline(never)]
    fn check_occupied<F: Format>(&self, sweep: &mut Sweep, range: GpaRange) -> Result<()> {
        sweep.begin(self, range);
        while sweep.next::<F>(self, &Broken::NONE).ok_or(Error::BadState)? {
            let Run { page, span, .. } = sweep.run;
            let table = Table::<F>::open(self, page).ok_or(Error::BadState)?;
            let is_empty =
                |slot: &AtomicU64| Entry::<F>::from_word(slot.load(Ordering::Relaxed)).is_empty();
            if table.slots(span).iter().any(is_empty) {
                return Err(Error::NotMapped);
            }
        }
        Ok(())
    }
}
