// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entries: one typed state each.
//!
//! | state | hardware | carries |
//! |---|---|---|
//! | Empty | invalid | nothing |
//! | Reserved | invalid | a reservation; at any level, for the whole region of the entry; of a provider's also its number (part `provider`) |
//! | Trap | invalid | a mark, the cookie of a device; at any level |
//! | Note | invalid | a mark, a word of the host's; at any level (part `hide`) |
//! | Hidden | invalid | address, attributes and owner of a page that no walker is to find (part `hide`) |
//! | HiddenTable | invalid | address and occupancy of a table whose pages show themselves again (part `hide`) |
//! | Busy | invalid | nothing: a leaf between break and make |
//! | Pending | invalid | a frame and a reservation: taken, not published yet |
//! | PendingTable | invalid | a table in the place of a reservation, not published yet |
//! | DeadLeaf | invalid | address, attributes and owner of a leaf between detach and reap |
//! | DeadTable | invalid | address of a table between detach and reap |
//! | Leaf | valid | address, attributes, owner |
//! | Table | valid | address of a table, and how many of its entries are occupied |
//! | Corrupt | either | nothing that this library writes |
//!
//! Busy, the pending and the dead ones exist only while an exclusive call runs. A pending and a dead entry
//! of a frame are of one kind, and so are those of a table: a bit of the payload tells them apart.
//!
//! A leaf says apart whether its mapping allows writes, which is a permission, and whether the hardware may
//! write now, which is its gate. A clean page has its gate shut, or the hardware sets a dirty bit at the first
//! write. Leaves are made dirty and young, and a change of permissions changes neither.
//!
//! An entry that points to a table says in software bits how many of the table's entries are occupied
//! ([`Entry::occupancy`]), as far as the bits go, so that whether a table becomes empty is known without a look at
//! all of it. Whatever makes an entry occupied or empty keeps it; faults, protect, populate and discard do
//! neither.

use core::fmt;
use core::marker::PhantomData;

use super::arch::{Features, Format, InvalidKind};
use crate::abi::{AXAS_MAX_2M, AXAS_NO_HUGE, AXAS_SKIP_ZERO, axas_flags_t};
use crate::addr::{Bits, HostPhysAddr};
use crate::flags::{Attributes, MemoryType, Permissions, Tag};
use crate::sync::{Defect, planted};

/// An entry of format `F`.
#[repr(transparent)]
pub struct Entry<F> {
    word: u64,
    format: PhantomData<F>,
}

impl<F> Clone for Entry<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Entry<F> {}

impl<F> PartialEq for Entry<F> {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl<F> Eq for Entry<F> {}

impl<F> fmt::Debug for Entry<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({:#x})", self.word)
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not mapped.
    Empty,
    /// A lazy reservation.
    Reserved,
    /// An emulated device.
    Trap,
    /// A word of the host's where nothing is mapped.
    Note,
    /// A page that no walker is to find.
    Hidden,
    /// Points to a table in which no walker is to find a page.
    HiddenTable,
    /// Between break and make.
    Busy,
    /// A frame that is not published yet.
    Pending,
    /// A table that is not published yet.
    PendingTable,
    /// A leaf that is gone but not flushed yet.
    DeadLeaf,
    /// A table that is gone but not flushed yet.
    DeadTable,
    /// Maps a page of its level's size.
    Leaf,
    /// Points to a table of the level below.
    Table,
    /// Nothing that this library writes.
    Corrupt,
}

/// Where a walk goes from an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Into the table below.
    Down(HostPhysAddr),
    /// Into the table below, which no walker finds.
    Hidden(HostPhysAddr),
    /// It ends here: the entry is invalid or a leaf.
    Ends,
    /// A valid entry that this library never writes at this level.
    Corrupt,
}

/// What an entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    Nothing,
    /// A frame: it is a leaf, or was one, or will be one.
    Frame,
    /// A table: it points to one, or did, or will.
    Table,
    /// It is none that this library writes.
    Corrupt,
}

/// What becomes of a leaf.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    /// Its page becomes dirty.
    pub(crate) writes: bool,
    /// Its page becomes young.
    pub(crate) uses: bool,
}

/// A lazy reservation, as the eleven low bits of a payload and the four of the tag: what a fault will install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    payload: u16,
}

const PERMISSIONS: u16 = 7;
const MEMORY_SHIFT: u32 = 3;
/// The eight memory types.
const MEMORY: u16 = 7;
/// Of a reservation: its pages were given back since they were last made clean, so that they read as zeroes.
const DIRTY: u16 = 1 << 6;
/// The bit, where it is ever set.
const LOGGED: u16 = if super::LOGS { DIRTY } else { 0 };
const LARGEST_SHIFT: u32 = 7;
const LARGEST: u16 = 3 << LARGEST_SHIFT;
const TAG_SHIFT: u32 = 11;
/// The tag; no bits where none is built in.
const TAG: u16 = if Tag::BITS == 0 { 0 } else { 15 << TAG_SHIFT };
/// Lowest bit of a mark's tag in the address field.
const MARK_TAG_SHIFT: u32 = 32;
/// The frames are not zeroed. In all payloads of reservations but those of dead leaves.
const SKIP_ZERO: u16 = 1 << 10;
/// Bits from there to `AXAS_SKIP_ZERO`.
const SKIP_ZERO_SHIFT: u32 = AXAS_SKIP_ZERO.trailing_zeros() - SKIP_ZERO.trailing_zeros();
/// Of a reservation: its pages are a provider's, whose number is in the address field from bit 12 on.
const PROVIDED: u16 = 1 << 9;
/// Lowest bit of that number.
const PROVIDER_SHIFT: u32 = 12;
/// Whether the part `provider` is built in.
pub(crate) const PROVIDES: bool = cfg!(feature = "provider");
/// In the payload of a dead leaf and of a hidden page: its frame is the library's to free. That of a pending one is in
/// any case.
const OWNED: u16 = 1 << 10;
/// In the payload of a hidden page: `axas_hide` hid it. Without it the page has no permission, and the format has no
/// leaf that says so.
const HELD: u16 = 1 << 7;
/// In the payload of a hidden page: the next access that it allows shows it again.
const AUTO: u16 = 1 << 9;
/// In the address of a mark: it is a note.
const NOTE: u64 = 1 << 28;
/// Whether the part `hide` is built in.
pub(crate) const HIDES: bool = cfg!(feature = "hide");
/// In the payload of a moving entry: it is not published yet. Without it what moves is dead.
const PENDING: u16 = 1 << 15;
/// In the payload of a hidden table: a fault hides what is in it, to show the table then.
const OPENING: u16 = 1 << 15;

impl Reservation {
    /// Pages to come with attributes, of leaves up to level `largest`.
    pub fn new(attributes: Attributes, largest: u32) -> Self {
        let payload = attributes.permissions.bits() as u16
            | (attributes.memory as u16) << MEMORY_SHIFT
            | (largest as u16) << LARGEST_SHIFT
            | (attributes.tag.get() as u16) << TAG_SHIFT;
        Self { payload }
    }

    /// Attributes of the pages to come.
    pub fn attributes(self) -> Attributes {
        let permissions = Permissions::from_bits_truncate(self.permission_bits());
        // All eight values are memory types.
        let memory = MemoryType::from_value(self.payload >> MEMORY_SHIFT & MEMORY)
            .unwrap_or(MemoryType::Device);
        Attributes { permissions, memory, tag: self.tag() }
    }

    /// Their tag.
    #[inline(always)]
    pub(super) fn tag(self) -> Tag {
        Tag::new(u32::from((self.payload & TAG) >> TAG_SHIFT))
    }

    /// The same, of leaves up to level `largest`.
    pub(super) fn of_level(self, largest: u32) -> Self {
        Self { payload: self.payload & !LARGEST | (largest as u16) << LARGEST_SHIFT }
    }

    /// The same, without a tag.
    pub(super) fn untagged(self) -> Self {
        Self { payload: self.payload & !TAG }
    }

    /// The same, with frames that are not zeroed if `AXAS_SKIP_ZERO` is among flags.
    #[inline(always)]
    pub fn with_zero_of(self, flags: u32) -> Self {
        Self {
            payload: self.payload | (flags & AXAS_SKIP_ZERO).wrapping_shr(SKIP_ZERO_SHIFT) as u16,
        }
    }

    /// `AXAS_SKIP_ZERO` if the frames are not zeroed, else 0.
    #[inline(always)]
    pub(crate) fn zero_flag(self) -> u32 {
        u32::from(self.payload & SKIP_ZERO).wrapping_shl(SKIP_ZERO_SHIFT)
    }

    /// Whether the frames are not zeroed.
    #[inline(always)]
    pub fn skips_zero(self) -> bool {
        self.payload & SKIP_ZERO != 0
    }

    /// The option that says which pages a provider's may be.
    #[inline(always)]
    pub(crate) fn size_flags(self) -> axas_flags_t {
        match self.largest() {
            1 => AXAS_NO_HUGE,
            2 => AXAS_MAX_2M,
            _ => 0,
        }
    }

    /// The bits of their permissions.
    #[inline(always)]
    pub(super) fn permission_bits(self) -> u32 {
        u32::from(self.payload & PERMISSIONS)
    }

    /// Whether a frame that was filled for one is as the guest is to find it in another one, whatever their tags.
    #[inline(always)]
    pub(super) fn has_attributes_of(self, other: Self) -> bool {
        (self.payload ^ other.payload) & (PERMISSIONS | MEMORY << MEMORY_SHIFT | SKIP_ZERO) == 0
    }

    /// Largest level that a leaf may have.
    #[inline(always)]
    pub fn largest(self) -> u32 {
        u32::from((self.payload & LARGEST) >> LARGEST_SHIFT)
    }

    /// The reservation of pages that are dirty, or clean.
    #[inline(always)]
    pub(super) fn with_dirt(self, is_dirty: bool) -> Self {
        let dirty = if is_dirty { LOGGED } else { 0 };
        Self { payload: self.payload & !DIRTY | dirty }
    }

    #[inline(always)]
    pub(super) fn payload(self) -> u16 {
        self.payload
    }

    #[inline(always)]
    pub(super) fn from_payload(payload: u16) -> Self {
        let known =
            payload & (PERMISSIONS | MEMORY << MEMORY_SHIFT | LOGGED | LARGEST | SKIP_ZERO | TAG);
        Self { payload: if known & LARGEST == 0 { known | 1 << LARGEST_SHIFT } else { known } }
    }
}

impl<F: Format> Entry<F> {
    /// The empty entry.
    pub const EMPTY: Self = Self::from_word(F::EMPTY);

    /// The entry with these bits.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { word, format: PhantomData }
    }

    /// The bits of the entry.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.word
    }

    /// A leaf without its address, young and dirty.
    #[inline(always)]
    pub fn leaf_template(
        attributes: Attributes,
        features: Features,
        level: u32,
        owned: bool,
    ) -> crate::error::Result<Self> {
        let owned = if owned { F::OWNED } else { 0 } | F::tag_field(attributes.tag);
        let word = Self::leaf_word(attributes, features, level);
        word.map(|word| Self::from_word(word | owned)).ok_or(crate::error::Error::Unsupported)
    }

    /// A leaf, in registers; none if the format cannot say the attributes.
    #[inline(never)]
    fn leaf_word(attributes: Attributes, features: Features, level: u32) -> Option<u64> {
        F::leaf(attributes, features, level).ok()
    }

    /// A leaf template of level 1 as one of `level`.
    #[inline(always)]
    pub fn sized(self, level: u32) -> Self {
        Self::from_word(F::sized(self.word, level))
    }

    /// A leaf template with its address.
    #[inline(always)]
    pub fn at(self, address: HostPhysAddr) -> Self {
        Self::from_word(self.word | F::address_field(address.bits()))
    }

    /// An entry that points to a table of unknown occupancy.
    #[inline(always)]
    pub fn table(address: HostPhysAddr) -> Self {
        Self::from_word(F::table(address.bits()))
    }

    /// An entry that points to a table all of whose entries are occupied.
    #[inline(always)]
    pub fn full_table(address: HostPhysAddr) -> Self {
        Self::table(address).with_occupancy(Self::RUN)
    }

    /// Occupancy: nothing is known.
    pub const UNKNOWN: u64 = 0;
    /// Occupancy: the largest number that the bits hold.
    pub const MOST: u64 = F::OCCUPANCY_MAX - 2;
    /// Occupancy: none; the table stays for the next map (`AXAS_KEEP_TABLES`).
    pub const KEPT: u64 = F::OCCUPANCY_MAX - 1;
    /// Occupancy: those that are occupied are neighbours, one or more.
    pub const RUN: u64 = F::OCCUPANCY_MAX;
    const OCCUPANCY: u64 = F::OCCUPANCY_MAX << F::OCCUPANCY_SHIFT;

    /// The word that another occupancy is written to: hardware that marks the entry meanwhile may go unseen, so that the
    /// table's pages are looked at again.
    #[inline(always)]
    fn counted(self) -> u64 {
        if planted(Defect::ColdKept) { self.word } else { self.word & !F::TABLE_COLD }
    }

    /// What the entry says of the occupancy of the table that it points to: a number from 1 to
    /// [`Entry::MOST`], [`Entry::UNKNOWN`], [`Entry::KEPT`] or [`Entry::RUN`].
    #[inline(always)]
    pub fn occupancy(self) -> u64 {
        self.word.wrapping_shr(F::OCCUPANCY_SHIFT) & F::OCCUPANCY_MAX
    }

    /// The entry with another occupancy.
    #[inline(always)]
    pub fn with_occupancy(self, occupancy: u64) -> Self {
        let field = occupancy.wrapping_shl(F::OCCUPANCY_SHIFT);
        Self::from_word(self.counted() & !Self::OCCUPANCY | field)
    }

    /// The entry with an occupancy, an exact one, that is larger by one.
    #[inline(always)]
    pub fn with_one_more(self) -> Self {
        Self::from_word(self.counted().wrapping_add(1_u64.wrapping_shl(F::OCCUPANCY_SHIFT)))
    }

    /// The entry with an occupancy, an exact one, that is smaller by one.
    #[inline(always)]
    pub fn with_one_less(self) -> Self {
        Self::from_word(self.counted().wrapping_sub(1_u64.wrapping_shl(F::OCCUPANCY_SHIFT)))
    }

    /// The occupancy of a table in which so many neighbours are occupied and nothing else.
    #[inline(always)]
    pub fn occupancy_of(neighbours: u64) -> u64 {
        if neighbours <= Self::MOST { neighbours } else { Self::RUN }
    }

    /// Whether the entry, which stands in a table of `level`, points to a table that is empty and kept.
    #[inline(never)]
    pub fn is_kept_table(self, level: u32) -> bool {
        F::is_valid(self.word)
            && F::is_leaf(self.word, level) == Some(false)
            && self.occupancy() == Self::KEPT
    }

    /// A lazy reservation.
    pub fn reserved(reservation: Reservation) -> Self {
        Self::from_word(F::invalid(InvalidKind::Reserved, reservation.payload(), 0))
    }

    /// An emulated device: the low half of the cookie is payload, the high half stands in the address
    /// field from bit 12 on.
    pub fn trap(cookie: u32) -> Self {
        Self::from_word(F::invalid(InvalidKind::Mark, cookie as u16, u64::from(cookie >> 16) << 12))
    }

    /// Between break and make.
    pub fn busy() -> Self {
        Self::from_word(F::invalid(InvalidKind::Busy, 0, 0))
    }

    /// A frame that is not published yet.
    pub fn pending(address: HostPhysAddr, reservation: Reservation) -> Self {
        let payload = reservation.payload() | PENDING;
        Self::from_word(F::invalid(InvalidKind::MovingLeaf, payload, address.bits()))
    }

    /// A table that is not published yet, in the place of a reservation.
    pub fn pending_table(address: HostPhysAddr, reservation: Reservation) -> Self {
        let payload = reservation.payload() | PENDING;
        Self::from_word(F::invalid(InvalidKind::MovingTable, payload, address.bits()))
    }

    /// What a leaf or a pending entry becomes between detach and reap.
    #[inline(never)]
    pub fn dead(self, features: Features) -> Self {
        let owned = if self.is_owned() { OWNED } else { 0 };
        let reservation = Reservation::new(self.attributes(features), 1);
        let address = self.address().bits();
        Self::from_word(F::invalid(InvalidKind::MovingLeaf, reservation.payload() | owned, address))
    }

    /// What an owned leaf of `level` becomes between detach and reap if a reservation is to take its
    /// place, whose largest page is the size of the leaf; `is_dirty` where writes are logged, for what the guest
    /// reads changes.
    #[inline(never)]
    pub fn discarded(self, features: Features, level: u32, is_dirty: bool) -> Self {
        let reservation = Reservation::new(self.attributes(features), level).with_dirt(is_dirty);
        let payload = reservation.payload() | OWNED;
        Self::from_word(F::invalid(InvalidKind::MovingLeaf, payload, self.address().bits()))
    }

    /// What an entry that points to a table becomes between detach and reap.
    pub fn dead_table(self) -> Self {
        Self::from_word(F::invalid(InvalidKind::MovingTable, 0, self.address().bits()))
    }

    /// What an entry that points to a table becomes between detach and reap if a reservation is to take
    /// its place.
    pub fn folded(self, reservation: Reservation) -> Self {
        let payload = reservation.payload();
        Self::from_word(F::invalid(InvalidKind::MovingTable, payload, self.address().bits()))
    }

    /// Where a walk goes from the entry, seen in a table of `level`.
    #[inline(always)]
    pub fn way(self, level: u32) -> Way {
        if !F::is_valid(self.word) {
            return if self.is_hidden_table() && level > 1 {
                Way::Hidden(self.address())
            } else {
                Way::Ends
            };
        }
        match F::is_leaf(self.word, level) {
            Some(true) => Way::Ends,
            Some(false) => Way::Down(HostPhysAddr::from_bits(F::address(self.word))),
            None => Way::Corrupt,
        }
    }

    /// What the entry is, seen in a table of `level`.
    #[inline(never)]
    pub fn state(self, level: u32) -> State {
        if F::is_valid(self.word) {
            return match F::is_leaf(self.word, level) {
                Some(true) => State::Leaf,
                Some(false) => State::Table,
                None => State::Corrupt,
            };
        }
        match F::invalid_kind(self.word) {
            InvalidKind::Empty => State::Empty,
            InvalidKind::Reserved => State::Reserved,
            InvalidKind::Mark if self.is_note() => State::Note,
            InvalidKind::Mark => State::Trap,
            InvalidKind::Hidden if HIDES && level <= 3 => State::Hidden,
            InvalidKind::HiddenTable if HIDES && level > 1 => State::HiddenTable,
            InvalidKind::Busy => State::Busy,
            InvalidKind::MovingLeaf if level <= 3 => {
                if self.is_pending() {
                    State::Pending
                } else {
                    State::DeadLeaf
                }
            }
            InvalidKind::MovingTable if level > 1 => {
                if self.is_pending() {
                    State::PendingTable
                } else {
                    State::DeadTable
                }
            }
            _ => State::Corrupt,
        }
    }

    /// Whether what a moving entry names is not published yet.
    #[inline(always)]
    fn is_pending(self) -> bool {
        F::payload(self.word) & PENDING != 0
    }

    /// Whether the entry is not in transition and names nothing.
    #[inline(always)]
    pub fn is_plain(self) -> bool {
        !F::is_valid(self.word) && self.is_settled()
    }

    /// Whether the entry maps a frame of the host.
    #[inline(always)]
    pub fn is_linear_leaf(self, level: u32) -> bool {
        F::is_valid(self.word)
            && F::is_leaf(self.word, level) == Some(true)
            && self.word & F::OWNED == 0
    }

    /// Whether the entry, which is one of level 1, maps a frame of the library.
    #[inline(always)]
    pub fn is_owned_page(self) -> bool {
        F::is_valid(self.word)
            && self.word & F::OWNED != 0
            && F::is_leaf(self.word, 1) == Some(true)
    }

    /// Whether the entry, which stands in a table of `level`, maps a frame.
    #[inline(always)]
    pub fn is_leaf(self, level: u32) -> bool {
        F::is_valid(self.word) && F::is_leaf(self.word, level) == Some(true)
    }

    /// Whether the entry is a trap.
    #[inline(always)]
    pub fn is_trap(self) -> bool {
        !F::is_valid(self.word)
            && F::invalid_kind(self.word) == InvalidKind::Mark
            && !self.is_note()
    }

    /// Whether the entry is a lazy reservation.
    #[inline(always)]
    pub fn is_reserved(self) -> bool {
        !F::is_valid(self.word) && F::invalid_kind(self.word) == InvalidKind::Reserved
    }

    /// Whether the entry is not in transition, as far as its kind tells.
    #[inline(always)]
    pub fn is_settled(self) -> bool {
        F::is_valid(self.word)
            || matches!(
                F::invalid_kind(self.word),
                InvalidKind::Empty | InvalidKind::Reserved | InvalidKind::Mark
            )
            || self.is_hidden()
            || self.is_hidden_table()
    }

    /// Whether the entry is empty.
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.word & F::OCCUPIED == 0
    }

    /// Whether hardware may hold a translation made from this entry.
    #[inline(always)]
    pub fn is_hardware_visible(self) -> bool {
        F::is_valid(self.word)
    }

    /// The address of a leaf, a table, or what was one.
    #[inline(always)]
    pub fn address(self) -> HostPhysAddr {
        let bits = if F::is_valid(self.word) {
            F::address(self.word)
        } else {
            F::invalid_address(self.word)
        };
        HostPhysAddr::from_bits(bits)
    }

    /// The address of a table, in an entry that points to one.
    #[inline(always)]
    pub fn table_address(self) -> HostPhysAddr {
        HostPhysAddr::from_bits(F::address(self.word))
    }

    /// Whether the frame of a leaf (or what was one) is the library's to free.
    #[inline(always)]
    pub fn is_owned(self) -> bool {
        if F::is_valid(self.word) {
            return self.word & F::OWNED != 0;
        }
        match F::invalid_kind(self.word) {
            InvalidKind::MovingLeaf => F::payload(self.word) & (OWNED | PENDING) != 0,
            InvalidKind::Hidden if HIDES => F::payload(self.word) & OWNED != 0,
            _ => false,
        }
    }

    /// Attributes of a leaf, a reservation, or what was one.
    #[cfg_attr(feature = "tags", inline(never))]
    #[cfg_attr(not(feature = "tags"), inline(always))]
    pub fn attributes(self, features: Features) -> Attributes {
        Attributes { tag: self.tag(), ..self.untagged(features) }
    }

    /// The attributes without the tag, which hot calls do not ask for.
    #[inline(never)]
    pub(crate) fn untagged(self, features: Features) -> Attributes {
        if F::is_valid(self.word) {
            return F::attributes(self.word, features);
        }
        self.reservation().attributes()
    }

    /// The flags of a leaf. Most have no tag.
    #[inline(always)]
    pub(crate) fn leaf_flags(self, features: Features) -> axas_flags_t {
        let flags = self.untagged(features).untagged_flags();
        if Tag::BITS == 0 || self.word & F::TAG == 0 { flags } else { flags | self.tag_flags() }
    }

    #[cold]
    #[inline(never)]
    fn tag_flags(self) -> axas_flags_t {
        self.tag().flags()
    }

    /// The tag of a leaf, a reservation, a trap, or what was a leaf.
    #[inline(always)]
    pub fn tag(self) -> Tag {
        if F::is_valid(self.word) {
            F::tag(self.word)
        } else if F::invalid_kind(self.word) == InvalidKind::Mark {
            Tag::new(F::invalid_address(self.word).wrapping_shr(MARK_TAG_SHIFT) as u32)
        } else {
            self.reservation().tag()
        }
    }

    /// A leaf, a reservation or a trap with another tag.
    #[inline(always)]
    pub fn with_tag(self, tag: Tag) -> Self {
        if Tag::BITS == 0 {
            return self;
        }
        if F::is_valid(self.word) {
            return Self::from_word(self.word & !F::TAG | F::tag_field(tag));
        }
        // The difference of two invalid entries is the place of what differs.
        let change = self.tag().get() ^ tag.get();
        let none = F::invalid(InvalidKind::Reserved, 0, 0);
        let place = if F::invalid_kind(self.word) == InvalidKind::Mark {
            F::invalid(InvalidKind::Reserved, 0, u64::from(change) << MARK_TAG_SHIFT)
        } else {
            F::invalid(InvalidKind::Reserved, (change as u16) << TAG_SHIFT, 0)
        };
        Self::from_word(self.word ^ place ^ none)
    }

    /// The reservation of a reserved or pending entry.
    #[inline(always)]
    pub fn reservation(self) -> Reservation {
        Reservation::from_payload(F::payload(self.word))
    }

    /// The reservation that remains of an entry that is dead or pending: that of a dead leaf, whose frame the guest
    /// had, is for zeroed frames.
    pub(super) fn remaining_reservation(self) -> Reservation {
        let payload = F::payload(self.word);
        let is_leaf = F::invalid_kind(self.word) == InvalidKind::MovingLeaf;
        let is_dead = is_leaf && payload & PENDING == 0;
        Reservation::from_payload(if is_dead { payload & !OWNED } else { payload })
    }

    /// The bits of the permissions of a reservation of write-back memory, if the entry is one.
    #[inline(always)]
    pub fn reserved_write_back(self) -> Option<u32> {
        let reserved = |payload| F::invalid(InvalidKind::Reserved, payload, 0);
        let write_back = (MemoryType::WriteBack as u16) << MEMORY_SHIFT;
        // They differ in permissions, largest page and dirt, and for whom frames are not zeroed.
        let same = !(reserved(PERMISSIONS | LARGEST | LOGGED | SKIP_ZERO) ^ reserved(0));
        let permissions = u32::from(F::payload(self.word) & PERMISSIONS);
        (self.word & same == reserved(write_back)).then_some(permissions)
    }

    /// The cookie of a trap.
    pub fn cookie(self) -> u32 {
        let high = (F::invalid_address(self.word) >> 12) as u32;
        high << 16 | u32::from(F::payload(self.word))
    }

    /// The first of the 512 entries that say one level lower what this one says at `level`; the
    /// others follow at distances of [`Entry::step`].
    #[inline(always)]
    pub fn first_piece(self, level: u32) -> Self {
        if F::is_valid(self.word) {
            Self::from_word(F::smaller_leaf(self.word, level))
        } else {
            self
        }
    }

    /// The reverse of [`Entry::first_piece`]: the entry of `level` that says what 512 of the level below say, of which this
    /// is the first.
    #[cfg(feature = "merge")]
    #[inline(always)]
    pub fn merged(self, level: u32) -> Self {
        if F::is_valid(self.word) { self.sized(level) } else { self }
    }

    /// Distance between the words of neighbouring leaves of `bytes`, or of what became of them, that name what
    /// follows in host memory.
    #[inline(always)]
    pub fn address_step(self, bytes: u64) -> u64 {
        if F::is_valid(self.word) {
            F::address_field(bytes)
        } else {
            let at = |address| F::invalid(InvalidKind::MovingLeaf, 0, address);
            at(bytes).wrapping_sub(at(0))
        }
    }

    /// What is left of a leaf, or of what became of it, without the address.
    #[inline(always)]
    pub fn word_without_address(self) -> u64 {
        if F::is_valid(self.word) {
            self.word ^ F::address_field(F::address(self.word))
        } else {
            // Neither what a leaf says nor all ones.
            !u64::from(F::payload(self.word)) & (u64::MAX >> 1)
        }
    }

    /// What the entry differs in from another one, but for the address.
    #[inline(always)]
    pub(crate) fn difference(self, other: Self) -> u64 {
        (self.word ^ other.word) & !F::address_field(F::address(u64::MAX))
    }

    /// What the entry names, which stands in a table of `level`.
    #[inline(always)]
    pub(crate) fn names(self, level: u32) -> Names {
        if F::is_valid(self.word) {
            return match F::is_leaf(self.word, level) {
                Some(true) => Names::Frame,
                Some(false) => Names::Table,
                None => Names::Corrupt,
            };
        }
        match F::invalid_kind(self.word) {
            InvalidKind::MovingLeaf if level <= 3 => Names::Frame,
            InvalidKind::MovingTable if level > 1 => Names::Table,
            InvalidKind::Hidden if HIDES && level <= 3 => Names::Frame,
            InvalidKind::Hidden if HIDES => Names::Corrupt,
            InvalidKind::HiddenTable if HIDES && level > 1 => Names::Table,
            InvalidKind::HiddenTable if HIDES => Names::Corrupt,
            InvalidKind::MovingLeaf | InvalidKind::MovingTable => Names::Corrupt,
            _ => Names::Nothing,
        }
    }

    /// What became of a leaf, at another address.
    #[inline(always)]
    pub fn moved_to(self, address: HostPhysAddr) -> Self {
        let kind = F::invalid_kind(self.word);
        Self::from_word(F::invalid(kind, F::payload(self.word), address.bits()))
    }

    /// Whether the entry is dead or pending.
    #[inline(always)]
    pub(crate) fn is_moving(self) -> bool {
        !F::is_valid(self.word)
            && matches!(
                F::invalid_kind(self.word),
                InvalidKind::MovingLeaf | InvalidKind::MovingTable
            )
    }

    /// Distance between the words of neighbouring pieces of `bytes`: none where the entry carries no
    /// address.
    #[inline(always)]
    pub fn step(self, bytes: u64) -> u64 {
        if F::is_valid(self.word) {
            F::address_field(bytes)
        } else if self.is_hidden() {
            self.address_step(bytes)
        } else {
            0
        }
    }

    /// Whether two leaves map the same in the same way; one may be clean and one dirty, one old and one young.
    #[inline(always)]
    pub fn same_as(self, other: Self) -> bool {
        (self.word ^ other.word) & !(F::YOUNG | F::DIRTY | F::GATE | F::HARDWARE_OPENS) == 0
    }

    /// Whether the page of a leaf was used since it was last made old.
    #[inline(always)]
    pub fn is_young(self) -> bool {
        !super::AGES || self.word & F::YOUNG != 0
    }

    /// A leaf whose page was used.
    #[inline(always)]
    pub fn used(self) -> Self {
        let young = if super::AGES { F::YOUNG } else { 0 };
        Self::from_word(self.word | young)
    }

    /// A leaf, hidden or not, after an access.
    #[inline(always)]
    pub(super) fn after(self, access: Access) -> Self {
        let entry = if access.uses && F::is_valid(self.word) { self.used() } else { self };
        if access.writes { entry.dirtied() } else { entry }
    }

    /// An entry that points to a table, as the library writes it: hardware has used it.
    #[inline(always)]
    pub(crate) fn used_table(self) -> Self {
        Self::from_word(self.word & !F::TABLE_COLD | F::TABLE_YOUNG)
    }

    /// Whether the page of a leaf, hidden or not, or those of a reservation, are dirty.
    #[inline(always)]
    pub fn is_dirty(self) -> bool {
        if F::is_valid(self.word) {
            return self.word & F::DIRTY != 0;
        }
        let has_dirt = self.is_reserved() || self.is_hidden();
        super::LOGS && has_dirt && F::payload(self.word) & DIRTY != 0
    }

    /// The entry, of a leaf, hidden or not, or a reservation, with its pages dirty; of a reservation it stays what it is.
    #[inline(always)]
    pub fn dirtied(self) -> Self {
        if F::is_valid(self.word) {
            Self::from_word(F::dirtied(self.word))
        } else if self.is_hidden() {
            self.with_invalid_dirt(InvalidKind::Hidden, true)
        } else {
            self
        }
    }

    /// A hidden page, or a reservation, that is dirty, or clean.
    #[inline(always)]
    fn with_invalid_dirt(self, kind: InvalidKind, is_dirty: bool) -> Self {
        let payload = F::payload(self.word) & !DIRTY | if is_dirty { LOGGED } else { 0 };
        Self::from_word(F::invalid(kind, payload, F::invalid_address(self.word)))
    }

    /// The entry, clean where `other` is, as far as anything is ever clean.
    #[inline(always)]
    fn with_dirt_of(self, other: Self, hardware: bool) -> Self {
        if super::LOGS && !other.is_dirty() { self.cleaned(hardware) } else { self }
    }

    /// The entry, of a leaf, hidden or not, or a reservation, with its pages clean.
    #[inline(always)]
    pub fn cleaned(self, hardware: bool) -> Self {
        if F::is_valid(self.word) {
            return Self::from_word(F::clean(self.word, hardware));
        }
        if self.is_hidden() {
            return self.with_invalid_dirt(InvalidKind::Hidden, false);
        }
        if PROVIDES {
            return self.with_invalid_dirt(InvalidKind::Reserved, false);
        }
        Self::reserved(self.reservation().with_dirt(false))
    }

    /// The entry with new permissions. A page that is clean stays clean, its gate shut.
    #[inline(always)]
    pub fn with_permissions(self, permissions: EncodedPermissions) -> Self {
        if F::is_valid(self.word) {
            // A page without permission to write has no gate to say that it is dirty.
            let dirty = F::DIRTY & !F::GATE;
            let permissions = if self.word & F::DIRTY != 0 {
                permissions.leaf | dirty
            } else {
                F::clean(permissions.leaf, super::LOGS && permissions.hardware)
            };
            let changes = F::PERMISSIONS | dirty | F::HARDWARE_OPENS;
            Self::from_word(self.word & !changes | permissions)
        } else {
            Self::from_word(self.word & !permissions.payload_mask | permissions.payload)
        }
    }
}

/// Permissions as leaves and reservations of a format hold them.
#[derive(Clone, Copy)]
pub struct EncodedPermissions {
    leaf: u64,
    /// Hardware marks the writes to clean pages.
    hardware: bool,
    payload: u64,
    payload_mask: u64,
    /// There is none, and the format has no such leaf.
    hides: bool,
}

impl EncodedPermissions {
    /// Encodes permissions, if the format can say them; `hardware` marks the writes to clean pages.
    pub fn new<F: Format>(
        permissions: Permissions,
        features: Features,
        hardware: bool,
    ) -> crate::error::Result<Self> {
        // The difference of two invalid entries is the place of what differs.
        let none = F::invalid(InvalidKind::Reserved, 0, 0);
        let place = |payload| F::invalid(InvalidKind::Reserved, payload, 0) ^ none;
        let hides = HIDES && permissions.is_empty() && F::possible_permissions(features) & 1 == 0;
        Ok(Self {
            leaf: if hides { 0 } else { F::permissions(permissions, features)? },
            hardware,
            payload: place(permissions.bits() as u16),
            payload_mask: place(PERMISSIONS),
            hides,
        })
    }

    /// Whether a page with them is a hidden one.
    pub(super) fn hides(&self) -> bool {
        HIDES && self.hides
    }
}

/// Pages that no walker is to find, and notes (part `hide`). A hidden page is as dirty as it was.
impl<F: Format> Entry<F> {
    /// A word of the host's, as [`Entry::trap`] holds it.
    pub fn note(value: u32) -> Self {
        let address = u64::from(value >> 16) << 12 | NOTE;
        Self::from_word(F::invalid(InvalidKind::Mark, value as u16, address))
    }

    /// Whether a mark is a note.
    #[inline(always)]
    fn is_note(self) -> bool {
        HIDES && F::invalid_address(self.word) & NOTE != 0
    }

    /// Whether the entry has a page that no walker is to find.
    #[inline(always)]
    pub fn is_hidden(self) -> bool {
        HIDES && !F::is_valid(self.word) && F::invalid_kind(self.word) == InvalidKind::Hidden
    }

    /// Whether an entry that does not point to a table maps a page, hidden or not.
    #[inline(always)]
    pub fn is_page(self) -> bool {
        F::is_valid(self.word) || self.is_hidden()
    }

    /// Whether a page is hidden because `axas_hide` was called, and not for want of permissions.
    #[inline(always)]
    pub fn is_held(self) -> bool {
        self.is_hidden() && F::payload(self.word) & HELD != 0
    }

    /// Whether an access that a hidden page allows shows it.
    #[inline(always)]
    pub fn shows_itself(self) -> bool {
        self.is_hidden() && !F::payload(self.word) & (HELD | AUTO) == 0
    }

    /// Whether `axas_hide` changes the entry. A page that is held never becomes one that shows itself.
    #[inline(always)]
    pub fn can_hide(self, auto: bool) -> bool {
        F::is_valid(self.word)
            || self.is_hidden() && (!self.is_held() || self.shows_itself() && !auto)
    }

    /// A page as `axas_hide` leaves it.
    #[inline(never)]
    pub fn hidden(self, features: Features, auto: bool) -> Self {
        let owned = if self.is_owned() { OWNED } else { 0 };
        let attributes = Reservation::new(self.attributes(features), 0).payload();
        let payload = attributes | owned | HELD | if auto { AUTO } else { 0 };
        let hidden = F::invalid(InvalidKind::Hidden, payload, self.address().bits());
        Self::from_word(hidden).with_invalid_dirt(InvalidKind::Hidden, self.is_dirty())
    }

    /// Whether the entry points to a table that no walker finds.
    #[inline(always)]
    pub fn is_hidden_table(self) -> bool {
        HIDES && !F::is_valid(self.word) && F::invalid_kind(self.word) == InvalidKind::HiddenTable
    }

    /// An entry that points to a table, which no walker is to find; the occupancy stays.
    #[inline(always)]
    pub fn hidden_table(self) -> Self {
        let payload = self.occupancy() as u16;
        Self::from_word(F::invalid(InvalidKind::HiddenTable, payload, self.address().bits()))
    }

    /// What an entry was before its table was hidden; any other entry as it is.
    #[inline(always)]
    pub fn shown_table(self) -> Self {
        if !self.is_hidden_table() {
            return self;
        }
        let occupancy = u64::from(F::payload(self.word)) & F::OCCUPANCY_MAX;
        Self::table(self.address()).with_occupancy(occupancy)
    }

    /// Whether a fault is about to show a hidden table.
    #[inline(always)]
    pub fn is_opening(self) -> bool {
        F::payload(self.word) & OPENING != 0
    }

    /// The entry of a hidden table that a fault is about to show.
    #[inline(always)]
    pub fn opening(self) -> Self {
        let payload = F::payload(self.word) | OPENING;
        Self::from_word(F::invalid(InvalidKind::HiddenTable, payload, self.address().bits()))
    }

    /// What an entry says that stands below a hidden table.
    #[inline(always)]
    pub fn below_hidden(self, features: Features) -> Self {
        if HIDES && self.can_hide(true) { self.hidden(features, true) } else { self }
    }

    /// What a hidden page of `level` is when nothing holds it; `hardware` marks the writes to clean pages.
    #[inline(never)]
    pub fn shown(self, features: Features, level: u32, hardware: bool) -> Self {
        Self::page_template(self.attributes(features), features, level, self.is_owned())
            .map_or(self, |template| template.page_at(self.address()).with_dirt_of(self, hardware))
    }

    /// A page of `level` without permissions: a leaf, or hidden where the format has no such leaf.
    #[inline(never)]
    pub(crate) fn without_permissions(
        self,
        features: Features,
        level: u32,
        hardware: bool,
    ) -> Self {
        let permissions = Permissions::empty();
        let attributes = Attributes { permissions, ..self.attributes(features) };
        Self::page_template(attributes, features, level, self.is_owned())
            .map_or(self, |template| template.page_at(self.address()).with_dirt_of(self, hardware))
    }

    /// A page whose frame is the library's to free, or not.
    #[cfg(feature = "transfer")]
    #[inline(always)]
    pub(super) fn with_owner(self, is_owned: bool) -> Self {
        let set = |word: u64, bits: u64| if is_owned { word | bits } else { word & !bits };
        if F::is_valid(self.word) {
            return Self::from_word(set(self.word, F::OWNED));
        }
        let payload = set(u64::from(F::payload(self.word)), u64::from(OWNED)) as u16;
        Self::from_word(F::invalid(F::invalid_kind(self.word), payload, self.address().bits()))
    }

    /// As [`Entry::leaf_template`], for a page that may have no permission: where the format has no such leaf it is a
    /// hidden one.
    #[inline(always)]
    pub fn page_template(
        attributes: Attributes,
        features: Features,
        level: u32,
        owned: bool,
    ) -> crate::error::Result<Self> {
        let can_be_none = !HIDES || F::possible_permissions(features) & 1 != 0;
        if can_be_none || !attributes.permissions.is_empty() {
            return Self::leaf_template(attributes, features, level, owned);
        }
        // The memory type is one that a leaf can have.
        let readable = Attributes { permissions: Permissions::READ, ..attributes };
        Self::leaf_template(readable, features, level, owned)?;
        let payload = Reservation::new(attributes, 0).payload() | if owned { OWNED } else { 0 };
        Ok(Self::from_word(F::invalid(InvalidKind::Hidden, payload | LOGGED, 0)))
    }

    /// Such a template with its address.
    #[inline(always)]
    pub fn page_at(self, address: HostPhysAddr) -> Self {
        if self.is_hidden() { self.moved_to(address) } else { self.at(address) }
    }
}

/// Pages of a provider (part `provider`). To everything that does not ask for them they are reservations.
impl<F: Format> Entry<F> {
    /// Pages to come of a provider, of leaves up to the reservation's largest.
    pub fn provided(reservation: Reservation, provider: u16) -> Self {
        let payload = reservation.payload() | PROVIDED;
        let number = u64::from(provider) << PROVIDER_SHIFT;
        Self::from_word(F::invalid(InvalidKind::Reserved, payload, number))
    }

    /// Whether the entry is a reservation of a provider's pages.
    #[inline(always)]
    pub fn is_provided(self) -> bool {
        PROVIDES && self.is_reserved() && F::payload(self.word) & PROVIDED != 0
    }

    /// As [`Entry::reserved_write_back`], if the reservation is a provider's.
    #[cfg(feature = "provider")]
    #[inline(always)]
    pub(super) fn provided_write_back(self) -> Option<u32> {
        let reserved = |payload, number| F::invalid(InvalidKind::Reserved, payload, number);
        let numbers = u64::from(u16::MAX) << PROVIDER_SHIFT;
        let same =
            !(reserved(PERMISSIONS | LARGEST | LOGGED | SKIP_ZERO, numbers) ^ reserved(0, 0));
        let write_back = (MemoryType::WriteBack as u16) << MEMORY_SHIFT;
        let permissions = u32::from(F::payload(self.word) & PERMISSIONS);
        (self.word & same == reserved(write_back | PROVIDED, 0) & same).then_some(permissions)
    }

    /// Whether the entry is a reservation that frames of the library's take the place of.
    #[inline(always)]
    pub fn is_lazy(self) -> bool {
        self.is_reserved() && !self.is_provided()
    }

    /// The number of the provider.
    #[inline(always)]
    pub fn provider(self) -> u16 {
        (F::invalid_address(self.word) >> PROVIDER_SHIFT) as u16
    }

    /// Whether `axas_evict` takes the entry's page: not one that `axas_hide` holds.
    #[cfg(feature = "provider")]
    #[inline(always)]
    pub(super) fn can_evict(self) -> bool {
        self.is_page() && (!self.is_held() || self.shows_itself())
    }

    /// What a page of `level` becomes between detach and reap if a provider's reservation is to take its place, whose
    /// largest page is the size of the leaf. It says whether the page was dirty.
    #[cfg(feature = "provider")]
    #[inline(never)]
    pub(super) fn evicted(self, features: Features, level: u32) -> Self {
        let owned = if self.is_owned() { OWNED } else { 0 };
        let reservation =
            Reservation::new(self.attributes(features), level).with_dirt(self.is_dirty());
        let payload = reservation.payload() | owned;
        Self::from_word(F::invalid(InvalidKind::MovingLeaf, payload, self.address().bits()))
    }

    /// Whether the page of a dead leaf was dirty when it was evicted; always where writes cannot be logged.
    #[cfg(feature = "provider")]
    #[inline(always)]
    pub(super) fn was_dirty(self) -> bool {
        !super::LOGS || F::payload(self.word) & DIRTY != 0
    }
}
