// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host that distrusts the library: it knows of every frame who has it, poisons what it gives and
//! what comes back, refuses frames on command, and keeps the translations that another CPU might have.
//!
//! What it sees going wrong it writes down ([`Host::violations`]) instead of stopping in a callback.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::ffi::c_void;

use axaddrspace::abi::*;

const FRAME: u64 = 4096;
const FRAMES: usize = 32 * 1024;
/// Where the host's frames begin: aligned for every order, below the narrowest width in use.
const FIRST: u64 = 1 << 37;
/// Valid in every format, should somebody take it for an entry.
const POISON: u64 = 0xdead_beef_dead_beef;
/// Frames of 2 MiB come from the host's upper half, so that single ones do not break them up.
const HUGE_ORDER: u32 = 9;

/// How the library reaches frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By an offset.
    Direct,
    /// By an offset, and tables that went back can still be read: some calls take no lock.
    Readable,
    /// By a callback that checks whose frame it is.
    Callback,
    /// By windows that must be closed again.
    Windows,
}

/// Which frames of a call the host refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// None that it has.
    Nothing,
    /// The one with this number.
    Only(u32),
    /// Those from this number on.
    From(u32),
    /// All that are larger than 4 KiB.
    Huge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Free,
    /// The first page of a table's frame, with its order and purpose.
    Table(u32, u32),
    /// A later page of one.
    TableRest,
    Guest,
}

/// A translation as a CPU has it in its TLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached {
    pub hpa: u64,
    pub flags: u32,
}

/// What the library did in one call.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Orders of the frames that were refused.
    pub refused: Vec<u32>,
    pub requests: u32,
    pub flushes: Vec<axas_tlb_request_t>,
    pub released: Vec<axas_mapping_t>,
    /// Frames that came back before any flush.
    pub given_before_flush: u32,
}

struct State {
    memory: Vec<u64>,
    frames: Vec<Frame>,
    lowest_free: usize,
    live: (u64, u64),
    reach: Reach,
    most_windows: usize,
    windows: Vec<usize>,
    refusal: Refusal,
    log: Log,
    violations: Vec<String>,
    tlb: BTreeMap<u64, Cached>,
}

/// The host. Boxed: the library keeps its address.
pub struct Host(Box<RefCell<State>>);

impl Host {
    pub fn new(reach: Reach) -> Self {
        Self(Box::new(RefCell::new(State {
            // Zeroed lazily; the last page is for answers to questions about foreign frames.
            memory: vec![0; (FRAMES + 1) * (FRAME / 8) as usize],
            frames: vec![Frame::Free; FRAMES],
            lowest_free: 0,
            live: (0, 0),
            reach,
            most_windows: usize::MAX,
            windows: Vec::new(),
            refusal: Refusal::Nothing,
            log: Log::default(),
            violations: Vec::new(),
            tlb: BTreeMap::new(),
        })))
    }

    /// The callbacks. With `wants_released` the host hears of linear pages that are gone.
    pub fn hal(&self, levels: u32, wants_released: bool) -> axas_hal_t {
        let mut state = self.0.borrow_mut();
        state.most_windows = levels as usize + 2;
        let flags = match state.reach {
            Reach::Direct => AXAS_HAL_DIRECT_MAP,
            Reach::Readable => AXAS_HAL_DIRECT_MAP | AXAS_HAL_TABLES_STAY_READABLE,
            Reach::Callback | Reach::Windows => 0,
        };
        let windows = state.reach == Reach::Windows;
        axas_hal_t {
            struct_size: size_of::<axas_hal_t>() as u32,
            flags,
            ctx: (&raw const *self.0).cast_mut().cast(),
            alloc_frame: Some(alloc_frame),
            dealloc_frame: Some(dealloc_frame),
            phys_to_virt: (flags == 0).then_some(phys_to_virt),
            release_virt: windows.then_some(release_virt),
            direct_map_offset: (state.memory.as_mut_ptr() as u64).wrapping_sub(FIRST),
            tlb_flush: Some(tlb_flush),
            clean_range: None,
            should_yield: None,
            relax: None,
            released: wants_released.then_some(released),
            arena: std::ptr::null_mut(),
            may_move: None,
            resolve: None,
            evicted: None,
        }
    }

    fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    /// Before a call.
    pub fn begin(&self, refusal: Refusal) {
        let mut state = self.state();
        state.refusal = refusal;
        state.log = Log::default();
    }

    /// After it: what it did.
    pub fn end(&self) -> Log {
        let mut state = self.state();
        state.refusal = Refusal::Nothing;
        if !state.windows.is_empty() {
            state.violations.push("windows are open after a call".into());
        }
        std::mem::take(&mut state.log)
    }

    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Pages that are out as tables, and pages that are out for the guest.
    pub fn live(&self) -> (u64, u64) {
        self.state().live
    }

    /// Words of a page of the host.
    pub fn with_page<T>(&self, hpa: u64, visit: impl FnOnce(&mut [u64]) -> T) -> T {
        let mut state = self.state();
        let first = ((hpa - FIRST) / 8) as usize;
        visit(&mut state.memory[first..first + 512])
    }

    /// A translation that another CPU takes into its TLB.
    pub fn cache(&self, gpa: u64, cached: Cached) {
        self.state().tlb.insert(gpa, cached);
    }

    /// Every translation that no flush took away.
    pub fn cached(&self) -> BTreeMap<u64, Cached> {
        self.state().tlb.clone()
    }
}

impl State {
    /// The number of a frame, if it is one of the host's.
    fn number(&self, frame: u64) -> Option<usize> {
        let number = frame.checked_sub(FIRST)? / FRAME;
        (frame.is_multiple_of(FRAME) && number < FRAMES as u64).then_some(number as usize)
    }

    fn refuses(&self, order: u32) -> bool {
        match self.refusal {
            Refusal::Nothing => order > HUGE_ORDER,
            Refusal::Only(number) => self.log.requests == number || order > HUGE_ORDER,
            Refusal::From(number) => self.log.requests >= number || order > HUGE_ORDER,
            Refusal::Huge => order >= HUGE_ORDER,
        }
    }

    /// The first free frame of an order.
    fn find(&mut self, order: u32) -> Option<usize> {
        let pages = 1 << order;
        let is_free = |number: &usize| {
            self.frames[*number..number + pages].iter().all(|frame| *frame == Frame::Free)
        };
        if order >= HUGE_ORDER {
            return (FRAMES / 2..FRAMES).step_by(pages).find(is_free);
        }
        let first = self.lowest_free.next_multiple_of(pages);
        let found = (first..FRAMES / 2).step_by(pages).find(is_free)?;
        if order == 0 {
            self.lowest_free = found + 1;
        }
        Some(found)
    }

    fn live_of(&mut self, purpose: u32) -> &mut u64 {
        match purpose {
            AXAS_FRAME_TABLE | AXAS_FRAME_ROOT => &mut self.live.0,
            _ => &mut self.live.1,
        }
    }

    fn poison(&mut self, number: usize, pages: usize) {
        self.memory[number * 512..(number + pages) * 512].fill(POISON);
    }

    fn take(&mut self, order: u32, purpose: u32) -> u64 {
        let number = if self.refuses(order) { None } else { self.find(order) };
        self.log.requests += 1;
        let Some(number) = number else {
            self.log.refused.push(order);
            return AXAS_HPA_INVALID;
        };
        let pages = 1 << order;
        let (first, rest) = match purpose {
            AXAS_FRAME_TABLE | AXAS_FRAME_ROOT => (Frame::Table(order, purpose), Frame::TableRest),
            _ => (Frame::Guest, Frame::Guest),
        };
        *self.live_of(purpose) += pages as u64;
        self.frames[number..number + pages].fill(rest);
        self.frames[number] = first;
        self.poison(number, pages);
        FIRST + number as u64 * FRAME
    }

    fn give(&mut self, frame: u64, order: u32, purpose: u32) {
        let pages = 1_usize << order;
        if !self.log.flushes.iter().any(|flush| flush.scope == AXAS_SCOPE_ALL) {
            self.log.given_before_flush += 1;
        }
        let number = self.number(frame).filter(|number| {
            number.is_multiple_of(pages) && number + pages <= FRAMES && order <= 18
        });
        let Some(number) = number else {
            return self.violations.push(format!("{frame:#x} of order {order} is no frame"));
        };
        let is_right = match purpose {
            AXAS_FRAME_TABLE | AXAS_FRAME_ROOT => {
                self.frames[number] == Frame::Table(order, purpose)
            }
            _ => self.frames[number..number + pages].iter().all(|frame| *frame == Frame::Guest),
        };
        if !is_right {
            return self.violations.push(format!("{frame:#x} of order {order} was not out"));
        }
        let bytes = FRAME << order;
        let is_cached = |cached: &Cached| (frame..frame + bytes).contains(&cached.hpa);
        if self.tlb.values().any(is_cached) {
            self.violations.push(format!("{frame:#x} came back while a TLB has it"));
        }
        *self.live_of(purpose) -= pages as u64;
        self.poison(number, pages);
        self.frames[number..number + pages].fill(Frame::Free);
        self.lowest_free = self.lowest_free.min(number);
    }

    fn reach(&mut self, pa: u64, size: usize) -> *mut c_void {
        let is_inside = size as u64 <= FRAME - pa % FRAME;
        let number = self
            .number(pa & !(FRAME - 1))
            .filter(|number| is_inside && self.frames[*number] != Frame::Free);
        if number.is_none() {
            self.violations.push(format!("{pa:#x}: reached for a frame that is not out"));
        }
        let offset = number.unwrap_or(FRAMES) * FRAME as usize;
        let va = self.memory.as_mut_ptr().cast::<u8>().wrapping_add(offset);
        va.wrapping_add((pa % FRAME) as usize).cast()
    }
}

/// The host behind the context of a callback.
fn of_context<'a>(ctx: *mut c_void) -> RefMut<'a, State> {
    // SAFETY: the context is the host's cell, which outlives the space; only shared references to it
    // are ever made.
    unsafe { (*ctx.cast::<RefCell<State>>()).borrow_mut() }
}

unsafe extern "C" fn alloc_frame(ctx: *mut c_void, order: u32, purpose: u32) -> axas_hpa_t {
    of_context(ctx).take(order, purpose)
}

unsafe extern "C" fn dealloc_frame(ctx: *mut c_void, frame: axas_hpa_t, order: u32, purpose: u32) {
    of_context(ctx).give(frame, order, purpose);
}

unsafe extern "C" fn phys_to_virt(ctx: *mut c_void, pa: axas_hpa_t, size: usize) -> *mut c_void {
    let mut state = of_context(ctx);
    let va = state.reach(pa, size);
    if state.reach == Reach::Windows {
        state.windows.push(va as usize);
        if state.windows.len() > state.most_windows {
            state.violations.push("too many windows at once".into());
        }
    }
    va
}

unsafe extern "C" fn release_virt(ctx: *mut c_void, va: *mut c_void, _size: usize) {
    let mut state = of_context(ctx);
    if state.windows.pop() != Some(va as usize) {
        state.violations.push("windows are not closed in reverse order".into());
    }
}

unsafe extern "C" fn tlb_flush(ctx: *mut c_void, request: *const axas_tlb_request_t) {
    let mut state = of_context(ctx);
    // SAFETY: the library passes a request that lives through the call.
    let request = unsafe { *request };
    if !state.windows.is_empty() {
        state.violations.push("windows are open across a flush".into());
    }
    if request.gpa % FRAME != 0 || request.size % FRAME != 0 || request.reserved != 0 {
        state.violations.push(format!("bad request: {request:?}"));
    }
    // The TLB is that of another CPU: what is local does not concern it.
    if request.scope == AXAS_SCOPE_ALL {
        let flushed = request.gpa..request.gpa + request.size;
        state.tlb.retain(|gpa, _| !flushed.contains(gpa));
    }
    state.log.flushes.push(request);
}

unsafe extern "C" fn released(ctx: *mut c_void, run: *const axas_mapping_t) {
    let mut state = of_context(ctx);
    // SAFETY: the library passes a run that lives through the call.
    let run = unsafe { *run };
    let is_stale = state.tlb.range(run.gpa..run.gpa + run.size).next().is_some();
    if is_stale {
        state.violations.push(format!("{:#x} was released while a TLB has it", run.gpa));
    }
    if !state.windows.is_empty() {
        state.violations.push("windows are open across released".into());
    }
    state.log.released.push(run);
}
