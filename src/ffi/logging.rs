// SPDX-License-Identifier: MIT OR Apache-2.0
use core::ffi::{c_char, c_void};

use crate::abi::*;
use crate::error::status_in_words;
use crate::hal::{HAS_WINDOWS, REPORTS_RELEASED};
use crate::logging;
use crate::npt::{KEEPS_TABLES, POPULATES, REPLACES};

/// The archive's version: major << 16 | minor << 8 | patch. No lock.
#[unsafe(no_mangle)]
pub extern "C" fn axas_version() -> u32 {
    AXAS_VERSION_MAJOR << 16 | AXAS_VERSION_MINOR << 8 | AXAS_VERSION_PATCH
}

/// The parts that the archive was built with (make lib PARTS=): AXAS_PART_TAGS, AXAS_PART_STOCK, AXAS_PART_IO,
/// AXAS_PART_DIRTY, AXAS_PART_HIDE, AXAS_PART_TRANSFER, AXAS_PART_MERGE, AXAS_PART_PROVIDER, AXAS_PART_AGE; and
/// what it was not built without (WITHOUT=): AXAS_PART_WINDOWS, AXAS_PART_REPLACE, AXAS_PART_KEEP,
/// AXAS_PART_POPULATE, AXAS_PART_RELEASED. A call of a part that is absent does not link. No lock.
#[unsafe(no_mangle)]
pub extern "C" fn axas_parts() -> u32 {
    let has = |is_there: bool, part: u32| if is_there { part } else { 0 };
    has(cfg!(feature = "tags"), AXAS_PART_TAGS)
        | has(cfg!(feature = "stock"), AXAS_PART_STOCK)
        | has(cfg!(feature = "io"), AXAS_PART_IO)
        | has(cfg!(feature = "dirty"), AXAS_PART_DIRTY)
        | has(cfg!(feature = "hide"), AXAS_PART_HIDE)
        | has(cfg!(feature = "transfer"), AXAS_PART_TRANSFER)
        | has(cfg!(feature = "provider"), AXAS_PART_PROVIDER)
        | has(cfg!(feature = "age"), AXAS_PART_AGE)
        | has(cfg!(feature = "merge"), AXAS_PART_MERGE)
        | has(HAS_WINDOWS, AXAS_PART_WINDOWS)
        | has(REPLACES, AXAS_PART_REPLACE)
        | has(KEEPS_TABLES, AXAS_PART_KEEP)
        | has(POPULATES, AXAS_PART_POPULATE)
        | has(REPORTS_RELEASED, AXAS_PART_RELEASED)
}

/// Text of a status: a static string, never null, for unknown values too. No lock.
#[unsafe(no_mangle)]
pub extern "C" fn axas_status_str(status: axas_status_t) -> *const c_char {
    status_in_words(status).as_ptr()
}

/// Sets the one logger of the library, for all spaces; null turns logging off.
///
/// @param log Receives the messages; see axas_log_fn.
/// @param ctx Passed to log.
/// @param max_level Most verbose level wanted: 0 none, 1 error, 2 warn, 3 info, 4 debug, 5 trace. error: tables
///   are corrupt, or a callback returned an unusable value; warn: a call was refused for a mistake of the host,
///   a null handle or pointer included; debug: a call was refused because of an address that a guest may have
///   chosen (copies, axas_translate, axas_query, axas_trap_cookie) or of a syndrome (decoders,
///   axas_width_from_bytes), is to be called again (AXAS_ERR_AGAIN), or creates, changes, clears or translates
///   and was done; faults with their verdicts. Nothing that a guest can cause is above debug.
///
/// A refused call is one line: "axas_unmap: invalid input: 0x1001 0x2000" is the function's name, the text of
/// its status, and its arguments in order without pointers to structures, buffers and results; for calls in
/// slices the budget is what is left of it. axas_create and axas_create_in log format, levels, pa_bits,
/// gpa_bits, vmid, features, options, base and size. Calls that return neither a status nor a verdict log a
/// null handle only.
///
/// target is "axaddrspace::" and a word, in at most 32 bytes; text a message and numbers in hexadecimal, in at
/// most 160 bytes; both with their NUL. An unusable value of a callback is logged before the line of the call;
/// of several in one call, the last one.
///
/// Call it before the first create, on one CPU, while no other axas_ call runs. An archive built with LOG=0
/// accepts it and logs nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_set_logger(log: axas_log_fn, ctx: *mut c_void, max_level: u32) {
    logging::set(log, ctx, max_level);
}
