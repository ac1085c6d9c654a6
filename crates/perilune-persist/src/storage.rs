//! Files in folders as durable data needs them, and nothing more.
//!
//! The contract is that of a POSIX file system, stated so that a test can enforce it:
//! - written bytes survive a crash when [`StorageFile::sync`] has returned after they were written;
//! - a name that was created, renamed or removed survives when [`Storage::sync_folder`] has
//!   returned for its folder afterwards;
//! - until then a crash may leave either state.
//!
//! Every failure, a full disk included, is an [`io::Error`].

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A place for files.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Opens a file for reading, from its beginning.
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Opens an empty file for writing; what was in it is gone.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Opens a file for writing at its end; creates it if there is none.
    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Whether there is such a file.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Gives a file another name; a file that had that name is gone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Cuts a file to its first `len` bytes.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;

    /// The names of the files in a folder, in no order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Makes a folder if there is none.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Makes the names in a folder safe.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// An open file. Reading and writing happen where it was opened for and fail elsewhere.
pub trait StorageFile: Read + Write + fmt::Debug + Send {
    /// Makes the content safe.
    fn sync(&mut self) -> io::Result<()>;

    /// Number of bytes in the file.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file to its first `len` bytes: takes back a write that went wrong halfway.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// The content of a whole file.
pub fn read_file(storage: &dyn Storage, path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    storage.open(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Replaces a file so that a crash leaves either the old or the new content. `temporary` is a name
/// in the same folder; nothing remains under it.
pub fn replace_file(
    storage: &dyn Storage,
    temporary: &Path,
    path: &Path,
    content: &[u8],
) -> io::Result<()> {
    let written = (|| {
        let mut file = storage.create(temporary)?;
        file.write_all(content)?;
        file.sync()?;
        storage.rename(temporary, path)
    })();
    if let Err(error) = written {
        // It may never have been created, and the first failure is the one to tell.
        let _ = storage.remove(temporary);
        return Err(error);
    }
    storage.sync_folder(&folder_of(path))
}

/// The folder a path is in.
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A place where nothing can be kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStorage;

impl NoStorage {
    fn refuse<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "there is no storage"))
    }
}

impl Storage for NoStorage {
    fn open(&self, _: &Path) -> io::Result<Box<dyn StorageFile>> {
        Self::refuse()
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn StorageFile>> {
        Self::refuse()
    }

    fn append(&self, _: &Path) -> io::Result<Box<dyn StorageFile>> {
        Self::refuse()
    }

    fn exists(&self, _: &Path) -> io::Result<bool> {
        Ok(false)
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Self::refuse()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Self::refuse()
    }

    fn truncate(&self, _: &Path, _: u64) -> io::Result<()> {
        Self::refuse()
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Self::refuse()
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Self::refuse()
    }
}
