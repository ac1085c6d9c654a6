//! The `perilune` binary: reads the command line, builds what it asks for, and runs it.

use perilune_commands::config::Config;
use perilune_lua::LuaEngine;
use perilune_persist::FileStorage;
use perilune_persist::aof::CheckOptions;
use perilune_resp::{Value, format_cli};
use perilune_script::LogLevel;
use perilune_server::allocator::Allocator;
use perilune_server::check_rdb;
use perilune_server::cli::{self, Command};
use perilune_server::config_file::{self, ConfigSources};
use perilune_server::daemon;
use perilune_server::files;
use perilune_server::log;
use perilune_server::process;
use perilune_server::script_test;
use perilune_server::server::{Server, log_threshold};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    let command = match cli::parse(cli::arguments(std::env::args_os())) {
        Ok(command) => command,
        Err(error) => return fail(&error.to_string()),
    };
    match command {
        Command::Help(text) => println!("{text}"),
        Command::CheckAof { path, options } => return check_aof(&path, options),
        Command::Version => println!("{}", cli::version()),
        Command::Serve(sources) => {
            if let Err(error) = serve(&sources) {
                return fail(&error);
            }
        }
        Command::Eval { script, keys, args } => return eval(&script, &keys, &args),
        Command::Dap => {
            let served =
                perilune_server::dap::run(std::io::stdin(), std::io::stdout(), script_engines);
            if let Err(error) = served {
                return fail(&format!("The debug adapter failed: {error}"));
            }
        }
        Command::CheckRdb(file) => return check_rdb(&file),
        Command::Lint(files) => return lint(&files),
        Command::Test { path, coverage, junit } => return test(&path, coverage, junit.as_deref()),
        _ => return fail("this form of the command line is not supported by this build"),
    }
    ExitCode::SUCCESS
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

/// Tells what is in a snapshot file; a file with something wrong is a failure.
fn check_rdb(file: &Path) -> ExitCode {
    match check_rdb::check(file, &mut std::io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error.to_string()),
    }
}

/// Checks an append-only file and reports on stdout.
fn check_aof(path: &Path, options: CheckOptions) -> ExitCode {
    let mut ask = |question: &str| {
        print!("{question}");
        let mut answer = String::new();
        // No answer is no consent.
        let _ = std::io::stdout().flush().and_then(|()| std::io::stdin().read_line(&mut answer));
        answer.trim_start().starts_with(['y', 'Y'])
    };
    let mut out = std::io::stdout();
    match perilune_persist::aof::check(&FileStorage, path, options, &mut out, &mut ask) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&format!("Cannot check {}: {error}", path.display())),
    }
}

/// Looks for mistakes in scripts; a file with one is a failure.
fn lint(files: &[PathBuf]) -> ExitCode {
    match perilune_server::lint::lint_files(files, &mut std::io::stdout().lock()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => fail(&error.to_string()),
    }
}

/// Runs tests of scripts; one that fails is a failure, and so is it when there are none.
fn test(path: &Path, coverage: bool, junit: Option<&Path>) -> ExitCode {
    let run = || -> std::io::Result<bool> {
        let report = script_test::run(path, coverage, || Box::new(LuaEngine::new()))?;
        script_test::write_text(&report, &mut std::io::stdout().lock())?;
        if let Some(junit) = junit {
            let mut text = Vec::new();
            script_test::write_junit(&report, &mut text)?;
            std::fs::write(junit, text)?;
        }
        Ok(report.is_success())
    };
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error.to_string()),
    }
}

/// Runs one script and prints its reply as `redis-cli` would; an error reply is a failure.
fn eval(script: &OsStr, keys: &[Vec<u8>], args: &[Vec<u8>]) -> ExitCode {
    if let Err(error) = log::start("", Some(LogLevel::Warning)) {
        return fail(&error.to_string());
    }
    let text = match cli::script_text(script, &mut std::io::stdin().lock()) {
        Ok(text) => text,
        Err(error) => return fail(&format!("Can't read {}: {error}", script.display())),
    };
    match perilune_server::eval::eval(&text, keys, args, script_engines()) {
        Ok(reply) => {
            print!("{}", format_cli(&reply));
            match reply {
                Value::Error(_) => ExitCode::FAILURE,
                _ => ExitCode::SUCCESS,
            }
        }
        Err(error) => fail(&error),
    }
}

fn serve(sources: &ConfigSources) -> Result<(), String> {
    let mut config = config_file::load(sources).map_err(|error| error.to_string())?;
    let started_in = std::env::current_dir().map_err(|error| error.to_string())?;
    config_file::enter_dir(&mut config).map_err(|error| error.to_string())?;
    log::start(&config.logfile, log_threshold(&config))
        .map_err(|error| format!("Can't open the log file: {error}"))?;
    if config.daemonize && !daemon::become_daemon(&started_in).map_err(|error| error.to_string())? {
        return Ok(());
    }
    process::prepare(&config);
    log::write(LogLevel::Notice, "oO0OoO0OoO0Oo Perilune is starting oO0OoO0OoO0Oo");
    let pid = std::process::id();
    let version = env!("CARGO_PKG_VERSION");
    let started = format!("Perilune version={version}, bits=64, pid={pid}, just started");
    log::write(LogLevel::Notice, &started);
    files::make_room_for_clients(&mut config);
    let threads = config.io_threads.max(1) as usize;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| format!("Can't start the runtime: {error}"))?;
    let outcome = runtime.block_on(async {
        let server = Server::start(config.clone(), script_engines()).inspect_err(|error| {
            log::write(LogLevel::Warning, error);
        })?;
        log::write(LogLevel::Notice, &format!("Running mode=standalone, port={}.", config.port));
        // Tools recognise a started server by this line and the next.
        log::write(LogLevel::Notice, &format!("Port: {} PID: {pid}", config.port));
        write_pid_file(&config);
        server.run().await
    });
    remove_pid_file(&config);
    // Connections may be waiting for anything; the process ends without them.
    runtime.shutdown_background();
    outcome
}

fn script_engines() -> Vec<Box<dyn perilune_script::ScriptEngine>> {
    vec![Box::new(LuaEngine::new())]
}

fn write_pid_file(config: &Config) {
    if !config.pidfile.is_empty()
        && let Err(error) = std::fs::write(&config.pidfile, format!("{}\n", std::process::id()))
    {
        log::write(LogLevel::Warning, &format!("Failed to write PID file: {error}"));
    }
}

fn remove_pid_file(config: &Config) {
    if !config.pidfile.is_empty() {
        // It may never have been written.
        let _ = std::fs::remove_file(&config.pidfile);
    }
}
