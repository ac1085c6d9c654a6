//! Argument vectors that outlive the buffer they came from: queued and blocked commands.

use smallvec::SmallVec;

/// A command kept for later: all bytes in one allocation, with the end of each argument.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedArgs {
    bytes: Vec<u8>,
    ends: SmallVec<[u32; 6]>,
}

/// Borrowed arguments; small commands stay on the stack.
pub type ArgVec<'a> = SmallVec<[&'a [u8]; 8]>;

impl OwnedArgs {
    /// Copies `argv`. Arguments past 4 GiB in total are cut off, far beyond what a query buffer
    /// holds.
    pub fn new(argv: &[&[u8]]) -> Self {
        let mut owned = OwnedArgs::default();
        owned.bytes.reserve(argv.iter().map(|arg| arg.len()).sum());
        for arg in argv {
            if u32::try_from(owned.bytes.len() + arg.len()).is_err() {
                break;
            }
            owned.bytes.extend_from_slice(arg);
            owned.ends.push(owned.bytes.len() as u32);
        }
        owned
    }

    /// The arguments.
    pub fn view(&self) -> ArgVec<'_> {
        let mut start = 0;
        self.ends
            .iter()
            .map(|&end| {
                let arg = &self.bytes[start..end as usize];
                start = end as usize;
                arg
            })
            .collect()
    }

    /// Bytes of all arguments together.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_it_was_given() {
        for argv in [&[][..], &[&b""[..]][..], &[&b"set"[..], b"key", b"", b"value"][..]] {
            assert_eq!(OwnedArgs::new(argv).view().as_slice(), argv);
        }
    }
}
