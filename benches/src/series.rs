// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was measured: one figure for each round, by workload and subject.

use std::collections::BTreeMap;

/// A piece of work that several subjects do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// Where it stands in the report.
    pub place: u32,
    pub title: &'static str,
    pub unit: &'static str,
}

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The archive, through the C interface, with its lock and all checks.
    Ours,
    /// The same with AXAS_CALLER_LOCKED.
    OursCallerLocked,
    /// The archive with all parts.
    OursParts,
    /// The crate, its Rust methods called directly.
    OursRust,
    /// `PageTable64` of page_table_multiarch.
    Ptm,
    /// The mapper of the `x86_64` crate.
    X86,
    /// The crate axaddrspace 0.6 over page-table-generic (in `benches/peers`).
    Upstream,
    /// The bare memory work.
    Limit,
}

impl Subject {
    pub const ALL: [Self; 8] = [
        Self::Ours,
        Self::OursCallerLocked,
        Self::OursParts,
        Self::OursRust,
        Self::Ptm,
        Self::X86,
        Self::Upstream,
        Self::Limit,
    ];

    pub fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursCallerLocked | Self::OursParts | Self::OursRust)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursCallerLocked => "ours, caller locked",
            Self::OursParts => "ours, all parts",
            Self::OursRust => "ours, Rust",
            Self::Ptm => "PTM",
            Self::X86 => "x86_64",
            Self::Upstream => "ax 0.6",
            Self::Limit => "limit",
        }
    }
}

/// Sorted figures of one workload and subject.
pub struct Summary(Vec<f64>);

impl Summary {
    /// The value below which the share `part` of the figures lies.
    pub fn quantile(&self, part: f64) -> f64 {
        let at = part * (self.0.len() - 1) as f64;
        let (low, high) = (self.0[at.floor() as usize], self.0[at.ceil() as usize]);
        low + (high - low) * at.fract()
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Distance of the quartiles, of the median.
    pub fn spread(&self) -> f64 {
        let distance = self.quantile(0.75) - self.quantile(0.25);
        if distance == 0.0 { 0.0 } else { distance / self.median() }
    }

    pub fn rounds(&self) -> usize {
        self.0.len()
    }
}

/// All figures of a run.
#[derive(Default)]
pub struct Series(BTreeMap<(Workload, Subject), Vec<f64>>);

impl Series {
    pub fn add(&mut self, workload: Workload, subject: Subject, figure: f64) {
        self.0.entry((workload, subject)).or_default().push(figure);
    }

    pub fn summary(&self, workload: Workload, subject: Subject) -> Option<Summary> {
        let mut figures = self.0.get(&(workload, subject))?.clone();
        figures.sort_unstable_by(f64::total_cmp);
        Some(Summary(figures))
    }

    /// The median; not a number where nothing was measured, so that no target is met by it.
    pub fn median(&self, workload: Workload, subject: Subject) -> f64 {
        self.summary(workload, subject).map_or(f64::NAN, |summary| summary.median())
    }

    /// Every workload, in the order of the report.
    pub fn workloads(&self) -> Vec<Workload> {
        let mut workloads: Vec<_> = self.0.keys().map(|(workload, _)| *workload).collect();
        workloads.dedup();
        workloads
    }
}

/// Sorts figures and returns the one in the middle.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
