//! Operations that change what stands in a range: arguments checked in the order that the interface
//! promises, then the engine put to work, at once or in slices.

use super::{AddressSpace, with_engine, with_format};
use crate::abi::{axas_extent_t, axas_flags_t};
use crate::addr::{Bits, GuestRange, is_page_aligned};
use crate::error::{Error, Result};
use crate::flags::{Attributes, MapFlags, MapOptions, Permissions, parse_permissions};
use crate::logging;
use crate::npt::arch::Format;
use crate::npt::budget::{Cost, reach_filling};
use crate::npt::entry::{EncodedPermissions, Entry, Reservation};
use crate::npt::unmap::Flush;

const PAGE_SIZES: MapOptions =
    MapOptions::NO_HUGE.union(MapOptions::MAX_2M).union(MapOptions::NO_HUGE_EXEC);

/// A range, a budget of entries for it, and where to say how many bytes were done.
pub struct Sliced<'a> {
    /// First address.
    pub gpa: u64,
    /// Bytes.
    pub size: u64,
    /// Entries to visit or write at most.
    pub budget: u64,
    /// Bytes done.
    pub done: &'a mut u64,
}

impl Sliced<'_> {
    fn check_budget(&self) -> Result<()> {
        if self.budget == 0 { Err(Error::InvalidInput) } else { Ok(()) }
    }
}

/// Linear memory to map, checked.
struct LinearPlan {
    range: GuestRange,
    /// Host address less guest address, mod 2^64.
    distance: u64,
    attributes: Attributes,
    /// The largest leaf that flags and features allow.
    most: u32,
    replaces: bool,
}

impl LinearPlan {
    fn hpa(&self, gpa: u64) -> u64 {
        gpa.wrapping_add(self.distance)
    }
}

/// Memory of the library's to map, checked.
struct AllocPlan {
    range: GuestRange,
    reservation: Reservation,
    populates: bool,
}

impl AddressSpace {
    /// Maps frames of the host.
    pub fn map_linear(&self, gpa: u64, hpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        let outcome =
            self.plan_linear(gpa, hpa, size, flags, MapOptions::REPLACE).and_then(|plan| {
                let end = plan.range.end.bits();
                self.change(|ledger| {
                    with_engine!(self, ledger, engine => if plan.replaces {
                        engine.replace_linear(gpa, end, hpa, plan.attributes, plan.most)
                    } else {
                        engine.map_linear(gpa, end, hpa, plan.attributes, plan.most)
                    })
                })
            });
        logging::outcome("map", "map_linear", gpa, size, outcome)
    }

    /// Maps frames of the host in slices.
    pub fn map_linear_some(&self, sliced: Sliced<'_>, hpa: u64, flags: axas_flags_t) -> Result<()> {
        let (gpa, size) = (sliced.gpa, sliced.size);
        let outcome = sliced.check_budget().and_then(|()| {
            let plan = self.plan_linear(gpa, hpa, size, flags, MapOptions::empty())?;
            let end = plan.range.end.bits();
            self.change_in_slices(
                plan.range,
                sliced.budget,
                sliced.done,
                |ledger, start, budget| {
                    with_engine!(self, ledger, engine => {
                        engine.check_empty(start, end)?;
                        let most = engine.linear_level(plan.distance, plan.most);
                        let stop = reach_filling(start, end, most, budget);
                        engine.map_linear(start, stop, plan.hpa(start), plan.attributes, most)?;
                        Ok(stop)
                    })
                },
            )
        });
        logging::outcome("map", "map_linear_some", gpa, size, outcome)
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
            let most = largest_leaf(flags, self.max_leaf_level());
            let end = range.end.bits();
            self.change(|ledger| {
                with_engine!(self, ledger, engine => {
                    engine.map_extents(gpa, end, extents, flags.attributes, most)
                })
            })
        });
        logging::outcome("map", "map_extents", gpa, size, outcome)
    }

    /// Maps memory that the library takes from the host.
    pub fn map_alloc(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        let outcome = self.plan_alloc(gpa, size, flags).and_then(|plan| {
            let end = plan.range.end.bits();
            self.change(|ledger| {
                with_engine!(self, ledger, engine => if plan.populates {
                    engine.map_populated(gpa, end, plan.reservation)
                } else {
                    engine.reserve(gpa, end, plan.reservation)
                })
            })
        });
        logging::outcome("map", "map_alloc", gpa, size, outcome)
    }

    /// Maps memory that the library takes from the host in slices.
    pub fn map_alloc_some(&self, sliced: Sliced<'_>, flags: axas_flags_t) -> Result<()> {
        let (gpa, size) = (sliced.gpa, sliced.size);
        let outcome = sliced.check_budget().and_then(|()| {
            let plan = self.plan_alloc(gpa, size, flags)?;
            let end = plan.range.end.bits();
            self.change_in_slices(
                plan.range,
                sliced.budget,
                sliced.done,
                |ledger, start, budget| {
                    with_engine!(self, ledger, engine => {
                        engine.check_empty(start, end)?;
                        if plan.populates {
                            let stop = reach_filling(start, end, plan.reservation.largest, budget);
                            engine.map_populated(start, stop, plan.reservation)?;
                            return Ok(stop);
                        }
                        let stop = reach_filling(start, end, self.levels(), budget);
                        engine.reserve(start, stop, plan.reservation)?;
                        Ok(stop)
                    })
                },
            )
        });
        logging::outcome("map", "map_alloc_some", gpa, size, outcome)
    }

    /// Marks an emulated device.
    pub fn map_trap(&self, gpa: u64, size: u64, cookie: u64) -> Result<()> {
        let outcome = u32::try_from(cookie).map_err(|_| Error::Unsupported).and_then(|cookie| {
            let range = self.checked_range(gpa, size)?;
            self.change(|ledger| {
                with_engine!(self, ledger, engine => engine.trap(gpa, range.end.bits(), cookie))
            })
        });
        logging::outcome("map", "map_trap", gpa, size, outcome)
    }

    /// Removes whatever stands in a range.
    pub fn unmap(&self, gpa: u64, size: u64) -> Result<()> {
        let outcome = self.range_or_nothing(gpa, size).and_then(|range| {
            let Some(range) = range else { return Ok(()) };
            self.change(|ledger| {
                with_engine!(self, ledger, engine => {
                    engine.unmap(gpa, range.end.bits(), Flush::IfNeeded)
                })
            })
        });
        logging::outcome("map", "unmap", gpa, size, outcome)
    }

    /// Removes whatever stands in a range in slices.
    pub fn unmap_some(&self, sliced: Sliced<'_>) -> Result<()> {
        let (gpa, size) = (sliced.gpa, sliced.size);
        let outcome = sliced.check_budget().and_then(|()| {
            let Some(range) = self.range_or_nothing(gpa, size)? else { return Ok(()) };
            let end = range.end.bits();
            self.change_in_slices(range, sliced.budget, sliced.done, |ledger, start, budget| {
                with_engine!(self, ledger, engine => {
                    let stop = engine.reach_visiting(start, end, Cost::Entry, budget)?;
                    engine.unmap(start, stop, Flush::IfNeeded)?;
                    Ok(stop)
                })
            })
        });
        logging::outcome("map", "unmap_some", gpa, size, outcome)
    }

    /// Gives what is mapped or reserved in a range new permissions.
    pub fn protect(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        let outcome = self.plan_protection(gpa, size, flags).and_then(|(range, permissions)| {
            self.change(|ledger| {
                with_engine!(self, ledger, engine => {
                    engine.protect(gpa, range.end.bits(), permissions)
                })
            })
        });
        logging::outcome("map", "protect", gpa, size, outcome)
    }

    /// Gives what is mapped or reserved in a range new permissions in slices.
    pub fn protect_some(&self, sliced: Sliced<'_>, flags: axas_flags_t) -> Result<()> {
        let (gpa, size) = (sliced.gpa, sliced.size);
        let outcome = sliced.check_budget().and_then(|()| {
            let (range, permissions) = self.plan_protection(gpa, size, flags)?;
            let end = range.end.bits();
            self.change_in_slices(range, sliced.budget, sliced.done, |ledger, start, budget| {
                with_engine!(self, ledger, engine => {
                    let stop = engine.reach_visiting(start, end, Cost::Entry, budget)?;
                    engine.protect(start, stop, permissions)?;
                    Ok(stop)
                })
            })
        });
        logging::outcome("map", "protect_some", gpa, size, outcome)
    }

    /// Takes frames for everything that is reserved in a range.
    pub fn populate(&self, gpa: u64, size: u64) -> Result<()> {
        let outcome = self.checked_range(gpa, size).and_then(|range| {
            self.change(|ledger| {
                with_engine!(self, ledger, engine => engine.populate(gpa, range.end.bits()))
            })
        });
        logging::outcome("map", "populate", gpa, size, outcome)
    }

    /// Takes frames for everything that is reserved in a range in slices.
    pub fn populate_some(&self, sliced: Sliced<'_>) -> Result<()> {
        let (gpa, size) = (sliced.gpa, sliced.size);
        let outcome = sliced.check_budget().and_then(|()| {
            let range = self.checked_range(gpa, size)?;
            let end = range.end.bits();
            self.change_in_slices(range, sliced.budget, sliced.done, |ledger, start, budget| {
                with_engine!(self, ledger, engine => {
                    let stop = engine.reach_visiting(start, end, Cost::Frames, budget)?;
                    engine.populate(start, stop)?;
                    Ok(stop)
                })
            })
        });
        logging::outcome("map", "populate_some", gpa, size, outcome)
    }

    /// Gives the frames of a range back; the reservation stays.
    pub fn discard(&self, gpa: u64, size: u64) -> Result<()> {
        let outcome = self.checked_range(gpa, size).and_then(|range| {
            self.change(|ledger| {
                with_engine!(self, ledger, engine => engine.discard(gpa, range.end.bits()))
            })
        });
        logging::outcome("map", "discard", gpa, size, outcome)
    }

    /// Gives the frames of a range back in slices; the reservation stays.
    pub fn discard_some(&self, sliced: Sliced<'_>) -> Result<()> {
        let (gpa, size) = (sliced.gpa, sliced.size);
        let outcome = sliced.check_budget().and_then(|()| {
            let range = self.checked_range(gpa, size)?;
            let end = range.end.bits();
            self.change_in_slices(range, sliced.budget, sliced.done, |ledger, start, budget| {
                with_engine!(self, ledger, engine => {
                    let stop = engine.reach_visiting(start, end, Cost::Entry, budget)?;
                    engine.discard(start, stop)?;
                    Ok(stop)
                })
            })
        });
        logging::outcome("map", "discard_some", gpa, size, outcome)
    }

    fn plan_linear(
        &self,
        gpa: u64,
        hpa: u64,
        size: u64,
        flags: axas_flags_t,
        more_options: MapOptions,
    ) -> Result<LinearPlan> {
        let flags = MapFlags::parse(flags, PAGE_SIZES | more_options)?;
        self.check_expressible(flags.attributes)?;
        hpa.checked_add(size).ok_or(Error::InvalidInput)?;
        gpa.checked_add(size).ok_or(Error::InvalidInput)?;
        if !is_page_aligned(hpa) {
            return Err(Error::InvalidInput);
        }
        let range = self.checked_range(gpa, size)?;
        self.check_width(hpa, size)?;
        Ok(LinearPlan {
            range,
            distance: hpa.wrapping_sub(gpa),
            attributes: flags.attributes,
            most: largest_leaf(flags, self.max_leaf_level()),
            replaces: flags.options.contains(MapOptions::REPLACE),
        })
    }

    fn plan_alloc(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<AllocPlan> {
        let allowed = PAGE_SIZES | MapOptions::POPULATE | MapOptions::HUGE_FRAMES;
        let flags = MapFlags::parse(flags, allowed)?;
        self.check_expressible(flags.attributes)?;
        let largest = if flags.options.contains(MapOptions::HUGE_FRAMES) {
            largest_leaf(flags, self.max_leaf_level())
        } else {
            1
        };
        Ok(AllocPlan {
            range: self.checked_range(gpa, size)?,
            reservation: Reservation { attributes: flags.attributes, largest },
            populates: flags.options.contains(MapOptions::POPULATE),
        })
    }

    fn plan_protection(
        &self,
        gpa: u64,
        size: u64,
        flags: axas_flags_t,
    ) -> Result<(GuestRange, Permissions)> {
        if flags & !(Permissions::all().bits() | crate::abi::AXAS_USER) != 0 {
            return Err(Error::InvalidInput);
        }
        let permissions = parse_permissions(flags)?;
        with_format!(self.npt.format, F => {
            EncodedPermissions::<F>::new(permissions, self.npt.features).map(|_| ())
        })?;
        Ok((self.checked_range(gpa, size)?, permissions))
    }

    /// A range of the space, or none where there is nothing to do.
    fn range_or_nothing(&self, gpa: u64, size: u64) -> Result<Option<GuestRange>> {
        gpa.checked_add(size).ok_or(Error::InvalidInput)?;
        if size == 0 && is_page_aligned(gpa) {
            return Ok(None);
        }
        self.checked_range(gpa, size).map(Some)
    }

    /// Whether the format can say these attributes.
    fn check_expressible(&self, attributes: Attributes) -> Result<()> {
        with_format!(self.npt.format, F => {
            Entry::<F>::leaf_template(attributes, self.npt.features, 1, false).map(|_| ())
        })
    }

    fn check_width(&self, hpa: u64, size: u64) -> Result<()> {
        if self.npt.host.is_in_width(hpa, size) { Ok(()) } else { Err(Error::InvalidInput) }
    }

    fn max_leaf_level(&self) -> u32 {
        let features = self.npt.features;
        with_format!(self.npt.format, F => Ok(F::max_leaf_level(features))).unwrap_or(1)
    }
}

/// The largest level of leaf that flags allow of those that a format has.
pub(super) fn largest_leaf(flags: MapFlags, most: u32) -> u32 {
    let executable = flags.attributes.permissions.contains(Permissions::EXECUTE);
    let options = flags.options;
    if options.contains(MapOptions::NO_HUGE)
        || options.contains(MapOptions::NO_HUGE_EXEC) && executable
    {
        1
    } else if options.contains(MapOptions::MAX_2M) {
        most.min(2)
    } else {
        most
    }
}
