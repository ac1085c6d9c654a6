//! Loading the configuration from where the command line says it is.
//!
//! The file comes first, then stdin, then command line options; the last value of a parameter counts.
//! This module does the reading; what a text means is decided in `perilune_commands::config`.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use perilune_commands::config::{Config, ConfigFileError, Loader};
use perilune_commands::glob;

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigSources {
    /// A configuration file.
    pub file: Option<PathBuf>,
    /// Whether to read more from stdin.
    pub stdin: bool,
    /// Command line options as configuration text.
    pub options: Vec<u8>,
}

/// A configuration that cannot be loaded; `Display` is the message for the operator.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// A file cannot be read.
    File {
        /// Its absolute path.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Stdin cannot be read.
    Stdin(io::Error),
    /// The text is wrong.
    Text(ConfigFileError),
    /// The working directory cannot be entered.
    Directory {
        /// The `dir` parameter.
        path: String,
        /// Why.
        cause: io::Error,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, cause } => write!(
                f,
                "Fatal error, can't open config file '{}': {}",
                path.display(),
                system_words(cause)
            ),
            Self::Stdin(cause) => {
                write!(f, "Fatal error, can't read the config from stdin: {}", system_words(cause))
            }
            Self::Text(wrong) => wrong.fmt(f),
            Self::Directory { path, cause } => {
                write!(f, "Fatal error, can't change to dir '{path}': {}", system_words(cause))
            }
        }
    }
}

impl std::error::Error for LoadError {}

impl From<ConfigFileError> for LoadError {
    fn from(wrong: ConfigFileError) -> Self {
        Self::Text(wrong)
    }
}

/// The system's words for an error, without the number the standard library appends.
pub fn system_words(failed: &io::Error) -> String {
    let words = failed.to_string();
    words.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Loads a configuration, reading the process' stdin when asked to.
pub fn load(sources: &ConfigSources) -> Result<Config, LoadError> {
    load_with(sources, &mut io::stdin().lock())
}

/// Loads a configuration with the given stdin.
pub fn load_with(sources: &ConfigSources, stdin: &mut dyn Read) -> Result<Config, LoadError> {
    let mut loader = Loader::default();
    let mut file = None;
    if let Some(given) = &sources.file {
        let failed = |cause| LoadError::File { path: given.clone(), cause };
        let path = std::path::absolute(given).map_err(failed)?;
        let text =
            std::fs::read(&path).map_err(|cause| LoadError::File { path: path.clone(), cause })?;
        let name = path.to_string_lossy().into_owned();
        loader.read(&text, &name, &mut included)?;
        file = Some(name);
    }
    if sources.stdin {
        let mut text = Vec::new();
        stdin.read_to_end(&mut text).map_err(LoadError::Stdin)?;
        loader.read(&text, "stdin", &mut included)?;
    }
    loader.read(&sources.options, "the command line", &mut included)?;
    let mut config = loader.finish()?;
    config.config_file = file;
    Ok(config)
}

/// Changes the working directory of the process to `config.dir` and makes that absolute, as
/// `CONFIG GET dir` has to print it.
pub fn enter_dir(config: &mut Config) -> Result<(), LoadError> {
    let failed = |path: &str| {
        let path = path.to_owned();
        move |cause| LoadError::Directory { path, cause }
    };
    if !config.dir.is_empty() {
        std::env::set_current_dir(&config.dir).map_err(failed(&config.dir))?;
    }
    let current = std::env::current_dir().map_err(failed(&config.dir))?;
    config.dir = current.to_string_lossy().into_owned();
    Ok(())
}

/// The files an `include` line names. A pattern may match none; a plain path has to exist.
fn included(path: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let paths = if has_wildcard(path) { expand(path) } else { vec![PathBuf::from(path)] };
    let read = |path: PathBuf| Ok((path.to_string_lossy().into_owned(), std::fs::read(&path)?));
    paths.into_iter().map(read).collect()
}

fn has_wildcard(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The existing paths a pattern matches, sorted. A wildcard spans one path component and does not
/// match a leading dot.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let start = if pattern.starts_with('/') { "/" } else { "" };
    let mut found = vec![PathBuf::from(start)];
    for component in pattern.split('/').filter(|component| !component.is_empty()) {
        found = if has_wildcard(component) {
            found.iter().flat_map(|parent| entries(parent, component)).collect()
        } else {
            let mut next: Vec<PathBuf> = found.iter().map(|p| p.join(component)).collect();
            next.retain(|path| path.exists());
            next
        };
    }
    found.sort();
    found
}

/// The entries of a directory whose names match; a directory that cannot be read has none.
fn entries(parent: &Path, pattern: &str) -> Vec<PathBuf> {
    let listed = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let Ok(listing) = std::fs::read_dir(listed) else { return Vec::new() };
    let names = listing.flatten().map(|entry| entry.file_name());
    let visible =
        names.filter(|name| pattern.starts_with('.') || !name.as_bytes().starts_with(b"."));
    let matching = visible.filter(|name| glob::matches(pattern.as_bytes(), name.as_bytes(), false));
    matching.map(|name| parent.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use perilune_commands::config::LogLevel;

    /// A directory of its own for one test, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let name = format!("perilune-config-{test}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).expect("create");
            Self(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).expect("write");
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn sources(file: Option<PathBuf>, stdin: bool, options: &str) -> ConfigSources {
        ConfigSources { file, stdin, options: options.into() }
    }

    #[test]
    fn later_sources_override_earlier_ones() {
        let dir = Scratch::new("order");
        let file = dir.write("a.conf", "port 1\nhz 20\nloglevel debug\nsave 900 1\n");
        let sources = sources(Some(file.clone()), true, "port \"3\" \nsave \"60\" \"5\"");
        let config = load_with(&sources, &mut &b"port 2\nhz 30"[..]).expect("valid");
        assert_eq!((config.port, config.hz, config.loglevel), (3, 30, LogLevel::Debug));
        assert_eq!(config.get_by_name(b"save"), Some(b"900 1 60 5".to_vec()));
        assert_eq!(config.config_file.as_deref(), file.to_str());
    }

    #[test]
    fn stdin_is_left_alone_unless_asked_for() {
        let config = load_with(&sources(None, false, ""), &mut &b"port 2"[..]).expect("valid");
        assert_eq!(config, Config::default());
    }

    #[test]
    fn a_missing_file_is_named_with_its_absolute_path() {
        let wrong =
            load_with(&sources(Some("/nonexistent/x.conf".into()), false, ""), &mut io::empty());
        assert_eq!(
            wrong.expect_err("missing").to_string(),
            "Fatal error, can't open config file '/nonexistent/x.conf': No such file or directory"
        );
    }

    #[test]
    fn errors_name_the_source_and_the_line() {
        let wrong = load_with(&sources(None, false, "port \"--bla\" "), &mut io::empty());
        let text = wrong.expect_err("not a number").to_string();
        assert!(text.contains("at line 1 of the command line\n>>> 'port \"--bla\"'\n"), "{text}");
        assert!(text.ends_with("argument couldn't be parsed into an integer"), "{text}");
    }

    #[test]
    fn includes_expand_wildcards_in_order() {
        let dir = Scratch::new("include");
        dir.write("10.inc", "port 10\nhz 10");
        dir.write("20.inc", "port 20");
        dir.write(".hidden.inc", "port 30");
        let root = dir.0.to_str().expect("UTF-8");
        let text = format!("include {root}/*.inc\ninclude {root}/none-*.inc\n");
        let config = load_with(&sources(None, false, &text), &mut io::empty()).expect("valid");
        assert_eq!((config.port, config.hz), (20, 10));
    }

    #[test]
    fn a_missing_include_is_an_error_and_a_broken_one_is_named() {
        let text = "include /nonexistent/y.conf";
        let wrong = load_with(&sources(None, false, text), &mut io::empty()).expect_err("missing");
        assert!(
            wrong.to_string().ends_with(
                "can't open config file '/nonexistent/y.conf': No such file or directory"
            )
        );
        let dir = Scratch::new("broken");
        let broken = dir.write("b.conf", "\nfoo bar\n");
        let text = format!("include {}", broken.display());
        let wrong = load_with(&sources(None, false, &text), &mut io::empty()).expect_err("broken");
        let expected = format!("at line 2 of {}\n>>> 'foo bar'\n", broken.display());
        assert!(wrong.to_string().contains(&expected), "{wrong}");
    }
}
