// SPDX-License-Identifier: MIT OR Apache-2.0
//! Address spaces against a model that is simple enough to be right.
//!
//! ```text
//! model     what stands where, as a map of ranges
//! space     a space on the distrustful host
//! steps     calls on both, everything compared after each
//! machines  formats and shapes
//! random    sequences of calls that nobody thought of
//! facts     sequences that somebody did
//! ```

mod facts;
pub mod machines;
mod model;
mod random;
pub mod space;
mod steps;
