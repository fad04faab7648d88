// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages that change hands between two spaces (part `transfer`).
//!
//! Both spaces are held alone. Everything is looked at and all memory is taken, in both, before the first entry
//! changes. Then the side that loses the pages, or permissions for them, is changed and flushed; then they are wiped
//! if that was asked for; then the other side gets them. Between the flush and the first store of the other side no
//! walker finds the pages.
//!
//! Pages that are lent or given are hidden first ([`super::hide`]), so that an error on the way shows them again.

use super::arch::Format;
use super::content::Content;
use super::entry::{EncodedPermissions, Entry, State};
use super::reap::{Remains, following};
use super::split::Cut;
use super::sweep::{Run, Step};
use super::table::{Broken, Table};
use super::units::{Gpa, GpaRange, Level};
use super::work::{Failed, Work};
use super::{NestedPageTable, add, subtract};
use crate::abi::{AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL, axas_extent_t};
use crate::addr::Bits;
use crate::error::{Error, Result};
use crate::flags::{Attributes, Permissions, Tag};
use crate::hal::{FlushRequest, Owner, publish_tables};
use crate::sync::{Defect, planted};

/// What becomes of the pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// They go to the other space.
    Give,
    /// They are hidden, and mapped in the other space.
    Lend,
    /// They are mapped in both.
    Share,
    /// They go from the other space and are shown.
    TakeBack,
}

/// A transfer, but for the ranges.
#[derive(Clone, Copy)]
pub(crate) struct Deal {
    pub(crate) action: Action,
    /// The permissions that the giver has afterwards; none: they stay. Not an `Option`, which would be more stack.
    pub(crate) giver: Permissions,
    /// The permissions of the taker.
    pub(crate) taker: Permissions,
    /// What is left where pages were given; 0: a hole.
    pub(crate) note: u32,
    /// The pages are zeroed while neither space has them.
    pub(crate) wipes: bool,
    pub(crate) tags: Tags,
}

impl Deal {
    /// The permissions that the giver has afterwards, if they change.
    fn giver(&self) -> Option<Permissions> {
        Some(self.giver).filter(|giver| !giver.is_empty())
    }
}

/// What a transfer has to do with tags.
#[derive(Clone, Copy)]
pub(crate) struct Tags {
    /// Those that may be on the giver's side, as a set; none: all of them.
    pub(crate) of_giver: u32,
    /// The same of the taker's.
    pub(crate) of_taker: u32,
    /// What the giver's pages, or the notes in their place, get.
    pub(crate) giver: Tag,
    /// What the taker's pages get.
    pub(crate) taker: Tag,
}

impl Tags {
    /// Nothing: all may be there, and none is given.
    pub(crate) const NONE: Self =
        Self { of_giver: 0, of_taker: 0, giver: Tag::NONE, taker: Tag::NONE };
}

/// That a tag is in a set.
fn check_tag<F: Format>(entry: Entry<F>, set: u32) -> Result<()> {
    let is_in = set == 0 || entry.is_empty() || set.wrapping_shr(entry.tag().get()) & 1 != 0;
    if is_in { Ok(()) } else { Err(Error::Denied) }
}

/// One of the two spaces, held alone.
pub(crate) struct Side<'a> {
    pub(crate) npt: &'a NestedPageTable,
    pub(crate) work: &'a mut Work,
    pub(crate) range: GpaRange,
}

impl Side<'_> {
    /// The address at the distance of one of the other side from the start of its range.
    fn opposite(&self, other: GpaRange, gpa: Gpa) -> Gpa {
        self.range.start.plus(gpa.minus(other.start))
    }
}

/// Neighbouring entries that are alike, and whose frames lie side by side.
pub(super) struct Batch {
    frames: axas_extent_t,
    /// The first of the entries.
    word: u64,
    level: Level,
    /// What they cover.
    range: GpaRange,
}

impl Batch {
    const NONE: Self = Self {
        frames: axas_extent_t { hpa: 0, size: 0 },
        word: 0,
        level: Level::PAGE,
        range: GpaRange::new(Gpa::new(0), Gpa::new(0)),
    };

    fn entry<F: Format>(&self) -> Entry<F> {
        Entry::from_word(self.word)
    }

    fn state<F: Format>(&self) -> State {
        self.entry::<F>().state(self.level.get())
    }
}

/// Moves pages from one side to the other, or back. Nothing changes on error, unless the host does not reach a table or
/// a page.
#[inline(always)] // A script.
pub(crate) fn transfer<F: Format>(
    from: &mut Side<'_>,
    to: Option<&mut Side<'_>>,
    deal: &Deal,
) -> Result<()> {
    from.npt.show_tables::<F>(from.work, from.range)?;
    let to = match to {
        Some(to) => {
            to.npt.show_tables::<F>(to.work, to.range)?;
            Some(to)
        }
        None => None,
    };
    match to {
        Some(to) if deal.action == Action::TakeBack => {
            let held = check_return::<F>(from, Some(to), deal)?;
            let cut = Cut::All;
            to.npt.stock_cuts::<F>(to.work, to.range, &cut)?;
            stock_giver::<F>(from, deal)?;
            to.npt.unmap_silently::<F>(to.work, to.range)?;
            take_back::<F>(from, Some(to), deal, held)
        }
        Some(to) => {
            let held = check_pages::<F>(from, to, deal)?;
            plan_pages::<F>(from, to, deal)?;
            stock_giver::<F>(from, deal)?;
            if planted(Defect::TakerWritten) {
                make_room::<F>(to)?;
                make_way::<F>(from, to, deal)?;
                put::<F>(from, to, deal)?;
                return take_away::<F>(from, deal);
            }
            let done = take_away::<F>(from, deal)
                .and_then(|()| wipe::<F>(from, Some(to), deal))
                .and_then(|()| make_room::<F>(to))
                .and_then(|()| make_way::<F>(from, to, deal))
                .and_then(|()| put::<F>(from, to, deal));
            if done.is_err() {
                return fail::<F>(from, to, deal);
            }
            if deal.action == Action::Give {
                if held.has_owned {
                    change_owner::<F>(from, to)?;
                }
                leave::<F>(from, deal)
            } else {
                retag::<F>(from, deal, held)
            }
        }
        None => {
            let held = check_return::<F>(from, None, deal)?;
            stock_giver::<F>(from, deal)?;
            take_back::<F>(from, None, deal, held)
        }
    }
}

/// Takes the tables for what the giver's ends cut.
#[inline(never)]
fn stock_giver<F: Format>(from: &mut Side<'_>, deal: &Deal) -> Result<()> {
    let Side { npt, work, range } = from;
    if let Some(to) = deal.giver() {
        EncodedPermissions::new::<F>(to, npt.features, npt.marks_writes())?;
        if npt.small_exec && to.contains(Permissions::EXECUTE) {
            npt.check_small::<F>(&mut work.sweep, *range)?;
        }
    }
    if deal.action != Action::Share || deal.giver().is_some() {
        // Pages are hidden, shown, or given other permissions; each end is cut once.
        return npt.stock_cuts::<F>(work, *range, &Cut::All);
    }
    #[cfg(feature = "tags")]
    npt.stock_cuts::<F>(work, *range, &Cut::Tag(deal.tags.giver))?;
    Ok(())
}

/// What the giver's pages are.
#[derive(Clone, Copy)]
struct Held {
    /// Some of the frames are the library's.
    has_owned: bool,
    /// Some have another tag than they are to have afterwards.
    has_other_tag: bool,
}

impl Held {
    const NOTHING: Self = Self { has_owned: false, has_other_tag: false };

    /// Adds pages that look like an entry.
    #[inline(always)]
    fn add<F: Format>(&mut self, entry: Entry<F>, deal: &Deal) {
        self.has_owned |= entry.is_owned();
        self.has_other_tag |= entry.tag() != deal.tags.giver;
    }
}

/// Gives the giver's pages the tag that they are to have, if some have another.
#[inline(always)]
fn retag<F: Format>(from: &mut Side<'_>, deal: &Deal, held: Held) -> Result<()> {
    let _ = (&from, deal, held.has_other_tag);
    #[cfg(feature = "tags")]
    if held.has_other_tag {
        return from.npt.retag::<F>(from.work, from.range, deal.tags.giver);
    }
    Ok(())
}

/// That the giver has pages which may go to the taker, and the taker room for them. What the giver has.
#[inline(never)]
fn check_pages<F: Format>(from: &mut Side<'_>, to: &mut Side<'_>, deal: &Deal) -> Result<Held> {
    let (mut batch, mut at) = (Batch::NONE, from.range.start);
    let mut held = Held::NOTHING;
    while at < from.range.end {
        at = from.npt.gather::<F>(&mut batch, from.range.from(at)).ok_or(Error::BadState)?;
        check_batch::<F>(from.npt, &batch, to, deal)?;
        held.add(batch.entry::<F>(), deal);
    }
    to.npt.check_vacant::<F>(to.work, to.range, deal.tags.of_taker)?;
    Ok(held)
}

/// Takes the tables that the pages need in the taker's space.
#[inline(never)]
fn plan_pages<F: Format>(from: &mut Side<'_>, to: &mut Side<'_>, deal: &Deal) -> Result<()> {
    let (batch, mut at, mut tables) = (&mut from.work.transferred, from.range.start, 0_u64);
    while at < from.range.end {
        at = from.npt.gather::<F>(batch, from.range.from(at)).ok_or(Error::BadState)?;
        let start = to.opposite(from.range, batch.range.start);
        tables = tables.saturating_add(plan_batch::<F>(batch, start, from.npt, to, deal)?);
    }
    to.work.stock.fill(to.npt, tables)
}

/// That pages may go to the taker.
#[inline(never)]
fn check_batch<F: Format>(
    from: &NestedPageTable,
    batch: &Batch,
    to: &Side<'_>,
    deal: &Deal,
) -> Result<()> {
    let entry = batch.entry::<F>();
    match batch.state::<F>() {
        State::Leaf => {}
        State::Empty => return Err(Error::NotMapped),
        _ => return Err(Error::Denied),
    }
    check_tag(entry, deal.tags.of_giver)?;
    let attributes = entry.attributes(from.features);
    let has = attributes.permissions;
    if !has.contains(deal.taker) || deal.giver().is_some_and(|giver| !has.contains(giver)) {
        return Err(Error::Denied);
    }
    if entry.is_owned()
        && (deal.action != Action::Give || !from.host.gives_to_same_as(&to.npt.host))
    {
        return Err(Error::Unsupported);
    }
    taker_template::<F>(entry, from, to.npt, deal)?;
    if !to.npt.host.is_in_width(batch.frames.hpa, batch.frames.size) {
        return Err(Error::InvalidInput);
    }
    if deal.wipes { from.check_wipe::<F>(batch) } else { Ok(()) }
}

/// A page of the taker's, without its address.
#[inline(always)]
fn taker_template<F: Format>(
    entry: Entry<F>,
    from: &NestedPageTable,
    to: &NestedPageTable,
    deal: &Deal,
) -> Result<Entry<F>> {
    let (permissions, tag) = (deal.taker, deal.tags.taker);
    let attributes = Attributes { permissions, tag, ..entry.attributes(from.features) };
    Entry::leaf_template(attributes, to.features, 1, false)
}

/// What a batch becomes in the taker's space, from an address on.
fn content<'a, F: Format>(
    batch: &'a Batch,
    start: Gpa,
    from: &NestedPageTable,
    to: &NestedPageTable,
    deal: &Deal,
) -> Result<Content<'a, F>> {
    let template = taker_template::<F>(batch.entry(), from, to, deal)?;
    let is_small = to.small_exec && deal.taker.contains(Permissions::EXECUTE);
    let most = Level::new(F::max_leaf_level(to.features)).min(batch.level);
    let most = if is_small { Level::PAGE } else { most };
    Ok(Content::frames(template, start, core::slice::from_ref(&batch.frames), most))
}

/// How many tables a batch takes in the taker's space, without those that it shares with the one before.
#[inline(always)] // Called once.
fn plan_batch<F: Format>(
    batch: &Batch,
    start: Gpa,
    from: &NestedPageTable,
    to: &mut Side<'_>,
    deal: &Deal,
) -> Result<u64> {
    let range = GpaRange::new(start, start.plus(batch.range.size()));
    let content = content::<F>(batch, start, from, to.npt, deal)?;
    let tables = to.npt.plan_replacement(to.work, &content, range)?;
    if start == to.range.start {
        return Ok(tables);
    }
    // Where both lie below one entry that is no table yet, the tables down to the boundary are counted twice.
    let found = to.npt.walk::<F>(start).ok_or(Error::BadState)?;
    let shared = found.level.get().wrapping_sub(Level::dividing_address(start, found.level).get());
    Ok(tables.saturating_sub(shared.into()))
}

/// Takes pages, or permissions, away from the giver.
#[inline(never)]
fn take_away<F: Format>(from: &mut Side<'_>, deal: &Deal) -> Result<()> {
    let Side { npt, work, range } = from;
    match (deal.action, deal.giver()) {
        (Action::Share, None) => Ok(()),
        (Action::Share, Some(giver)) => npt.protect::<F>(work, *range, giver),
        _ => npt.hide::<F>(work, *range),
    }
}

/// Makes both ends of the taker's range boundaries of entries.
#[inline(never)]
fn make_room<F: Format>(to: &mut Side<'_>) -> Result<()> {
    let Side { npt, work, range } = to;
    let mut request = FlushRequest::new(*range);
    npt.split::<F>(work, *range, &Cut::All, &mut request)?;
    // There are holes and notes only.
    request.cancel();
    let mended = npt.mend::<F>(&mut work.broken);
    mended.ok_or(Error::BadState)
}

/// Takes the tables of notes away in whose places larger pages of the giver's come.
#[inline(never)]
fn make_way<F: Format>(from: &mut Side<'_>, to: &mut Side<'_>, deal: &Deal) -> Result<()> {
    let mut request = FlushRequest::new(to.range);
    let broken = break_tables::<F>(from, to, deal, &mut request);
    if !request.is_needed() {
        request.cancel();
        return broken;
    }
    to.npt.issue::<F>(request, AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
    to.npt.begin_reaping();
    broken?;
    let reaped = to.npt.reap::<F>(to.work, to.range, Remains::Busy, true);
    reaped.ok_or(Error::BadState)
}

/// Makes the tables of the taker's dead in whose places larger pages come.
#[inline(always)] // Called once.
fn break_tables<F: Format>(
    from: &mut Side<'_>,
    to: &mut Side<'_>,
    deal: &Deal,
    request: &mut FlushRequest,
) -> Result<()> {
    let (batch, mut at) = (&mut from.work.transferred, from.range.start);
    while at < from.range.end {
        at = from.npt.gather::<F>(batch, from.range.from(at)).ok_or(Error::BadState)?;
        let start = to.opposite(from.range, batch.range.start);
        let content = content::<F>(batch, start, from.npt, to.npt, deal)?;
        let range = GpaRange::new(start, start.plus(batch.range.size()));
        to.npt.break_covered(to.work, &content, range, request).ok_or(Error::BadState)?;
    }
    Ok(())
}

/// Maps the giver's pages in the taker's space.
#[inline(never)]
fn put<F: Format>(from: &mut Side<'_>, to: &mut Side<'_>, deal: &Deal) -> Result<()> {
    let (batch, mut at) = (&mut from.work.transferred, from.range.start);
    while at < from.range.end {
        at = from.npt.gather::<F>(batch, from.range.from(at)).ok_or(Error::BadState)?;
        let start = to.opposite(from.range, batch.range.start);
        let content = content::<F>(batch, start, from.npt, to.npt, deal)?;
        let range = GpaRange::new(start, start.plus(batch.range.size()));
        to.npt.put_batch(to.work, &content, range).ok_or(Error::BadState)?;
    }
    publish_tables();
    to.npt.announce::<F>(to.range);
    Ok(())
}

/// The host did not reach a table or a page: the taker gets none, the giver keeps all.
#[cold]
#[inline(never)]
fn fail<F: Format>(from: &mut Side<'_>, to: &mut Side<'_>, deal: &Deal) -> Result<()> {
    if deal.action != Action::Share {
        // What cannot be shown stays hidden.
        let _ = from.npt.show::<F>(from.work, from.range);
    }
    to.work.fails_in::<F>(to.npt, Failed::Replacement, to.range, Error::BadState)
}

/// Leaves notes, or nothing, where the giver's pages were.
#[inline(never)]
fn leave<F: Format>(from: &mut Side<'_>, deal: &Deal) -> Result<()> {
    let Side { npt, work, range } = from;
    if deal.note == 0 {
        return npt.unmap_silently::<F>(work, *range);
    }
    let note = Entry::<F>::note(deal.note).with_tag(deal.tags.giver);
    npt.put_notes(work, *range, note).ok_or(Error::BadState)
}

/// That the giver has pages to take back, which are the taker's. What the giver has.
#[inline(never)]
fn check_return<F: Format>(
    from: &mut Side<'_>,
    mut to: Option<&mut Side<'_>>,
    deal: &Deal,
) -> Result<Held> {
    let (mut batch, mut at) = (Batch::NONE, from.range.start);
    let mut held = Held::NOTHING;
    while at < from.range.end {
        at = from.npt.gather::<F>(&mut batch, from.range.from(at)).ok_or(Error::BadState)?;
        let entry = batch.entry::<F>();
        match batch.state::<F>() {
            State::Leaf if !deal.wipes => {}
            State::Hidden if entry.is_held() || !deal.wipes => {}
            State::Empty => return Err(Error::NotMapped),
            _ => return Err(Error::Denied),
        }
        check_tag(entry, deal.tags.of_giver)?;
        if entry.is_owned() {
            return Err(Error::Unsupported);
        }
        if deal.wipes {
            from.npt.check_wipe::<F>(&batch)?;
        }
        if let Some(to) = to.as_deref_mut() {
            let start = to.opposite(from.range, batch.range.start);
            check_same::<F>(to, &batch, start, deal.tags.of_taker)?;
        }
        held.add(entry, deal);
    }
    Ok(held)
}

/// That the frames of the giver's batch are mapped in the taker's space from an address on, as the host's.
#[inline(never)]
fn check_same<F: Format>(to: &mut Side<'_>, batch: &Batch, start: Gpa, tags: u32) -> Result<()> {
    let (mut at, stop) = (start, start.plus(batch.frames.size));
    let distance = batch.frames.hpa.wrapping_sub(start.bits());
    let found = &mut to.work.transferred;
    while at < stop {
        let hpa = at.bits().wrapping_add(distance);
        at = to.npt.gather::<F>(found, GpaRange::new(at, stop)).ok_or(Error::BadState)?;
        match found.state::<F>() {
            State::Leaf if !found.entry::<F>().is_owned() => {}
            State::Empty => return Err(Error::NotMapped),
            _ => return Err(Error::Denied),
        }
        check_tag(found.entry::<F>(), tags)?;
        if found.frames.hpa != hpa {
            return Err(Error::Denied);
        }
    }
    Ok(())
}

/// Gives the giver its pages back, which the taker has no more.
#[inline(always)] // A script.
fn take_back<F: Format>(
    from: &mut Side<'_>,
    to: Option<&Side<'_>>,
    deal: &Deal,
    held: Held,
) -> Result<()> {
    wipe::<F>(from, to, deal)?;
    let Side { npt, work, range } = from;
    if let Some(giver) = deal.giver() {
        npt.protect::<F>(work, *range, giver)?;
    }
    npt.show::<F>(work, *range)?;
    retag::<F>(from, deal, held)
}

/// Zeroes the giver's pages, which no walker finds, if they are to be.
#[inline(never)]
fn wipe<F: Format>(from: &mut Side<'_>, to: Option<&Side<'_>>, deal: &Deal) -> Result<()> {
    let (mut batch, mut at) = (Batch::NONE, from.range.start);
    while deal.wipes && at < from.range.end {
        at = from.npt.gather::<F>(&mut batch, from.range.from(at)).ok_or(Error::BadState)?;
        let attributes = batch.entry::<F>().attributes(from.npt.features);
        let reader = to.map_or(from.npt, |to| to.npt);
        let cleans = reader.features.cleans_guest::<F>(attributes)
            || from.npt.features.cleans_guest::<F>(attributes);
        from.npt.wipe_batch::<F>(&batch, cleans)?;
    }
    Ok(())
}

/// Makes the frames of the library's that were given the other space's.
#[inline(never)]
fn change_owner<F: Format>(from: &mut Side<'_>, to: &mut Side<'_>) -> Result<()> {
    let (mut batch, mut at) = (Batch::NONE, from.range.start);
    while at < from.range.end {
        at = from.npt.gather::<F>(&mut batch, from.range.from(at)).ok_or(Error::BadState)?;
        if batch.entry::<F>().is_owned() {
            let (mine, size) = (batch.range, batch.range.size());
            let start = to.opposite(from.range, mine.start);
            let theirs = GpaRange::new(start, start.plus(size));
            // A frame that is lost on the way is better than one that goes back twice.
            let changed = from.npt.set_owner::<F>(from.work, mine, false);
            changed
                .and_then(|()| to.npt.set_owner::<F>(to.work, theirs, true))
                .ok_or(Error::BadState)?;
        }
    }
    Ok(())
}

impl NestedPageTable {
    /// Gathers entries from the beginning of a range on; where the next one begins.
    #[inline(never)]
    fn gather<F: Format>(&self, batch: &mut Batch, range: GpaRange) -> Option<Gpa> {
        let mut at = range.start;
        while at < range.end {
            let (found, page) = self.walk_to::<F>(at)?;
            let (entry, level) = (found.entry, found.level);
            let hpa = entry.address().plus(at.offset(level)).bits();
            if at == range.start {
                (batch.word, batch.level) = (entry.word(), level);
                batch.frames.hpa = hpa;
            }
            let first = batch.entry::<F>();
            let is_next = level == batch.level
                && entry.word_without_address() == first.word_without_address()
                && entry.state(level.get()) == batch.state::<F>()
                && hpa == batch.frames.hpa.wrapping_add(at.minus(range.start));
            if !is_next {
                break;
            }
            let span = GpaRange::new(at, range.end.min(at.end(level.up()))).span(level);
            let step = entry.step(level.size());
            let alike = following(Table::<F>::reach(self, page)?.slots(span), entry.word(), step);
            let count = if entry.is_page() { alike as u64 } else { 1 };
            at = at.base(level).plus(count.wrapping_shl(level.shift())).min(range.end);
        }
        batch.range = GpaRange::new(range.start, at);
        batch.frames.size = batch.range.size();
        Some(at)
    }

    /// That nothing is in a range but notes.
    #[inline(never)]
    fn check_vacant<F: Format>(&self, work: &mut Work, range: GpaRange, tags: u32) -> Result<()> {
        work.sweep.begin(self, range);
        while work.sweep.next::<F>(self, &Broken::NONE).ok_or(Error::BadState)? {
            let Run { page, level, span, .. } = work.sweep.run;
            let (mut is_vacant, mut tagged) = (true, Ok(()));
            Table::<F>::reach(self, page).ok_or(Error::BadState)?.for_each(span, |entry| {
                is_vacant &= entry.is_empty() || entry.state(level.get()) == State::Note;
                tagged = tagged.and(check_tag(entry, tags));
            });
            if !is_vacant {
                return Err(Error::AlreadyExists);
            }
            tagged?;
        }
        Ok(())
    }

    /// Counts the entries of a range that are empty as occupied.
    #[inline(never)]
    fn occupy_range<F: Format>(&self, work: &mut Work, range: GpaRange) -> Option<()> {
        let sweep = &mut work.sweep;
        sweep.begin(self, range);
        while sweep.next::<F>(self, &Broken::NONE)? {
            let Run { page, level, span, gpa } = sweep.run;
            let mut added = 0_u64;
            Table::<F>::reach(self, page)?.for_each(span, |entry| {
                added = added.wrapping_add(u64::from(entry.is_empty()));
            });
            if added != 0 {
                self.occupy::<F>(sweep.path(), gpa, level, span, added)?;
            }
        }
        Some(())
    }

    /// Maps a batch where holes and notes are.
    #[inline(always)] // Called once.
    fn put_batch<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Option<()> {
        self.occupy_range::<F>(work, range)?;
        self.put_parts(work, content, range)
    }

    /// Makes the tables of a range dead in whose places larger entries come. A kept one, which is empty, counts as
    /// occupied from now on.
    #[inline(never)]
    fn break_covered<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let mut pieces = content.pieces();
        let sweep = &mut work.sweep;
        sweep.begin(self, range);
        loop {
            let step = sweep.step::<F>(self, &Broken::NONE)?;
            let Run { page, level, span, gpa } = sweep.run;
            match step {
                Step::End => return Some(()),
                Step::Table(table) if pieces.covers(range, gpa, level) => {
                    let is_kept = self.entry::<F>(page, span.first)?.is_kept_table(level.get());
                    self.set(page, span.first, Entry::<F>::table(table).dead_table())?;
                    request.add_table();
                    sweep.skip(self);
                    if is_kept {
                        self.occupy::<F>(sweep.path(), gpa, level, span, 1)?;
                    }
                }
                Step::Table(table) | Step::Hidden(table) => sweep.enter(self, gpa, table)?,
                Step::Entries => {}
            }
        }
    }

    /// That pages can be zeroed, as far as the first one tells.
    #[inline(never)]
    fn check_wipe<F: Format>(&self, batch: &Batch) -> Result<()> {
        let entry = batch.entry::<F>();
        let owner = if entry.is_owned() { Owner::Library } else { Owner::Host };
        let is_device = entry.attributes(self.features).memory.is_device();
        if is_device {
            return Err(Error::Unsupported);
        }
        let window = self.host.guest_window(batch.frames.hpa, Level::PAGE.size(), owner)?;
        window.map(drop).ok_or(Error::Unsupported)
    }

    /// Zeroes pages.
    #[inline(never)]
    fn wipe_batch<F: Format>(&self, batch: &Batch, cleans: bool) -> Result<()> {
        let is_owned = batch.entry::<F>().is_owned();
        let owner = if is_owned { Owner::Library } else { Owner::Host };
        let axas_extent_t { mut hpa, size } = batch.frames;
        let end = hpa.wrapping_add(size);
        while hpa < end {
            let window = self.host.guest_window(hpa, end.wrapping_sub(hpa), owner)?;
            let window = window.ok_or(Error::BadState)?;
            // SAFETY: no entry of either space leads to the page, and no CPU holds one that did.
            unsafe { window.zero() };
            if cleans {
                window.clean();
            }
            hpa = hpa.wrapping_add(window.bytes() as u64);
        }
        Ok(())
    }

    /// Makes the frames of a range's pages the library's, or those of a range's hidden pages the host's, and counts them.
    #[inline(never)]
    fn set_owner<F: Format>(&self, work: &mut Work, range: GpaRange, is_owned: bool) -> Option<()> {
        work.sweep.begin(self, range);
        while work.sweep.next::<F>(self, &Broken::NONE)? {
            let Run { page, level, span, .. } = work.sweep.run;
            Table::<F>::reach(self, page)?.edit(span, |entry| entry.with_owner(is_owned));
            let pages = (span.count() as u64).wrapping_shl(level.order());
            if is_owned {
                add(&self.counts.guest, pages);
                add(&self.counts.allocated, pages);
            } else {
                subtract(&self.counts.guest, pages);
                add(&self.counts.released, pages);
            }
        }
        Some(())
    }

    /// Puts notes in the places of the hidden pages of a range.
    #[inline(never)]
    fn put_notes<F: Format>(&self, work: &mut Work, range: GpaRange, note: Entry<F>) -> Option<()> {
        work.sweep.begin(self, range);
        while work.sweep.next::<F>(self, &Broken::NONE)? {
            let Run { page, level, span, .. } = work.sweep.run;
            Table::<F>::reach(self, page)?.update(span, |_| note);
            self.discount_leaves(level, span.count() as u64);
        }
        publish_tables();
        Some(())
    }
}
