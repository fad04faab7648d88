// SPDX-License-Identifier: MIT OR Apache-2.0
//! `axas-inspect heat`: which pages were written in the rounds of a log, as a picture. Addresses go to the right, with
//! the holes left out; each round is a row.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use serde::Deserialize;
use svg::Document;
use svg::node::element::{Group, Rectangle, Style, Text, Title};

use crate::args::number;

const PAGE: u64 = 4096;
/// Cells of all rounds: a picture of some 8 MiB.
const MOST_CELLS: usize = 65536;

const LEFT: f64 = 88.0;
const RIGHT: f64 = 96.0;
const TOP: f64 = 64.0;
const ROW: f64 = 26.0;
const MOST_WIDTH: f64 = 1024.0;
const MOST_COLUMN: f64 = 12.0;

const CSS: &str = "\
text { font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #1f2933; } \
.title { font-weight: bold; font-size: 15px; } \
.faint { fill: #6b7785; } \
.end { text-anchor: end; } \
.row { fill: #f4f6f8; }";

/// Draw which pages were written in each round of a dirty log.
#[derive(Debug, Args)]
pub struct Heat {
    /// Lines of `round,gpa,size,pages`: how many pages of a range were written in a round; rounds in
    /// their order. The first line is that heading
    csv: PathBuf,

    /// The file to draw into
    #[arg(short, long, value_name = "FILE")]
    svg: PathBuf,
}

#[derive(Deserialize)]
struct Line {
    round: String,
    gpa: String,
    size: String,
    pages: u64,
}

struct Cell {
    gpa: u64,
    size: u64,
    pages: u64,
}

struct Round {
    name: String,
    cells: Vec<Cell>,
}

impl Heat {
    /// Reads the lines and writes the picture.
    pub fn run(&self) -> Result<()> {
        let at = |path: &PathBuf| path.display().to_string();
        let file =
            File::open(&self.csv).with_context(|| format!("cannot read {}", at(&self.csv)))?;
        let rounds = read(file).with_context(|| at(&self.csv))?;
        fs::write(&self.svg, draw(&rounds))
            .with_context(|| format!("cannot write {}", at(&self.svg)))
    }
}

fn read(input: impl std::io::Read) -> Result<Vec<Round>> {
    let mut rounds: Vec<Round> = Vec::new();
    for (index, line) in csv::Reader::from_reader(input).deserialize().enumerate() {
        ensure!(index < MOST_CELLS, "more than {MOST_CELLS} lines");
        let Line { round, gpa, size, pages } = line?;
        let value =
            |text: &str| number(text).map_err(|wrong| anyhow!("line {}: {wrong}", index + 2));
        let cell = Cell { gpa: value(&gpa)?, size: value(&size)?, pages };
        ensure!(
            cell.gpa.checked_add(cell.size).is_some() && pages <= cell.size / PAGE,
            "line {}: {pages} pages of {size} bytes at {gpa}",
            index + 2
        );
        match rounds.last_mut() {
            Some(last) if last.name == round => last.cells.push(cell),
            _ => rounds.push(Round { name: round, cells: vec![cell] }),
        }
    }
    ensure!(!rounds.is_empty(), "no line with figures");
    Ok(rounds)
}

fn draw(rounds: &[Round]) -> String {
    // Where each range is drawn, if any round wrote to it.
    let mut columns: BTreeMap<u64, usize> =
        rounds.iter().flat_map(|round| &round.cells).map(|cell| (cell.gpa, 0)).collect();
    columns.values_mut().enumerate().for_each(|(index, column)| *column = index);
    let step = (MOST_WIDTH / columns.len() as f64).min(MOST_COLUMN);
    let width = step * columns.len() as f64;
    let height = TOP + ROW * rounds.len() as f64;
    let total = (LEFT + width.max(360.0) + RIGHT, height + 36.0);
    let mut document = Document::new()
        .set("viewBox", (0.0, 0.0, total.0, total.1))
        .set("width", total.0)
        .set("height", total.1)
        .add(Title::new("Pages written, by round and address"))
        .add(Style::new(CSS))
        .add(rectangle(0.0, 0.0, total.0, total.1).set("fill", "#ffffff"))
        .add(text(16.0, 28.0, "Pages written, by round and address", "title"))
        .add(text(LEFT + width + 10.0, TOP - 10.0, "pages", "faint"));
    for (index, round) in rounds.iter().enumerate() {
        document = document.add(row(round, TOP + ROW * index as f64, &columns, step, width));
    }
    let mut free = f64::NEG_INFINITY;
    for (gpa, column) in &columns {
        let x = LEFT + step * *column as f64;
        if x >= free {
            document = document.add(text(x, height + 18.0, format!("{gpa:#x}"), "faint"));
            free = x + 110.0;
        }
    }
    document.to_string()
}

fn row(round: &Round, y: f64, columns: &BTreeMap<u64, usize>, step: f64, width: f64) -> Group {
    let pages = round.cells.iter().map(|cell| cell.pages).sum::<u64>();
    let middle = y + ROW / 2.0 + 4.0;
    let mut group = Group::new()
        .add(rectangle(LEFT, y, width, ROW - 2.0).set("class", "row"))
        .add(text(LEFT - 10.0, middle, format!("round {}", round.name), "end"))
        .add(text(LEFT + width + 10.0, middle, pages.to_string(), ""));
    for cell in round.cells.iter().filter(|cell| cell.pages != 0) {
        let column = columns.get(&cell.gpa).copied().unwrap_or(0);
        let of = cell.size / PAGE;
        let mark = rectangle(LEFT + step * column as f64, y, step, ROW - 2.0)
            .set("fill", colour(cell.pages as f64 / of as f64))
            .add(Title::new(format!("{:#x}: {} of {of} pages", cell.gpa, cell.pages)));
        group = group.add(mark);
    }
    group
}

/// From light yellow to dark red. A few pages of many are to be seen, so it is the root that counts.
fn colour(share: f64) -> String {
    let between = |from: f64, to: f64| (from + (to - from) * share.sqrt()).round();
    format!("rgb({},{},{})", between(255.0, 128.0), between(237.0, 0.0), between(160.0, 38.0))
}

fn rectangle(x: f64, y: f64, width: f64, height: f64) -> Rectangle {
    let number = |value: f64| format!("{value:.2}");
    Rectangle::new()
        .set("x", number(x))
        .set("y", number(y))
        .set("width", number(width))
        .set("height", number(height))
}

fn text(x: f64, y: f64, content: impl Into<String>, class: &str) -> Text {
    let number = |value: f64| format!("{value:.2}");
    Text::new(content).set("x", number(x)).set("y", number(y)).set("class", class)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "round,gpa,size,pages\n";

    fn cells(csv: &str) -> usize {
        let picture = draw(&read(csv.as_bytes()).expect("lines"));
        let picture = roxmltree::Document::parse(&picture).expect("XML");
        picture
            .descendants()
            .filter(|node| node.attribute("fill").is_some_and(|fill| fill.starts_with("rgb")))
            .count()
    }

    #[test]
    fn a_cell_is_drawn_for_each_range_with_written_pages() {
        let lines =
            "1,0x40000000,2M,512\n1,0x40200000,2M,7\n2,0x40200000,2M,1\n2,0x40400000,2M,0\n";
        assert_eq!(cells(&format!("{HEADING}{lines}")), 3);
    }

    #[test]
    fn figures_that_cannot_be_are_refused() {
        for wrong in [
            "",
            "1,0x1000,4K,2\n",
            "1,0xfffffffffffff000,8K,1\n",
            "1,x,4K,1\n",
            "1,0x1000,4K\n",
            "1,0x1000,4K,-1\n",
        ] {
            assert!(read(format!("{HEADING}{wrong}").as_bytes()).is_err(), "{wrong}");
        }
        let many = "1,0x1000,4K,1\n".repeat(MOST_CELLS + 1);
        assert!(read(format!("{HEADING}{many}").as_bytes()).is_err());
    }
}
