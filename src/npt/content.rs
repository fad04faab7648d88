// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a call puts into a range, place by place.

use super::arch::Format;
use super::entry::{Entry, Reservation};
use super::units::{Gpa, GpaRange, Hpa, Level, fresh_tables};
use crate::abi::axas_extent_t;

/// What goes into a range.
#[derive(Clone, Copy)]
pub(crate) struct Content<'a, F> {
    /// A leaf of level 1 without its address; or an entry that goes everywhere, whatever its level.
    template: Entry<F>,
    /// Frames of the host side by side; none for an entry that goes everywhere.
    extents: &'a [axas_extent_t],
    /// Where the first of them begins.
    start: Gpa,
    /// The largest level of what is written, whatever the frames allow.
    most: Level,
}

/// The part of a content in work: what goes where up to an address.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// Host address less guest address, mod 2^64.
    distance: u64,
    /// The largest level of what is written.
    pub(super) largest: Level,
    /// Where the part ends.
    pub(super) end: Gpa,
}

impl<'a, F: Format> Content<'a, F> {
    /// Frames of the host, by a leaf of level 1 without its address, with leaves up to `most`.
    pub(crate) fn frames(
        template: Entry<F>,
        start: Gpa,
        extents: &'a [axas_extent_t],
        most: Level,
    ) -> Self {
        Self { template, extents, start, most }
    }

    /// For a call that puts nothing into its range.
    pub(crate) const NOTHING: Self = Self::same(Entry::EMPTY);

    /// The same entry everywhere, at any level: reservations and traps.
    pub(crate) const fn same(entry: Entry<F>) -> Self {
        Self { template: entry, extents: &[], start: Gpa::new(0), most: Level::HIGHEST }
    }

    /// The same; of a reservation that takes the place of something while writes are logged, one that is dirty, for
    /// what the guest reads changes.
    #[cfg(feature = "dirty")]
    pub(super) fn replacing(self, is_logged: bool) -> Self {
        if !is_logged || self.has_frames() || !self.template.is_reserved() {
            return self;
        }
        let reservation = self.template.reservation().with_dirt(true);
        Self { template: Entry::reserved(reservation), ..self }
    }

    /// Of a reservation that goes everywhere: what it says.
    pub(crate) fn reservation(&self) -> Reservation {
        self.template.reservation()
    }

    /// Host address less guest address, mod 2^64, of the frames of the first part, if frames go into the range.
    #[inline(always)]
    pub(super) fn distance(&self) -> Option<u64> {
        self.has_frames().then(|| self.start.distance_to(self.first_frame()))
    }

    /// The first of the frames that go into the range.
    #[inline(always)]
    pub(super) fn first_frame(&self) -> Hpa {
        self.extents.first().map_or(Hpa::new(0), |extent| Hpa::new(extent.hpa))
    }

    /// Of a provider's reservation that goes everywhere: the provider's number.
    #[cfg(feature = "provider")]
    pub(crate) fn provider(&self) -> u16 {
        self.template.provider()
    }

    /// Whether frames of the host go into the range.
    #[inline(always)]
    pub(super) fn has_frames(&self) -> bool {
        !self.extents.is_empty()
    }

    /// The largest level of what is written in the first part.
    #[inline(always)]
    pub(crate) fn largest(&self) -> Level {
        match self.distance() {
            Some(distance) => Level::dividing(distance, self.most),
            None => self.most,
        }
    }

    /// The entry at an address in a table of a level.
    #[inline(always)]
    pub(super) fn entry(&self, piece: &Piece, gpa: Gpa, level: Level) -> Entry<F> {
        if self.has_frames() {
            let address = gpa.at_distance(piece.distance);
            if self.template.is_hidden() {
                return self.template.moved_to(address);
            }
            self.template.sized(level.get()).at(address)
        } else {
            self.template
        }
    }

    /// The entry of a page in the first part.
    #[inline(always)]
    pub(super) fn page(&self, gpa: Gpa) -> Entry<F> {
        match self.distance() {
            Some(distance) => self.template.page_at(gpa.at_distance(distance)),
            None => self.template,
        }
    }

    /// The distance between the words of neighbouring entries of a level.
    #[inline(always)]
    pub(super) fn step(&self, level: Level) -> u64 {
        if self.has_frames() { self.template.step(level.size()) } else { 0 }
    }

    /// A walk over the parts, to be asked for addresses in order.
    #[inline(always)]
    pub(super) fn pieces(&self) -> Pieces<'a> {
        let end = if self.has_frames() { self.start } else { Gpa::new(u64::MAX) };
        let now = Piece { distance: 0, largest: self.most, end };
        Pieces { rest: self.extents, most: self.most, now }
    }

    /// Tables below empty entries of `level` for a part of the range: the sum of what each extent needs, less
    /// the tables that two neighbours share.
    #[inline(never)]
    pub(super) fn tables(&self, level: Level, part: GpaRange) -> u64 {
        let mut pieces = self.pieces();
        let mut tables = 0_u64;
        let mut at = part.start;
        while at < part.end {
            let piece = pieces.at(at);
            let end = piece.end.min(part.end);
            tables =
                tables.wrapping_add(fresh_tables(level, GpaRange::new(at, end), piece.largest));
            if at > part.start {
                let shared = level.get().wrapping_sub(Level::dividing_address(at, level).get());
                tables = tables.wrapping_sub(u64::from(shared));
            }
            at = end;
        }
        tables
    }
}

/// The parts of a content, one after the other.
pub(super) struct Pieces<'a> {
    rest: &'a [axas_extent_t],
    most: Level,
    now: Piece,
}

impl Pieces<'_> {
    /// Whether one entry goes in the place of an entry of a level that begins at an address of a range.
    #[inline(never)]
    pub(super) fn covers(&mut self, range: GpaRange, gpa: Gpa, level: Level) -> bool {
        let piece = self.at(gpa);
        level <= piece.largest
            && range.holds_entry(gpa, level)
            && piece.end.minus(gpa) >= level.size()
    }

    /// The part that an address lies in, which is the one in work or behind it.
    #[inline(always)]
    pub(super) fn at(&mut self, gpa: Gpa) -> &Piece {
        if gpa >= self.now.end {
            self.go_on_to(gpa);
        }
        &self.now
    }

    #[inline(never)]
    fn go_on_to(&mut self, gpa: Gpa) {
        while gpa >= self.now.end {
            let [extent, rest @ ..] = self.rest else { break };
            let start = self.now.end;
            let distance = start.distance_to(Hpa::new(extent.hpa));
            let largest = Level::dividing(distance, self.most);
            self.now = Piece { distance, largest, end: start.plus(extent.size) };
            self.rest = rest;
        }
    }
}
