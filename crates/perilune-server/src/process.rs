//! What becomes of the process itself: its title, transparent huge pages, the allocator's background
//! threads, crash reports and the picture at the start, as the configuration asks, and its code, which is
//! mapped ahead.
//!
//! None of this can fail a start: a system that refuses is noted in the log.

use crate::{code_pages, log, title};
use nix::sys::signal::{SigSet, Signal};
use perilune_commands::config::Config;
use perilune_script::LogLevel;
use std::backtrace::Backtrace;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use tikv_jemalloc_ctl::background_thread;

/// Whether a crash is reported in the log (`crash-log-enabled`).
static REPORTS_CRASHES: AtomicBool = AtomicBool::new(true);

/// Whether a server that gives up just exits (`use-exit-on-panic`), so that tools which watch the
/// process see an ordinary end.
static EXITS: AtomicBool = AtomicBool::new(false);

const LOGO: &str = r"
        _..._
      .'     '.     Perilune
     :   .--.  :    a Redis-compatible server for scripts
     :  (    ) :
      '. '--' .'    the point of an orbit nearest to the moon
        '---'
";

/// Sets up what can only be set up before anything runs.
pub fn prepare(config: &Config) {
    std::panic::set_hook(Box::new(report_crash));
    if config.disable_thp
        && let Err(error) = nix::sys::prctl::set_thp_disable(true)
    {
        log::write(LogLevel::Warning, &format!("Can't disable transparent huge pages: {error}"));
    }
    if config.crash_log_enabled {
        await_abort();
    }
    if let Err(error) = code_pages::populate() {
        log::write(LogLevel::Verbose, &format!("Can't map the program's code ahead: {error}"));
    }
    apply(config);
    if config.always_show_logo || (config.logfile.is_empty() && std::io::stdout().is_terminal()) {
        println!("{LOGO}");
    }
}

/// Makes the parameters of this module that can change at run time take effect.
pub(crate) fn apply(config: &Config) {
    REPORTS_CRASHES.store(config.crash_log_enabled, Ordering::Relaxed);
    if let Err(error) = background_thread::write(config.jemalloc_bg_thread) {
        log::write(LogLevel::Warning, &format!("Can't set jemalloc-bg-thread: {error}"));
    }
    EXITS.store(config.use_exit_on_panic, Ordering::Relaxed);
    if config.set_proc_title
        && let Err(error) = title::set(&title_of(config))
    {
        log::write(LogLevel::Verbose, &format!("Can't set the title of the process: {error}"));
    }
}

/// The template with its words replaced.
fn title_of(config: &Config) -> String {
    let address = config.bind.0.first().map_or("*", |address| address.trim_start_matches('-'));
    let title = config
        .proc_title_template
        .replace("{title}", &title::program())
        .replace("{listen-addr}", &format!("{address}:{}", config.port))
        .replace("{server-mode}", "")
        .replace("{port}", &config.port.to_string())
        .replace("{tls-port}", &config.tls_port.to_string())
        .replace("{unixsocket}", &config.unixsocket)
        .replace("{config-file}", config.config_file.as_deref().unwrap_or_default());
    title.trim().to_owned()
}

/// Writes what is known about a panic to the log. It ends the work of one connection, not the
/// server, so the report is all that is left of it.
fn report_crash(info: &PanicHookInfo<'_>) {
    if !REPORTS_CRASHES.load(Ordering::Relaxed) {
        return;
    }
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("no message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    write_report(&format!("Panic at {place}: {message}"));
}

/// Writes the report of a crash by a signal, if such are wanted, and ends the process by that
/// signal. The stack is that of the calling thread.
pub(crate) fn crash(why: &str, by: Signal) -> ! {
    if REPORTS_CRASHES.load(Ordering::Relaxed) {
        write_report(&format!("Perilune crashed by signal: {} ({by}), {why}", by as i32));
    }
    // The first one may be caught by the language's runtime, which steps aside for the second.
    for _ in 0..2 {
        let _ = nix::sys::signal::raise(by);
    }
    std::process::abort()
}

/// Ends the process because it cannot go on, with a report if such are wanted.
pub(crate) fn give_up(why: &str) -> ! {
    if !EXITS.load(Ordering::Relaxed) {
        crash(why, Signal::SIGABRT);
    }
    if REPORTS_CRASHES.load(Ordering::Relaxed) {
        write_report(why);
    }
    std::process::exit(1)
}

/// Has a thread of its own wait for SIGABRT from outside, which every other thread leaves to it: a
/// server that hangs is reported, too. What the process aborts by itself does not get here.
fn await_abort() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGABRT);
    if signals.thread_block().is_err() {
        return;
    }
    let wait = move || {
        if signals.wait().is_ok() {
            crash("sent from outside", Signal::SIGABRT);
        }
    };
    // Without the thread the signal would be ignored.
    if std::thread::Builder::new().name("crash-report".into()).spawn(wait).is_err() {
        let _ = signals.thread_unblock();
    }
}

fn write_report(what: &str) {
    log::write(LogLevel::Warning, "=== PERILUNE BUG REPORT START ===");
    log::write(LogLevel::Warning, what);
    log::write(LogLevel::Warning, "------ STACK TRACE ------");
    for line in Backtrace::force_capture().to_string().lines() {
        log::write(LogLevel::Warning, line);
    }
    log::write(LogLevel::Warning, "------ THREADS ------");
    for line in threads() {
        log::write(LogLevel::Warning, &line);
    }
    log::write(LogLevel::Warning, "=== PERILUNE BUG REPORT END ===");
}

/// What the system tells about each thread: its number, its name and its state.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok())
        .map(|stat| stat.split(' ').take(3).collect::<Vec<_>>().join(" "))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_is_the_template_with_its_words_replaced() {
        let mut config = Config { port: 7, ..Config::default() };
        assert_eq!(title_of(&config), format!("{} *:7", title::program()));
        config.proc_title_template = "{port} of the moon {unixsocket}".into();
        assert_eq!(title_of(&config), "7 of the moon");
    }
}
