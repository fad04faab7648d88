// SPDX-License-Identifier: MIT OR Apache-2.0
//! A space as a map of ranges. No tables, no entries: a piece knows how large the entries are that say
//! it, and from that follows which tables there must be.

use std::collections::{BTreeMap, BTreeSet};

use axaddrspace::abi::*;

use crate::formats::entry_size;

/// What stands in a piece, at its first address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fault may bring leaves of up to this level.
    Reserved {
        largest: u32,
    },
    Trap {
        cookie: u64,
    },
    Linear {
        hpa: u64,
    },
    Owned {
        hpa: u64,
    },
}

impl Kind {
    pub fn state(self) -> u32 {
        match self {
            Self::Reserved { .. } => AXAS_STATE_RESERVED,
            Self::Trap { .. } => AXAS_STATE_TRAP,
            Self::Linear { .. } => AXAS_STATE_LINEAR,
            Self::Owned { .. } => AXAS_STATE_OWNED,
        }
    }

    pub fn hpa(self) -> Option<u64> {
        match self {
            Self::Linear { hpa } | Self::Owned { hpa } => Some(hpa),
            _ => None,
        }
    }

    fn cookie(self) -> u64 {
        if let Self::Trap { cookie } = self { cookie } else { 0 }
    }

    /// What stands `bytes` further on.
    fn advanced(self, bytes: u64) -> Self {
        match self {
            Self::Linear { hpa } => Self::Linear { hpa: hpa + bytes },
            Self::Owned { hpa } => Self::Owned { hpa: hpa + bytes },
            other => other,
        }
    }
}

/// Neighbouring entries of one level that say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub end: u64,
    /// Level of the entries.
    pub level: u32,
    pub kind: Kind,
    /// Permissions and memory type.
    pub flags: u32,
}

impl Piece {
    /// The level of its leaves; 0 where there are none.
    fn leaf_level(&self) -> u32 {
        if self.kind.hpa().is_some() { self.level } else { 0 }
    }

    /// What the piece, which begins at `start`, says of `gpa`.
    fn at(&self, start: u64, gpa: u64) -> Kind {
        self.kind.advanced(gpa - start)
    }
}

/// The map.
#[derive(Clone, Debug)]
pub struct Model {
    pieces: BTreeMap<u64, Piece>,
    pub start: u64,
    pub end: u64,
    levels: u32,
    root_pages: u64,
    /// With `AXAS_KEEP_TABLES`: the tables that there are, by their level and number.
    standing: Option<BTreeSet<(u32, u64)>>,
}

/// Permissions and memory types: what the model knows of flags.
pub const ATTRIBUTES: u32 = 0xff37;

impl Model {
    pub fn new(start: u64, end: u64, levels: u32, root_pages: u64) -> Self {
        Self { pieces: BTreeMap::new(), start, end, levels, root_pages, standing: None }
    }

    /// From now on tables stay that a range cuts and leaves empty.
    pub fn keep_tables(&mut self) {
        self.standing = Some(BTreeSet::new());
    }

    pub fn keeps_tables(&self) -> bool {
        self.standing.is_some()
    }

    pub fn clear(&mut self) {
        self.pieces.clear();
        if let Some(standing) = &mut self.standing {
            standing.clear();
        }
    }

    /// After a change of a range: tables that lie in it whole are there if an entry needs them, the others
    /// stay.
    pub fn settle_tables(&mut self, start: u64, end: u64) {
        let needed = self.needed();
        if let Some(standing) = &mut self.standing {
            standing.retain(|table| !(start <= first_of(*table) && end_of(*table) <= end));
            standing.extend(needed);
        }
    }

    /// Tables that lie in a range whole, and are there though no entry needs them.
    pub fn kept_in(&self, start: u64, end: u64) -> u64 {
        let needed = self.needed();
        let is_kept = |table: &(u32, u64)| {
            start <= first_of(*table) && end_of(*table) <= end && !needed.contains(table)
        };
        self.standing.iter().flatten().filter(|table| is_kept(table)).count() as u64
    }

    /// Gives back the tables that no entry needs and that cover a part of a range, unless one stays below.
    pub fn collect(&mut self, start: u64, end: u64) {
        let needed = self.needed();
        let Some(standing) = &mut self.standing else { return };
        // From the lowest level up: the set is in that order.
        for table in standing.clone() {
            let covers = first_of(table) < end && start < end_of(table);
            let is_above = |other: &(u32, u64)| {
                other.0 + 1 == table.0
                    && first_of(table) <= first_of(*other)
                    && end_of(*other) <= end_of(table)
            };
            if covers && !needed.contains(&table) && !standing.iter().any(is_above) {
                standing.remove(&table);
            }
        }
    }

    /// Tables that a call has to take of which `self` is the outcome, in a space that was as `before`.
    pub fn new_tables(&self, before: &Self) -> u64 {
        let there = before.standing.clone().unwrap_or_else(|| before.needed());
        self.needed().difference(&there).count() as u64
    }

    pub fn pieces(&self) -> impl Iterator<Item = (u64, &Piece)> {
        self.pieces.iter().map(|(start, piece)| (*start, piece))
    }

    /// The piece that covers an address, and where it begins.
    pub fn find(&self, gpa: u64) -> Option<(u64, Piece)> {
        let (start, piece) = self.pieces.range(..=gpa).next_back()?;
        (gpa < piece.end).then_some((*start, *piece))
    }

    /// What stands at an address.
    pub fn at(&self, gpa: u64) -> Option<(Kind, u32)> {
        self.find(gpa).map(|(start, piece)| (piece.at(start, gpa), piece.flags))
    }

    fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, Piece)> {
        let first =
            if start < end { self.find(start).map_or(start, |(first, _)| first) } else { end };
        self.pieces.range(first..end).map(|(start, piece)| (*start, *piece))
    }

    pub fn is_free(&self, start: u64, end: u64) -> bool {
        self.overlapping(start, end).next().is_none()
    }

    /// Whether all of a range is mapped or reserved.
    pub fn is_mapped(&self, start: u64, end: u64) -> bool {
        let mut reached = start;
        for (first, piece) in self.overlapping(start, end) {
            if first > reached || matches!(piece.kind, Kind::Trap { .. }) {
                return false;
            }
            reached = piece.end;
        }
        reached >= end
    }

    /// Whether an address lies inside an entry.
    pub fn cuts_entry(&self, gpa: u64) -> bool {
        self.find(gpa).is_some_and(|(_, piece)| !gpa.is_multiple_of(entry_size(piece.level)))
    }

    /// Makes an address a boundary of pieces whose entries it does not cut.
    fn divide(&mut self, gpa: u64) {
        if let Some((start, piece)) = self.find(gpa)
            && start != gpa
        {
            self.pieces.insert(start, Piece { end: gpa, ..piece });
            self.pieces.insert(gpa, Piece { kind: piece.at(start, gpa), ..piece });
        }
    }

    /// Replaces the entry that covers an address by 512 smaller ones.
    fn break_up(&mut self, gpa: u64) {
        let (_, piece) = self.find(gpa).unwrap();
        let size = entry_size(piece.level);
        let base = gpa & !(size - 1);
        self.divide(base);
        self.divide(base + size);
        self.pieces.get_mut(&base).unwrap().level -= 1;
    }

    /// Makes an address a boundary of entries.
    fn cut(&mut self, gpa: u64) {
        while self.cuts_entry(gpa) {
            self.break_up(gpa);
        }
        self.divide(gpa);
    }

    pub fn remove(&mut self, start: u64, end: u64) {
        self.cut(start);
        self.cut(end);
        self.pieces.retain(|first, _| !(start..end).contains(first));
    }

    /// An entry that has these permissions is not cut.
    pub fn protect(&mut self, start: u64, end: u64, permissions: u32) {
        for cut in [start, end] {
            if self.find(cut).is_some_and(|(_, piece)| piece.flags & 7 != permissions) {
                self.cut(cut);
            }
        }
        for (_, piece) in self.pieces.range_mut(start..end) {
            piece.flags = piece.flags & !7 | permissions;
        }
    }

    /// The reserved parts of a range.
    pub fn reserved(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let is_reserved = |(_, piece): &(u64, Piece)| matches!(piece.kind, Kind::Reserved { .. });
        self.overlapping(start, end)
            .filter(is_reserved)
            .map(|(first, piece)| (first.max(start), piece.end.min(end)))
            .collect()
    }

    /// Owned frames go, and reservations for frames of the same size stay. Small entries that come to
    /// say the same all over a leaf table become one.
    pub fn discard(&mut self, start: u64, end: u64) {
        for cut in [start, end] {
            if let Some((Kind::Owned { .. }, _)) = self.at(cut) {
                self.cut(cut);
            }
        }
        for (_, piece) in self.pieces.range_mut(start..end) {
            if let Kind::Owned { .. } = piece.kind {
                piece.kind = Kind::Reserved { largest: piece.level };
            }
        }
        let size = entry_size(2);
        let small = |(first, piece): (u64, Piece)| (piece.level == 1).then_some(first..piece.end);
        let pieces: Vec<_> = self.overlapping(start, end).filter_map(small).collect();
        for piece in pieces {
            for base in (piece.start & !(size - 1)..piece.end).step_by(size as usize) {
                if base >= start && base + size <= end {
                    self.fold(base, base + size);
                }
            }
        }
    }

    /// Makes one entry of those of a leaf table, if they are reservations and all the same.
    fn fold(&mut self, start: u64, end: u64) {
        let (_, first) = self.find(start).unwrap();
        let says_it = |(_, piece): (u64, Piece)| {
            (piece.level, piece.kind, piece.flags) == (1, first.kind, first.flags)
        };
        let is_reserved = matches!(first.kind, Kind::Reserved { .. });
        if is_reserved && self.overlapping(start, end).all(says_it) {
            self.divide(start);
            self.divide(end);
            self.pieces.retain(|gpa, _| !(start..end).contains(gpa));
            self.pieces.insert(start, Piece { end, level: 2, ..first });
        }
    }

    /// Fills a free range with the largest entries up to `most` that both addresses and the size allow.
    pub fn fill(&mut self, start: u64, end: u64, kind: Kind, flags: u32, most: u32) {
        let mut gpa = start;
        while gpa < end {
            let kind = kind.advanced(gpa - start);
            let fits = |level: &u32| {
                let size = entry_size(*level);
                gpa.is_multiple_of(size)
                    && end - gpa >= size
                    && kind.hpa().unwrap_or(0).is_multiple_of(size)
            };
            let level = (1..=most).rev().find(fits).unwrap();
            let next = gpa + entry_size(level);
            self.pieces.insert(gpa, Piece { end: next, level, kind, flags });
            self.join(gpa);
            gpa = next;
        }
    }

    /// Joins a piece to the one before if they say the same in entries of the same level.
    fn join(&mut self, start: u64) {
        let piece = self.pieces[&start];
        if let Some((&first, &before)) = self.pieces.range(..start).next_back()
            && before.end == start
            && (before.level, before.flags) == (piece.level, piece.flags)
            && before.at(first, start) == piece.kind
        {
            self.pieces.remove(&start);
            self.pieces.insert(first, Piece { end: piece.end, ..before });
        }
    }

    /// A frame in the place of a reserved entry or a part of it.
    pub fn install(&mut self, gpa: u64, level: u32, hpa: u64) {
        while self.find(gpa).unwrap().1.level > level {
            self.break_up(gpa);
        }
        let base = gpa & !(entry_size(level) - 1);
        let end = base + entry_size(level);
        self.divide(base);
        self.divide(end);
        let piece = self.pieces.get_mut(&base).unwrap();
        *piece = Piece { end, level, kind: Kind::Owned { hpa }, ..*piece };
    }

    /// Runs of pages of equal state within a range, as `for_each` reports them.
    pub fn runs(&self, start: u64, end: u64) -> Vec<axas_mapping_t> {
        let mut runs = Vec::new();
        for (first, piece) in self.overlapping(start, end) {
            let gpa = first.max(start);
            let kind = piece.at(first, gpa);
            append(
                &mut runs,
                axas_mapping_t {
                    gpa,
                    size: piece.end.min(end) - gpa,
                    hpa: kind.hpa().unwrap_or(AXAS_HPA_INVALID),
                    cookie: kind.cookie(),
                    flags: piece.flags,
                    state: kind.state(),
                    level: piece.leaf_level(),
                    ..axas_mapping_t::default()
                },
            );
        }
        runs
    }

    /// The linear pages of a range that a call takes away, in runs of one level. `stays` is the distance of
    /// host and guest addresses that a replace maps again.
    pub fn released(&self, start: u64, end: u64, stays: Option<u64>) -> Vec<axas_mapping_t> {
        let mut cut = self.clone();
        cut.cut(start);
        cut.cut(end);
        let mut runs = Vec::new();
        for (gpa, piece) in cut.overlapping(start, end) {
            let Kind::Linear { hpa } = piece.kind else { continue };
            if stays == Some(hpa.wrapping_sub(gpa)) {
                continue;
            }
            let run = axas_mapping_t {
                gpa,
                size: piece.end - gpa,
                hpa,
                flags: piece.flags,
                state: AXAS_STATE_LINEAR,
                level: piece.level,
                ..axas_mapping_t::default()
            };
            append_of_level(&mut runs, run);
        }
        runs
    }

    /// The entry that covers an address, as `query` reports it.
    pub fn entry(&self, gpa: u64) -> axas_mapping_t {
        let nothing = axas_mapping_t { hpa: AXAS_HPA_INVALID, ..axas_mapping_t::default() };
        let (level, found) = match self.find(gpa) {
            None => (self.hole_level(gpa), nothing),
            Some((start, piece)) => {
                let base = gpa & !(entry_size(piece.level) - 1);
                let kind = piece.at(start, base);
                let hpa = kind.hpa().unwrap_or(AXAS_HPA_INVALID);
                let (flags, state, cookie) = (piece.flags, kind.state(), kind.cookie());
                let level = piece.leaf_level();
                (piece.level, axas_mapping_t { hpa, flags, state, cookie, level, ..nothing })
            }
        };
        let base = gpa & !(entry_size(level) - 1);
        let (start, end) = (base.max(self.start), (base + entry_size(level)).min(self.end));
        axas_mapping_t { gpa: start, size: end - start, ..found }
    }

    /// Level of the empty entry that covers an address: the largest around which nothing stands.
    fn hole_level(&self, gpa: u64) -> u32 {
        let is_empty = |level: &u32| {
            let base = gpa & !(entry_size(*level) - 1);
            self.is_free(base, base + entry_size(*level))
        };
        (1..=self.levels).rev().find(is_empty).unwrap()
    }

    /// Tables that the entries need, the root aside: each that has an entry which is not empty.
    fn needed(&self) -> BTreeSet<(u32, u64)> {
        let mut tables = BTreeSet::new();
        for table_level in 1..self.levels {
            let size = entry_size(table_level + 1);
            for (start, piece) in self.pieces().filter(|(_, piece)| piece.level <= table_level) {
                tables.extend((start / size..piece.end.div_ceil(size)).map(|n| (table_level, n)));
            }
        }
        tables
    }

    /// Tables that there are, the root included.
    pub fn tables(&self) -> u64 {
        let below_root = self.standing.as_ref().map_or_else(|| self.needed().len(), BTreeSet::len);
        self.root_pages + below_root as u64
    }

    /// Leaves of level 1, 2 and 3.
    pub fn leaves(&self) -> [u64; 3] {
        let mut leaves = [0; 3];
        for (start, piece) in self.pieces().filter(|(_, piece)| piece.kind.hpa().is_some()) {
            leaves[piece.level as usize - 1] += (piece.end - start) / entry_size(piece.level);
        }
        leaves
    }

    /// Pages of 4 KiB that are the library's.
    pub fn owned_pages(&self) -> u64 {
        let owned = self.pieces().filter(|(_, piece)| piece.kind.state() == AXAS_STATE_OWNED);
        owned.map(|(start, piece)| (piece.end - start) / 4096).sum()
    }
}

/// The first address that a table can map.
fn first_of((level, number): (u32, u64)) -> u64 {
    number * entry_size(level + 1)
}

/// The first address behind those.
fn end_of((level, number): (u32, u64)) -> u64 {
    (number + 1) * entry_size(level + 1)
}

/// Whether a run says of what follows another what that says, the level of the leaves aside.
fn continues(last: &axas_mapping_t, run: &axas_mapping_t) -> bool {
    let hpa = match last.hpa {
        AXAS_HPA_INVALID => AXAS_HPA_INVALID,
        hpa => hpa + last.size,
    };
    let says = |run: &axas_mapping_t| (run.state, run.flags, run.cookie);
    last.gpa + last.size == run.gpa && hpa == run.hpa && says(last) == says(run)
}

/// Adds a run to others, as a part of the last one if it continues that.
pub fn append(runs: &mut Vec<axas_mapping_t>, run: axas_mapping_t) {
    match runs.last_mut() {
        Some(last) if continues(last, &run) => {
            last.size += run.size;
            if last.level != run.level {
                last.level = 0;
            }
        }
        _ => runs.push(run),
    }
}

/// The same, with levels told apart.
pub fn append_of_level(runs: &mut Vec<axas_mapping_t>, run: axas_mapping_t) {
    match runs.last_mut() {
        Some(last) if continues(last, &run) && last.level == run.level => last.size += run.size,
        _ => runs.push(run),
    }
}
