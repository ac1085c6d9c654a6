//! How scripts and libraries come and go.
//!
//! What is taken out of the cache or the libraries is forgotten by its engine at once; the source
//! texts may be dropped in the background.

use super::{RunName, Scripting};
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::session::ClientSlot;
use perilune_keyspace::Whole;
use perilune_rdb::{dump_functions, restore_functions};
use perilune_script::{
    Digest, Handle, Libraries, Library, LibraryError, ScriptEngine, ScriptRef,
    parse_library_header, parse_script_header,
};

/// What `FUNCTION RESTORE` does about libraries that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestorePolicy {
    /// Removes all of them.
    Flush,
    /// Refuses to touch them.
    Append,
    /// Replaces namesakes.
    Replace,
}

impl Scripting {
    /// Finds a cached script that is about to run.
    #[inline]
    pub(crate) fn touch_script(&mut self, digest: &Digest) -> Option<ScriptRef> {
        self.cache.touch(digest)
    }

    /// Lets engines forget scripts and functions.
    fn forget(&mut self, handles: impl Iterator<Item = (usize, Handle)>) {
        for (index, handle) in handles {
            self.statistics.forget((index, handle));
            // A running engine is never told: what removes scripts does not run while one runs.
            if let Some(engine) = self.engines.get_mut(index).and_then(|s| s.engine.as_mut()) {
                engine.forget(handle);
            }
        }
    }

    /// Has the engines clean up after much was forgotten.
    fn trim_engines(&mut self) {
        self.engines.iter_mut().filter_map(|slot| slot.engine.as_mut()).for_each(|e| e.trim());
    }

    /// New engines like those there are, if all of them can be had twice.
    pub(super) fn fresh_engines(&self) -> Option<Vec<Box<dyn ScriptEngine>>> {
        self.engines.iter().map(|slot| slot.engine.as_ref()?.fresh()).collect()
    }

    fn forget_libraries<'a>(&mut self, libraries: impl Iterator<Item = &'a Library>) {
        self.forget(libraries.flat_map(Library::handles));
    }
}

impl Engine {
    /// Finds a script in the cache or compiles it into it. A `pinned` one stays.
    pub(crate) fn define_script(
        &mut self,
        client: ClientSlot,
        command: &[&[u8]],
        source: &[u8],
        digest: Digest,
        pinned: bool,
    ) -> Result<ScriptRef, CommandError> {
        let scripting = &mut self.scripting;
        if let Some(script) = scripting.cache.touch(&digest) {
            if pinned {
                scripting.cache.pin(&digest);
            }
            return Ok(script);
        }
        let header = parse_script_header(source, &scripting.names).map_err(errors::plain)?;
        let index = header.engine.unwrap_or(0);
        let code = source.get(header.len..).unwrap_or_default();
        let prepared =
            self.prepare(client, command, (index, RunName::Script(digest)), |engine, host| {
                engine
                    .compile(code, digest.as_str(), host)
                    .map(|handle| (handle, engine.overhead()))
            });
        let compiled = prepared.ok_or(errors::ENGINE_BUSY)?;
        let (handle, overhead) = compiled.map_err(errors::script_compilation)?;
        let script = ScriptRef { engine: index, handle, flags: header.flags };
        if let Some(evicted) = self.scripting.cache.insert(digest, script, source, overhead, pinned)
        {
            self.stats.evicted_scripts += 1;
            self.scripting.forget([evicted].into_iter());
        }
        Ok(script)
    }

    /// Empties the script cache, dropping the sources in the background when `lazy`.
    pub(crate) fn flush_scripts(&mut self, lazy: bool) {
        let emptied = self.scripting.cache.empty();
        self.scripting.forget(emptied.handles.into_iter());
        self.scripting.trim_engines();
        if lazy {
            self.env.dispose(Box::new(Whole(emptied.sources)));
        }
    }

    /// Loads a library and answers its name.
    pub(crate) fn load_library(
        &mut self,
        client: ClientSlot,
        command: &[&[u8]],
        code: &[u8],
        replace: bool,
    ) -> Result<Vec<u8>, CommandError> {
        self.mono_us = self.clock.monotonic_us();
        let library = self.build_library(client, command, code, &|engine, name| {
            !replace && engine.scripting.libraries.get(name).is_some()
        })?;
        let name = library.name.clone();
        match self.scripting.libraries.insert(library, replace) {
            Ok(replaced) => {
                self.scripting.forget_libraries(replaced.iter());
                self.dirty += 1;
                Ok(name)
            }
            Err(refused) => {
                let (error, library) = *refused;
                self.scripting.forget_libraries([&library].into_iter());
                Err(errors::plain(error))
            }
        }
    }

    /// Removes a library. False when there is none of that name.
    pub(crate) fn delete_library(&mut self, name: &[u8]) -> bool {
        let Some(library) = self.scripting.libraries.remove(name) else { return false };
        self.scripting.forget_libraries([&library].into_iter());
        self.dirty += 1;
        true
    }

    /// Removes all libraries, dropping their code in the background when `lazy`.
    pub(crate) fn flush_libraries(&mut self, lazy: bool) {
        let old = self.scripting.libraries.empty();
        self.scripting.forget_libraries(old.iter());
        self.scripting.trim_engines();
        self.dirty += 1;
        if lazy {
            self.env.dispose(Box::new(Whole(old)));
        }
    }

    /// All libraries as a payload for [`restore_libraries`](Self::restore_libraries).
    pub(crate) fn dump_libraries(&self) -> Vec<u8> {
        let codes = self.scripting.libraries.iter().map(|library| &*library.code);
        dump_functions(codes, self.config.rdbcompression)
    }

    /// Loads the libraries of a payload: all of them, or none and nothing has changed.
    pub(crate) fn restore_libraries(
        &mut self,
        client: ClientSlot,
        command: &[&[u8]],
        payload: &[u8],
        policy: RestorePolicy,
    ) -> Result<(), CommandError> {
        self.mono_us = self.clock.monotonic_us();
        let codes = restore_functions(payload).map_err(errors::plain)?;
        let mut restored = Libraries::default();
        for code in codes {
            if let Err(error) = self.restore_one(client, command, &code, &mut restored) {
                self.scripting.forget_libraries(restored.iter());
                return Err(error);
            }
        }
        if policy == RestorePolicy::Flush {
            let old = std::mem::replace(&mut self.scripting.libraries, restored);
            self.scripting.forget_libraries(old.iter());
        } else {
            let replace = policy == RestorePolicy::Replace;
            match self.scripting.libraries.join(restored, replace) {
                Ok(replaced) => self.scripting.forget_libraries(replaced.iter()),
                Err(refused) => {
                    let (error, restored) = *refused;
                    self.scripting.forget_libraries(restored.iter());
                    return Err(errors::plain(error));
                }
            }
        }
        self.dirty += 1;
        Ok(())
    }

    fn restore_one(
        &mut self,
        client: ClientSlot,
        command: &[&[u8]],
        code: &[u8],
        restored: &mut Libraries,
    ) -> Result<(), CommandError> {
        let library =
            self.build_library(client, command, code, &|_, name| restored.get(name).is_some())?;
        restored.insert(library, false).map(|_| ()).map_err(|refused| {
            let (error, library) = *refused;
            self.scripting.forget_libraries([&library].into_iter());
            errors::plain(error)
        })
    }

    /// Runs library code and collects what it registered. `taken` tells names that are not free,
    /// so that code of such a library is not run at all.
    fn build_library(
        &mut self,
        client: ClientSlot,
        command: &[&[u8]],
        code: &[u8],
        taken: &dyn Fn(&Engine, &[u8]) -> bool,
    ) -> Result<Library, CommandError> {
        let header = parse_library_header(code, &self.scripting.names).map_err(errors::plain)?;
        if taken(self, &header.name) {
            return Err(errors::plain(LibraryError::LibraryExists(header.name)));
        }
        let body = code.get(header.len..).unwrap_or_default();
        let name = RunName::Library(header.name.as_slice().into());
        self.scripting.load_began_us = None;
        let registered = self
            .prepare(client, command, (header.engine, name), |engine, host| {
                engine.load_library(body, host)
            })
            .ok_or(errors::ENGINE_BUSY)?
            .map_err(errors::plain)?;
        Ok(Library::new(header.name, header.engine, code, registered))
    }
}
