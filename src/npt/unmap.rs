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

use core::cell::Cell;

use super::Engine;
use super::arch::Format;
use super::edges::{Cut, EdgeTable, Edges, Side};
use super::edit::Edit;
use super::entry::{Entry, State};
use super::geometry::{ENTRIES, Index, PerLevel, Span, entry_size, shift, table_size};
use super::split::Splits;
use super::walk::{Cursor, end_of};
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

/// Tells the host of linear pages that are gone, in merged runs.
pub(crate) struct Releases<'h> {
    host: Option<&'h Host>,
    /// Of size 0: none.
    run: Cell<Gone>,
}

/// Linear pages that are gone.
#[derive(Clone, Copy, Default)]
struct Gone {
    gpa: u64,
    hpa: u64,
    size: u64,
    flags: axas_flags_t,
}

impl<'h> Releases<'h> {
    /// To a host that wants to hear of them.
    pub(crate) fn to(host: &'h Host) -> Self {
        Self { host: host.wants_released().then_some(host), run: Cell::default() }
    }

    /// To nobody: what goes was never mapped.
    pub(crate) fn silent() -> Self {
        Self { host: None, run: Cell::default() }
    }

    fn are_wanted(&self) -> bool {
        self.host.is_some()
    }

    fn push(&self, pages: Gone) {
        let mut run = self.run.get();
        let continues = run.gpa.wrapping_add(run.size) == pages.gpa
            && run.hpa.wrapping_add(run.size) == pages.hpa
            && run.flags == pages.flags;
        if continues && run.size != 0 {
            run.size = run.size.wrapping_add(pages.size);
            self.run.set(run);
            return;
        }
        self.flush();
        self.run.set(pages);
    }

    /// Reports the run in hand. No window is open here.
    #[inline(never)]
    fn flush(&self) {
        let run = self.run.take();
        if let Some(host) = self.host
            && run.size != 0
        {
            host.released(&axas_mapping_t {
                gpa: run.gpa,
                size: run.size,
                hpa: run.hpa,
                flags: run.flags,
                state: AXAS_STATE_LINEAR,
                ..axas_mapping_t::default()
            });
        }
    }
}

/// Entries that are read or emptied while a window is open and dealt with after it closed.
const BATCH: usize = 16;

/// The tables of the edges that go whole: a bit for each side and level.
#[derive(Clone, Copy, Default)]
struct Dying(u32);

impl Dying {
    fn bit(side: Side, level: u32) -> u32 {
        1_u32.wrapping_shl((side as u32).wrapping_mul(8).wrapping_add(level))
    }

    fn add(&mut self, side: Side, level: u32) {
        self.0 |= Self::bit(side, level);
    }

    /// Whether the table below a cut of a table of `level` goes.
    fn has_below(self, cut: &Cut, level: u32) -> bool {
        self.0 & Self::bit(cut.side, level.wrapping_sub(1)) != 0
    }
}

impl<'a, F: Format> Engine<'a, F> {
    /// Removes whatever stands in `[start, end)`.
    #[inline(never)]
    pub(crate) fn unmap(&self, start: u64, end: u64, flush: Flush) -> Result<()> {
        let releases = Releases::to(&self.npt.host);
        let edit = Edit::Detach { reports: releases.are_wanted() };
        let span = Span::covering(start, end, 1);
        if let Some(table) = self.leaf_table(start, end)?
            && !self.is_empty_outside(table, span)?
        {
            self.empty_leaf_table(table, start, end, &edit, &releases)?;
        } else {
            self.detach_and_flush(start, end, &edit, flush)?;
            self.reap(start, end, &releases)?;
        }
        releases.flush();
        Ok(())
    }

    /// The first half of an unmap: nothing that stood in the range can be reached by any CPU afterwards.
    #[inline(never)]
    fn detach_and_flush(&self, start: u64, end: u64, edit: &Edit<F>, flush: Flush) -> Result<()> {
        let mut request = self.flush_request(start, end);
        let mut splits = Splits::new();
        self.prepare_splits(&mut splits, start, end, edit)?;
        splits.begin(self, &mut request)?;
        let detached = self.detach(start, end, edit, &mut request);
        self.issue_if(request, flush == Flush::Always, AXAS_FLUSH_UNMAP);
        splits.finish(self)?;
        publish_tables();
        detached?;
        self.end_generation();
        Ok(())
    }

    /// As [`Engine::unmap`], where both ends are known to be boundaries of entries.
    #[inline(never)]
    pub(super) fn remove(&self, start: u64, end: u64, releases: &Releases<'_>) -> Result<()> {
        let mut request = self.flush_request(start, end);
        let edit = Edit::Detach { reports: releases.are_wanted() };
        let detached = self.detach(start, end, &edit, &mut request);
        self.issue_if(request, false, AXAS_FLUSH_UNMAP);
        detached?;
        self.end_generation();
        self.reap(start, end, releases)
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
        self.issue(self.flush_request(start, end), AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
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

    /// Removes entries of a table of level 1 that stays.
    #[inline(never)]
    fn empty_leaf_table(
        &self,
        table: HostPhysAddr,
        start: u64,
        end: u64,
        edit: &Edit<F>,
        releases: &Releases<'_>,
    ) -> Result<()> {
        let span = Span::covering(start, end, 1);
        let edited = self.edit(table, 1, span, edit)?;
        if edited.leaf {
            let mut request = self.flush_request(start, end);
            request.add_leaf(1);
            self.issue(request, AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
        }
        if edited.dead { self.reap(start, end, releases) } else { Ok(()) }
    }

    #[inline(never)]
    fn detach(
        &self,
        start: u64,
        end: u64,
        edit: &Edit<F>,
        request: &mut FlushRequest,
    ) -> Result<()> {
        let mut at = start;
        while at < end {
            let slice = self.root_slice(at, end);
            at = slice.end;
            let mut edges = Edges::new(&slice, self.levels());
            self.find_edges(&mut edges)?;
            let mut dying = Dying::default();
            for side in [Side::Left, Side::Right, Side::Both] {
                for level in edges.levels(side) {
                    let edge = edges.table(side, level);
                    if self.detach_edge(&edge, dying, edit, request)? {
                        dying.add(side, level);
                    }
                }
            }
        }
        Ok(())
    }

    /// Detaches what an edge table holds of a range; whether the table itself goes.
    #[inline(never)]
    fn detach_edge(
        &self,
        edge: &EdgeTable,
        dying: Dying,
        edit: &Edit<F>,
        request: &mut FlushRequest,
    ) -> Result<bool> {
        let (page, level) = (edge.page, edge.level);
        let mut is_dying = level < self.levels();
        let cuts = edge.cuts();
        for cut in cuts.iter().flatten() {
            let entry = self.entry(page, cut.index)?;
            is_dying &= entry.is_empty() || dying.has_below(cut, level);
        }
        if is_dying && self.is_empty_outside(page, edge.span())? {
            return Ok(true);
        }
        for cut in cuts.iter().flatten().filter(|cut| dying.has_below(cut, level)) {
            let entry = self.entry(page, cut.index)?;
            self.set_entry(page, cut.index, entry.dead_table())?;
            request.add_table();
        }
        if let Some(span) = edge.whole_span() {
            request.add(self.edit(page, level, span, edit)?, level);
        }
        Ok(false)
    }

    /// Empties the dead entries of a range and gives back what they name, in the order of addresses. The
    /// only tables left in the range are those on its edges.
    #[inline(never)]
    fn reap(&self, start: u64, end: u64, releases: &Releases<'_>) -> Result<()> {
        let mut cursor = Cursor::over(self, start, end);
        while let Some(run) = cursor.next(self)? {
            let size = entry_size(run.level);
            let (mut span, mut gpa) = (run.span, run.gpa & !(size.wrapping_sub(1)));
            while let Some((index, entry)) = self.take_dead(run.page, run.level, span)? {
                gpa = gpa.wrapping_add(distance(span.first, index, run.level));
                self.release(entry, run.level, gpa, start, end, releases)?;
                let Some(next) = index.next().filter(|next| *next <= span.last) else { break };
                gpa = gpa.wrapping_add(size);
                span.first = next;
            }
        }
        Ok(())
    }

    /// Gives back what a dead entry named.
    #[allow(clippy::too_many_arguments)] // One step of the loop above, with the loop's variables.
    fn release(
        &self,
        entry: Entry<F>,
        level: u32,
        gpa: u64,
        start: u64,
        end: u64,
        releases: &Releases<'_>,
    ) -> Result<()> {
        if entry.state(level) == State::DeadTable {
            let (start, end) = (start.max(gpa), end.min(gpa.wrapping_add(entry_size(level))));
            return self.release_below(
                entry.address(),
                level.wrapping_sub(1),
                start,
                end,
                releases,
            );
        }
        self.release_leaf(entry, level, gpa, releases)
    }

    /// Gives back, or reports, what a leaf names that no walker sees.
    #[inline(never)]
    fn release_leaf(
        &self,
        entry: Entry<F>,
        level: u32,
        gpa: u64,
        releases: &Releases<'_>,
    ) -> Result<()> {
        if !matches!(entry.state(level), State::Leaf | State::DeadLeaf) {
            return Err(Error::BadState);
        }
        if entry.is_owned() {
            self.release_frame(entry, level);
            return Ok(());
        }
        self.ledger.discount_leaves(level, 1);
        if releases.are_wanted() {
            releases.push(Gone {
                gpa,
                size: entry_size(level),
                hpa: entry.address().bits(),
                flags: entry.attributes(self.features()).flags(),
            });
        }
        Ok(())
    }

    /// Gives back a table that no walker sees, with everything below it: what hangs on an entry before
    /// the entry's table. Nothing stands in it outside `[start, end)`, of which a part lies in the table.
    #[inline(never)]
    pub(super) fn release_below(
        &self,
        page: HostPhysAddr,
        top: u32,
        start: u64,
        end: u64,
        releases: &Releases<'_>,
    ) -> Result<()> {
        let mut level = top;
        let mut path = PerLevel::new(page);
        let mut entered = PerLevel::new(start);
        let mut gpa = start;
        loop {
            let page = path.get(level);
            let stop = end_of(entered.get(level), table_size(level)).min(end);
            if gpa >= stop {
                self.check_releasable()?;
                self.ledger.give_table(page, 0);
                if level == top {
                    return Ok(());
                }
                level = level.wrapping_add(1);
                continue;
            }
            let span = Span::covering(gpa, stop, level);
            let scan = self.scan(page, level, span, releases.are_wanted())?;
            self.ledger.discount_leaves(level, scan.leaves);
            let Some((index, entry)) = scan.named else {
                gpa = stop;
                continue;
            };
            gpa &= !(entry_size(level).wrapping_sub(1));
            gpa = gpa.wrapping_add(distance(span.first, index, level));
            if level == 1 {
                self.release_leaves(page, Span { first: index, last: span.last }, gpa, releases)?;
                gpa = stop;
            } else if let State::Table | State::DeadTable = entry.state(level) {
                level = level.wrapping_sub(1);
                path.set(level, entry.address());
                gpa = gpa.max(start);
                entered.set(level, gpa);
            } else {
                self.release_leaf(entry, level, gpa, releases)?;
                gpa = gpa.wrapping_add(entry_size(level));
            }
        }
    }

    /// Gives back what entries of a table of level 1 name.
    #[inline(never)]
    fn release_leaves(
        &self,
        page: HostPhysAddr,
        span: Span,
        gpa: u64,
        releases: &Releases<'_>,
    ) -> Result<()> {
        let mut gpa = gpa;
        let mut rest = Some(span);
        while let Some(span) = rest {
            let (now, later) = split_batch(span);
            let mut batch = [Entry::EMPTY; BATCH];
            let mut places = batch.iter_mut();
            self.open(page)?.for_each(now, |entry| {
                if let Some(place) = places.next() {
                    *place = entry;
                }
            });
            let mut owned = 0_u64;
            for &entry in &batch {
                if entry.is_owned_page() {
                    self.ledger.give_page(HostPhysAddr::from_bits(F::address(entry.word())));
                    owned = owned.wrapping_add(1);
                } else if !entry.is_plain() {
                    self.release_leaf(entry, 1, gpa, releases)?;
                }
                gpa = gpa.wrapping_add(entry_size(1));
            }
            self.ledger.discount_leaves(1, owned);
            self.ledger.discount_guest(owned);
            self.ledger.count_released(owned);
            rest = later;
        }
        Ok(())
    }
}

/// Bytes from one entry to another of the same table.
fn distance(from: Index, to: Index, level: u32) -> u64 {
    (to.get() as u64).wrapping_sub(from.get() as u64).wrapping_shl(shift(level))
}

/// The first entries of a span and the rest.
fn split_batch(span: Span) -> (Span, Option<Span>) {
    let end = span.first.get().wrapping_add(BATCH);
    if end > span.last.get() || end >= ENTRIES {
        return (span, None);
    }
    let next = Index::of((end as u64).wrapping_mul(entry_size(1)), 1);
    match next.previous() {
        Some(last) => {
            (Span { first: span.first, last }, Some(Span { first: next, last: span.last }))
        }
        None => (span, None),
    }
}
