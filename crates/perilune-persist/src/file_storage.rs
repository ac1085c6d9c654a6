//! The file system as a [`Storage`].

use crate::storage::{Storage, StorageFile};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The file system of the process. Relative paths are relative to its working directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileStorage;

#[derive(Debug)]
struct OpenFile(File);

fn boxed(file: File) -> Box<dyn StorageFile> {
    Box::new(OpenFile(file))
}

impl Storage for FileStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        File::open(path).map(boxed)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        File::create(path).map(boxed)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        OpenOptions::new().append(true).create(true).open(path).map(boxed)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            // Nothing of ours has a name that is no text.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
            outcome => outcome,
        }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl Read for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl StorageFile for OpenFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)?;
        self.0.seek(SeekFrom::Start(len)).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{read_file, replace_file};
    use std::path::PathBuf;

    /// A folder that goes away with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("perilune-persist-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            FileStorage.create_folder(&path).expect("a folder");
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_are_written_appended_cut_and_listed() {
        let scratch = Scratch::new("files");
        let path = scratch.0.join("file");
        let write = |mut file: Box<dyn StorageFile>, bytes: &[u8]| -> io::Result<()> {
            file.write_all(bytes)?;
            file.sync()
        };
        write(FileStorage.create(&path).expect("created"), b"first").expect("written");
        write(FileStorage.append(&path).expect("opened"), b"second").expect("written");
        assert_eq!(read_file(&FileStorage, &path).expect("read"), b"firstsecond");
        FileStorage.truncate(&path, 7).expect("cut");
        let mut file = FileStorage.append(&path).expect("opened");
        assert_eq!(file.size().expect("a size"), 7);
        file.truncate(5).expect("cut");
        file.write_all(b"!").expect("written");
        assert_eq!(read_file(&FileStorage, &path).expect("read"), b"first!");
        assert_eq!(FileStorage.list(&scratch.0).expect("listed"), ["file"]);
        FileStorage.remove(&path).expect("removed");
        assert!(!FileStorage.exists(&path).expect("known"));
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let scratch = Scratch::new("replace");
        let (temporary, path) = (scratch.0.join("temp"), scratch.0.join("file"));
        for content in [&b"one"[..], b"two"] {
            replace_file(&FileStorage, &temporary, &path, content).expect("replaced");
            assert_eq!(read_file(&FileStorage, &path).expect("read"), content);
        }
        assert_eq!(FileStorage.list(&scratch.0).expect("listed"), ["file"]);
    }
}
