//! Operations that change what stands in a range.

use super::{AddressSpace, with_engine, with_format};
use crate::abi::{axas_extent_t, axas_flags_t};
use crate::addr::{Bits, is_page_aligned};
use crate::error::{Error, Result};
use crate::flags::{Attributes, MapFlags, MapOptions, Permissions, parse_permissions};
use crate::logging;
use crate::npt::arch::Format;
use crate::npt::entry::{EncodedPermissions, Entry, Reservation};
use crate::npt::unmap::Flush;

const PAGE_SIZES: MapOptions =
    MapOptions::NO_HUGE.union(MapOptions::MAX_2M).union(MapOptions::NO_HUGE_EXEC);

/// Counts calls that were rejected; the host's mistakes are worth a warning.
fn reported(call: &'static str, gpa: u64, size: u64, outcome: Result<()>) -> Result<()> {
    match outcome {
        Ok(()) => logging::debug("map", call, gpa, size),
        Err(_) => logging::warn("rejected", call, gpa, size),
    }
    outcome
}

impl AddressSpace {
    /// Maps frames of the host.
    pub fn map_linear(&self, gpa: u64, hpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        let outcome = MapFlags::parse(flags, PAGE_SIZES | MapOptions::REPLACE).and_then(|flags| {
            self.check_expressible(flags.attributes)?;
            if flags.options.contains(MapOptions::REPLACE) {
                return Err(Error::Unsupported);
            }
            hpa.checked_add(size).ok_or(Error::InvalidInput)?;
            gpa.checked_add(size).ok_or(Error::InvalidInput)?;
            if !is_page_aligned(hpa) {
                return Err(Error::InvalidInput);
            }
            let range = self.checked_range(gpa, size)?;
            self.check_width(hpa, size)?;
            let most = self.largest_leaf(flags);
            self.change(|ledger| {
                with_engine!(self, ledger, engine => {
                    engine.map_linear(gpa, range.end.bits(), hpa, flags.attributes, most)
                })
            })
        });
        reported("map_linear", gpa, size, outcome)
    }

    /// Maps scattered frames of the host side by side.
    pub fn map_extents(
        &self,
        gpa: u64,
        extents: &[axas_extent_t],
        flags: axas_flags_t,
    ) -> Result<()> {
        let size = extents.iter().fold(0, |sum: u64, extent| sum.saturating_add(extent.size));
        let outcome = MapFlags::parse(flags, PAGE_SIZES).and_then(|flags| {
            self.check_expressible(flags.attributes)?;
            for extent in extents {
                extent.hpa.checked_add(extent.size).ok_or(Error::InvalidInput)?;
                if !is_page_aligned(extent.hpa | extent.size) || extent.size == 0 {
                    return Err(Error::InvalidInput);
                }
            }
            let range = self.checked_range(gpa, size)?;
            for extent in extents {
                self.check_width(extent.hpa, extent.size)?;
            }
            let most = self.largest_leaf(flags);
            let end = range.end.bits();
            self.change(|ledger| {
                with_engine!(self, ledger, engine => {
                    engine.map_extents(gpa, end, extents, flags.attributes, most)
                })
            })
        });
        reported("map_extents", gpa, size, outcome)
    }

    /// Maps memory that the library takes from the host.
    pub fn map_alloc(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        let allowed = PAGE_SIZES | MapOptions::POPULATE | MapOptions::HUGE_FRAMES;
        let outcome = MapFlags::parse(flags, allowed).and_then(|flags| {
            self.check_expressible(flags.attributes)?;
            let range = self.checked_range(gpa, size)?;
            let largest = if flags.options.contains(MapOptions::HUGE_FRAMES) {
                self.largest_leaf(flags)
            } else {
                1
            };
            let reservation = Reservation { attributes: flags.attributes, largest };
            let end = range.end.bits();
            self.change(|ledger| {
                with_engine!(self, ledger, engine => {
                    if flags.options.contains(MapOptions::POPULATE) {
                        engine.map_populated(gpa, end, reservation)
                    } else {
                        engine.reserve(gpa, end, reservation)
                    }
                })
            })
        });
        reported("map_alloc", gpa, size, outcome)
    }

    /// Marks an emulated device.
    pub fn map_trap(&self, gpa: u64, size: u64, cookie: u64) -> Result<()> {
        let outcome = u32::try_from(cookie).map_err(|_| Error::Unsupported).and_then(|cookie| {
            let range = self.checked_range(gpa, size)?;
            self.change(|ledger| {
                with_engine!(self, ledger, engine => engine.trap(gpa, range.end.bits(), cookie))
            })
        });
        reported("map_trap", gpa, size, outcome)
    }

    /// Removes whatever stands in a range.
    pub fn unmap(&self, gpa: u64, size: u64) -> Result<()> {
        let outcome = (|| {
            gpa.checked_add(size).ok_or(Error::InvalidInput)?;
            if size == 0 && is_page_aligned(gpa) {
                return Ok(());
            }
            let range = self.checked_range(gpa, size)?;
            self.change(|ledger| {
                with_engine!(self, ledger, engine => {
                    engine.unmap(gpa, range.end.bits(), Flush::IfNeeded)
                })
            })
        })();
        reported("unmap", gpa, size, outcome)
    }

    /// Gives what is mapped or reserved in a range new permissions.
    pub fn protect(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        let outcome = parse_protection(flags).and_then(|permissions| {
            with_format!(self.npt.format, F => {
                EncodedPermissions::<F>::new(permissions, self.npt.features).map(|_| ())
            })?;
            let range = self.checked_range(gpa, size)?;
            self.change(|ledger| {
                with_engine!(self, ledger, engine => {
                    engine.protect(gpa, range.end.bits(), permissions)
                })
            })
        });
        reported("protect", gpa, size, outcome)
    }

    /// Whether the format can say these attributes, at every level of leaf.
    fn check_expressible(&self, attributes: Attributes) -> Result<()> {
        with_format!(self.npt.format, F => {
            Entry::<F>::leaf_template(attributes, self.npt.features, 1, false).map(|_| ())
        })
    }

    fn check_width(&self, hpa: u64, size: u64) -> Result<()> {
        if self.npt.host.is_in_width(hpa, size) { Ok(()) } else { Err(Error::InvalidInput) }
    }

    /// The largest level of leaf that flags and features allow.
    fn largest_leaf(&self, flags: MapFlags) -> u32 {
        let executable = flags.attributes.permissions.contains(Permissions::EXECUTE);
        let options = flags.options;
        let small = options.contains(MapOptions::NO_HUGE)
            || options.contains(MapOptions::NO_HUGE_EXEC) && executable;
        let features = self.npt.features;
        let most = with_format!(self.npt.format, F => Ok(F::max_leaf_level(features))).unwrap_or(1);
        match (small, options.contains(MapOptions::MAX_2M)) {
            (true, _) => 1,
            (false, true) => most.min(2),
            (false, false) => most,
        }
    }
}

/// The flags of a call that changes permissions only.
fn parse_protection(flags: axas_flags_t) -> Result<Permissions> {
    if flags & !(Permissions::all().bits() | crate::abi::AXAS_USER) != 0 {
        return Err(Error::InvalidInput);
    }
    parse_permissions(flags)
}
