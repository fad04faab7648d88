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
use super::units::{Gpa, GpaRange, Index, Level, Span};
use super::work::{Failed, Work};
use super::{NestedPageTable, add, subtract};
use crate::abi::{AXAS_FLUSH_UNMAP, axas_extent_t};
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
            check_return::<F>(from, Some(to), deal)?;
            let cut = Cut::All;
            to.npt.stock_cuts::<F>(to.work, to.range, &cut)?;
            stock_giver::<F>(from, deal)?;
            to.npt.unmap_silently::<F>(to.work, to.range)?;
            take_back::<F>(from, Some(to), deal)
        }
        Some(to) => {
            let has_owned = check_pages::<F>(from, to, deal)?;
            if to.npt.keeps_tables() {
                to.npt.collect::<F>(to.work, to.range)?;
            }
            plan_pages::<F>(from, to, deal)?;
            stock_giver::<F>(from, deal)?;
            if planted(Defect::TakerWritten) {
                make_room::<F>(to)?;
                put::<F>(from, to, deal)?;
                return take_away::<F>(from, deal);
            }
            let done = take_away::<F>(from, deal)
                .and_then(|()| wipe::<F>(from, Some(to), deal))
                .and_then(|()| make_room::<F>(to))
                .and_then(|()| put::<F>(from, to, deal));
            if done.is_err() {
                return fail::<F>(from, to, deal);
            }
            if deal.action == Action::Give {
                if has_owned {
                    change_owner::<F>(from, to)?;
                }
                leave::<F>(from, deal)
            } else {
                #[cfg(feature = "tags")]
                from.npt.retag::<F>(from.work, from.range, deal.tags.giver)?;
                Ok(())
            }
        }
        None => {
            check_return::<F>(from, None, deal)?;
            stock_giver::<F>(from, deal)?;
            take_back::<F>(from, None, deal)
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

/// That the giver has pages which may go to the taker, and the taker room for them. Whether
/// some of the frames are the library's.
#[inline(never)]
fn check_pages<F: Format>(from: &mut Side<'_>, to: &mut Side<'_>, deal: &Deal) -> Result<bool> {
    let (mut batch, mut at) = (Batch::NONE, from.range.start);
    let mut has_owned = false;
    while at < from.range.end {
        at = from.npt.gather::<F>(&mut batch, from.range.from(at)).ok_or(Error::BadState)?;
        check_batch::<F>(from.npt, &batch, to, deal)?;
        has_owned |= batch.entry::<F>().is_owned();
    }
    to.npt.check_vacant::<F>(to.work, to.range, deal.tags.of_taker)?;
    Ok(has_owned)
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

/// Maps the giver's pages in the taker's space.
#[inline(never)]
fn put<F: Format>(from: &mut Side<'_>, to: &mut Side<'_>, deal: &Deal) -> Result<()> {
    let mut at = from.range.start;
    while at < from.range.end {
        let (batch, rest) = (&mut from.work.transferred, from.range.from(at));
        at = from.npt.gather::<F>(batch, rest).ok_or(Error::BadState)?;
        // One after the other, neither below the other on the stack.
        make_way::<F>(from, to, deal)?;
        put_batch::<F>(from, to, deal)?;
    }
    publish_tables();
    to.npt.announce::<F>(to.range);
    Ok(())
}

/// Where a batch comes to in the taker's space, and what it becomes there.
#[inline(always)]
fn content_of<'a, F: Format>(
    from: &'a Side<'_>,
    to: &Side<'_>,
    deal: &Deal,
) -> Result<(GpaRange, Content<'a, F>)> {
    let batch = &from.work.transferred;
    let start = to.opposite(from.range, batch.range.start);
    let content = content::<F>(batch, start, from.npt, to.npt, deal)?;
    Ok((GpaRange::new(start, start.plus(batch.range.size())), content))
}

/// Takes away the notes in the place of a batch, and the tables in whose places its pages come.
#[inline(never)]
fn make_way<F: Format>(from: &Side<'_>, to: &mut Side<'_>, deal: &Deal) -> Result<()> {
    let (range, content) = content_of::<F>(from, to, deal)?;
    let most = content.largest();
    let mut request = FlushRequest::new(range);
    let vacated = to.npt.vacate::<F>(to.work, range, most, &mut request);
    let has_tables = request.is_needed();
    to.npt.issue_if::<F>(request, AXAS_FLUSH_UNMAP);
    to.npt.begin_reaping();
    if has_tables && vacated.is_some() {
        to.work.releases.begin(false, None);
        return to.npt.reap::<F>(to.work, range, Remains::Busy, true).ok_or(Error::BadState);
    }
    vacated.ok_or(Error::BadState)
}

/// Maps the pages of a batch where entries are busy or empty.
#[inline(never)]
fn put_batch<F: Format>(from: &Side<'_>, to: &mut Side<'_>, deal: &Deal) -> Result<()> {
    let (range, content) = content_of::<F>(from, to, deal)?;
    to.npt.put_parts(to.work, &content, range).ok_or(Error::BadState)
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

/// That the giver has pages to take back, which are the taker's.
#[inline(never)]
fn check_return<F: Format>(
    from: &mut Side<'_>,
    mut to: Option<&mut Side<'_>>,
    deal: &Deal,
) -> Result<()> {
    let (mut batch, mut at) = (Batch::NONE, from.range.start);
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
            to.npt.check_same::<F>(&batch, start, deal.tags.of_taker)?;
        }
    }
    Ok(())
}

/// Gives the giver its pages back, which the taker has no more.
#[inline(always)] // A script.
fn take_back<F: Format>(from: &mut Side<'_>, to: Option<&Side<'_>>, deal: &Deal) -> Result<()> {
    wipe::<F>(from, to, deal)?;
    let Side { npt, work, range } = from;
    if let Some(giver) = deal.giver() {
        npt.protect::<F>(work, *range, giver)?;
    }
    npt.show::<F>(work, *range)?;
    #[cfg(feature = "tags")]
    npt.retag::<F>(work, *range, deal.tags.giver)?;
    Ok(())
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
            let span = Span::new(at.index(level), Index::LAST);
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

    /// Makes holes and notes busy where pages up to a level are to come, and tables dead in whose places these are.
    #[inline(never)]
    fn vacate<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        most: Level,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let sweep = &mut work.sweep;
        sweep.begin(self, range);
        loop {
            let step = sweep.step::<F>(self, &Broken::NONE)?;
            let Run { page, level, span, gpa } = sweep.run;
            let added = match step {
                Step::End => return Some(()),
                Step::Table(table) if level <= most && range.holds_entry(gpa, level) => {
                    self.set(page, span.first, Entry::<F>::table(table).dead_table())?;
                    request.add_table();
                    sweep.skip(self);
                    0
                }
                Step::Table(table) | Step::Hidden(table) => {
                    sweep.enter(self, gpa, table)?;
                    0
                }
                Step::Entries => self.make_busy_run::<F>(&sweep.run, range)?,
            };
            if added != 0 {
                self.occupy::<F>(sweep.path(), gpa, level, span, added)?;
            }
        }
    }

    /// Makes holes and notes busy; how many were holes. Those that the range covers a part of stay until a table takes
    /// their places.
    #[inline(always)] // Called once.
    fn make_busy_run<F: Format>(&self, run: &Run, range: GpaRange) -> Option<u64> {
        let (mut added, mut gpa) = (0_u64, run.gpa);
        Table::<F>::reach(self, run.page)?.update(run.span, |entry| {
            let is_whole = range.holds_entry(gpa, run.level);
            gpa = gpa.end(run.level);
            added = added.wrapping_add(u64::from(entry.is_empty()));
            if is_whole { Entry::busy() } else { entry }
        });
        Some(added)
    }

    /// That the frames of another space's batch are mapped here from an address on, as the host's.
    #[inline(never)]
    fn check_same<F: Format>(&self, batch: &Batch, start: Gpa, tags: u32) -> Result<()> {
        let (mut at, stop) = (start, start.plus(batch.frames.size));
        let distance = batch.frames.hpa.wrapping_sub(start.bits());
        while at < stop {
            let (found, bytes) = self.walk_run::<F>(at, stop.minus(at)).ok_or(Error::BadState)?;
            let entry = found.entry;
            match entry.state(found.level.get()) {
                State::Leaf if !entry.is_owned() => {}
                State::Empty => return Err(Error::NotMapped),
                _ => return Err(Error::Denied),
            }
            check_tag(entry, tags)?;
            let hpa = entry.address().plus(at.offset(found.level)).bits();
            if hpa != at.bits().wrapping_add(distance) {
                return Err(Error::Denied);
            }
            at = stop.min(at.plus(bytes));
        }
        Ok(())
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
