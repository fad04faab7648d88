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
use super::edges::EdgeTable;
use super::entry::{Entry, State};
use super::geometry::{ENTRIES, Index, PerLevel, Span, entry_size, table_size};
use super::table::Table;
use crate::abi::*;
use crate::addr::{Bits, HostPhysAddr};
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, Host, publish_tables};
use crate::sync::{Defect, Ordering, fence, planted};

/// Whether hardware has to be told although nothing changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    IfNeeded,
    Always,
}

/// Tells the host of linear pages that are gone, in merged runs.
pub(crate) struct Releases<'h> {
    host: Option<&'h Host>,
    run: Cell<Option<axas_mapping_t>>,
}

impl<'h> Releases<'h> {
    /// To a host that wants to hear of them.
    pub(crate) fn to(host: &'h Host) -> Self {
        Self { host: host.wants_released().then_some(host), run: Cell::new(None) }
    }

    /// To nobody: what goes was never mapped.
    pub(crate) fn silent() -> Self {
        Self { host: None, run: Cell::new(None) }
    }

    fn are_wanted(&self) -> bool {
        self.host.is_some()
    }

    fn push(&self, page: axas_mapping_t) {
        if self.host.is_none() {
            return;
        }
        if let Some(mut run) = self.run.get() {
            let continues = run.gpa.wrapping_add(run.size) == page.gpa
                && run.hpa.wrapping_add(run.size) == page.hpa
                && run.flags == page.flags;
            if continues {
                run.size = run.size.wrapping_add(page.size);
                self.run.set(Some(run));
                return;
            }
        }
        self.flush();
        self.run.set(Some(page));
    }

    /// Reports the run in hand. No window is open here.
    fn flush(&self) {
        if let (Some(host), Some(run)) = (self.host, self.run.take()) {
            host.released(&run);
        }
    }
}

/// Entries with nothing to give back or report, and the first one after them that has.
struct Plain<F> {
    count: u64,
    after: Option<(Index, Entry<F>)>,
}

/// Entries that are read or emptied while a window is open and dealt with after it closed.
const BATCH: usize = 16;

impl<'a, F: Format> Engine<'a, F> {
    /// Removes whatever stands in `[start, end)`.
    pub(crate) fn unmap(&self, start: u64, end: u64, flush: Flush) -> Result<()> {
        let releases = Releases::to(&self.npt.host);
        let features = self.features();
        let splits = self.prepare_splits(start, end, &|_| true, &|entry, level| {
            self.detached(entry, level, features, &releases)
        })?;
        let mut request = self.flush_request(start, end);
        splits.begin(self, &mut request)?;
        let detached = self.detach(start, end, &releases, &mut request);
        if request.is_needed() || flush == Flush::Always {
            self.issue(request, AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
        } else {
            request.cancel();
        }
        splits.finish(self)?;
        publish_tables();
        detached?;
        self.end_generation();
        self.reap(start, end, &releases)?;
        releases.flush();
        Ok(())
    }

    /// As [`Engine::unmap`], where both ends are known to be boundaries of entries.
    pub(super) fn remove(&self, start: u64, end: u64, releases: Releases<'_>) -> Result<()> {
        let mut request = self.flush_request(start, end);
        let detached = self.detach(start, end, &releases, &mut request);
        if request.is_needed() {
            self.issue(request, AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
        } else {
            request.cancel();
        }
        detached?;
        self.end_generation();
        self.reap(start, end, &releases)
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

    /// What an entry that no table hangs on becomes when it is detached.
    #[inline(always)]
    fn detached(
        &self,
        entry: Entry<F>,
        level: u32,
        features: super::arch::Features,
        releases: &Releases<'_>,
    ) -> Entry<F> {
        match entry.state(level) {
            State::Leaf if entry.is_owned() || releases.are_wanted() => entry.dead(features),
            State::Leaf => {
                self.ledger.discount_leaves(level, 1);
                Entry::EMPTY
            }
            State::Reserved | State::Trap => Entry::EMPTY,
            _ => entry,
        }
    }

    fn detach(
        &self,
        start: u64,
        end: u64,
        releases: &Releases<'_>,
        request: &mut FlushRequest,
    ) -> Result<()> {
        for slice in self.root_slices(start, end) {
            let edges = self.edges(slice.page, slice.start, slice.end)?;
            // Bit `place`: the table at that place goes whole.
            let mut dying = 0_u32;
            for (place, edge) in edges.iter().enumerate().rev() {
                let table = self.open(edge.page)?;
                let cuts = edge.cuts();
                let is_dying = |cut| {
                    edges
                        .below(place, cut)
                        .is_some_and(|below| dying & 1_u32.wrapping_shl(below as u32) != 0)
                };
                let cuts_go = cuts
                    .iter()
                    .flatten()
                    .all(|cut| table.load(cut.index).is_empty() || is_dying(cut));
                if place != 0 && cuts_go && is_empty_outside(&table, edge.span()) {
                    dying |= 1_u32.wrapping_shl(place as u32);
                    continue;
                }
                for cut in cuts.iter().flatten().filter(|cut| is_dying(cut)) {
                    let entry = table.load(cut.index);
                    table.store(cut.index, entry.dead_table());
                    request.add_table();
                }
                if let Some(span) = edge.whole_span() {
                    self.detach_span(&table, edge.level, span, releases, request);
                }
            }
        }
        Ok(())
    }

    /// Detaches whole entries of a table that stays.
    fn detach_span(
        &self,
        table: &Table<'a, F>,
        level: u32,
        span: Span,
        releases: &Releases<'_>,
        request: &mut FlushRequest,
    ) {
        let features = self.features();
        table.update(span, |entry| match entry.state(level) {
            State::Table => {
                request.add_table();
                entry.dead_table()
            }
            State::Leaf => {
                request.add_leaf(level);
                self.detached(entry, level, features, releases)
            }
            _ => self.detached(entry, level, features, releases),
        });
    }

    /// Gives back what the dead entries of a range name, in the order of addresses.
    fn reap(&self, start: u64, end: u64, releases: &Releases<'_>) -> Result<()> {
        for slice in self.root_slices(start, end) {
            let edges = self.edges(slice.page, slice.start, slice.end)?;
            let (left, right) = (
                edges.iter().rev().filter(|edge| !edge.is_right),
                edges.iter().filter(|edge| edge.is_right),
            );
            for edge in left.chain(right) {
                self.reap_table(edge, releases)?;
            }
        }
        Ok(())
    }

    fn reap_table(&self, edge: &EdgeTable, releases: &Releases<'_>) -> Result<()> {
        let size = entry_size(edge.level);
        let mut gpa = edge.start & !(size.wrapping_sub(1));
        let mut rest = Some(edge.span());
        while let Some(span) = rest {
            let (now, later) = split_batch(span);
            let mut batch = [Entry::EMPTY; BATCH];
            let mut places = batch.iter_mut();
            self.open(edge.page)?.update(now, |entry| {
                match (entry.state(edge.level), places.next()) {
                    (State::DeadLeaf | State::DeadTable, Some(place)) => {
                        *place = entry;
                        Entry::EMPTY
                    }
                    _ => entry,
                }
            });
            for entry in batch.into_iter().take(now.count()) {
                self.release(entry, edge.level, gpa, releases)?;
                gpa = gpa.wrapping_add(size);
            }
            rest = later;
        }
        Ok(())
    }

    /// Gives back what an entry that no walker sees names.
    fn release(
        &self,
        entry: Entry<F>,
        level: u32,
        gpa: u64,
        releases: &Releases<'_>,
    ) -> Result<()> {
        match entry.state(level) {
            State::Table | State::DeadTable => {
                self.release_below(entry.address(), level.wrapping_sub(1), gpa, releases)
            }
            State::Leaf | State::DeadLeaf => {
                self.release_leaf(entry, level, gpa, releases);
                Ok(())
            }
            State::Corrupt => Err(Error::BadState),
            _ => Ok(()),
        }
    }

    fn release_leaf(&self, entry: Entry<F>, level: u32, gpa: u64, releases: &Releases<'_>) {
        if entry.is_owned() {
            self.release_frame(entry, level);
            return;
        }
        self.ledger.discount_leaves(level, 1);
        releases.push(axas_mapping_t {
            gpa,
            size: entry_size(level),
            hpa: entry.address().bits(),
            flags: entry.attributes(self.features()).flags(),
            state: AXAS_STATE_LINEAR,
            ..axas_mapping_t::default()
        });
    }

    /// Gives back a table that no walker sees, with everything below it: what hangs on an entry before
    /// the entry's table.
    pub(super) fn release_below(
        &self,
        page: HostPhysAddr,
        top: u32,
        gpa: u64,
        releases: &Releases<'_>,
    ) -> Result<()> {
        let mut level = top;
        let mut path = PerLevel::new(page);
        // The next entry of each table, if it has one.
        let mut next = PerLevel::new(Some(Index::FIRST));
        let mut gpa = gpa & !(table_size(top).wrapping_sub(1));
        loop {
            if level == 1 {
                self.release_leaf_table(path.get(1), gpa, releases)?;
                gpa = gpa.wrapping_add(table_size(1));
                next.set(1, None);
            }
            let Some(index) = next.get(level) else {
                self.check_releasable()?;
                self.ledger.give_table(path.get(level), 0);
                if level == top {
                    return Ok(());
                }
                level = level.wrapping_add(1);
                continue;
            };
            let plain = self.skip_plain(path.get(level), level, index, releases)?;
            gpa = gpa.wrapping_add(plain.count.wrapping_mul(entry_size(level)));
            next.set(level, plain.after.and_then(|(index, _)| index.next()));
            let Some((_, entry)) = plain.after else { continue };
            match entry.state(level) {
                State::Table | State::DeadTable => {
                    level = level.wrapping_sub(1);
                    path.set(level, entry.address());
                    next.set(level, Some(Index::FIRST));
                }
                _ => {
                    self.release(entry, level, gpa, releases)?;
                    gpa = gpa.wrapping_add(entry_size(level));
                }
            }
        }
    }

    /// Counts out the entries from a place on that name nothing to give back or report.
    fn skip_plain(
        &self,
        page: HostPhysAddr,
        level: u32,
        first: Index,
        releases: &Releases<'_>,
    ) -> Result<Plain<F>> {
        let table = self.open(page)?;
        let (mut count, mut leaves) = (0_u64, 0_u64);
        let mut after = None;
        for index in (Span { first, last: Index::LAST }).indices() {
            let entry = table.load(index);
            let is_plain = match entry.state(level) {
                State::Empty | State::Reserved | State::Trap => true,
                State::Leaf if !entry.is_owned() && !releases.are_wanted() => {
                    leaves = leaves.wrapping_add(1);
                    true
                }
                _ => false,
            };
            if !is_plain {
                after = Some((index, entry));
                break;
            }
            count = count.wrapping_add(1);
        }
        self.ledger.discount_leaves(level, leaves);
        Ok(Plain { count, after })
    }

    /// Gives back what the entries of a table of level 1 name.
    fn release_leaf_table(
        &self,
        page: HostPhysAddr,
        gpa: u64,
        releases: &Releases<'_>,
    ) -> Result<()> {
        if !releases.are_wanted() {
            let (mut leaves, mut owned) = (0_u64, false);
            self.open(page)?.for_each(Span::ALL, |entry| {
                leaves = leaves.wrapping_add(u64::from(entry.is_hardware_visible()));
                owned |= entry.is_owned();
            });
            if !owned {
                self.ledger.discount_leaves(1, leaves);
                return Ok(());
            }
        }
        let mut gpa = gpa;
        let mut rest = Some(Span::ALL);
        while let Some(span) = rest {
            let (now, later) = split_batch(span);
            let mut batch = [Entry::EMPTY; BATCH];
            let mut places = batch.iter_mut();
            self.open(page)?.for_each(now, |entry| {
                if let Some(place) = places.next() {
                    *place = entry;
                }
            });
            for entry in batch {
                if !entry.is_empty() {
                    self.release(entry, 1, gpa, releases)?;
                }
                gpa = gpa.wrapping_add(entry_size(1));
            }
            rest = later;
        }
        Ok(())
    }
}

/// Whether nothing stands outside a span; its neighbours answer first, most often.
fn is_empty_outside<F: Format>(table: &Table<'_, F>, span: Span) -> bool {
    let before = span.first.previous();
    let after = span.last.next();
    let is_empty_at = |index| table.load(index).is_empty();
    before.is_none_or(is_empty_at)
        && after.is_none_or(is_empty_at)
        && before.is_none_or(|last| table.is_empty(Span { first: Index::FIRST, last }))
        && after.is_none_or(|first| table.is_empty(Span { first, last: Index::LAST }))
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
