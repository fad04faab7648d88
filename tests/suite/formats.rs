// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tests of single formats have in common.

use axaddrspace::addr::HostPhysAddr;
use axaddrspace::flags::{Attributes, MemoryType, Permissions};
use axaddrspace::npt::arch::Features;

/// Makes a test of each generic function, for each format.
macro_rules! in_every_format {
    ($($fact:ident)*) => {
        in_every_format!(@ intel_ept IntelEpt $($fact)*);
        in_every_format!(@ amd_npt AmdNpt $($fact)*);
        in_every_format!(@ arm_stage2 ArmStage2 $($fact)*);
        in_every_format!(@ riscv_gstage RiscvGstage $($fact)*);
    };
    (@ $module:ident $format:ident $($fact:ident)*) => {
        mod $module {
            $(
                #[test]
                fn $fact() {
                    super::$fact::<axaddrspace::npt::arch::$format>();
                }
            )*
        }
    };
}
pub(crate) use in_every_format;

/// Levels whose entries may be leaves in some format.
pub const LEAF_LEVELS: [u32; 3] = [1, 2, 3];
/// All levels of any format.
pub const LEVELS: [u32; 5] = [1, 2, 3, 4, 5];

pub const READ: Permissions = Permissions::READ;
pub const WRITE: Permissions = Permissions::WRITE;
pub const EXECUTE: Permissions = Permissions::EXECUTE;

pub fn hpa(bits: u64) -> HostPhysAddr {
    HostPhysAddr::from_usize(bits as usize)
}

/// Bytes that an entry of `level` covers.
pub fn entry_size(level: u32) -> u64 {
    1 << (12 + 9 * (level - 1))
}

/// The seven sets of permissions that a mapping can have.
pub fn all_permissions() -> impl Iterator<Item = Permissions> {
    (1..=7).map(Permissions::from_bits_truncate)
}

/// Every set of features out of those in `known`.
pub fn all_features(known: u32) -> impl Iterator<Item = Features> {
    let mut next = Some(0_u32);
    core::iter::from_fn(move || {
        let set = next?;
        // The next subset of the bits of `known`; zero again after the last.
        let following = set.wrapping_sub(known) & known;
        next = (following != 0).then_some(following);
        Some(Features(set))
    })
}

/// Every pair of permissions and memory type.
pub fn all_attributes() -> impl Iterator<Item = Attributes> {
    all_permissions().flat_map(|permissions| {
        MemoryType::ALL.into_iter().map(move |memory| Attributes::new(permissions, memory))
    })
}
