// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is done to the entries of one table. The window on the table is open inside these functions only,
//! so that the code that opens and closes it is here once.

use super::Engine;
use super::arch::Format;
use super::entry::{Entry, State, Way};
use super::geometry::{Index, Span};
use super::table::Scan;
use super::unmap::Remains;
use super::walk::Run;
use crate::addr::HostPhysAddr;
use crate::error::{Error, Result};

impl<F: Format> Engine<'_, F> {
    /// An entry, with everything that was written before it was: a walk reports it beside faults, and the
    /// host may read the memory that it names.
    #[inline(never)]
    pub(crate) fn entry(&self, page: HostPhysAddr, index: Index) -> Result<Entry<F>> {
        Ok(self.open(page)?.load_acquire(index))
    }

    /// Writes an entry, after everything that was written before.
    #[inline(never)]
    pub(super) fn set_entry(
        &self,
        page: HostPhysAddr,
        index: Index,
        entry: Entry<F>,
    ) -> Result<()> {
        self.open(page)?.store(index, entry);
        Ok(())
    }

    /// Writes entries at a distance of `step` from each other, after everything that was written before.
    #[inline(never)]
    pub(super) fn fill_entries(
        &self,
        page: HostPhysAddr,
        span: Span,
        first: Entry<F>,
        step: u64,
    ) -> Result<()> {
        self.open(page)?.fill(span, first, step);
        Ok(())
    }

    /// Writes the same entry everywhere in a span that no walker sees yet.
    #[inline(never)]
    pub(super) fn fill_unseen(
        &self,
        page: HostPhysAddr,
        span: Span,
        entry: Entry<F>,
    ) -> Result<()> {
        self.open(page)?.fill_unseen(span, entry);
        Ok(())
    }

    /// Whether nothing stands in a span.
    #[inline(never)]
    pub(super) fn is_empty(&self, page: HostPhysAddr, span: Span) -> Result<bool> {
        Ok(self.open(page)?.is_empty(span))
    }

    /// Whether something stands right beside a span.
    #[inline(never)]
    pub(super) fn stands_beside(&self, page: HostPhysAddr, span: Span) -> Result<bool> {
        Ok(self.open(page)?.stands_beside(span))
    }

    /// Whether nothing stands outside a span; its neighbours answer first, most often.
    #[inline(never)]
    pub(super) fn is_empty_outside(&self, page: HostPhysAddr, span: Span) -> Result<bool> {
        let table = self.open(page)?;
        let before = span.first.previous();
        let after = span.last.next();
        Ok(!table.stands_beside(span)
            && before.is_none_or(|last| table.is_empty(Span { first: Index::FIRST, last }))
            && after.is_none_or(|first| table.is_empty(Span { first, last: Index::LAST })))
    }

    /// The first entry of a span that points to a table, and the table, as it was written before it was linked;
    /// and whether nothing stands before it.
    #[inline(always)]
    pub(super) fn first_table(
        &self,
        page: HostPhysAddr,
        level: u32,
        span: Span,
    ) -> Result<(Option<(Index, HostPhysAddr)>, bool)> {
        let table = self.open(page)?;
        let mut is_bare = true;
        for index in table.occupied(span) {
            match table.load_acquire(index).way(level) {
                Way::Down(below) => return Ok((Some((index, below)), is_bare)),
                Way::Ends => is_bare = false,
                Way::Corrupt => return Err(Error::BadState),
            }
        }
        Ok((None, is_bare))
    }

    /// Goes over the entries of a run that no walker sees to the first that names a table or something to
    /// give back, or to report if linear leaves are to be; the run then begins there. Leaves before it are
    /// discounted.
    #[inline(never)]
    pub(super) fn scan(&self, run: &mut Run, reports: bool) -> Result<Option<Entry<F>>> {
        let Scan { leaves, named } = self.open(run.page)?.scan(run.level, run.span, reports);
        self.ledger.discount_leaves(run.level, leaves);
        let Some((index, entry)) = named else { return Ok(None) };
        run.begin_at(index);
        Ok(Some(entry))
    }

    /// Takes the first entry of a run that is dead (or pending, where reservations remain), which then begins
    /// there; what it was and the first address that it covers.
    #[inline(never)]
    pub(super) fn take_dead(
        &self,
        run: &mut Run,
        remains: Remains,
    ) -> Result<Option<(Entry<F>, u64)>> {
        let table = self.open(run.page)?;
        for index in table.occupied(run.span) {
            let entry = table.load(index);
            if entry.is_settled() {
                continue;
            }
            let rest = match (entry.state(run.level), remains) {
                (State::DeadLeaf | State::DeadTable, Remains::Nothing) => Entry::EMPTY,
                (
                    State::DeadLeaf | State::DeadTable | State::Pending | State::PendingTable,
                    Remains::Reservation,
                ) => Entry::reserved(entry.reservation()),
                _ => continue,
            };
            table.store(index, rest);
            run.begin_at(index);
            return Ok(Some((entry, run.gpa)));
        }
        Ok(None)
    }
}
