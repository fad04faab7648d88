// SPDX-License-Identifier: MIT OR Apache-2.0
//! Taking away: detach, flush, reap.
//!
//! 1. The tables that the two cuts need are built ([`super::split`]); where both ends lie on boundaries
//!    of entries nothing can fail from here on.
//! 2. *Detach*, from the edges upward: a table goes whole when nothing outside the range stands in it;
//!    nothing is written into it, its parent's entry becomes a dead one. In a table that stays,
//!    reservations and traps are emptied, leaves and tables become dead entries: invalid for hardware,
//!    with the address still in them.
//! 3. One flush, if hardware may hold anything of it.
//! 4. *Reap*: each dead entry is emptied, then what it named goes back to the host.

use super::Engine;
use super::arch::Format;
use super::edges::Edges;
use super::edit::Edit;
use super::entry::{Entry, State};
use super::geometry::{Span, entry_size, table_size};
use super::walk::{Run, end_of};
use super::work::Work;
use crate::abi::*;
use crate::addr::{Bits, HostPhysAddr};
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, Host, publish_tables};
use crate::sync::{Defect, Ordering, fence, planted};

/// Whether hardware has to be told although nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    IfNeeded,
    Always,
}

/// What stays where something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remains {
    Nothing,
    /// What a dead or pending entry carries.
    Reservation,
}

/// Linear pages that are gone, reported to `released` in merged runs.
pub(crate) struct Releases {
    are_wanted: bool,
    flags: axas_flags_t,
    level: u32,
    gpa: u64,
    hpa: u64,
    /// Of the run in hand; 0: there is none.
    size: u64,
}

impl Releases {
    pub(super) const fn none() -> Self {
        Self { are_wanted: false, flags: 0, level: 0, gpa: 0, hpa: 0, size: 0 }
    }

    pub(super) fn begin(&mut self, are_wanted: bool) {
        self.are_wanted = are_wanted;
        self.size = 0;
    }

    #[inline(never)]
    fn push(&mut self, host: &Host, gpa: u64, level: u32, hpa: u64, flags: axas_flags_t) {
        let size = entry_size(level);
        let continues = self.gpa.wrapping_add(self.size) == gpa
            && self.hpa.wrapping_add(self.size) == hpa
            && (self.flags, self.level) == (flags, level);
        if continues && self.size != 0 {
            self.size = self.size.wrapping_add(size);
            return;
        }
        self.flush(host);
        (self.gpa, self.size, self.hpa) = (gpa, size, hpa);
        (self.flags, self.level) = (flags, level);
    }

    /// Reports the run in hand. No window is open here.
    #[inline(never)]
    fn flush(&mut self, host: &Host) {
        if self.size != 0 {
            host.released(&axas_mapping_t {
                gpa: self.gpa,
                size: self.size,
                hpa: self.hpa,
                flags: self.flags,
                state: AXAS_STATE_LINEAR,
                level: self.level,
                ..axas_mapping_t::default()
            });
        }
        self.size = 0;
    }
}

/// Entries that are read while a window is open and dealt with after it closed.
pub(crate) type Batch = [u64; 8];

impl<F: Format> Engine<'_, F> {
    /// Removes whatever stands in `[start, end)`.
    #[inline(always)]
    pub(super) fn unmap(&self, work: &mut Work, start: u64, end: u64, flush: Flush) -> Result<()> {
        let reports = self.npt.host.wants_released();
        work.releases.begin(reports);
        let has_dead = match self.leaf_table(start, end) {
            Some(table) if self.stands_beside(table, Span::covering(start, end, 1))? => {
                self.detach_in_table(table, start, end, reports)?
            }
            _ => {
                work.edit = Edit::Detach { reports };
                self.prepare_splits(work, start, end)?;
                self.detach(work, start, end, flush)?;
                true
            }
        };
        if has_dead {
            self.reap(work, start, end, Remains::Nothing)?;
        }
        work.releases.flush(&self.npt.host);
        Ok(())
    }

    /// Removes what a call that failed put into `[start, end)`; nothing is reported.
    #[inline(always)]
    pub(super) fn undo(&self, work: &mut Work, start: u64, end: u64) -> Result<()> {
        work.releases.begin(false);
        work.splits.clear();
        self.detach(work, start, end, Flush::IfNeeded)?;
        self.reap(work, start, end, Remains::Nothing)
    }

    /// Detaches entries of a table of level 1 that stays; whether some are dead now.
    #[inline(never)]
    fn detach_in_table(
        &self,
        table: HostPhysAddr,
        start: u64,
        end: u64,
        reports: bool,
    ) -> Result<bool> {
        let edited = self.detach_entries(table, 1, Span::covering(start, end, 1), reports)?;
        let mut request = FlushRequest::new(start, end);
        request.add(edited, 1);
        self.issue_if(request, false, AXAS_FLUSH_UNMAP);
        Ok(edited.dead)
    }

    /// Detaches the entries of a range: no CPU can reach them afterwards.
    #[inline(never)]
    fn detach(&self, work: &mut Work, start: u64, end: u64, flush: Flush) -> Result<()> {
        let Work { edges, splits, releases, .. } = work;
        let mut request = FlushRequest::new(start, end);
        self.begin_splits(splits, &mut request)?;
        let detached = self.detach_from_edges(edges, start, end, releases.are_wanted, &mut request);
        self.issue_if(request, flush == Flush::Always, AXAS_FLUSH_UNMAP);
        self.finish_splits(splits)?;
        publish_tables();
        self.end_generation();
        detached
    }

    /// Issues a request to all CPUs if one of them may hold anything of what changed, or anyway.
    pub(super) fn issue_if(&self, request: FlushRequest, anyway: bool, reason: u32) {
        if request.is_needed() || anyway {
            self.issue(request, reason, AXAS_SCOPE_ALL);
        } else {
            request.cancel();
        }
    }

    /// Has everything flushed that CPUs may hold of a range in which nothing stands.
    pub(super) fn flush_all(&self, start: u64, end: u64) {
        self.issue(FlushRequest::new(start, end), AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
    }

    /// Lets readers without the lock know that tables are about to go: those that begin from here on see
    /// the entries that were detached, those that began before see the generation change before they see
    /// anything that is written to a table that is gone.
    pub(super) fn end_generation(&self) {
        if planted(Defect::GenerationStays) {
            return;
        }
        let next = self.npt.generation.load(Ordering::Relaxed).wrapping_add(1);
        self.npt.generation.store(next, Ordering::Release);
        fence(Ordering::Release);
    }

    #[inline(always)]
    fn detach_from_edges(
        &self,
        edges: &mut Edges,
        start: u64,
        end: u64,
        reports: bool,
        request: &mut FlushRequest,
    ) -> Result<()> {
        let mut at = start;
        while at < end {
            at = self.find_edges(edges, at, end)?;
            while self.detach_from_edge(edges, reports, request)? {}
        }
        Ok(())
    }

    /// Detaches what the next edge table holds of a range, if there is one. A table in which nothing else
    /// stands goes whole: nothing is written into it.
    #[inline(never)]
    fn detach_from_edge(
        &self,
        edges: &mut Edges,
        reports: bool,
        request: &mut FlushRequest,
    ) -> Result<bool> {
        let Some(edge) = edges.next() else { return Ok(false) };
        let (page, level) = (edge.page, edge.level);
        let mut is_dying = level < self.levels();
        for &cut in &edge.cuts {
            if let Some((index, side)) = cut {
                is_dying &=
                    edges.is_dying_below(&edge, side) || self.entry(page, index)?.is_empty();
            }
        }
        if is_dying && self.is_empty_outside(page, edge.span)? {
            edges.mark_dying(&edge);
            return Ok(true);
        }
        for &cut in &edge.cuts {
            if let Some((index, side)) = cut
                && edges.is_dying_below(&edge, side)
            {
                let entry = self.entry(page, index)?;
                self.set_entry(page, index, entry.dead_table())?;
                request.add_table();
            }
        }
        if let Some(span) = edge.whole {
            request.add(self.detach_entries(page, level, span, reports)?, level);
        }
        Ok(true)
    }

    /// Takes the entries of a range that are dead (or pending, where reservations remain) and gives back what
    /// they name, in the order of addresses. Of what was detached only the tables on the edges are left.
    #[inline(never)]
    pub(super) fn reap(
        &self,
        work: &mut Work,
        start: u64,
        end: u64,
        remains: Remains,
    ) -> Result<()> {
        work.cursor.begin(self, start, end);
        while work.cursor.next(self)? {
            while let Some((entry, gpa)) = self.take_dead(&mut work.cursor.run, remains)? {
                let level = work.cursor.run.level;
                if let State::DeadTable | State::PendingTable = entry.state(level) {
                    let stop = end.min(gpa.wrapping_add(entry_size(level)));
                    let below = level.wrapping_sub(1);
                    self.release_below(work, entry.address(), below, start.max(gpa), stop)?;
                } else {
                    self.release_leaf(&mut work.releases, entry, level, gpa)?;
                }
            }
        }
        Ok(())
    }

    /// Gives back, or reports, what a leaf names that no walker sees.
    #[inline(never)]
    fn release_leaf(
        &self,
        releases: &mut Releases,
        entry: Entry<F>,
        level: u32,
        gpa: u64,
    ) -> Result<()> {
        if !matches!(entry.state(level), State::Leaf | State::DeadLeaf | State::Pending) {
            return Err(Error::BadState);
        }
        if entry.is_owned() {
            self.release_frame(entry, level);
            return Ok(());
        }
        self.ledger.discount_leaves(level, 1);
        if releases.are_wanted {
            let hpa = entry.address().bits();
            let flags = entry.attributes(self.features()).flags();
            releases.push(&self.npt.host, gpa, level, hpa, flags);
        }
        Ok(())
    }

    /// Gives back a table that no walker sees, with everything below it: what hangs on an entry before
    /// the entry's table. Nothing stands in it outside `[start, end)`, of which a part lies in the table.
    #[inline(never)]
    pub(super) fn release_below(
        &self,
        work: &mut Work,
        page: HostPhysAddr,
        top: u32,
        start: u64,
        end: u64,
    ) -> Result<()> {
        let Work { path, below: run, releases, batch, .. } = work;
        path.set(top, page);
        let mut level = top;
        let mut gpa = start;
        loop {
            let stop = end_of(gpa, table_size(level)).min(end);
            let span = Span::covering(gpa, stop, level);
            *run = Run { page: path.get(level), level, span, gpa, is_bare: false };
            match self.scan(run, releases.are_wanted)? {
                None => gpa = stop,
                Some(entry) if level == 1 && entry.is_owned_page() => {
                    gpa = run.gpa.wrapping_add(self.release_pages(run, batch)?);
                }
                Some(entry) if matches!(entry.state(level), State::Table | State::DeadTable) => {
                    level = level.wrapping_sub(1);
                    path.set(level, entry.address());
                    gpa = run.gpa.max(start);
                    continue;
                }
                Some(entry) => {
                    self.release_leaf(releases, entry, level, run.gpa)?;
                    gpa = run.gpa.wrapping_add(entry_size(level));
                }
            }
            while gpa >= end || gpa & table_size(level).wrapping_sub(1) == 0 {
                self.check_releasable()?;
                self.ledger.give_table(path.get(level));
                if level == top {
                    return Ok(());
                }
                level = level.wrapping_add(1);
            }
        }
    }

    /// Gives back the library's pages at the beginning of a run of level 1; how many bytes that is.
    #[inline(never)]
    fn release_pages(&self, run: &Run, batch: &mut Batch) -> Result<u64> {
        let mut pages = 0_u64;
        let mut rest = Some(run.span);
        while let Some(span) = rest {
            let read = self.open(run.page)?.read(span, batch);
            let next = span.first.after(read).filter(|next| *next <= span.last);
            rest = next.map(|first| Span { first, ..span });
            for word in batch.iter().take(read) {
                let entry = Entry::<F>::from_word(*word);
                if !entry.is_owned_page() {
                    rest = None;
                    break;
                }
                self.ledger.give_page(HostPhysAddr::from_bits(F::address(entry.word())));
                pages = pages.wrapping_add(1);
            }
        }
        self.ledger.discount_leaves(1, pages);
        self.ledger.discount_guest(pages);
        self.ledger.count_released(pages);
        Ok(pages.wrapping_mul(entry_size(1)))
    }
}
