use core::ffi::{c_char, c_void};

use crate::abi::*;
use crate::logging;

/// The archive's version: major << 16 | minor << 8 | patch. No lock.
#[unsafe(no_mangle)]
pub extern "C" fn axas_version() -> u32 {
    AXAS_VERSION_MAJOR << 16 | AXAS_VERSION_MINOR << 8 | AXAS_VERSION_PATCH
}

/// A status in words: a static string, never null, for unknown values too. No lock.
#[unsafe(no_mangle)]
pub extern "C" fn axas_status_str(status: axas_status_t) -> *const c_char {
    let text = match status {
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
    };
    text.as_ptr()
}

/// Sets the one logger of the library, for all spaces; null turns logging off.
///
/// @param log Takes the messages; see axas_log_fn.
/// @param ctx Passed to log.
/// @param max_level Most verbose level wanted: 0 none, 1 error, 2 warn, 3 info, 4 debug, 5 trace.
///   error: tables are corrupt, or a callback returned nonsense; warn: a call that creates, changes or
///   clears a space was refused, or a handle is null; debug: such calls that were done or are to be
///   called again, translations, faults with their verdicts. Nothing that a guest can cause is above debug.
///
/// target is "axaddrspace::" and a word, in at most 32 bytes; text a message and two numbers in
/// hexadecimal, in at most 128 bytes; both with their NUL. What a callback returned that cannot be used is
/// told where the call ends; of several such answers in one call the last one is.
///
/// Call it before the first create, on one CPU, while no other axas_ call runs. An archive built
/// without messages (LOG=0) accepts it, keeps nothing and stays silent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_set_logger(log: axas_log_fn, ctx: *mut c_void, max_level: u32) {
    logging::set(log, ctx, max_level);
}
