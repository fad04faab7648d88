// SPDX-License-Identifier: MIT OR Apache-2.0
//! One page at a time, where the table that holds it is there and stays: a walk and a store.
//!
//! What these do not do, the ways for ranges do.

use super::Engine;
use super::arch::Format;
use super::content::Linear;
use super::entry::Entry;
use super::geometry::{Index, Span};
use crate::abi::{AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL};
use crate::addr::{Bits, HostPhysAddr, PAGE_SIZE};
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, publish_tables};

impl<F: Format> Engine<'_, F> {
    /// Maps a page of the host; whether that was done here.
    #[inline(never)]
    pub(super) fn map_page(&self, gpa: u64, linear: &Linear) -> Result<bool> {
        let Some(page) = self.leaf_table_of(gpa) else { return Ok(false) };
        let table = self.open(page)?;
        let index = Index::of(gpa, 1);
        if !table.load(index).is_empty() {
            return Err(Error::AlreadyExists);
        }
        let template = Entry::<F>::leaf_template(linear.attributes, self.features(), 1, false)?;
        let hpa = HostPhysAddr::from_bits(gpa.wrapping_add(linear.distance));
        table.store(index, template.at(hpa));
        drop(table);
        self.ledger.count_leaves(1, 1);
        publish_tables();
        self.announce(gpa, gpa.wrapping_add(PAGE_SIZE));
        Ok(true)
    }

    /// Unmaps a linear page that is not reported, beside an entry that stays; whether that was
    /// done here.
    #[inline(never)]
    pub(super) fn unmap_page(&self, gpa: u64) -> Result<bool> {
        if self.npt.host.wants_released() {
            return Ok(false);
        }
        let Some(page) = self.leaf_table_of(gpa) else { return Ok(false) };
        let table = self.open(page)?;
        let index = Index::of(gpa, 1);
        let is_linear = table.load(index).is_linear_leaf(1);
        if !is_linear || !table.stands_beside(Span::one(index)) {
            return Ok(false);
        }
        table.store(index, Entry::EMPTY);
        drop(table);
        self.ledger.discount_leaves(1, 1);
        let mut request = FlushRequest::new(gpa, gpa.wrapping_add(PAGE_SIZE));
        request.add_leaf(1);
        self.issue(request, AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
        Ok(true)
    }
}
