// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host whose table frames are loom's atomics, and which notices every access to a frame that is not
//! the library's, every frame that is lost and every wait inside a fault.

use core::cell::Cell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::NonNull;
use std::alloc::{Layout, alloc, dealloc};
use std::boxed::Box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::vec::Vec;

use crate::abi::*;
use crate::addr::Bits;
use crate::address_space::{AddressSpace, Verdict};
use crate::npt::arch::Format;
use crate::npt::entry::{Entry, Way};
use crate::npt::units::{ENTRIES, Level};
use crate::sync;

/// Bytes that an entry covers on each level of the model's tables.
pub(super) const PAGE: u64 = Level::PAGE.size();
pub(super) const LARGE: u64 = Level::LARGE.size();
pub(super) const HUGE: u64 = Level::LARGE.up().size();
/// Two of the four entries of the root.
pub(super) const SPACE: u64 = 2 * HUGE;

pub(super) const RW: u32 = AXAS_READ | AXAS_WRITE;
/// Host memory that is mapped in linear runs; the library has no business with what is in it.
pub(super) const LINEAR: u64 = 0x100_0000;

const FRAMES: usize = 64;
const FIRST_FRAME: u64 = 0x10_0000;
/// What a fresh table holds, as a table that points nowhere.
const RUBBISH: u64 = 0xdead_0003;
/// What the host writes to a table that came back, as a page that was never mapped.
const REUSED: u64 = FOREIGN | 0x4c3;
pub(super) const FOREIGN: u64 = 0xbad_0000;
/// What a guest's frame holds when the host hands it out: another guest's data.
pub(super) const SECRET: u64 = 0x5ec_2e70;

loom::thread_local! {
    static IN_FAULT: Cell<bool> = Cell::new(false);
    /// Windows that this CPU has open.
    static WINDOWS: Cell<usize> = Cell::new(0);
    /// This CPU had all others flushed since it began to evict.
    static HAS_FLUSHED: Cell<bool> = Cell::new(false);
}

/// One frame of 4 KiB.
struct Frame {
    /// Zero or the purpose it is taken for.
    purpose: AtomicUsize,
    windows: AtomicUsize,
    /// Written by taking and giving back, read by every window: loom fails unless these are ordered.
    tenancy: OnceLock<loom::cell::UnsafeCell<()>>,
}

pub(super) struct Machine {
    memory: *mut u8,
    frames: Vec<Frame>,
    /// Frames are not handed out twice.
    next: AtomicUsize,
    /// Allocations that still succeed. Loom's, so that others may run between any two; it orders nothing.
    pub(super) supply: loom::sync::atomic::AtomicUsize,
    /// Frames of more than one page are refused on this lane.
    pub(super) small_lane: AtomicU64,
    pub(super) on_flush: OnceLock<Box<dyn Fn()>>,
    reuses: bool,
    /// What the host answers when it is asked for a page.
    pub(super) answer: AtomicUsize,
    /// Pages that were evicted.
    pub(super) evicted: AtomicUsize,
}

// SAFETY: 1. all threads of a model run on one thread of the system; 2. what they share in tables is loom's.
unsafe impl Send for Machine {}
// SAFETY: as above.
unsafe impl Sync for Machine {}

impl Machine {
    fn new(reuses: bool) -> Self {
        let frame = |_| Frame {
            purpose: AtomicUsize::new(0),
            windows: AtomicUsize::new(0),
            tenancy: OnceLock::new(),
        };
        Self {
            // SAFETY: the layout has a size.
            memory: unsafe { alloc(layout()) },
            frames: (0..FRAMES).map(frame).collect(),
            next: AtomicUsize::new(0),
            supply: loom::sync::atomic::AtomicUsize::new(FRAMES),
            small_lane: AtomicU64::new(u64::MAX),
            on_flush: OnceLock::new(),
            reuses,
            answer: AtomicUsize::new(AXAS_RESOLVE_LATER as usize),
            evicted: AtomicUsize::new(0),
        }
    }

    /// A frame that the host brings.
    pub(super) fn bring(&self) -> u64 {
        self.take(0, AXAS_FRAME_GUEST)
    }

    /// It goes back: the library did not take it.
    pub(super) fn put_back(&self, frame: u64) {
        self.give(frame, 0, AXAS_FRAME_GUEST);
    }

    /// Frames that are taken for a purpose; a root is a table.
    pub(super) fn count(&self, purpose: u32) -> usize {
        let is_taken = |frame: &&Frame| {
            let taken = frame.purpose.load(Ordering::Relaxed) as u32;
            taken == purpose || purpose == AXAS_FRAME_TABLE && taken == AXAS_FRAME_ROOT
        };
        self.frames.iter().filter(is_taken).count()
    }

    pub(super) fn is_guest(&self, address: u64) -> bool {
        self.frame(address).purpose.load(Ordering::Relaxed) == AXAS_FRAME_GUEST as usize
    }

    fn frame(&self, address: u64) -> &Frame {
        let number = address.wrapping_sub(FIRST_FRAME) / PAGE;
        self.frames.get(number as usize).expect("a wild access")
    }

    pub(super) fn slots(&self, address: u64) -> *mut sync::AtomicU64 {
        self.memory.wrapping_add((address - FIRST_FRAME) as usize).cast()
    }

    fn take(&self, order: u32, purpose: u32) -> u64 {
        let pages = 1_usize << order;
        let refused =
            order > 0 && sync::chosen_lane() == Some(self.small_lane.load(Ordering::Relaxed));
        if refused {
            return AXAS_HPA_INVALID;
        }
        if self.supply.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.supply.fetch_add(1, Ordering::Relaxed);
            return AXAS_HPA_INVALID;
        }
        let first = self.next.load(Ordering::Relaxed).next_multiple_of(pages);
        assert!(first + pages <= FRAMES, "the model's host is too small");
        self.next.store(first + pages, Ordering::Relaxed);
        let address = FIRST_FRAME + first as u64 * PAGE;
        for frame in &self.frames[first..first + pages] {
            frame.purpose.store(purpose as usize, Ordering::Relaxed);
            assert!(frame.tenancy.set(loom::cell::UnsafeCell::new(())).is_ok());
        }
        if purpose != AXAS_FRAME_GUEST {
            assert_eq!(order, 0);
            for entry in 0..ENTRIES {
                let word = sync::AtomicU64::new(RUBBISH);
                // SAFETY: inside the frame, which is not handed out yet.
                unsafe { self.slots(address).add(entry).write(word) };
            }
        } else {
            for page in 0..pages as u64 {
                let word = sync::AtomicU64::new(SECRET);
                // SAFETY: as above.
                unsafe { self.slots(address + page * PAGE).write(word) };
            }
        }
        address
    }

    fn give(&self, address: u64, order: u32, purpose: u32) {
        for page in 0..1_u64 << order {
            let frame = self.frame(address + page * PAGE);
            let was = frame.purpose.swap(0, Ordering::Relaxed);
            assert_eq!(was, purpose as usize, "a frame is given back that was not taken");
            assert_eq!(frame.windows.load(Ordering::Relaxed), 0, "a table goes while it is read");
            frame.tenancy.get().expect("taken before").with_mut(|_| ());
        }
        if self.reuses && purpose != AXAS_FRAME_GUEST {
            for entry in 0..ENTRIES {
                // SAFETY: inside the frame, which held a table: its words are loom's.
                let word = unsafe { &*self.slots(address).add(entry) };
                word.store(REUSED, Ordering::Relaxed);
            }
        }
    }

    fn open(&self, address: u64) -> *mut c_void {
        let frame = self.frame(address);
        let purpose = frame.purpose.load(Ordering::Relaxed) as u32;
        let is_table = purpose == AXAS_FRAME_TABLE || purpose == AXAS_FRAME_ROOT;
        assert!(is_table, "a table is used that went back");
        frame.tenancy.get().expect("taken before").with(|_| ());
        frame.windows.fetch_add(1, Ordering::Relaxed);
        WINDOWS.with(|open| open.set(open.get() + 1));
        self.slots(address).cast()
    }

    fn close(&self, va: *mut c_void) {
        let address = FIRST_FRAME + (va.addr() - self.memory.addr()) as u64;
        let frame = self.frame(address);
        frame.tenancy.get().expect("taken before").with(|_| ());
        frame.windows.fetch_sub(1, Ordering::Relaxed);
        WINDOWS.with(|open| open.set(open.get() - 1));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // SAFETY: from `alloc` with this layout.
        unsafe { dealloc(self.memory, layout()) };
    }
}

fn layout() -> Layout {
    Layout::from_size_align(FRAMES * PAGE as usize, PAGE as usize).expect("a layout")
}

/// The machine behind a callback's context.
fn machine<'a>(ctx: *mut c_void) -> &'a Machine {
    // SAFETY: every space of a model is created with its machine, which outlives it.
    unsafe { &*ctx.cast::<Machine>() }
}

extern "C" fn alloc_frame(ctx: *mut c_void, order: u32, purpose: u32) -> u64 {
    machine(ctx).take(order, purpose)
}

extern "C" fn dealloc_frame(ctx: *mut c_void, frame: u64, order: u32, purpose: u32) {
    machine(ctx).give(frame, order, purpose);
}

extern "C" fn phys_to_virt(ctx: *mut c_void, address: u64, _bytes: usize) -> *mut c_void {
    machine(ctx).open(address)
}

extern "C" fn release_virt(ctx: *mut c_void, va: *mut c_void, _bytes: usize) {
    machine(ctx).close(va);
}

extern "C" fn tlb_flush(ctx: *mut c_void, request: *const axas_tlb_request_t) {
    // SAFETY: the library's, good during the call.
    let request = unsafe { &*request };
    if IN_FAULT.with(Cell::get) {
        assert_eq!(request.scope, AXAS_SCOPE_LOCAL, "a fault waits for other CPUs");
        return;
    }
    HAS_FLUSHED.with(|flag| flag.set(true));
    if let Some(on_flush) = machine(ctx).on_flush.get() {
        on_flush();
    }
}

extern "C" fn resolve(
    ctx: *mut c_void,
    _provider: u32,
    _gpa: u64,
    _access: u32,
    answer: *mut axas_supply_t,
) -> u32 {
    assert_eq!(WINDOWS.with(Cell::get), 0, "a window is open while the host is asked");
    let how = machine(ctx).answer.load(Ordering::Relaxed) as u32;
    // SAFETY: the library's, good during the call.
    let answer = unsafe { &mut *answer };
    answer.hpa = if how == AXAS_RESOLVE_GIVEN { machine(ctx).bring() } else { LINEAR };
    how
}

extern "C" fn evicted(ctx: *mut c_void, run: *const axas_mapping_t, _dirty: u32) -> u32 {
    // SAFETY: the library's, good during the call.
    let pages = unsafe { (*run).size } / PAGE;
    assert!(HAS_FLUSHED.with(Cell::get), "a page is reported that a CPU may still write to");
    machine(ctx).evicted.fetch_add(pages as usize, Ordering::Relaxed);
    0
}

extern "C" fn relax(_ctx: *mut c_void) {
    assert!(!IN_FAULT.with(Cell::get), "a fault waits for the lock");
    loom::thread::yield_now();
}

/// The word that a page of a guest's frame holds.
pub(super) fn word_of(page: *mut u8) -> u64 {
    // SAFETY: `take` put a word of loom's into each page of a guest's frame.
    unsafe { &*page.cast::<sync::AtomicU64>() }.load(Ordering::Relaxed)
}

/// Writes that word.
pub(super) fn set_word_of(page: *mut u8, word: u64) {
    // SAFETY: as above.
    unsafe { &*page.cast::<sync::AtomicU64>() }.store(word, Ordering::Relaxed);
}

#[repr(align(128))]
struct Storage(#[allow(dead_code)] MaybeUninit<[u8; AXAS_STORAGE_SIZE as usize]>);

/// A space and its host, for as many threads as hold it.
pub(super) struct World {
    space: NonNull<AddressSpace>,
    _storage: Box<Storage>,
    pub(super) machine: Arc<Machine>,
}

// SAFETY: 1. a space is made for many threads; 2. so is the machine.
unsafe impl Send for World {}
// SAFETY: as above.
unsafe impl Sync for World {}

impl World {
    /// Every access to a table goes through a window, which the host watches.
    pub(super) fn watched(features: u32) -> Arc<Self> {
        Self::new(features, 0, AXAS_NO_ZERO)
    }

    /// Tables stay readable: the host writes to those that come back.
    pub(super) fn readable(features: u32) -> Arc<Self> {
        let flags = AXAS_HAL_DIRECT_MAP | AXAS_HAL_TABLES_STAY_READABLE;
        Self::new(features, flags, AXAS_NO_ZERO)
    }

    /// Guest frames hold [`SECRET`] until they are zeroed, and copies go through the direct map.
    pub(super) fn with_contents() -> Arc<Self> {
        Self::new(0, AXAS_HAL_DIRECT_MAP | AXAS_HAL_DIRECT_MAP_LINEAR, 0)
    }

    /// As [`World::watched`] without windows, so that faults take the short way; copies go through the direct map.
    pub(super) fn direct() -> Arc<Self> {
        Self::new(0, AXAS_HAL_DIRECT_MAP | AXAS_HAL_DIRECT_MAP_LINEAR, AXAS_NO_ZERO)
    }

    /// Tables of NPT, whose walks mark the entries that they use.
    pub(super) fn nested() -> Arc<Self> {
        Self::with_format(AXAS_FORMAT_NPT, 4, 0, 0, AXAS_NO_ZERO)
    }

    /// The host has a lock of its own, which those who look share with faults.
    pub(super) fn locked_by_host() -> Arc<Self> {
        Self::new(0, 0, AXAS_NO_ZERO | AXAS_CALLER_LOCKED)
    }

    fn new(features: u32, flags: u32, options: u32) -> Arc<Self> {
        Self::with_format(AXAS_FORMAT_ARM_S2, 3, features, flags, options)
    }

    fn with_format(format: u32, levels: u32, features: u32, flags: u32, options: u32) -> Arc<Self> {
        let machine = Arc::new(Machine::new(flags & AXAS_HAL_TABLES_STAY_READABLE != 0));
        let hal = axas_hal_t {
            struct_size: size_of::<axas_hal_t>() as u32,
            flags,
            ctx: Arc::as_ptr(&machine).cast_mut().cast(),
            alloc_frame: Some(alloc_frame),
            dealloc_frame: Some(dealloc_frame),
            phys_to_virt: (flags == 0).then_some(phys_to_virt as _),
            release_virt: (flags == 0).then_some(release_virt as _),
            direct_map_offset: (machine.memory.addr() as u64).wrapping_sub(FIRST_FRAME),
            tlb_flush: Some(tlb_flush),
            clean_range: None,
            should_yield: None,
            relax: Some(relax),
            released: None,
            arena: std::ptr::null_mut(),
            may_move: None,
            resolve: Some(resolve),
            evicted: Some(evicted),
        };
        let config = axas_config_t {
            struct_size: size_of::<axas_config_t>() as u32,
            format,
            levels,
            size: SPACE,
            features,
            options,
            ..axas_config_t::default()
        };
        let mut storage = Box::new(Storage(MaybeUninit::uninit()));
        let place = (&raw mut *storage).cast::<u8>();
        // SAFETY: the storage is the space's from here on and lives as long as the world does.
        let space = unsafe { AddressSpace::create_in(place, size_of::<Storage>(), &config, &hal) };
        Arc::new(Self { space: space.expect("a space"), _storage: storage, machine })
    }

    /// A guest's access that faults.
    pub(super) fn fault(&self, gpa: u64, access: u32) -> Verdict {
        IN_FAULT.with(|flag| flag.set(true));
        let verdict = self.page_fault(gpa, access);
        IN_FAULT.with(|flag| flag.set(false));
        verdict
    }

    /// Takes the pages of a range away.
    pub(super) fn evict_pages(&self, gpa: u64, size: u64) {
        HAS_FLUSHED.with(|flag| flag.set(false));
        self.evict(gpa, size, 1).expect("evicted");
    }

    /// Where an address is, and that this is a frame which the guest has.
    pub(super) fn frame_at(&self, gpa: u64) -> u64 {
        let (hpa, _) = self.translate(gpa).expect("mapped");
        assert!(self.machine.is_guest(hpa), "mapped to a frame that is not the guest's");
        hpa
    }

    /// What a guest reads in the page at an address.
    pub(super) fn guest_word(&self, gpa: u64) -> u64 {
        word_of(self.machine.slots(self.frame_at(gpa)).cast())
    }

    /// The entry of a level for address 0.
    pub(super) fn slot<F: Format>(&self, level: Level) -> &sync::AtomicU64 {
        let mut at = Level::new(self.levels());
        let mut table = self.root();
        loop {
            // SAFETY: the first word of a table.
            let slot = unsafe { &*self.machine.slots(table) };
            if at == level {
                return slot;
            }
            let entry = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
            match entry.way(at.get()) {
                Way::Down(below) => table = below.bits(),
                other => panic!("{other:?}"),
            }
            at = at.down();
        }
    }

    /// Checks the books with all threads gone, then ends the space.
    pub(super) fn close(self: Arc<Self>) {
        assert_eq!(self.audit(), Ok(()), "tables and counters disagree");
        let stats = self.stats().expect("counters");
        let (tables, guest) =
            (self.machine.count(AXAS_FRAME_TABLE), self.machine.count(AXAS_FRAME_GUEST));
        let held = stats.frames_allocated - stats.frames_released;
        assert_eq!(stats.table_frames, tables as u64, "tables lost");
        assert_eq!(stats.guest_frames, guest as u64, "guest frames lost");
        assert_eq!(held, (tables + guest) as u64, "frames out are not frames in");
        // SAFETY: the threads have been joined, no other code has the space.
        unsafe { AddressSpace::destroy(self.space) };
        assert_eq!(self.machine.count(AXAS_FRAME_TABLE), 0, "tables lost");
        assert_eq!(self.machine.count(AXAS_FRAME_GUEST), 0, "guest frames lost");
    }
}

impl Deref for World {
    type Target = AddressSpace;

    fn deref(&self) -> &AddressSpace {
        // SAFETY: live until `close`, which takes the world.
        unsafe { self.space.as_ref() }
    }
}
