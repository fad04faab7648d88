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
use super::content::Content;
use super::edit::Edit;
use super::entry::{Entry, Reservation, State};
use super::geometry::{Index, Span, entry_size, frame_order, pages};
use super::map::Ground;
use super::split::Splits;
use super::unmap::Releases;
use super::walk::{Below, Cursor, Part, Run, end_of};
use crate::abi::AXAS_FLUSH_UNMAP;
use crate::addr::HostPhysAddr;
use crate::error::{Error, Result};
use crate::flags::Attributes;
use crate::hal::{FrameList, OwnedFrame, publish_tables};

impl<'a, F: Format> Engine<'a, F> {
    /// Takes frames for everything that is reserved in `[start, end)`, which must be mapped or reserved.
    #[inline(never)]
    pub(crate) fn populate(&self, start: u64, end: u64) -> Result<()> {
        self.check_mapped(start, end)?;
        let taken_before = self.ledger.allocated.get();
        if let Err(error) = self.populate_range(start, end) {
            self.put_reservations_back(start, end)?;
            return Err(error);
        }
        let mut cursor = Cursor::over(self, start, end);
        while let Some(run) = cursor.next(self)? {
            self.edit(run.page, run.level, run.span, &Edit::Publish)?;
        }
        publish_tables();
        if self.ledger.allocated.get() != taken_before {
            self.announce_new(start, end);
        }
        Ok(())
    }

    /// Maps memory and takes all of it, or nothing.
    #[inline(never)]
    pub(crate) fn map_populated(
        &self,
        start: u64,
        end: u64,
        reservation: Reservation,
    ) -> Result<()> {
        self.reserve(start, end, reservation)?;
        if let Err(error) = self.populate(start, end) {
            self.remove(start, end, &Releases::silent())?;
            return Err(error);
        }
        Ok(())
    }

    /// Gives back the owned frames of `[start, end)`, which must be mapped or reserved; reservations take
    /// their places. Frames of the host stay mapped.
    #[inline(never)]
    pub(crate) fn discard(&self, start: u64, end: u64) -> Result<()> {
        self.check_mapped(start, end)?;
        let mut request = self.flush_request(start, end);
        let mut splits = Splits::new();
        self.prepare_splits(&mut splits, start, end, &Edit::Discard)?;
        splits.begin(self, &mut request)?;
        let mut cursor = Cursor::over(self, start, end);
        while let Some(part) = cursor.step(self)? {
            match part {
                Part::Entries(run) => {
                    let edited = self.edit(run.page, run.level, run.span, &Edit::Discard)?;
                    request.add(edited, run.level);
                }
                Part::Table(below) if self.fold(&below, end)? => {
                    request.add_table();
                    cursor.skip(below);
                }
                Part::Table(below) => cursor.enter(self, below)?,
            }
        }
        self.issue_if(request, false, AXAS_FLUSH_UNMAP);
        splits.finish(self)?;
        publish_tables();
        self.end_generation();
        self.put_reservations_back(start, end)
    }

    /// Marks a leaf table dead that comes down to one reservation and lies whole in a range that ends at
    /// `end`; whether it did.
    #[inline(never)]
    fn fold(&self, below: &Below, end: u64) -> Result<bool> {
        let size = entry_size(below.level);
        let is_whole = below.gpa & size.wrapping_sub(1) == 0 && end.wrapping_sub(below.gpa) >= size;
        if below.level != 2 || !is_whole {
            return Ok(false);
        }
        let Some(reservation) = self.folding(below.table)? else { return Ok(false) };
        let folded = Entry::<F>::table(below.table).folded(reservation);
        self.set_entry(below.page, below.index, folded)?;
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

    /// A leaf of `level` with a frame of its own; none where the host refuses a large one.
    pub(super) fn owned_leaf(
        &self,
        level: u32,
        reservation: Reservation,
    ) -> Result<Option<Entry<F>>> {
        let attributes = reservation.attributes;
        let Some(frame) = self.frame_if_any(level, attributes)? else { return Ok(None) };
        let template = Entry::leaf_template(attributes, self.features(), level, true)?;
        self.count_owned(level);
        Ok(Some(template.at(frame.keep())))
    }

    /// Puts pending frames and tables into the places of the reservations of a range.
    fn populate_range(&self, start: u64, end: u64) -> Result<()> {
        let mut cursor = Cursor::over(self, start, end);
        while let Some(run) = cursor.next(self)? {
            let mut gpa = run.gpa;
            for index in run.span.indices() {
                let stop = end_of(gpa, entry_size(run.level)).min(end);
                let entry = self.entry(run.page, index)?;
                if entry.state(run.level) == State::Reserved {
                    let pending = self.pending(entry, run.level, gpa, stop)?;
                    self.set_entry(run.page, index, pending)?;
                }
                gpa = stop;
            }
        }
        Ok(())
    }

    /// What takes the place of a reservation at `level` of which `[start, end)` is to be populated.
    #[inline(never)]
    fn pending(&self, entry: Entry<F>, level: u32, start: u64, end: u64) -> Result<Entry<F>> {
        let reservation = entry.reservation();
        let is_whole = end.wrapping_sub(start) == entry_size(level);
        if is_whole
            && level <= reservation.largest
            && let Some(frame) = self.frame_if_any(level, reservation.attributes)?
        {
            self.count_owned(level);
            return Ok(Entry::pending(frame.keep(), reservation));
        }
        self.pending_table(entry, level, start, end)
    }

    /// A table for the level below a reservation, with frames in `[start, end)`.
    #[inline(never)]
    fn pending_table(&self, entry: Entry<F>, level: u32, start: u64, end: u64) -> Result<Entry<F>> {
        let reservation = entry.reservation();
        let below = level.wrapping_sub(1);
        let frame = self.ledger.take_table(0)?;
        self.fill_unseen(frame.address(), Span::ALL, entry)?;
        let ground = Ground { page: frame.address(), level: below, entry };
        let tables = FrameList::on_demand(self.ledger);
        let mut content = Content::Frames(reservation);
        let (_, filled) = self.fill_below(&ground, start, end, &tables, &mut content);
        let page = frame.keep();
        if let Err(error) = filled {
            let mask = entry_size(level).wrapping_sub(1);
            self.release_below(
                page,
                below,
                start & !mask,
                (start | mask).wrapping_add(1),
                &Releases::silent(),
            )?;
            return Err(error);
        }
        Ok(Entry::pending_table(page, reservation))
    }

    /// Puts reservations into the places of what is pending or dead in a range, then gives back what that
    /// names.
    #[inline(never)]
    fn put_reservations_back(&self, start: u64, end: u64) -> Result<()> {
        let mut cursor = Cursor::over(self, start, end);
        while let Some(run) = cursor.next(self)? {
            let mut gpa = run.gpa;
            for index in run.span.indices() {
                let entry = self.entry(run.page, index)?;
                self.put_reservation_back(&run, index, gpa, entry)?;
                gpa = end_of(gpa, entry_size(run.level));
            }
        }
        Ok(())
    }

    fn put_reservation_back(
        &self,
        run: &Run,
        index: Index,
        gpa: u64,
        entry: Entry<F>,
    ) -> Result<()> {
        if entry.is_settled() {
            return Ok(());
        }
        let state = entry.state(run.level);
        if matches!(
            state,
            State::Pending | State::PendingTable | State::DeadLeaf | State::DeadTable
        ) {
            let reserved = Entry::reserved(entry.reservation());
            self.set_entry(run.page, index, reserved)?;
            if matches!(state, State::Pending | State::DeadLeaf) {
                self.release_frame(entry, run.level);
            } else {
                let size = entry_size(run.level);
                let start = gpa & !(size.wrapping_sub(1));
                let (below, end) = (run.level.wrapping_sub(1), start.wrapping_add(size));
                self.release_below(entry.address(), below, start, end, &Releases::silent())?;
            }
        }
        Ok(())
    }

    /// Gives back the frame of an owned leaf that no walker sees.
    pub(super) fn release_frame(&self, entry: Entry<F>, level: u32) {
        self.ledger.discount_leaves(level, 1);
        self.ledger.discount_guest(pages(level));
        self.ledger.give_guest(entry.address(), frame_order(level));
    }
}
