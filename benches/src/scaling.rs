// SPDX-License-Identifier: MIT OR Apache-2.0
//! How cost grows with size, and throughput with threads.

use std::thread::available_parallelism;

use axaddrspace::abi::{AXAS_MAX_2M, AXAS_NO_HUGE};

use crate::clock::{computed, in_turn};
use crate::plots::{Curve, Plot};
use crate::pool::FRAME;
use crate::series::{Subject, median};
use crate::subjects::{Calls, Opaque, RWX, Tables, ours};
use crate::workloads::{Bench, GIB, MIB, TIB};

/// A fourfold step between points.
fn sizes(from: u64, to: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(from), |size| Some(size * 4)).take_while(move |&size| size <= to)
}

/// Runs `round` as often as it tells something, and returns the median.
fn median_of(rounds: usize, round: impl FnMut() -> f64) -> f64 {
    let mut figures: Vec<f64> = std::iter::repeat_with(round).take(rounds).collect();
    median(&mut figures)
}

/// Nanoseconds per page of mapping `size` bytes and unmapping them again.
fn map_and_unmap(tables: &Opaque, size: u64, page: u64, flags: u32) -> f64 {
    let pages = size / page;
    let times = (1 << 14_u64).max(pages) / pages;
    // As the page size has it: aligned to it, and to nothing larger.
    let (gpa, hpa) = (2 * TIB, TIB + if page == GIB { 0 } else { page });
    let pair = |_| {
        assert_eq!(tables.map(gpa, hpa, size, flags), 0);
        assert_eq!(tables.unmap(gpa, size), 0);
    };
    computed(|| (0..times).for_each(pair)) / (times * pages) as f64
}

impl Bench {
    /// All plots.
    pub fn plots(&mut self, subjects: &[(Subject, Calls)]) -> Vec<Plot> {
        let pages = [
            ("map-4k", "map + unmap in 4 KiB pages", FRAME, AXAS_NO_HUGE),
            ("map-2m", "map + unmap in 2 MiB pages", 2 * MIB, AXAS_MAX_2M),
            ("map-1g", "map + unmap in 1 GiB pages", GIB, 0),
        ];
        let mut plots: Vec<Plot> = pages
            .into_iter()
            .map(|(name, title, page, flags)| Plot {
                name,
                title,
                x: "size of the mapping",
                y: "ns per page",
                by_size: true,
                curves: subjects.iter().map(|&(s, c)| self.mapped(s, c, page, flags)).collect(),
            })
            .collect();
        plots.push(self.reservations());
        plots.push(self.threads());
        plots
    }

    fn mapped(&self, subject: Subject, calls: Calls, page: u64, flags: u32) -> Curve {
        let largest = self.effort.largest;
        let point = |size| {
            let tables = Opaque::new(calls);
            // What takes seconds is not repeated as often.
            let rounds = if size / page > 1 << 24 { 1 } else { 5.min(self.effort.rounds) };
            let figure = median_of(rounds, || map_and_unmap(&tables, size, page, RWX | flags));
            drop(tables);
            self.pool.refill();
            (size as f64, figure)
        };
        Curve { name: subject.name().into(), points: sizes(page, largest).map(point).collect() }
    }

    fn reservations(&self) -> Plot {
        let tables = Opaque::new(ours::CALLS);
        let curve = |name: &str, shift: u64| {
            let point = |size| {
                let gpa = 64 * TIB + shift;
                let pair = in_turn(
                    self.effort.calls,
                    || (),
                    |()| assert_eq!(tables.reserve(gpa, size, RWX), 0),
                    |()| assert_eq!(tables.unmap(gpa, size), 0),
                );
                (size as f64, pair[0] + pair[1])
            };
            Curve { name: name.into(), points: sizes(FRAME, 64 * TIB).map(point).collect() }
        };
        let curves = vec![curve("ours, aligned", 0), curve("ours, unaligned", 0x12_3456_7000)];
        Plot {
            name: "reserve",
            title: "reserve memory lazily and give it back",
            x: "size of the reservation",
            y: "ns per pair of calls",
            by_size: true,
            curves,
        }
    }

    fn threads(&self) -> Plot {
        let most = available_parallelism().map_or(1, usize::from).min(16);
        let rounds = self.effort.rounds;
        let points = (1..=most)
            .map(|threads| (threads as f64, median_of(rounds, || self.parallel_faults(threads))));
        Plot {
            name: "faults",
            title: "faults on disjoint 2 MiB regions of one space",
            x: "threads",
            y: "million faults per second",
            by_size: false,
            curves: vec![Curve { name: "ours".into(), points: points.collect() }],
        }
    }
}
