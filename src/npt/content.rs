// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes into a range in which nothing stands, place by place.

use super::Engine;
use super::arch::Format;
use super::entry::Entry;
use super::geometry::{entry_size, fresh_tables, shift};
use super::operation::Operation;
use crate::abi::axas_extent_t;
use crate::addr::{Bits, HostPhysAddr};
use crate::error::{Error, Result};
use crate::flags::Attributes;

/// Neighbouring entries to write.
pub(super) struct Entries<F> {
    pub(super) first: Entry<F>,
    /// Distance between their words.
    pub(super) step: u64,
    pub(super) count: usize,
}

/// What goes into a range.
pub(super) enum Content<'a, F> {
    /// Frames of the host at a fixed distance from the guest's addresses.
    Linear(Linear),
    /// Scattered frames of the host, side by side.
    Extents(Extents<'a>),
    /// The same entry everywhere, at any level: reservations and traps.
    Same(Entry<F>),
}

/// Frames of the host at a fixed distance from the guest's addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    /// Host address less guest address, mod 2^64.
    pub(super) distance: u64,
    pub(super) attributes: Attributes,
    /// The largest leaves that the distance, the flags and the features allow.
    pub(super) leaf_level: u32,
}

impl Linear {
    /// With leaves up to `most_level`.
    pub(crate) fn new(distance: u64, attributes: Attributes, most_level: u32) -> Self {
        Self { distance, attributes, leaf_level: congruent_level(distance, most_level) }
    }
}

/// Scattered frames of the host, side by side.
pub(super) struct Extents<'a> {
    attributes: Attributes,
    most_level: u32,
    /// Where the first of all extents begins.
    start: u64,
    all: &'a [axas_extent_t],
    /// The extents not begun yet.
    rest: core::slice::Iter<'a, axas_extent_t>,
    /// The extent in work, and where it ends.
    now: Linear,
    now_end: u64,
}

impl<'a> Extents<'a> {
    fn new(start: u64, all: &'a [axas_extent_t], attributes: Attributes, most_level: u32) -> Self {
        let now = Linear { distance: 0, attributes, leaf_level: 1 };
        Self { attributes, most_level, start, all, rest: all.iter(), now, now_end: start }
    }

    /// The extent that an address lies in, which is the one in work or the next.
    fn at(&mut self, gpa: u64) -> Result<Linear> {
        while gpa >= self.now_end {
            let extent = self.rest.next().ok_or(Error::BadState)?;
            self.now_end = self.now_end.wrapping_add(extent.size);
            let distance = extent.hpa.wrapping_sub(gpa);
            self.now = Linear::new(distance, self.attributes, self.most_level);
        }
        Ok(self.now)
    }

    /// Tables for the part of `[from, to)` that lies below empty entries of `level`: the sum of what each
    /// extent needs, less the tables that two neighbours share.
    fn tables(&self, level: u32, from: u64, to: u64) -> u64 {
        let mut tables = 0_u64;
        let mut begin = self.start;
        for extent in self.all {
            let end = begin.wrapping_add(extent.size);
            let (first, last) = (begin.max(from), end.min(to));
            if first < last {
                let leaf_level = congruent_level(extent.hpa.wrapping_sub(begin), self.most_level);
                tables = tables.wrapping_add(fresh_tables(level, first, last, leaf_level));
                if first > from {
                    let is_shared = |k: &u32| first & entry_size(*k).wrapping_sub(1) != 0;
                    let shared = (2..=level).filter(is_shared).count();
                    tables = tables.wrapping_sub(shared as u64);
                }
            }
            begin = end;
        }
        tables
    }
}

/// The largest level, up to `most`, whose leaves a distance between addresses allows.
fn congruent_level(distance: u64, most: u32) -> u32 {
    let mut level = most;
    while level > 1 && distance & entry_size(level).wrapping_sub(1) != 0 {
        level = level.wrapping_sub(1);
    }
    level
}

/// Whole entries of `level` at the beginning of `[gpa, end)`, at most `most`; none if there is not one.
#[inline(always)]
fn whole_entries(level: u32, gpa: u64, end: u64, most: usize) -> usize {
    let size = entry_size(level);
    if gpa & size.wrapping_sub(1) != 0 {
        return 0;
    }
    let fitting = end.saturating_sub(gpa).wrapping_shr(shift(level));
    (fitting as usize).min(most)
}

impl<'a, F: Format> Content<'a, F> {
    /// What an operation that maps puts into a range from `start` on.
    #[inline(always)]
    pub(super) fn of(operation: &Operation<'a>, start: u64) -> Self {
        match operation {
            Operation::MapLinear(linear) | Operation::ReplaceLinear(linear) => {
                Self::Linear(*linear)
            }
            Operation::MapExtents { extents, attributes, most_level } => {
                Self::Extents(Extents::new(start, extents, *attributes, *most_level))
            }
            Operation::Reserve(reservation) | Operation::MapPopulated(reservation) => {
                Self::Same(Entry::reserved(*reservation))
            }
            Operation::Trap { cookie } => Self::Same(Entry::trap(*cookie)),
            // The others put nothing anywhere.
            _ => Self::Same(Entry::EMPTY),
        }
    }

    /// Tables below empty entries of `level` for the part `[from, to)`.
    #[inline(never)]
    pub(super) fn tables(&self, level: u32, from: u64, to: u64) -> u64 {
        let leaf_level = match self {
            Self::Linear(linear) => linear.leaf_level,
            Self::Extents(extents) => return extents.tables(level, from, to),
            Self::Same(_) => level,
        };
        fresh_tables(level, from, to, leaf_level)
    }

    /// What to write into the table of `level` from `gpa` on, at most `most` entries of `[gpa, end)`;
    /// nothing if it must go into smaller entries.
    pub(super) fn next(
        &mut self,
        engine: &Engine<'_, F>,
        level: u32,
        gpa: u64,
        end: u64,
        most: usize,
    ) -> Result<Option<Entries<F>>> {
        let (linear, end) = match self {
            Self::Linear(linear) => (*linear, end),
            Self::Extents(extents) => (extents.at(gpa)?, end.min(extents.now_end)),
            Self::Same(entry) => {
                let count = whole_entries(level, gpa, end, most);
                return Ok((count > 0).then_some(Entries { first: *entry, step: 0, count }));
            }
        };
        let count = whole_entries(level, gpa, end, most);
        if level > linear.leaf_level || count == 0 {
            return Ok(None);
        }
        let template = Entry::leaf_template(linear.attributes, engine.features(), level, false)?;
        let first = template.at(HostPhysAddr::from_bits(gpa.wrapping_add(linear.distance)));
        Ok(Some(Entries { first, step: first.step(entry_size(level)), count }))
    }
}
