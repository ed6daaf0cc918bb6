//! Everything in one file: the artifacts and the answer as a ZIP.
//!
//! Owns what goes in. Files are copied in pieces and stored as they are: pictures and videos are
//! compressed already. Dates are left out, so that the same run gives the same bytes.

use std::io::{self, Write as _};

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::outputs::{ARCHIVE_FILE, ZIP};
use crate::pipeline::{RunContext, RunError};

/// The answer, as it is in the archive.
const REPORT_FILE: &str = "report.json";

/// Packs the outputs so far and `report`.
pub(super) fn write(report: &str, run: &mut RunContext) -> Result<(), RunError> {
    let names: Vec<String> = run.outputs().iter().map(|output| output.name.clone()).collect();
    let files = names.into_iter().map(|name| {
        let path = run.output_path(&name);
        (name, path)
    });
    let files: Vec<_> = files.collect();
    run.output(ARCHIVE_FILE, ZIP, |file| {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(true);
        let mut archive = ZipWriter::new(file);
        archive.start_file(REPORT_FILE, options).map_err(failed)?;
        archive.write_all(report.as_bytes())?;
        for (name, path) in files {
            archive.start_file(name, options).map_err(failed)?;
            io::copy(&mut std::fs::File::open(path)?, &mut archive)?;
        }
        archive.finish().map(drop).map_err(failed)
    })
}

/// A full disk must stay one.
fn failed(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        other => io::Error::other(other),
    }
}
