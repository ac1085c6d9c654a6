//! Requests at a fixed rate, and how long each took.
//!
//! One thread sends on schedule, whether replies have come or not, another one reads them. A reply
//! is timed from the moment its request was due, so a server that stops for a while is charged for
//! every request that should have been served meanwhile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::replies::ReplyCounter;
use super::requests::Pool;

/// A connection that is silent for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Sends one request of the pool after the other, `per_second` of them, until `stop` is set. How long
/// each took.
pub(super) fn run(
    address: SocketAddr,
    pool: &Pool,
    per_second: u32,
    stop: &AtomicBool,
) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let reader = stream.try_clone()?;
    reader.set_read_timeout(Some(SILENCE_MAX))?;
    let begin = Instant::now();
    let interval = Duration::from_secs(1) / per_second;
    let due = move |request: u32| begin + interval * request;
    std::thread::scope(|scope| {
        let replies = scope.spawn(move || read_replies(reader, due));
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            let wait = due(sent).saturating_duration_since(Instant::now());
            std::thread::sleep(wait);
            stream.write_all(pool.get(sent as usize % pool.len()))?;
            sent += 1;
        }
        // The server closes its end when it has answered everything.
        stream.shutdown(std::net::Shutdown::Write)?;
        let times = replies.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        if times.len() + 1 < sent as usize {
            bail!("{} of {sent} requests were answered", times.len());
        }
        Ok(times)
    })
}

fn read_replies(mut stream: TcpStream, due: impl Fn(u32) -> Instant) -> Result<Vec<Duration>> {
    let (mut counter, mut times) = (ReplyCounter::default(), Vec::new());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut buffer).context("no reply")?;
        if read == 0 {
            return Ok(times);
        }
        let now = Instant::now();
        let complete = counter.feed(&buffer[..read]).ok().context("answer is not RESP2")?;
        if let Some(error) = counter.first_error() {
            bail!("{error}");
        }
        for _ in 0..complete {
            let request = times.len() as u32;
            times.push(now.saturating_duration_since(due(request)));
        }
    }
}

/// The time that this share of the requests did not exceed.
pub(super) fn percentile(times: &mut [Duration], share: f64) -> Option<Duration> {
    times.sort_unstable();
    let rank = (times.len() as f64 * share).ceil() as usize;
    times.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let mut times: Vec<_> = (1..=1000).rev().map(Duration::from_micros).collect();
        assert_eq!(percentile(&mut times, 0.999), Some(Duration::from_micros(999)));
        assert_eq!(percentile(&mut times, 0.5), Some(Duration::from_micros(500)));
        assert_eq!(percentile(&mut times, 1.0), Some(Duration::from_micros(1000)));
        assert_eq!(percentile(&mut [], 0.5), None);
    }
}
