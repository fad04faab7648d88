// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages that change hands between two spaces (part `transfer`).

use super::map::Slices;
use super::{AddressSpace, Alone};
use crate::abi::*;
use crate::addr::{Bits, GuestPhysAddr, GuestRange};
use crate::error::{Error, Result};
use crate::flags::{Permissions, Tag};
use crate::npt::NestedPageTable;
use crate::npt::arch::{Format, with_space_format};
use crate::npt::slices::reach_filling;
use crate::npt::transfer::{Action, Deal, Side, Tags, transfer};
use crate::npt::units::Level;
use crate::npt::work::Work;
use crate::sync::{Defect, planted};

const PERMISSIONS: axas_flags_t = Permissions::all().bits() | AXAS_USER;

/// How pages change hands, checked as far as it can be without the spaces.
pub struct Transfer {
    deal: Deal,
    from_flags: axas_flags_t,
    to_flags: axas_flags_t,
}

impl Transfer {
    /// Takes what the host asks for.
    pub fn new(asked: &axas_transfer_t) -> Result<Self> {
        let action = match asked.action {
            AXAS_GIVE => Action::Give,
            AXAS_LEND => Action::Lend,
            AXAS_SHARE => Action::Share,
            AXAS_TAKE_BACK => Action::TakeBack,
            _ => return Err(Error::InvalidInput),
        };
        let (from, to) = (asked.from_flags, asked.to_flags);
        let wipes = asked.options & AXAS_WIPE != 0;
        let keeps_giver = matches!(action, Action::Share | Action::TakeBack);
        let giver = Permissions::from_bits_truncate(from);
        let taker = Permissions::from_bits_truncate(to);
        let is_valid = (from | to) & !(PERMISSIONS | AXAS_TAG_MASK) == 0
            && (asked.from_tags | asked.to_tags) >> 16 == 0
            && asked.options & !AXAS_WIPE == 0
            && (giver.is_empty() || keeps_giver)
            && taker.is_empty() == (action == Action::TakeBack)
            && (asked.note == 0 || action == Action::Give)
            && !(wipes && action == Action::Share);
        if !is_valid {
            return Err(Error::InvalidInput);
        }
        let tags = Tags { of_giver: asked.from_tags, of_taker: asked.to_tags, ..Tags::NONE };
        let deal = Deal { action, giver, taker, note: asked.note, wipes, tags };
        Ok(Self { deal, from_flags: from, to_flags: to })
    }
}

/// Both spaces, or one, held alone; that with the lower address was taken first.
struct Both<'a> {
    from: Alone<'a>,
    to: Option<Alone<'a>>,
}

impl AddressSpace {
    /// Holds this space alone and another one, if there is one.
    #[inline(always)]
    fn alone_with<'a>(&'a self, to: Option<&'a Self>) -> Result<Both<'a>> {
        let is_lower = |to: &Self| (&raw const *self).addr() < (&raw const *to).addr();
        let is_first = planted(Defect::GiverFirst) || to.is_none_or(is_lower);
        if is_first {
            let from = self.alone().ok_or(Error::Again)?;
            let to = to.map(|to| to.alone().ok_or(Error::Again)).transpose()?;
            return Ok(Both { from, to });
        }
        let to = to.map(|to| to.alone().ok_or(Error::Again)).transpose()?;
        let from = self.alone().ok_or(Error::Again)?;
        Ok(Both { from, to })
    }

    /// That both ranges lie in their spaces, and that pages can go from one to the other, with tags that both can have.
    #[inline(never)]
    fn check_both(
        &self,
        gpa: u64,
        to: Option<&Self>,
        to_gpa: u64,
        size: u64,
        asked: &mut Transfer,
    ) -> Result<()> {
        self.checked_range(gpa, size)?;
        if let Some(to) = to {
            if core::ptr::eq(self, to) {
                return Err(Error::InvalidInput);
            }
            to.checked_range(to_gpa, size)?;
            if self.npt.format != to.npt.format {
                return Err(Error::Unsupported);
            }
        } else if asked.deal.action != Action::TakeBack {
            return Err(Error::InvalidInput);
        }
        with_space_format!(self.npt.format, F => {
            let bits = F::tag_bits(self.npt.features);
            let bits_there = to.map_or(bits, |to| F::tag_bits(to.npt.features));
            let tags = &mut asked.deal.tags;
            tags.giver = Tag::parse(asked.from_flags, bits)?;
            tags.taker = Tag::parse(asked.to_flags, bits_there)?;
            let has_sets = tags.of_giver | tags.of_taker != 0;
            if has_sets && Tag::BITS == 0 { Err(Error::Unsupported) } else { Ok(()) }
        })
    }

    /// Moves pages of this space to another one, or back.
    #[inline(never)]
    pub fn transfer(
        &self,
        gpa: u64,
        to: Option<&Self>,
        to_gpa: u64,
        size: u64,
        asked: &mut Transfer,
    ) -> Result<()> {
        self.check_both(gpa, to, to_gpa, size, asked)?;
        let mut both = self.alone_with(to)?;
        with_space_format!(self.npt.format, F => {
            both.transfer::<F>(range_of(gpa, size), range_of(to_gpa, size), &asked.deal)
        })
    }

    /// Moves pages in slices.
    #[inline(always)] // Its frame would be one more.
    pub fn transfer_some(
        &self,
        gpa: u64,
        to: Option<&Self>,
        to_gpa: u64,
        size: u64,
        asked: &mut Transfer,
        slices: &mut Slices,
    ) -> Result<()> {
        self.check_both(gpa, to, to_gpa, size, asked)?;
        slices.rest = range_of(gpa, size);
        let distance = to_gpa.wrapping_sub(gpa);
        loop {
            let mut both = self.alone_with(to)?;
            slices.begin(&self.npt.host);
            with_space_format!(self.npt.format, F => {
                reach::<F>(&self.npt, both.from.work(), distance, slices)?;
                let part = slices.part();
                let there = range_of(part.start.bits().wrapping_add(distance), part.size());
                both.transfer::<F>(part, there, &asked.deal)
            })?;
            drop(both);
            if !slices.goes_on(&self.npt.host)? {
                return Ok(());
            }
        }
    }
}

/// A range that was checked.
#[inline(always)]
fn range_of(gpa: u64, size: u64) -> GuestRange {
    let start = GuestPhysAddr::new(gpa);
    GuestRange { start, end: start.plus(size) }
}

/// The tables of both ranges are about to have pages that are young.
#[cfg(feature = "age")]
#[inline(never)]
fn warm_both<F: Format>(from: &mut Side<'_>, to: Option<&mut Side<'_>>) {
    from.npt.warm_range::<F>(from.work, from.range);
    if let Some(to) = to {
        to.npt.warm_range::<F>(to.work, to.range);
    }
}

impl Both<'_> {
    #[inline(always)] // Their frames would be one below the other.
    fn transfer<F: Format>(
        &mut self,
        range: GuestRange,
        to_range: GuestRange,
        deal: &Deal,
    ) -> Result<()> {
        let mut from = Side { npt: self.from.npt(), work: self.from.work(), range };
        let mut to = self.to.as_mut().map(|to| {
            let npt = to.npt();
            Side { npt, work: to.work(), range: to_range }
        });
        #[cfg(feature = "age")]
        warm_both::<F>(&mut from, to.as_mut());
        transfer::<F>(&mut from, to.as_mut(), deal)
    }
}

/// Where the budget of a slice ends, by the entries of this space and by those of the other, whose pages are as
/// large as the distance of the two ranges allows.
#[inline(never)]
fn reach<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    distance: u64,
    slices: &mut Slices,
) -> Result<()> {
    let rest = slices.rest;
    let most = Level::dividing(distance, Level::new(F::max_leaf_level(npt.features)));
    let budget = &mut slices.slice;
    let left = budget.left;
    let reached = reach_filling(rest, most, budget);
    let filled = core::mem::replace(&mut budget.left, left);
    let part = GuestRange { start: rest.start, end: reached };
    npt.reach::<F>(work, part, NestedPageTable::cost_of_entries, budget)?;
    budget.left = budget.left.min(filled);
    Ok(())
}
