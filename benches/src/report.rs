// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report: Markdown that reads as text too, and the figures as CSV.

use std::fmt::Write;
use std::path::Path;

use crate::plots::Plot;
use crate::series::{Series, Subject};
use crate::targets::Verdict;

/// A table whose columns stand below each other also in a terminal.
fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(number, (cell, &width))| {
            // The first column is words, the others are figures.
            if number == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rule: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(number, &width)| {
            "-".repeat(width - usize::from(number > 0)) + if number > 0 { ":" } else { "" }
        })
        .collect();
    let header: Vec<String> = header.iter().map(|&name| name.into()).collect();
    let mut text = line(&header) + &line(&rule);
    rows.iter().for_each(|row| text += &line(row));
    text
}

/// Three digits, more where the figure is a count.
fn figure(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "-".into(),
        0.0 | 100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub fn markdown(series: &Series, verdicts: &[Verdict], machine: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in machine {
        let _ = writeln!(text, "- {name}: {value}");
    }
    if !verdicts.is_empty() {
        let rows: Vec<_> = verdicts.iter().map(verdict_row).collect();
        let met = verdicts.iter().filter(|verdict| verdict.met).count();
        let _ = writeln!(text, "\nTargets: {met} of {} met.\n", verdicts.len());
        text += &table(&["workload", "target", "that is", "ours", "of target", "verdict"], &rows);
    }
    text += "\nMedians; in brackets the distance of the quartiles, of the median.\n\n";
    let workloads = series.workloads();
    let measured = |&subject: &Subject| {
        workloads.iter().any(|&workload| series.summary(workload, subject).is_some())
    };
    let subjects: Vec<Subject> = Subject::ALL.into_iter().filter(measured).collect();
    let header: Vec<&str> =
        ["workload", "unit"].into_iter().chain(subjects.iter().map(|s| s.name())).collect();
    let row = |&workload: &crate::series::Workload| {
        let cells = subjects.iter().map(|&subject| match series.summary(workload, subject) {
            Some(summary) => {
                format!("{} ({:.0} %)", figure(summary.median()), 100.0 * summary.spread())
            }
            None => String::new(),
        });
        [workload.title.into(), workload.unit.into()].into_iter().chain(cells).collect()
    };
    text += &table(&header, &workloads.iter().map(row).collect::<Vec<_>>());
    text
}

fn verdict_row(verdict: &Verdict) -> Vec<String> {
    let title = match verdict.subject {
        Subject::OursCallerLocked => format!("{} (caller locked)", verdict.workload.title),
        _ => verdict.workload.title.into(),
    };
    let share = verdict.figure / verdict.bound;
    vec![
        title,
        verdict.target.clone(),
        figure(verdict.bound),
        figure(verdict.figure),
        if share.is_finite() { format!("{share:.2}") } else { "-".into() },
        if verdict.met { "met" } else { "not met" }.into(),
    ]
}

/// Every figure of the tables.
pub fn write_series(file: &Path, series: &Series) -> csv::Result<()> {
    let mut csv = csv::Writer::from_path(file)?;
    csv.write_record([
        "workload", "unit", "subject", "median", "min", "q1", "q3", "max", "rounds",
    ])?;
    for workload in series.workloads() {
        for subject in Subject::ALL {
            let Some(summary) = series.summary(workload, subject) else { continue };
            let figures =
                [0.5, 0.0, 0.25, 0.75, 1.0].map(|part| format!("{:.3}", summary.quantile(part)));
            let names = [workload.title, workload.unit, subject.name()].map(String::from);
            let rounds = [summary.rounds().to_string()];
            csv.write_record(names.iter().chain(&figures).chain(&rounds))?;
        }
    }
    csv.flush()?;
    Ok(())
}

/// Every target.
pub fn write_verdicts(file: &Path, verdicts: &[Verdict]) -> csv::Result<()> {
    let mut csv = csv::Writer::from_path(file)?;
    csv.write_record(["workload", "subject", "target", "bound", "figure", "verdict"])?;
    for verdict in verdicts {
        csv.write_record([
            verdict.workload.title,
            verdict.subject.name(),
            &verdict.target,
            &format!("{:.3}", verdict.bound),
            &format!("{:.3}", verdict.figure),
            if verdict.met { "met" } else { "not met" },
        ])?;
    }
    csv.flush()?;
    Ok(())
}

/// Every point of the plots.
pub fn write_plots(file: &Path, plots: &[Plot]) -> csv::Result<()> {
    let mut csv = csv::Writer::from_path(file)?;
    csv.write_record(["plot", "curve", "x", "y"])?;
    for plot in plots {
        for curve in &plot.curves {
            for (x, y) in &curve.points {
                csv.write_record([plot.name, &curve.name, &x.to_string(), &format!("{y:.3}")])?;
            }
        }
    }
    csv.flush()?;
    Ok(())
}
