//! The simulated directory tree, and which of its changes survive a power loss. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Seeded;

/// A file's identity, whatever its name.
pub(super) type Inode = u64;

/// What a name leads to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Node {
    Directory,
    File(Inode),
}

/// Names as readers see them, names as the disk holds them, and the changes between.
#[derive(Clone, Default, Debug)]
pub(super) struct Names {
    live: Tree,
    durable: Tree,
    unsynced: Vec<Change>,
}

type Tree = BTreeMap<PathBuf, Node>;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Create(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<Node> {
        if path.parent().is_none() { Some(Node::Directory) } else { self.live.get(path).copied() }
    }

    pub(super) fn children(&self, dir: &Path) -> Vec<(PathBuf, Node)> {
        let in_dir = |(path, _): &(&PathBuf, &Node)| path.parent() == Some(dir);
        self.live.iter().filter(in_dir).map(|(path, node)| (path.clone(), *node)).collect()
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unsynced.push(change);
    }

    /// Makes the changes of one directory durable, with the earlier ones that they rest on. Nothing else: who
    /// forgets a directory shall find out.
    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let mut needed: BTreeSet<PathBuf> = dir.ancestors().map(Path::to_owned).collect();
        let mut chosen = vec![false; self.unsynced.len()];
        for (index, change) in self.unsynced.iter().enumerate().rev() {
            let in_dir = change.paths().any(|path| path.parent() == Some(dir));
            if in_dir || change.paths().any(|path| needed.contains(path)) {
                chosen[index] = true;
                for path in change.paths() {
                    needed.extend(path.ancestors().map(Path::to_owned));
                }
            }
        }
        let mut chosen = chosen.into_iter();
        self.unsynced.retain(|change| {
            let chosen = chosen.next().unwrap_or(false);
            if chosen {
                change.apply(&mut self.durable);
            }
            !chosen
        });
    }

    /// After the process died and the machine did not.
    pub(super) fn after_kill(&self) -> Self {
        self.clone()
    }

    /// After a power loss: the journal keeps changes in order, so that of those nobody synced the first few
    /// survive, how many the seed decides.
    pub(super) fn after_power_loss(&self, random: &mut Seeded) -> Self {
        let surviving = random.below(self.unsynced.len() as u64 + 1) as usize;
        let mut tree = self.durable.clone();
        self.unsynced[..surviving].iter().for_each(|change| change.apply(&mut tree));
        Self { live: tree.clone(), durable: tree, unsynced: Vec::new() }
    }

    pub(super) fn inodes(&self) -> BTreeSet<Inode> {
        let inode = |node: &Node| if let Node::File(inode) = node { Some(*inode) } else { None };
        self.live.values().filter_map(inode).collect()
    }
}

impl Change {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let (first, second) = match self {
            Self::Create(path, _) | Self::Remove(path) => (path, None),
            Self::Rename(from, to) => (from, Some(to)),
        };
        [Some(first), second].into_iter().flatten().map(PathBuf::as_path)
    }

    fn apply(&self, tree: &mut Tree) {
        match self {
            Self::Create(path, node) => {
                tree.insert(path.clone(), *node);
            }
            Self::Remove(path) => {
                tree.remove(path);
            }
            Self::Rename(from, to) => {
                let moved: Vec<PathBuf> =
                    tree.keys().filter(|path| path.starts_with(from)).cloned().collect();
                for path in moved {
                    if let (Some(node), Ok(rest)) = (tree.remove(&path), path.strip_prefix(from)) {
                        let target = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                        tree.insert(target, node);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(names: &mut Names, path: &str, node: Node) {
        names.change(Change::Create(path.into(), node));
    }

    fn survivors(names: &Names, path: &str) -> usize {
        (0..200)
            .filter(|seed| names.after_power_loss(&mut Seeded::new(*seed)).get(Path::new(path)).is_some())
            .count()
    }

    #[test]
    fn a_new_name_survives_surely_only_after_its_directory_was_synced() {
        let mut names = Names::default();
        create(&mut names, "/d", Node::Directory);
        create(&mut names, "/d/f", Node::File(1));
        assert!((1..200).contains(&survivors(&names, "/d/f")));
        names.sync_dir(Path::new("/d"));
        assert_eq!(survivors(&names, "/d/f"), 200);
    }

    #[test]
    fn syncing_one_directory_says_nothing_of_another() {
        let mut names = Names::default();
        for dir in ["/a", "/b"] {
            create(&mut names, dir, Node::Directory);
        }
        names.sync_dir(Path::new("/"));
        create(&mut names, "/a/f", Node::File(1));
        create(&mut names, "/b/f", Node::File(2));
        names.sync_dir(Path::new("/b"));
        assert_eq!(survivors(&names, "/b/f"), 200);
        assert!((1..200).contains(&survivors(&names, "/a/f")));
    }

    #[test]
    fn a_rename_leaves_one_of_both_names_and_takes_a_directory_with_all_in_it() {
        let mut names = Names::default();
        create(&mut names, "/t-0", Node::Directory);
        create(&mut names, "/t-0/0.log", Node::File(1));
        names.sync_dir(Path::new("/t-0"));
        names.sync_dir(Path::new("/"));
        names.change(Change::Rename("/t-0".into(), "/t-0-delete".into()));
        let (old, new) = (survivors(&names, "/t-0/0.log"), survivors(&names, "/t-0-delete/0.log"));
        assert!(old > 0 && new > 0 && old + new == 200, "{old} {new}");
    }

    #[test]
    fn a_removal_that_nobody_synced_may_come_back() {
        let mut names = Names::default();
        create(&mut names, "/f", Node::File(1));
        names.sync_dir(Path::new("/"));
        names.change(Change::Remove("/f".into()));
        assert_eq!(names.get(Path::new("/f")), None);
        assert!((1..200).contains(&survivors(&names, "/f")));
        names.sync_dir(Path::new("/"));
        assert_eq!(survivors(&names, "/f"), 0);
    }
}
