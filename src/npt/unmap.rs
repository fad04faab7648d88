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
use super::entry::{Entry, Way};
use super::reap::Remains;
use super::split::Cut;
use super::subtract;
use super::table::Table;
use super::units::{GpaRange, Hpa, Index, Level, Span};
use super::work::Work;
use crate::abi::*;
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, publish_tables};
use crate::sync::{Defect, Ordering, fence, planted};

/// What became of the edge tables of an arm.
#[derive(Clone, Copy, Default)]
struct Fates {
    /// Tables that go: a bit for each level.
    dead: u32,
    /// Tables that became empty and stay.
    kept: u32,
}

/// No table is new.
const NONE_NEW: [Level; 2] = [Level::PAGE; 2];

impl How {
    fn keeps_table(&self, arm: Arm, level: Level) -> bool {
        let [left, right] = self.new_below;
        self.keeps && level >= if arm == Arm::Right { right } else { left }
    }
}

/// A detachment in work.
struct Detachment<'w> {
    edges: &'w Edges,
    request: &'w mut FlushRequest,
    left: Fates,
    right: Fates,
    /// Entries are dead now.
    has_dead: bool,
    how: How,
}

/// How a range is detached.
#[derive(Clone, Copy)]
struct How {
    /// What entries say of the occupancy of tables can be relied on.
    trusts_counts: bool,
    /// Tables that become empty stay, but for those on the arms at lower levels than these: they are new.
    keeps: bool,
    new_below: [Level; 2],
    /// Linear pages are reported.
    reports: bool,
}

impl Detachment<'_> {
    fn fates(&mut self, arm: Arm) -> &mut Fates {
        if arm == Arm::Right { &mut self.right } else { &mut self.left }
    }
}

impl NestedPageTable {
    /// Removes whatever is in a range.
    #[inline(never)]
    pub(crate) fn unmap<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::All, 0, &mut request)?;
        let keeps = self.keeps_tables;
        let reports = self.host.wants_released();
        let how = How { trusts_counts: true, keeps, new_below: NONE_NEW, reports };
        self.detach_and_reap::<F>(work, range, request, false, how).ok_or(Error::BadState)
    }

    /// Removes everything from the space, kept tables included, after a count of the tables unless it is empty.
    /// Hardware is told even if nothing was there.
    #[inline(never)]
    pub(crate) fn remove_all<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        let is_empty = self.root_entries.load(Ordering::Relaxed) == 0
            && self.linked_tables() == self.root_pages();
        if is_empty {
            self.issue::<F>(FlushRequest::new(range), AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
            return Ok(());
        }
        self.check_tables::<F>(&mut work.sweep).ok_or(Error::BadState)?;
        work.broken.clear();
        let reports = self.host.wants_released();
        let how =
            How { trusts_counts: !self.keeps_tables, keeps: false, new_below: NONE_NEW, reports };
        let request = FlushRequest::new(range);
        let removed = self.detach_and_reap::<F>(work, range, request, true, how);
        if removed.is_some() {
            self.root_entries.store(0, Ordering::Relaxed);
        }
        removed.ok_or(Error::BadState)
    }

    /// Removes what a map put into a range that was empty; the edges in work are those from before.
    #[cold]
    #[inline(never)]
    pub(super) fn undo_map<F: Format>(&self, work: &mut Work, range: GpaRange) {
        let request = FlushRequest::new(range);
        let new_below = if work.edges.range == range {
            [Arm::Left, Arm::Right].map(|arm| work.edges.lowest(arm))
        } else {
            NONE_NEW
        };
        let how = How { trusts_counts: false, keeps: self.keeps_tables, new_below, reports: false };
        // Where a table cannot be read, what hangs on it stays.
        let _ = self.detach_and_reap::<F>(work, range, request, false, how);
        self.recount_root::<F>();
    }

    /// Counts the entries of the root that are occupied.
    #[cold]
    #[inline(never)]
    fn recount_root<F: Format>(&self) {
        let mut entries = 0_u64;
        for page in 0..self.root_pages() {
            let page = self.root.page(page);
            let count = self.count_occupied::<F>(page, self.levels, Span::ALL);
            entries = entries.wrapping_add(count.unwrap_or(0));
        }
        self.root_entries.store(entries, Ordering::Relaxed);
    }

    #[inline(always)] // The steps are not on the stack of each other.
    fn detach_and_reap<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        mut request: FlushRequest,
        always: bool,
        how: How,
    ) -> Option<()> {
        work.releases.begin(how.reports, None);
        let detached = self.detach::<F>(work, range, &mut request, how);
        self.issue_if::<F>(request, always, AXAS_FLUSH_UNMAP);
        self.mend::<F>(&mut work.broken)?;
        let (outcome, has_dead) = detached;
        if has_dead {
            publish_tables();
            self.end_generation();
            self.reap::<F>(work, range, Remains::Nothing, false)?;
            work.releases.report(&self.host);
        }
        outcome
    }

    /// Issues a request to all CPUs if one of them may hold anything of what changed, or anyway.
    pub(super) fn issue_if<F: Format>(&self, request: FlushRequest, anyway: bool, reason: u32) {
        if request.is_needed() || anyway {
            self.issue::<F>(request, reason, AXAS_SCOPE_ALL);
        } else {
            request.cancel();
        }
    }

    /// Lets readers without the lock know that tables are about to go: those that begin from here on see
    /// the entries that were detached, those that began before see the generation change before they see
    /// anything that is written to a table that is gone.
    pub(super) fn end_generation(&self) {
        if planted(Defect::GenerationStays) {
            return;
        }
        let next = self.generation.load(Ordering::Relaxed).wrapping_add(1);
        self.generation.store(next, Ordering::Release);
        fence(Ordering::Release);
    }

    /// Detaches the entries of a range: no CPU can reach them after the flush. Whether that ended well, and
    /// whether entries are dead.
    #[inline(never)]
    fn detach<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        request: &mut FlushRequest,
        how: How,
    ) -> (Option<()>, bool) {
        let Work { edges, broken, .. } = work;
        let mut has_dead = false;
        let mut at = range.start;
        while at < range.end {
            let Some(end) = self.find_edges::<F>(edges, broken, range.from(at)) else {
                return (None, has_dead);
            };
            at = end;
            let mut detachment = Detachment {
                edges,
                request,
                left: Fates::default(),
                right: Fates::default(),
                has_dead,
                how,
            };
            let outcome = self.detach_edges::<F>(&mut detachment);
            has_dead = detachment.has_dead;
            if outcome.is_none() {
                return (None, has_dead);
            }
        }
        (Some(()), has_dead)
    }

    /// From the edges upward: the right arm, the left one, and on towards the root as long as tables become
    /// empty.
    #[inline(always)] // For the stack.
    fn detach_edges<F: Format>(&self, detachment: &mut Detachment<'_>) -> Option<()> {
        let Edges { fork, .. } = *detachment.edges;
        let mut level = detachment.edges.lowest(Arm::Right);
        while level < fork {
            self.detach_edge::<F>(detachment, Arm::Right, level)?;
            level = level.up();
        }
        level = detachment.edges.lowest(Arm::Left);
        loop {
            self.detach_edge::<F>(detachment, Arm::Left, level)?;
            let Fates { dead, kept } = detachment.left;
            if level == self.levels || level >= fork && (dead | kept) & level.bit() == 0 {
                return Some(());
            }
            level = level.up();
        }
    }

    /// Detaches what an edge table has of the range.
    #[inline(never)]
    fn detach_edge<F: Format>(
        &self,
        detachment: &mut Detachment<'_>,
        arm: Arm,
        level: Level,
    ) -> Option<()> {
        let edges = detachment.edges;
        let page = edges.page(arm, level);
        let whole = if level > edges.fork { None } else { edges.span(arm, level) };
        let below = level.down().bit();
        let is_gone = |fates: Fates| (fates.dead | fates.kept) & below != 0;
        let left =
            (arm == Arm::Left && is_gone(detachment.left)).then(|| edges.cut(Arm::Left, level));
        let has_right = arm == Arm::Right || level == edges.fork;
        let right = (has_right && is_gone(detachment.right)).then(|| edges.cut(Arm::Right, level));
        let first = left.or(whole.map(|whole| whole.first)).or(right);
        let last = right.or(whole.map(|whole| whole.last)).or(left);
        let (Some(first), Some(last)) = (first, last) else { return Some(()) };
        let touched = Span::new(first, last);
        let mut gone = u64::from(left.is_some()).wrapping_add(u64::from(right.is_some()));
        let mut becomes_empty = false;
        if level < self.levels {
            let occupancy = self.occupancy_of::<F>(detachment, arm, level)?;
            becomes_empty =
                self.becomes_empty::<F>(page, level, touched, whole, gone, occupancy)?;
            if becomes_empty && !detachment.how.keeps_table(arm, level) {
                detachment.fates(arm).dead |= level.bit();
                return Some(());
            }
        }
        if let Some(index) = left {
            self.drop_child::<F>(detachment, page, index, detachment.left.dead & below != 0)?;
        }
        if let Some(index) = right {
            self.drop_child::<F>(detachment, page, index, detachment.right.dead & below != 0)?;
        }
        if let Some(whole) = whole {
            let count = self.detach_span::<F>(detachment, page, level, whole)?;
            gone = gone.wrapping_add(count);
        }
        if level == self.levels {
            subtract(&self.root_entries, gone);
            return Some(());
        }
        if becomes_empty {
            detachment.fates(arm).kept |= level.bit();
        }
        // Where counts cannot be relied on, entries may have gone before.
        if gone == 0 && detachment.how.trusts_counts {
            return Some(());
        }
        self.vacate::<F>(detachment, arm, level, touched, gone)
    }

    /// What is known of the occupancy of an edge table below the root.
    fn occupancy_of<F: Format>(
        &self,
        detachment: &Detachment<'_>,
        arm: Arm,
        level: Level,
    ) -> Option<u64> {
        let (page, index) = detachment.edges.parent(arm, level);
        let entry = self.entry::<F>(page, index)?;
        let is_known = entry.is_hardware_visible() && detachment.how.trusts_counts;
        Some(if is_known { entry.occupancy() } else { Entry::<F>::UNKNOWN })
    }

    /// Whether no entry of a table is occupied without those that go: `gone` cut ones and those of `whole`, all
    /// of which are in `touched`.
    #[inline(never)]
    fn becomes_empty<F: Format>(
        &self,
        page: Hpa,
        level: Level,
        touched: Span,
        whole: Option<Span>,
        gone: u64,
        occupancy: u64,
    ) -> Option<bool> {
        if occupancy == Entry::<F>::KEPT {
            return Some(false);
        }
        if occupancy == Entry::<F>::UNKNOWN {
            return self.is_empty_outside::<F>(page, level, touched);
        }
        let is_run = occupancy == Entry::<F>::RUN;
        if is_run && self.neighbours::<F>(page, level, touched)? != 0 {
            return Some(false);
        }
        // All that are occupied are among those that go.
        let least = if is_run { 1 } else { occupancy };
        match whole {
            _ if gone >= least => Some(true),
            Some(whole) => self.has_occupied::<F>(page, level, whole, least.wrapping_sub(gone)),
            None => Some(false),
        }
    }

    /// Takes an entry that points to an edge table that became empty.
    fn drop_child<F: Format>(
        &self,
        detachment: &mut Detachment<'_>,
        page: Hpa,
        index: Index,
        is_dead: bool,
    ) -> Option<()> {
        let entry = self.entry::<F>(page, index)?;
        if is_dead {
            detachment.request.add_table();
            detachment.has_dead = true;
            self.set(page, index, entry.dead_table())
        } else {
            self.set(page, index, entry.with_occupancy(Entry::<F>::KEPT))
        }
    }

    /// Counts off entries that went from a table, where the table is pointed to.
    #[inline(never)]
    fn vacate<F: Format>(
        &self,
        detachment: &Detachment<'_>,
        arm: Arm,
        level: Level,
        touched: Span,
        gone: u64,
    ) -> Option<()> {
        let (page, index) = detachment.edges.parent(arm, level);
        let entry = self.entry::<F>(page, index)?;
        if !entry.is_hardware_visible() {
            return Some(());
        }
        let before = entry.occupancy();
        let after = if before == Entry::<F>::KEPT {
            before
        } else if !detachment.how.trusts_counts {
            let table = detachment.edges.page(arm, level);
            let left = self.count_occupied::<F>(table, level, Span::ALL)?;
            if left <= Entry::<F>::MOST { left } else { Entry::<F>::UNKNOWN }
        } else if before == Entry::<F>::UNKNOWN {
            Entry::<F>::UNKNOWN
        } else if before == Entry::<F>::RUN {
            // What is left on one side of what went is a run.
            let beside = self.neighbours::<F>(detachment.edges.page(arm, level), level, touched)?;
            if beside > 1 { Entry::<F>::UNKNOWN } else { Entry::<F>::RUN }
        } else {
            before.saturating_sub(gone)
        };
        if after == before { Some(()) } else { self.set(page, index, entry.with_occupancy(after)) }
    }

    /// Makes the entries of a span dead, or empty if nothing remains to be done for them; how many were
    /// occupied.
    #[inline(never)]
    fn detach_span<F: Format>(
        &self,
        detachment: &mut Detachment<'_>,
        page: Hpa,
        level: Level,
        span: Span,
    ) -> Option<u64> {
        let reports = detachment.how.reports;
        let (mut occupied, mut linear) = (0_u64, 0_u64);
        let (mut has_leaf, mut has_table, mut has_dead) = (false, false, false);
        let table = Table::<F>::reach(self, page)?;
        // Nothing is written where nothing is.
        let Some(first) = table.first_not_empty(span) else { return Some(0) };
        let mut dying = Dying::new();
        table.update(span.from(first), |entry| {
            if entry.is_empty() {
                return entry;
            }
            occupied = occupied.wrapping_add(u64::from(!table.is_absent(entry, level)));
            if !entry.is_hardware_visible() {
                // What is dead or between break and make already is dealt with where it became so.
                return if entry.is_plain() { Entry::EMPTY } else { entry };
            }
            if let Way::Down(_) = entry.way(level.get()) {
                (has_table, has_dead) = (true, true);
                return entry.dead_table();
            }
            has_leaf = true;
            if entry.is_owned() || reports {
                has_dead = true;
                return dying.dead(entry, self.features);
            }
            linear = linear.wrapping_add(1);
            Entry::EMPTY
        });
        drop(table);
        self.discount_leaves(level, linear);
        detachment.has_dead |= has_dead;
        if has_leaf {
            detachment.request.add_leaf(level);
        }
        if has_table {
            detachment.request.add_table();
        }
        Some(occupied)
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
