//! Files written block by block, on real and on faulty storage.

use perilune_persist::{BlockWriter, BlockWriterOptions, Progress, Storage, read_file};
use perilune_testkit::{CrashStorage, FailingStorage, Step};
use std::io;
use std::path::Path;
use std::sync::Arc;

const PATH: &str = "/d/dump";
const TEMPORARY: &str = "/d/temp";

fn options() -> BlockWriterOptions {
    BlockWriterOptions {
        path: PATH.into(),
        temporary: TEMPORARY.into(),
        sync_every_bytes: Some(4),
        checksum: false,
        queued_bytes_max: 16,
    }
}

fn write(storage: &Arc<dyn Storage>, blocks: &[&[u8]]) -> io::Result<u64> {
    let writer = BlockWriter::start(Arc::clone(storage), options())?;
    for block in blocks {
        writer.push(block.to_vec());
    }
    writer.finish();
    writer.wait()
}

#[test]
fn blocks_arrive_in_order_and_are_safe() {
    let crashing = CrashStorage::new();
    let storage: Arc<dyn Storage> = Arc::new(crashing.clone());
    let blocks: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; 7]).collect();
    let views: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    assert_eq!(write(&storage, &views).expect("written"), 700);
    crashing.crash();
    assert_eq!(read_file(&*storage, Path::new(PATH)).expect("read"), blocks.concat());
}

#[test]
fn the_checksum_is_that_of_all_blocks() {
    let storage: Arc<dyn Storage> = Arc::new(CrashStorage::new());
    let options = BlockWriterOptions { checksum: true, ..options() };
    let writer = BlockWriter::start(Arc::clone(&storage), options).expect("started");
    writer.push(b"1234".to_vec());
    writer.push(b"56789".to_vec());
    writer.finish();
    writer.wait().expect("written");
    let mut expected = b"123456789".to_vec();
    expected.extend_from_slice(&0xe9c6_d914_c4b8_d9ca_u64.to_le_bytes());
    assert_eq!(read_file(&*storage, Path::new(PATH)).expect("read"), expected);
}

#[test]
fn every_fault_leaves_the_old_file_and_nothing_else() {
    let crashing = CrashStorage::new();
    let failing = FailingStorage::new(Arc::new(crashing.clone()));
    let storage: Arc<dyn Storage> = Arc::new(failing.clone());
    write(&storage, &[b"old"]).expect("written");
    let blocks: &[&[u8]] = &[b"a new", b"content"];
    for (step, after) in
        [(Step::Create, 0), (Step::Write, 1), (Step::Sync, 0), (Step::Sync, 2), (Step::Rename, 0)]
    {
        failing.fail(step, after);
        write(&storage, blocks).expect_err("a fault");
        failing.heal();
        assert_eq!(storage.list(Path::new("/d")).expect("listed"), ["dump"], "{step:?}");
        crashing.crash();
        assert_eq!(read_file(&*storage, Path::new(PATH)).expect("read"), b"old", "{step:?}");
    }
    failing.set_space(8);
    let error = write(&storage, blocks).expect_err("a full disk");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    failing.heal();
    failing.set_write_max(2);
    assert_eq!(write(&storage, blocks).expect("written"), 12);
}

#[test]
fn a_file_that_is_given_up_is_removed() {
    let storage: Arc<dyn Storage> = Arc::new(CrashStorage::new());
    let writer = BlockWriter::start(Arc::clone(&storage), options()).expect("started");
    writer.push(b"block".to_vec());
    writer.abort();
    writer.finish();
    writer.wait().expect_err("given up");
    assert!(matches!(writer.poll(), Progress::Running), "the end is told once");
    assert!(storage.list(Path::new("/d")).expect("listed").is_empty());
}

#[test]
fn blocks_for_a_file_that_failed_are_dropped() {
    let failing = FailingStorage::new(Arc::new(CrashStorage::new()));
    failing.fail(Step::Write, 0);
    let writer = BlockWriter::start(Arc::new(failing), options()).expect("started");
    for _ in 0..100 {
        writer.push(vec![0; 16]);
    }
    writer.finish();
    writer.wait().expect_err("a fault");
    assert_eq!(writer.queued_bytes(), 0);
}
