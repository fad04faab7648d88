// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages that no walker is to find (part `hide`).
//!
//! A hidden page is an invalid entry that keeps the page's address, attributes and owner. To everything but walkers
//! the page is there: it is counted, protected, released and freed as before. It was flushed when it was hidden, so
//! that what takes it away flushes nothing.
//!
//! Where a format has no leaf without permissions, a page without any is a hidden one too, which nothing holds: it
//! is a leaf again as soon as it has a permission.

use super::NestedPageTable;
use super::arch::Format;
use super::audit::Census;
use super::entry::{EncodedPermissions, Entry};
use super::protect::Changes;
#[cfg(feature = "hide")]
use super::split::Cut;
use super::sweep::Run;
use super::table::Table;
use super::units::Level;
use crate::addr::Bits;

#[cfg(feature = "hide")]
use {
    super::sweep::Sweep,
    super::table::Broken,
    super::units::GpaRange,
    super::work::Work,
    crate::abi::AXAS_FLUSH_UNMAP,
    crate::error::{Error, Result},
    crate::hal::{FlushRequest, publish_tables},
};

#[cfg(feature = "hide")]
impl NestedPageTable {
    /// Hides the pages of a range. With `auto` the next access to each shows it again; a page that is hidden
    /// already stays as it is then.
    #[inline(never)]
    pub(crate) fn hide<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        auto: bool,
    ) -> Result<()> {
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::Pages { auto }, &mut request)?;
        let Work { sweep, broken, .. } = work;
        let hidden = self.hide_range::<F>(sweep, broken, range, auto, &mut request);
        self.issue_if::<F>(request, AXAS_FLUSH_UNMAP);
        let mended = self.mend::<F>(broken);
        publish_tables();
        hidden.and(mended).ok_or(Error::BadState)
    }

    #[inline(never)]
    fn hide_range<F: Format>(
        &self,
        sweep: &mut Sweep,
        broken: &Broken,
        range: GpaRange,
        auto: bool,
        request: &mut FlushRequest,
    ) -> Option<()> {
        sweep.begin(self, range);
        while sweep.next::<F>(self, broken)? {
            let run = sweep.run;
            let mut has_leaf = false;
            Table::<F>::reach(self, run.page)?.edit(run.span, |entry| {
                has_leaf |= entry.is_hardware_visible();
                if entry.can_hide(auto) { entry.hidden(self.features, auto) } else { entry }
            });
            if has_leaf {
                request.add_leaf(run.level);
            }
        }
        Some(())
    }

    /// Shows the pages of a range that are hidden.
    #[inline(never)]
    pub(crate) fn show<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::Held, &mut request)?;
        // No walker has an entry of what was cut.
        request.cancel();
        let Work { sweep, broken, .. } = work;
        let shown = self.show_range::<F>(sweep, broken, range);
        let mended = self.mend::<F>(broken);
        publish_tables();
        self.announce::<F>(range);
        shown.and(mended).ok_or(Error::BadState)
    }

    #[inline(never)]
    fn show_range<F: Format>(
        &self,
        sweep: &mut Sweep,
        broken: &Broken,
        range: GpaRange,
    ) -> Option<()> {
        sweep.begin(self, range);
        while sweep.next::<F>(self, broken)? {
            let Run { page, level, span, .. } = sweep.run;
            Table::<F>::reach(self, page)?.edit(span, |entry| {
                if entry.is_held() {
                    entry.shown(self.features, level.get(), self.marks_writes())
                } else {
                    entry
                }
            });
        }
        Some(())
    }
}

impl NestedPageTable {
    /// Hides the pages of a run that lose their last permission; whether there were leaves.
    #[inline(never)]
    pub(super) fn hide_run_without_permissions<F: Format>(
        &self,
        run: &Run,
        encoded: EncodedPermissions,
        changes: &mut Changes,
    ) -> Option<bool> {
        let mut has_leaf = false;
        Table::<F>::reach(self, run.page)?.edit(run.span, |entry| {
            if entry.is_hardware_visible() {
                has_leaf = true;
                entry.without_permissions(self.features, run.level.get(), self.marks_writes())
            } else if entry.is_reserved() || entry.is_hidden() {
                entry.with_permissions(encoded)
            } else {
                entry
            }
        });
        changes.lost |= has_leaf;
        Some(has_leaf)
    }

    /// A hidden page with new permissions.
    #[cold]
    #[inline(never)]
    pub(super) fn protect_hidden<F: Format>(
        &self,
        entry: Entry<F>,
        encoded: EncodedPermissions,
        level: Level,
    ) -> Entry<F> {
        let entry = entry.with_permissions(encoded);
        if entry.is_held() {
            entry
        } else {
            entry.shown(self.features, level.get(), self.marks_writes())
        }
    }

    /// That a hidden page is one that the library writes; counts it.
    #[inline(never)]
    pub(super) fn inspect_hidden<F: Format>(
        &self,
        census: &mut Census,
        entry: Entry<F>,
        level: Level,
    ) -> Option<()> {
        let written = if entry.is_held() {
            entry.hidden(self.features, entry.shows_itself())
        } else {
            entry.without_permissions(self.features, level.get(), false)
        };
        let address = entry.address();
        let is_page = entry == written
            && address.offset(level) == 0
            && self.host.is_in_width(address.bits(), level.size());
        is_page.then_some(())?;
        census.add_page(level, entry.is_owned());
        Some(())
    }
}
