//! A storage in memory that forgets in a crash what a disk may forget.
//!
//! Files have a content and a part of it that is safe; names have a present and a safe state, kept
//! apart because a rename without a sync of its folder may be undone by a crash.

use perilune_persist::{Storage, StorageFile};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file system that can crash.
#[derive(Debug, Clone, Default)]
pub struct CrashStorage {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, usize>,
    safe_names: BTreeMap<PathBuf, usize>,
    files: Vec<Content>,
    /// Number of crashes so far; files opened before one are dead.
    life: usize,
    /// The power fails instead of the step that follows so many.
    steps_left: Option<usize>,
    /// There is no power.
    dark: bool,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    safe: Vec<u8>,
}

impl CrashStorage {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses everything that is not safe.
    pub fn crash(&self) {
        self.crash_keeping(0);
    }

    /// Loses everything that is not safe but the next `bytes` of each file that has grown: a disk
    /// may have written more than it had promised.
    pub fn crash_keeping(&self, bytes: usize) {
        let mut state = self.lock();
        state.life += 1;
        state.dark = false;
        state.steps_left = None;
        state.names = state.safe_names.clone();
        for content in &mut state.files {
            let safe = content.safe.len();
            let mut left = content.safe.clone();
            if content.bytes.starts_with(&content.safe) {
                left.extend(content.bytes[safe..].iter().take(bytes));
            }
            content.safe.clone_from(&left);
            content.bytes = left;
        }
    }

    /// Lets the power fail in the place of a step: after so many more creations, writes, syncs,
    /// renames and removals. Then everything fails until [`crash`](Self::crash) or
    /// [`crash_keeping`](Self::crash_keeping) is called, which brings the power back.
    pub fn fail_power_after(&self, steps: usize) {
        self.lock().steps_left = Some(steps);
    }

    /// Whether the power has failed.
    pub fn is_dark(&self) -> bool {
        self.lock().dark
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a step that changes something.
    fn step(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        match &mut state.steps_left {
            Some(0) => state.dark = true,
            Some(left) => *left -= 1,
            None => {}
        }
        if state.dark {
            return Err(io::Error::other("there is no power"));
        }
        Ok(state)
    }

    fn handle(&self, file: usize, life: usize, mode: Mode) -> Box<dyn StorageFile> {
        Box::new(Handle { storage: self.clone(), file, life, at: 0, mode })
    }
}

fn not_found<T>() -> io::Result<T> {
    Err(io::ErrorKind::NotFound.into())
}

impl State {
    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().map_or_else(not_found, Ok)
    }

    fn find_or_create(&mut self, path: &Path) -> usize {
        let next = self.files.len();
        let file = *self.names.entry(path.to_owned()).or_insert(next);
        if file == next {
            self.files.push(Content::default());
        }
        file
    }
}

impl Storage for CrashStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let (file, life) = {
            let state = self.lock();
            (state.find(path)?, state.life)
        };
        Ok(self.handle(file, life, Mode::Read))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let (file, life) = {
            let mut state = self.step()?;
            let file = state.find_or_create(path);
            state.files[file].bytes.clear();
            (file, state.life)
        };
        Ok(self.handle(file, life, Mode::Write))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let (file, life) = {
            let mut state = self.step()?;
            (state.find_or_create(path), state.life)
        };
        Ok(self.handle(file, life, Mode::Write))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.lock().names.contains_key(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        let file = state.names.remove(from).map_or_else(not_found, Ok)?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?.names.remove(path).map_or_else(not_found, |_| Ok(()))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut state = self.step()?;
        let file = state.find(path)?;
        let content = &mut state.files[file];
        content.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        content.safe = content.bytes.clone();
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        let inside = state.names.keys().filter(|path| path.parent() == Some(folder));
        let names = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        Ok(names.collect())
    }

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.step()?;
        let inside = |path: &Path| {
            let parent = path.parent().unwrap_or(Path::new(""));
            parent == folder || (parent.as_os_str().is_empty() && folder == Path::new("."))
        };
        state.safe_names.retain(|path, _| !inside(path));
        let now: Vec<_> = state
            .names
            .iter()
            .filter(|(path, _)| inside(path))
            .map(|(path, file)| (path.clone(), *file))
            .collect();
        state.safe_names.extend(now);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    Write,
}

/// An open file; writes go to its end.
#[derive(Debug)]
struct Handle {
    storage: CrashStorage,
    file: usize,
    life: usize,
    at: usize,
    mode: Mode,
}

impl Handle {
    fn content<R>(&self, mode: Mode, work: impl FnOnce(&mut Content) -> R) -> io::Result<R> {
        let mut state = match mode {
            Mode::Read => self.storage.lock(),
            Mode::Write => self.storage.step()?,
        };
        if state.life != self.life {
            return Err(io::Error::other("the machine has crashed since"));
        }
        if self.mode != mode {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(work(&mut state.files[self.file]))
    }
}

impl Read for Handle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = self.at;
        let read = self.content(Mode::Read, |content| {
            let rest = content.bytes.get(at..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        })?;
        self.at += read;
        Ok(read)
    }
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.content(Mode::Write, |content| content.bytes.extend_from_slice(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StorageFile for Handle {
    fn sync(&mut self) -> io::Result<()> {
        self.content(Mode::Write, |content| content.safe.clone_from(&content.bytes))
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.storage.lock().files[self.file].bytes.len() as u64)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.content(Mode::Write, |content| content.bytes.truncate(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perilune_persist::{read_file, replace_file};

    #[test]
    fn what_is_not_safe_is_lost() {
        let storage = CrashStorage::new();
        let path = Path::new("/d/file");
        let mut file = storage.append(path).expect("opened");
        file.write_all(b"safe").expect("written");
        file.sync().expect("synced");
        storage.crash();
        assert!(!storage.exists(path).expect("known"), "its name was not safe");
        assert!(file.write_all(b"x").is_err());

        let mut file = storage.append(path).expect("opened");
        file.write_all(b"safe").expect("written");
        file.sync().expect("synced");
        storage.sync_folder(Path::new("/d")).expect("synced");
        file.write_all(b" and not").expect("written");
        storage.rename(path, Path::new("/d/other")).expect("renamed");
        storage.crash_keeping(4);
        assert_eq!(read_file(&storage, path).expect("read"), b"safe and");
        assert_eq!(storage.list(Path::new("/d")).expect("listed"), ["file"]);
    }

    #[test]
    fn a_replaced_file_survives_as_one_of_its_contents() {
        let storage = CrashStorage::new();
        let (temporary, path) = (Path::new("/d/temp"), Path::new("/d/file"));
        for content in [&b"one"[..], b"another"] {
            replace_file(&storage, temporary, path, content).expect("replaced");
            storage.crash();
            assert_eq!(read_file(&storage, path).expect("read"), content);
        }
    }
}
