//! What becomes of the entries of a range.

use super::Engine;
use super::arch::Format;
use super::entry::{EncodedPermissions, Entry, State};
use crate::flags::Permissions;

/// What becomes of the entries of a range, those of a cut entry's pieces included.
pub(super) enum Edit<F> {
    /// They go; what is to be given back, and linear pages that the host wants to hear of, stay in dead
    /// entries.
    Detach { reports: bool },
    /// Leaves and reservations get new permissions.
    Protect(Protection<F>),
    /// Owned leaves become dead entries that carry a reservation.
    Discard,
    /// What is pending is put in its place.
    Publish,
}

/// New permissions.
pub(super) struct Protection<F> {
    pub(super) to: Permissions,
    pub(super) encoded: EncodedPermissions<F>,
}

impl<F: Format> Engine<'_, F> {
    /// What an entry of `level` becomes. Leaves that are gone at once are discounted.
    #[inline(never)]
    pub(super) fn edited(&self, edit: &Edit<F>, entry: Entry<F>, level: u32) -> Entry<F> {
        match (edit, entry.state(level)) {
            (Edit::Detach { .. }, State::Table) => entry.dead_table(),
            (Edit::Detach { reports }, State::Leaf) => {
                if entry.is_owned() || *reports {
                    return entry.dead(self.features());
                }
                self.ledger.discount_leaves(level, 1);
                Entry::EMPTY
            }
            (Edit::Detach { .. }, State::Reserved | State::Trap) => Entry::EMPTY,
            (Edit::Protect(protection), State::Leaf | State::Reserved) => {
                entry.with_permissions(protection.encoded)
            }
            (Edit::Discard, State::Leaf) if entry.is_owned() => {
                entry.discarded(self.features(), level)
            }
            (Edit::Publish, State::PendingTable) => Entry::table(entry.address()),
            (Edit::Publish, State::Pending) => {
                let attributes = entry.reservation().attributes;
                // What was said of it when it was reserved can be said now.
                Entry::leaf_template(attributes, self.features(), level, true)
                    .map_or(entry, |template| template.at(entry.address()))
            }
            _ => entry,
        }
    }
}
