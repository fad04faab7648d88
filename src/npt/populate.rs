// SPDX-License-Identifier: MIT OR Apache-2.0
//! Taking memory in before the guest asks for it, and giving it back while its place stays reserved.
//!
//! Populate: frames go into the places of reservations as pending entries, which no walker follows; what
//! lies below an upper entry is built off-line and becomes a pending table. If something is missing,
//! everything goes back and the reservations stand again, word by word; else one pass publishes it all.
//! Pages that were mapped before are never touched: the guest may have written to them.
//!
//! Discard: as unmap, with reservations in the places of what goes. A leaf table that comes down to one
//! reservation goes whole, unwritten, and the reservation takes its place.

use super::Engine;
use super::arch::Format;
use super::edit::Edit;
use super::entry::{Entry, Reservation, State};
use super::geometry::{Index, Span, entry_size, frame_order, pages};
use super::unmap::Remains;
use super::walk::{Cursor, Run, Step, end_of};
use super::work::Work;
use crate::abi::AXAS_FLUSH_UNMAP;
use crate::addr::HostPhysAddr;
use crate::error::{Error, Result};
use crate::flags::Attributes;
use crate::hal::{FlushRequest, OwnedFrame, publish_tables};

/// A reservation in its table.
struct Place<F> {
    page: HostPhysAddr,
    level: u32,
    index: Index,
    entry: Entry<F>,
    /// The table is not reachable yet.
    is_hidden: bool,
}

impl<'a, F: Format> Engine<'a, F> {
    /// Takes frames for everything that is reserved in `[start, end)`, which must be mapped or reserved.
    #[inline(always)]
    pub(super) fn populate(&self, work: &mut Work, start: u64, end: u64) -> Result<()> {
        self.check_mapped(&mut work.cursor, start, end)?;
        let taken_before = self.ledger.allocated();
        if let Err(error) = self.take_frames(&mut work.cursor, start, end) {
            work.releases.begin(false);
            self.reap(work, start, end, Remains::Reservation)?;
            return Err(error);
        }
        self.publish(&mut work.cursor, start, end)?;
        if self.ledger.allocated() != taken_before {
            self.announce(start, end);
        }
        Ok(())
    }

    /// Puts what is pending in its place.
    #[inline(never)]
    fn publish(&self, cursor: &mut Cursor, start: u64, end: u64) -> Result<()> {
        cursor.begin(self, start, end);
        while cursor.next(self)? {
            let Run { page, level, span, .. } = cursor.run;
            self.edit(page, level, span, &Edit::Publish)?;
        }
        publish_tables();
        Ok(())
    }

    /// Gives back the owned frames of `[start, end)`, which must be mapped or reserved; reservations take
    /// their places. Frames of the host stay mapped.
    #[inline(always)]
    pub(super) fn discard(&self, work: &mut Work, start: u64, end: u64) -> Result<()> {
        self.check_mapped(&mut work.cursor, start, end)?;
        work.edit = Edit::Discard;
        self.prepare_splits(work, start, end)?;
        self.detach_frames(work, start, end)?;
        work.releases.begin(false);
        self.reap(work, start, end, Remains::Reservation)
    }

    /// Makes dead what is to be given back, and has it flushed.
    #[inline(never)]
    fn detach_frames(&self, work: &mut Work, start: u64, end: u64) -> Result<()> {
        let Work { cursor, splits, .. } = work;
        let mut request = FlushRequest::new(start, end);
        self.begin_splits(splits, &mut request)?;
        cursor.begin(self, start, end);
        loop {
            match cursor.step(self)? {
                Step::Entries => {
                    let Run { page, level, span, .. } = cursor.run;
                    request.add(self.edit(page, level, span, &Edit::Discard)?, level);
                }
                Step::Table(table) if self.fold(&cursor.run, table, end)? => {
                    request.add_table();
                    cursor.skip();
                }
                Step::Table(table) => cursor.enter(self, table)?,
                Step::End => break,
            }
        }
        self.issue_if(request, false, AXAS_FLUSH_UNMAP);
        self.finish_splits(splits)?;
        publish_tables();
        self.end_generation();
        Ok(())
    }

    /// Marks a leaf table dead that comes down to one reservation and lies whole in a range that ends at
    /// `end`; whether it did. The table is the one that the entry at `place` points to.
    #[inline(never)]
    fn fold(&self, place: &Run, table: HostPhysAddr, end: u64) -> Result<bool> {
        let size = entry_size(place.level);
        let is_whole = place.gpa & size.wrapping_sub(1) == 0 && end.wrapping_sub(place.gpa) >= size;
        if place.level != 2 || !is_whole {
            return Ok(false);
        }
        let Some(reservation) = self.folding(table)? else { return Ok(false) };
        let folded = Entry::<F>::table(table).folded(reservation);
        self.set_entry(place.page, place.span.first, folded)?;
        Ok(true)
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

    /// A frame for a leaf of `level`, as the guest is to find it.
    #[inline(never)]
    pub(crate) fn guest_frame(&self, level: u32, attributes: Attributes) -> Result<OwnedFrame<'a>> {
        let frame = self.ledger.take_guest(frame_order(level))?;
        if self.npt.zeroes_frames {
            self.npt.host.zero(frame.address(), frame_order(level))?;
            if F::needs_clean(attributes, self.features()) {
                self.npt.host.clean_frame(frame.address(), frame_order(level))?;
            }
        }
        Ok(frame)
    }

    /// Puts pending frames and tables into the places of the reservations of a range. What lies below a
    /// pending table nobody sees: there are leaves and tables as they are to be.
    #[inline(never)]
    fn take_frames(&self, cursor: &mut Cursor, start: u64, end: u64) -> Result<()> {
        let mut hidden_until = start;
        cursor.begin(self, start, end);
        while cursor.next(self)? {
            let Run { page, level, span, mut gpa, .. } = cursor.run;
            for index in span.indices() {
                let stop = end_of(gpa, entry_size(level));
                let entry = self.entry(page, index)?;
                if entry.state(level) == State::Reserved {
                    let is_hidden = gpa < hidden_until;
                    let is_whole = gpa & entry_size(level).wrapping_sub(1) == 0 && stop <= end;
                    let place = Place { page, level, index, entry, is_hidden };
                    if !is_whole || !self.take_frame(&place)? {
                        let table = self.take_table(&place)?;
                        hidden_until = hidden_until.max(stop);
                        cursor.enter_at(self, gpa, table)?;
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
    fn take_frame(&self, place: &Place<F>) -> Result<bool> {
        let (level, reservation) = (place.level, place.entry.reservation());
        if level > self.largest_frame(reservation, level) {
            return Ok(false);
        }
        let attributes = reservation.attributes;
        let frame = match self.guest_frame(level, attributes) {
            Ok(frame) => frame,
            Err(Error::NoMemory) if level > 1 => return Ok(false),
            Err(error) => return Err(error),
        };
        let entry = if place.is_hidden {
            Entry::leaf_template(attributes, self.features(), level, true)?.at(frame.address())
        } else {
            Entry::pending(frame.address(), reservation)
        };
        self.set_entry(place.page, place.index, entry)?;
        frame.keep();
        self.ledger.count_leaves(level, 1);
        self.ledger.count_guest(pages(level));
        Ok(true)
    }

    /// Puts a table that says the same into the place of a reservation.
    #[inline(never)]
    fn take_table(&self, place: &Place<F>) -> Result<HostPhysAddr> {
        let frame = self.ledger.take_table()?;
        self.fill_unseen(frame.address(), Span::ALL, place.entry)?;
        let entry = if place.is_hidden {
            Entry::table(frame.address())
        } else {
            Entry::pending_table(frame.address(), place.entry.reservation())
        };
        self.set_entry(place.page, place.index, entry)?;
        Ok(frame.keep())
    }

    /// Gives back the frame of an owned leaf that no walker sees.
    pub(super) fn release_frame(&self, entry: Entry<F>, level: u32) {
        self.ledger.discount_leaves(level, 1);
        self.ledger.discount_guest(pages(level));
        self.ledger.give_guest(entry.address(), frame_order(level));
    }
}
