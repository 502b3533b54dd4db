//! A disk that a power cut can hit: files live in a real folder, as the page cache shows them, and
//! what was not synced is known. [`Fragile::power_cut`] leaves of it what a disk may leave: of each
//! write any of its sectors, one of them torn in the middle, of names any or the first few.
//!
//! A torn sector keeps the bytes that the write did not change: a disk that destroys what stood in
//! a sector before is not meant here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tickforge::publishers::journal::{Disk, DiskFile};

const SECTOR: usize = 512;

/// Random numbers that are the same for the same seed.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

/// What of a file is on the disk, and what only in memory.
#[derive(Default)]
struct Node {
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

/// A name that was made (of a file, or of a folder) or removed.
#[derive(Clone)]
enum Name {
    File(usize),
    Folder,
    Gone,
}

#[derive(Default)]
struct State {
    /// Operations until the power goes; `None` = it stays.
    fuse: Option<u64>,
    nodes: Vec<Node>,
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, Name>,
    unsynced: Vec<(PathBuf, Name)>,
    removals: u64,
}

impl State {
    /// One operation; the one that meets the cut may have had its effect, and nobody is told.
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

pub struct Fragile {
    state: Arc<Mutex<State>>,
}

impl Fragile {
    /// A disk whose files are what `root` holds, all of it synced.
    pub fn on(root: &Path) -> Arc<Fragile> {
        let mut state = State::default();
        load(root, &mut state);
        Arc::new(Fragile {
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// The power goes after so many more operations: each one after that fails.
    pub fn cut_after(&self, operations: u64) {
        self.state.lock().unwrap().fuse = Some(operations);
    }

    pub fn is_off(&self) -> bool {
        self.state.lock().unwrap().fuse == Some(0)
    }

    /// Files removed so far.
    pub fn removals(&self) -> u64 {
        self.state.lock().unwrap().removals
    }

    /// Cuts the power now, and leaves in `root` what may be found when it comes back.
    pub fn power_cut(&self, root: &Path, draw: &mut Draw) {
        let mut state = self.state.lock().unwrap();
        state.fuse = Some(0);
        let names = surviving_names(&state, draw);
        for entry in std::fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                std::fs::remove_dir_all(&path).unwrap();
            } else {
                std::fs::remove_file(&path).unwrap();
            }
        }
        // In the order of paths a folder comes before what is in it, or is not there.
        let mut folders = BTreeSet::from([root.to_owned()]);
        for (path, name) in names {
            if !path.parent().is_some_and(|above| folders.contains(above)) {
                continue;
            }
            match name {
                Name::Folder => {
                    std::fs::create_dir(&path).unwrap();
                    folders.insert(path);
                }
                Name::File(node) => {
                    std::fs::write(&path, surviving_bytes(&state.nodes[node], draw)).unwrap();
                }
                Name::Gone => {}
            }
        }
    }
}

fn load(folder: &Path, state: &mut State) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            state.durable.insert(path.clone(), Name::Folder);
            load(&path, state);
            continue;
        }
        let node = state.nodes.len();
        state.nodes.push(Node {
            durable: std::fs::read(&path).unwrap(),
            unsynced: Vec::new(),
        });
        state.live.insert(path.clone(), node);
        state.durable.insert(path, Name::File(node));
    }
}

/// Names as the folders' last syncs left them, and of the later ones the first few or any.
fn surviving_names(state: &State, draw: &mut Draw) -> BTreeMap<PathBuf, Name> {
    let mut names = state.durable.clone();
    let in_order = draw.percent(50);
    let first = draw.below(state.unsynced.len() as u64 + 1) as usize;
    for (i, (path, name)) in state.unsynced.iter().enumerate() {
        let survives = if in_order {
            i < first
        } else {
            draw.percent(50)
        };
        if survives {
            names.insert(path.clone(), name.clone());
        }
    }
    names
}

fn surviving_bytes(node: &Node, draw: &mut Draw) -> Vec<u8> {
    let mut bytes = node.durable.clone();
    let chance = [0, 30, 70, 95, 100][draw.below(5) as usize];
    for change in &node.unsynced {
        match change {
            Change::Length(length) if draw.percent(chance) => bytes.resize(*length as usize, 0),
            Change::Length(_) => {}
            Change::Write { offset, bytes: new } => {
                write_some(&mut bytes, *offset as usize, new, chance, draw);
            }
        }
    }
    bytes
}

/// Each sector of a write by itself: all of it, none of it, or now and then its beginning.
fn write_some(file: &mut Vec<u8>, offset: usize, new: &[u8], chance: u64, draw: &mut Draw) {
    let mut at = offset;
    while at < offset + new.len() {
        let end = (at / SECTOR * SECTOR + SECTOR).min(offset + new.len());
        if draw.percent(chance) {
            let torn = draw.percent(5);
            let length = end - at;
            let kept = if torn {
                draw.below(length as u64 + 1) as usize
            } else {
                length
            };
            if file.len() < end {
                file.resize(end, 0);
            }
            file[at..at + kept].copy_from_slice(&new[at - offset..at - offset + kept]);
        }
        at = end;
    }
}

struct FragileFile {
    state: Arc<Mutex<State>>,
    node: usize,
    file: File,
}

impl FragileFile {
    /// Does it in memory, where the next reader sees it, and notes it as unsynced.
    fn change(&self, change: Change, now: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let off = state.fuse == Some(0);
        let told = state.spend();
        if off {
            return told;
        }
        now(&self.file)?;
        state.nodes[self.node].unsynced.push(change);
        if state.fuse == Some(0) {
            Err(io::Error::other("the power went"))
        } else {
            told
        }
    }
}

impl DiskFile for FragileFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let change = Change::Write {
            offset,
            bytes: bytes.to_owned(),
        };
        self.change(change, |file| FileExt::write_all_at(file, bytes, offset))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Change::Length(length), |file| File::set_len(file, length))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.spend()?;
        let node = &mut state.nodes[self.node];
        for change in std::mem::take(&mut node.unsynced) {
            match change {
                Change::Length(length) => node.durable.resize(length as usize, 0),
                Change::Write { offset, bytes } => {
                    let end = offset as usize + bytes.len();
                    if node.durable.len() < end {
                        node.durable.resize(end, 0);
                    }
                    node.durable[offset as usize..end].copy_from_slice(&bytes);
                }
            }
        }
        Ok(())
    }
}

impl Disk for Fragile {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock().unwrap();
        state.spend()?;
        let mut options = File::options();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        let node = match state.live.get(path) {
            Some(node) => *node,
            None => {
                let node = state.nodes.len();
                state.nodes.push(Node::default());
                state.live.insert(path.to_owned(), node);
                state.unsynced.push((path.to_owned(), Name::File(node)));
                node
            }
        };
        Ok(Arc::new(FragileFile {
            state: Arc::clone(&self.state),
            node,
            file,
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.spend()?;
        std::fs::remove_file(path)?;
        state.live.remove(path);
        state.removals += 1;
        state.unsynced.push((path.to_owned(), Name::Gone));
        Ok(())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.spend()?;
        std::fs::create_dir(dir)?;
        state.unsynced.push((dir.to_owned(), Name::Folder));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.spend()?;
        let names = std::mem::take(&mut state.unsynced);
        for (path, name) in names {
            if path.parent() == Some(dir) {
                state.durable.insert(path, name);
            } else {
                state.unsynced.push((path, name));
            }
        }
        Ok(())
    }
}

#[test]
fn what_was_synced_stays_and_the_rest_may_go() {
    let (mut lost, mut kept, mut unnamed) = (0, 0, 0);
    for seed in 0..100 {
        let dir = tempfile::tempdir().unwrap();
        let disk = Fragile::on(dir.path());
        let path = dir.path().join("a");
        let file = disk.open(&path).unwrap();
        file.write_all_at(&[1; 2000], 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(dir.path()).unwrap();
        file.write_all_at(&[2; 2000], 1000).unwrap();
        let other = disk.open(&dir.path().join("b")).unwrap();
        other.write_all_at(b"x", 0).unwrap();
        other.sync_data().unwrap();
        assert_eq!(
            std::fs::read(&path).unwrap().len(),
            3000,
            "as memory has it"
        );
        disk.power_cut(dir.path(), &mut Draw::new(seed));
        assert!(disk.is_off() && file.sync_data().is_err());
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes[..1000] == [1; 1000] && bytes.len() >= 2000);
        assert!(bytes[1000..2000].iter().all(|b| [1, 2].contains(b)));
        assert!(bytes[2000..].iter().all(|b| [0, 2].contains(b)));
        let new = bytes.iter().filter(|b| **b == 2).count();
        lost += usize::from(new == 0);
        kept += usize::from(new == 2000);
        unnamed += usize::from(!dir.path().join("b").exists());
    }
    assert!(
        lost > 10 && kept > 10 && unnamed > 10,
        "{lost} {kept} {unnamed}"
    );
}
