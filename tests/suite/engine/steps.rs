// SPDX-License-Identifier: MIT OR Apache-2.0
//! One call after the other, on a space and on the model, with everything compared in between.

use axaddrspace::abi::*;
use axaddrspace::address_space::Verdict;
use axaddrspace::error::{Error, Result};

use super::model::{ATTRIBUTES, Kind, Model, append};
use super::space::{Machine, Space};
use crate::formats::entry_size;
use crate::host::{Cached, Host, Log, Reach, Refusal};

/// A call. Addresses are those of the space less its base.
#[derive(Clone, Debug)]
pub enum Call {
    Linear { at: u64, size: u64, hpa: u64, flags: u32 },
    Extents { at: u64, extents: Vec<(u64, u64)>, flags: u32 },
    Alloc { at: u64, size: u64, flags: u32 },
    Trap { at: u64, size: u64, cookie: u64, flags: u32 },
    Unmap { at: u64, size: u64 },
    Protect { at: u64, size: u64, permissions: u32 },
    Populate { at: u64, size: u64 },
    Discard { at: u64, size: u64 },
    Collect { at: u64, size: u64 },
    Fault { at: u64, access: u32 },
    Clear,
}

/// Whether a call replaces what stands there.
fn replaces(call: &Call) -> bool {
    match call {
        Call::Linear { flags, .. } | Call::Alloc { flags, .. } | Call::Trap { flags, .. } => {
            flags & AXAS_REPLACE != 0
        }
        _ => false,
    }
}

/// A call, and the frames that the host refuses meanwhile.
#[derive(Clone, Debug)]
pub struct Step {
    pub call: Call,
    pub refusal: Refusal,
}

/// A space beside its model.
pub struct Twin {
    space: Space,
    model: Model,
    machine: Machine,
    /// Largest leaves of the format with these features.
    most_leaf_level: u32,
}

impl Twin {
    pub fn new(machine: Machine, reach: Reach) -> Self {
        let space = Space::new(Host::new(reach), &machine);
        let registers = space.hw_regs();
        let end = machine.base + machine.size;
        let root_pages = u64::from(registers.root_bytes) / 4096;
        let always = [AXAS_FORMAT_ARM_S2, AXAS_FORMAT_RISCV_GSTAGE].contains(&machine.format);
        let has_1g = always || machine.features & AXAS_FEATURE_1G_PAGES != 0;
        let mut model = Model::new(machine.base, end, registers.levels, root_pages);
        if machine.options & AXAS_KEEP_TABLES != 0 {
            model.keep_tables();
        }
        let most_leaf_level = if has_1g { 3 } else { 2 };
        Self { model, space, machine, most_leaf_level }
    }

    pub fn space(&self) -> &Space {
        &self.space
    }

    pub fn host(&self) -> &Host {
        self.space.host()
    }

    /// Runs a call on both and compares them. Says whether the call succeeded.
    pub fn step(&mut self, step: &Step) -> bool {
        let at = self.range(&step.call);
        self.load_tlb();
        let before = self.host().live();
        self.host().begin(step.refusal);
        let is_done = match &step.call {
            Call::Fault { at, access } => self.fault(self.machine.base + at, *access),
            call => self.range_call(call),
        };
        if !is_done {
            self.settle_failure(&step.call, before);
        }
        self.check();
        self.check_part(at);
        is_done
    }

    /// A call that fails changes no frames; a populated map may have given back the tables that were kept in
    /// its range.
    fn settle_failure(&mut self, call: &Call, before: (u64, u64)) {
        let populates = matches!(call, Call::Alloc { flags, .. } if flags & AXAS_POPULATE != 0);
        let (start, end) = self.range(call);
        let kept = self.model.kept_in(start, end);
        let (tables, guest) = self.host().live();
        if populates && kept != 0 && (tables + kept, guest) == before {
            self.model.settle_tables(start, end);
        } else {
            assert_eq!((tables, guest), before, "a call that failed changed the frames");
        }
    }

    /// Destroys the space; everything must be back.
    pub fn finish(self) {
        self.space.finish();
    }

    fn range_call(&mut self, call: &Call) -> bool {
        let (tables, _) = self.host().live();
        let outcome = self.call(call);
        let log = self.space.host().end();
        if outcome == Err(Error::NoMemory) {
            assert!(log.refused.contains(&0), "no memory, but the host had some: {call:?}");
            assert!(self.may_run_out(call), "this cannot fail for memory: {call:?}");
            return false;
        }
        assert_eq!(outcome, self.expected(call), "{call:?}");
        assert!(!log.refused.contains(&0), "a frame was refused, but it is done: {call:?}");
        if outcome.is_err() {
            assert_eq!(log.requests, 0, "frames were taken before the checks: {call:?}");
            return false;
        }
        self.check_log(call, &log);
        if self.takes_tables_only(call) && !self.model.keeps_tables() {
            let taken = self.host().live().0 - tables;
            assert_eq!(u64::from(log.requests), taken, "more frames than it needs: {call:?}");
        }
        let before = self.model.clone();
        self.apply(call, &log);
        if self.takes_tables_only(call) {
            let taken = self.model.new_tables(&before);
            assert_eq!(u64::from(log.requests), taken, "tables that are there: {call:?}");
        }
        let (start, end) = self.range(call);
        self.model.settle_tables(start, end);
        true
    }

    fn call(&self, call: &Call) -> Result<()> {
        let space = &self.space;
        let base = self.machine.base;
        match call {
            Call::Linear { at, size, hpa, flags } => {
                space.map_linear(base + at, *hpa, *size, *flags)
            }
            Call::Extents { at, extents, flags } => {
                let extents: Vec<axas_extent_t> =
                    extents.iter().map(|&(hpa, size)| axas_extent_t { hpa, size }).collect();
                space.map_extents(base + at, &extents, *flags)
            }
            Call::Alloc { at, size, flags } => space.map_alloc(base + at, *size, *flags),
            Call::Trap { at, size, cookie, flags } => {
                space.map_trap_flags(base + at, *size, *cookie, *flags)
            }
            Call::Collect { at, size } => space.collect(base + at, *size),
            Call::Unmap { at, size } => space.unmap(base + at, *size),
            Call::Protect { at, size, permissions } => {
                space.protect(base + at, *size, *permissions)
            }
            Call::Populate { at, size } => space.populate(base + at, *size),
            Call::Discard { at, size } => space.discard(base + at, *size),
            Call::Clear => space.clear(),
            Call::Fault { .. } => unreachable!("a verdict is no status"),
        }
    }

    /// The part of the space that a call is about.
    fn range(&self, call: &Call) -> (u64, u64) {
        let (at, size) = match call {
            Call::Linear { at, size, .. }
            | Call::Alloc { at, size, .. }
            | Call::Trap { at, size, .. }
            | Call::Unmap { at, size }
            | Call::Populate { at, size }
            | Call::Discard { at, size }
            | Call::Collect { at, size }
            | Call::Protect { at, size, .. } => (*at, *size),
            Call::Extents { at, extents, .. } => (*at, extents.iter().map(|e| e.1).sum()),
            Call::Fault { at, .. } => (*at, 0),
            Call::Clear => (0, self.machine.size),
        };
        (self.machine.base + at, self.machine.base + at + size)
    }

    /// What a call must answer while the host has memory.
    fn expected(&self, call: &Call) -> Result<()> {
        let (start, end) = self.range(call);
        let refused = |is_refused, error| if is_refused { Err(error) } else { Ok(()) };
        if end > self.model.end {
            return Err(Error::InvalidInput);
        }
        match call {
            Call::Unmap { .. } | Call::Collect { .. } | Call::Clear => Ok(()),
            _ if start == end => Err(Error::InvalidInput),
            Call::Protect { .. } | Call::Populate { .. } | Call::Discard { .. } => {
                refused(!self.model.is_mapped(start, end), Error::NotMapped)
            }
            call if replaces(call) => Ok(()),
            _ => refused(!self.model.is_free(start, end), Error::AlreadyExists),
        }
    }

    /// Whether a call may need frames at all.
    fn may_run_out(&self, call: &Call) -> bool {
        let (start, end) = self.range(call);
        match call {
            Call::Unmap { .. } | Call::Protect { .. } => {
                self.model.cuts_entry(start) || self.model.cuts_entry(end)
            }
            Call::Discard { .. } => [start, end].into_iter().any(|cut| {
                let is_owned = |(kind, _): (Kind, u32)| kind.state() == AXAS_STATE_OWNED;
                self.model.cuts_entry(cut) && self.model.at(cut).is_some_and(is_owned)
            }),
            Call::Collect { .. } | Call::Clear => false,
            _ => true,
        }
    }

    /// Whether a call only adds entries, so that it knows how many tables it needs.
    fn takes_tables_only(&self, call: &Call) -> bool {
        match call {
            call if replaces(call) => false,
            Call::Alloc { flags, .. } => flags & AXAS_POPULATE == 0,
            Call::Linear { .. } | Call::Extents { .. } | Call::Trap { .. } => true,
            _ => false,
        }
    }

    /// The largest leaves that flags and features allow.
    fn most(&self, flags: u32) -> u32 {
        let no_huge_exec = AXAS_NO_HUGE_EXEC | AXAS_EXECUTE;
        if flags & AXAS_NO_HUGE != 0 || flags & no_huge_exec == no_huge_exec {
            1
        } else if flags & AXAS_MAX_2M != 0 {
            2
        } else {
            self.most_leaf_level
        }
    }

    /// Does to the model what a call did to the space.
    fn apply(&mut self, call: &Call, log: &Log) {
        let (start, end) = self.range(call);
        let levels = self.space.levels();
        match call {
            Call::Linear { hpa, flags, .. } => {
                let most = self.most(*flags);
                self.model.remove(start, end);
                self.model.fill(start, end, Kind::Linear { hpa: *hpa }, flags & ATTRIBUTES, most);
            }
            Call::Extents { extents, flags, .. } => {
                let most = self.most(*flags);
                let mut gpa = start;
                for &(hpa, size) in extents {
                    let kind = Kind::Linear { hpa };
                    self.model.fill(gpa, gpa + size, kind, flags & ATTRIBUTES, most);
                    gpa += size;
                }
            }
            Call::Alloc { flags, .. } => {
                let is_huge = flags & AXAS_HUGE_FRAMES != 0;
                let largest = if is_huge { self.most(*flags) } else { 1 };
                let kind = Kind::Reserved { largest };
                self.model.remove(start, end);
                self.model.fill(start, end, kind, flags & ATTRIBUTES, levels);
                if flags & AXAS_POPULATE != 0 {
                    self.take_in(start, end, log);
                }
            }
            Call::Trap { cookie, .. } => {
                self.model.remove(start, end);
                self.model.fill(start, end, Kind::Trap { cookie: *cookie }, 0, levels);
            }
            Call::Unmap { .. } if start == end => {}
            Call::Unmap { .. } => self.model.remove(start, end),
            Call::Protect { permissions, .. } => self.model.protect(start, end, *permissions),
            Call::Populate { .. } => {
                for (start, end) in self.model.reserved(start, end) {
                    self.take_in(start, end, log);
                }
            }
            Call::Discard { .. } => self.model.discard(start, end),
            Call::Collect { .. } => self.model.collect(start, end),
            Call::Clear => self.model.clear(),
            Call::Fault { .. } => {}
        }
    }

    /// Takes frames over that came into the places of reservations: the model cannot know which frames
    /// the host gave.
    fn take_in(&mut self, start: u64, end: u64, log: &Log) {
        let mut gpa = start;
        while gpa < end {
            let (_, reserved) = self.model.find(gpa).unwrap();
            let Kind::Reserved { largest } = reserved.kind else { unreachable!() };
            let page = self.space.query(gpa).unwrap();
            assert_eq!((page.gpa, page.state), (gpa, AXAS_STATE_OWNED));
            let level = if page.size == entry_size(2) { 2 } else { 1 };
            assert_eq!(page.size, entry_size(level));
            assert!(level <= largest && end - gpa >= page.size, "larger than asked for");
            let fits = gpa.is_multiple_of(entry_size(2)) && end - gpa >= entry_size(2);
            if fits && largest >= 2 && reserved.level >= 2 && !log.refused.contains(&9) {
                assert_eq!(level, 2, "the host would have given 2 MiB");
            }
            self.receive(gpa, page.size, page.hpa);
            self.model.install(gpa, level, page.hpa);
            gpa += page.size;
        }
    }

    /// A frame that the guest sees for the first time: it reads as zero. The guest writes into it.
    fn receive(&self, gpa: u64, size: u64, hpa: u64) {
        for offset in (0..size).step_by(4096) {
            self.host().with_page(hpa + offset, |words| {
                assert!(words.iter().all(|word| *word == 0), "{gpa:#x}: old contents");
                words[7] = mark(gpa + offset);
            });
        }
    }

    fn fault(&mut self, gpa: u64, access: u32) -> bool {
        let verdict = self.space.page_fault(gpa, access);
        let log = self.space.host().end();
        for flush in &log.flushes {
            assert_eq!(flush.scope, AXAS_SCOPE_LOCAL, "a fault waits for nobody: {flush:?}");
            assert!([AXAS_FLUSH_NEW, AXAS_FLUSH_RELAX].contains(&flush.reason), "{flush:?}");
            assert!((flush.gpa..flush.gpa + flush.size).contains(&gpa), "{flush:?}");
        }
        if verdict == Verdict::NoMemory {
            assert!(log.refused.contains(&0), "no memory, but the host had some");
            assert_eq!(self.expected_verdict(gpa, access), Verdict::Resolved);
            return false;
        }
        assert_eq!(verdict, self.expected_verdict(gpa, access), "{gpa:#x}, {access}");
        if verdict != Verdict::Resolved {
            assert_eq!(log.requests, 0, "no frame is needed");
            return false;
        }
        let (_, reserved) = self.model.find(gpa).unwrap();
        let Kind::Reserved { largest } = reserved.kind else { unreachable!() };
        let page = self.space.query(gpa).unwrap();
        let wants_2m = largest >= 2 && reserved.level >= 2;
        let level = if wants_2m && !log.refused.contains(&9) { 2 } else { 1 };
        assert_eq!((page.state, page.size), (AXAS_STATE_OWNED, entry_size(level)));
        self.receive(page.gpa, page.size, page.hpa);
        self.model.install(gpa, level, page.hpa);
        self.model.settle_tables(page.gpa, page.gpa + page.size);
        true
    }

    fn expected_verdict(&self, gpa: u64, access: u32) -> Verdict {
        match self.model.at(gpa) {
            None => Verdict::Unmapped,
            Some((Kind::Trap { .. }, _)) => Verdict::Trap,
            Some((_, flags)) if access & !flags != 0 => Verdict::Denied,
            Some((Kind::Reserved { .. }, _)) => Verdict::Resolved,
            Some(_) => Verdict::Spurious,
        }
    }

    /// What a call that succeeded told the host, before the model follows it.
    fn check_log(&self, call: &Call, log: &Log) {
        let (start, end) = self.range(call);
        let mut gone = Vec::new();
        let replaces = replaces(call);
        let unmaps = matches!(call, Call::Unmap { .. } | Call::Clear);
        // What replaces may give tables back that it took and did not need after all.
        assert!(!unmaps || log.given_before_flush == 0, "{call:?}");
        if (unmaps || replaces) && self.machine.wants_released {
            let stays = match call {
                Call::Linear { hpa, .. } if replaces => Some(hpa.wrapping_sub(start)),
                _ => None,
            };
            gone = self.model.released(start, end, stays);
        }
        assert_eq!(log.released, gone, "{call:?}");

        let caches_invalid = self.machine.format == AXAS_FORMAT_RISCV_GSTAGE
            && self.machine.features & AXAS_FEATURE_RISCV_SVVPTC == 0;
        let news = log.flushes.iter().filter(|flush| flush.reason == AXAS_FLUSH_NEW).count();
        let maps = match call {
            Call::Linear { .. } | Call::Extents { .. } => true,
            Call::Alloc { flags, .. } => flags & AXAS_POPULATE != 0,
            _ => false,
        };
        if maps {
            assert_eq!(news, usize::from(caches_invalid), "{call:?}");
            let is_alone = replaces || self.model.keeps_tables() || log.flushes.len() == news;
            assert!(is_alone, "nothing was taken away: {call:?}");
        }
    }

    /// Addresses at which something begins or ends.
    fn interesting(&self) -> Vec<u64> {
        const MOST: usize = 96;
        let mut spots = vec![self.model.start, self.model.end - 4096];
        for (start, piece) in self.model.pieces() {
            spots.extend([start.wrapping_sub(4096), start, piece.end - 4096, piece.end]);
            if piece.end - start > entry_size(piece.level) {
                spots.push(start + entry_size(piece.level));
            }
        }
        spots.retain(|gpa| (self.model.start..self.model.end).contains(gpa));
        spots.sort_unstable();
        spots.dedup();
        let step = spots.len().div_ceil(MOST).max(1);
        spots.into_iter().step_by(step).collect()
    }

    /// Another CPU uses pages all over the space.
    fn load_tlb(&self) {
        for gpa in self.interesting() {
            if let Some((kind, flags)) = self.model.at(gpa)
                && let Some(hpa) = kind.hpa()
            {
                self.host().cache(gpa, Cached { hpa, flags });
            }
        }
    }

    /// Everything that can be seen of the space, against the model.
    fn check(&self) {
        let host = self.host();
        assert_eq!(host.violations(), [""; 0]);
        self.check_runs(self.model.start, self.model.end);
        for gpa in self.interesting() {
            self.check_at(gpa + 0x123);
        }
        self.check_tlb();
        self.check_contents();
        let stats = self.space.stats().unwrap();
        let (tables, guest) = host.live();
        assert_eq!(stats.table_frames, tables);
        assert_eq!(tables, self.model.tables(), "tables that the entries need");
        assert_eq!(stats.guest_frames, guest);
        assert_eq!(guest, self.model.owned_pages());
        assert_eq!([stats.mapped_4k, stats.mapped_2m, stats.mapped_1g], self.model.leaves());
        assert_eq!(stats.frames_allocated - stats.frames_released, tables + guest);
    }

    /// The runs of the range of a call and of its neighbour pages, cut off at their ends.
    fn check_part(&self, (start, end): (u64, u64)) {
        const FRAME: u64 = 4096;
        let clip = |gpa: u64| (gpa & !(FRAME - 1)).clamp(self.model.start, self.model.end);
        self.check_runs(clip(start), clip(end));
        self.check_runs(clip(start), clip(start + FRAME));
        self.check_runs(clip(start.saturating_sub(FRAME)), clip(end + FRAME));
        self.check_runs(clip(start + FRAME), clip(end.max(start + 2 * FRAME)));
    }

    fn check_runs(&self, start: u64, end: u64) {
        let size = end - start;
        let mut reported = Vec::new();
        let all = self.space.for_each(start, size, &mut |run| {
            reported.push(*run);
            true
        });
        assert_eq!(all, Ok(()));
        let mut merged = Vec::new();
        reported.iter().for_each(|run| append(&mut merged, *run));
        assert_eq!(merged.len(), reported.len(), "equal neighbours are one run");
        // Reservations that differ in their options only are one for the model.
        let mut runs = Vec::new();
        for run in reported {
            append(&mut runs, axas_mapping_t { flags: run.flags & ATTRIBUTES, ..run });
        }
        assert_eq!(runs, self.model.runs(start, end));
    }

    fn check_at(&self, gpa: u64) {
        let expected = self.model.entry(gpa);
        let found = self.space.query(gpa).unwrap();
        let mut found = axas_mapping_t { flags: found.flags & ATTRIBUTES, ..found };
        if self.model.keeps_tables() && expected.state == AXAS_STATE_ABSENT {
            // Over a table that was kept, a hole is of one of its entries or of all of it.
            assert!(found.gpa >= expected.gpa && found.size <= expected.size, "{found:x?}");
            assert!((found.gpa..found.gpa + found.size).contains(&gpa), "{found:x?}");
            (found.gpa, found.size) = (expected.gpa, expected.size);
        }
        assert_eq!(found, expected);
        match (self.space.translate(gpa), self.model.at(gpa).and_then(|(kind, _)| kind.hpa())) {
            (Ok((hpa, run)), Some(expected_hpa)) => {
                assert_eq!(hpa, expected_hpa);
                assert!(run >= expected.gpa + expected.size - gpa, "{gpa:#x}: short run {run:#x}");
                let last = self.model.at(gpa + run - 1).and_then(|(kind, _)| kind.hpa());
                assert_eq!(last, Some(hpa + run - 1), "{gpa:#x}: long run {run:#x}");
            }
            (Err(error), None) => assert_eq!(error, Error::NotMapped),
            (found, expected) => panic!("{gpa:#x}: {found:?}, expected {expected:?}"),
        }
        let cookie = self.space.trap_cookie(gpa);
        match expected.state {
            AXAS_STATE_TRAP => assert_eq!(cookie, Ok(expected.cookie)),
            _ => assert_eq!(cookie, Err(Error::NotMapped)),
        }
    }

    /// What the other CPU still has must be true, or at least allow no more than is true.
    fn check_tlb(&self) {
        for (gpa, cached) in self.host().cached() {
            let is_true = self.model.at(gpa).is_some_and(|(kind, flags)| {
                let same_memory = (flags ^ cached.flags) & !7 == 0;
                kind.hpa() == Some(cached.hpa) && same_memory && cached.flags & !flags & 7 == 0
            });
            assert!(is_true, "{gpa:#x}: stale translation {cached:x?}");
        }
    }

    /// The guest finds what it wrote.
    fn check_contents(&self) {
        for (start, piece) in self.model.pieces() {
            if let Kind::Owned { hpa } = piece.kind {
                for offset in (0..piece.end - start).step_by(4096) {
                    let word = self.host().with_page(hpa + offset, |words| words[7]);
                    assert_eq!(word, mark(start + offset), "{:#x}: lost data", start + offset);
                }
            }
        }
    }
}

/// What the guest writes into its page at an address.
fn mark(gpa: u64) -> u64 {
    gpa ^ 0x6775_6573_7400_0000
}
