// SPDX-License-Identifier: MIT OR Apache-2.0
//! Taking away: detach, flush, reap.
//!
//! 1. Where an end of the range cuts an entry, the entry becomes a table ([`super::split`]); where both ends
//!    are boundaries of entries nothing can fail from here on.
//! 2. *Detach*, from the edges upward: a table goes whole when no entry outside the range is occupied; nothing is
//!    written into it, its parent's entry becomes a dead one. With `AXAS_KEEP_TABLES` it stays, and its parent's
//!    entry says that it is empty. In a table that stays, reservations and traps are emptied, leaves and tables
//!    become dead entries: invalid for hardware, with the address still in them.
//! 3. One flush, if hardware may hold anything of it.
//! 4. *Reap* ([`super::reap`]): each dead entry is emptied, then what it named goes back to the host.

use super::NestedPageTable;
use super::arch::Format;
use super::edges::{Arm, Edges};
use super::entry::{Entry, Names, Way};
use super::reap::{Releases, Remains};
use super::split::Cut;
use super::subtract;
use super::table::Table;
use super::units::{GpaRange, Hpa, Level, Span};
use super::work::{Failed, Work};
use crate::abi::*;
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, publish_tables};
use crate::sync::{Defect, Ordering, fence, planted};

/// What becomes of a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// It is empty and stays.
    Kept,
    Goes,
}

/// What entries say of the occupancy of the tables that a range cuts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// It holds.
    Hold,
    /// What is in the range was not counted yet.
    Missing,
    /// A part of it may have been counted.
    Lost,
}

/// How a range is detached.
#[derive(Clone, Copy)]
struct How {
    counts: Counts,
    /// From these levels on, tables on the left and on the right arm that become empty stay.
    keeps_from: [Level; 2],
    /// The same for the left arms of the second page of the root that the range is in, and those behind it.
    keeps_later: Level,
}

impl How {
    fn keeps(&self, arm: Arm, level: Level) -> bool {
        let [left, right] = self.keeps_from;
        level >= if arm == Arm::Right { right } else { left }
    }
}

/// A detachment in work.
struct Detachment<'w> {
    edges: &'w Edges,
    releases: &'w mut Releases,
    request: &'w mut FlushRequest,
    how: How,
}

/// What goes of a table.
struct Going {
    page: Hpa,
    level: Level,
    /// The entries that the range covers, those of edge tables that became empty too.
    touched: Span,
    /// Those that lie in the range whole, whatever they are.
    whole: Option<Span>,
    /// How many edge tables became empty.
    gone: u64,
}

impl NestedPageTable {
    /// Removes whatever is in a range.
    #[inline(never)]
    pub(crate) fn unmap<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        self.unmap_as::<F>(work, range, self.host.wants_released())
    }

    /// As [`NestedPageTable::unmap`], of pages that go on to be somebody's: the host is told of none.
    #[cfg(feature = "transfer")]
    #[inline(never)]
    pub(super) fn unmap_silently<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        self.unmap_as::<F>(work, range, false)
    }

    #[inline(always)] // Both are scripts.
    fn unmap_as<F: Format>(&self, work: &mut Work, range: GpaRange, reports: bool) -> Result<()> {
        if !reports
            && range.is_page()
            && self.take_lone_page::<F>(work, range).ok_or(Error::BadState)?
        {
            return Ok(());
        }
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::All, &mut request)?;
        work.releases.begin(reports, None);
        let keeps_from = self.all_kept();
        let how = How { counts: Counts::Hold, keeps_from, keeps_later: keeps_from[0] };
        let detached = self.detach::<F>(work, range, request, how);
        let reaped = self.reap_detached::<F>(work, range);
        detached.and(reaped).ok_or(Error::BadState)
    }

    /// Removes everything from the space, kept tables included, after a count of the tables unless it is empty.
    /// Hardware is told even if nothing was there.
    #[inline(never)]
    pub(crate) fn remove_all<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        let mut request = FlushRequest::new(range);
        let is_empty = self.root_entries.load(Ordering::Relaxed) == 0
            && self.linked_tables(&work.stock) == self.root_pages();
        work.releases.begin(self.host.wants_released(), None);
        let mut detached = Some(());
        if !is_empty {
            self.check_tables::<F>(work).ok_or(Error::BadState)?;
            detached = self.detach_root::<F>(&mut work.releases, &mut request);
        }
        self.issue::<F>(request, AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
        let reaped = self.reap_detached::<F>(work, range);
        #[cfg(feature = "dirty")]
        self.end_watch();
        detached.and(reaped).ok_or(Error::BadState)
    }

    /// Detaches all entries of the root.
    #[inline(never)]
    fn detach_root<F: Format>(
        &self,
        releases: &mut Releases,
        request: &mut FlushRequest,
    ) -> Option<()> {
        for page in 0..self.root_pages() {
            let page = self.root.page(page);
            self.detach_span::<F>(releases, request, page, self.levels, Span::ALL)?;
        }
        self.root_entries.store(0, Ordering::Relaxed);
        Some(())
    }

    /// Empties a range in which a call failed, and counts what the root has. Of a map into a range that was empty the
    /// edges in work are those from before.
    #[inline(always)] // As what calls it.
    pub(super) fn undo<F: Format>(&self, work: &mut Work, range: GpaRange, failed: Failed) {
        let edges = &work.edges;
        let is_map = failed == Failed::Map;
        let counts = if is_map && !work.is_counted { Counts::Missing } else { Counts::Lost };
        let keeps_from = self.all_kept();
        let mut how = How { counts, keeps_from, keeps_later: keeps_from[0] };
        if self.keeps_tables() && is_map {
            how.keeps_from = [edges.first_low, edges.lowest(Arm::Right)];
            how.keeps_later = edges.lowest(Arm::Left);
        }
        work.edges.forget();
        work.releases.begin(false, None);
        let request = FlushRequest::new(range);
        // Where a table cannot be read, what hangs on it stays.
        let _ = self.detach_flushed::<F>(work, range, request, how);
        let _ = self.reap_detached::<F>(work, range);
        let mut entries = 0_u64;
        for page in 0..self.root_pages() {
            let page = self.root.page(page);
            let count = self.count_occupied::<F>(page, self.levels, Span::ALL);
            entries = entries.wrapping_add(count.unwrap_or(0));
        }
        self.root_entries.store(entries, Ordering::Relaxed);
    }

    /// The levels from which on tables stay that become empty: all or none.
    fn all_kept(&self) -> [Level; 2] {
        [if self.keeps_tables() { Level::PAGE } else { Level::HIGHEST.up() }; 2]
    }

    /// Detaches the entries of a range, and has them flushed: no CPU can reach them any more.
    #[inline(never)]
    fn detach<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        request: FlushRequest,
        how: How,
    ) -> Option<()> {
        self.detach_flushed::<F>(work, range, request, how)
    }

    /// As [`NestedPageTable::detach`], of which undo has one of its own: it is called deep down.
    #[inline(always)]
    fn detach_flushed<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        mut request: FlushRequest,
        how: How,
    ) -> Option<()> {
        let detached = self.detach_range::<F>(work, range, &mut request, how);
        self.issue_if::<F>(request, AXAS_FLUSH_UNMAP);
        detached.and(self.mend::<F>(&mut work.broken))
    }

    /// Gives back what the dead entries of a range name, which were flushed, if there are any.
    #[inline(never)]
    fn reap_detached<F: Format>(&self, work: &mut Work, range: GpaRange) -> Option<()> {
        if !work.releases.has_dead {
            return Some(());
        }
        self.begin_reaping();
        let reaped = self.reap::<F>(work, range, Remains::Nothing, false);
        work.releases.report(&self.host);
        reaped
    }

    /// Issues a request to all CPUs if one of them may hold anything of what changed.
    pub(super) fn issue_if<F: Format>(&self, request: FlushRequest, reason: u32) {
        if request.is_needed() {
            self.issue::<F>(request, reason, AXAS_SCOPE_ALL);
        } else {
            request.cancel();
        }
    }

    /// Publishes entries that were detached, and lets readers without the lock know that tables are about to go:
    /// those that begin from here on see the entries that were detached, those that began before see the
    /// generation change before they see anything that is written to a table that is gone.
    pub(super) fn begin_reaping(&self) {
        publish_tables();
        if planted(Defect::GenerationStays) {
            return;
        }
        let next = self.generation.load(Ordering::Relaxed).wrapping_add(1);
        self.generation.store(next, Ordering::Release);
        fence(Ordering::Release);
    }

    #[inline(always)] // For the stack.
    fn detach_range<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        request: &mut FlushRequest,
        mut how: How,
    ) -> Option<()> {
        let Work { edges, broken, releases, .. } = work;
        let mut at = range.start;
        while at < range.end {
            // Those of a range that one page of the root covers are known, unless it was cut.
            if edges.range != range {
                self.find_edges::<F>(edges, broken, range.from(at))?;
            }
            at = edges.range.end;
            let (releases, request) = (&mut *releases, &mut *request);
            self.detach_edges::<F>(&mut Detachment { edges, releases, request, how })?;
            how.keeps_from[0] = how.keeps_later;
        }
        Some(())
    }

    /// From the edges upward: the right arm, the left one, and on towards the root as long as tables become
    /// empty.
    #[inline(always)] // For the stack.
    fn detach_edges<F: Format>(&self, detachment: &mut Detachment<'_>) -> Option<()> {
        let edges = detachment.edges;
        let (mut left, mut right) = (Fate::Stays, Fate::Stays);
        let mut level = edges.lowest(Arm::Right);
        while level < edges.fork {
            right = self.detach_edge::<F>(detachment, Arm::Right, level, Fate::Stays, right)?;
            level = level.up();
        }
        level = edges.lowest(Arm::Left);
        loop {
            let beside = if level == edges.fork { right } else { Fate::Stays };
            left = self.detach_edge::<F>(detachment, Arm::Left, level, left, beside)?;
            if level == self.levels || level >= edges.fork && left == Fate::Stays {
                return Some(());
            }
            level = level.up();
        }
    }

    /// Detaches what an edge table has of the range: the edge tables below it that became empty, and the entries
    /// between them; the fate of the table. Nothing is written into one that goes.
    #[inline(never)]
    fn detach_edge<F: Format>(
        &self,
        detachment: &mut Detachment<'_>,
        arm: Arm,
        level: Level,
        left: Fate,
        right: Fate,
    ) -> Option<Fate> {
        let edges = detachment.edges;
        let page = edges.page(arm, level);
        let part = edges.part(arm, level);
        let count = if part.is_empty() { 0 } else { part.span(level).count() as u64 };
        // The entries of the part, with the one before it, or the one behind it, or both.
        let span = |with_left: bool, with_right: bool| {
            let first =
                if with_left { edges.cut(Arm::Left, level) } else { part.start.index(level) };
            let count = count.wrapping_add(with_left.into()).wrapping_add(with_right.into());
            if count != 0 { Some(Span::of(first, count)) } else { None }
        };
        let is_emptied = |fate| fate != Fate::Stays;
        let Some(touched) = span(is_emptied(left), is_emptied(right)) else {
            return Some(Fate::Stays);
        };
        let gone = u64::from(is_emptied(left)).wrapping_add(is_emptied(right).into());
        let going = Going { page, level, touched, whole: span(false, false), gone };
        let how = detachment.how;
        let (mut fate, mut link) = (Fate::Stays, None);
        if level < self.levels {
            let (above, place) = edges.parent(arm, level);
            let entry = self.entry::<F>(above, place)?;
            let before = if entry.is_hardware_visible() { entry.occupancy() } else { 0 };
            let after = self.occupancy_without::<F>(&going, before, how.counts)?;
            if after == Entry::<F>::KEPT && before != after {
                fate = if how.keeps(arm, level) { Fate::Kept } else { return Some(Fate::Goes) };
            }
            if after != before {
                link = Some((above, place, entry.with_occupancy(after)));
            }
        } else {
            let count = self.count_going::<F>(&going)?;
            subtract(&self.root_entries, count);
        }
        if let Some(span) = span(left == Fate::Goes, right == Fate::Goes) {
            let Detachment { releases, request, .. } = detachment;
            self.detach_span::<F>(releases, request, page, level, span)?;
        }
        if let Some((above, place, entry)) = link {
            self.set(above, place, entry)?;
        }
        Some(fate)
    }

    /// The occupancy of a table, which was `before`, without the entries that go; as of a kept table if nothing is
    /// left.
    #[inline(never)]
    fn occupancy_without<F: Format>(
        &self,
        going: &Going,
        before: u64,
        counts: Counts,
    ) -> Option<u64> {
        let Going { page, level, touched, whole, gone } = *going;
        if before == Entry::<F>::KEPT {
            return Some(before);
        }
        if counts == Counts::Lost {
            let inside = self.count_occupied::<F>(page, level, touched)?;
            let left = self.count_occupied::<F>(page, level, Span::ALL)?.wrapping_sub(inside);
            return Some(match left {
                0 => Entry::<F>::KEPT,
                _ if left <= Entry::<F>::MOST => left,
                _ => Entry::<F>::UNKNOWN,
            });
        }
        let is_empty = if counts == Counts::Missing || before == Entry::<F>::UNKNOWN {
            self.is_empty_outside::<F>(page, level, touched)?
        } else if before == Entry::<F>::RUN {
            match self.neighbours::<F>(page, level, touched)? {
                0 if gone != 0 => true,
                0 => !self.is_empty::<F>(page, level, whole?)?,
                // What is left on one side of what goes is a run.
                1 => false,
                _ => return Some(Entry::<F>::UNKNOWN),
            }
        } else {
            let left = before.saturating_sub(self.count_going::<F>(going)?);
            return Some(if left == 0 { Entry::<F>::KEPT } else { left });
        };
        Some(if is_empty { Entry::<F>::KEPT } else { before })
    }

    /// How many entries of a table go.
    #[inline(never)]
    fn count_going<F: Format>(&self, going: &Going) -> Option<u64> {
        let Going { page, level, whole, gone, .. } = *going;
        let Some(whole) = whole else { return Some(gone) };
        Some(self.count_occupied::<F>(page, level, whole)?.wrapping_add(gone))
    }

    /// Makes the entries of a span dead, or empty if nothing remains to be done for them.
    #[inline(never)]
    fn detach_span<F: Format>(
        &self,
        releases: &mut Releases,
        request: &mut FlushRequest,
        page: Hpa,
        level: Level,
        span: Span,
    ) -> Option<()> {
        let reports = releases.are_wanted();
        let mut linear = 0_u64;
        let (mut has_leaf, mut has_table, mut has_dead) = (false, false, false);
        let table = Table::<F>::reach(self, page)?;
        // Nothing is written where nothing is.
        let Some(first) = table.first_not_empty(span) else { return Some(()) };
        let mut dying = Dying::new();
        table.update(span.from(first), |entry| {
            if !entry.is_page() {
                return match entry.names(level.get()) {
                    Names::Nothing => Entry::EMPTY,
                    // No walker has it.
                    Names::Table if entry.is_hidden_table() => {
                        has_dead = true;
                        entry.dead_table()
                    }
                    // What is dead already is dealt with where it became so.
                    _ => entry,
                };
            }
            if let Way::Down(_) = entry.way(level.get()) {
                has_table = true;
                return entry.dead_table();
            }
            has_leaf |= entry.is_hardware_visible();
            if entry.is_owned() || reports {
                has_dead = true;
                return dying.dead(entry, self.features);
            }
            linear = linear.wrapping_add(1);
            Entry::EMPTY
        });
        drop(table);
        self.discount_leaves(level, linear);
        releases.has_dead |= has_dead | has_table;
        if has_leaf {
            request.add_leaf(level);
        }
        if has_table {
            request.add_table();
        }
        Some(())
    }
}

/// What leaves become between detach and reap; most look like the one before.
pub(super) struct Dying<F> {
    attributes: u64,
    like: Entry<F>,
}

impl<F: Format> Dying<F> {
    pub(super) fn new() -> Self {
        Self { attributes: u64::MAX, like: Entry::EMPTY }
    }

    /// What a leaf becomes.
    #[inline(always)]
    pub(super) fn dead(&mut self, leaf: Entry<F>, features: super::arch::Features) -> Entry<F> {
        let attributes = leaf.word_without_address();
        if attributes != self.attributes {
            (self.attributes, self.like) = (attributes, leaf.dead(features));
        }
        self.like.moved_to(leaf.address())
    }
}
