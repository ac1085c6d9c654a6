//! A storage that fails where a test wants it to.

use perilune_persist::{Storage, StorageFile};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `EIO`: the device failed.
const EIO: i32 = 5;
/// `ENOSPC`: the disk is full.
const ENOSPC: i32 = 28;

/// A call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Opening a file for reading.
    Open,
    /// Opening a file for writing.
    Create,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Making a file safe.
    Sync,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Making a folder safe.
    SyncFolder,
}

/// Another storage, with faults.
#[derive(Debug, Clone)]
pub struct FailingStorage {
    inner: Arc<dyn Storage>,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    /// Steps that fail with `EIO`, each once this many like it have succeeded.
    faults: Vec<(Step, usize)>,
    /// Bytes that can still be written.
    space: Option<usize>,
    /// Most bytes that one call writes.
    write_max: Option<usize>,
}

impl FailingStorage {
    /// One that works until it is told otherwise.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        FailingStorage { inner, plan: Arc::default() }
    }

    /// Lets every `step` fail after `successes` more have worked.
    pub fn fail(&self, step: Step, successes: usize) {
        self.lock().faults.push((step, successes));
    }

    /// Lets the disk be full after so many more bytes.
    pub fn set_space(&self, bytes: usize) {
        self.lock().space = Some(bytes);
    }

    /// Lets every call write only so many bytes.
    pub fn set_write_max(&self, bytes: usize) {
        self.lock().write_max = Some(bytes.max(1));
    }

    /// Lets everything work again.
    pub fn heal(&self) {
        *self.lock() = Plan::default();
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, step: Step) -> io::Result<()> {
        let mut plan = self.lock();
        for (_, successes) in plan.faults.iter_mut().filter(|(planned, _)| *planned == step) {
            if *successes == 0 {
                return Err(io::Error::from_raw_os_error(EIO));
            }
            *successes -= 1;
        }
        Ok(())
    }

    /// How many of `wanted` bytes can be written now.
    fn room(&self, wanted: usize) -> io::Result<usize> {
        let mut plan = self.lock();
        let count = wanted.min(plan.write_max.unwrap_or(wanted));
        match &mut plan.space {
            None => Ok(count),
            Some(0) if wanted > 0 => Err(io::Error::from_raw_os_error(ENOSPC)),
            Some(space) => {
                let count = count.min(*space);
                *space -= count;
                Ok(count)
            }
        }
    }

    fn wrap(&self, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(FailingFile { file, storage: self.clone() })
    }
}

impl Storage for FailingStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.step(Step::Open)?;
        self.inner.open(path).map(|file| self.wrap(file))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.step(Step::Create)?;
        self.inner.create(path).map(|file| self.wrap(file))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.step(Step::Create)?;
        self.inner.append(path).map(|file| self.wrap(file))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Step::Rename)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(Step::Remove)?;
        self.inner.remove(path)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.inner.truncate(path, len)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.inner.create_folder(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.step(Step::SyncFolder)?;
        self.inner.sync_folder(folder)
    }
}

#[derive(Debug)]
struct FailingFile {
    file: Box<dyn StorageFile>,
    storage: FailingStorage,
}

impl Read for FailingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.storage.step(Step::Read)?;
        self.file.read(buffer)
    }
}

impl Write for FailingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.storage.step(Step::Write)?;
        let count = self.storage.room(bytes.len())?;
        self.file.write(&bytes[..count])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl StorageFile for FailingFile {
    fn sync(&mut self) -> io::Result<()> {
        self.storage.step(Step::Sync)?;
        self.file.sync()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CrashStorage;
    use perilune_persist::{read_file, replace_file};

    #[test]
    fn a_full_disk_takes_what_fits() {
        let storage = FailingStorage::new(Arc::new(CrashStorage::new()));
        storage.set_space(3);
        let path = Path::new("/d/file");
        let mut file = storage.append(path).expect("opened");
        let error = file.write_all(b"four").expect_err("there is no room");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(read_file(&storage, path).expect("read"), b"fou");
        storage.heal();
        storage.set_write_max(1);
        file.write_all(b"r").expect("written");
        file.write_all(b" and more").expect("short writes are gone on with");
        assert_eq!(read_file(&storage, path).expect("read"), b"four and more");
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_left_alone() {
        let storage = FailingStorage::new(Arc::new(CrashStorage::new()));
        let (temporary, path) = (Path::new("/d/temp"), Path::new("/d/file"));
        replace_file(&storage, temporary, path, b"old").expect("replaced");
        for step in [Step::Create, Step::Write, Step::Sync, Step::Rename] {
            storage.fail(step, 0);
            replace_file(&storage, temporary, path, b"new").expect_err("a fault");
            storage.heal();
            assert_eq!(read_file(&storage, path).expect("read"), b"old", "{step:?}");
            assert_eq!(storage.list(Path::new("/d")).expect("listed"), ["file"], "{step:?}");
        }
    }
}
