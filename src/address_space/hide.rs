// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hidden pages and notes (part `hide`).

use super::AddressSpace;
use super::map::{Act, Slices, map, reach_entries, reach_map, replace};
use crate::abi::{AXAS_HIDE_AUTO, AXAS_REPLACE, AXAS_TAG_MASK, axas_flags_t};
use crate::error::{Error, Result};
use crate::flags::{MapOptions, Tag};
use crate::npt::NestedPageTable;
use crate::npt::arch::{Features, Format, with_space_format};
use crate::npt::content::Content;
use crate::npt::entry::Entry;
use crate::npt::slices::Budget;
use crate::npt::units::GpaRange;
use crate::npt::work::Work;

fn hide<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    _: &Content<'_, F>,
) -> Result<()> {
    npt.hide::<F>(work, part)
}

/// Hides pages that show themselves again.
fn hide_auto<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    _: &Content<'_, F>,
) -> Result<()> {
    npt.hide_auto::<F>(work, part)
}

fn show<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    _: &Content<'_, F>,
) -> Result<()> {
    npt.show::<F>(work, part)
}

/// A slice hides as many entries as it may.
fn reach_hiding<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    rest: GpaRange,
    _: &Content<'_, F>,
    budget: &mut Budget,
) -> Result<()> {
    npt.reach_hiding::<F>(work, rest, budget)
}

/// What hides pages as options say.
fn hiding<F: Format>(options: u32, features: Features) -> Result<Act<F>> {
    match options {
        0 => Ok(hide),
        // Devices do not fault pages in.
        AXAS_HIDE_AUTO if features.has_io() => Err(Error::Unsupported),
        AXAS_HIDE_AUTO => Ok(hide_auto),
        _ => Err(Error::InvalidInput),
    }
}

impl AddressSpace {
    /// Hides the pages of a range from the guest.
    pub fn hide(&self, gpa: u64, size: u64, options: u32) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let act = hiding::<F>(options, self.npt.features)?;
            self.at_once(self.checked_range(gpa, size)?, &Content::NOTHING, act)
        })
    }

    /// Hides the pages of a range in slices.
    pub fn hide_some(&self, gpa: u64, size: u64, options: u32, slices: &mut Slices) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let act = hiding::<F>(options, self.npt.features)?;
            let range = self.checked_range(gpa, size)?;
            let reach = if options == AXAS_HIDE_AUTO { reach_hiding } else { reach_entries };
            self.in_slices(range, &Content::NOTHING, slices, reach, act)
        })
    }

    /// Shows the hidden pages of a range.
    pub fn show(&self, gpa: u64, size: u64) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_space_format!(self.npt.format, F => self.at_once::<F>(range, &Content::NOTHING, show))
    }

    /// Shows the hidden pages of a range in slices.
    pub fn show_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_space_format!(self.npt.format, F => {
            self.in_slices::<F>(range, &Content::NOTHING, slices, reach_entries, show)
        })
    }

    /// Puts a value of the host's where nothing is mapped.
    pub fn map_note(&self, gpa: u64, size: u64, value: u32, flags: axas_flags_t) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let content = self.note::<F>(value, flags, AXAS_REPLACE)?;
            if self.npt.refuses(MapOptions::from_bits_truncate(flags), false) {
                return Err(Error::Unsupported);
            }
            let act = if flags & AXAS_REPLACE != 0 { replace } else { map };
            self.at_once(self.checked_range(gpa, size)?, &content, act)
        })
    }

    /// Puts a value of the host's where nothing is mapped, in slices.
    pub fn map_note_some(
        &self,
        gpa: u64,
        size: u64,
        value: u32,
        flags: axas_flags_t,
        slices: &mut Slices,
    ) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let content = self.note::<F>(value, flags, 0)?;
            self.in_slices(self.checked_range(gpa, size)?, &content, slices, reach_map, map)
        })
    }

    /// A note, with the tag among flags; of others some are allowed.
    fn note<F: Format>(
        &self,
        value: u32,
        flags: axas_flags_t,
        allowed: axas_flags_t,
    ) -> Result<Content<'static, F>> {
        if flags & !(allowed | AXAS_TAG_MASK) != 0 {
            return Err(Error::InvalidInput);
        }
        let tag = Tag::parse(flags, F::tag_bits(self.npt.features))?;
        Ok(Content::same(Entry::note(value).with_tag(tag)))
    }
}
