//! A disk with a page cache that forgets.
//!
//! Each file has what programs see (the page cache) and what survives a power cut (the medium).
//! A power cut keeps, of every sector that was written but not synced, the old content, the new
//! one, or what an older file left in that block; of a file's unsynced length, any; of unsynced
//! names, those up to some moment. A failed sync writes some sectors, forgets that the others are
//! dirty, and later syncs succeed. A kill keeps the page cache.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use weir_ingest::wal::{Hold, Storage, StorageFile};

use super::dice::Dice;
use super::medium::{NameOp, SECTOR, apply, copy_sector, split};

/// How often things go wrong, each once in so many operations; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) write_error: u64,
    pub(crate) sync_error: u64,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    seen: Vec<u8>,
    medium: Vec<u8>,
    /// Sectors of `seen` that the medium may lack.
    dirty: BTreeSet<usize>,
    /// Sectors that have a block; others read as zeros and cost nothing.
    blocks: BTreeSet<usize>,
    /// Sectors that the medium had before: a write to them leaves the old or the new.
    carried: BTreeSet<usize>,
    /// What older files left in the blocks that this one got.
    stale: Vec<u8>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names that are not durable, in order.
    name_ops: Vec<NameOp>,
    graves: Vec<Vec<u8>>,
    capacity_sectors: usize,
    faults: Faults,
    /// Operations until the machine stops.
    fuse: Option<u64>,
    stopped: bool,
    held: bool,
    /// A digest of everything that happened, for the proof that runs repeat.
    events: u64,
    ops: u64,
}

/// The disk.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
}

#[derive(Debug)]
struct SimHold(SimDisk);

impl Hold for SimHold {}

impl Drop for SimHold {
    fn drop(&mut self) {
        self.0.lock().held = false;
    }
}

fn stopped() -> io::Error {
    io::Error::other("the machine has stopped")
}

fn eio() -> io::Error {
    io::Error::other("simulated EIO")
}

impl State {
    fn note(&mut self, what: &str, a: u64, b: u64) {
        for byte in what.bytes().chain(a.to_le_bytes()).chain(b.to_le_bytes()) {
            self.events = (self.events ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.ops += 1;
    }

    /// Counts an operation; false when the machine stops at it.
    fn step(&mut self) -> io::Result<bool> {
        if self.stopped {
            return Err(stopped());
        }
        if let Some(fuse) = &mut self.fuse {
            *fuse -= 1;
            if *fuse == 0 {
                self.stopped = true;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn used_sectors(&self) -> usize {
        let live: BTreeSet<u64> = self.names.values().copied().collect();
        live.iter()
            .map(|i| self.inodes.get(i).map_or(0, |n| n.blocks.len()))
            .sum()
    }

    fn bury(&mut self, inode: u64) {
        let shared = self.names.values().any(|i| *i == inode);
        let node = self
            .inodes
            .get(&inode)
            .filter(|n| !shared && !n.medium.is_empty());
        self.graves.extend(node.map(|n| n.medium.clone()));
        if self.graves.len() > 4 {
            self.graves.remove(0);
        }
    }

    /// Writes as much as there is room for; says whether that was all.
    fn write(&mut self, inode: u64, bytes: &[u8], offset: usize) -> bool {
        let mut room = self.capacity_sectors.saturating_sub(self.used_sectors());
        let node = self.inodes.get_mut(&inode).unwrap();
        for (i, piece) in split(bytes, offset) {
            let sector = i / SECTOR;
            if !node.blocks.contains(&sector) {
                if room == 0 {
                    return false;
                }
                room -= 1;
                node.blocks.insert(sector);
            }
            if node.seen.len() < i + piece.len() {
                node.seen.resize(i + piece.len(), 0);
            }
            node.seen[i..i + piece.len()].copy_from_slice(piece);
            node.dirty.insert(sector);
        }
        true
    }

    /// Carries some or all dirty sectors, and the length, to the medium.
    fn carry(&mut self, inode: u64, all: bool) {
        let mut dice = self.dice.clone();
        let node = self.inodes.get_mut(&inode).unwrap();
        if all || dice.one_in(2) {
            node.medium.resize(node.seen.len(), 0);
        }
        let dirty: Vec<usize> = std::mem::take(&mut node.dirty).into_iter().collect();
        for sector in dirty {
            if all || dice.one_in(2) {
                copy_sector(&node.seen, &mut node.medium, sector);
                node.carried.insert(sector);
            }
        }
        self.dice = dice;
    }

    fn power_cut(&mut self) {
        let inodes: Vec<u64> = self.inodes.keys().copied().collect();
        for id in inodes {
            let mut dice = self.dice.clone();
            let node = self.inodes.get_mut(&id).unwrap();
            let (from, to) = (node.medium.len(), node.seen.len());
            if from != to {
                let len = match dice.below(3) {
                    0 => from,
                    1 => to,
                    _ => from.min(to) + dice.below(from.abs_diff(to) as u64 + 1) as usize,
                };
                node.medium.resize(len, 0);
            }
            let dirty: Vec<usize> = std::mem::take(&mut node.dirty).into_iter().collect();
            // Usually one mood for a file: all old, all new, all stale; or each as it comes.
            let mood = dice.below(5);
            for sector in dirty {
                let fate = if mood < 3 { mood } else { dice.below(3) };
                match fate {
                    1 => copy_sector(&node.seen, &mut node.medium, sector),
                    2.. if !node.carried.contains(&sector) => {
                        let stale = std::mem::take(&mut node.stale);
                        copy_sector(&stale, &mut node.medium, sector);
                        node.stale = stale;
                    }
                    _ => {}
                }
            }
            node.seen = node.medium.clone();
            node.carried = node.blocks.clone();
            self.dice = dice;
        }
        let kept = self.dice.below(self.name_ops.len() as u64 + 1) as usize;
        let ops: Vec<NameOp> = self.name_ops.drain(..).take(kept).collect();
        for op in ops {
            apply(&mut self.durable_names, op);
        }
        self.names = self.durable_names.clone();
    }
}

impl SimDisk {
    pub(crate) fn new(seed: u64, capacity_bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            dice: Dice::new(seed),
            inodes: BTreeMap::new(),
            next_inode: 1,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_ops: Vec::new(),
            graves: Vec::new(),
            capacity_sectors: capacity_bytes / SECTOR,
            faults: Faults::default(),
            fuse: None,
            stopped: false,
            held: false,
            events: 0xcbf2_9ce4_8422_2325,
            ops: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    pub(crate) fn set_capacity(&self, bytes: usize) {
        self.lock().capacity_sectors = bytes / SECTOR;
    }

    /// The machine stops at the operation after so many.
    pub(crate) fn set_fuse(&self, ops: Option<u64>) {
        self.lock().fuse = ops.map(|n| n + 1);
    }

    /// The machine stops now.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Starts the machine again: after a power cut with what the medium has, else with all that
    /// programs had seen.
    pub(crate) fn restart(&self, power_cut: bool) {
        let mut state = self.lock();
        state.note("restart", u64::from(power_cut), 0);
        if power_cut {
            state.power_cut();
        }
        state.stopped = false;
        state.fuse = None;
        state.held = false;
    }

    pub(crate) fn events(&self) -> (u64, u64) {
        let state = self.lock();
        (state.events, state.ops)
    }
}

impl Storage for SimDisk {
    fn create_dir(&self, _path: &str) -> io::Result<()> {
        if self.lock().stopped {
            Err(stopped())
        } else {
            Ok(())
        }
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.lock();
        if !state.step()? {
            return Err(stopped());
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.note("create", inode, path.len() as u64);
        let graves = state.graves.len() as u64;
        let pick = state.dice.below(graves + 1) as usize;
        let stale = state.graves.get(pick).cloned().unwrap_or_default();
        state.inodes.insert(
            inode,
            Inode {
                stale,
                ..Inode::default()
            },
        );
        if let Some(old) = state.names.insert(path.to_owned(), inode) {
            state.bury(old);
        }
        state.name_ops.push(NameOp::Link(path.to_owned(), inode));
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn StorageFile>> {
        let state = self.lock();
        if state.stopped {
            return Err(stopped());
        }
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        if !state.step()? {
            return Err(stopped());
        }
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.note("rename", inode, to.len() as u64);
        if let Some(old) = state.names.insert(to.to_owned(), inode) {
            state.bury(old);
        }
        state
            .name_ops
            .push(NameOp::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.lock();
        if !state.step()? {
            return Err(stopped());
        }
        let inode = state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        state.note("remove", inode, 0);
        state.bury(inode);
        state.name_ops.push(NameOp::Unlink(path.to_owned()));
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        if state.stopped {
            return Err(stopped());
        }
        let prefix = format!("{dir}/");
        let inside = state
            .names
            .keys()
            .filter_map(|name| name.strip_prefix(&prefix));
        Ok(inside
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.lock();
        if !state.step()? {
            return Err(stopped());
        }
        state.note("sync_dir", dir.len() as u64, 0);
        // As a journal does: one folder's sync carries all changes before it.
        let ops = std::mem::take(&mut state.name_ops);
        for op in ops {
            apply(&mut state.durable_names, op);
        }
        Ok(())
    }

    fn hold(&self, _path: &str) -> io::Result<Box<dyn Hold>> {
        let mut state = self.lock();
        if state.stopped {
            return Err(stopped());
        }
        if std::mem::replace(&mut state.held, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimHold(self.clone())))
    }

    fn random(&self) -> u128 {
        let mut state = self.lock();
        u128::from(state.dice.next()) << 64 | u128::from(state.dice.next())
    }
}

impl StorageFile for SimFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let going = state.step()?;
        let offset = offset as usize;
        state.note("write", self.inode, u64::from(crc32c::crc32c(bytes)));
        let every = state.faults.write_error;
        let fails = every > 0 && state.dice.one_in(every);
        let part = match state.dice.below(3) {
            0 => 0,
            1 => bytes.len(),
            _ => state.dice.below(bytes.len() as u64 + 1) as usize,
        };
        if !going || fails {
            state.write(self.inode, &bytes[..part], offset);
            return Err(if going { eio() } else { stopped() });
        }
        if state.write(self.inode, bytes, offset) {
            Ok(())
        } else {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        if state.stopped {
            return Err(stopped());
        }
        let node = state.inodes.get(&self.inode).unwrap();
        let rest = node.seen.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(into.len());
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let going = state.step()?;
        state.note("sync", self.inode, 0);
        let every = state.faults.sync_error;
        if every > 0 && state.dice.one_in(every) {
            state.carry(self.inode, false);
            return Err(if going { eio() } else { stopped() });
        }
        if !going {
            return Err(stopped());
        }
        state.carry(self.inode, true);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        if !state.step()? {
            return Err(stopped());
        }
        state.note("set_len", self.inode, len);
        let len = len as usize;
        let node = state.inodes.get_mut(&self.inode).unwrap();
        node.seen.resize(len, 0);
        node.blocks.retain(|sector| sector * SECTOR < len);
        node.dirty.retain(|sector| sector * SECTOR < len);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.disk.lock();
        if state.stopped {
            return Err(stopped());
        }
        Ok(state.inodes.get(&self.inode).unwrap().seen.len() as u64)
    }
}
