// SPDX-License-Identifier: MIT OR Apache-2.0
//! What no CPU can reach any more: frames and tables go back to the host, linear pages are reported to it.

use super::arch::Format;
use super::entry::{Entry, HIDES, Names};
use super::sweep::Run;
use super::table::{Broken, Table};
use super::units::{Gpa, GpaRange, Hpa, Level};
use super::work::Work;
use super::{NestedPageTable, add, subtract};
use crate::abi::*;
use crate::addr::Bits;
use crate::hal::{Host, Purpose, REPORTS_RELEASED};
use crate::sync::{AtomicU64, Ordering};

/// What remains of an entry that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remains {
    Nothing,
    /// What a dead or pending entry carries.
    Reservation,
    /// The same, where the call fails that took its tables.
    #[cfg(feature = "stock")]
    ReservationOfFailed,
    /// An entry that waits for what takes its place.
    Busy,
    /// A reservation of a provider's pages, as dirty as they were while writes are logged.
    #[cfg(feature = "provider")]
    Provided {
        provider: u16,
        is_logged: bool,
    },
}

impl Remains {
    /// Of what a call that fails has taken in.
    #[cfg(feature = "stock")]
    pub(super) const OF_FAILED: Self = Self::ReservationOfFailed;
    #[cfg(not(feature = "stock"))]
    pub(super) const OF_FAILED: Self = Self::Reservation;

    /// Whether the stock gets the tables back that came from it.
    #[inline(always)]
    fn is_undone(self) -> bool {
        cfg!(feature = "stock") && self == Self::OF_FAILED
    }

    fn of<F: Format>(self, entry: Entry<F>) -> Entry<F> {
        match self {
            Self::Nothing => Entry::EMPTY,
            Self::Reservation => Entry::reserved(entry.remaining_reservation()),
            #[cfg(feature = "stock")]
            Self::ReservationOfFailed => Entry::reserved(entry.remaining_reservation()),
            Self::Busy => Entry::busy(),
            #[cfg(feature = "provider")]
            Self::Provided { provider, is_logged } => {
                let reservation = entry.remaining_reservation();
                let is_dirty = is_logged && entry.was_dirty();
                Entry::provided(reservation.with_dirt(is_dirty), provider)
            }
        }
    }

    /// Whether pages go back to a provider.
    #[inline(always)]
    fn provides(self) -> bool {
        #[cfg(feature = "provider")]
        return matches!(self, Self::Provided { .. });
        #[cfg(not(feature = "provider"))]
        false
    }
}

/// Entries that are read while a window is open and dealt with after it closed: the addresses of those that ask for
/// something, marked, and 0 for those that ask for nothing.
pub(super) type Batch = [u64; BATCH];
const BATCH: usize = 32;
/// A bit of entries that no address is in.
const MARK: u64 = 1;

/// What the entries of a batch ask for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nothing,
    /// Their frames are to go back.
    Return,
    /// They are to be reported, and differ in their addresses only.
    Report,
}

/// Where a reap is, and what it read there. It goes through the run of the sweep, which becomes that of each table
/// below that goes.
pub(super) struct Reaping {
    /// What the table in work and those above it have of the range, up to one that stays.
    part: GpaRange,
    /// The table that the entry behind those in the batch names.
    table: Hpa,
    /// What asks in the batch is like this: a leaf, or what was one.
    like: u64,
    /// The level of the table that stays.
    top: Level,
    /// Entries in the batch.
    count: u16,
    /// How many of the table's entries each of them is.
    each: u16,
    /// How many ask for something.
    asking: u16,
    asks: Asks,
    is_table: bool,
    remains: Remains,
    whole: bool,
}

impl Reaping {
    /// How many of the table's entries are in the batch.
    fn entries(&self) -> u64 {
        u64::from(self.count).wrapping_mul(self.each.into())
    }
}

/// The runs of pages in a batch that lie side by side in host memory.
#[cfg(feature = "provider")]
pub(super) struct Runs<'a> {
    rest: &'a [u64],
    /// One of the entries.
    pub(super) like: u64,
    pub(super) level: Level,
    /// What each word of the batch stands for.
    bytes: u64,
    /// Where the next begins.
    gpa: Gpa,
}

#[cfg(feature = "provider")]
impl<'a> Runs<'a> {
    fn of(work: &'a Work) -> Self {
        let Work { sweep, reaping, batch, .. } = work;
        let Run { level, gpa, .. } = sweep.run;
        Self {
            rest: batch.get(..reaping.count.into()).unwrap_or(&[]),
            like: reaping.like,
            level,
            bytes: u64::from(reaping.each).wrapping_shl(level.shift()),
            gpa: gpa.base(level),
        }
    }

    /// The next one: guest address, host address, bytes.
    pub(super) fn next<F: Format>(&mut self) -> Option<(Gpa, Hpa, u64)> {
        let mut found: Option<(Gpa, Hpa, u64)> = None;
        while let [word, rest @ ..] = self.rest {
            let hpa = Entry::<F>::from_word(*word).table_address();
            match &mut found {
                Some((_, first, size)) if *word != 0 && first.plus(*size) == hpa => {
                    *size = size.wrapping_add(self.bytes);
                }
                Some(_) => break,
                None if *word != 0 => found = Some((self.gpa, hpa, self.bytes)),
                None => {}
            }
            self.rest = rest;
            self.gpa = self.gpa.plus(self.bytes);
        }
        found
    }
}

/// Linear pages that are gone, reported to `released` in merged runs.
pub(super) struct Releases {
    /// Host address less guest address of pages that are mapped again: of those the host is told nothing.
    kept_distance: u64,
    /// A leaf without its address that was reported last: the run has its flags.
    attributes: u64,
    are_wanted: bool,
    /// Entries are dead that name something.
    pub(super) has_dead: bool,
    /// The run in hand; of size 0: there is none.
    run: axas_mapping_t,
    /// Its host address less its guest address.
    distance: u64,
    /// The guest address behind what was looked at last.
    end: Gpa,
}

/// What no distance is between pages.
const NO_DISTANCE: u64 = 1;

impl Releases {
    /// None wanted.
    pub(super) const fn none() -> Self {
        let run = axas_mapping_t {
            gpa: 0,
            size: 0,
            hpa: 0,
            cookie: 0,
            flags: 0,
            state: AXAS_STATE_LINEAR,
            level: 0,
            reserved0: 0,
            reserved: [0; 2],
        };
        let (are_wanted, has_dead) = (false, false);
        let (kept_distance, distance, end) = (NO_DISTANCE, NO_DISTANCE, Gpa::new(0));
        Self { kept_distance, attributes: 0, are_wanted, has_dead, run, distance, end }
    }

    /// Whether the host is to be told.
    #[inline(always)]
    pub(super) fn are_wanted(&self) -> bool {
        REPORTS_RELEASED && self.are_wanted
    }

    /// Begins anew.
    pub(super) fn begin(&mut self, are_wanted: bool, kept_distance: Option<u64>) {
        (self.are_wanted, self.has_dead) = (are_wanted, false);
        self.kept_distance = kept_distance.unwrap_or(NO_DISTANCE);
        (self.run.size, self.distance) = (0, NO_DISTANCE);
    }

    /// Goes on at an address with leaves like this one.
    fn go_on<F: Format>(&mut self, npt: &NestedPageTable, gpa: Gpa, leaf: Entry<F>, level: Level) {
        let attributes = leaf.word_without_address();
        if (gpa, attributes, level.get()) == (self.end, self.attributes, self.run.level) {
            return;
        }
        let kind = (leaf.attributes(npt.features).flags(), level.get());
        if (gpa, (self.run.flags, self.run.level)) != (self.end, kind) {
            self.report(&npt.host);
        }
        self.attributes = attributes;
        (self.run.flags, self.run.level) = kind;
    }

    /// Adds what is at a guest address and was mapped to a host address.
    #[inline(always)]
    fn add(&mut self, host: &Host, gpa: Gpa, hpa: Hpa, bytes: u64) {
        let distance = gpa.distance_to(hpa);
        if distance == self.distance {
            self.run.size = self.run.size.wrapping_add(bytes);
            return;
        }
        if self.run.size != 0 {
            host.released(&self.run);
        }
        if distance == self.kept_distance {
            (self.run.size, self.distance) = (0, NO_DISTANCE);
        } else {
            (self.run.gpa, self.run.hpa, self.run.size) = (gpa.bits(), hpa.bits(), bytes);
            self.distance = distance;
        }
    }

    /// Reports the run in hand. No window is open here.
    #[inline(always)] // Nothing, without `released`.
    pub(super) fn report(&mut self, host: &Host) {
        if REPORTS_RELEASED {
            self.report_run(host);
        }
    }

    #[inline(never)]
    fn report_run(&mut self, host: &Host) {
        if self.run.size != 0 {
            host.released(&self.run);
        }
        (self.run.size, self.distance) = (0, NO_DISTANCE);
    }
}

impl NestedPageTable {
    /// Takes the entries of a range that are dead or pending and gives back what they name, in the order of
    /// addresses. A table that goes has nothing outside of the range, unless it goes `whole`; what hangs on an entry
    /// goes before the entry's table.
    #[inline(never)]
    pub(super) fn reap<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        remains: Remains,
        whole: bool,
    ) -> Option<()> {
        work.sweep.begin(self, range);
        (work.reaping.remains, work.reaping.whole) = (remains, whole);
        while work.sweep.next::<F>(self, &Broken::NONE)? {
            let Work { sweep, reaping, path, .. } = work;
            reaping.top = sweep.run.level;
            path.set(sweep.run.level, sweep.run.page);
            loop {
                self.read_run::<F>(work)?;
                match work.reaping.asks {
                    Asks::Nothing => {}
                    Asks::Return => self.return_frames::<F>(work),
                    #[cfg(feature = "provider")]
                    Asks::Report if work.reaping.remains.provides() => {
                        self.report_evicted::<F>(&mut Runs::of(work));
                    }
                    Asks::Report if REPORTS_RELEASED => self.report_frames::<F>(work),
                    Asks::Report => {}
                }
                if !self.reap_on(work)? {
                    break;
                }
            }
        }
        Some(())
    }

    /// Goes on behind what was read, in the table that comes next; whether there is more before the sweep goes on.
    /// A table that is done goes.
    #[inline(never)]
    fn reap_on(&self, work: &mut Work) -> Option<bool> {
        let Work { sweep, reaping, path, stock, undo, .. } = work;
        let (top, stop, end) = (reaping.top, sweep.gpa(), sweep.range().end);
        let run = &mut sweep.run;
        let entries = reaping.entries();
        let mut gpa = run.gpa.base(run.level).plus(entries.wrapping_shl(run.level.shift()));
        let next = run.span.first.after(entries as usize).filter(|next| *next <= run.span.last);
        if let Some(next) = next
            && !reaping.is_table
        {
            (run.gpa, run.span) = (gpa, run.span.from(next));
            return Some(true);
        }
        let part = &mut reaping.part;
        if reaping.is_table {
            if run.level == top {
                let (first, behind) = (gpa.max(run.gpa), end.min(gpa.end(top)));
                let all = GpaRange::new(gpa, gpa.end(top));
                *part = if reaping.whole { all } else { GpaRange::new(first, behind) };
            }
            run.level = run.level.down();
            path.set(run.level, reaping.table);
            gpa = gpa.max(part.start);
        } else {
            while run.level < top && (gpa >= part.end || gpa.is_aligned(run.level.up())) {
                // Damaged tables may name one table twice.
                if self.linked_tables(stock) <= self.root_pages() {
                    return None;
                }
                let is_undone = undo.is_some() || reaping.remains.is_undone();
                self.give_table_of(stock, path.get(run.level), is_undone);
                run.level = run.level.up();
            }
            if run.level == top {
                if gpa >= stop {
                    return Some(false);
                }
                *part = GpaRange::new(gpa, stop);
            }
        }
        run.page = path.get(run.level);
        run.span = part.from(gpa).part(gpa, run.level.up()).span(run.level);
        run.gpa = gpa;
        Some(true)
    }

    /// Gives back the frames that were read.
    #[inline(never)]
    fn return_frames<F: Format>(&self, work: &Work) {
        let order = work.sweep.run.level.order();
        for word in work.batch.get(..work.reaping.count.into()).unwrap_or(&[]) {
            if *word != 0 {
                self.host.give(Entry::<F>::from_word(*word).table_address(), order, Purpose::Guest);
            }
        }
        let pages = u64::from(work.reaping.asking).wrapping_shl(order);
        add(&self.counts.released, pages);
        subtract(&self.counts.guest, pages);
    }

    /// Reports the leaves that were read.
    #[inline(never)]
    fn report_frames<F: Format>(&self, work: &mut Work) {
        let Run { level, gpa, .. } = work.sweep.run;
        let Work { reaping, releases, batch, .. } = work;
        let bytes = u64::from(reaping.each).wrapping_shl(level.shift());
        let mut gpa = gpa.base(level);
        releases.go_on(self, gpa, Entry::<F>::from_word(reaping.like), level);
        for word in batch.get(..reaping.count.into()).unwrap_or(&[]) {
            if *word != 0 {
                let hpa = Entry::<F>::from_word(*word).table_address();
                releases.add(&self.host, gpa, hpa, bytes);
            } else {
                releases.report(&self.host);
            }
            gpa = gpa.plus(bytes);
        }
        releases.end = gpa;
    }

    /// Reads entries at the beginning of a run that ask for the same, up to the first that names a table. In a table
    /// that stays those that go are the dead and the pending ones, and are taken. Linear leaves, and entries that
    /// name nothing, may be a run of their own, longer than a batch.
    #[inline(never)]
    fn read_run<F: Format>(&self, work: &mut Work) -> Option<()> {
        let Run { page, level, span, .. } = work.sweep.run;
        let Work { reaping: read, releases, batch, .. } = work;
        let reports = releases.are_wanted();
        let provides = read.remains.provides();
        let stays = level == read.top;
        let table = Table::<F>::reach(self, page)?;
        let slots = table.slots(span);
        (read.count, read.asking, read.is_table) = (0, 0, false);
        (read.each, read.asks) = (1, Asks::Nothing);
        let (mut rest, mut room, mut leaves) = (slots, batch.as_mut_slice(), 0_u64);
        while let ([slot, ..], [word, ..]) = (rest, &mut *room) {
            let entry = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
            // Hidden pages stay where they are.
            let is_taken = if HIDES { entry.is_moving() } else { !entry.is_hardware_visible() };
            let goes = !stays || is_taken;
            let names = if goes { entry.names(level.get()) } else { Names::Nothing };
            let address = entry.address();
            if let Names::Corrupt | Names::Table = names {
                (read.is_table, read.table) = (names == Names::Table, address);
                if names == Names::Corrupt && read.count == 0 {
                    return None;
                }
                break;
            }
            let is_leaf = names == Names::Frame;
            let asks = if is_leaf && entry.is_owned() && !provides {
                Asks::Return
            } else if is_leaf && reports {
                Asks::Report
            } else {
                Asks::Nothing
            };
            let mut marked = 0;
            if asks != Asks::Nothing {
                let like = Entry::from_word(read.like);
                let is_other = asks == Asks::Report && entry.difference(like) != 0;
                if read.asking != 0 && (is_other || asks != read.asks) {
                    break;
                }
                (read.asks, read.like) = (asks, entry.word());
                marked = F::address_field(address.bits()) | MARK;
            }
            if read.count == 0 && asks != Asks::Return {
                let step = if is_leaf { entry.address_step(level.size()) } else { 0 };
                let alike = following(slots, entry.word(), step);
                if alike > BATCH {
                    (read.count, read.each, *word) = (1, alike as u16, marked);
                    leaves = if is_leaf { alike as u64 } else { 0 };
                    break;
                }
            }
            let mask = if marked != 0 { u64::MAX } else { 0 };
            let count = copy_like(room, rest, entry, marked, mask);
            read.count = read.count.wrapping_add(count as u16);
            if marked != 0 {
                read.asking = read.asking.wrapping_add(count as u16);
            }
            if is_leaf {
                leaves = leaves.wrapping_add(count as u64);
            }
            (rest, room) = (rest.get(count..)?, room.get_mut(count..)?);
        }
        if stays {
            let count = (read.entries() as usize).wrapping_add(usize::from(read.is_table));
            for slot in slots.iter().take(count) {
                let entry = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
                if entry.is_moving() {
                    slot.store(read.remains.of(entry).word(), Ordering::Relaxed);
                }
            }
            table.clean(span);
        }
        drop(table);
        self.discount_leaves(level, leaves);
        Some(())
    }
}

/// Copies the entries that differ from the first in their address at most; how many. Of each the bits that differ,
/// under a mask, and `word`.
#[inline(never)]
fn copy_like<F: Format>(
    words: &mut [u64],
    slots: &[AtomicU64],
    first: Entry<F>,
    word: u64,
    mask: u64,
) -> usize {
    let mut count = 0_usize;
    for (place, slot) in words.iter_mut().zip(slots) {
        let entry = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
        if entry.difference(first) != 0 {
            break;
        }
        *place = (entry.word() ^ first.word()) & mask ^ word;
        count = count.wrapping_add(1);
    }
    count
}

/// How many slots say the same as the first, or, of leaves, map what follows in host memory. Most tables hold runs, so
/// that they are looked at eight at a time.
#[inline(never)]
pub(super) fn following(slots: &[AtomicU64], first: u64, step: u64) -> usize {
    let (eights, _) = slots.as_chunks::<8>();
    let (mut expected, mut alike) = (first, 0_usize);
    let is = |slot: &AtomicU64, word: u64| slot.load(Ordering::Relaxed) == word;
    let after = |word: u64, steps: u64| word.wrapping_add(step.wrapping_mul(steps));
    for [a, b, c, d, e, f, g, h] in eights {
        let are_alike = is(a, expected)
            && is(b, after(expected, 1))
            && is(c, after(expected, 2))
            && is(d, after(expected, 3))
            && is(e, after(expected, 4))
            && is(f, after(expected, 5))
            && is(g, after(expected, 6))
            && is(h, after(expected, 7));
        if !are_alike {
            break;
        }
        (expected, alike) = (after(expected, 8), alike.wrapping_add(8));
    }
    for slot in slots.get(alike..).unwrap_or(&[]) {
        if slot.load(Ordering::Relaxed) != expected {
            break;
        }
        (expected, alike) = (expected.wrapping_add(step), alike.wrapping_add(1));
    }
    alike
}
