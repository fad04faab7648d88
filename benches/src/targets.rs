// SPDX-License-Identifier: MIT OR Apache-2.0
//! The targets, each worked out from figures of the same run.

use crate::parts::*;
use crate::series::{Series, Subject, Workload};
use crate::workloads::*;

/// A target and how ours stands to it.
pub struct Verdict {
    pub workload: Workload,
    pub subject: Subject,
    /// In words, such as "0.1 x PTM".
    pub target: String,
    pub bound: f64,
    pub figure: f64,
    pub met: bool,
}

/// All targets.
pub fn verdicts(series: &Series) -> Vec<Verdict> {
    use Subject::{Limit, Ours, OursCallerLocked, OursParts, Ptm};
    let median = |workload, subject| series.median(workload, subject);
    let mut verdicts = Vec::new();
    let mut at_most = |workload, subject, target: String, bound| {
        let figure = median(workload, subject);
        verdicts.push(Verdict { workload, subject, target, bound, figure, met: figure <= bound });
    };

    at_most(MAP, Ours, "0.1 x PTM".into(), 0.1 * median(MAP, Ptm));
    at_most(MAP, Ours, "1.5 x zero the table, then store".into(), 1.5 * median(MAP, Limit));
    for (workload, factor) in [
        (UNMAP, 0.25),
        (PROTECT, 0.5),
        (MAP_2M, 0.1),
        (UNMAP_2M, 0.5),
        (MAP_1G, 0.4),
        (UNMAP_1G, 0.7),
        (DEPENDENT, 1.1),
        (INDEPENDENT, 1.25),
        (SEQUENTIAL, 1.3),
    ] {
        at_most(workload, Ours, format!("{factor} x PTM"), factor * median(workload, Ptm));
    }
    at_most(SEQUENTIAL, OursCallerLocked, "1 x PTM".into(), median(SEQUENTIAL, Ptm));
    let exchange = median(EXCHANGE, Limit);
    for workload in [FAULT, FAULT_RANDOM] {
        let ptm = median(workload, Ptm);
        let target = "1.2 x (PTM + 3 compare-exchanges)".into();
        at_most(workload, Ours, target, 1.2 * (ptm + 3.0 * exchange));
        at_most(workload, OursCallerLocked, "PTM + 1 compare-exchange".into(), ptm + exchange);
    }
    at_most(UNMAP_LAZY, Ours, "0.7 x PTM".into(), 0.7 * median(UNMAP_LAZY, Ptm));
    for [aligned, unaligned, largest] in [RESERVE, UNRESERVE] {
        at_most(aligned, Ours, "150 ns".into(), 150.0);
        at_most(unaligned, Ours, "700 ns".into(), 700.0);
        at_most(largest, Ours, "2 x 64 GiB, aligned".into(), 2.0 * median(aligned, Ours));
    }
    for workload in CHURN {
        at_most(workload, Ours, "1.1 x PTM".into(), 1.1 * median(workload, Ptm));
    }
    at_most(CHURN[2], Ours, "1.1 x without neighbours".into(), 1.1 * median(CHURN[0], Ours));
    at_most(CHURN_LEFT, Ours, "none".into(), 0.0);
    at_most(MAP_EACH, Ours, "15 ns".into(), 15.0);
    at_most(UNMAP_EACH, Ours, "40 ns".into(), 40.0);
    at_most(CREATE, Ours, "0.5 x PTM".into(), 0.5 * median(CREATE, Ptm));
    for (workload, factor) in COPY.into_iter().zip([1.6, 1.1, 1.0]) {
        at_most(workload, Ours, format!("{factor} x memcpy"), factor * median(workload, Limit));
    }
    at_most(TABLES, Ours, "exactly".into(), 0.0);
    for (workload, bound, target) in [
        (MERGE, 100.0, "100 us"),
        (LOG, 100.0, "100 ns"),
        (DIRTY, 0.6, "0.6 ns"),
        (DIRTY_FEW, 0.6, "0.6 ns"),
        (DIRTY_NONE, 0.6, "0.6 ns"),
        (CLEAN[0], 1.5, "1.5 ns"),
        (CLEAN[1], 6.0, "6 ns"),
        (WRITE_FAULT, 60.0, "60 ns"),
        (LEND, 10.0, "5 ns each side"),
        (TAKE_BACK, 10.0, "5 ns each side"),
        (SHARE, 10.0, "5 ns each side"),
        (GIVE, 10.0, "5 ns each side"),
        (LEND_PAGE, 1000.0, "1 us"),
        (TAKE_BACK_PAGE, 1000.0, "1 us"),
        (FAULT_LATER, 60.0, "60 ns"),
        (SUPPLY, 80.0, "80 ns"),
    ] {
        at_most(workload, OursParts, target.into(), bound);
    }
    let lazy = median(FAULT, OursParts);
    at_most(FAULT_NOW, OursParts, "lazy fault + 10 ns".into(), lazy + 10.0);

    let [one, two] = FAULT_PARALLEL.map(|workload| median(workload, Ours));
    verdicts.push(Verdict {
        workload: FAULT_PARALLEL[1],
        subject: Ours,
        target: "at least 1.7 x 1 thread".into(),
        bound: 1.7 * one,
        figure: two,
        met: two >= 1.7 * one,
    });
    // The rows of the parts may have been measured alone.
    verdicts.retain(|verdict| !verdict.figure.is_nan());
    verdicts.sort_by_key(|verdict| verdict.workload.place);
    verdicts
}
