// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages that no walker is to find (part `hide`).
//!
//! A hidden page is an invalid entry that keeps the page's address, attributes and owner. To everything but walkers
//! the page is there: it is counted, protected, released and freed as before. It was flushed when it was hidden, so
//! that what takes it away flushes nothing.
//!
//! Pages that show themselves are hidden by the table: the entry that points to it becomes invalid and keeps the
//! address and the occupancy, whatever is below. Who comes to such an entry hides what is in the table, then shows the table:
//! a fault, and each call that runs alone. What only looks finds all below hidden and changes nothing.
//!
//! Where a format has no leaf without permissions, a page without any is a hidden one too, which nothing holds: it
//! is a leaf again as soon as it has a permission.

use super::NestedPageTable;
use super::arch::Format;
use super::audit::Census;
use super::entry::{EncodedPermissions, Entry};
use super::protect::Changes;
#[cfg(feature = "hide")]
use super::split::Cut;
use super::sweep::Run;
use super::table::Table;
use super::units::{GpaRange, Level};
use crate::addr::Bits;

#[cfg(feature = "hide")]
use {
    super::edges::Edges,
    super::entry::Way,
    super::slices::Budget,
    super::sweep::{Step, Sweep},
    super::table::{Broken, exchange},
    super::units::{Gpa, Hpa, Index, Span},
    super::work::Work,
    crate::abi::AXAS_FLUSH_UNMAP,
    crate::error::{Error, Result},
    crate::hal::{FlushRequest, publish_tables},
    crate::sync::Ordering,
};

/// What changes in the words of pages that are hidden or shown: an address stands in the same bits before and after, so
/// that it is the same for all that differ in their addresses only. Most entries look like the one before.
#[cfg(feature = "hide")]
struct Change {
    seen: u64,
    change: u64,
}

#[cfg(feature = "hide")]
impl Change {
    /// No entry looks like this without its address.
    const NONE: Self = Self { seen: u64::MAX, change: 0 };

    /// What an entry becomes; `new` says it, of its address nothing but where it stands.
    #[inline(always)]
    fn of<F: Format>(
        &mut self,
        entry: Entry<F>,
        new: impl FnOnce(Entry<F>) -> Entry<F>,
    ) -> Entry<F> {
        let now = entry.word() & !F::address_field(F::address(u64::MAX));
        if now != self.seen {
            (self.seen, self.change) = (now, entry.word() ^ new(entry).word());
        }
        Entry::from_word(entry.word() ^ self.change)
    }
}

#[cfg(feature = "hide")]
impl NestedPageTable {
    /// Hides the pages of a range.
    #[inline(never)]
    pub(crate) fn hide<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::Pages { auto: false }, &mut request)?;
        let Work { sweep, broken, .. } = work;
        let hidden = self.hide_range::<F>(sweep, broken, range, &mut request);
        self.end_hiding::<F>(work, request, hidden)
    }

    /// Hides the pages of a range until the next access to each; a page that is hidden already stays as it is.
    #[inline(never)]
    pub(crate) fn hide_auto<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        let mut request = FlushRequest::new(range);
        // Nothing is outside of the space: the entries of the root are whole.
        let range = if range == self.range {
            GpaRange::new(range.start.base(self.levels), range.last().end(self.levels))
        } else {
            range
        };
        self.split::<F>(work, range, &Cut::Pages { auto: true }, &mut request)?;
        let Work { edges, broken, .. } = work;
        let hidden = self.hide_edges::<F>(edges, broken, range, &mut request);
        self.end_hiding::<F>(work, request, hidden)
    }

    /// What was hidden is flushed.
    #[inline(always)] // For the stack.
    fn end_hiding<F: Format>(
        &self,
        work: &mut Work,
        request: FlushRequest,
        hidden: Option<()>,
    ) -> Result<()> {
        let broken = &mut work.broken;
        self.issue_if::<F>(request, AXAS_FLUSH_UNMAP);
        let mended = self.mend::<F>(broken);
        publish_tables();
        hidden.and(mended).ok_or(Error::BadState)
    }

    /// Hides what the edge tables have of a range, pages and tables.
    #[inline(never)]
    fn hide_edges<F: Format>(
        &self,
        edges: &mut Edges,
        broken: &Broken,
        range: GpaRange,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let mut at = range.start;
        while at < range.end {
            at = self.find_edges::<F>(edges, broken, range.from(at))?;
            let mut place = Some(edges.first());
            while let Some((arm, level)) = place {
                if let Some(span) = edges.span(arm, level) {
                    self.hide_span::<F>(edges.page(arm, level), level, span, request)?;
                }
                place = edges.after((arm, level));
            }
        }
        Some(())
    }

    /// Hides pages and tables of a span until the next access.
    #[inline(never)]
    fn hide_span<F: Format>(
        &self,
        page: Hpa,
        level: Level,
        span: Span,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let (mut has_leaf, mut has_table) = (false, false);
        let table = Table::<F>::reach(self, page)?;
        let Some(first) = table.first_not_empty(span) else { return Some(()) };
        table.edit(span.from(first), |entry| {
            if let Way::Down(_) = entry.way(level.get()) {
                let is_hidden = entry.occupancy() != Entry::<F>::KEPT;
                has_table |= is_hidden;
                return if is_hidden { entry.hidden_table() } else { entry };
            }
            has_leaf |= entry.is_hardware_visible();
            if entry.can_hide(true) { entry.hidden(self.features, true) } else { entry }
        });
        if has_leaf {
            request.add_leaf(level);
        }
        if has_table {
            self.hidden_tables.store(1, Ordering::Relaxed);
            request.add_table();
        }
        Some(())
    }

    /// Shows the hidden tables of a range, with what is in them hidden.
    #[cfg(feature = "transfer")]
    #[inline(never)]
    pub(super) fn show_tables<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        work.sweep.begin(self, range);
        while work.sweep.next::<F>(self, &Broken::NONE).ok_or(Error::BadState)? {}
        Ok(())
    }

    /// Shows a hidden table that a call comes to which runs alone.
    #[cold]
    #[inline(never)]
    pub(super) fn open_hidden<F: Format>(
        &self,
        page: Hpa,
        index: Index,
        level: Level,
    ) -> Option<()> {
        let entry = self.entry::<F>(page, index)?;
        self.hide_below::<F>(entry.address(), level.down())?;
        self.set(page, index, entry.shown_table())
    }

    /// Hides what is in a table that no walker finds, beside those that mark pages dirty.
    #[inline(never)]
    pub(super) fn hide_below<F: Format>(&self, page: Hpa, level: Level) -> Option<()> {
        let table = Table::<F>::reach(self, page)?;
        // Most pages look like the one before.
        let (mut attributes, mut like) = (u64::MAX, Entry::EMPTY);
        for slot in table.slots(Span::ALL) {
            // A mark changes an entry once.
            for _ in 0..2 {
                let entry = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
                if entry.is_empty() {
                    break;
                }
                let hidden = match entry.way(level.get()) {
                    Way::Down(_) if entry.occupancy() != Entry::<F>::KEPT => entry.hidden_table(),
                    Way::Ends if entry.can_hide(true) => {
                        let now = entry.word_without_address();
                        if now != attributes {
                            (attributes, like) = (now, entry.hidden(self.features, true));
                        }
                        like.moved_to(entry.address())
                    }
                    _ => break,
                };
                if exchange(slot, entry, hidden) {
                    break;
                }
            }
        }
        table.clean(Span::ALL);
        Some(())
    }

    /// How far a budget goes if the pages of a range are hidden until the next access: a table that lies in the range whole is
    /// one entry.
    #[inline(never)]
    pub(crate) fn reach_hiding<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        budget: &mut Budget,
    ) -> Result<()> {
        budget.reached =
            self.reach_whole::<F>(&mut work.sweep, range, budget).ok_or(Error::BadState)?;
        Ok(())
    }

    #[inline(never)]
    fn reach_whole<F: Format>(
        &self,
        sweep: &mut Sweep,
        range: GpaRange,
        budget: &mut Budget,
    ) -> Option<Gpa> {
        sweep.begin_look(self, range);
        loop {
            let step = sweep.step::<F>(self, &Broken::NONE)?;
            let Run { level, gpa, .. } = sweep.run;
            match step {
                Step::End => return Some(range.end),
                Step::Entries => {
                    if let Some(stop) = budget.visit(&sweep.run) {
                        return Some(stop);
                    }
                }
                Step::Table(_) | Step::Hidden(_)
                    if gpa.is_aligned(level) && gpa.end(level) <= range.end =>
                {
                    if let Some(stop) = budget.visit(&sweep.run) {
                        return Some(stop);
                    }
                    sweep.skip(self);
                }
                Step::Table(table) | Step::Hidden(table) => sweep.enter(self, gpa, table)?,
            }
        }
    }

    #[inline(never)]
    fn hide_range<F: Format>(
        &self,
        sweep: &mut Sweep,
        broken: &Broken,
        range: GpaRange,
        request: &mut FlushRequest,
    ) -> Option<()> {
        sweep.begin(self, range);
        while sweep.next::<F>(self, broken)? {
            let run = sweep.run;
            let (mut has_leaf, mut change) = (false, Change::NONE);
            Table::<F>::reach(self, run.page)?.edit(run.span, |entry| {
                change.of(entry, |entry| {
                    has_leaf |= entry.is_hardware_visible();
                    if entry.can_hide(false) { entry.hidden(self.features, false) } else { entry }
                })
            });
            if has_leaf {
                request.add_leaf(run.level);
            }
        }
        Some(())
    }

    /// Shows the pages of a range that are hidden.
    #[inline(never)]
    pub(crate) fn show<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::Held, &mut request)?;
        // No walker has an entry of what was cut.
        request.cancel();
        let Work { sweep, broken, .. } = work;
        let shown = self.show_range::<F>(sweep, broken, range);
        let mended = self.mend::<F>(broken);
        publish_tables();
        self.announce::<F>(range);
        shown.and(mended).ok_or(Error::BadState)
    }

    #[inline(never)]
    fn show_range<F: Format>(
        &self,
        sweep: &mut Sweep,
        broken: &Broken,
        range: GpaRange,
    ) -> Option<()> {
        sweep.begin(self, range);
        while sweep.next::<F>(self, broken)? {
            let Run { page, level, span, .. } = sweep.run;
            let mut change = Change::NONE;
            Table::<F>::reach(self, page)?.edit(span, |entry| {
                change.of(entry, |entry| {
                    if entry.is_held() {
                        entry.shown(self.features, level.get(), self.marks_writes())
                    } else {
                        entry
                    }
                })
            });
        }
        Some(())
    }
}

impl NestedPageTable {
    /// Shows the hidden tables on the ways to both ends of a range, before its edges are looked for.
    #[inline(always)]
    #[cfg_attr(not(feature = "hide"), expect(clippy::extra_unused_type_parameters))]
    pub(super) fn show_ends<F: Format>(&self, range: GpaRange) -> Option<()> {
        #[cfg(feature = "hide")]
        if self.hidden_tables.load(Ordering::Relaxed) != 0 {
            self.show_way::<F>(range.start, range.start)?;
            return self.show_way::<F>(range.last(), range.end);
        }
        let _ = range;
        Some(())
    }

    /// Shows the hidden tables on the way to an address that an end of a range cuts.
    #[cfg(feature = "hide")]
    #[cold]
    #[inline(never)]
    fn show_way<F: Format>(&self, gpa: Gpa, end: Gpa) -> Option<()> {
        let (mut page, mut level) = (self.root_page::<F>(gpa), self.levels);
        while level > Level::PAGE && !end.is_aligned(level) {
            let index = gpa.index(level);
            let way = self.entry::<F>(page, index)?.way(level.get());
            match way {
                Way::Hidden(_) => self.open_hidden::<F>(page, index, level)?,
                Way::Down(_) => {}
                Way::Ends | Way::Corrupt => break,
            }
            if let Way::Down(below) | Way::Hidden(below) = way {
                page = below;
            }
            level = level.down();
        }
        Some(())
    }

    /// Hides the pages of a run that lose their last permission; whether there were leaves.
    #[inline(never)]
    pub(super) fn hide_run_without_permissions<F: Format>(
        &self,
        run: &Run,
        encoded: EncodedPermissions,
        changes: &mut Changes,
    ) -> Option<bool> {
        let mut has_leaf = false;
        Table::<F>::reach(self, run.page)?.edit(run.span, |entry| {
            if entry.is_hardware_visible() {
                has_leaf = true;
                entry.without_permissions(self.features, run.level.get(), self.marks_writes())
            } else if entry.is_reserved() || entry.is_hidden() {
                entry.with_permissions(encoded)
            } else {
                entry
            }
        });
        changes.lost |= has_leaf;
        Some(has_leaf)
    }

    /// A hidden page with new permissions.
    #[cold]
    #[inline(never)]
    pub(super) fn protect_hidden<F: Format>(
        &self,
        entry: Entry<F>,
        encoded: EncodedPermissions,
        level: Level,
    ) -> Entry<F> {
        let entry = entry.with_permissions(encoded);
        if entry.is_held() {
            entry
        } else {
            entry.shown(self.features, level.get(), self.marks_writes())
        }
    }

    /// That a hidden page is one that the library writes; counts it.
    #[inline(never)]
    pub(super) fn inspect_hidden<F: Format>(
        &self,
        census: &mut Census,
        entry: Entry<F>,
        level: Level,
    ) -> Option<()> {
        let written = if entry.is_held() {
            entry.hidden(self.features, entry.shows_itself())
        } else {
            entry.without_permissions(self.features, level.get(), false)
        };
        let address = entry.address();
        let is_page = entry == written
            && address.offset(level) == 0
            && self.host.is_in_width(address.bits(), level.size());
        is_page.then_some(())?;
        census.add_page(level, entry.is_owned());
        Some(())
    }
}
