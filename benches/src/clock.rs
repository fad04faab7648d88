// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two clocks: what the thread itself computed, for everything on one thread, so that other programs on
//! the machine are not counted; and the wall, where threads may wait for each other.

use std::time::Instant;

use crate::series::median;
use rustix::time::{ClockId, clock_gettime};

fn thread_nanoseconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Nanoseconds that this thread spent in `work`. Asking costs a system call: let `work` be long.
pub fn computed(work: impl FnOnce()) -> f64 {
    let start = thread_nanoseconds();
    work();
    thread_nanoseconds() - start
}

/// Nanoseconds on the wall's clock.
pub fn elapsed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64
}

/// Times two short calls in turn, `count` times, each on its own and on something new: the median of each,
/// without what the clock itself costs.
pub fn in_turn<T>(
    count: usize,
    mut new: impl FnMut() -> T,
    mut first: impl FnMut(&T),
    mut second: impl FnMut(&T),
) -> [f64; 2] {
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..count {
        let new = new();
        times[0].push(elapsed(|| first(&new)));
        times[1].push(elapsed(|| second(&new)));
        times[2].push(elapsed(|| {}));
    }
    let [first, second, clock] = times.map(|mut times| median(&mut times));
    [first - clock, second - clock]
}
