// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tool against dumps that examples/dump.c makes with the C library, whole and damaged.

mod dump;

use std::fs;
use std::io::pipe;
use std::process::Stdio;
use std::time::Duration;

use dump::{Dump, FORMATS, inspect};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_empty};

/// The lines before the statistics.
fn table(output: &str) -> &str {
    output.split_once("\n\n").map_or("", |(table, _)| table)
}

#[test]
fn the_table_is_what_axas_dump_prints() {
    for format in FORMATS {
        let dump = Dump::make(format);
        let output = dump.inspect().assert().code(0).stderr(is_empty());
        let output = String::from_utf8(output.get_output().stdout.clone()).expect("text");
        let expected = dump.read("table.txt");
        assert!(expected.lines().count() >= 15, "{expected}");
        assert_eq!(table(&output), expected.trim_end(), "{format}");
    }
}

#[test]
fn the_figures_are_those_of_axas_stats() {
    for format in FORMATS {
        let dump = Dump::make(format);
        let json = dump.json();
        let expected = dump.read("stats.txt");
        assert_eq!(expected.lines().count(), 5);
        for line in expected.lines() {
            let (name, value) = line.split_once(' ').expect("a name and a figure");
            assert_eq!(json["stats"][name].to_string(), value, "{format}: {name}");
        }
    }
}

#[test]
fn json_and_csv_have_the_lines_of_the_table() {
    for format in FORMATS {
        let dump = Dump::make(format);
        let lines = dump.read("table.txt");
        let json = dump.json();
        let csv = dump.inspect().args(["--output", "csv"]).assert().code(0);
        let mut csv = csv::Reader::from_reader(csv.get_output().stdout.as_slice());
        let rows = csv.records().map(|row| row.expect("a row")).collect::<Vec<_>>();
        let runs = json["runs"].as_array().expect("runs");
        assert_eq!((runs.len(), rows.len()), (lines.lines().count(), lines.lines().count()));
        for ((line, run), row) in lines.lines().zip(runs).zip(&rows) {
            let value = |name: &str| run[name].as_str().unwrap_or("").to_owned();
            let number = |text: &str| u64::from_str_radix(&text[2..], 16).expect("a number");
            let end = number(&value("gpa")) + run["size"].as_u64().expect("a size");
            let mut words = vec![
                format!("0x{:012x}-0x{end:012x}", number(&value("gpa"))),
                value("state"),
                value("access"),
            ];
            words.extend(["memory", "page"].map(|name| match value(name).as_str() {
                "" => "-".to_owned(),
                word => word.to_owned(),
            }));
            match (value("hpa").as_str(), value("cookie").as_str()) {
                ("", "") => {}
                ("", cookie) => words.extend(["cookie".to_owned(), cookie.to_owned()]),
                (hpa, _) => words.extend(["hpa".into(), format!("0x{:012x}", number(hpa))]),
            }
            if let Some(tag) = run["tag"].as_u64() {
                words.extend(["tag".to_owned(), format!("{tag:#x}")]);
            }
            assert_eq!(line.split_whitespace().collect::<Vec<_>>(), words);
            for (column, name) in
                ["gpa", "size", "state", "access", "memory", "page", "hpa", "cookie", "tag"]
                    .into_iter()
                    .enumerate()
            {
                let value = match &run[name] {
                    serde_json::Value::Number(number) => number.to_string(),
                    _ => value(name),
                };
                assert_eq!(row[column], value, "{name}");
            }
        }
    }
}

#[test]
fn dirty_pages_are_told_from_clean_ones() {
    for format in FORMATS {
        let dump = Dump::make_logged(format);
        let lines = dump.inspect().arg("--usage").assert().code(0).stderr(is_empty());
        let lines = String::from_utf8(lines.get_output().stdout.clone()).expect("text");
        let dirty = table(&lines).lines().filter(|line| line.ends_with("  dirty young"));
        let dirty = dirty.map(|line| line.split('-').next().expect("an address"));
        // Devices are not logged.
        let expected = ["0x000009000000", "0x000080345000", "0x000100600000"];
        assert_eq!(dirty.collect::<Vec<_>>(), expected, "{format}");
        assert!(table(&lines).lines().any(|line| line.ends_with("  clean young")), "{format}");
        // Unasked, the lines are those of axas_dump.
        let lines = dump.inspect().assert().code(0);
        let lines = String::from_utf8(lines.get_output().stdout.clone()).expect("text");
        assert_eq!(table(&lines), dump.read("table.txt").trim_end(), "{format}");

        let json = dump.inspect().args(["--usage", "--output", "json"]).assert().code(0);
        let json: serde_json::Value =
            serde_json::from_slice(&json.get_output().stdout).expect("JSON");
        let runs = json["runs"].as_array().expect("runs");
        let of = |gpa: &str| runs.iter().find(|run| run["gpa"] == gpa).expect("a run");
        assert_eq!(of("0x80345000")["usage"], "dirty young");
        assert_eq!(of("0x0")["usage"], "clean young");
        assert!(of("0xa000000")["usage"].is_null());
    }
}

#[test]
fn the_root_by_address_is_as_good_as_by_register() {
    for format in FORMATS {
        let dump = Dump::make(format);
        let expected = dump.read("table.txt");
        let root = format!("{:#x}", dump.root());
        let mut command = inspect();
        command.args(["-f", format, "-r", &root, "-m"]).arg(dump.path());
        if format == "arm-s2" {
            command.args(["--gpa-bits", "39"]);
        }
        // Without --size too: the addresses are not wider than 12 digits.
        let output = command.assert().code(0).stderr(is_empty());
        let output = String::from_utf8(output.get_output().stdout.clone()).expect("text");
        assert_eq!(table(&output), expected.trim_end(), "{format}");
    }
}

#[test]
fn memory_may_come_in_pieces() {
    let dump = Dump::make("ept");
    let bytes = dump.bytes();
    let pieces = tempfile::tempdir().expect("a directory");
    let half = (bytes.len() / 2) & !0xfff;
    let (low, high) = (pieces.path().join("0x40000000"), pieces.path().join("high part"));
    fs::write(&low, &bytes[..half]).expect("written");
    fs::write(&high, &bytes[half..]).expect("written");
    fs::write(pieces.path().join("README"), "not memory").expect("written");
    let second = format!("{}:{}", dump::BASE + half as u64, high.display());
    let output = dump.inspect_only().args(["-m", &second, "-m"]).arg(pieces.path()).assert();
    let output = output.code(0).stderr(is_empty());
    let output = String::from_utf8(output.get_output().stdout.clone()).expect("text");
    assert_eq!(table(&output), dump.read("table.txt").trim_end());
    // And one half alone is not enough.
    dump.inspect_only()
        .arg("-m")
        .arg(pieces.path())
        .assert()
        .code(1)
        .stderr(contains("not in the"));
}

#[test]
fn the_picture_is_well_formed_and_shows_every_run() {
    for format in FORMATS {
        let dump = Dump::make(format);
        let lines = dump.read("table.txt");
        let shown = dump.picture(&mut dump.inspect(), 0);
        assert_eq!(shown.runs, lines.lines().collect::<Vec<_>>(), "{format}");
        assert_eq!(shown.unreadable, 0);
        // Before, between and behind: neighbours of different kind have no hole between them.
        assert_eq!(shown.holes, 6, "{format}");
    }
}

/// Which of the arena's frames serves what is the library's business: it is not compared.
#[test]
fn the_manual_shows_what_the_tool_prints_and_draws() {
    fn masked(text: &str) -> String {
        let mut pieces = text.split("0x").map(|piece| {
            let digits = piece.trim_start_matches('0');
            let address = digits.get(..8).filter(|digits| digits.starts_with("40"));
            if address.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit())) {
                format!("frame{}", &digits[8..])
            } else {
                piece.to_owned()
            }
        });
        let first = pieces.next().unwrap_or_default();
        pieces.fold(first, |text, piece| text + "0x" + &piece)
    }
    let dump = Dump::make("ept");
    let picture = dump.path().join("picture.svg");
    let mut command = dump.inspect_root(&["--size", "512G", "--svg"]);
    let output = command.arg(&picture).output().expect("it runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    let docs = |name: &str| {
        let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(path).expect(name)
    };
    let manual = docs("inspect.md");
    let block = manual.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    let block = block.expect("a block of text");
    assert_eq!(masked(block), masked(&printed), "docs/inspect.md is not what the tool prints");
    let drawn = fs::read_to_string(picture).expect("a picture");
    assert!(masked(&docs("inspect.svg")) == masked(&drawn), "docs/inspect.svg is another picture");

    let dump = Dump::make_logged("ept");
    let picture = dump.path().join("usage.svg");
    let mut command = dump.inspect_root(&["--size", "512G", "--usage", "--svg"]);
    assert!(command.arg(&picture).output().expect("it runs").status.success());
    let drawn = fs::read_to_string(picture).expect("a picture");
    assert!(masked(&docs("usage.svg")) == masked(&drawn), "docs/usage.svg is another picture");
}

#[test]
fn nobody_reads_our_output_and_we_do_not_mind() {
    let dump = Dump::make("npt");
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let command = std::process::Command::new(env!("CARGO_BIN_EXE_axas-inspect"))
        .args(dump.arguments())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .expect("it runs");
    assert_eq!(command.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&command.stderr), "");
}

#[test]
fn damage_is_named_and_the_rest_is_printed() {
    // EPT: bits 2:0 rwx, 7 a large page, 51:12 the address, 53 may be written.
    const LEAF: u64 = 7 | 6 << 3 | 3 << 8 | 1 << 53 | 1 << 63;
    let dump = Dump::make("ept");
    let lines = dump.read("table.txt").lines().count();
    let pdpt = dump.table(dump.root(), 0);
    let pd = dump.table(pdpt, 2);
    let pt = dump.table(pd, 0);
    let cases = [
        (pdpt + 8 * 3, 0x5000_0107, "is not in the memory given"),
        (pdpt + 8 * 3, dump.word(dump.root()), "was reached before"),
        (dump.root() + 8, dump.root() | 0x107, "was reached before"),
        (pdpt + 8 * 9, dump.word(pdpt), "was reached before"),
        (dump.root() + 8, 0x1000_0087, "means nothing"),
        (pt + 8 * 9, 1 << 12 | 7, "has bits that this library does not write"),
        // The hardware lets it be written, and the mapping does not.
        (pt + 8 * 9, LEAF ^ 1 << 53, "has bits that this library does not write"),
        (pt + 8 * 9, 3 << 3, "is in transition"),
        (pdpt + 8 * 9, LEAF | 1 << 7 | 1 << 12, "too wide or not aligned"),
        (pt + 8 * 9, LEAF | 1 << 51, "too wide or not aligned"),
        (dump.root() + 8, 0x3ff_ffff_f107, "is not in the memory given"),
        (dump.root() + 8, (dump::BASE + 4096) | 0x107, "is empty"),
        // EPT: occupancy in 56:52, here five entries.
        (
            pdpt + 8 * 2,
            dump.word(pdpt + 8 * 2) & !(0x1f << 52) | 5 << 52,
            "another number of entries",
        ),
        (pt + 8 * 9, LEAF | pdpt, "the guest can reach the table"),
        (pt + 8 * 9, dump.word(pt), "is mapped a second time"),
        (pdpt + 8 * 511, LEAF | 1 << 7 | 1 << 40, "stands outside the space"),
    ];
    for (address, word, what) in cases {
        let dump = Dump::make("ept");
        dump.write(address, word);
        let mut command = dump.inspect();
        command.args(["--pa-bits", "48"]);
        if what.contains("outside") {
            command = dump.inspect_root(&["--size", "256G"]);
        }
        let output = command.assert().code(1).stderr(contains(what));
        let output = String::from_utf8(output.get_output().stdout.clone()).expect("text");
        assert!(table(&output).lines().count() >= lines - 8, "{word:#x} {what}: {output}");
    }
}

#[test]
fn memory_that_ends_too_early_is_missing_memory() {
    let dump = Dump::make("riscv-gstage");
    // The last root page is cut in the middle: no part of it is believed.
    dump.truncate(dump.root() + 0x3800);
    dump.inspect().assert().code(1).stderr(contains("is not in the memory given"));
    dump.truncate(dump.root());
    let nothing = dump.inspect().assert().code(1).stderr(contains("level 3"));
    assert!(String::from_utf8_lossy(&nothing.get_output().stdout).starts_with('\n'));
    let shown = dump.picture(&mut dump.inspect(), 1);
    assert_eq!((shown.runs.len(), shown.unreadable), (0, 4));
}

#[test]
fn wrong_usage_is_explained_with_exit_code_2() {
    let dump = Dump::make("ept");
    let memory = format!("{:#x}:{}", dump::BASE, dump.memory().display());
    let cases: &[(&[&str], &str)] = &[
        (&[], "required arguments were not provided"),
        (&["-f", "ept", "-m", &memory], "--root"),
        (&["-f", "ept", "-m", &memory, "-r", "0x1000", "-R", "0x101e"], "cannot be used with"),
        (&["-f", "xyz", "-m", &memory, "-r", "0x1000"], "possible values: ept, npt"),
        (&["-f", "ept", "-m", &memory, "-r", "lots"], "is no number"),
        (&["-f", "ept", "-m", "ram.bin", "-r", "0x1000"], "want ADDRESS:FILE"),
        (&["-f", "ept", "-m", "0:no such file", "-r", "0"], "no such file"),
        (&["-f", "ept", "-m", "0:/dev/null", "-r", "0"], "not a regular file"),
        (&["-f", "ept", "-m", "/dev", "-r", "0"], "no file named after an address"),
        (&["-f", "ept", "-m", &memory, "-m", &memory, "-r", "0"], "overlap"),
        (&["-f", "ept", "-m", &memory, "-r", "0x1001"], "cannot be the root"),
        (&["-f", "riscv-gstage", "-m", &memory, "-r", "0x1000"], "cannot be the root"),
        (&["-f", "ept", "-m", &memory, "-R", "0x1002"], "is no EPTP"),
        (&["-f", "riscv-gstage", "-m", &memory, "-R", "0x1002"], "MODE is 0"),
        (&["-f", "ept", "-m", &memory, "-R", "0x101e", "--levels", "5"], "the registers say 4"),
        (&["-f", "ept", "-m", &memory, "-r", "0", "--levels", "7"], "no Intel EPT tables"),
        (&["-f", "ept", "-m", &memory, "-r", "0", "--levels", "0"], "cannot be 0"),
        (&["-f", "ept", "-m", &memory, "-r", "0", "--pa-bits", "4294967295"], "no Intel EPT"),
        (&["-f", "ept", "-m", &memory, "-r", "0", "-C", "0"], "only arm-s2"),
        (&["-f", "arm-s2", "-m", &memory, "-r", "0"], "--gpa-bits"),
        (&["-f", "arm-s2", "-m", &memory, "-r", "0", "-C", "0x80004000"], "granule of 4 KiB"),
        (&["-f", "ept", "-m", &memory, "-r", "0", "--size", "1"], "multiples of 4096"),
        (&["-f", "ept", "-m", &memory, "-r", "0", "--size", "0"], "not 0"),
        (&["-f", "ept", "-m", &memory, "-r", "0", "--base", "0"], "--size"),
        (
            &[
                "-f",
                "ept",
                "-m",
                &memory,
                "-r",
                "0",
                "--base",
                "4K",
                "--size",
                "0xffffffffffffffff",
            ],
            "overflow",
        ),
        (&["-f", "npt", "-m", &memory, "-r", "0", "--levels", "4", "--size", "512T"], "no AMD NPT"),
    ];
    for (arguments, what) in cases {
        let output = inspect().args(*arguments).assert().code(2).stdout(is_empty());
        output.stderr(contains(*what).and(contains("panicked").count(0)));
    }
    let unwritable = dump.inspect().args(["--svg", "/no such directory/a.svg"]).assert().code(2);
    unwritable.stderr(contains("cannot write"));
}

#[test]
fn help_and_version_are_there() {
    let help = inspect().arg("--help").assert().code(0).stderr(is_empty());
    let help = String::from_utf8_lossy(&help.get_output().stdout);
    for word in ["--memory", "--root-register", "--svg", "Examples:", "Exit status:"] {
        assert!(help.contains(word), "{word}");
    }
    inspect().arg("--version").assert().code(0).stdout(contains("axas-inspect 0."));
}

/// A thousand tables that nobody wrote: never a panic, never without an end, always a picture.
mod corruption_is_survived {
    use super::survive_corruption;

    #[test]
    fn ept() {
        survive_corruption(1, "ept");
    }

    #[test]
    fn npt() {
        survive_corruption(2, "npt");
    }

    #[test]
    fn arm_s2() {
        survive_corruption(3, "arm-s2");
    }

    #[test]
    fn riscv_gstage() {
        survive_corruption(4, "riscv-gstage");
    }
}

fn survive_corruption(seed: u64, format: &str) {
    const ROUNDS: usize = 250;
    let mut noticed = 0;
    let mut random = fastrand::Rng::with_seed(seed);
    let dump = Dump::make(format);
    let whole = dump.bytes();
    let tables = dump.occupied_pages();
    assert!(tables.len() >= 10, "{}", tables.len());
    for round in 0..ROUNDS {
        // Damage adds up over some rounds.
        if round % 10 == 0 {
            dump.restore(&whole);
        }
        let entry = |random: &mut fastrand::Rng| {
            tables[random.usize(..tables.len())] + 8 * random.u64(..512)
        };
        for _ in 0..1 << random.u32(..8) {
            let address = entry(&mut random);
            let word = dump.word(address);
            let other = dump.word(entry(&mut random));
            let table = tables[random.usize(..tables.len())];
            dump.write(
                address,
                match random.u32(..5) {
                    0 => random.u64(..),
                    1 => word ^ 1 << random.u32(..64),
                    2 => other,
                    3 => other & 0xfff | table,
                    _ => other & 0x3ff | table >> 2,
                },
            );
        }
        let mut command = dump.inspect();
        // Far more than any run takes, on a busy machine too.
        command.timeout(Duration::from_secs(600));
        let output = command.output().expect("it runs");
        let code = output.status.code();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            matches!(code, Some(0 | 1)) && !said.contains("panicked"),
            "{format}, seed {seed}, round {round}: {code:?}, {said}"
        );
        noticed += usize::from(code == Some(1));
        if round % 10 == 9 {
            dump.picture(&mut dump.inspect(), code.unwrap_or(0));
            expect_order(&dump.json());
        }
    }
    assert!(noticed > ROUNDS / 2, "only {noticed} of {ROUNDS} were noticed");
}

/// Runs follow each other, and none covers what could not be read.
fn expect_order(json: &serde_json::Value) {
    let range = |of: &serde_json::Value| {
        let digits = of["gpa"].as_str().and_then(|gpa| gpa.strip_prefix("0x")).expect("an address");
        let start = u64::from_str_radix(digits, 16).expect("an address");
        (start, start + of["size"].as_u64().expect("a size"))
    };
    let list = |name: &str| json[name].as_array().expect(name).clone();
    let runs = list("runs").iter().map(range).collect::<Vec<_>>();
    assert!(runs.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    for damage in list("damage") {
        let what = damage["what"].as_str().expect("text");
        if what.contains("not in the memory") || what.contains("reached before") {
            let (start, end) = range(&damage);
            assert!(runs.iter().all(|run| run.1 <= start || run.0 >= end), "{damage}");
        }
    }
}
