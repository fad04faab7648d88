// SPDX-License-Identifier: MIT OR Apache-2.0
//! Taking memory in before the guest asks for it, and giving it back while its place stays reserved.
//!
//! Populate: frames go into the places of reservations as pending entries, which no walker follows; what
//! is below an upper entry is built off-line and becomes a pending table. If something is missing,
//! everything goes back and the reservations are there again, word by word; else one pass publishes it all.
//! Pages that were mapped before are never touched: the guest may have written to them.
//!
//! Discard: as unmap, with reservations in the places of what goes. A leaf table that comes down to one
//! reservation goes whole, unwritten, and the reservation takes its place.

use super::NestedPageTable;
use super::add;
use super::arch::Format;
use super::content::Content;
use super::entry::{Entry, Reservation, State};
use super::reap::Remains;
use super::split::Cut;
use super::stock::Stock;
use super::sweep::{Run, Step, Sweep};
use super::table::{Broken, Table};
use super::units::{GpaRange, Hpa, Index, Level, Span, fresh_tables};
use super::work::{Failed, Work};
use crate::abi::AXAS_FLUSH_UNMAP;
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, Purpose, publish_tables};

/// Where frames come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Host,
    /// They were taken before.
    Stock,
}

/// A reservation in its table.
struct Place<F> {
    page: Hpa,
    level: Level,
    index: Index,
    entry: Entry<F>,
    /// The table is not reachable yet.
    is_hidden: bool,
}

impl NestedPageTable {
    /// Takes frames for everything that is reserved in a range, which must be mapped or reserved.
    #[inline(never)]
    pub(crate) fn populate<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        self.check_mapped::<F>(&mut work.sweep, range)?;
        self.populate_from::<F>(work, range, Source::Host)
    }

    #[inline(never)]
    fn populate_from<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        source: Source,
    ) -> Result<()> {
        if let Err(error) = self.take_frames::<F>(work, range, source) {
            work.releases.begin(false, None);
            self.reap::<F>(work, range, Remains::OF_FAILED, false).ok_or(Error::BadState)?;
            return Err(error);
        }
        self.publish::<F>(&mut work.sweep, range).ok_or(Error::BadState)?;
        // This CPU may have cached as invalid what another CPU's fault has mapped.
        self.announce::<F>(range);
        Ok(())
    }

    /// Fills an empty range with reservations and, if it `populates`, takes frames for them: both or nothing.
    #[inline(always)] // As `map`.
    pub(crate) fn map_reserved<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
        populates: bool,
    ) -> Result<()> {
        self.prepare_map(work, content, range)?;
        let mut outcome = self.fill_range(work, content, range, populates).ok_or(Error::BadState);
        if populates && outcome.is_ok() {
            outcome = self.populate::<F>(work, range);
            if outcome.is_ok() && !work.is_counted {
                work.is_counted = true;
                outcome = self.count_edges::<F>(&work.edges).ok_or(Error::BadState);
            }
        }
        outcome.or_else(|error| work.fails_in::<F>(self, Failed::Map, range, error))
    }

    /// Puts frames of the library in the place of whatever is in a range. All are taken before the first page is
    /// replaced.
    #[inline(never)]
    pub(crate) fn replace_populated<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        reservation: Reservation,
        range: GpaRange,
    ) -> Result<()> {
        let whole = Level::LARGE;
        let mut at = range.start;
        while at < range.end {
            let is_large = self.largest_frame(reservation, whole) == whole
                && range.holds_entry(at, whole)
                && self.add_page(&mut work.large_pages);
            let level = if is_large { whole } else { Level::PAGE };
            let part = GpaRange::new(
                at,
                if is_large { at.end(whole) } else { range.end.min(at.end(whole)) },
            );
            if !is_large {
                let missing = part.size().wrapping_shr(level.shift());
                let count = work.pages.count().wrapping_add(missing);
                work.pages.fill(self, count)?;
            }
            at = part.end;
        }
        let tables = fresh_tables(self.levels, range, Level::PAGE);
        self.replace(work, content, range, tables)?;
        self.populate_from::<F>(work, range, Source::Stock)
    }

    /// Takes one more frame, if the host has one.
    fn add_page(&self, stock: &mut Stock) -> bool {
        let count = stock.count().wrapping_add(1);
        stock.fill(self, count).is_ok()
    }

    /// Puts what is pending in its place.
    #[inline(never)]
    pub(super) fn publish<F: Format>(&self, sweep: &mut Sweep, range: GpaRange) -> Option<()> {
        sweep.begin(self, range);
        while sweep.next::<F>(self, &Broken::NONE)? {
            let Run { page, level, span, .. } = sweep.run;
            Table::<F>::reach(self, page)?.update(span, |entry| match entry.state(level.get()) {
                State::PendingTable => Entry::full_table(entry.address()),
                State::Pending => {
                    let attributes = entry.reservation().attributes();
                    // What was said of it when it was reserved can be said now.
                    Entry::page_template(attributes, self.features, level.get(), true)
                        .map_or(entry, |template| template.page_at(entry.address()))
                }
                _ => entry,
            });
        }
        publish_tables();
        Some(())
    }

    /// Gives back the owned frames of a range, which must be mapped or reserved; reservations take their places.
    /// Frames of the host stay mapped.
    #[inline(never)]
    pub(crate) fn discard<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        self.check_mapped::<F>(&mut work.sweep, range)?;
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::Owned, &mut request)?;
        let Work { sweep, broken, .. } = work;
        let detached = self.detach_frames::<F>(sweep, broken, range, &mut request);
        self.issue_if::<F>(request, AXAS_FLUSH_UNMAP);
        let mended = self.mend::<F>(broken);
        self.begin_reaping();
        work.releases.begin(false, None);
        let reaped = self.reap::<F>(work, range, Remains::Reservation, false);
        detached.and(mended).and(reaped).ok_or(Error::BadState)
    }

    /// Makes dead what is to be given back.
    #[inline(never)]
    fn detach_frames<F: Format>(
        &self,
        sweep: &mut Sweep,
        broken: &Broken,
        range: GpaRange,
        request: &mut FlushRequest,
    ) -> Option<()> {
        sweep.begin(self, range);
        loop {
            match sweep.step_in::<F>(self, broken)? {
                Step::Entries => self.discard_run::<F>(&sweep.run, request)?,
                Step::Table(table) if self.fold::<F>(&sweep.run, table, range)? => {
                    request.add_table();
                    sweep.skip(self);
                }
                Step::Table(table) | Step::Hidden(table) => {
                    sweep.enter(self, sweep.run.gpa, table)?;
                }
                Step::End => return Some(()),
            }
        }
    }

    #[inline(never)]
    fn discard_run<F: Format>(&self, run: &Run, request: &mut FlushRequest) -> Option<()> {
        let level = run.level.get();
        let mut has_leaf = false;
        Table::<F>::reach(self, run.page)?.update(run.span, |entry| {
            if entry.is_page() && entry.is_owned() {
                has_leaf |= entry.is_hardware_visible();
                entry.discarded(self.features, level, self.is_logged())
            } else {
                entry
            }
        });
        if has_leaf {
            request.add_leaf(run.level);
        }
        Some(())
    }

    /// Marks a leaf table dead that comes down to one reservation and lies whole in a range; whether it did.
    /// The table is the one that the entry at `place` points to.
    #[inline(never)]
    fn fold<F: Format>(&self, place: &Run, table: Hpa, range: GpaRange) -> Option<bool> {
        if place.level != Level::LARGE || !range.holds_entry(place.gpa, place.level) {
            return Some(false);
        }
        let entry = self.entry::<F>(place.page, place.span.first)?;
        if !entry.is_hardware_visible() {
            return Some(false);
        }
        let Some(reservation) = self.folding::<F>(table)? else { return Some(false) };
        let folded = Entry::<F>::table(table).folded(reservation);
        self.set(place.page, place.span.first, folded)?;
        Some(true)
    }

    /// The reservation that says what all entries of a leaf table will say when their frames are gone, if
    /// there is one.
    #[inline(never)]
    fn folding<F: Format>(&self, page: Hpa) -> Option<Option<Reservation>> {
        let mut common: Option<Reservation> = None;
        let mut is_uniform = true;
        Table::<F>::reach(self, page)?.for_each(Span::ALL, |entry| {
            let reservation = if entry.is_owned_page() || entry.is_hidden() && entry.is_owned() {
                Reservation::new(entry.attributes(self.features), 1).with_dirt(self.is_logged())
            } else if entry.is_lazy() {
                entry.reservation()
            } else {
                is_uniform = false;
                return;
            };
            is_uniform &= *common.get_or_insert(reservation) == reservation;
        });
        Some(common.filter(|_| is_uniform))
    }

    /// Makes a frame what the guest is to find.
    #[inline(never)]
    pub(super) fn prepare_frame<F: Format>(
        &self,
        frame: Hpa,
        level: Level,
        reservation: Reservation,
    ) -> Result<()> {
        if self.zeroes(reservation) {
            self.host.zero(frame, level.order())?;
            if self.features.cleans_guest::<F>(reservation.attributes()) {
                self.host.clean_frame(frame, level.order())?;
            }
        }
        Ok(())
    }

    /// A frame for a leaf of a level, as the guest is to find it.
    fn guest_frame<F: Format>(
        &self,
        work: &mut Work,
        source: Source,
        level: Level,
        reservation: Reservation,
    ) -> Result<Hpa> {
        let frame = match source {
            Source::Host => self.take_frame(level, Purpose::Guest)?,
            Source::Stock => work.pages_of(level).pop(self).ok_or(Error::NoMemory)?,
        };
        if let Err(error) = self.prepare_frame::<F>(frame, level, reservation) {
            self.give_guest(frame, level);
            return Err(error);
        }
        Ok(frame)
    }

    /// Puts pending frames and tables into the places of the reservations of a range. What is below a
    /// pending table no walker sees: there are leaves and tables as they are to be.
    #[inline(never)]
    fn take_frames<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        source: Source,
    ) -> Result<()> {
        let mut hidden_until = range.start;
        work.sweep.begin(self, range);
        while work.sweep.next::<F>(self, &Broken::NONE).ok_or(Error::BadState)? {
            let Run { page, level, span, mut gpa } = work.sweep.run;
            for index in span.indices() {
                let stop = gpa.end(level);
                let entry = self.entry::<F>(page, index).ok_or(Error::BadState)?;
                if entry.is_lazy() {
                    let place = Place { page, level, index, entry, is_hidden: gpa < hidden_until };
                    if !range.holds_entry(gpa, level) || !self.put_frame(work, source, &place)? {
                        let table = self.put_table(work, source, &place)?;
                        hidden_until = hidden_until.max(stop);
                        work.sweep.enter(self, gpa, table).ok_or(Error::BadState)?;
                        break;
                    }
                }
                gpa = stop;
            }
        }
        Ok(())
    }

    /// Puts a frame into the place of a reservation; false where that takes smaller ones.
    #[inline(never)]
    fn put_frame<F: Format>(
        &self,
        work: &mut Work,
        source: Source,
        place: &Place<F>,
    ) -> Result<bool> {
        let (level, reservation) = (place.level, place.entry.reservation());
        let most = if source == Source::Stock { Level::LARGE } else { level };
        if level > self.largest_frame(reservation, most) {
            return Ok(false);
        }
        let attributes = reservation.attributes();
        let frame = match self.guest_frame::<F>(work, source, level, reservation) {
            Ok(frame) => frame,
            Err(Error::NoMemory) if level > Level::PAGE => return Ok(false),
            Err(error) => return Err(error),
        };
        let entry: Entry<F> = if place.is_hidden {
            Entry::page_template(attributes, self.features, level.get(), true)?.page_at(frame)
        } else {
            Entry::pending(frame, reservation)
        };
        if self.set(place.page, place.index, entry).is_none() {
            self.give_guest(frame, level);
            return Err(Error::BadState);
        }
        self.count_leaves(level, 1);
        add(&self.counts.guest, level.pages());
        Ok(true)
    }

    /// Puts a table that says the same into the place of a reservation.
    #[inline(never)]
    fn put_table<F: Format>(
        &self,
        work: &mut Work,
        source: Source,
        place: &Place<F>,
    ) -> Result<Hpa> {
        let table = match source {
            Source::Host => work.stock.pop(self).map_or_else(|| self.take_table(), Ok)?,
            Source::Stock => work.stock.pop(self).ok_or(Error::NoMemory)?,
        };
        let entry: Entry<F> = if place.is_hidden {
            Entry::full_table(table)
        } else {
            Entry::pending_table(table, place.entry.reservation())
        };
        let put = self
            .fill_unseen(table, place.entry)
            .and_then(|()| self.set(place.page, place.index, entry));
        if put.is_none() {
            self.give_table(table);
            return Err(Error::BadState);
        }
        Ok(table)
    }
}
