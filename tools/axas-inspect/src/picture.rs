// SPDX-License-Identifier: MIT OR Apache-2.0
//! The address space as a picture: on the left a strip to scale, with holes cut out; on the right a
//! band for each run, its height the logarithm of its size.

use axaddrspace::abi::*;
use axaddrspace::tables::{Damage, Run};
use svg::Document;
use svg::node::element::{
    Definitions, Group, Line, Pattern, Polygon, Rectangle, Style, Text, Title,
};

use crate::report::{Subject, end_of, explain, label, line, size};

const WIDTH: f64 = 960.0;
const TOP: f64 = 148.0;
const BOTTOM: f64 = 28.0;
const STRIP_LEFT: f64 = 24.0;
const STRIP_WIDTH: f64 = 56.0;
const ADDRESS_RIGHT: f64 = 268.0;
const BAND_LEFT: f64 = 280.0;
const BAND_WIDTH: f64 = 440.0;
const BAND_RIGHT: f64 = BAND_LEFT + BAND_WIDTH;
/// Bands become lower and lose their text where they would be higher together.
const MOST_HEIGHT: f64 = 6000.0;
/// Bands that are lower have no text.
const TEXT_HEIGHT: f64 = 14.0;
/// Bands that are lower have no edge.
const EDGE_HEIGHT: f64 = 5.0;
const HOLE_IN_STRIP: f64 = 9.0;
/// Runs and defects that get a band; what follows shares one.
const MOST_SHOWN: usize = 2000;

const CSS: &str = "\
text { font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #1f2933; } \
.title { font-weight: bold; font-size: 15px; } \
.faint { fill: #6b7785; } \
.light { fill: #ffffff; } \
.address, .end { text-anchor: end; } \
.cell { text-anchor: middle; } \
.join { fill: #dfe5ec; fill-opacity: 0.6; } \
.hole { fill: #ffffff; stroke: #b8c2cc; stroke-dasharray: 3 3; } \
.damage { fill: #d64545; } \
.special { fill: #8e44ad; } \
.dirty { fill: #c0392b; } \
.young { fill: #f1c40f; } \
.edge { fill: none; stroke: #52606d; stroke-width: 0.8; }";

/// What one band shows.
enum What<'a> {
    Run(&'a Run),
    Hole,
    Damage(&'a Damage),
    /// So many runs and defects that are not drawn.
    Rest(u64),
}

struct Band<'a> {
    what: What<'a>,
    gpa: u64,
    end: u64,
    /// Where it is on the right.
    y: f64,
    height: f64,
    /// Where it is in the strip.
    strip_y: f64,
    strip_height: f64,
}

/// The picture of an address space.
pub fn draw(subject: &Subject) -> String {
    let mut bands = bands(subject);
    let height = place(&mut bands);
    let total = (TOP + height + BOTTOM).ceil();
    let mut document = Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, total))
        .set("width", WIDTH)
        .set("height", total)
        .add(Title::new("Guest address space"))
        .add(Style::new(CSS))
        .add(patterns())
        .add(rectangle(0.0, 0.0, WIDTH, total).set("fill", "#ffffff"))
        .add(heading(subject))
        .add(legend(subject.description.usage));
    for band in bands.iter().filter(|band| band.height >= EDGE_HEIGHT) {
        document = document.add(join(band));
    }
    for band in &bands {
        document = document.add(draw_band(band, subject));
    }
    document = document.add(addresses(&bands, subject));
    document.to_string()
}

/// Runs, what cannot be read, and the holes around them, in order.
fn bands<'a>(subject: &Subject<'a>) -> Vec<Band<'a>> {
    let runs = &subject.contents.runs;
    let is_in_run = |gpa: u64| {
        let behind = runs.partition_point(|run| run.mapping.gpa <= gpa);
        behind.checked_sub(1).and_then(|last| runs.get(last)).is_some_and(|run| end_of(run) > gpa)
    };
    let unreadable = subject.contents.damage.iter().filter(|damage| !is_in_run(damage.gpa));
    let mut shown = Vec::from_iter(runs.iter().map(|run| (run.mapping.gpa, What::Run(run))));
    shown.extend(unreadable.map(|damage| (damage.gpa, What::Damage(damage))));
    shown.sort_by_key(|(gpa, _)| *gpa);
    // Of two defects of one entry the later says more: why its table was not entered.
    shown.reverse();
    shown.dedup_by_key(|(gpa, _)| *gpa);
    shown.reverse();
    let mut rest = subject.contents.run_count - runs.len() as u64;
    rest += shown.len().saturating_sub(MOST_SHOWN) as u64;
    shown.truncate(MOST_SHOWN);

    let range = &subject.description.range;
    let mut bands = Vec::new();
    let mut add = |what, gpa, end| {
        let (y, height, strip_y, strip_height) = (0.0, 0.0, 0.0, 0.0);
        bands.push(Band { what, gpa, end, y, height, strip_y, strip_height });
    };
    let mut at = range.as_ref().map_or(0, |range| range.start);
    for (gpa, what) in shown {
        if gpa > at {
            add(What::Hole, at, gpa);
        }
        let end = match &what {
            What::Run(run) => end_of(run),
            What::Damage(damage) => gpa.saturating_add(damage.size),
            What::Hole | What::Rest(_) => gpa,
        };
        add(what, gpa, end);
        at = at.max(end);
    }
    let end = range.as_ref().map_or(1 << subject.tables.shape().gpa_bits, |range| range.end);
    if end > at {
        add(if rest > 0 { What::Rest(rest) } else { What::Hole }, at, end);
    }
    bands
}

/// Whether the strip leaves a band out.
fn is_cut_out(band: &Band) -> bool {
    matches!(band.what, What::Hole | What::Rest(_))
}

/// Gives each band its place; the height of all.
fn place(bands: &mut [Band]) -> f64 {
    let wanted = |band: &Band| match band.what {
        What::Hole | What::Rest(_) => 20.0,
        _ => 20.0 + 1.7 * ((band.end - band.gpa).max(4096) as f64 / 4096.0).log2(),
    };
    let all = bands.iter().map(wanted).sum::<f64>();
    let squeeze = (MOST_HEIGHT / all).min(1.0);
    let mut y = TOP;
    for band in bands.iter_mut() {
        band.y = y;
        band.height = wanted(band) * squeeze;
        y += band.height;
    }
    let height = y - TOP;

    let bytes_shown = |band: &Band| match band.what {
        What::Hole | What::Rest(_) => 0.0,
        _ => (band.end - band.gpa) as f64,
    };
    let holes = bands.iter().filter(|band| is_cut_out(band)).count() as f64;
    let hole_height = HOLE_IN_STRIP.min(height / 2.0 / holes.max(1.0));
    let scale =
        (height - holes * hole_height) / bands.iter().map(bytes_shown).sum::<f64>().max(1.0);
    let mut y = TOP;
    for band in bands {
        band.strip_y = y;
        band.strip_height = match band.what {
            What::Hole | What::Rest(_) => hole_height,
            _ => bytes_shown(band) * scale,
        };
        y += band.strip_height;
    }
    height
}

/// The lines that take a band of the strip to its band on the right.
fn join(band: &Band) -> Group {
    let group = Group::new();
    if is_cut_out(band) {
        return group;
    }
    let strip_right = STRIP_LEFT + STRIP_WIDTH;
    let right = ADDRESS_RIGHT - 118.0;
    let bottom = |y: f64, height: f64| y + height.max(0.6);
    let points = [
        (strip_right, band.strip_y),
        (right, band.y + 1.0),
        (right, bottom(band.y, band.height - 1.0)),
        (strip_right, bottom(band.strip_y, band.strip_height)),
    ];
    let points = points.map(|(x, y)| format!("{x:.1},{y:.1}")).join(" ");
    group.add(Polygon::new().set("class", "join").set("points", points))
}

/// The addresses between the bands, as many as have room.
fn addresses(bands: &[Band], subject: &Subject) -> Group {
    let digits = format!("{:x}", subject.end()).len().max(12);
    let starts = bands.iter().map(|band| (band.gpa, band.y));
    let end = bands.last().map(|band| (band.end, band.y + band.height));
    let mut group = Group::new();
    let mut free = 0.0;
    for (gpa, y) in starts.chain(end) {
        if y >= free {
            let address = format!("0x{gpa:0digits$x}");
            group = group.add(text(ADDRESS_RIGHT, y + 4.0, address, "address faint"));
            free = y + TEXT_HEIGHT;
        }
    }
    group
}

fn draw_band(band: &Band, subject: &Subject) -> Group {
    let bytes = band.end - band.gpa;
    let has_text = band.height >= TEXT_HEIGHT;
    let middle = band.y + band.height / 2.0 + 4.0;
    let at = |x, content: String, class| text(x, middle, content, class);
    let strip = rectangle(STRIP_LEFT, band.strip_y, STRIP_WIDTH, band.strip_height.max(0.6));
    let full = rectangle(BAND_LEFT, band.y, BAND_WIDTH, band.height);
    let mut group = Group::new();
    match &band.what {
        What::Hole | What::Rest(_) => {
            let (class, tooltip) = match band.what {
                What::Rest(count) => ("rest-of-space", format!("{count} more, not drawn")),
                _ => ("hole-of-space", format!("hole of {}", size(bytes))),
            };
            group = group.set("class", class).add(Title::new(tooltip.clone()));
            group = group.add(strip.set("class", "hole")).add(full.set("class", "hole"));
            if has_text {
                group = group.add(at(BAND_LEFT + 12.0, tooltip, "faint"));
            }
        }
        What::Damage(damage) => {
            group = group.set("class", "unreadable").add(Title::new(explain(damage)));
            group = group.add(strip.set("class", "damage")).add(full.set("class", "damage"));
            if has_text {
                group = group.add(at(BAND_LEFT + 12.0, label(damage.cause).into(), "light"));
            }
        }
        What::Run(run) => {
            let (fill, is_dark) = fill(run);
            let line = line(run, subject.end());
            group = group.set("class", "run").add(Title::new(line.trim_end()));
            group = group.add(strip.set("fill", fill)).add(full.set("fill", fill));
            if !matches!(run.memory(), "write-back" | "-") {
                let mark = rectangle(BAND_RIGHT - 8.0, band.y, 8.0, band.height);
                group = group.add(mark.set("class", "special"));
            }
            let marks = run.usage.map(|usage| [(usage.dirty, "dirty"), (usage.young, "young")]);
            for ((has, class), x) in marks.into_iter().flatten().zip([0.0, 4.0]) {
                if has {
                    let mark = rectangle(BAND_LEFT + x, band.y, 4.0, band.height);
                    group = group.add(mark.set("class", class));
                }
            }
            if has_text {
                group = group.add(permissions(run, middle));
                let class = if is_dark { "light" } else { "" };
                let named =
                    |name: &'static str| Some(name).filter(|name| *name != "-").unwrap_or("");
                group = group
                    .add(at(BAND_LEFT + 66.0, size(bytes), class))
                    .add(at(BAND_LEFT + 164.0, run.state().into(), class))
                    .add(at(BAND_LEFT + 238.0, named(run.memory()).into(), class))
                    .add(at(BAND_RIGHT - 44.0, named(run.page()).into(), class))
                    .add(at(BAND_RIGHT + 12.0, target(run), ""));
            }
        }
    }
    if band.height >= EDGE_HEIGHT {
        let edge = rectangle(BAND_LEFT, band.y, BAND_WIDTH, band.height);
        group = group.add(edge.set("class", "edge"));
    }
    group
}

/// Where a run leads.
fn target(run: &Run) -> String {
    let mapping = &run.mapping;
    match mapping.state {
        AXAS_STATE_TRAP => format!("cookie {:#x}", mapping.cookie),
        AXAS_STATE_PROVIDED => format!("provider {:#x}", mapping.cookie),
        _ if mapping.hpa == AXAS_HPA_INVALID => String::new(),
        _ => format!("\u{2192} {:#x}", mapping.hpa),
    }
}

/// The colour of a run, and whether text on it has to be light.
fn fill(run: &Run) -> (&'static str, bool) {
    match (run.mapping.state, run.level) {
        (AXAS_STATE_LINEAR, 1) => ("#b9d7ef", false),
        (AXAS_STATE_LINEAR, 2) => ("#5b9bd5", false),
        (AXAS_STATE_LINEAR, _) => ("#1f4e8c", true),
        (AXAS_STATE_OWNED, 1) => ("#c0e3bd", false),
        (AXAS_STATE_OWNED, 2) => ("#5fb36a", false),
        (AXAS_STATE_OWNED, _) => ("#1d6b35", true),
        (AXAS_STATE_TRAP, _) => ("#f6b26b", false),
        _ => ("url(#reserved)", false),
    }
}

/// Three cells, dark where the guest may.
fn permissions(run: &Run, middle: f64) -> Group {
    let mut group = Group::new();
    for (letter, x) in run.access().chars().zip([0.0, 15.0, 30.0]) {
        let x = BAND_LEFT + 10.0 + x;
        let (fill, class) =
            if letter == '-' { ("#ffffff", "cell faint") } else { ("#334155", "cell light") };
        group = group.add(rectangle(x, middle - 11.0, 14.0, 14.0).set("fill", fill)).add(text(
            x + 3.5,
            middle,
            letter.to_string(),
            class,
        ));
    }
    group
}

fn heading(subject: &Subject) -> Group {
    let statistics = subject.statistics();
    let (tables, bytes) = statistics.split_at(2);
    let line = |figures: &[(&str, String)]| {
        let figures = figures.iter().map(|(what, text)| format!("{what} {text}"));
        figures.collect::<Vec<_>>().join(" \u{b7} ")
    };
    let mut group = Group::new()
        .add(text(STRIP_LEFT, 30.0, subject.title(), "title"))
        .add(text(STRIP_LEFT, 52.0, line(tables), ""))
        .add(text(STRIP_LEFT, 70.0, line(bytes), ""));
    let damage = subject.contents.defect_count();
    if damage > 0 {
        let count = format!("{damage} defects");
        let warning = text(WIDTH - STRIP_LEFT, 30.0, count, "end title");
        group = group.add(warning.set("style", "fill: #d64545"));
    }
    group
}

/// What the colours mean.
fn legend(has_usage: bool) -> Group {
    let mut group = Group::new();
    let mut x = STRIP_LEFT;
    let mut key = |mark: Rectangle, name: &str, width: f64| {
        group = std::mem::take(&mut group).add(legend_key(mark, name, x, 90.0));
        x += width;
    };
    let colour = |fill: &str| Rectangle::new().set("fill", fill);
    key(colour("#b9d7ef"), "linear 4K", 100.0);
    key(colour("#5b9bd5"), "2M", 50.0);
    key(colour("#1f4e8c"), "1G", 54.0);
    key(colour("#c0e3bd"), "owned 4K", 93.0);
    key(colour("#5fb36a"), "2M", 50.0);
    key(colour("#1d6b35"), "1G", 54.0);
    key(colour("url(#reserved)"), "reserved", 94.0);
    key(colour("#f6b26b"), "trap", 66.0);
    key(Rectangle::new().set("class", "special"), "not write-back", 138.0);
    key(Rectangle::new().set("class", "hole"), "hole", 66.0);
    key(Rectangle::new().set("class", "damage"), "unreadable", 100.0);
    if has_usage {
        let mark = |class: &str| Rectangle::new().set("class", class);
        group = group
            .add(legend_key(mark("dirty"), "dirty", STRIP_LEFT + 90.0, 123.0))
            .add(legend_key(mark("young"), "young", STRIP_LEFT + 170.0, 123.0));
    }
    group
        .add(text(STRIP_LEFT, 134.0, "to scale", "faint"))
        .add(text(BAND_LEFT, 134.0, "logarithmic; rwx: what the guest may", "faint"))
        .add(text(BAND_RIGHT - 44.0, 134.0, "pages", "faint"))
        .add(text(BAND_RIGHT + 12.0, 134.0, "host address", "faint"))
}

fn legend_key(mark: Rectangle, name: &str, x: f64, y: f64) -> Group {
    let placed = mark.set("x", x).set("y", y).set("width", 14.0).set("height", 14.0);
    Group::new().add(placed.set("stroke", "#52606d").set("stroke-width", 0.6)).add(text(
        x + 20.0,
        y + 11.0,
        name,
        "",
    ))
}

/// The fill of reservations: nothing is there yet.
fn patterns() -> Definitions {
    let pattern = Pattern::new()
        .set("id", "reserved")
        .set("width", 8)
        .set("height", 8)
        .set("patternUnits", "userSpaceOnUse")
        .set("patternTransform", "rotate(45)");
    let stripe = Line::new().set("x1", 0).set("y1", 0).set("x2", 0).set("y2", 8);
    Definitions::new().add(
        pattern
            .add(rectangle(0.0, 0.0, 8.0, 8.0).set("fill", "#f1f8f0"))
            .add(stripe.set("stroke", "#a9d6a5").set("stroke-width", 4)),
    )
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
