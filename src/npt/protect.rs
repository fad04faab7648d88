//! New permissions for what stands in a range: a check, the memory for the cuts, then the stores.

use super::Engine;
use super::arch::Format;
use super::edit::{Edit, Protection};
use super::entry::{EncodedPermissions, State};
use super::walk::{Cursor, Run};
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

    fn is_mapped(&self, run: &Run) -> Result<bool> {
        let mut is_mapped = true;
        self.open(run.page)?.for_each(run.span, |entry| {
            // What is valid in a run is a leaf.
            is_mapped &= entry.is_hardware_visible() || entry.state(run.level) == State::Reserved;
        });
        Ok(is_mapped)
    }
}
