//! Builds the Lua that this crate runs scripts in, and links it: stock Lua 5.1, or LuaJIT with the
//! feature `luajit`. `mlua-sys` would do it, but it chooses by features that exclude each other,
//! and knows nothing of LuaJIT's options and of a profile.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(not(feature = "luajit"))]
    stock::build();
    #[cfg(feature = "luajit")]
    jit::build();
}

/// Adds to what the C compiler is told by the environment, for lack of another way through the
/// crates that run it.
fn add_flags(more: &str) {
    let flags = std::env::var("CFLAGS").unwrap_or_default();
    // SAFETY: a build script has one thread.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var("CFLAGS", format!("{flags} {more}"));
    }
}

/// Stock Lua.
///
/// Release builds are laid out by a profile, as the Rust code is: `profile` has what GCC's `-fprofile-generate`
/// counted for each file of Lua under the load of `cargo xtask profile`. GCC of another version leaves the
/// counts alone.
#[cfg(not(feature = "luajit"))]
mod stock {
    use super::add_flags;
    use std::env;
    use std::fs;
    use std::io::{Error, Result};
    use std::path::Path;

    /// The profile, from the root of the crate: a file for each of Lua's.
    const PROFILE: &str = "profile";
    /// Set where a server is built that counts what it executes, see `.cargo/profiled-rustc`.
    const COUNT_VARIABLE: &str = "PERILUNE_COUNT";
    /// Nobody puts other functions into the place of Lua's at run time. Counts that do not fit a
    /// function, as where the compiler was told other things, are no reason to stop.
    const FLAGS: &str = "-fomit-frame-pointer -fno-semantic-interposition -Wno-coverage-mismatch";

    /// Has Lua read and write numbers by this crate's functions.
    const NUMBERS: &str = "src/vm/puc/numbers.h";

    pub(super) fn build() {
        println!("cargo:rerun-if-changed={PROFILE}");
        println!("cargo:rerun-if-changed={NUMBERS}");
        println!("cargo:rerun-if-env-changed={COUNT_VARIABLE}");
        // Where the Rust code may use SSE 4.1, so may Lua: its `%` then rounds with one instruction
        // instead of a call, and a loop of `sum + i % 7` takes a quarter less time.
        let features = variable("CARGO_CFG_TARGET_FEATURE");
        if features.split(',').any(|feature| feature == "sse4.1") {
            add_flags("-msse4.1");
        }
        match plain(Path::new(&variable("CARGO_MANIFEST_DIR")).join(NUMBERS)) {
            Ok(header) => add_flags(&format!("-include {header}")),
            Err(error) => println!("cargo:warning=Lua reads and writes numbers slowly: {error}"),
        }
        if variable("OPT_LEVEL") == "3" && cc::Build::new().get_compiler().is_like_gnu() {
            add_flags(FLAGS);
            if variable(COUNT_VARIABLE).is_empty() {
                if let Err(error) = use_profile() {
                    println!("cargo:warning=Lua is built without its profile: {error}");
                }
            } else {
                add_flags("-fprofile-generate -fprofile-update=single");
                println!("cargo:rustc-link-lib=gcov");
            }
        }
        lua_src::Build::new().build(lua_src::Lua51).print_cargo_metadata();
    }

    /// Gives the compiler the profile. It looks for the counts of an object under the object's path, in
    /// which cargo's folder and a hash of where the sources are stand: a first build, without
    /// optimisation, shows it.
    fn use_profile() -> Result<()> {
        let folder = variable("OUT_DIR");
        let objects = Path::new(&folder).join("lib");
        let counts = Path::new(&folder).join(PROFILE);
        let flag = format!("-fprofile-use={}", plain(&counts)?);
        let beside = counts.join(objects.strip_prefix("/").unwrap_or(&objects));
        lua_src::Build::new().opt_level("0").build(lua_src::Lua51);
        fs::create_dir_all(&beside)?;
        for object in fs::read_dir(&objects)? {
            let name = object?.path().with_extension("gcda");
            let Some(name) = name.file_name().and_then(|name| name.to_str()) else { continue };
            let Some((_, file)) = name.split_once('-') else { continue };
            let known = Path::new(PROFILE).join(file);
            if known.exists() {
                fs::copy(known, beside.join(name))?;
            }
        }
        add_flags(&flag);
        Ok(())
    }

    /// A path as a part of a flag: flags are divided where there are blanks.
    fn plain(path: impl AsRef<Path>) -> Result<String> {
        let path = path.as_ref().display().to_string();
        match path.contains(char::is_whitespace) {
            true => Err(Error::other("the path of a flag can't have blanks")),
            false => Ok(path),
        }
    }

    fn variable(name: &str) -> String {
        env::var(name).unwrap_or_default()
    }
}

/// LuaJIT.
#[cfg(feature = "luajit")]
mod jit {
    use super::add_flags;
    use std::fs;
    use std::io::{Error, Result};
    use std::path::Path;
    use std::process::Command;

    /// What it is compiled with:
    /// - `CHECKHOOK`: compiled code looks in every loop whether a hook was set, so it can be stopped;
    /// - `DISABLE_FFI`: no literal of a C type (`1LL`) makes the library that calls C functions.
    const OPTIONS: &str = "-DLUAJIT_ENABLE_CHECKHOOK -DLUAJIT_DISABLE_FFI";
    /// The module that decides where compiled code computes in integers, the function in it for `%`, and
    /// the condition there, before and after.
    const NARROWING: &str = "lj_opt_narrow.c";
    const MODULO: &str = "TRef lj_opt_narrow_mod(";
    const WITH_INTEGERS: &str = "(LJ_DUALNUM || (J->flags & JIT_F_OPT_NARROW))";
    const WITH_DOUBLES: &str = "LJ_DUALNUM";

    pub(super) fn build() {
        add_flags(OPTIONS);
        let library = luajit_src::Build::new().build();
        library.print_cargo_metadata();
        let sources = library.lib_dir().with_file_name("luajit-build").join("src");
        if let Err(error) = divide_doubles(&sources, library.lib_dir()) {
            println!("cargo:warning=LuaJIT divides integers for `%`, which is slower: {error}");
        }
    }

    /// Has compiled code compute `a % b` as `a - floor(a / b) * b` for integers, too, as the interpreter
    /// does. LuaJIT calls a function there that divides integers: a loop of `sum + i % 7` takes 3.8 ns
    /// instead of 1.4 with it.
    fn divide_doubles(sources: &Path, libraries: &Path) -> Result<()> {
        let file = sources.join(NARROWING);
        let text = fs::read_to_string(&file)?;
        let function =
            text.find(MODULO).ok_or_else(|| Error::other("there is no function for it"))?;
        let (before, from) = text.split_at(function);
        let (body, after) = from.split_at(from.find("\n}").unwrap_or(from.len()));
        let changed = body.replacen(WITH_INTEGERS, WITH_DOUBLES, 1);
        if changed == body {
            return Err(Error::other("the function for it is another one"));
        }
        fs::write(&file, [before, &changed, after].concat())?;
        let compiler = cc::Build::new().get_compiler();
        let command = format!("{} {}", compiler.path().display(), compiler.cflags_env().display());
        let status = Command::new("make")
            .args(["-e", "libluajit.a"])
            .current_dir(sources)
            .envs([("TARGET_SYS", "Linux"), ("BUILDMODE", "static"), ("XCFLAGS", "-fPIC")])
            .envs([("STATIC_CC", &command), ("TARGET_LD", &command)])
            .status()?;
        if !status.success() {
            return Err(Error::other(format!("make: {status}")));
        }
        fs::copy(sources.join("libluajit.a"), libraries.join("libluajit.a"))?;
        Ok(())
    }
}
