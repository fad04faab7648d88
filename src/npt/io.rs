// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables that an IOMMU walks too (`AXAS_IO`): what is refused, flushed and cleaned because devices neither take
//! pages in nor retry. Without the part every question here has a constant answer.
//!
//! Whatever a device looks up in the middle of a call, a page that is mapped before and afterwards has the
//! translation of before or that of afterwards. So no call makes an entry invalid in between: replacements are refused,
//! and cuts of leaves on formats that break before they make.

use super::arch::{Features, Format};
use super::edges::{Arm, Edges};
use super::split::Cut;
use super::table::Broken;
use super::units::GpaRange;
use super::{NestedPageTable, POPULATES, REPLACES};
use crate::abi::*;
use crate::error::{Error, Result};
use crate::flags::{Attributes, MapOptions};
use crate::hal::Host;

/// The part is built in.
pub(crate) const IS_BUILT_IN: bool = cfg!(feature = "io");

/// Features that mean something with `AXAS_IO` only.
pub(crate) const FEATURES: u32 = AXAS_FEATURE_IO_CACHES_INVALID
    | AXAS_FEATURE_IO_COHERENT
    | AXAS_FEATURE_IO_DIRTY
    | AXAS_FEATURE_IO_FAULTS;

impl Features {
    /// Whether an IOMMU walks the tables.
    #[inline(always)]
    pub(crate) const fn has_io(self) -> bool {
        IS_BUILT_IN && self.has(Self::IO)
    }

    /// Whether devices look past the CPUs' caches.
    #[inline(always)]
    const fn has_noncoherent_io(self) -> bool {
        self.has_io() && !self.has(AXAS_FEATURE_IO_COHERENT)
    }

    /// Whether devices may not find an entry invalid for a moment.
    #[inline(always)]
    pub(crate) const fn has_strict_io(self) -> bool {
        self.has_io() && !self.has(AXAS_FEATURE_IO_FAULTS)
    }

    /// Whether what is written to tables is cleaned.
    pub(crate) const fn cleans_tables(self) -> bool {
        self.has(Self::NONCOHERENT_WALK) || self.has_noncoherent_io()
    }

    /// Whether guest frames that were zeroed through the cache must be cleaned: a device that looks past it would read
    /// what another guest had left there.
    #[inline(always)]
    pub(super) fn cleans_guest<F: Format>(self, attributes: Attributes) -> bool {
        F::needs_clean(attributes, self) || self.has_noncoherent_io()
    }

    /// Who is told of entries that became valid: no CPU, this one, or all.
    #[inline(always)]
    pub(super) fn scope_of_new<F: Format>(self) -> Option<u32> {
        if self.has_io() && self.has(AXAS_FEATURE_IO_CACHES_INVALID) {
            Some(AXAS_SCOPE_ALL)
        } else if F::caches_invalid(self) {
            Some(AXAS_SCOPE_LOCAL)
        } else {
            None
        }
    }

    /// Who is told of permissions that were added.
    #[inline(always)]
    pub(super) fn scope_of_relax<F: Format>(self) -> Option<u32> {
        if self.has_io() {
            Some(AXAS_SCOPE_ALL)
        } else if F::caches_denials() {
            Some(AXAS_SCOPE_LOCAL)
        } else {
            None
        }
    }
}

/// That a host can do what an IOMMU needs.
#[inline(always)]
pub(crate) fn check_host(features: Features, host: &Host) -> Result<()> {
    let needs_clean = features.has_noncoherent_io() && !host.can_clean();
    if features.has_io() && !host.has_flush() || needs_clean {
        return Err(Error::Unsupported);
    }
    Ok(())
}

impl NestedPageTable {
    /// Whether devices do not allow a call with these options; `is_lazy` says that its pages come with faults.
    #[inline(always)]
    pub(crate) fn refuses(&self, options: MapOptions, is_lazy: bool) -> bool {
        !REPLACES && options.contains(MapOptions::REPLACE)
            || !POPULATES && options.contains(MapOptions::POPULATE)
            || IS_BUILT_IN
                && (options.contains(MapOptions::REPLACE) && self.features.has_strict_io()
                    || is_lazy && self.features.has_io())
    }

    /// That devices allow the cuts of a range.
    #[inline(always)]
    pub(super) fn check_cuts<F: Format>(
        &self,
        edges: &mut Edges,
        range: GpaRange,
        cut: &Cut,
    ) -> Result<()> {
        if self.features.has_strict_io() && F::breaks_before_make(self.features) {
            self.check_leaves_whole::<F>(edges, range, cut)
        } else {
            Ok(())
        }
    }

    /// That no leaf is cut.
    #[cold]
    #[inline(never)]
    fn check_leaves_whole<F: Format>(
        &self,
        edges: &mut Edges,
        range: GpaRange,
        cut: &Cut,
    ) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            at = self
                .find_edges::<F>(edges, &Broken::NONE, range.from(at))
                .ok_or(Error::BadState)?;
            for arm in [Arm::Left, Arm::Right] {
                let level = edges.lowest(arm);
                let entry = self
                    .entry::<F>(edges.page(arm, level), edges.cut(arm, level))
                    .ok_or(Error::BadState)?;
                if entry.is_hardware_visible()
                    && self.cut_level::<F>(edges, arm, cut).ok_or(Error::BadState)? != 0
                {
                    return Err(Error::Unsupported);
                }
            }
        }
        Ok(())
    }
}
