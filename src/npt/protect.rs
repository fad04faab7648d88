// SPDX-License-Identifier: MIT OR Apache-2.0
//! New permissions for the mappings of a range: a check, the memory for the cuts, then the stores.

use super::Engine;
use super::arch::Format;
use super::edit::{Edit, Protection};
use super::entry::{EncodedPermissions, State};
use super::geometry::entry_size;
use super::walk::{Cursor, Run, end_of};
use super::work::Work;
use crate::abi::*;
use crate::error::{Error, Result};
use crate::flags::Permissions;
use crate::hal::{FlushRequest, publish_tables};

impl<F: Format> Engine<'_, F> {
    /// Gives everything in `[start, end)`, which must be mapped or reserved, new permissions.
    #[inline(always)]
    pub(super) fn protect(
        &self,
        work: &mut Work,
        start: u64,
        end: u64,
        permissions: Permissions,
    ) -> Result<()> {
        let encoded = EncodedPermissions::new::<F>(permissions, self.features())?;
        work.edit = Edit::Protect(Protection { to: permissions, encoded });
        self.check_mapped(&mut work.cursor, start, end)?;
        if self.npt.small_exec && permissions.contains(Permissions::EXECUTE) {
            self.check_small(&mut work.cursor, start, end)?;
        }
        self.prepare_splits(work, start, end)?;
        self.change_permissions(work, start, end, permissions)
    }

    #[inline(never)]
    fn change_permissions(
        &self,
        work: &mut Work,
        start: u64,
        end: u64,
        permissions: Permissions,
    ) -> Result<()> {
        let Work { edit, cursor, splits, .. } = work;
        let mut request = FlushRequest::new(start, end);
        let (mut lost, mut gained, mut is_split) = (false, false, false);
        for leaf in splits.leaves::<F>() {
            let from = leaf.attributes(self.features()).permissions;
            lost |= !permissions.contains(from);
            gained |= !from.contains(permissions);
            is_split = true;
        }
        self.begin_splits(splits, &mut request)?;
        cursor.begin(self, start, end);
        while cursor.next(self)? {
            let Run { page, level, span, .. } = cursor.run;
            let edited = self.edit(page, level, span, edit)?;
            lost |= edited.lost;
            gained |= edited.gained;
            request.add(edited, level);
        }
        if lost {
            self.issue(request, AXAS_FLUSH_TIGHTEN, AXAS_SCOPE_ALL);
        } else if is_split {
            self.issue(request, AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL);
        } else if gained && F::caches_denials() {
            publish_tables();
            self.issue(request, AXAS_FLUSH_RELAX, AXAS_SCOPE_LOCAL);
        } else {
            request.cancel();
        }
        self.finish_splits(splits)?;
        publish_tables();
        Ok(())
    }

    /// That nothing but mappings and reservations stands in a range.
    #[inline(never)]
    pub(super) fn check_mapped(&self, cursor: &mut Cursor, start: u64, end: u64) -> Result<()> {
        cursor.begin(self, start, end);
        while cursor.next(self)? {
            if !self.is_mapped(&cursor.run)? {
                return Err(Error::NotMapped);
            }
        }
        Ok(())
    }

    /// That no leaf in a range is, and no piece of one that the range cuts will be, larger than 4 KiB.
    #[inline(never)]
    fn check_small(&self, cursor: &mut Cursor, start: u64, end: u64) -> Result<()> {
        cursor.begin(self, start, end);
        while cursor.next(self)? {
            if cursor.run.level > 1 && self.keeps_large(&cursor.run, end)? {
                return Err(Error::Unsupported);
            }
        }
        Ok(())
    }

    /// Whether a leaf of a run has a whole piece of 2 MiB in a range that ends at `end`.
    fn keeps_large(&self, run: &Run, end: u64) -> Result<bool> {
        let (size, large) = (entry_size(run.level), entry_size(2));
        let mut keeps_large = false;
        let mut first = run.gpa;
        self.open(run.page)?.for_each(run.span, |entry| {
            let stop = end_of(first, size);
            let piece = first.wrapping_add(large.wrapping_sub(1)) & !large.wrapping_sub(1);
            let is_whole = piece.wrapping_add(large) <= stop.min(end);
            // What is valid in a run is a leaf.
            keeps_large |= entry.is_hardware_visible() && is_whole;
            first = stop;
        });
        Ok(keeps_large)
    }

    fn is_mapped(&self, run: &Run) -> Result<bool> {
        let mut is_mapped = true;
        self.open(run.page)?.for_each(run.span, |entry| {
            // What is valid in a run is a leaf.
            is_mapped &= entry.is_hardware_visible() || entry.state(run.level) == State::Reserved;
        });
        Ok(is_mapped)
    }
}
