// SPDX-License-Identifier: MIT OR Apache-2.0
use core::ffi::{c_char, c_void};

/// Guest-physical address, in bytes.
pub type axas_gpa_t = u64;
/// Host-physical address, in bytes, as page tables hold it: where the host encrypts memory (AMD SME) it
/// includes the C-bit, in what alloc_frame returns and in what is mapped. Then every address that the library
/// returns has it, root and nCR3 included; pa_bits cover it.
pub type axas_hpa_t = u64;
/// AXAS_OK (0) or a negative AXAS_ERR_ value.
pub type axas_status_t = i32;
/// Permissions, memory type and options: AXAS_READ and the values that follow it.
pub type axas_flags_t = u32;
/// Verdict of axas_handle_page_fault: AXAS_FAULT_RESOLVED and the values that follow it.
pub type axas_fault_result_t = u32;
/// Bytes of one access to a device: AXAS_WIDTH_8 and the values that follow it.
pub type axas_width_t = u32;

/// Allocates a naturally aligned frame of `4096 << order` bytes.
///
/// Order 0 unless the root needs more (RISC-V: 2, concatenated Arm roots: 1 to 4) or the space uses
/// AXAS_HUGE_FRAMES (9, 18). `purpose` is AXAS_FRAME_TABLE, AXAS_FRAME_ROOT or AXAS_FRAME_GUEST;
/// axas_frame_alloc passes on the order it was given, with AXAS_FRAME_HOST. Returns the frame's address or
/// AXAS_HPA_INVALID. An unaligned address or one above pa_bits is given back and reported as
/// AXAS_ERR_BAD_STATE (in a fault: AXAS_FAULT_NO_MEMORY).
pub type axas_alloc_frame_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, order: u32, purpose: u32) -> axas_hpa_t>;
/// Frees a frame. Guest frames may come back in naturally aligned pieces of any order up to 18, each byte once;
/// all others as they were allocated.
pub type axas_dealloc_frame_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, frame: axas_hpa_t, order: u32, purpose: u32)>;
/// Returns a pointer to `size` bytes at `pa`, readable and writable by this CPU. Must succeed for every frame
/// from alloc_frame; null for another address means that the host cannot reach it.
pub type axas_phys_to_virt_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, pa: axas_hpa_t, size: usize) -> *mut c_void>;
/// Closes a window that phys_to_virt opened. With it phys_to_virt hands out windows: of at most
/// 4096 bytes inside one page, at most levels + 2 open at once, closed in reverse order on the CPU
/// that opened them, none open across another callback but alloc_frame, dealloc_frame,
/// phys_to_virt and clean_range, none after the call returned.
pub type axas_release_virt_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, va: *mut c_void, size: usize)>;
/// Invalidates translations; returns when no CPU (and no IOMMU that is given the same pages) that the request
/// concerns uses them any more. Nothing is freed before it has returned.
///
/// With AXAS_IO, AXAS_SCOPE_ALL includes IOTLBs, device TLBs (ATS), and DMA under way. SMMUv2: TLBIIPAS2 or
/// TLBIVMID, TLBSYNC. SMMUv3: CMD_TLBI_S2_IPA or CMD_TLBI_S12_VMALL, CMD_SYNC, then CMD_ATC_INV, CMD_SYNC.
/// VT-d: IOTLB invalidation with drains, then device-TLB invalidation, invalidation wait. RISC-V:
/// IOTINVAL.GVMA, IOFENCE.C with PR and PW, then ATS.INVAL, IOFENCE.C. docs/hal.md has the details. AMD-Vi
/// cannot walk an NPT root.
pub type axas_tlb_flush_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, request: *const axas_tlb_request_t)>;
/// Cleans data caches over a range. AXAS_FRAME_TABLE: only with AXAS_NONCOHERENT_WALK, or AXAS_IO without
/// AXAS_FEATURE_IO_COHERENT: each line written to a table or root, before it is linked. AXAS_FRAME_GUEST:
/// frames that the library zeroed, before they are mapped, on AArch64 without FWB, for anything mapped
/// UNCACHED or DEVICE, and with AXAS_IO without AXAS_FEATURE_IO_COHERENT
/// (clean and invalidate to the point of coherency; instruction cache where executable).
pub type axas_clean_range_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, va: *mut c_void, size: usize, purpose: u32)>;
/// Nonzero when a budgeted call should return early.
pub type axas_should_yield_fn = Option<unsafe extern "C" fn(ctx: *mut c_void) -> u32>;
/// Called repeatedly while a call waits for the space's lock: a CPU pause, or the host's IPI polling.
pub type axas_relax_fn = Option<unsafe extern "C" fn(ctx: *mut c_void)>;
/// Called after the flush for each run of linear pages that is no longer mapped, as it was mapped: by
/// axas_unmap, axas_clear, axas_destroy, and by calls with AXAS_REPLACE for what they replaced. A page that
/// such a call maps again to the same frame at the same guest-physical address is not reported, even if its
/// permissions or type changed: the host keeps its reference. The same frame at another address of the range is
/// reported: take references of the new mapping before the call.
///
/// A run is contiguous in guest and host memory, of one level (axas_mapping_t.level), one memory type and one
/// set of permissions; runs come in the order of addresses. Not called for the library's frames, which go to
/// dealloc_frame, nor by axas_protect and axas_discard. The space's lock is held meanwhile.
pub type axas_released_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, run: *const axas_mapping_t)>;
/// Nonzero when axas_merge with AXAS_MERGE_COPY may move the page at `gpa`, which is in frame `hpa`, to another
/// frame; 0 when a device or the host itself uses the frame's address. Runs with the space's lock held; the
/// answer must hold until axas_merge returns. Part `merge`.
pub type axas_may_move_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, gpa: axas_gpa_t, hpa: axas_hpa_t) -> u32>;
/// Asks for the page of a region of axas_map_provider that an access needs; returns AXAS_RESOLVE_LATER or a
/// value that follows it. Part `provider`.
///
/// `gpa` is the page's address. `access` is what the guest did, or what a copy needs; 0: axas_populate, or a
/// copy with AXAS_ACCESS_HOST. On entry `answer` has the hpa AXAS_HPA_INVALID, size 4096, and the region's
/// flags, with AXAS_NO_HUGE or AXAS_MAX_2M where no larger page fits. AXAS_RESOLVE_NOW and AXAS_RESOLVE_GIVEN:
/// the host stores the frame's address in hpa, and its size (4096, 2 MiB or 1 GiB) if the frame is for the
/// whole aligned piece of that size around the page. AXAS_RESOLVE_ALLOC: size is the largest frame to ask
/// alloc_frame for, at most 2 MiB. The host may remove permissions from flags; tag and memory type must stay.
///
/// An unusable answer is AXAS_FAULT_NO_MEMORY: an unknown value, an address that is unaligned or above pa_bits,
/// a size that does not fit there, flags that were not set on entry. A frame of AXAS_RESOLVE_GIVEN is the
/// library's in every case: if it is not installed, for lack of a table or because another CPU was first, it
/// goes to dealloc_frame. A frame of AXAS_RESOLVE_NOW that is not installed stays the host's, and the host is
/// not told.
///
/// Runs in a fault, with the lock held shared and no window open; it must not wait. Several CPUs may ask for
/// one page at a time, and each again until it is there: the library keeps no record of questions. A null
/// resolve counts as AXAS_RESOLVE_LATER.
pub type axas_resolve_fn = Option<
    unsafe extern "C" fn(
        ctx: *mut c_void,
        provider: u32,
        gpa: axas_gpa_t,
        access: u32,
        answer: *mut axas_supply_t,
    ) -> u32,
>;
/// Called by axas_evict after the flush, for each run of pages that it unmapped: the guest cannot write to them
/// any more. Part `provider`.
///
/// A run is pages side by side in guest and host memory, of one level, state (AXAS_STATE_LINEAR or
/// AXAS_STATE_OWNED) and set of flags, all of them dirty or all clean. `dirty` is nonzero if they were written
/// since they were last made clean, and where writes are not logged. For a run of AXAS_STATE_OWNED a nonzero
/// return value means that the host keeps the frames, which are its own from then on; after 0 they go to
/// dealloc_frame. For AXAS_STATE_LINEAR the return value is ignored and `released` is called next. Runs with
/// the space's lock held exclusively and no window open.
pub type axas_evicted_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, run: *const axas_mapping_t, dirty: u32) -> u32>;
/// Receives a message: level 1 (error) to 5 (trace), `target` and `text` NUL-terminated and valid during the
/// call only. May run with the space's lock held; may call no axas_ function.
pub type axas_log_fn = Option<
    unsafe extern "C" fn(ctx: *mut c_void, level: u32, target: *const c_char, text: *const c_char),
>;
/// Receives a piece of text of `bytes` bytes, not NUL-terminated.
pub type axas_write_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, text: *const c_char, bytes: usize)>;
/// Receives `bytes` bytes of guest memory at `gpa`, reachable at `host` during the call only; returns 0 to stop.
pub type axas_chunk_fn = Option<
    unsafe extern "C" fn(ctx: *mut c_void, gpa: axas_gpa_t, host: *mut c_void, bytes: usize) -> u32,
>;
/// Receives one run of pages of equal state; returns 0 to stop.
pub type axas_run_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, run: *const axas_mapping_t) -> u32>;

/// What tlb_flush is asked to do.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct axas_tlb_request_t {
    /// First guest-physical address, a multiple of 4096.
    pub gpa: axas_gpa_t,
    /// Bytes from gpa, a multiple of 4096.
    pub size: u64,
    /// axas_config_t.vmid of the space.
    pub vmid: u32,
    /// Level of the leaves: 1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB, 0 = mixed.
    pub level: u32,
    /// Nonzero when entries that pointed to tables changed: walk caches must go too.
    pub tables_removed: u32,
    /// AXAS_FLUSH_UNMAP and the values that follow it.
    pub reason: u32,
    /// AXAS_SCOPE_ALL or AXAS_SCOPE_LOCAL.
    pub scope: u32,
    /// Zero.
    pub reserved: u32,
}

/// The host's callbacks. Copied at create; per address space.
///
/// A shorter struct_size or a null member means "not supplied"; a larger one is accepted if the rest
/// is zero. Callbacks return normally (no longjmp) and may not call any axas_ function on any
/// space; they may be called on every CPU that calls the library, at the same time.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct axas_hal_t {
    /// sizeof(axas_hal_t).
    pub struct_size: u32,
    /// AXAS_HAL_DIRECT_MAP and the values that follow it.
    pub flags: u32,
    /// Passed to every callback.
    pub ctx: *mut c_void,
    /// Required.
    pub alloc_frame: axas_alloc_frame_fn,
    /// Required.
    pub dealloc_frame: axas_dealloc_frame_fn,
    /// Required unless AXAS_HAL_DIRECT_MAP.
    pub phys_to_virt: axas_phys_to_virt_fn,
    /// Optional: phys_to_virt hands out windows. axas_create is then AXAS_ERR_UNSUPPORTED, but not with
    /// `arena`, whose frames have no windows.
    pub release_virt: axas_release_virt_fn,
    /// With AXAS_HAL_DIRECT_MAP: virtual minus physical address, mod 2^64; minus the C-bit too, where addresses
    /// have it (AMD SME).
    pub direct_map_offset: u64,
    /// Required unless AXAS_HAL_BUILTIN_FLUSH.
    pub tlb_flush: axas_tlb_flush_fn,
    /// Optional.
    pub clean_range: axas_clean_range_fn,
    /// Optional; polled by budgeted calls only.
    pub should_yield: axas_should_yield_fn,
    /// Optional.
    pub relax: axas_relax_fn,
    /// Optional; AXAS_ERR_UNSUPPORTED at create where the archive was built without AXAS_PART_RELEASED.
    pub released: axas_released_fn,
    /// Optional: the arena that allocates, frees and maps frames with AXAS_FRAME_TABLE and AXAS_FRAME_ROOT, in
    /// place of the callbacks above: axas_arena_hal_tables.
    pub arena: *mut axas_arena_t,
    /// Optional; for AXAS_MERGE_COPY only (part `merge`). Null: all pages may be moved.
    pub may_move: axas_may_move_fn,
    /// Optional (part `provider`).
    pub resolve: axas_resolve_fn,
    /// Optional (part `provider`).
    pub evicted: axas_evicted_fn,
}

/// Configuration of a space. Zero is the default of each member but size.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct axas_config_t {
    /// sizeof(axas_config_t).
    pub struct_size: u32,
    /// AXAS_FORMAT_NATIVE and the values that follow it.
    pub format: u32,
    /// Levels of tables: EPT and NPT 4 or 5 (NPT: those of the host), Arm 3 or 4, RISC-V 3, 4 or 5.
    /// 0 = the smallest of these that covers the space; for NPT on bare metal CR4 is read, at
    /// privilege level 0.
    pub levels: u32,
    /// Width of host-physical addresses. 0 = what the CPU reports on bare metal, else 48 (EPT, NPT), 40 (Arm),
    /// 56 (RISC-V). On Arm at most 56, the widest that PARange reports, and rounded down to a size that pages
    /// of 4 KiB have without LPA2: 32, 36, 40, 42, 44 or 48.
    pub pa_bits: u32,
    /// First guest-physical address of the space, a multiple of 4096.
    pub base: axas_gpa_t,
    /// Bytes, a multiple of 4096, not 0.
    pub size: u64,
    /// VMID (Arm: up to 255, with AXAS_FEATURE_ARM_VMID16 65535; RISC-V: up to 16383), or a number that TLB
    /// requests pass to the host (EPT, NPT). No TLB may hold translations of it. 0 is valid, unless the host's
    /// own software runs at EL1 or in VS mode with it.
    pub vmid: u32,
    /// AXAS_FEATURE_ bits that the CPUs have and the host enabled.
    pub features: u32,
    /// AXAS_CALLER_LOCKED and the values that follow it.
    pub options: u32,
    /// Most table frames at any time, all frames of the root included. 0 = no limit.
    pub table_quota: u32,
    /// Width of guest-physical addresses. 0 = the smallest that covers the space.
    pub gpa_bits: u32,
    /// Zero.
    pub reserved: u32,
}

/// What to load into the hardware.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct axas_hw_regs_t {
    /// AXAS_FORMAT_ value, never AXAS_FORMAT_NATIVE.
    pub format: u32,
    /// Levels of tables.
    pub levels: u32,
    /// The root table.
    pub root: axas_hpa_t,
    /// EPTP; nCR3; VTTBR_EL2 with the VMID; hgatp.
    pub root_register: u64,
    /// VTCR_EL2; 0 elsewhere.
    pub control_register: u64,
    /// Width of guest-physical addresses that the root translates.
    pub gpa_bits: u32,
    /// Width of host-physical addresses.
    pub pa_bits: u32,
    /// Bytes of the root: 4096 times 1 to 16.
    pub root_bytes: u32,
    /// AXAS_NEEDS_ bits: what the host must enable for these entries. What must be off: see AXAS_FORMAT_EPT and
    /// AXAS_FORMAT_NPT.
    pub required_state: u32,
    /// Zero.
    pub reserved: [u64; 4],
}

/// A piece of host-physical memory.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct axas_extent_t {
    /// First address, a multiple of 4096.
    pub hpa: axas_hpa_t,
    /// Bytes, a multiple of 4096, not 0.
    pub size: u64,
}

/// What axas_transfer does.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct axas_transfer_t {
    /// sizeof(axas_transfer_t).
    pub struct_size: u32,
    /// AXAS_GIVE, AXAS_LEND, AXAS_SHARE or AXAS_TAKE_BACK.
    pub action: u32,
    /// AXAS_SHARE, AXAS_TAKE_BACK: the permissions that pages of `from` have afterwards; none: unchanged. With
    /// every action also the tag (AXAS_TAG_MASK) that its pages, or the note, have afterwards.
    pub from_flags: axas_flags_t,
    /// AXAS_GIVE, AXAS_LEND, AXAS_SHARE: the permissions of the space `to`, at least one, and the tag of its
    /// pages. Else 0.
    pub to_flags: axas_flags_t,
    /// The tags that pages of `from` may have: bit n for tag n; 0: any.
    pub from_tags: u32,
    /// The tags that notes or pages of `to` may have, in the same way.
    pub to_tags: u32,
    /// AXAS_GIVE: the value of the note that is left; 0: none is. Else 0.
    pub note: u32,
    /// AXAS_WIPE or 0; not with AXAS_SHARE.
    pub options: u32,
}

/// The answer of resolve: a frame for the page.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct axas_supply_t {
    /// Host-physical address, a multiple of size.
    pub hpa: axas_hpa_t,
    /// 4096, 2 MiB or 1 GiB.
    pub size: u64,
    /// Permissions of the pages.
    pub flags: axas_flags_t,
    /// Zero.
    pub reserved: u32,
}

/// A run of pages of one state.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct axas_mapping_t {
    /// First guest-physical address.
    pub gpa: axas_gpa_t,
    /// Bytes.
    pub size: u64,
    /// Host-physical address of gpa, AXAS_HPA_INVALID where there is none.
    pub hpa: axas_hpa_t,
    /// Cookie of a trap, value of a note, number of a provider, else 0.
    pub cookie: u64,
    /// Permissions and memory type; of a reservation also AXAS_HUGE_FRAMES, AXAS_MAX_2M and AXAS_SKIP_ZERO, of
    /// a provider's pages AXAS_NO_HUGE or AXAS_MAX_2M.
    pub flags: axas_flags_t,
    /// AXAS_STATE_ABSENT and the values that follow it.
    pub state: u32,
    /// Of AXAS_STATE_LINEAR, AXAS_STATE_OWNED and AXAS_STATE_HIDDEN, the level of the leaves: 1 = 4 KiB, 2 = 2
    /// MiB, 3 = 1 GiB. 0 in a run of axas_for_each whose leaves differ in that, and in every other state.
    pub level: u32,
    /// Zero.
    pub reserved0: u32,
    /// Zero.
    pub reserved: [u64; 2],
}

/// Counters of a space.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct axas_stats_t {
    /// Frames of page tables now, all frames of the root included, in units of 4 KiB.
    pub table_frames: u64,
    /// Frames of the guest that the library owns now, in units of 4 KiB.
    pub guest_frames: u64,
    /// Leaves of 4 KiB now.
    pub mapped_4k: u64,
    /// Leaves of 2 MiB now.
    pub mapped_2m: u64,
    /// Leaves of 1 GiB now.
    pub mapped_1g: u64,
    /// Verdicts AXAS_FAULT_RESOLVED since create, pages that the copies (axas_read, ...) allocated included.
    pub faults_resolved: u64,
    /// Verdicts AXAS_FAULT_SPURIOUS since create.
    pub faults_spurious: u64,
    /// Verdicts AXAS_FAULT_RETRY since create.
    pub faults_retry: u64,
    /// Verdicts AXAS_FAULT_TRAP since create.
    pub faults_trap: u64,
    /// Verdicts AXAS_FAULT_UNMAPPED since create.
    pub faults_unmapped: u64,
    /// Verdicts AXAS_FAULT_DENIED and AXAS_FAULT_HIDDEN since create.
    pub faults_denied: u64,
    /// Verdicts AXAS_FAULT_NO_MEMORY since create.
    pub faults_no_memory: u64,
    /// Verdicts AXAS_FAULT_ERROR since create (a null handle has no counter).
    pub faults_error: u64,
    /// Requests to tlb_flush or the built-in flush since create.
    pub tlb_requests: u64,
    /// Frames that alloc_frame returned since create, in units of 4 KiB: tables, root and handle, memory of the
    /// guest, and unusable ones, which were freed; and those given to the library (AXAS_RESOLVE_GIVEN). Not
    /// those of axas_frame_alloc, which belong to no space.
    pub frames_allocated: u64,
    /// Frames passed to dealloc_frame since create, or kept by the host (evicted), in units of 4 KiB. The
    /// difference is held: table_frames, guest_frames, and one for the handle of axas_create.
    pub frames_released: u64,
    /// Verdicts AXAS_FAULT_WAIT since create (part `provider`).
    pub faults_wait: u64,
    /// Verdicts AXAS_FAULT_RESOLVED since create that took no frame from alloc_frame: a clean page was made
    /// dirty, an old one young, a page unhidden, or a page of a provider installed (parts `dirty`, `age`,
    /// `hide`, `provider`).
    pub faults_marked: u64,
    /// Leaves made clean since create, in units of 4 KiB (part `dirty`).
    pub pages_cleaned: u64,
    /// Huge pages split since create to be made clean in parts (part `dirty`).
    pub splits: u64,
    /// Tables that axas_merge replaced by one entry since create (part `merge`).
    pub merges: u64,
    /// Zero.
    pub reserved: [u64; 3],
}

/// A guest's abort, decoded.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct axas_fault_t {
    /// Guest-physical address; 0 without AXAS_VALID_GPA.
    pub gpa: axas_gpa_t,
    /// Guest-virtual address; 0 without AXAS_VALID_GVA.
    pub gva: u64,
    /// AXAS_READ, AXAS_WRITE, AXAS_EXECUTE, never 0: for axas_handle_page_fault. See AXAS_VALID_ACCESS.
    pub access: u32,
    /// AXAS_KIND_TRANSLATION and the values that follow it.
    pub kind: u32,
    /// AXAS_VALID_ bits and AXAS_IS_TABLE_WALK.
    pub valid: u32,
    /// Level of the walk at which it failed, 1 = the level of 4 KiB pages; 0 = not known.
    pub level: u32,
    /// Zero.
    pub reserved: [u64; 2],
}

/// Memory-mapped registers of a device: axas_mmio_range.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct axas_mmio_range_t {
    /// First guest-physical address.
    pub gpa: axas_gpa_t,
    /// Bytes, not 0; gpa + size is at most 2^64.
    pub size: u64,
}

/// I/O ports of a device: axas_port_range.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct axas_port_range_t {
    /// First port.
    pub first: u16,
    /// Last port, included; not below first.
    pub last: u16,
}

/// System registers of a device: axas_sysreg_range.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct axas_sysreg_range_t {
    /// First encoding.
    pub first: u32,
    /// Last encoding, included; not below first.
    pub last: u32,
}

/// A frame for the host's own use: axas_frame_alloc. All zero: no frame.
///
/// Members are read-only. A copy names the same frame.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct axas_frame_t {
    /// Host-physical address, a multiple of bytes; not used while bytes is 0.
    pub hpa: axas_hpa_t,
    /// 4096 << order, or 0: no frame.
    pub bytes: u64,
    /// Order, 0 to 18.
    pub order: u32,
    /// Zero.
    pub reserved: u32,
}

/// A frame allocator of the library over memory that the host supplies: axas_arena_init.
#[repr(C)]
pub struct axas_arena_t {
    /// Not for the host.
    pub opaque: [u64; 64],
}
