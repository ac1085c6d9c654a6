//! The folder of an append-only file, and the steps that change which files are in force.
//!
//! Each step leaves the folder, at whatever moment the power fails, in a state that reads back to
//! the same data: a file is named in the manifest only after it is in the folder for good, and it is
//! removed only after the manifest in the folder does not need it any more.

use super::manifest::{Manifest, ManifestError};
use crate::storage::{Storage, read_file, replace_file};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the files of one append-only file are.
#[derive(Debug, Clone)]
pub struct AofFolder {
    storage: Arc<dyn Storage>,
    /// The folder that holds the folder.
    parent: PathBuf,
    folder: PathBuf,
    prefix: String,
}

/// Why there is no manifest.
#[derive(Debug)]
pub enum ManifestLoadError {
    /// It could not be read.
    Io(io::Error),
    /// It makes no sense.
    Format(ManifestError),
}

/// How a file is begun that effects are appended to.
#[derive(Debug, Clone)]
pub struct FreshIncr {
    /// Where it is; it is empty.
    pub path: PathBuf,
    /// The manifest that names it, in force now. None: no manifest names it yet.
    pub manifest: Option<Manifest>,
}

impl AofFolder {
    /// The folder `name` in `parent`, of files whose names begin with `prefix`.
    pub fn new(storage: Arc<dyn Storage>, parent: &Path, name: &str, prefix: &str) -> Self {
        let folder = parent.join(name);
        AofFolder { storage, parent: parent.to_owned(), folder, prefix: prefix.to_owned() }
    }

    /// What the names of the files begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The place where it is.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The name of the file that collects effects until there is a first base for them.
    pub fn temporary_incr(&self) -> String {
        format!("temp-{}.incr", self.prefix)
    }

    fn manifest_path(&self) -> PathBuf {
        self.path(&format!("{}.manifest", self.prefix))
    }

    /// Makes the folder if there is none.
    pub fn create(&self) -> io::Result<()> {
        self.storage.create_folder(&self.folder)?;
        self.storage.sync_folder(&self.parent)
    }

    /// The manifest in force; an empty one when there is none.
    pub fn load_manifest(&self) -> Result<Manifest, ManifestLoadError> {
        let path = self.manifest_path();
        match self.storage.exists(&path) {
            Ok(false) => return Ok(Manifest::default()),
            Ok(true) => {}
            Err(error) => return Err(ManifestLoadError::Io(error)),
        }
        let text = read_file(&*self.storage, &path).map_err(ManifestLoadError::Io)?;
        Manifest::parse(&text).map_err(ManifestLoadError::Format)
    }

    /// Puts a manifest into force.
    pub fn save_manifest(&self, manifest: &Manifest) -> io::Result<()> {
        // The names that it tells must be there when it is.
        self.storage.sync_folder(&self.folder)?;
        let temporary = self.path(&format!("temp-{}.manifest", self.prefix));
        replace_file(&*self.storage, &temporary, &self.manifest_path(), &manifest.format())
    }

    /// Whether a single file of before there were manifests waits to be taken over.
    pub fn has_old_file(&self, manifest: &Manifest) -> io::Result<bool> {
        if !self.storage.exists(&self.parent.join(&self.prefix))? {
            return Ok(false);
        }
        // The last step of taking it over may be missing.
        let begun = manifest.incrs.is_empty()
            && manifest.base.as_ref().is_some_and(|base| base.name == self.prefix)
            && !self.storage.exists(&self.path(&self.prefix))?;
        Ok(manifest.is_empty() || begun)
    }

    /// Takes the single file over as the base. May be repeated when it was interrupted.
    pub fn adopt_old_file(&self) -> io::Result<Manifest> {
        self.create()?;
        let manifest = Manifest::of_single_file(&self.prefix);
        self.save_manifest(&manifest)?;
        self.storage.rename(&self.parent.join(&self.prefix), &self.path(&self.prefix))?;
        self.storage.sync_folder(&self.folder)?;
        self.storage.sync_folder(&self.parent)?;
        Ok(manifest)
    }

    /// Begins an empty file behind those of `manifest`, or, without one, a file that no manifest
    /// names yet.
    pub fn begin_incr(&self, manifest: Option<&Manifest>) -> io::Result<FreshIncr> {
        self.create()?;
        let mut manifest = manifest.cloned();
        let name = match &mut manifest {
            Some(manifest) => manifest.begin_incr(&self.prefix),
            None => self.temporary_incr(),
        };
        let path = self.path(&name);
        self.storage.create(&path)?.sync()?;
        if let Some(manifest) = &manifest {
            self.save_manifest(manifest)?;
        }
        Ok(FreshIncr { path, manifest })
    }

    /// Puts a complete base into force, which is in the folder already under the name that
    /// [`Manifest::begin_base`] gives it. It replaces everything but the incremental file begun with
    /// it: the last of `manifest`, or the unnamed one (`first`).
    pub fn adopt_base(
        &self,
        manifest: &Manifest,
        is_snapshot: bool,
        first: bool,
        writing: bool,
    ) -> io::Result<Manifest> {
        let mut next = manifest.clone();
        next.begin_base(&self.prefix, is_snapshot);
        if first {
            let name = next.begin_incr(&self.prefix);
            let temporary = self.path(&self.temporary_incr());
            self.storage.rename(&temporary, &self.path(&name))?;
        }
        next.retire_incrs(usize::from(writing));
        self.save_manifest(&next)?;
        Ok(next)
    }

    /// Removes the files that a manifest in force does not need and answers the manifest without
    /// them, in force.
    pub fn remove_history(&self, mut manifest: Manifest) -> io::Result<Manifest> {
        for entry in manifest.take_history() {
            // It may have gone before the manifest was replaced the last time.
            if self.storage.exists(&self.path(&entry.name))? {
                self.storage.remove(&self.path(&entry.name))?;
            }
        }
        self.save_manifest(&manifest)?;
        Ok(manifest)
    }

    /// Removes the file that no manifest names.
    pub fn remove_temporary_incr(&self) -> io::Result<()> {
        let path = self.path(&self.temporary_incr());
        match self.storage.exists(&path)? {
            true => self.storage.remove(&path),
            false => Ok(()),
        }
    }
}
