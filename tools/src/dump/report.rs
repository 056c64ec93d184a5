//! What is told at the end and on standard error: damages, and the pairs of offsets that do not fit together.

use std::path::Path;

use super::text::java_map_order;

/// Pairs kept until the end of the run; more are told at once, so that memory stays bounded.
const PAIRS_KEPT: usize = 128 * 1024;

/// The order in which the pairs of a file are told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As they were found.
    Found,
    /// By the first number, upwards; of equals the last one.
    Ascending,
    /// By the first number, downwards; of equals the last one.
    Descending,
}

/// One kind of finding, gathered by file.
pub(super) struct Findings {
    title: &'static str,
    line: [&'static str; 2],
    order: Order,
    files: Vec<String>,
    pairs: Vec<Vec<(i64, i64)>>,
    kept: usize,
    told: Vec<bool>,
}

impl Findings {
    /// A kind whose title stands before the file's name, and whose lines are two texts, each before a number.
    pub(super) fn new(title: &'static str, line: [&'static str; 2], order: Order) -> Self {
        Self { title, line, order, files: Vec::new(), pairs: Vec::new(), kept: 0, told: Vec::new() }
    }

    /// Keeps a pair; what has to be told at once comes back.
    pub(super) fn add(&mut self, file: &Path, first: i64, second: i64) -> Option<String> {
        let index = self.index_of(file);
        self.pairs[index].push((first, second));
        self.kept += 1;
        (self.kept >= PAIRS_KEPT).then(|| self.take_text())
    }

    fn index_of(&mut self, file: &Path) -> usize {
        let name = absolute(file);
        if let Some(index) = self.files.iter().rposition(|known| *known == name) {
            return index;
        }
        self.files.push(name);
        self.pairs.push(Vec::new());
        self.told.push(false);
        self.files.len() - 1
    }

    /// Everything found and not yet told, files in the order in which Java's map walks them.
    pub(super) fn take_text(&mut self) -> String {
        let mut text = String::new();
        for index in java_map_order(&self.files) {
            let pairs = std::mem::take(&mut self.pairs[index]);
            if pairs.is_empty() {
                continue;
            }
            if !std::mem::replace(&mut self.told[index], true) {
                text.push_str(self.title);
                text.push_str(&self.files[index]);
                text.push('\n');
            }
            for (first, second) in in_order(pairs, self.order) {
                let [before, between] = self.line;
                text.push_str(&format!("{before}{first}{between}{second}\n"));
            }
        }
        self.kept = 0;
        text
    }
}

fn in_order(mut pairs: Vec<(i64, i64)>, order: Order) -> Vec<(i64, i64)> {
    if order == Order::Found {
        return pairs;
    }
    // Of pairs with one key the last wins, as in a Java map: turned around it comes first and is kept.
    pairs.reverse();
    pairs.sort_by_key(|pair| pair.0);
    pairs.dedup_by_key(|pair| pair.0);
    if order == Order::Descending {
        pairs.reverse();
    }
    pairs
}

/// As `File.getAbsolutePath`: the working directory in front, nothing resolved.
pub(super) fn absolute(file: &Path) -> String {
    match std::env::current_dir() {
        Ok(directory) if !file.is_absolute() => format!("{}/{}", directory.display(), file.display()),
        _ => file.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_tells_the_last_of_two_pairs_with_one_key() {
        let pairs = vec![(5, 1), (3, 2), (5, 3)];
        assert_eq!(in_order(pairs.clone(), Order::Descending), [(5, 3), (3, 2)]);
        assert_eq!(in_order(pairs.clone(), Order::Ascending), [(3, 2), (5, 3)]);
        assert_eq!(in_order(pairs.clone(), Order::Found), pairs);
    }

    #[test]
    fn more_pairs_than_are_kept_are_told_at_once_under_one_title() {
        let mut findings = Findings::new("In ", ["  ", " then "], Order::Ascending);
        let file = Path::new("/a/0.log");
        let mut told = String::new();
        for number in 0..PAIRS_KEPT as i64 + 1 {
            if let Some(text) = findings.add(file, number, number + 2) {
                told += &text;
            }
        }
        told += &findings.take_text();
        assert!(told.starts_with("In /a/0.log\n  0 then 2\n"));
        assert_eq!(told.lines().count(), PAIRS_KEPT + 2);
    }
}
