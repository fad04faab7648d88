// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables read from a copy of the memory that they stand in: a dump that may be cut short, of tables
//! that may be damaged. Nothing is written, no frame is taken or given.
//!
//! The walk of a live space ends at the first thing that cannot be; this one notes it and goes on, so
//! that all is seen that can be read. It ends on any contents, for no page is entered twice. Whoever made
//! the tables decides how many runs and defects there are: as many are kept as the caller says, the rest is
//! counted. What else is kept is at most 24 bytes for each run of the library's frames, and a word for
//! each table.

use core::marker::PhantomData;
use core::ops::Range;
use std::collections::BTreeSet;
use std::string::String;
use std::vec::Vec;

use crate::abi::*;
use crate::addr::{Bits, PAGE_SIZE, is_page_aligned};
use crate::address_space::dump::{
    access_letters, line, memory_name, page_level, page_name, state_name,
};
use crate::address_space::inspect::{Merge, describe};
use crate::error::{Error, Result};
use crate::npt::arch::with_format;
use crate::npt::arch::{Features, Format, FormatId, Shape, ShapeRequest};
use crate::npt::entry::{Entry, State};
use crate::npt::units::Level;

/// The words of one page of a table.
pub type Page = [u64; 512];

/// Where tables are and what is known of them; zero where it follows from the rest.
#[derive(Clone, Debug)]
pub struct Description {
    /// Format of the entries.
    pub format: FormatId,
    /// Host-physical address of the root.
    pub root: u64,
    /// Levels of tables.
    pub levels: u32,
    /// Width of guest-physical addresses.
    pub gpa_bits: u32,
    /// Width of host-physical addresses; zero for as wide as entries are.
    pub pa_bits: u32,
    /// The guest-physical addresses of the space; none for all that the root translates.
    pub range: Option<Range<u64>>,
    /// Whether runs end where pages are no longer as dirty or as young: for spaces whose writes are logged.
    pub usage: bool,
}

/// Tables to read.
#[derive(Clone, Debug)]
pub struct Tables {
    format: FormatId,
    root: u64,
    shape: Shape,
    range: Range<u64>,
    usage: bool,
}

/// How much is kept of what is found; all of it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Runs, the first ones.
    pub runs: usize,
    /// Defects, the first ones.
    pub damage: usize,
}

/// What stands in tables.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Runs of pages of equal state and size, in order, up to the limit.
    pub runs: Vec<Run>,
    /// How many runs there are.
    pub run_count: u64,
    /// The first address behind the last run.
    pub end: u64,
    /// What cannot be, in the order in which it was met, up to the limit.
    pub damage: Vec<Damage>,
    /// Frames and leaves as they stand; what only a live space can count is 0.
    pub stats: axas_stats_t,
    defects: [u64; Cause::ALL.len()],
    bytes: [u64; STATES],
}

/// Absent, reserved, trap, linear, owned, hidden, note, provided.
const STATES: usize = AXAS_STATE_PROVIDED as usize + 1;

impl Contents {
    /// How many defects there are of a cause.
    pub fn defects(&self, cause: Cause) -> u64 {
        self.defects.get(cause as usize).copied().unwrap_or(0)
    }

    /// How many defects there are.
    pub fn defect_count(&self) -> u64 {
        self.defects.iter().fold(0, |all, count| all.wrapping_add(*count))
    }

    /// Bytes of all runs of a state, one of `AXAS_STATE_*`.
    pub fn bytes_of(&self, state: u32) -> u64 {
        self.bytes.get(state as usize).copied().unwrap_or(0)
    }

    fn note(&mut self, damage: Damage, limits: Limits) {
        if let Some(count) = self.defects.get_mut(damage.cause as usize) {
            *count = count.wrapping_add(1);
        }
        if self.damage.len() < limits.damage {
            self.damage.push(damage);
        }
    }

    fn keep(&mut self, run: Run, limits: Limits) {
        let Run { mapping, .. } = run;
        self.run_count = self.run_count.wrapping_add(1);
        self.end = mapping.gpa.wrapping_add(mapping.size);
        if let Some(bytes) = self.bytes.get_mut(mapping.state as usize) {
            *bytes = bytes.wrapping_add(mapping.size);
        }
        if self.runs.len() < limits.runs {
            self.runs.push(run);
        }
    }
}

/// A run of pages of equal state and size.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// What the pages are.
    pub mapping: axas_mapping_t,
    /// 1 for pages of 4 KiB, 2 of 2 MiB, 3 of 1 GiB; 0 where no page is mapped.
    pub level: u32,
    /// Of pages that are mapped, if it was asked for.
    pub usage: Option<Usage>,
}

/// What the leaf of a page says of its use. While nothing is logged all pages are dirty and young.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Written since it was made clean.
    pub dirty: bool,
    /// Touched since it was made old.
    pub young: bool,
}

impl Usage {
    /// In words.
    pub fn name(self) -> &'static str {
        match (self.dirty, self.young) {
            (false, false) => "clean old",
            (false, true) => "clean young",
            (true, false) => "dirty old",
            (true, true) => "dirty young",
        }
    }
}

/// A class of pages that are merged: the level, and bits for [`Usage`], where it was asked for.
const USAGE_KNOWN: u32 = 0x100;
const DIRTY: u32 = 0x200;
const YOUNG: u32 = 0x400;

impl Run {
    fn new(mapping: axas_mapping_t, class: u32) -> Self {
        let usage = Usage { dirty: class & DIRTY != 0, young: class & YOUNG != 0 };
        Self { mapping, level: class & 0xff, usage: (class & USAGE_KNOWN != 0).then_some(usage) }
    }

    /// The run as `axas_dump` of a space that ends at `end` prints it.
    pub fn line(&self, end: u64) -> String {
        let line = line(&self.mapping, self.level, end);
        line.as_bytes().iter().copied().map(char::from).collect()
    }

    /// What the pages are: reserved, trap, linear, owned.
    pub fn state(&self) -> &'static str {
        state_name(self.mapping.state)
    }

    /// What the guest may do, as in `r-x`.
    pub fn access(&self) -> String {
        access_letters(&self.mapping).into_iter().map(char::from).collect()
    }

    /// The memory type.
    pub fn memory(&self) -> &'static str {
        memory_name(&self.mapping)
    }

    /// The size of the pages, of a reservation the largest that it may get.
    pub fn page(&self) -> &'static str {
        page_name(&self.mapping, self.level)
    }
}

/// Something that does not occur in a space while no call changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What it is.
    pub cause: Cause,
    /// First guest-physical address that it concerns.
    pub gpa: u64,
    /// Bytes from there.
    pub size: u64,
    /// Level of the table or of the entry's table.
    pub level: u32,
    /// Host-physical address of the table or of the entry.
    pub address: u64,
    /// The entry; 0 where a table is meant.
    pub word: u64,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The table is not in the memory given.
    TableMissing,
    /// The table was reached before, from another entry or from one of its own.
    TableTwice,
    /// The table is empty; it is not the root, and not marked as kept.
    TableEmpty,
    /// The entry that points to the table has another number of its occupied entries than there are.
    TableCount,
    /// The guest can reach the table.
    TableExposed,
    /// Hardware makes nothing of the entry, or the library has no state for it.
    EntryCorrupt,
    /// The entry means something but has bits that the library does not write.
    EntryForeign,
    /// An entry in transition, written only while a call changes the space.
    EntryInTransition,
    /// The entry's address is wider than host-physical addresses are, or not a multiple of its size.
    AddressUnusable,
    /// The entry stands outside the space.
    OutsideSpace,
    /// A frame of the library's is mapped here and at another place.
    FrameTwice,
}

impl Cause {
    /// All causes, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::TableMissing,
        Self::TableTwice,
        Self::TableEmpty,
        Self::TableCount,
        Self::TableExposed,
        Self::EntryCorrupt,
        Self::EntryForeign,
        Self::EntryInTransition,
        Self::AddressUnusable,
        Self::OutsideSpace,
        Self::FrameTwice,
    ];
}

impl Tables {
    /// Takes a description of tables.
    ///
    /// # Errors
    /// `InvalidInput`: the root is not aligned, the range is empty or not one of pages; `Unsupported`:
    /// the format has no such shape or is not built in.
    pub fn attach(description: &Description) -> Result<Self> {
        let needed_bits = match &description.range {
            Some(range) if range.is_empty() || !is_page_aligned(range.start | range.end) => {
                return Err(Error::InvalidInput);
            }
            Some(range) => u64::BITS.wrapping_sub(range.end.wrapping_sub(1).leading_zeros()),
            None => 0,
        };
        let shape = with_format!(description.format, F => F::shape(ShapeRequest {
            levels: description.levels,
            gpa_bits: description.gpa_bits,
            pa_bits: if description.pa_bits == 0 { F::MAX_PA_BITS } else { description.pa_bits },
            needed_bits,
        }))?;
        let root = description.root;
        let root_bytes = PAGE_SIZE.wrapping_shl(shape.root_order);
        if root & root_bytes.wrapping_sub(1) != 0 || root.wrapping_shr(shape.pa_bits) != 0 {
            return Err(Error::InvalidInput);
        }
        let range = description.range.clone().unwrap_or(0..1_u64.wrapping_shl(shape.gpa_bits));
        Ok(Self { format: description.format, root, shape, range, usage: description.usage })
    }

    /// The shape that the description came to.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Reads all there is, in two passes, and keeps as much as `limits` say. `memory` gives the page at a
    /// host-physical address, if it has it, with words as the machine stores them.
    pub fn read(
        &self,
        limits: Limits,
        memory: &mut dyn FnMut(u64) -> Option<Page>,
    ) -> Result<Contents> {
        with_format!(self.format, F => {
            let survey = Reader::<F>::new(self, memory, Survey::default(), NOTHING).survey();
            Ok(Reader::<F>::new(self, memory, survey, limits).read())
        })
    }
}

/// A table that is being read.
struct Position {
    address: u64,
    level: u32,
    gpa: u64,
    /// A hidden table is on the way to it.
    is_hidden: bool,
    page: Page,
    next: usize,
}

/// An entry and its place.
struct Place<F> {
    entry: Entry<F>,
    address: u64,
    level: u32,
    gpa: u64,
    is_hidden: bool,
}

impl Position {
    fn next<F: Format>(&mut self) -> Option<Place<F>> {
        let word = self.page.get(self.next)?;
        let index = self.next as u64;
        self.next = self.next.wrapping_add(1);
        Some(Place {
            entry: Entry::from_word(*word),
            address: self.address.wrapping_add(index.wrapping_mul(size_of::<u64>() as u64)),
            level: self.level,
            is_hidden: self.is_hidden,
            gpa: self.gpa.wrapping_add(index.wrapping_mul(Level::new(self.level).size())),
        })
    }
}

/// What the first pass is for.
#[derive(Default)]
struct Survey {
    /// Addresses of all tables, for what the guest can reach may be met before them.
    tables: BTreeSet<u64>,
    owned_runs: usize,
}

/// The first pass keeps none.
const NOTHING: Limits = Limits { runs: 0, damage: 0 };

/// A run of the library's frames. There can be one for each entry: it is kept small.
struct Owned {
    hpa: u64,
    gpa: u64,
    /// The level stands in the bits that are zero in a size.
    size_and_level: u64,
}

const LEVEL: u64 = PAGE_SIZE - 1;

struct Reader<'a, F> {
    tables: &'a Tables,
    memory: &'a mut dyn FnMut(u64) -> Option<Page>,
    survey: Survey,
    limits: Limits,
    entered: BTreeSet<u64>,
    merge: Merge,
    owned_runs: usize,
    owned: Vec<Owned>,
    contents: Contents,
    format: PhantomData<F>,
}

/// What an entry says of how many entries of its table are occupied.
#[derive(Clone, Copy)]
struct Occupancy(u64);

impl Occupancy {
    /// Holds it against a table of a level; what is wrong.
    fn against<F: Format>(self, page: &Page, level: u32) -> core::result::Result<(), Cause> {
        let (mut count, mut runs, mut is_in_run) = (0_u64, 0_u64, false);
        for word in page {
            let entry = Entry::<F>::from_word(*word);
            let is_occupied = !entry.is_empty() && !entry.is_kept_table(level);
            count = count.wrapping_add(u64::from(is_occupied));
            runs = runs.wrapping_add(u64::from(is_occupied && !is_in_run));
            is_in_run = is_occupied;
        }
        if count == 0 {
            let is_kept = self.0 == Entry::<F>::KEPT;
            return if is_kept { Ok(()) } else { Err(Cause::TableEmpty) };
        }
        let holds = if self.0 == Entry::<F>::RUN {
            runs == 1
        } else {
            self.0 == Entry::<F>::UNKNOWN || self.0 == count
        };
        if holds { Ok(()) } else { Err(Cause::TableCount) }
    }
}

impl<'a, F: Format> Reader<'a, F> {
    fn new(
        tables: &'a Tables,
        memory: &'a mut dyn FnMut(u64) -> Option<Page>,
        survey: Survey,
        limits: Limits,
    ) -> Self {
        // Not more than needed, which growing would be.
        let owned = Vec::with_capacity(survey.owned_runs);
        Self {
            tables,
            memory,
            survey,
            limits,
            entered: BTreeSet::new(),
            merge: Merge::default(),
            owned_runs: 0,
            owned,
            contents: Contents::default(),
            format: PhantomData,
        }
    }

    fn survey(mut self) -> Survey {
        self.walk();
        Survey { tables: self.entered, owned_runs: self.owned_runs }
    }

    fn read(mut self) -> Contents {
        self.walk();
        self.contents.stats.table_frames = self.entered.len() as u64;
        self.find_frames_twice();
        self.contents
    }

    fn walk(&mut self) {
        let Shape { levels, root_order, .. } = self.tables.shape;
        for page in 0..1_u64.wrapping_shl(root_order) {
            let address = self.tables.root.wrapping_add(page.wrapping_mul(PAGE_SIZE));
            let gpa = page.wrapping_mul(Level::new(levels).table_size());
            let mut path = Vec::from_iter(self.enter(address, levels, gpa, None));
            while let Some(position) = path.last_mut() {
                match position.next() {
                    Some(place) => path.extend(self.take(&place)),
                    None => drop(path.pop()),
                }
            }
        }
        self.keep_run();
    }

    /// Begins a table that was not begun before, if it is there. Of a root nothing is said.
    fn enter(
        &mut self,
        address: u64,
        level: u32,
        gpa: u64,
        said: Option<Occupancy>,
    ) -> Option<Position> {
        let mut note = |cause| {
            let size = Level::new(level).table_size();
            let damage = Damage { cause, gpa, size, level, address, word: 0 };
            self.contents.note(damage, self.limits);
        };
        if self.entered.contains(&address) {
            note(Cause::TableTwice);
            return None;
        }
        let Some(page) = (self.memory)(address) else {
            note(Cause::TableMissing);
            return None;
        };
        if let Some(Err(cause)) = said.map(|said| said.against::<F>(&page, level)) {
            note(cause);
        }
        self.entered.insert(address);
        Some(Position { address, level, gpa, is_hidden: false, page, next: 0 })
    }

    /// Takes an entry into account; the table that it points to, if it is to be read.
    fn take(&mut self, place: &Place<F>) -> Option<Position> {
        let Place { entry, level, gpa, .. } = *place;
        let state = entry.state(level);
        if let State::Table | State::HiddenTable = state {
            let table = entry.address().bits();
            let said = Occupancy(entry.shown_table().occupancy());
            let shown = Entry::table(entry.address()).with_occupancy(said.0);
            let is_hidden = state == State::HiddenTable;
            if is_hidden && entry.is_opening() {
                self.expect(place, Cause::EntryInTransition, false);
            } else {
                let written = if is_hidden { shown.hidden_table() } else { shown };
                let used = if is_hidden { entry } else { entry.used_table() };
                self.expect(place, Cause::EntryForeign, used == written);
            }
            let is_usable = self.is_usable(table, PAGE_SIZE);
            self.expect(place, Cause::AddressUnusable, is_usable);
            let mut below = if is_usable {
                self.enter(table, level.wrapping_sub(1), gpa, Some(said))
            } else {
                None
            };
            match &mut below {
                Some(position) => position.is_hidden = is_hidden || place.is_hidden,
                None => self.add(place, nothing()),
            }
            return below;
        }
        if state != State::Empty {
            self.check(place, state);
        }
        let entry = if place.is_hidden { entry.below_hidden(Features(0)) } else { entry };
        self.add(place, describe(entry, level, Features(0)));
        None
    }

    /// Notes what is wrong with an entry that is neither empty nor points to a table.
    fn check(&mut self, place: &Place<F>, state: State) {
        let Place { entry, level, gpa, .. } = *place;
        let size = Level::new(level).size();
        let Range { start, end } = self.tables.range;
        let is_inside = gpa >= start && gpa.wrapping_add(size) <= end;
        self.expect(place, Cause::OutsideSpace, is_inside);
        match state {
            State::Leaf => {
                self.expect(place, Cause::EntryForeign, is_leaf_of_ours(entry, level));
                let is_usable = self.is_usable(entry.address().bits(), size);
                self.expect(place, Cause::AddressUnusable, is_usable);
            }
            State::Reserved => {
                let reservation = entry.reservation();
                let is_ours = if entry.is_provided() {
                    entry == Entry::provided(reservation, entry.provider())
                } else {
                    entry == Entry::reserved(reservation)
                };
                self.expect(place, Cause::EntryForeign, is_ours);
            }
            State::Trap => {
                let is_ours = entry == Entry::trap(entry.cookie()).with_tag(entry.tag());
                self.expect(place, Cause::EntryForeign, is_ours);
            }
            State::Hidden => {
                self.expect(place, Cause::EntryForeign, is_hidden_of_ours(entry, level));
                let is_usable = self.is_usable(entry.address().bits(), size);
                self.expect(place, Cause::AddressUnusable, is_usable);
            }
            State::Note => {
                self.expect(
                    place,
                    Cause::EntryForeign,
                    entry == Entry::note(entry.cookie()).with_tag(entry.tag()),
                );
            }
            State::Corrupt => self.expect(place, Cause::EntryCorrupt, false),
            _ => self.expect(place, Cause::EntryInTransition, false),
        }
    }

    fn expect(&mut self, place: &Place<F>, cause: Cause, is_so: bool) {
        if !is_so {
            let damage = Damage {
                cause,
                gpa: place.gpa,
                size: Level::new(place.level).size(),
                level: place.level,
                address: place.address,
                word: place.entry.word(),
            };
            self.contents.note(damage, self.limits);
        }
    }

    /// Whether `bytes` bytes of memory can be at `address`.
    fn is_usable(&self, address: u64, bytes: u64) -> bool {
        address.wrapping_shr(self.tables.shape.pa_bits) == 0 && address & bytes.wrapping_sub(1) == 0
    }

    /// Adds what an entry says, as far as it lies in the space.
    fn add(&mut self, place: &Place<F>, found: axas_mapping_t) {
        let Range { start, end } = self.tables.range;
        let stop = place.gpa.wrapping_add(Level::new(place.level).size()).min(end);
        let gpa = place.gpa.max(start);
        if gpa >= stop {
            return;
        }
        let mut found = axas_mapping_t { gpa, size: stop.wrapping_sub(gpa), ..found };
        let stats = &mut self.contents.stats;
        if found.hpa != AXAS_HPA_INVALID {
            found.hpa = found.hpa.wrapping_add(gpa.wrapping_sub(place.gpa));
            let leaves = match place.level {
                1 => &mut stats.mapped_4k,
                2 => &mut stats.mapped_2m,
                _ => &mut stats.mapped_1g,
            };
            *leaves = leaves.wrapping_add(1);
            if place.entry.is_owned() {
                let pages = Level::new(place.level).pages();
                stats.guest_frames = stats.guest_frames.wrapping_add(pages);
            }
        }
        let mut class = page_level(&found, place.level);
        if self.tables.usage && place.entry.state(place.level) == State::Leaf {
            class |= USAGE_KNOWN;
            class |= if place.entry.is_dirty() { DIRTY } else { 0 };
            class |= if place.entry.word() & F::YOUNG != 0 { YOUNG } else { 0 };
        }
        if !self.merge.adds(&found, class) {
            self.keep_run();
            self.merge.adds(&found, class);
        }
    }

    fn keep_run(&mut self) {
        let merge = core::mem::take(&mut self.merge);
        if !merge.is_begun() {
            return;
        }
        let run = Run::new(merge.run, merge.class);
        self.contents.keep(run, self.limits);
        self.find_exposed_table(&run);
        let Run { mapping, level, .. } = run;
        if mapping.state == AXAS_STATE_OWNED {
            self.owned_runs = self.owned_runs.wrapping_add(1);
        }
        // The first pass has no room: it counts.
        if mapping.state == AXAS_STATE_OWNED && self.owned.len() < self.owned.capacity() {
            let size_and_level = mapping.size | u64::from(level);
            self.owned.push(Owned { hpa: mapping.hpa, gpa: mapping.gpa, size_and_level });
        }
    }

    /// Notes the first table that a run lets the guest reach.
    fn find_exposed_table(&mut self, run: &Run) {
        let Run { mapping, level, .. } = run;
        if mapping.hpa == AXAS_HPA_INVALID {
            return;
        }
        let end = mapping.hpa.saturating_add(mapping.size);
        if let Some(table) = self.survey.tables.range(mapping.hpa..end).next() {
            let damage = Damage {
                cause: Cause::TableExposed,
                gpa: mapping.gpa.wrapping_add(table.wrapping_sub(mapping.hpa)),
                size: PAGE_SIZE,
                level: *level,
                address: *table,
                word: 0,
            };
            self.contents.note(damage, self.limits);
        }
    }

    /// Notes frames of the library's that would go back twice.
    fn find_frames_twice(&mut self) {
        let mut owned = core::mem::take(&mut self.owned);
        owned.sort_unstable_by_key(|run| (run.hpa, run.gpa));
        let mut taken = 0;
        for Owned { hpa, gpa, size_and_level } in owned {
            let (size, level) = (size_and_level & !LEVEL, size_and_level & LEVEL);
            let end = hpa.saturating_add(size);
            if hpa < taken {
                let damage = Damage {
                    cause: Cause::FrameTwice,
                    gpa,
                    size: taken.min(end).wrapping_sub(hpa),
                    level: level as u32,
                    address: hpa,
                    word: 0,
                };
                self.contents.note(damage, self.limits);
            }
            taken = taken.max(end);
        }
    }
}

/// A hole, or what cannot be read.
fn nothing() -> axas_mapping_t {
    axas_mapping_t { hpa: AXAS_HPA_INVALID, ..axas_mapping_t::default() }
}

/// Whether the library writes such a hidden page.
fn is_hidden_of_ours<F: Format>(entry: Entry<F>, level: u32) -> bool {
    let features = Features(0);
    let written = if entry.is_held() {
        entry.hidden(features, entry.shows_itself())
    } else {
        entry.without_permissions(features, level, false)
    };
    entry == written
}

/// Whether the library writes such a leaf with some choice of features; it may be clean or old.
fn is_leaf_of_ours<F: Format>(entry: Entry<F>, level: u32) -> bool {
    let used = Entry::<F>::from_word(entry.dirtied().word() | F::YOUNG);
    let ignoring_pat = F::FEATURES | Features::IGNORE_GUEST_PAT;
    [0, F::FEATURES, ignoring_pat].map(Features).into_iter().any(|features| {
        let attributes = entry.attributes(features);
        Entry::leaf_template(attributes, features, level, entry.is_owned())
            .is_ok_and(|leaf| leaf.at(entry.address()) == used)
    })
}
