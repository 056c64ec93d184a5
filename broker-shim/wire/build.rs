//! Expands the message schemas in `schemas/` to Rust. The rules of their notation: `schemas/README.md`.

mod generator;

use std::path::Path;
use std::{env, fs};

use generator::{Failure, SchemaFile};

fn main() {
    println!("cargo::rerun-if-changed=schemas");
    println!("cargo::rerun-if-changed=generator");
    if let Err(failure) = expand_all() {
        println!("cargo::error={failure}");
    }
}

fn expand_all() -> Result<(), Failure> {
    let expanded = generator::read_expanded_list(Path::new("schemas/expanded.list"))?;
    let mut apis: Vec<SchemaFile> = read_folder(Path::new("schemas/api"))?;
    apis.retain(|file| expanded.contains(&file.name));
    let records = read_folder(Path::new("schemas/records"))?;
    let headers = generator::read_schema(Path::new("schemas/headers.schema"))?;
    write("messages.rs", &generator::expand_apis(&apis)?)?;
    write("records.rs", &generator::expand_records(&records)?)?;
    write("headers.rs", &generator::expand_headers(&headers)?)
}

fn read_folder(folder: &Path) -> Result<Vec<SchemaFile>, Failure> {
    let entries = fs::read_dir(folder).map_err(|cause| Failure::new(folder, cause))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|cause| Failure::new(folder, cause))?.path();
        if path.extension().is_some_and(|extension| extension == "schema") {
            files.push(generator::read_schema(&path)?);
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn write(name: &str, code: &str) -> Result<(), Failure> {
    let directory = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    let path = Path::new(&directory).join(name);
    fs::write(&path, code).map_err(|cause| Failure::new(&path, cause))
}
