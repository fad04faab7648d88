// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one error enum.

use core::ffi::CStr;

use crate::abi::*;

/// Why a call did nothing. The values are those of the statuses in C, and the only one that a `Result<()>` can have beside
/// them is `AXAS_OK`: turning one into a status costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Error {
    /// An argument is null, unknown, unaligned, empty, overflows or lies outside the space.
    InvalidInput = AXAS_ERR_INVALID_INPUT as i8,
    /// The range is not empty.
    AlreadyExists = AXAS_ERR_ALREADY_EXISTS as i8,
    /// The host has no frame, or the table quota is used up.
    NoMemory = AXAS_ERR_NO_MEMORY as i8,
    /// A hole (or a trap) where a mapping must be.
    NotMapped = AXAS_ERR_NOT_MAPPED as i8,
    /// The mapping does not allow the access.
    Denied = AXAS_ERR_DENIED as i8,
    /// Not possible with this format, CPU or build.
    Unsupported = AXAS_ERR_UNSUPPORTED as i8,
    /// A corrupt table, or a callback returned an unusable value.
    BadState = AXAS_ERR_BAD_STATE as i8,
    /// The space is in use and the host does not want to wait.
    Again = AXAS_ERR_AGAIN as i8,
}

/// The result of everything that can fail.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// The status that says the same in C.
    pub const fn status(self) -> axas_status_t {
        self as axas_status_t
    }
}

/// A status in words.
pub const fn status_in_words(status: axas_status_t) -> &'static CStr {
    match status {
        AXAS_OK => c"ok",
        AXAS_ERR_INVALID_INPUT => c"invalid input",
        AXAS_ERR_ALREADY_EXISTS => c"already exists",
        AXAS_ERR_NO_MEMORY => c"no memory",
        AXAS_ERR_NOT_MAPPED => c"not mapped",
        AXAS_ERR_DENIED => c"denied",
        AXAS_ERR_UNSUPPORTED => c"unsupported",
        AXAS_ERR_BAD_STATE => c"bad state",
        AXAS_ERR_AGAIN => c"try again",
        _ => c"unknown status",
    }
}
