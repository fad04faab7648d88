// SPDX-License-Identifier: MIT OR Apache-2.0
use super::{axas_hpa_t, axas_status_t, axas_width_t};

/// Major version of this header; axas_version() is that of the archive.
pub const AXAS_VERSION_MAJOR: u32 = 0_u32;
/// Minor version of this header.
pub const AXAS_VERSION_MINOR: u32 = 2_u32;
/// Patch version of this header.
pub const AXAS_VERSION_PATCH: u32 = 0_u32;

/// In axas_parts(): tags (AXAS_TAG_MASK), axas_retag and axas_handle_page_fault_at are there.
pub const AXAS_PART_TAGS: u32 = 0x1_u32;
/// In axas_parts(): axas_stock is there.
pub const AXAS_PART_STOCK: u32 = 0x2_u32;
/// In axas_parts(): the option AXAS_IO is there.
pub const AXAS_PART_IO: u32 = 0x4_u32;
/// In axas_parts(): the axas_dirty_ calls and axas_copy are there.
pub const AXAS_PART_DIRTY: u32 = 0x8_u32;
/// In axas_parts(): axas_hide, axas_show and axas_map_note are there, and pages may have no permission.
pub const AXAS_PART_HIDE: u32 = 0x10_u32;
/// In axas_parts(): axas_transfer is there, and part `hide`.
pub const AXAS_PART_TRANSFER: u32 = 0x20_u32;
/// In axas_parts(): axas_merge is there.
pub const AXAS_PART_MERGE: u32 = 0x40_u32;
/// In axas_parts(): axas_map_provider, axas_supply and axas_evict are there.
pub const AXAS_PART_PROVIDER: u32 = 0x80_u32;
/// In axas_parts(): the axas_age calls are there, and part `dirty`.
pub const AXAS_PART_AGE: u32 = 0x100_u32;

/// In axas_parts(): a HAL without AXAS_HAL_DIRECT_MAP is accepted. This and the following are there unless the
/// archive was built without them (make lib WITHOUT=); a call that asks for an absent one returns
/// AXAS_ERR_UNSUPPORTED.
pub const AXAS_PART_WINDOWS: u32 = 0x1_0000_u32;
/// In axas_parts(): the flag AXAS_REPLACE is there.
pub const AXAS_PART_REPLACE: u32 = 0x2_0000_u32;
/// In axas_parts(): the option AXAS_KEEP_TABLES is there.
pub const AXAS_PART_KEEP: u32 = 0x4_0000_u32;
/// In axas_parts(): the flag AXAS_POPULATE is there.
pub const AXAS_PART_POPULATE: u32 = 0x8_0000_u32;
/// In axas_parts(): the callback `released` is there.
pub const AXAS_PART_RELEASED: u32 = 0x10_0000_u32;

/// Bytes of the smallest page and of a frame of order 0.
pub const AXAS_PAGE_SIZE: u32 = 4096_u32;
/// No host-physical address: what alloc_frame returns when it has none.
pub const AXAS_HPA_INVALID: axas_hpa_t = 0xffff_ffff_ffff_ffff;

/// Done.
pub const AXAS_OK: axas_status_t = 0;
/// Null, unknown bit or value, unaligned, empty, overflow, out of range, address wider than
/// pa_bits, or an option that does not apply to the call.
pub const AXAS_ERR_INVALID_INPUT: axas_status_t = -1;
/// The range is not empty.
pub const AXAS_ERR_ALREADY_EXISTS: axas_status_t = -2;
/// alloc_frame had no frame, or table_quota is used up.
pub const AXAS_ERR_NO_MEMORY: axas_status_t = -3;
/// A hole in the range; for calls that do not apply to traps, also a trap.
pub const AXAS_ERR_NOT_MAPPED: axas_status_t = -4;
/// The mapping does not allow the access.
pub const AXAS_ERR_DENIED: axas_status_t = -5;
/// Not possible with this format, CPU or build.
pub const AXAS_ERR_UNSUPPORTED: axas_status_t = -6;
/// A corrupt table, or a callback returned an unusable value.
pub const AXAS_ERR_BAD_STATE: axas_status_t = -7;
/// Call again: the space is in use (AXAS_NO_WAIT), or a call in slices is not finished.
pub const AXAS_ERR_AGAIN: axas_status_t = -8;

/// The format of the target this archive was built for; on x86 the CPU's vendor decides (CPUID
/// leaf 0). On hosted builds axas_create returns AXAS_ERR_UNSUPPORTED for it.
pub const AXAS_FORMAT_NATIVE: u32 = 0_u32;
/// Intel extended page tables (Intel SDM vol. 3C, "The Extended Page Table Mechanism"). The control
/// "mode-based execute control for EPT" must be 0: with it no page is executable in user mode.
pub const AXAS_FORMAT_EPT: u32 = 1_u32;
/// AMD nested page tables (AMD APM vol. 2, "Nested Paging"). GMET must be off: with it no page is
/// executable in supervisor mode.
pub const AXAS_FORMAT_NPT: u32 = 2_u32;
/// AArch64 stage 2, 4 KiB granule (Arm ARM, "The AArch64 Virtual Memory System Architecture").
pub const AXAS_FORMAT_ARM_S2: u32 = 3_u32;
/// RISC-V G-stage, Sv39x4, Sv48x4, Sv57x4 (RISC-V Privileged Architecture, "Two-Stage Address
/// Translation").
pub const AXAS_FORMAT_RISCV_GSTAGE: u32 = 4_u32;

/// Nothing is mapped or reserved.
pub const AXAS_STATE_ABSENT: u32 = 0_u32;
/// Reserved by axas_map_alloc, without a frame: the first access allocates one.
pub const AXAS_STATE_RESERVED: u32 = 1_u32;
/// An emulated device: every access faults with AXAS_FAULT_TRAP.
pub const AXAS_STATE_TRAP: u32 = 2_u32;
/// Mapped to frames of the host.
pub const AXAS_STATE_LINEAR: u32 = 3_u32;
/// Mapped to a frame that the library took and gives back.
pub const AXAS_STATE_OWNED: u32 = 4_u32;
/// Mapped, and hidden from the guest by axas_hide.
pub const AXAS_STATE_HIDDEN: u32 = 5_u32;
/// Unmapped for the guest; holds a value of the host (axas_map_note).
pub const AXAS_STATE_NOTE: u32 = 6_u32;
/// Set aside by axas_map_provider or axas_evict, without a frame: the first access asks resolve for one.
pub const AXAS_STATE_PROVIDED: u32 = 7_u32;

/// A frame was installed, or a clean page made dirty, an old page young, a hidden page visible. Resume the
/// guest.
pub const AXAS_FAULT_RESOLVED: u32 = 0_u32;
/// The entry allows the access already (another vCPU was first, or a stale translation). Resume.
pub const AXAS_FAULT_SPURIOUS: u32 = 1_u32;
/// An exclusive call runs, or the entry is in transition. Yield or resume; the guest faults again.
pub const AXAS_FAULT_RETRY: u32 = 2_u32;
/// An emulated device: axas_trap_cookie says which.
pub const AXAS_FAULT_TRAP: u32 = 3_u32;
/// Nothing is mapped or reserved, a note is there, the address is outside the space, or resolve returned
/// AXAS_RESOLVE_REFUSE.
pub const AXAS_FAULT_UNMAPPED: u32 = 4_u32;
/// The mapping does not allow the access.
pub const AXAS_FAULT_DENIED: u32 = 5_u32;
/// No frame for a reserved page (or the host's frame, or its answer to resolve, was unusable). Nothing changed.
pub const AXAS_FAULT_NO_MEMORY: u32 = 6_u32;
/// Null handle, access empty or with other bits, corrupt table. Never resume.
pub const AXAS_FAULT_ERROR: u32 = 7_u32;
/// A page of a provider is not there yet: resolve returned AXAS_RESOLVE_LATER. The vCPU waits until axas_supply
/// has mapped it.
pub const AXAS_FAULT_WAIT: u32 = 8_u32;
/// The page is hidden (axas_hide). The guest does not resume: the host decides.
pub const AXAS_FAULT_HIDDEN: u32 = 9_u32;

/// The guest may read.
pub const AXAS_READ: u32 = 0x1_u32;
/// The guest may write. Without AXAS_READ only on Arm.
pub const AXAS_WRITE: u32 = 0x2_u32;
/// The guest may fetch instructions. Without AXAS_READ on Arm and RISC-V, and on EPT with
/// AXAS_FEATURE_EPT_EXECUTE_ONLY.
pub const AXAS_EXECUTE: u32 = 0x4_u32;
/// Accepted, no effect: AXAS_EXECUTE is for every mode of the guest. FEAT_XNX, mode-based execute control (EPT)
/// and GMET (NPT), which distinguish the modes, are not used; where hardware requires a user bit (NPT, RISC-V)
/// it is always set.
pub const AXAS_USER: u32 = 0x8_u32;
/// Memory type of devices: UC on EPT and NPT, Device-nGnRE on Arm, IO on RISC-V with Svpbmt and no type bits
/// without it (the PMAs decide).
pub const AXAS_DEVICE: u32 = 0x10_u32;
/// Memory type: UC on EPT and NPT, Normal Non-cacheable on Arm, NC on RISC-V with Svpbmt, else
/// AXAS_ERR_UNSUPPORTED.
pub const AXAS_UNCACHED: u32 = 0x20_u32;
/// Memory type: WC, EPT only.
pub const AXAS_WRITE_COMBINE: u32 = 0x100_u32;
/// Memory type: WT, on EPT and on Arm without FWB.
pub const AXAS_WRITE_THROUGH: u32 = 0x200_u32;
/// Memory type: Device-nGnRnE, Arm only.
pub const AXAS_DEVICE_NGNRNE: u32 = 0x400_u32;
/// Memory type: Device-nGRE, Arm only.
pub const AXAS_DEVICE_NGRE: u32 = 0x800_u32;
/// Memory type: Device-GRE, Arm only.
pub const AXAS_DEVICE_GRE: u32 = 0x1000_u32;
/// axas_map_alloc: take all frames now.
pub const AXAS_POPULATE: u32 = 0x1_0000_u32;
/// Pages of 4 KiB only.
pub const AXAS_NO_HUGE: u32 = 0x2_0000_u32;
/// No page larger than 2 MiB.
pub const AXAS_MAX_2M: u32 = 0x4_0000_u32;
/// axas_map_alloc: take frames of 2 MiB (with AXAS_POPULATE also 1 GiB) where the range and the
/// host allow; a host that refuses them gets requests of 4 KiB instead.
pub const AXAS_HUGE_FRAMES: u32 = 0x8_0000_u32;
/// With AXAS_EXECUTE, 4 KiB pages only. For this call alone: a later axas_protect may make a large page
/// executable. Against CVE-2018-12207 use AXAS_SMALL_EXEC.
pub const AXAS_NO_HUGE_EXEC: u32 = 0x10_0000_u32;
/// axas_map_linear, axas_map_alloc, axas_map_trap_flags: replace whatever is mapped, reserved or a trap in the
/// range, atomically for vCPUs and callers: a fault meanwhile is AXAS_FAULT_RETRY, axas_translate and
/// axas_query find the old or the new entry. Not in slices.
pub const AXAS_REPLACE: u32 = 0x20_0000_u32;
/// resolve: not now; the host calls axas_supply when it has the page. The verdict is AXAS_FAULT_WAIT.
pub const AXAS_RESOLVE_LATER: u32 = 0_u32;
/// resolve, axas_supply: a frame of the host's, which stays its own (AXAS_STATE_LINEAR).
pub const AXAS_RESOLVE_NOW: u32 = 1_u32;
/// resolve, axas_supply: a frame that is the library's from now on and goes to dealloc_frame
/// (AXAS_STATE_OWNED). It is not zeroed.
pub const AXAS_RESOLVE_GIVEN: u32 = 2_u32;
/// resolve: a frame of alloc_frame, as in a reservation of axas_map_alloc.
pub const AXAS_RESOLVE_ALLOC: u32 = 3_u32;
/// resolve: there is no page. The verdict is AXAS_FAULT_UNMAPPED.
pub const AXAS_RESOLVE_REFUSE: u32 = 4_u32;
/// axas_hide: the next access that a page's permissions allow unhides it.
pub const AXAS_HIDE_AUTO: u32 = 0x1_u32;
/// axas_transfer: the pages move to the other space; a note or a hole is left.
pub const AXAS_GIVE: u32 = 1_u32;
/// axas_transfer: the pages are hidden in this space, and mapped in the other.
pub const AXAS_LEND: u32 = 2_u32;
/// axas_transfer: the pages are mapped in both spaces.
pub const AXAS_SHARE: u32 = 3_u32;
/// axas_transfer: the pages are unmapped in the other space, and visible in this one again.
pub const AXAS_TAKE_BACK: u32 = 4_u32;
/// axas_transfer: the pages are zeroed while neither guest reaches them.
pub const AXAS_WIPE: u32 = 0x1_u32;
/// axas_tables_needed: count for a lazy reservation or a trap.
pub const AXAS_NEED_LAZY: u32 = 0x40_0000_u32;
/// axas_merge: scattered pages of the library are copied into a frame of 2 MiB.
pub const AXAS_MERGE_COPY: u32 = 0x80_0000_u32;
/// axas_map_alloc: the frames of this region are not zeroed; the guest sees what each held when alloc_frame
/// returned it, the memory of another guest included. For memory that the host or a device writes before the
/// guest runs. Reserved pages keep the flag until they get a frame (axas_query reports it); a page that
/// axas_discard emptied reads as zeroes.
pub const AXAS_SKIP_ZERO: u32 = 0x1000_0000_u32;

/// Lowest bit, in flags, of the tag: a number of the host's that each entry (mapped, reserved, a trap or a
/// note) keeps and hardware ignores. axas_map_linear, axas_map_extents, axas_map_alloc, axas_map_trap_flags,
/// axas_map_note and axas_map_provider take a tag, axas_retag changes it; faults, splits, axas_discard,
/// axas_populate and axas_protect keep it; axas_query, axas_for_each, released and axas_dump show it. Part
/// `tags`; how many bits there are: axas_tag_bits.
pub const AXAS_TAG_SHIFT: u32 = 24_u32;
/// All bits of a tag in flags.
pub const AXAS_TAG_MASK: u32 = 0xf00_0000_u32;

/// alloc_frame, dealloc_frame, clean_range: a page table (or the handle); clean_range: a root too.
pub const AXAS_FRAME_TABLE: u32 = 1_u32;
/// alloc_frame, dealloc_frame, clean_range: memory of the guest.
pub const AXAS_FRAME_GUEST: u32 = 2_u32;
/// alloc_frame, dealloc_frame: memory of the host's own, from axas_frame_alloc only.
pub const AXAS_FRAME_HOST: u32 = 3_u32;
/// alloc_frame, dealloc_frame: the root of a space, of any order.
pub const AXAS_FRAME_ROOT: u32 = 4_u32;

/// Every frame of alloc_frame is at `pa + direct_map_offset` (mod 2^64); phys_to_virt is not
/// needed and never called for them.
pub const AXAS_HAL_DIRECT_MAP: u32 = 0x1_u32;
/// The same holds for linear mappings that are not DEVICE.
pub const AXAS_HAL_DIRECT_MAP_LINEAR: u32 = 0x2_u32;
/// The library invalidates TLBs itself: one CPU runs the space (RISC-V: HFENCE.GVMA; Intel:
/// INVEPT, in VMX root operation), or inner-shareable broadcast reaches every user of it (AArch64 at
/// EL2 with E2H 0 and TGE 0). Not on NPT: AXAS_ERR_UNSUPPORTED. Hosted builds: does nothing.
///
/// AArch64: while another VM's VTTBR_EL2 is loaded, stage 1 walks are disabled (EPD0, EPD1 of TCR_EL1, M of
/// SCTLR_EL1, restored afterwards): this covers CPUs that run AT speculatively (Cortex-A53, A55, A57, A72, A76:
/// errata 1530924, 1530923, 1319537, 1319367, 1165522), except with a stage 1 of AArch32 short descriptors,
/// which has no such bits. TLBI is issued once: CPUs that need it twice (Cortex-A55 2441007, A76 1286807, A510
/// 2441009) need a tlb_flush of the host's.
pub const AXAS_HAL_BUILTIN_FLUSH: u32 = 0x4_u32;
/// A table frame stays mapped and readable after dealloc_frame.
pub const AXAS_HAL_TABLES_STAY_READABLE: u32 = 0x8_u32;
/// The library handles AXAS_SCOPE_LOCAL requests with the instructions of AXAS_HAL_BUILTIN_FLUSH, which needs
/// the same CPU state, whether one CPU or many run the space; tlb_flush is required, for AXAS_SCOPE_ALL only.
/// With AXAS_HAL_BUILTIN_FLUSH: AXAS_ERR_INVALID_INPUT. Not on NPT: AXAS_ERR_UNSUPPORTED.
pub const AXAS_HAL_BUILTIN_LOCAL: u32 = 0x10_u32;

/// Translations were removed: no CPU may use them after tlb_flush returned.
pub const AXAS_FLUSH_UNMAP: u32 = 1_u32;
/// Permissions were taken away.
pub const AXAS_FLUSH_TIGHTEN: u32 = 2_u32;
/// Permissions were added: this CPU only, other CPUs take a spurious fault, devices cannot: with AXAS_IO,
/// AXAS_SCOPE_ALL, except from faults.
pub const AXAS_FLUSH_RELAX: u32 = 3_u32;
/// Invalid entries became valid: this CPU only (RISC-V without Svvptc); with AXAS_FEATURE_IO_CACHES_INVALID,
/// AXAS_SCOPE_ALL, except from faults. An invalid entry of each level may be cached: no last-level-only
/// instruction.
pub const AXAS_FLUSH_NEW: u32 = 4_u32;
/// A huge page was split (on Arm it is invalid meanwhile: break-before-make).
pub const AXAS_FLUSH_BREAK: u32 = 5_u32;
/// Dirty or accessed bits were cleared: a CPU that goes on with the old translation writes, or accesses,
/// without setting them. Permissions are as before. With tables_removed, accessed bits of entries that point to
/// tables were cleared too (axas_age): walk caches must be invalidated as well.
pub const AXAS_FLUSH_CLEAN: u32 = 6_u32;

/// axas_dirty_start: hardware sets dirty bits; without it writes to clean pages fault.
pub const AXAS_DIRTY_HARDWARE: u32 = 0x1_u32;
/// axas_dirty_start: everything is dirty at first.
pub const AXAS_DIRTY_ALL: u32 = 0x2_u32;
/// axas_dirty_start, axas_dirty_clear, axas_dirty_collect: huge pages are split to be made clean in parts.
pub const AXAS_DIRTY_SPLIT: u32 = 0x4_u32;
/// axas_age: report only; no page is made old.
pub const AXAS_AGE_TEST: u32 = 0x1_u32;
/// axas_age: nothing is flushed: accesses by translations that a CPU holds already are missed.
pub const AXAS_AGE_NO_FLUSH: u32 = 0x2_u32;
/// Every CPU (and IOMMU given the same pages) that may hold translations of the space.
pub const AXAS_SCOPE_ALL: u32 = 0_u32;
/// This CPU; the callback must not wait for others.
pub const AXAS_SCOPE_LOCAL: u32 = 1_u32;

/// Pages of 1 GiB exist (EPT, NPT; Arm and RISC-V always have them).
pub const AXAS_FEATURE_1G_PAGES: u32 = 0x1_u32;
/// Execute without read (IA32_VMX_EPT_VPID_CAP bit 0).
pub const AXAS_FEATURE_EPT_EXECUTE_ONLY: u32 = 0x2_u32;
/// Accessed and dirty flags: sets bit 6 of the EPTP (IA32_VMX_EPT_VPID_CAP bit 21).
pub const AXAS_FEATURE_EPT_AD: u32 = 0x4_u32;
/// FEAT_XNX: not used, AXAS_ERR_UNSUPPORTED at create. A page is executable at EL1 and EL0 or at neither, with
/// and without FEAT_XNX.
pub const AXAS_FEATURE_ARM_XNX: u32 = 0x8_u32;
/// FEAT_S2FWB, and the host sets HCR_EL2.FWB.
pub const AXAS_FEATURE_ARM_FWB: u32 = 0x10_u32;
/// FEAT_HAFDBS with dirty state: sets VTCR_EL2.HA and HD.
pub const AXAS_FEATURE_ARM_HAFDBS: u32 = 0x20_u32;
/// FEAT_HAFDBS, the access flag at least (ID_AA64MMFR1_EL1.HAFDBS is not 0): sets VTCR_EL2.HA.
/// AXAS_FEATURE_ARM_HAFDBS includes it. Without part `age`: AXAS_ERR_UNSUPPORTED at create.
pub const AXAS_FEATURE_ARM_HAF: u32 = 0x1000_u32;
/// FEAT_BBM level 2 without conflict aborts: a block may become a table in one store. With AXAS_IO it is declared
/// for each SMMU that walks the root too: SMMU_IDR3.BBML is 2 (SMMUv3; no SMMUv2 has it).
pub const AXAS_FEATURE_ARM_BBM2: u32 = 0x40_u32;
/// FEAT_VMID16: VMIDs up to 65535, sets VTCR_EL2.VS.
pub const AXAS_FEATURE_ARM_VMID16: u32 = 0x80_u32;
/// Svpbmt, and menvcfg.PBMTE is 1: see AXAS_NEEDS_MENVCFG_PBMTE.
pub const AXAS_FEATURE_RISCV_SVPBMT: u32 = 0x100_u32;
/// Svnapot: not used, AXAS_ERR_UNSUPPORTED at create. Leaves of 64 KiB are not made.
pub const AXAS_FEATURE_RISCV_SVNAPOT: u32 = 0x200_u32;
/// Svadu, and menvcfg.ADUE is 1: see AXAS_NEEDS_MENVCFG_ADUE.
pub const AXAS_FEATURE_RISCV_SVADU: u32 = 0x400_u32;
/// Svvptc: invalid entries that became valid need no fence.
pub const AXAS_FEATURE_RISCV_SVVPTC: u32 = 0x800_u32;
/// AXAS_IO: the IOMMU may keep invalid entries (VT-d: CAP_REG.CM or RWBF), so that new ones are flushed,
/// AXAS_FLUSH_NEW with AXAS_SCOPE_ALL. Without AXAS_IO this and the next three are AXAS_ERR_INVALID_INPUT.
pub const AXAS_FEATURE_IO_CACHES_INVALID: u32 = 0x4000_u32;
/// AXAS_IO: walks of the IOMMU and accesses of its devices snoop the CPUs' caches (VT-d: ECAP_REG.C and SC;
/// SMMUv3: SMMU_IDR0.COHACC; RISC-V: cache-coherent master), so that nothing is cleaned for them.
pub const AXAS_FEATURE_IO_COHERENT: u32 = 0x1_0000_u32;
/// AXAS_IO: walks of the IOMMU set accessed and dirty bits as those of CPUs do (VT-d: SSADE; SMMUv3: HTTU, S2HA
/// and S2HD; RISC-V: GADE), so that axas_age may be called. Without part `age`: AXAS_ERR_UNSUPPORTED at create.
pub const AXAS_FEATURE_IO_DIRTY: u32 = 0x8000_u32;
/// AXAS_IO: while an entry is temporarily invalid the devices stall (SMMUv3), do no DMA there, or their aborts
/// are harmless. AXAS_REPLACE is allowed then, and cuts of large pages on every format.
pub const AXAS_FEATURE_IO_FAULTS: u32 = 0x2_0000_u32;
/// Svrsw60t59b: hardware, with AXAS_IO the IOMMU too, ignores bits 60:59 of entries, which hold tags. Without
/// part `tags` it is AXAS_ERR_UNSUPPORTED at create.
pub const AXAS_FEATURE_RISCV_SVRSW60T59B: u32 = 0x2000_u32;

/// The host holds a lock of its own for every call: at least the class that the call's
/// documentation names. The library takes none, and AXAS_FAULT_RETRY never occurs.
pub const AXAS_CALLER_LOCKED: u32 = 0x1_u32;
/// Guest frames from alloc_frame are zero already.
pub const AXAS_FRAMES_ARE_ZEROED: u32 = 0x2_u32;
/// Guest frames are not zeroed, in the whole space: the guest and axas_read see what the frame held when
/// alloc_frame returned it, the memory of another guest included. For hosts that scrub every frame beforehand,
/// or use frames for one guest only. After axas_discard old contents may reappear.
pub const AXAS_NO_ZERO: u32 = 0x4_u32;
/// Page walkers do not snoop the caches: table lines are cleaned (clean_range) before they are
/// linked, and VTCR_EL2 asks for non-cacheable walks.
pub const AXAS_NONCOHERENT_WALK: u32 = 0x8_u32;
/// Calls return AXAS_ERR_AGAIN instead of waiting for the space.
pub const AXAS_NO_WAIT: u32 = 0x10_u32;
/// An IOMMU walks the root, alone or with CPUs. Part `io`; without it, and on NPT (AMD-Vi requires bits 58:52
/// zero, which the library uses): AXAS_ERR_UNSUPPORTED at create. tlb_flush covers IOTLBs and device TLBs:
/// docs/hal.md lists the commands for each IOMMU. AXAS_ERR_UNSUPPORTED at create: with AXAS_HAL_BUILTIN_FLUSH,
/// which covers none of these; without AXAS_FEATURE_IO_COHERENT and clean_range (a bare-metal AArch64 archive
/// needs no clean_range).
///
/// A device cannot allocate on a fault and may not retry. So whatever makes a page temporarily invalid that is
/// mapped before and after is AXAS_ERR_UNSUPPORTED, and changes nothing: AXAS_REPLACE; on Arm without
/// AXAS_FEATURE_ARM_BBM2 each call that cuts a page larger than 4 KiB (axas_unmap, axas_protect, axas_discard
/// with an end inside one), so map ranges that will be cut with AXAS_NO_HUGE or AXAS_MAX_2M.
/// AXAS_FEATURE_IO_FAULTS allows both. axas_map_alloc without AXAS_POPULATE is AXAS_ERR_UNSUPPORTED in any
/// case. Unless AXAS_FEATURE_IO_COHERENT, clean_range is called for each entry after it was written, and for
/// guest frames after they were zeroed. Added permissions raise AXAS_FLUSH_RELAX with AXAS_SCOPE_ALL, on every
/// format.
///
/// A fault raises requests of AXAS_SCOPE_LOCAL only, with AXAS_IO too: after axas_discard call axas_populate
/// before a device uses the pages again, even if a CPU has faulted them in.
pub const AXAS_IO: u32 = 0x20_u32;
/// Tables that an axas_unmap or an AXAS_REPLACE cuts and leaves empty stay for the next map of the same
/// addresses, which then takes no frame: for hosts that map and unmap single pages (grants, foreign pages).
/// Tables that lie wholly in the range of such a call are freed, as without the option. Kept tables count in
/// table_frames and table_quota, also while a call lacks memory; axas_collect, axas_clear and axas_destroy free
/// them. Every call treats them as a hole. An axas_map_alloc with AXAS_POPULATE that returns AXAS_ERR_NO_MEMORY
/// may have freed those that lie wholly in its range.
pub const AXAS_KEEP_TABLES: u32 = 0x40_u32;
/// No executable page of this space is larger than 4 KiB, whatever the order of calls: against machine checks
/// on a page size change (CVE-2018-12207, Intel's "iTLB multihit"). Maps take 4 KiB pages where AXAS_EXECUTE
/// is among the flags, so do faults and axas_populate in executable reservations; an axas_protect that would
/// make a larger page executable is AXAS_ERR_UNSUPPORTED.
pub const AXAS_SMALL_EXEC: u32 = 0x80_u32;
/// EPT: write-back pages are write-back whatever the guest's PAT (IPAT, bit 6 of their entries); not for spaces
/// with devices behind an IOMMU that does not snoop. Pages of another type still combine with the guest's.
/// Other formats have no such bit: AXAS_ERR_UNSUPPORTED at create; on Arm, AXAS_FEATURE_ARM_FWB does the same.
/// Source: Intel SDM vol. 3C, "EPT and Memory Typing".
pub const AXAS_IGNORE_GUEST_PAT: u32 = 0x100_u32;

/// HCR_EL2.FWB must be 1.
pub const AXAS_NEEDS_HCR_FWB: u32 = 0x1_u32;
/// VTCR_EL2.HA and HD are 1 in control_register.
pub const AXAS_NEEDS_VTCR_HA_HD: u32 = 0x2_u32;
/// EFER.NXE of the host must be 1.
pub const AXAS_NEEDS_EFER_NXE: u32 = 0x10_u32;
/// menvcfg.PBMTE must be 1 (henvcfg.PBMTE is for the guest's own tables). menvcfg is M-mode's and SBI has
/// no call for this bit: firmware sets it at boot. Source: RISC-V Privileged Architecture, menvcfg.
pub const AXAS_NEEDS_MENVCFG_PBMTE: u32 = 0x20_u32;
/// menvcfg.ADUE must be 1 (henvcfg.ADUE is for the guest's own tables). menvcfg is M-mode's: a host in HS
/// mode sets the bit through SBI FWFT, PTE_AD_HW_UPDATING. Source: RISC-V Privileged Architecture, menvcfg.
pub const AXAS_NEEDS_MENVCFG_ADUE: u32 = 0x40_u32;
/// HWU59 to HWU62 of VTCR_EL2 must be 0, as in control_register, FEAT_S2POE off, and S2HWU59 to S2HWU62 of an
/// SMMU that walks the root 0: tags are in bits 62:59 of entries, which hardware would use for these. With part
/// `tags`. Source: Arm ARM, VTCR_EL2, and "Page-Based Hardware attributes".
pub const AXAS_NEEDS_NO_PBHA: u32 = 0x80_u32;

/// The walk ended at an invalid entry.
pub const AXAS_KIND_TRANSLATION: u32 = 1_u32;
/// The entry does not allow the access.
pub const AXAS_KIND_PERMISSION: u32 = 2_u32;
/// The access flag of the entry is clear.
pub const AXAS_KIND_ACCESS_FLAG: u32 = 3_u32;
/// An address is wider than the hardware's. Not for axas_handle_page_fault.
pub const AXAS_KIND_ADDRESS_SIZE: u32 = 4_u32;
/// The entry has reserved bits set. Not for axas_handle_page_fault.
pub const AXAS_KIND_MISCONFIG: u32 = 5_u32;
/// The memory system refused: external abort, parity or ECC error, granule protection. Not for
/// axas_handle_page_fault.
pub const AXAS_KIND_EXTERNAL: u32 = 6_u32;
/// Not a second-stage fault, or one that does not depend on the second-stage tables. Not for axas_handle_page_fault.
pub const AXAS_KIND_OTHER: u32 = 7_u32;
/// The memory does not take atomic or exclusive accesses, or hardware updates of descriptors. Not for
/// axas_handle_page_fault.
pub const AXAS_KIND_ATOMIC: u32 = 8_u32;

/// axas_fault_t.gpa is valid.
pub const AXAS_VALID_GPA: u32 = 0x1_u32;
/// axas_fault_t.gva is valid.
pub const AXAS_VALID_GVA: u32 = 0x2_u32;
/// axas_fault_t.access is exact. Without it access is a guess: for a missing entry the least that the access
/// can have been (the rest faults again), for a forbidden one everything it can have been (so that
/// axas_handle_page_fault returns AXAS_FAULT_DENIED, not AXAS_FAULT_SPURIOUS for ever).
pub const AXAS_VALID_ACCESS: u32 = 0x4_u32;
/// The fault is of a walk of the guest's own page tables; gpa is the address of a guest table.
pub const AXAS_IS_TABLE_WALK: u32 = 0x8_u32;

/// A byte. A width is the number of bytes of one access to a device.
pub const AXAS_WIDTH_8: axas_width_t = 1_u32;
/// Two bytes.
pub const AXAS_WIDTH_16: axas_width_t = 2_u32;
/// Four bytes.
pub const AXAS_WIDTH_32: axas_width_t = 4_u32;
/// Eight bytes.
pub const AXAS_WIDTH_64: axas_width_t = 8_u32;

/// Bytes that axas_create_in needs. Further bytes become reader lines of the space's lock: AXAS_STORAGE_SIZE +
/// (n - 8) * 128 bytes give n lines, a power of two from 8 to 256.
pub const AXAS_STORAGE_SIZE: u32 = 3072_u32;
/// Alignment of the storage of axas_create_in.
pub const AXAS_STORAGE_ALIGN: u32 = 128_u32;
/// Regions that one arena takes; regions that continue the last one do not count.
pub const AXAS_ARENA_REGIONS: u32 = 16_u32;

/// Copies and scalars (axas_read, axas_write_u32, ...): ignore the guest's permissions.
pub const AXAS_ACCESS_HOST: u32 = 0x100_u32;
/// axas_write, axas_fill, axas_for_each_chunk: clean the caches afterwards (clean_range with
/// AXAS_FRAME_GUEST), for a guest that starts with its caches off and for code.
pub const AXAS_ACCESS_CLEAN: u32 = 0x200_u32;
/// axas_read, axas_read_u8 to axas_read_u64, axas_for_each_chunk: require AXAS_EXECUTE instead of AXAS_READ, as
/// an instruction fetch does.
pub const AXAS_ACCESS_EXECUTE: u32 = 0x400_u32;
