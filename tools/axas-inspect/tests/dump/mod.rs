// SPDX-License-Identifier: MIT OR Apache-2.0
//! A dump made by examples/dump.c, which is compiled once.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::OnceLock;

use assert_cmd::Command;
use tempfile::TempDir;

pub const FORMATS: [&str; 4] = ["ept", "npt", "arm-s2", "riscv-gstage"];
/// Where the program says that its memory is.
pub const BASE: u64 = 0x4000_0000;

pub struct Dump {
    directory: TempDir,
    arguments: Vec<String>,
}

/// What a picture shows.
pub struct Shown {
    pub runs: Vec<String>,
    pub holes: usize,
    pub unreadable: usize,
}

/// The tool, without arguments.
pub fn inspect() -> Command {
    Command::new(env!("CARGO_BIN_EXE_axas-inspect"))
}

fn program() -> &'static Path {
    static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = PROGRAM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let library = root.join("build/host/libaxaddrspace.a");
        assert!(library.exists(), "{} is not there; run: make lib", library.display());
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("dump");
        let compiled = Process::new("cc")
            .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion"])
            .args(["-Wsign-conversion", "-Wshadow", "-Wcast-qual", "-Wstrict-prototypes"])
            .args(["-Werror", "-I"])
            .args([root.join("include"), root.join("examples/dump.c"), library])
            .arg("-o")
            .arg(&path)
            .status();
        assert!(compiled.expect("a C compiler; run: apt-get install gcc").success());
        (directory, path)
    });
    path
}

impl Dump {
    pub fn make(format: &str) -> Self {
        Self::make_with(format, &[])
    }

    /// As [`Dump::make`], of a space whose writes are logged.
    pub fn make_logged(format: &str) -> Self {
        Self::make_with(format, &["log"])
    }

    fn make_with(format: &str, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut process = Process::new(program());
        let output = process.arg(format).arg(directory.path()).args(more).output();
        let output = output.expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let arguments = String::from_utf8(output.stdout).expect("text");
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        Self { directory, arguments }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn memory(&self) -> PathBuf {
        self.path().join(format!("{BASE:#x}.bin"))
    }

    /// The arguments that the program proposed.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The value that the program proposed for an argument.
    fn argument(&self, name: &str) -> &str {
        let at = self.arguments.iter().position(|argument| argument == name).expect(name);
        &self.arguments[at + 1]
    }

    /// The tool with the proposed arguments.
    pub fn inspect(&self) -> Command {
        let mut command = inspect();
        command.args(&self.arguments);
        command
    }

    /// The same without the memory.
    pub fn inspect_only(&self) -> Command {
        let mut command = inspect();
        let (others, [option, _]) = self.arguments.split_last_chunk().expect("arguments");
        assert_eq!(option, "--memory");
        command.args(others);
        command
    }

    /// The tool with the root, and other arguments than were proposed for the rest.
    pub fn inspect_root(&self, others: &[&str]) -> Command {
        let mut command = inspect();
        command.args(["--format", self.argument("--format"), "--memory"]).arg(self.path());
        command.args(["--root-register", self.argument("--root-register")]).args(others);
        command
    }

    pub fn json(&self) -> serde_json::Value {
        let output = self.inspect().args(["--output", "json"]).output().expect("it runs");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Draws a picture and reads it.
    pub fn picture(&self, command: &mut Command, code: i32) -> Shown {
        let path = self.path().join("picture.svg");
        command.arg("--svg").arg(&path).assert().code(code);
        let text = fs::read_to_string(path).expect("a picture");
        let document = roxmltree::Document::parse(&text).expect("well-formed XML");
        assert_eq!(document.root_element().tag_name().name(), "svg");
        let titles_of = |class: &str| {
            let groups =
                document.descendants().filter(|node| node.attribute("class") == Some(class));
            let titles = groups.filter_map(|group| {
                group.children().find(|child| child.tag_name().name() == "title")?.text()
            });
            titles.map(|title| title.trim().to_owned()).collect::<Vec<_>>()
        };
        Shown {
            runs: titles_of("run"),
            holes: titles_of("hole-of-space").len(),
            unreadable: titles_of("unreadable").len(),
        }
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect(name)
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.memory()).expect("the memory")
    }

    pub fn restore(&self, bytes: &[u8]) {
        fs::write(self.memory(), bytes).expect("the memory");
    }

    pub fn root(&self) -> u64 {
        let register = self.argument("--root-register");
        let value = u64::from_str_radix(&register[2..], 16).expect("a register");
        match self.argument("--format") {
            "riscv-gstage" => (value & 0xfff_ffff_ffff) << 12,
            _ => value & 0xffff_ffff_f000,
        }
    }

    fn file(&self) -> File {
        File::options().read(true).write(true).open(self.memory()).expect("the memory")
    }

    pub fn truncate(&self, address: u64) {
        self.file().set_len(address - BASE).expect("cut");
    }

    pub fn word(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file().read_exact_at(&mut bytes, address - BASE).expect("a word");
        u64::from_le_bytes(bytes)
    }

    pub fn write(&self, address: u64, word: u64) {
        self.file().write_all_at(&word.to_le_bytes(), address - BASE).expect("a word");
    }

    /// The table that an entry of an x86 table points to.
    pub fn table(&self, table: u64, index: u64) -> u64 {
        self.word(table + 8 * index) & 0xf_ffff_ffff_f000
    }

    /// Pages in which something stands: the tables, for guest frames are zero.
    pub fn occupied_pages(&self) -> Vec<u64> {
        let bytes = self.bytes();
        let pages = bytes.chunks_exact(4096).zip((BASE..).step_by(4096));
        pages.filter(|(page, _)| page.iter().any(|byte| *byte != 0)).map(|(_, at)| at).collect()
    }
}
