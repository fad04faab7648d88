//! New permissions for what stands in a range: a check, the memory for the cuts, then the stores.

use super::Engine;
use super::arch::Format;
use super::edit::{Edit, Protection};
use super::entry::{EncodedPermissions, State};
use super::split::Splits;
use super::walk::{Cursor, Run};
use crate::abi::*;
use crate::error::{Error, Result};
use crate::flags::Permissions;
use crate::hal::publish_tables;

impl<F: Format> Engine<'_, F> {
    /// Gives everything in `[start, end)`, which must be mapped or reserved, new permissions.
    #[inline(never)]
    pub(crate) fn protect(&self, start: u64, end: u64, permissions: Permissions) -> Result<()> {
        let features = self.features();
        let encoded = EncodedPermissions::<F>::new(permissions, features)?;
        let edit = Edit::Protect(Protection { to: permissions, encoded });
        self.check_mapped(start, end)?;
        let mut request = self.flush_request(start, end);
        let mut splits = Splits::new();
        self.prepare_splits(&mut splits, start, end, &edit)?;
        let (mut lost, mut gained, mut is_split) = (false, false, false);
        for leaf in splits.leaves() {
            let from = leaf.attributes(features).permissions;
            lost |= !permissions.contains(from);
            gained |= !from.contains(permissions);
            is_split = true;
        }
        splits.begin(self, &mut request)?;
        let mut cursor = Cursor::over(self, start, end);
        while let Some(run) = cursor.next(self)? {
            let edited = self.edit(run.page, run.level, run.span, &edit)?;
            lost |= edited.lost;
            gained |= edited.gained;
            request.add(edited, run.level);
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
        splits.finish(self)?;
        publish_tables();
        Ok(())
    }

    /// That nothing but mappings and reservations stands in a range.
    #[inline(never)]
    pub(crate) fn check_mapped(&self, start: u64, end: u64) -> Result<()> {
        let mut cursor = Cursor::over(self, start, end);
        while let Some(run) = cursor.next(self)? {
            if !self.is_mapped(&run)? {
                return Err(Error::NotMapped);
            }
        }
        Ok(())
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
