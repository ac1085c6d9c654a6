//! `oom-score-adj`: how willingly the kernel ends this process when memory runs out.

use perilune_commands::config::{Config, OomScoreAdj};
use std::io;

const FILE: &str = "/proc/self/oom_score_adj";
/// The kernel's range.
const SCORE_MAX: i32 = 1000;

/// The score of this process.
#[derive(Debug, Default)]
pub(crate) struct OomScore {
    /// The score before it was first changed here; comes back when the parameter is turned off.
    base: Option<i32>,
}

/// A score to go back to.
#[derive(Debug)]
pub(crate) struct SavedScore {
    base: Option<i32>,
    /// What the process had, where it can be read.
    score: Option<i32>,
}

impl OomScore {
    /// The score as it is, for [`restore`](Self::restore).
    pub(crate) fn save(&self) -> SavedScore {
        SavedScore { base: self.base, score: read().ok() }
    }

    /// Goes back to a score.
    pub(crate) fn restore(&mut self, saved: &SavedScore) -> io::Result<()> {
        self.base = saved.base;
        saved.score.map_or(Ok(()), write)
    }

    /// Sets what the configuration asks for. There is no child process, so the third value is
    /// never in force.
    pub(crate) fn apply(&mut self, config: &Config) -> io::Result<()> {
        let [as_master, as_replica, _] = config.oom_score_adj_values.0;
        let value = if config.replicaof.is_some() { as_replica } else { as_master };
        let score = match (config.oom_score_adj, self.base) {
            (OomScoreAdj::No, None) => return Ok(()),
            (OomScoreAdj::No, Some(base)) => {
                write(base)?;
                self.base = None;
                return Ok(());
            }
            (OomScoreAdj::Absolute, _) => value,
            (OomScoreAdj::Relative, Some(base)) => base + value,
            (OomScoreAdj::Relative, None) => read()? + value,
        };
        if self.base.is_none() {
            self.base = Some(read()?);
        }
        write(score.clamp(-SCORE_MAX, SCORE_MAX))
    }
}

fn read() -> io::Result<i32> {
    let text = std::fs::read_to_string(FILE)?;
    text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, text))
}

fn write(score: i32) -> io::Result<()> {
    std::fs::write(FILE, format!("{score}\n"))
}
