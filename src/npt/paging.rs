//! Our formats in the terms of `page_table_multiarch`, so that they plug into its tables too.
//!
//! Its `PageTable64` is the oracle of the differential tests. It has limits that the engine here does
//! not have: a root of one 4 KiB frame, 3 or 4 levels, indices that are masked.

use core::fmt::Debug;
use core::marker::PhantomData;

use page_table_multiarch::PagingMetaData;

use super::arch::Format;
use crate::addr::GuestPhysAddr;

/// Format `F` with `LEVELS` levels.
#[derive(Clone, Copy, Debug)]
pub struct MetaData<F, const LEVELS: usize>(PhantomData<F>);

impl<F: Format, const LEVELS: usize> PagingMetaData for MetaData<F, LEVELS> {
    const LEVELS: usize = LEVELS;
    const PA_MAX_BITS: usize = F::MAX_PA_BITS as usize;
    /// What a root of one frame resolves.
    const VA_MAX_BITS: usize = 12 + 9 * LEVELS;
    type VirtAddr = GuestPhysAddr;

    fn vaddr_is_valid(vaddr: usize) -> bool {
        vaddr < 1 << Self::VA_MAX_BITS
    }

    /// The tables of `page_table_multiarch` know no VMID: whoever uses them flushes himself.
    fn flush_tlb(_vaddr: Option<GuestPhysAddr>) {}
}
