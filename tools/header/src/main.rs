// SPDX-License-Identifier: MIT OR Apache-2.0
//! `axas-header HEADER SYMBOLS`, run in the library's directory: writes the C header that
//! cbindgen.toml describes, and a symbol file with the names of the functions in it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [header, symbols] = arguments.as_slice() else {
        eprintln!("usage: axas-header HEADER SYMBOLS");
        return ExitCode::from(2);
    };
    match generate(header, symbols) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(header: &str, symbols: &str) -> Result<(), String> {
    let config = cbindgen::Config::from_file("cbindgen.toml")?;
    let bindings = cbindgen::Builder::new()
        .with_crate(".")
        .with_config(config)
        .generate()
        .map_err(|error| error.to_string())?;
    bindings.write_to_file(header);
    bindings.generate_symfile(symbols);
    Ok(())
}
