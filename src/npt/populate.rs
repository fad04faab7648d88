//! Taking memory in before the guest asks for it, and giving it back while its place stays reserved.
//!
//! Populate: frames go into the places of reservations as pending entries, which no walker follows; what
//! lies below an upper entry is built off-line and becomes a pending table. If something is missing,
//! everything goes back and the reservations stand again, word by word; else one pass publishes it all.
//! Pages that were mapped before are never touched: the guest may have written to them.
//!
//! Discard: as unmap, with reservations in the places of what goes. A leaf table that comes down to one
//! reservation goes whole, unwritten, and the reservation takes its place.

use core::cell::Cell;

use super::Engine;
use super::arch::Format;
use super::entry::{Entry, Reservation, State};
use super::geometry::{PerLevel, Span, entry_size, frame_order, pages};
use super::map::{Filler, Ground, Run, whole_entries};
use super::table::Table;
use super::unmap::Releases;
use crate::abi::{AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL};
use crate::addr::HostPhysAddr;
use crate::error::{Error, Result};
use crate::flags::Attributes;
use crate::hal::{OwnedFrame, publish_tables};

/// Frames from the host, into a table that nobody sees yet.
struct Populate<'a, F> {
    engine: &'a Engine<'a, F>,
    reservation: Reservation,
    templates: PerLevel<Entry<F>>,
}

impl<F: Format> Filler<F> for Populate<'_, F> {
    fn next(&mut self, level: u32, gpa: u64, end: u64, _most: usize) -> Result<Option<Run<F>>> {
        let fits = whole_entries(level, gpa, end, 1).is_some();
        if level > self.reservation.largest || !fits {
            return Ok(None);
        }
        let frame = self.engine.frame_if_any(level, self.reservation.attributes)?;
        Ok(frame.map(|frame| {
            self.engine.count_owned(level);
            Run { first: self.templates.get(level).at(frame.keep()), step: 0, count: 1 }
        }))
    }
}

impl<'a, F: Format> Engine<'a, F> {
    /// Takes frames for everything that is reserved in `[start, end)`, which must be mapped or reserved.
    pub(crate) fn populate(&self, start: u64, end: u64) -> Result<()> {
        self.check_mapped(start, end)?;
        let taken = self.visit(start, end, |table, level, span, gpa| {
            self.populate_span(table, level, span, gpa, end)
        });
        if let Err(error) = taken {
            self.unpopulate(start, end)?;
            return Err(error);
        }
        let mut is_new = false;
        self.visit(start, end, |table, level, span, _| {
            self.publish_span(table, level, span).map(|published| is_new |= published)
        })?;
        publish_tables();
        if is_new {
            self.announce_new(start, end);
        }
        Ok(())
    }

    /// Maps memory and takes all of it, or nothing.
    pub(crate) fn map_populated(
        &self,
        start: u64,
        end: u64,
        reservation: Reservation,
    ) -> Result<()> {
        self.reserve(start, end, reservation)?;
        if let Err(error) = self.populate(start, end) {
            self.remove(start, end, Releases::silent())?;
            return Err(error);
        }
        Ok(())
    }

    /// Gives back the owned frames of `[start, end)`, which must be mapped or reserved; reservations take
    /// their places. Frames of the host stay mapped.
    pub(crate) fn discard(&self, start: u64, end: u64) -> Result<()> {
        self.check_mapped(start, end)?;
        let features = self.features();
        let discarded = |entry: Entry<F>, level| match entry.state(level) {
            State::Leaf if entry.is_owned() => entry.discarded(features, level),
            _ => entry,
        };
        let is_cut = |entry: Entry<F>| entry.is_owned();
        let splits = self.prepare_splits(start, end, &is_cut, &discarded)?;
        let mut request = self.flush_request(start, end);
        splits.begin(self, &mut request)?;
        let is_folding = Cell::new(false);
        self.visit_entering(
            start,
            end,
            |table, level, index, gpa| {
                let entry = table.load(index);
                let is_whole = gpa & entry_size(level).wrapping_sub(1) == 0
                    && end.wrapping_sub(gpa) >= entry_size(level);
                let reservation =
                    if level == 2 && is_whole { self.folding(entry.address())? } else { None };
                if let Some(reservation) = reservation {
                    table.store(index, entry.folded(reservation));
                    is_folding.set(true);
                }
                Ok(reservation.is_none())
            },
            |table, level, span, _| {
                table.update(span, |entry| {
                    let new = discarded(entry, level);
                    if new != entry {
                        request.add_leaf(level);
                    }
                    new
                });
                Ok(())
            },
        )?;
        if is_folding.get() {
            request.add_table();
        }
        if request.is_needed() {
            self.issue(request, AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
        } else {
            request.cancel();
        }
        splits.finish(self)?;
        publish_tables();
        self.end_generation();
        self.visit(start, end, |table, level, span, gpa| {
            let mut gpa = gpa;
            for index in span.indices() {
                let entry = table.load(index);
                match entry.state(level) {
                    State::DeadLeaf => {
                        table.store(index, Entry::reserved(entry.reservation()));
                        self.release_frame(entry, level);
                    }
                    State::DeadTable => {
                        table.store(index, Entry::reserved(entry.reservation()));
                        let below = level.wrapping_sub(1);
                        self.release_below(entry.address(), below, gpa, &Releases::silent())?;
                    }
                    _ => {}
                }
                let size = entry_size(level);
                gpa = (gpa & !(size.wrapping_sub(1))).wrapping_add(size);
            }
            Ok(())
        })
    }

    /// The reservation that says what all entries of a leaf table will say when their frames are gone, if
    /// there is one.
    fn folding(&self, page: HostPhysAddr) -> Result<Option<Reservation>> {
        let table = self.open(page)?;
        let features = self.features();
        let mut common: Option<Reservation> = None;
        let mut is_uniform = true;
        table.for_each(Span::ALL, |entry| {
            let reservation = match entry.state(1) {
                State::Leaf if entry.is_owned() => {
                    Reservation { attributes: entry.attributes(features), largest: 1 }
                }
                State::Reserved => entry.reservation(),
                _ => {
                    is_uniform = false;
                    return;
                }
            };
            is_uniform &= *common.get_or_insert(reservation) == reservation;
        });
        Ok(common.filter(|_| is_uniform))
    }

    /// That nothing but mappings and reservations stands in a range.
    pub(crate) fn check_mapped(&self, start: u64, end: u64) -> Result<()> {
        self.visit(start, end, |table, level, span, _| {
            let mut is_mapped = true;
            table.for_each(span, |entry| {
                is_mapped &= matches!(entry.state(level), State::Leaf | State::Reserved);
            });
            if is_mapped { Ok(()) } else { Err(Error::NotMapped) }
        })
    }

    /// A frame for a leaf of `level`, as the guest is to find it.
    pub(crate) fn guest_frame(&self, level: u32, attributes: Attributes) -> Result<OwnedFrame<'a>> {
        let frame = self.ledger.take_guest(frame_order(level))?;
        if self.npt.zeroes_frames {
            self.npt.host.zero(frame.address(), frame.order())?;
            if F::needs_clean(attributes, self.features()) {
                self.npt.host.clean_frame(frame.address(), frame.order())?;
            }
        }
        Ok(frame)
    }

    /// As [`Engine::guest_frame`]; none where the host refuses a large one.
    fn frame_if_any(&self, level: u32, attributes: Attributes) -> Result<Option<OwnedFrame<'a>>> {
        match self.guest_frame(level, attributes) {
            Ok(frame) => Ok(Some(frame)),
            Err(Error::NoMemory) if level > 1 => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn count_owned(&self, level: u32) {
        self.ledger.count_leaves(level, 1);
        self.ledger.count_guest(pages(level));
    }

    /// Puts pending frames and tables into the places of the reservations of a span that begins at `gpa`.
    fn populate_span(
        &self,
        table: &Table<'a, F>,
        level: u32,
        span: Span,
        gpa: u64,
        end: u64,
    ) -> Result<()> {
        let size = entry_size(level);
        let mut start = gpa;
        for index in span.indices() {
            let entry_end = (start & !(size.wrapping_sub(1))).wrapping_add(size);
            let stop = entry_end.min(end);
            let entry = table.load(index);
            if entry.state(level) == State::Reserved {
                let reservation = entry.reservation();
                let is_whole = stop.wrapping_sub(start) == size;
                let frame = if is_whole && level <= reservation.largest {
                    self.frame_if_any(level, reservation.attributes)?
                } else {
                    None
                };
                let pending = match frame {
                    Some(frame) => {
                        self.count_owned(level);
                        Entry::pending(frame.keep(), reservation)
                    }
                    None => self.pending_table(entry, level, start, stop)?,
                };
                table.store(index, pending);
            }
            start = stop;
        }
        Ok(())
    }

    /// A table for the level below a reservation, with frames in `[start, end)`.
    fn pending_table(&self, entry: Entry<F>, level: u32, start: u64, end: u64) -> Result<Entry<F>> {
        let reservation = entry.reservation();
        let below = level.wrapping_sub(1);
        let frame = self.ledger.take_table(0)?;
        self.open(frame.address())?.fill(Span::ALL, entry, 0);
        let ground = Ground { page: frame.address(), level: below, entry };
        let templates = self.templates(reservation.attributes, true)?;
        let mut filler = Populate { engine: self, reservation, templates };
        let new_table = || self.ledger.take_table(0);
        let (_, filled) = self.fill_below(&ground, start, end, &new_table, &mut filler);
        let page = frame.keep();
        if let Err(error) = filled {
            self.release_below(page, below, start, &Releases::silent())?;
            return Err(error);
        }
        Ok(Entry::pending_table(page, reservation))
    }

    /// Publishes what is pending in a span; whether anything was.
    fn publish_span(&self, table: &Table<'a, F>, level: u32, span: Span) -> Result<bool> {
        let mut is_new = false;
        for index in span.indices() {
            let entry = table.load(index);
            let published = match entry.state(level) {
                State::PendingTable => Entry::table(entry.address()),
                State::Pending => {
                    let attributes = entry.reservation().attributes;
                    Entry::leaf_template(attributes, self.features(), level, true)?
                        .at(entry.address())
                }
                _ => continue,
            };
            table.store(index, published);
            is_new = true;
        }
        Ok(is_new)
    }

    /// Puts the reservations of a range back into the places of what is pending.
    fn unpopulate(&self, start: u64, end: u64) -> Result<()> {
        self.visit(start, end, |table, level, span, gpa| {
            for index in span.indices() {
                let entry = table.load(index);
                let state = entry.state(level);
                if !matches!(state, State::Pending | State::PendingTable) {
                    continue;
                }
                table.store(index, Entry::reserved(entry.reservation()));
                if state == State::Pending {
                    self.release_frame(entry, level);
                } else {
                    let below = level.wrapping_sub(1);
                    self.release_below(entry.address(), below, gpa, &Releases::silent())?;
                }
            }
            Ok(())
        })
    }

    /// Gives back the frame of an owned leaf that no walker sees.
    pub(super) fn release_frame(&self, entry: Entry<F>, level: u32) {
        self.ledger.discount_leaves(level, 1);
        self.ledger.discount_guest(pages(level));
        self.ledger.give_guest(entry.address(), frame_order(level));
    }
}
