// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages to the logger that the host sets: static texts and numbers, formatted without `core::fmt` into
//! a buffer on the stack.
//!
//! The logger is the one global of the library. Without the feature `log` nothing of it remains.

use core::ffi::{CStr, c_void};

use log::Level;

use crate::abi::{AXAS_OK, axas_log_fn, axas_status_t};
use crate::error::{Error, Result};

/// Sets the logger; a level of 0 or no callback turns it off.
pub(crate) fn set(callback: axas_log_fn, ctx: *mut c_void, max_level: u32) {
    sink::set(callback, ctx, max_level);
}

/// A broken invariant, or a callback gave nonsense.
#[cold]
pub(crate) fn error(target: &'static CStr, text: &'static str, first: u64, second: u64) {
    sink::write(Level::Error, target, text, first, second);
}

/// What a call did, and everything that a guest can cause.
#[inline]
pub(crate) fn debug(target: &'static CStr, text: &'static str, first: u64, second: u64) {
    sink::write(Level::Debug, target, text, first, second);
}

/// What a call came to, in one line: the function's name, the status in words, the arguments. `refusal` is
/// the level of a refusal; what is done, or to be called again, is told at debug, what should not be at
/// error.
#[cfg(feature = "log")]
#[cold]
#[inline(never)]
pub(crate) fn outcome(
    call: &'static str,
    arguments: &[u64],
    outcome: Result<()>,
    refusal: Level,
) -> axas_status_t {
    let (level, target) = match outcome {
        Ok(()) | Err(Error::Again) => (Level::Debug, c"axaddrspace::call"),
        Err(Error::BadState) => (Level::Error, c"axaddrspace::bad_state"),
        Err(_) => (refusal, c"axaddrspace::rejected"),
    };
    let status = outcome.map_or_else(Error::status, |()| AXAS_OK);
    sink::write_call(level, target, call, status, arguments);
    status
}

/// As the other, without messages.
#[cfg(not(feature = "log"))]
#[inline(always)]
pub(crate) fn outcome(
    _call: &'static str,
    _arguments: &[u64],
    outcome: Result<()>,
    _refusal: Level,
) -> axas_status_t {
    outcome.map_or_else(Error::status, |()| AXAS_OK)
}

/// Whether messages of a level are heard.
#[inline(always)]
pub(crate) fn is_heard(level: Level) -> bool {
    sink::is_heard(level)
}

#[cfg(feature = "log")]
mod sink {
    use core::ffi::{CStr, c_char, c_void};
    use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

    use log::Level;

    use crate::abi::{axas_log_fn, axas_status_t};
    use crate::error::status_in_words;

    /// Most bytes of a text, NUL included: axas_create_in with nine large arguments.
    const TEXT_BYTES: usize = 160;

    static CALLBACK: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
    static CONTEXT: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
    static MAX_LEVEL: AtomicU32 = AtomicU32::new(0);

    pub(super) fn set(callback: axas_log_fn, ctx: *mut c_void, max_level: u32) {
        MAX_LEVEL.store(0, Ordering::Relaxed);
        CONTEXT.store(ctx, Ordering::Relaxed);
        let pointer = callback.map_or(core::ptr::null_mut(), |function| function as *mut c_void);
        CALLBACK.store(pointer, Ordering::Release);
        if callback.is_some() {
            MAX_LEVEL.store(max_level, Ordering::Release);
        }
    }

    #[inline(always)]
    pub(super) fn is_heard(level: Level) -> bool {
        level as u32 <= MAX_LEVEL.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn write(
        level: Level,
        target: &'static CStr,
        text: &'static str,
        first: u64,
        second: u64,
    ) {
        if is_heard(level) {
            write_pair(level, target, text, first, second);
        }
    }

    #[cold]
    #[inline(never)]
    fn write_pair(
        level: Level,
        target: &'static CStr,
        text: &'static str,
        first: u64,
        second: u64,
    ) {
        deliver(level, target, &[text.as_bytes()], &[first, second]);
    }

    pub(super) fn write_call(
        level: Level,
        target: &'static CStr,
        call: &'static str,
        status: axas_status_t,
        arguments: &[u64],
    ) {
        if is_heard(level) {
            let end: &[u8] = if arguments.is_empty() { b"" } else { b":" };
            let words = status_in_words(status).to_bytes();
            deliver(level, target, &[call.as_bytes(), b": ", words, end], arguments);
        }
    }

    #[inline(never)]
    fn deliver(level: Level, target: &'static CStr, texts: &[&[u8]], numbers: &[u64]) {
        let pointer = CALLBACK.load(Ordering::Acquire);
        // SAFETY: only `set` writes the pointer, from an `axas_log_fn`, whose null is `None`.
        let callback = unsafe { core::mem::transmute::<*mut c_void, axas_log_fn>(pointer) };
        let Some(callback) = callback else { return };
        let mut line = Line::<TEXT_BYTES>::new();
        for text in texts {
            line.push_bytes(text);
        }
        for number in numbers {
            line.push_bytes(b" 0x");
            line.push_hex(*number);
        }
        // SAFETY: 1. the host promised that the callback may be called until it sets another; 2. both
        // texts end with NUL and live through the call.
        unsafe {
            callback(
                CONTEXT.load(Ordering::Relaxed),
                level as u32,
                target.as_ptr(),
                line.bytes.as_ptr().cast::<c_char>(),
            );
        }
    }

    /// A text of at most `N - 1` bytes; the rest is zero.
    struct Line<const N: usize> {
        bytes: [u8; N],
        length: usize,
    }

    impl<const N: usize> Line<N> {
        fn new() -> Self {
            Self { bytes: [0; N], length: 0 }
        }

        fn push(&mut self, byte: u8) {
            let last = N.saturating_sub(1);
            if let Some(slot) = self.bytes.get_mut(self.length)
                && self.length < last
            {
                *slot = byte;
                self.length = self.length.wrapping_add(1);
            }
        }

        fn push_bytes(&mut self, text: &[u8]) {
            for byte in text {
                self.push(*byte);
            }
        }

        fn push_hex(&mut self, value: u64) {
            let digits = (u64::BITS.wrapping_sub(value.leading_zeros())).div_ceil(4).max(1);
            for digit in (0..digits).rev() {
                let nibble = (value.wrapping_shr(digit.wrapping_mul(4)) & 0xf) as u8;
                let letter = if nibble < 10 { b'0' } else { b'a'.wrapping_sub(10) };
                self.push(letter.wrapping_add(nibble));
            }
        }
    }
}

#[cfg(not(feature = "log"))]
mod sink {
    use core::ffi::{CStr, c_void};

    use log::Level;

    use crate::abi::axas_log_fn;

    pub(super) fn set(_callback: axas_log_fn, _ctx: *mut c_void, _max_level: u32) {}

    #[inline(always)]
    pub(super) fn is_heard(_level: Level) -> bool {
        false
    }

    #[inline(always)]
    pub(super) fn write(
        _level: Level,
        _target: &'static CStr,
        _text: &'static str,
        _first: u64,
        _second: u64,
    ) {
    }
}
