// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of the entries of a range, table by table.

use super::Engine;
use super::arch::Format;
use super::entry::{EncodedPermissions, Entry, State, Way};
use super::geometry::Span;
use crate::addr::HostPhysAddr;
use crate::error::Result;
use crate::flags::Permissions;

/// What becomes of the entries of a range, those of a cut entry's pieces included.
pub(crate) enum Edit {
    /// They go; what is to be given back, and linear pages to report to `released`, stay in dead
    /// entries.
    Detach { reports: bool },
    /// Leaves and reservations get new permissions.
    Protect(Protection),
    /// Owned leaves become dead entries that carry a reservation.
    Discard,
    /// What is pending is put in its place.
    Publish,
}

/// New permissions.
pub(crate) struct Protection {
    pub(super) to: Permissions,
    pub(super) encoded: EncodedPermissions,
}

/// What an edit came upon.
#[derive(Clone, Copy, Default)]
pub(crate) struct Edited {
    /// A leaf that hardware may hold changed.
    pub(crate) leaf: bool,
    /// An entry that pointed to a table changed.
    pub(crate) table: bool,
    /// Entries are dead now.
    pub(crate) dead: bool,
    /// A leaf lost permissions.
    pub(crate) lost: bool,
    /// A leaf gained permissions.
    pub(crate) gained: bool,
}

impl<F: Format> Engine<'_, F> {
    /// Edits the entries of a span.
    #[inline(never)]
    pub(super) fn edit(
        &self,
        page: HostPhysAddr,
        level: u32,
        span: Span,
        edit: &Edit,
    ) -> Result<Edited> {
        match edit {
            Edit::Detach { reports } => self.detach_entries(page, level, span, *reports),
            Edit::Protect(protection) => self.protect_entries(page, span, protection),
            Edit::Discard => self.discard_entries(page, level, span),
            Edit::Publish => self.publish_entries(page, level, span),
        }
    }

    /// Puts what `change` makes of them into the places of entries at which something stands.
    #[inline(always)]
    fn change_entries(
        &self,
        page: HostPhysAddr,
        level: u32,
        span: Span,
        mut change: impl FnMut(Entry<F>) -> Entry<F>,
    ) -> Result<Edited> {
        let mut edited = Edited::default();
        self.open(page)?.update_occupied(span, |entry| {
            let new = change(entry);
            if new != entry {
                if entry.is_hardware_visible() {
                    match entry.way(level) {
                        Way::Down(_) => edited.table = true,
                        _ => edited.leaf = true,
                    }
                }
                edited.dead |= !new.is_settled();
            }
            new
        });
        Ok(edited)
    }

    /// Detaches the entries of a span.
    #[inline(never)]
    pub(super) fn detach_entries(
        &self,
        page: HostPhysAddr,
        level: u32,
        span: Span,
        reports: bool,
    ) -> Result<Edited> {
        let mut gone = 0_u64;
        let edited = self.change_entries(page, level, span, |entry| {
            if entry.is_plain() {
                return Entry::EMPTY;
            }
            match entry.way(level) {
                Way::Down(_) => entry.dead_table(),
                Way::Ends if entry.is_hardware_visible() => {
                    if entry.is_owned() || reports {
                        return entry.dead(self.features());
                    }
                    gone = gone.wrapping_add(1);
                    Entry::EMPTY
                }
                Way::Ends | Way::Corrupt => entry,
            }
        });
        self.ledger.discount_leaves(level, gone);
        edited
    }

    #[inline(never)]
    fn discard_entries(&self, page: HostPhysAddr, level: u32, span: Span) -> Result<Edited> {
        self.change_entries(page, level, span, |entry| {
            if entry.is_owned() && entry.state(level) == State::Leaf {
                entry.discarded(self.features(), level)
            } else {
                entry
            }
        })
    }

    #[inline(never)]
    fn publish_entries(&self, page: HostPhysAddr, level: u32, span: Span) -> Result<Edited> {
        self.change_entries(page, level, span, |entry| match entry.state(level) {
            State::PendingTable => Entry::table(entry.address()),
            State::Pending => {
                let attributes = entry.reservation().attributes;
                // What was said of it when it was reserved can be said now.
                Entry::leaf_template(attributes, self.features(), level, true)
                    .map_or(entry, |template| template.at(entry.address()))
            }
            _ => entry,
        })
    }

    /// Permissions are edited a thousand pages at a time, and most leaves look like the one before.
    #[inline(never)]
    fn protect_entries(
        &self,
        page: HostPhysAddr,
        span: Span,
        protection: &Protection,
    ) -> Result<Edited> {
        let mut edited = Edited::default();
        let (mut seen, mut change) = (None, 0);
        self.open(page)?.update(span, |entry| {
            // Permissions change in runs only, where what is valid is a leaf.
            if entry.is_hardware_visible() {
                let permissions = entry.word() & (F::PERMISSIONS | F::DIRTY);
                if seen != Some(permissions) {
                    seen = Some(permissions);
                    change = entry.word() ^ entry.with_permissions(protection.encoded).word();
                    let from = entry.attributes(self.features()).permissions;
                    edited.leaf = true;
                    edited.lost |= !protection.to.contains(from);
                    edited.gained |= !from.contains(protection.to);
                }
                return Entry::from_word(entry.word() ^ change);
            }
            if !entry.is_reserved() {
                return entry;
            }
            entry.with_permissions(protection.encoded)
        });
        Ok(edited)
    }
}
