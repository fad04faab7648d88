// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files that hold the tables. Pages are read when they are asked for: a dump may be large.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use axaddrspace::tables::Page;

use crate::args::number;

/// What `--memory` names.
#[derive(Clone, Debug)]
pub enum Source {
    File { base: u64, path: PathBuf },
    Directory(PathBuf),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if Path::new(text).is_dir() {
            return Ok(Self::Directory(text.into()));
        }
        match text.split_once(':') {
            Some((base, path)) => Ok(Self::File { base: number(base)?, path: path.into() }),
            None => Err("want ADDRESS:FILE or a directory".into()),
        }
    }
}

/// A file and where its bytes were.
struct Piece {
    base: u64,
    bytes: u64,
    file: File,
    path: PathBuf,
}

/// All pieces, by address.
pub struct Memory {
    pieces: Vec<Piece>,
    failure: Option<anyhow::Error>,
}

impl Memory {
    pub fn open(sources: &[Source]) -> Result<Self> {
        let mut pieces = Vec::new();
        for source in sources {
            match source {
                Source::File { base, path } => pieces.push(Piece::open(*base, path)?),
                Source::Directory(path) => open_directory(path, &mut pieces)?,
            }
        }
        pieces.sort_by_key(|piece| piece.base);
        for pair in pieces.windows(2) {
            let [first, second] = pair else { continue };
            ensure!(
                second.base - first.base >= first.bytes,
                "{} and {} overlap at {:#x}",
                first.path.display(),
                second.path.display(),
                second.base,
            );
        }
        Ok(Self { pieces, failure: None })
    }

    /// The page at a physical address, if a file has all of it.
    pub fn page(&mut self, address: u64) -> Option<Page> {
        let behind = self.pieces.partition_point(|piece| piece.base <= address);
        let piece = self.pieces.get(behind.checked_sub(1)?)?;
        let mut bytes = [0; size_of::<Page>()];
        let offset = address - piece.base;
        if piece.bytes.checked_sub(offset)? < bytes.len() as u64 {
            return None;
        }
        if let Err(error) = piece.file.read_exact_at(&mut bytes, offset) {
            let what = format!("cannot read {}", piece.path.display());
            self.failure.get_or_insert(anyhow::Error::from(error).context(what));
            return None;
        }
        let (words, _) = bytes.as_chunks();
        let mut page = [0; size_of::<Page>() / size_of::<u64>()];
        for (word, bytes) in page.iter_mut().zip(words) {
            *word = u64::from_le_bytes(*bytes);
        }
        Some(page)
    }

    /// Whether all that was asked for could be read.
    pub fn check(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

impl Piece {
    fn open(base: u64, path: &Path) -> Result<Self> {
        let open = || -> io::Result<(File, u64)> {
            let file = File::open(path)?;
            let about = file.metadata()?;
            if !about.is_file() {
                return Err(io::Error::other("not a regular file"));
            }
            Ok((file, about.len()))
        };
        let (file, bytes) = open().with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(
            base.checked_add(bytes).is_some(),
            "{} does not fit behind address {base:#x}",
            path.display()
        );
        Ok(Self { base, bytes, file, path: path.into() })
    }
}

/// Opens the files of a directory that are named after an address.
fn open_directory(path: &Path, pieces: &mut Vec<Piece>) -> Result<()> {
    let unreadable = || format!("cannot read {}", path.display());
    let before = pieces.len();
    for entry in fs::read_dir(path).with_context(unreadable)? {
        let file = entry.with_context(unreadable)?.path();
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or("");
        if let (true, Ok(base)) = (name.starts_with("0x"), number(name)) {
            pieces.push(Piece::open(base, &file)?);
        }
    }
    if pieces.len() == before {
        bail!("{} has no file named after an address, like 0x40000000.bin", path.display());
    }
    Ok(())
}
