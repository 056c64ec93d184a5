//! The table: rows of figures for Kafka, Klamm and the bare loop, each the median of its repeats.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

/// One line of the table. Figures that do not exist for a column are `None`.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured, with its unit.
    pub what: String,
    /// Apache Kafka's repeats.
    pub kafka: Vec<f64>,
    /// Klamm's repeats.
    pub klamm: Vec<f64>,
    /// The bare loop's repeats.
    pub limit: Vec<f64>,
}

impl Row {
    /// A row without figures yet.
    pub fn new(what: impl Into<String>) -> Self {
        Row { what: what.into(), kafka: Vec::new(), klamm: Vec::new(), limit: Vec::new() }
    }
}

/// The middle value; of an even number the lower of the two. None if there is none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

/// The first two lines of the table.
pub const HEAD: &str =
    "| what | Apache Kafka | Klamm | bare loop | Klamm / Kafka | Klamm / bare |\n|---|---|---|---|---|---|\n";

/// The table in Markdown, with Klamm's ratio to either side.
pub fn table(rows: &[Row]) -> String {
    rows.iter().fold(String::from(HEAD), |text, row| text + &line(row))
}

/// One line of the table, with its end.
pub fn line(row: &Row) -> String {
    let [kafka, klamm, limit] = [&row.kafka, &row.klamm, &row.limit].map(|values| median(values));
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        row.what,
        figure(kafka),
        figure(klamm),
        figure(limit),
        figure(ratio(klamm, kafka)),
        figure(ratio(klamm, limit)),
    )
}

fn ratio(of: Option<f64>, to: Option<f64>) -> Option<f64> {
    Some(of? / to?).filter(|ratio| ratio.is_finite())
}

/// Three significant digits are what the noise of a shared machine leaves.
fn figure(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

/// Processor, cores, memory, kernel, commit: what a figure is worth nothing without.
pub fn machine() -> String {
    let field = |file: &str, key: &str| -> String {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit =
        commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    format!(
        "{} x {}, {} memory, Linux {}, commit {commit}",
        cores,
        field("/proc/cpuinfo", "model name"),
        field("/proc/meminfo", "MemTotal"),
        kernel.trim()
    )
}

/// Writes the report beside the earlier ones.
pub fn save(path: &Path, heading: &str, rows: &[Row]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, format!("# {heading}\n\n{}\n\n{}", machine(), table(rows)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_the_lower_middle_and_of_none_is_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0, 10.0]), Some(2.0));
        assert_eq!(median(&[f64::NAN, 5.0]), Some(5.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_missing_column_is_a_dash_and_has_no_ratio() {
        let row = Row { kafka: vec![10.0], klamm: vec![2.0], ..Row::new("start, s") };
        assert!(table(&[row]).contains("| start, s | 10.0 | 2.00 | - | 0.200 | - |"));
    }
}
