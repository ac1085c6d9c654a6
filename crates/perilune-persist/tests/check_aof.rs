//! Checking and repairing append-only files.

use perilune_persist::aof::{CheckOptions, check};
use perilune_persist::{Storage, read_file};
use perilune_testkit::CrashStorage;
use std::io::Write;
use std::path::Path;

const SET: &str = "*3\r\n$3\r\nset\r\n$3\r\nfoo\r\n$5\r\nhello\r\n";
const MULTI: &str = "*1\r\n$5\r\nMULTI\r\n";
const EXEC: &str = "*1\r\n$4\r\nEXEC\r\n";
const MANIFEST: &str = "file base seq 1 type b\nfile incr seq 1 type i\n";

fn put(storage: &dyn Storage, name: &str, content: &str) {
    let mut file = storage.create(&Path::new("/aof").join(name)).expect("created");
    file.write_all(content.as_bytes()).expect("written");
}

fn storage(base: &str, incr: &str) -> CrashStorage {
    let storage = CrashStorage::new();
    put(&storage, "m", MANIFEST);
    put(&storage, "base", base);
    put(&storage, "incr", incr);
    storage
}

/// Whether all is sound, and the report.
fn run(storage: &CrashStorage, name: &str, options: CheckOptions) -> (bool, String) {
    let mut out = Vec::new();
    let path = Path::new("/aof").join(name);
    let sound = check(storage, &path, options, &mut out, &mut |_| true).expect("files");
    (sound, String::from_utf8(out).expect("text"))
}

const FIX: CheckOptions = CheckOptions { fix: true, until_s: None };

#[test]
fn sound_files_are_reported_as_such() {
    let (sound, report) = run(&storage(SET, ""), "m", CheckOptions::default());
    assert!(sound && report.contains("BASE AOF base is valid"), "{report}");
    assert!(report.contains("INCR AOF incr is empty"), "{report}");
    assert!(report.ends_with("All AOF files and manifest are valid\n"), "{report}");
    let (sound, report) = run(&storage(SET, ""), "base", CheckOptions::default());
    assert!(sound && report.starts_with("Start checking Old-Style AOF"), "{report}");
}

#[test]
fn a_last_file_is_repaired() {
    for tail in ["!!!", "*2\r\n$3", &(MULTI.to_owned() + SET), EXEC] {
        let storage = storage(SET, &(SET.to_owned() + tail));
        let (sound, report) = run(&storage, "m", CheckOptions::default());
        assert!(!sound && report.contains("incr is not valid"), "{report}");
        assert!(report.contains("ok_up_to=33, ok_up_to_line=8"), "{report}");
        let (sound, report) = run(&storage, "m", FIX);
        assert!(sound && report.contains("Successfully truncated AOF incr"), "{report}");
        assert_eq!(read_file(&storage, Path::new("/aof/incr")).expect("read"), SET.as_bytes());
    }
}

#[test]
fn a_file_before_the_last_is_left_alone() {
    let storage = storage("!!!", SET);
    let (sound, report) = run(&storage, "m", FIX);
    assert!(!sound && report.contains("because it is not the last file"), "{report}");
}

#[test]
fn time_can_be_turned_back() {
    let dated = format!("#TS:10\r\n{SET}#TS:20\r\n{SET}");
    let storage = storage(SET, &dated);
    let until = |until_s| CheckOptions { fix: false, until_s: Some(until_s) };
    let (sound, report) = run(&storage, "m", until(5));
    assert!(!sound && report.contains("aborting"), "{report}");
    assert!(run(&storage, "m", until(25)).0);
    assert!(run(&storage, "m", until(15)).0);
    let left = read_file(&storage, Path::new("/aof/incr")).expect("read");
    assert_eq!(left, format!("#TS:10\r\n{SET}").as_bytes());
}
