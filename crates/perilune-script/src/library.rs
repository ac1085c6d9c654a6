//! Loaded libraries and the functions they registered: [`Libraries`].
//!
//! Libraries by name, exactly as written; functions of all libraries in one table by name in any
//! letter case, which is how they are called.
//!
//! Invariants: every function of every library stands in the table, under its lower-case name, and
//! nothing else does; so no two functions differ only in letter case. A change that would break
//! this is refused as a whole.
//!
//! Like the script cache, this knows engines by index only: whoever takes libraries out tells
//! their engines to forget the functions.

use crate::cache::ScriptRef;
use crate::engine::{FunctionSpec, Handle, ScriptFlags};
use crate::shebang::is_valid_name;
use ahash::AHashMap;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Longest function name that is looked up without allocating.
const NAME_INLINE: usize = 64;

/// A function of a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name as registered.
    pub name: Arc<[u8]>,
    /// Free text, if the library gave one.
    pub description: Option<Vec<u8>>,
    /// What the engine calls it.
    pub handle: Handle,
    /// What it declared.
    pub flags: ScriptFlags,
}

/// A library with its code.
#[derive(Debug, PartialEq, Eq)]
pub struct Library {
    /// Its name.
    pub name: Vec<u8>,
    /// Index of its engine.
    pub engine: usize,
    /// The whole code, `#!` line included.
    pub code: Box<[u8]>,
    /// Its functions in the order they were registered.
    pub functions: Vec<Function>,
}

impl Library {
    /// A library of what an engine answered to its code.
    pub fn new(name: Vec<u8>, engine: usize, code: &[u8], registered: Vec<FunctionSpec>) -> Self {
        let functions = registered.into_iter().map(|spec| Function {
            name: spec.name.into(),
            description: spec.description,
            handle: spec.handle,
            flags: spec.flags,
        });
        Library { name, engine, code: code.into(), functions: functions.collect() }
    }

    /// Engine and handle of every function.
    pub fn handles(&self) -> impl Iterator<Item = (usize, Handle)> {
        self.functions.iter().map(|function| (self.engine, function.handle))
    }

    fn memory(&self) -> usize {
        let text = |function: &Function| {
            function.name.len() + function.description.as_ref().map_or(0, Vec::len)
        };
        size_of::<Library>()
            + self.name.len()
            + self.code.len()
            + self.functions.iter().map(|f| size_of::<Function>() + text(f)).sum::<usize>()
    }
}

/// Why libraries were not taken. Displays as the error text, without code.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LibraryError {
    /// There is a library of that name.
    LibraryExists(Vec<u8>),
    /// There is one of that name already, and several come at once.
    JoinedLibraryExists(Vec<u8>),
    /// There is a function of that name, in any letter case.
    FunctionExists(Vec<u8>),
    /// A library must register something.
    NoFunctions,
    /// A function's name has other characters than letters, digits and underscores, or none.
    BadFunctionName,
}

impl fmt::Display for LibraryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LibraryExists(name) => {
                write!(f, "Library '{}' already exists", String::from_utf8_lossy(name))
            }
            Self::JoinedLibraryExists(name) => {
                write!(f, "Library {} already exists", String::from_utf8_lossy(name))
            }
            Self::FunctionExists(name) => {
                write!(f, "Function {} already exists", String::from_utf8_lossy(name))
            }
            Self::NoFunctions => f.write_str("No functions registered"),
            Self::BadFunctionName => f.write_str(
                "Function names can only contain letters, numbers, or underscores(_) and must be \
                 at least one character long",
            ),
        }
    }
}

impl std::error::Error for LibraryError {}

/// A function as `FCALL` needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRef {
    /// How to run it.
    pub script: ScriptRef,
    /// Its name as registered.
    pub name: Arc<[u8]>,
}

/// All libraries.
#[derive(Debug, Default)]
pub struct Libraries {
    by_name: BTreeMap<Vec<u8>, Library>,
    functions: AHashMap<Box<[u8]>, FunctionRef>,
    memory: usize,
}

impl Libraries {
    /// Number of libraries.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Number of functions.
    pub fn functions_len(&self) -> usize {
        self.functions.len()
    }

    /// Numbers of libraries and functions of one engine.
    pub fn count_of(&self, engine: usize) -> (usize, usize) {
        let of_engine = self.by_name.values().filter(|library| library.engine == engine);
        of_engine.fold((0, 0), |(libraries, functions), library| {
            (libraries + 1, functions + library.functions.len())
        })
    }

    /// Approximate bytes held.
    pub fn memory(&self) -> usize {
        self.memory + self.functions.capacity() * size_of::<(Box<[u8]>, FunctionRef)>()
    }

    /// All libraries, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Library> {
        self.by_name.values()
    }

    /// The library of that name.
    pub fn get(&self, name: &[u8]) -> Option<&Library> {
        self.by_name.get(name)
    }

    /// The code of the library that has a function of that name.
    pub fn code_of(&self, function: &[u8]) -> Option<&[u8]> {
        self.get(self.owner(function)?).map(|library| &*library.code)
    }

    /// The function of that name, in any letter case.
    #[inline]
    pub fn function(&self, name: &[u8]) -> Option<&FunctionRef> {
        let mut inline = [0; NAME_INLINE];
        match inline.get_mut(..name.len()) {
            Some(lower) => {
                lower.copy_from_slice(name);
                lower.make_ascii_lowercase();
                self.functions.get(&*lower)
            }
            None => self.functions.get(&*name.to_ascii_lowercase()),
        }
    }

    /// Adds a library, or with `replace` puts it into the place of its namesake, which is
    /// answered. When it is refused nothing has changed and it is handed back.
    pub fn insert(
        &mut self,
        library: Library,
        replace: bool,
    ) -> Result<Option<Library>, Box<(LibraryError, Library)>> {
        let old = self.by_name.get(&library.name);
        if old.is_some() && !replace {
            let error = LibraryError::LibraryExists(library.name.clone());
            return Err(Box::new((error, library)));
        }
        if let Err(error) = self.check(&library, &|owner| owner == library.name) {
            return Err(Box::new((error, library)));
        }
        let old = self.remove(&library.name.clone());
        self.link(library);
        Ok(old)
    }

    /// Takes a library out.
    pub fn remove(&mut self, name: &[u8]) -> Option<Library> {
        let library = self.by_name.remove(name)?;
        for function in &library.functions {
            self.functions.remove(&*function.name.to_ascii_lowercase());
        }
        self.memory -= library.memory();
        Some(library)
    }

    /// Adds all libraries of `others`, with `replace` in the place of their namesakes, which are
    /// answered. When one is refused nothing has changed and all are handed back.
    pub fn join(
        &mut self,
        others: Libraries,
        replace: bool,
    ) -> Result<Vec<Library>, Box<(LibraryError, Libraries)>> {
        if let Err(error) = self.check_all(&others, replace) {
            return Err(Box::new((error, others)));
        }
        let mut replaced = Vec::new();
        for name in others.by_name.keys() {
            replaced.extend(self.remove(name));
        }
        for library in others.by_name.into_values() {
            self.link(library);
        }
        Ok(replaced)
    }

    /// Takes everything out.
    pub fn empty(&mut self) -> Libraries {
        std::mem::take(self)
    }

    fn check_all(&self, others: &Libraries, replace: bool) -> Result<(), LibraryError> {
        let mut names = others.by_name.keys();
        if !replace && let Some(name) = names.find(|name| self.by_name.contains_key(*name)) {
            return Err(LibraryError::JoinedLibraryExists(name.clone()));
        }
        let gives_way = |owner: &[u8]| others.by_name.contains_key(owner);
        others.iter().try_for_each(|library| self.check(library, &gives_way))
    }

    /// Whether the functions of `library` can be added once the libraries that `gives_way` tells
    /// are gone.
    fn check(
        &self,
        library: &Library,
        gives_way: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(), LibraryError> {
        if library.functions.is_empty() {
            return Err(LibraryError::NoFunctions);
        }
        let mut seen: Vec<Vec<u8>> = Vec::with_capacity(library.functions.len());
        for function in &library.functions {
            if !is_valid_name(&function.name) {
                return Err(LibraryError::BadFunctionName);
            }
            let lower = function.name.to_ascii_lowercase();
            let taken = self.functions.contains_key(&*lower)
                && self.owner(&lower).is_some_and(|owner| !gives_way(owner));
            if taken {
                return Err(LibraryError::FunctionExists(function.name.to_vec()));
            }
            seen.push(lower);
        }
        seen.sort_unstable();
        match seen.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(LibraryError::FunctionExists(pair[0].clone())),
            None => Ok(()),
        }
    }

    /// Name of the library with that function; found by looking at all of them.
    fn owner(&self, function: &[u8]) -> Option<&[u8]> {
        let has = |library: &&Library| {
            library.functions.iter().any(|own| own.name.eq_ignore_ascii_case(function))
        };
        self.iter().find(has).map(|library| &*library.name)
    }

    fn link(&mut self, library: Library) {
        for function in &library.functions {
            let script = ScriptRef {
                engine: library.engine,
                handle: function.handle,
                flags: function.flags,
            };
            let entry = FunctionRef { script, name: Arc::clone(&function.name) };
            self.functions.insert(function.name.to_ascii_lowercase().into(), entry);
        }
        self.memory += library.memory();
        self.by_name.insert(library.name.clone(), library);
    }

    /// Checks the invariants, for tests.
    pub fn check_invariants(&self) {
        let all: Vec<_> = self.iter().flat_map(|library| &library.functions).collect();
        assert_eq!(all.len(), self.functions.len());
        for function in all {
            let found = self.function(&function.name).map(|entry| entry.script.handle);
            assert_eq!(found, Some(function.handle));
        }
        assert_eq!(self.iter().map(Library::memory).sum::<usize>(), self.memory);
        assert!(self.by_name.iter().all(|(name, library)| *name == library.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str, functions: &[&str]) -> Library {
        let specs = functions.iter().enumerate().map(|(at, name)| FunctionSpec {
            name: name.as_bytes().to_vec(),
            description: None,
            flags: ScriptFlags::NONE,
            handle: Handle(at as u64),
        });
        Library::new(name.into(), 0, b"code", specs.collect())
    }

    fn libraries(of: &[(&str, &[&str])]) -> Libraries {
        let mut all = Libraries::default();
        for (name, functions) in of {
            assert_eq!(all.insert(library(name, functions), false), Ok(None));
        }
        all.check_invariants();
        all
    }

    fn refused(all: &mut Libraries, new: Library, replace: bool) -> String {
        let (len, functions) = (all.len(), all.functions_len());
        let (error, _) = *all.insert(new, replace).unwrap_err();
        assert_eq!((all.len(), all.functions_len()), (len, functions));
        all.check_invariants();
        error.to_string()
    }

    #[test]
    fn functions_are_found_in_any_letter_case() {
        let long = "Long".repeat(NAME_INLINE);
        let all = libraries(&[("lib", &["Ver", &long])]);
        for name in ["ver", "VER", "vEr", &long.to_ascii_uppercase()] {
            assert!(all.function(name.as_bytes()).is_some(), "{name}");
        }
        assert_eq!(&*all.function(b"VER").unwrap().name, b"Ver");
        assert_eq!(all.function(b"ver2"), None);
        assert!(all.get(b"LIB").is_none());
    }

    #[test]
    fn names_must_not_collide() {
        let mut all = libraries(&[("a", &["f", "g"]), ("b", &["h"])]);
        assert_eq!(refused(&mut all, library("a", &["x"]), false), "Library 'a' already exists");
        assert_eq!(refused(&mut all, library("c", &["G"]), false), "Function G already exists");
        assert_eq!(refused(&mut all, library("a", &["H"]), true), "Function H already exists");
        assert_eq!(
            refused(&mut all, library("c", &["x", "X"]), false),
            "Function x already exists"
        );
        assert_eq!(refused(&mut all, library("c", &[]), false), "No functions registered");
        assert!(refused(&mut all, library("c", &["a b"]), false).starts_with("Function names"));
    }

    #[test]
    fn a_replaced_library_gives_its_names_free() {
        let mut all = libraries(&[("a", &["f", "g"]), ("b", &["h"])]);
        let old = all.insert(library("a", &["g", "x"]), true).unwrap().unwrap();
        assert_eq!(old.functions.len(), 2);
        assert!(all.function(b"f").is_none() && all.function(b"x").is_some());
        assert_eq!(all.count_of(0), (2, 3));
        all.check_invariants();
        assert!(all.remove(b"a").is_some() && all.remove(b"a").is_none());
        all.check_invariants();
        assert_eq!(all.empty().functions_len(), 1);
        assert_eq!((all.len(), all.functions_len(), all.memory()), (0, 0, 0));
    }

    #[test]
    fn joining_is_all_or_nothing() {
        let mut all = libraries(&[("a", &["f"]), ("b", &["g"])]);
        let (error, back) =
            *all.join(libraries(&[("c", &["x"]), ("b", &["y"])]), false).unwrap_err();
        assert_eq!(error.to_string(), "Library b already exists");
        assert_eq!((back.len(), all.len()), (2, 2));
        let (error, _) = *all.join(libraries(&[("b", &["F"])]), true).unwrap_err();
        assert_eq!(error.to_string(), "Function F already exists");
        let replaced = all.join(libraries(&[("b", &["f2"]), ("c", &["g"])]), true).unwrap();
        assert_eq!(replaced.len(), 1);
        assert_eq!((all.len(), all.functions_len()), (3, 3));
        all.check_invariants();
    }
}
