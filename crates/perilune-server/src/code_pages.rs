//! The program's code, in memory before the first request.
//!
//! Code is mapped from the file of the program, page by page as it is first executed. So the first
//! request of a kind waits for that, longest where the file is not in memory at all; and these pages
//! count towards the resident size, where they look like memory taken by data. Here all of them are
//! mapped at the start (Linux 5.14 and later). They are the file's: servers of the same machine share
//! them, and the kernel takes them back where memory is scarce.
#![allow(unsafe_code)]

use nix::sys::mman::{MmapAdvise, madvise};
use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;

/// Maps all pages of the program's code. Where the system refuses, they are mapped as they are executed.
pub(crate) fn populate() -> io::Result<()> {
    let program = std::env::current_exe()?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let program = program.to_string_lossy();
    for range in maps.lines().filter_map(|line| code_of(line, &program)) {
        let start = std::ptr::with_exposed_provenance_mut::<c_void>(range.start);
        let Some(start) = NonNull::new(start) else { continue };
        // SAFETY: this advice reads every page of the range and changes nothing; a range that is not
        // mapped is an error.
        unsafe { madvise(start, range.len(), MmapAdvise::MADV_POPULATE_READ) }?;
    }
    Ok(())
}

/// The addresses of a mapping, if it is one of code of `program`. The line is one of `/proc/PID/maps`:
/// `55af104c7000-55af10aa9000 r-xp 0016d000 fe:00 10014010     /usr/bin/perilune`.
fn code_of(line: &str, program: &str) -> Option<Range<usize>> {
    let (addresses, rest) = line.split_once(' ')?;
    if !rest.starts_with("r-x") || !rest.ends_with(program) {
        return None;
    }
    let (start, end) = addresses.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_code_of_the_program() {
        let line = "55af104c7000-55af10aa9000 r-xp 0016d000 fe:00 10014010     /usr/bin/perilune";
        assert_eq!(code_of(line, "/usr/bin/perilune"), Some(0x55af_104c_7000..0x55af_10aa_9000));
        assert_eq!(code_of(line, "/usr/bin/other"), None);
        assert_eq!(code_of(&line.replace("r-xp", "rw-p"), "/usr/bin/perilune"), None);
        assert_eq!(code_of("", ""), None);
    }

    #[test]
    fn all_code_of_this_program_is_mapped() {
        match populate() {
            // Linux before 5.14 does not know the advice.
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EINVAL as i32) => return,
            outcome => outcome.expect("code that can be read"),
        }
        let program = std::env::current_exe().expect("a path");
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux");
        let mut lines = maps.lines();
        let own = lines.find_map(|line| code_of(line, &program.to_string_lossy()));
        let size = own.expect("a mapping of code").len() / 1024;
        let resident = lines.find_map(|line| line.strip_prefix("Rss:")).expect("a size");
        assert_eq!(resident.trim(), format!("{size} kB"));
    }
}
