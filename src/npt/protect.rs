//! New permissions for what stands in a range: a check, the memory for the cuts, then the stores.

use super::Engine;
use super::arch::Format;
use super::entry::{EncodedPermissions, Entry, State};
use crate::abi::*;
use crate::error::Result;
use crate::flags::Permissions;
use crate::hal::publish_tables;

/// What the leaves of a range lose and gain, from the permission bits of each; leaves with the bits of
/// the one before cost a comparison.
struct Change<F> {
    to: Permissions,
    seen: Option<u64>,
    lost: bool,
    gained: bool,
    format: core::marker::PhantomData<F>,
}

impl<F: Format> Change<F> {
    fn new(to: Permissions) -> Self {
        Self { to, seen: None, lost: false, gained: false, format: core::marker::PhantomData }
    }

    #[inline(always)]
    fn add(&mut self, leaf: Entry<F>, features: super::arch::Features) {
        let bits = leaf.word() & F::PERMISSIONS;
        if self.seen != Some(bits) {
            self.seen = Some(bits);
            let from = leaf.attributes(features).permissions;
            self.lost |= !self.to.contains(from);
            self.gained |= !from.contains(self.to);
        }
    }
}

impl<F: Format> Engine<'_, F> {
    /// Gives everything in `[start, end)`, which must be mapped or reserved, new permissions.
    pub(crate) fn protect(&self, start: u64, end: u64, permissions: Permissions) -> Result<()> {
        let features = self.features();
        let encoded = EncodedPermissions::<F>::new(permissions, features)?;
        self.check_mapped(start, end)?;
        let protected = |entry: Entry<F>, level: u32| match entry.state(level) {
            State::Leaf | State::Reserved => entry.with_permissions(encoded),
            _ => entry,
        };
        let splits = self.prepare_splits(start, end, &|_| true, &protected)?;

        let mut request = self.flush_request(start, end);
        let mut change = Change::new(permissions);
        let mut is_split = false;
        for leaf in splits.leaves() {
            is_split = true;
            change.add(leaf, features);
        }
        splits.begin(self, &mut request)?;
        self.visit(start, end, |table, level, span, _| {
            table.update(span, |entry| {
                if entry.state(level) == State::Leaf {
                    change.add(entry, features);
                    request.add_leaf(level);
                }
                protected(entry, level)
            });
            Ok(())
        })?;
        if change.lost {
            self.issue(request, AXAS_FLUSH_TIGHTEN, AXAS_SCOPE_ALL);
        } else if is_split {
            self.issue(request, AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL);
        } else if change.gained && F::caches_denials() {
            publish_tables();
            self.issue(request, AXAS_FLUSH_RELAX, AXAS_SCOPE_LOCAL);
        } else {
            request.cancel();
        }
        splits.finish(self)?;
        publish_tables();
        Ok(())
    }
}
