//! What a second thread is worth where a machine has too few cores for servers and load:
//! `cargo xtask bench --scaling`.
//!
//! Every thread of a server may use a part of a core only, so that two of them together leave more than
//! one core of two to the load. To the server it is a machine with slow cores and a network that is fast
//! for them. A thread that has used its part stops until the period is over, even where others wait
//! for what it does. With slower cores instead they would wait less, and how threads happen to wait
//! for each other shifts the ratio both ways: one above two is made by that.
//!
//! The parts are those of Linux' control groups, version 1: it needs their controller `cpu` at
//! `/sys/fs/cgroup/cpu`, and the right to make groups there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::requests::Pool;
use super::server::{Server, Setup};
use super::{Cell, Options, Report, load, prepare, report};

/// Where the controller is.
const CONTROLLER: &str = "/sys/fs/cgroup/cpu";
/// What a thread gets of every period: three tenths of a core.
const PERIOD_US: u32 = 10_000;
const PART_US: u32 = 3_000;

/// `ESRCH`, which the controller answers for a thread that there is not.
const NO_SUCH_THREAD: i32 = 3;

/// The numbers of threads that are compared.
const THREADS: [&str; 2] = ["1", "2"];

/// Measures every case with one thread and with two, in turns, and writes the table.
pub(super) fn run(
    options: &Options,
    chosen: &[Cell],
    servers: &[(String, PathBuf)],
    report: &mut Report,
) -> Result<()> {
    let everywhere = unpin()?;
    report.add(&format!(
        "Every thread of a server has {PART_US} of {PERIOD_US} µs of a core. Servers and load run on all \
         cores, whatever is said above.\n\n\
         | case | P | server | 1 thread, req/s | CPU µs | 2 threads, req/s | CPU µs | req/s, 2 ÷ 1 |\n\
         |---|{}",
        "---:|".repeat(7)
    ));
    for cell in chosen {
        for (name, binary) in servers {
            let mut samples = [Vec::new(), Vec::new()];
            for _ in 0..options.rounds {
                for (threads, samples) in THREADS.iter().zip(&mut samples) {
                    let extra = ["--io-threads", threads];
                    let (cores, folder) = (Some(everywhere.as_str()), None);
                    let setup = Setup { name, binary, cores, folder, extra: &extra, under: &[] };
                    samples.push(measure(cell, &Server::start_with(&setup)?, options)?);
                }
            }
            let [one, two] = samples.each_ref().map(|samples| report::median(samples));
            let (one, two) = one.zip(two).context("nothing was measured")?;
            report.add(&format!(
                "| {} | {} | {name} | {:.0} | {:.3} | {:.0} | {:.3} | {:.2} |",
                cell.name,
                cell.depth,
                one.requests_per_second,
                one.cpu_us_per_request,
                two.requests_per_second,
                two.cpu_us_per_request,
                two.requests_per_second / one.requests_per_second,
            ));
        }
    }
    Ok(())
}

fn measure(cell: &Cell, server: &Server, options: &Options) -> Result<load::Sample> {
    let pool = Pool::new(&prepare(cell, server)?, cell.depth);
    let _slow = Groups::slow_down(server)?;
    let window = Duration::from_secs_f64(options.seconds);
    load::measure(server, &pool, cell.depth, options.clients as usize, window)
        .map_err(anyhow::Error::msg)
}

/// Lets this process run on all cores again. Returns them as `taskset` takes them.
fn unpin() -> Result<String> {
    // What this process may use was narrowed before, so the machine is asked.
    let online = fs::read_to_string("/sys/devices/system/cpu/online").context("no cores")?;
    let (cores, own) = (online.trim().to_owned(), std::process::id().to_string());
    let mut taskset = Command::new("taskset");
    let status = taskset.args(["-p", "-c", &cores, &own]).stdout(Stdio::null()).status()?;
    if status.success() {
        Ok(cores)
    } else {
        bail!("taskset cannot undo that this runs on one core")
    }
}

/// Groups of one thread each, which go when this does.
struct Groups(Vec<PathBuf>);

impl Groups {
    /// Puts every thread that the server has into a group of its own.
    fn slow_down(server: &Server) -> Result<Groups> {
        let mut groups = Groups(Vec::new());
        let tasks = format!("/proc/{}/task", server.process());
        for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
            let task = task?.file_name().to_string_lossy().into_owned();
            let group = Path::new(CONTROLLER).join(format!("xtask-bench-{task}"));
            fs::create_dir(&group)
                .with_context(|| format!("cannot make a control group in {CONTROLLER}"))?;
            groups.0.push(group.clone());
            let set = |file: &str, text: &str| fs::write(group.join(file), text);
            set("cpu.cfs_period_us", &PERIOD_US.to_string())?;
            set("cpu.cfs_quota_us", &PART_US.to_string())?;
            match set("tasks", &task) {
                // It has ended since the listing.
                Err(error) if error.raw_os_error() == Some(NO_SUCH_THREAD) => {}
                outcome => outcome.with_context(|| format!("cannot move thread {task}"))?,
            }
        }
        Ok(groups)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in &self.0 {
            // A group with threads can't be removed: those that are left go to the root group.
            let tasks = fs::read_to_string(group.join("tasks")).unwrap_or_default();
            for task in tasks.lines() {
                let _ = fs::write(Path::new(CONTROLLER).join("tasks"), task);
            }
            let _ = fs::remove_dir(group);
        }
    }
}
