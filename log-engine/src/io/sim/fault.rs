//! Errors on command.

/// What an operation is, for choosing which one fails.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Opening or creating a file.
    Open,
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Changing a length.
    SetLen,
    /// Flushing a file.
    Sync,
    /// Flushing a directory.
    SyncDir,
    /// Creating a directory, renaming or removing anything.
    Name,
    /// Each of them.
    Any,
}

/// One error to come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Which operations count.
    pub operation: Operation,
    /// Only those on paths that contain this; everything contains the empty text.
    pub path_contains: String,
    /// How many of them pass before it strikes.
    pub after: u64,
    /// How many it strikes; `u64::MAX` for all from then on.
    pub times: u64,
    /// The answer, an errno.
    pub errno: i32,
    /// Of a write, how many bytes arrive before the error; the first attempt then ends short, without one.
    pub arriving: usize,
}

impl Fault {
    /// The next operation of this kind fails with `errno`, once, whatever its path.
    pub fn next(operation: Operation, errno: i32) -> Self {
        Self { operation, path_contains: String::new(), after: 0, times: 1, errno, arriving: 0 }
    }

    /// Only on paths that contain `text`.
    #[must_use]
    pub fn on(mut self, text: &str) -> Self {
        text.clone_into(&mut self.path_contains);
        self
    }

    /// Only after `operations` others passed.
    #[must_use]
    pub fn after(mut self, operations: u64) -> Self {
        self.after = operations;
        self
    }

    /// Not only once.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// A write that ends short: `bytes` arrive.
    #[must_use]
    pub fn arriving(mut self, bytes: usize) -> Self {
        self.arriving = bytes;
        self
    }

    /// Counts an operation that takes place and says whether it is struck.
    pub(super) fn strikes(&mut self, operation: Operation, path: &str) -> bool {
        let concerns = self.operation == Operation::Any || operation == self.operation;
        if !concerns || !path.contains(&self.path_contains) {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        let strikes = self.times > 0;
        self.times = self.times.saturating_sub(1);
        strikes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_the_operations_it_names_and_no_others() {
        let mut fault = Fault::next(Operation::Write, 5).on(".log").after(1).times(2);
        let struck: Vec<bool> = [
            (Operation::Write, "a.log"),
            (Operation::Write, "a.index"),
            (Operation::Sync, "a.log"),
            (Operation::Write, "b.log"),
            (Operation::Write, "a.log"),
            (Operation::Write, "a.log"),
        ]
        .map(|(operation, path)| fault.strikes(operation, path))
        .into();
        assert_eq!(struck, [false, false, false, true, true, false]);
    }
}
