// SPDX-License-Identifier: MIT OR Apache-2.0
//! New permissions for the mappings of a range: a check, the memory for the cuts, then the stores.

use super::NestedPageTable;
use super::arch::Format;
use super::entry::{EncodedPermissions, Entry};
use super::split::Cut;
use super::sweep::{Run, Sweep};
use super::table::{Broken, Table};
use super::units::{Gpa, GpaRange, Level};
use super::work::Work;
use crate::abi::*;
use crate::error::{Error, Result};
use crate::flags::Permissions;
use crate::hal::{FlushRequest, publish_tables};
use crate::sync::{AtomicU64, Ordering};

/// What became of permissions.
#[derive(Clone, Copy, Default)]
pub(super) struct Changes {
    /// A leaf lost some.
    pub(super) lost: bool,
    /// A leaf gained some.
    pub(super) gained: bool,
}

impl NestedPageTable {
    /// Gives everything in a range, which must be mapped or reserved, new permissions.
    #[inline(never)]
    pub(crate) fn protect<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        to: Permissions,
    ) -> Result<()> {
        let encoded = EncodedPermissions::new::<F>(to, self.features, self.marks_writes())?;
        self.check_mapped::<F>(&mut work.sweep, range)?;
        if self.small_exec && to.contains(Permissions::EXECUTE) {
            self.check_small::<F>(&mut work.sweep, range)?;
        }
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::Permissions(encoded), &mut request)?;
        let is_split = request.is_needed();
        let mut changes = Changes::default();
        let Work { sweep, broken, .. } = work;
        let changed = self.change_permissions::<F>(
            sweep,
            broken,
            range,
            to,
            encoded,
            &mut changes,
            &mut request,
        );
        if changes.lost {
            self.issue::<F>(request, AXAS_FLUSH_TIGHTEN, AXAS_SCOPE_ALL);
        } else if is_split {
            self.issue::<F>(request, AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL);
        } else if changes.gained
            && let Some(scope) = self.features.scope_of_relax::<F>()
        {
            publish_tables();
            self.issue::<F>(request, AXAS_FLUSH_RELAX, scope);
        } else {
            request.cancel();
        }
        let mended = self.mend::<F>(broken);
        publish_tables();
        changed.and(mended).ok_or(Error::BadState)
    }

    #[inline(never)]
    #[allow(clippy::too_many_arguments)] // Together they would be a structure in memory.
    fn change_permissions<F: Format>(
        &self,
        sweep: &mut Sweep,
        broken: &Broken,
        range: GpaRange,
        to: Permissions,
        encoded: EncodedPermissions,
        changes: &mut Changes,
        request: &mut FlushRequest,
    ) -> Option<()> {
        sweep.begin(self, range);
        while sweep.next::<F>(self, broken)? {
            let has_leaf = if encoded.hides() {
                self.hide_run_without_permissions::<F>(&sweep.run, encoded, changes)?
            } else {
                self.protect_run::<F>(&sweep.run, to, encoded, changes)?
            };
            if has_leaf {
                request.add_leaf(sweep.run.level);
            }
        }
        Some(())
    }

    /// Changes the permissions of a run; whether it has leaves. Permissions are edited a thousand pages at a
    /// time, and most leaves look like the one before.
    #[inline(never)]
    fn protect_run<F: Format>(
        &self,
        run: &Run,
        to: Permissions,
        encoded: EncodedPermissions,
        changes: &mut Changes,
    ) -> Option<bool> {
        let (mut has_leaf, mut lost, mut gained) = (false, false, false);
        // No leaf has all of these bits.
        let (mut seen, mut change) = (u64::MAX, 0);
        Table::<F>::reach(self, run.page)?.edit(run.span, |entry| {
            // What is valid in a run is a leaf.
            if entry.is_hardware_visible() {
                let permissions = entry.word() & (F::PERMISSIONS | F::DIRTY | F::HARDWARE_OPENS);
                if seen != permissions {
                    seen = permissions;
                    change = entry.word() ^ entry.with_permissions(encoded).word();
                    let from = entry.untagged(self.features).permissions;
                    has_leaf = true;
                    lost |= !to.contains(from);
                    gained |= !from.contains(to);
                }
                return Entry::from_word(entry.word() ^ change);
            }
            if entry.is_reserved() {
                entry.with_permissions(encoded)
            } else if entry.is_hidden() {
                gained = true;
                self.protect_hidden(entry, encoded, run.level)
            } else {
                entry
            }
        });
        changes.lost |= lost;
        changes.gained |= gained;
        Some(has_leaf)
    }

    /// That everything in a range is mapped or reserved.
    #[inline(never)]
    pub(super) fn check_mapped<F: Format>(&self, sweep: &mut Sweep, range: GpaRange) -> Result<()> {
        sweep.begin(self, range);
        while sweep.next::<F>(self, &Broken::NONE).ok_or(Error::BadState)? {
            if !self.is_mapped::<F>(&sweep.run).ok_or(Error::BadState)? {
                return Err(Error::NotMapped);
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn is_mapped<F: Format>(&self, run: &Run) -> Option<bool> {
        let table = Table::<F>::open(self, run.page)?;
        let load = |slot: &AtomicU64| Entry::<F>::from_word(slot.load(Ordering::Relaxed));
        // What is valid in a run is a leaf.
        let is_leaf = |slot: &AtomicU64| load(slot).is_hardware_visible();
        let is_mapped = |slot: &AtomicU64| load(slot).is_page() || load(slot).is_reserved();
        let (eights, rest) = table.slots(run.span).as_chunks::<8>();
        for eight in eights {
            let [a, b, c, d, e, f, g, h] = eight;
            let are_leaves = is_leaf(a)
                && is_leaf(b)
                && is_leaf(c)
                && is_leaf(d)
                && is_leaf(e)
                && is_leaf(f)
                && is_leaf(g)
                && is_leaf(h);
            if !are_leaves && !eight.iter().all(is_mapped) {
                return Some(false);
            }
        }
        if !rest.iter().all(is_mapped) {
            return Some(false);
        }
        Some(true)
    }

    /// That no leaf in a range is, and no piece of one that the range cuts will be, larger than 4 KiB.
    #[inline(never)]
    pub(super) fn check_small<F: Format>(&self, sweep: &mut Sweep, range: GpaRange) -> Result<()> {
        sweep.begin(self, range);
        while sweep.next::<F>(self, &Broken::NONE).ok_or(Error::BadState)? {
            let run = &sweep.run;
            if run.level > Level::PAGE
                && self.keeps_large::<F>(run, range.end).ok_or(Error::BadState)?
            {
                return Err(Error::Unsupported);
            }
        }
        Ok(())
    }

    /// Whether a leaf of a run has a whole piece of 2 MiB in a range that ends at `end`.
    fn keeps_large<F: Format>(&self, run: &Run, end: Gpa) -> Option<bool> {
        let large = Level::LARGE;
        let mut keeps_large = false;
        let mut gpa = run.gpa;
        Table::<F>::reach(self, run.page)?.for_each(run.span, |entry| {
            let stop = gpa.end(run.level);
            let piece = if gpa.is_aligned(large) { gpa } else { gpa.end(large) };
            let is_whole = piece.plus(large.size()) <= stop.min(end);
            // What is valid in a run is a leaf.
            keeps_large |= entry.is_page() && is_whole;
            gpa = stop;
        });
        Some(keeps_large)
    }
}
