//! The log of an append-only file on disks that fail and machines that crash.

use perilune_persist::aof::AppendLog;
use perilune_persist::{Storage, read_file};
use perilune_testkit::{CrashStorage, FailingStorage, Step};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const FIRST: &str = "/aof/first";
const SECOND: &str = "/aof/second";

/// A log in a storage, and how far it said that the stream is safe.
fn open(storage: &dyn Storage) -> (AppendLog, Arc<AtomicU64>) {
    let safe = Arc::new(AtomicU64::new(0));
    let heard = Arc::clone(&safe);
    let listener = Arc::new(move |offset| heard.store(offset, Ordering::Relaxed));
    let log = AppendLog::open(storage, Path::new(FIRST), 0, listener).expect("a log");
    storage.sync_folder(Path::new("/aof")).expect("a folder");
    (log, safe)
}

fn content(storage: &dyn Storage, path: &str) -> String {
    let bytes = read_file(storage, Path::new(path)).expect("a file");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn one_sync_serves_all_that_was_written_before_it() {
    let storage = CrashStorage::new();
    let (mut log, safe) = open(&storage);
    log.write(b"one").expect("written");
    let job = log.request_sync().expect("a job");
    log.write(b"two").expect("written");
    assert!(log.request_sync().is_none(), "the job does that, too");
    assert!(log.is_syncing());
    job();
    assert_eq!((safe.load(Ordering::Relaxed), log.synced()), (6, 6));
    assert!(log.request_sync().is_none() && !log.is_syncing());
    log.write(b"three").expect("written");
    storage.crash();
    assert_eq!(content(&storage, FIRST), "onetwo");
}

#[test]
fn a_file_that_was_left_still_becomes_safe() {
    let storage = CrashStorage::new();
    let (mut log, safe) = open(&storage);
    log.write(b"one").expect("written");
    log.switch_to(&storage, Path::new(SECOND)).expect("switched");
    storage.sync_folder(Path::new("/aof")).expect("a folder");
    log.write(b"two").expect("written");
    assert_eq!((log.size(), log.written()), (3, 6));
    log.sync().expect("synced");
    assert_eq!(safe.load(Ordering::Relaxed), 6);
    storage.crash();
    assert_eq!((content(&storage, FIRST), content(&storage, SECOND)), ("one".into(), "two".into()));
}

#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    let disk = FailingStorage::new(Arc::new(CrashStorage::new()));
    let (mut log, _) = open(&disk);
    log.write(b"whole").expect("written");
    disk.set_space(3);
    let failure = log.write(b"partly").expect_err("the disk is full");
    assert_eq!((failure.short, failure.kept), (3, 0));
    assert!(failure.error.to_string().contains("No space left"), "{}", failure.error);
    assert_eq!(content(&disk, FIRST), "whole");
    disk.heal();
    disk.set_write_max(2);
    log.write(b"again").expect("written in pieces");
    assert_eq!((content(&disk, FIRST), log.size()), ("wholeagain".into(), 10));
}

#[test]
fn after_a_failed_sync_nothing_is_synced_until_somebody_knows() {
    let disk = FailingStorage::new(Arc::new(CrashStorage::new()));
    let (mut log, safe) = open(&disk);
    log.write(b"one").expect("written");
    disk.fail(Step::Sync, 0);
    log.request_sync().expect("a job")();
    disk.heal();
    log.write(b"two").expect("written");
    assert!(log.request_sync().is_none(), "it would work, and hide the failure");
    assert!(log.sync().is_err());
    assert!(log.failure().is_some() && !log.is_syncing());
    assert_eq!((safe.load(Ordering::Relaxed), log.synced()), (0, 0));
    assert!(log.take_failure().is_some_and(|failure| failure.contains("os error 5")));
    assert_eq!((log.take_failure(), log.is_sound()), (None, false));
    log.sync().expect("synced");
    assert_eq!((log.is_sound(), safe.load(Ordering::Relaxed)), (true, 6));
}

#[test]
fn another_failure_is_told_again() {
    let disk = FailingStorage::new(Arc::new(CrashStorage::new()));
    let (mut log, _) = open(&disk);
    log.write(b"one").expect("written");
    disk.fail(Step::Sync, 0);
    for _ in 0..2 {
        assert!(log.sync().is_err());
        assert!(log.take_failure().is_some() && !log.is_sound());
    }
}
