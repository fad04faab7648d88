// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one error enum.

use core::ffi::CStr;

use crate::abi::*;

/// Why a call did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// An argument is null, unknown, unaligned, empty, overflows or lies outside the space.
    InvalidInput,
    /// Something stands in the range already.
    AlreadyExists,
    /// The host has no frame, or the table quota is used up.
    NoMemory,
    /// A hole (or a trap) where a mapping must be.
    NotMapped,
    /// The mapping does not allow the access.
    Denied,
    /// This format, CPU or build cannot.
    Unsupported,
    /// A corrupt table, or a host callback returned nonsense.
    BadState,
    /// The space is in use and the host does not want to wait.
    Again,
}

/// The result of everything that can fail.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// The status that says the same in C.
    pub const fn status(self) -> axas_status_t {
        match self {
            Self::InvalidInput => AXAS_ERR_INVALID_INPUT,
            Self::AlreadyExists => AXAS_ERR_ALREADY_EXISTS,
            Self::NoMemory => AXAS_ERR_NO_MEMORY,
            Self::NotMapped => AXAS_ERR_NOT_MAPPED,
            Self::Denied => AXAS_ERR_DENIED,
            Self::Unsupported => AXAS_ERR_UNSUPPORTED,
            Self::BadState => AXAS_ERR_BAD_STATE,
            Self::Again => AXAS_ERR_AGAIN,
        }
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
