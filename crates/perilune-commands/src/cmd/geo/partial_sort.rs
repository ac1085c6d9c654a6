//! Sorting the first few of many, with Redis' order among equals.
//!
//! This is the quicksort of J. Bentley and M. McIlroy, "Engineering a Sort Function" (1993), as BSD's
//! C library has it, except that parts behind the wanted ones are left as they are. It is not
//! stable, and clients see in which order it leaves members at the same distance: hence not a sort
//! of the standard library.
//!
//! ```text
//! | equal | less | not seen yet | greater | equal |      while a part is divided
//!         pa     pb           pc         pd
//! ```
//!
//! Parts yet to sort are on a list, not on the stack, and one that was divided too often is left to
//! the standard library: nobody can choose positions that take quadratic time.

use std::cmp::Ordering;
use std::ops::Range;

/// Parts shorter than this are sorted by insertion.
const INSERTION_LEN_MAX: usize = 7;
/// Parts longer than this have their pivot chosen from nine elements.
const NINTHER_LEN_MIN: usize = 40;

/// Moves the `wanted` least elements to the front, in order; the rest is in any.
pub(super) fn sort_first<T>(
    elements: &mut [T],
    wanted: usize,
    compare: impl Fn(&T, &T) -> Ordering,
) {
    let depth_max = 4 * elements.len().max(1).ilog2();
    let mut parts = vec![(0..elements.len(), 0)];
    while let Some((part, depth)) = parts.pop() {
        if part.start >= wanted {
            continue;
        }
        let slice = &mut elements[part.clone()];
        if slice.len() < INSERTION_LEN_MAX {
            insertion_sort(slice, &compare);
        } else if depth > depth_max {
            slice.sort_by(&compare);
        } else {
            let (less, greater) = divide(slice, &compare);
            for Range { start, end } in [greater, less] {
                if end - start > 1 {
                    parts.push((part.start + start..part.start + end, depth + 1));
                }
            }
        }
    }
}

fn insertion_sort<T>(elements: &mut [T], compare: &impl Fn(&T, &T) -> Ordering) {
    for end in 1..elements.len() {
        let mut at = end;
        while at > 0 && compare(&elements[at - 1], &elements[at]).is_gt() {
            elements.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// Divides elements by a pivot: those less than it, and those greater, with the equal ones between.
fn divide<T>(
    elements: &mut [T],
    compare: &impl Fn(&T, &T) -> Ordering,
) -> (Range<usize>, Range<usize>) {
    let len = elements.len();
    elements.swap(0, choose_pivot(elements, compare));
    let (mut pa, mut pb, mut pc, mut pd) = (1, 1, len - 1, len - 1);
    loop {
        while pb <= pc {
            match compare(&elements[pb], &elements[0]) {
                Ordering::Greater => break,
                Ordering::Equal => {
                    elements.swap(pa, pb);
                    pa += 1;
                }
                Ordering::Less => {}
            }
            pb += 1;
        }
        while pb <= pc {
            match compare(&elements[pc], &elements[0]) {
                Ordering::Less => break,
                Ordering::Equal => {
                    elements.swap(pc, pd);
                    pd -= 1;
                }
                Ordering::Greater => {}
            }
            pc -= 1;
        }
        if pb > pc {
            break;
        }
        elements.swap(pb, pc);
        pb += 1;
        pc -= 1;
    }
    let (less, greater) = (pb - pa, pd - pc);
    let count = pa.min(less);
    swap_ranges(elements, 0, pb - count, count);
    let count = greater.min(len - pd - 1);
    swap_ranges(elements, pb, len - count, count);
    (0..less, len - greater..len)
}

/// Index of the middle one of one, three or nine elements, depending on how many there are.
fn choose_pivot<T>(elements: &[T], compare: &impl Fn(&T, &T) -> Ordering) -> usize {
    let median = |a: usize, b: usize, c: usize| {
        let less = |x: usize, y: usize| compare(&elements[x], &elements[y]).is_lt();
        let ends = |a_first| if less(a, c) == a_first { c } else { a };
        if less(a, b) {
            if less(b, c) { b } else { ends(true) }
        } else if compare(&elements[b], &elements[c]).is_gt() {
            b
        } else {
            ends(false)
        }
    };
    let (len, middle) = (elements.len(), elements.len() / 2);
    let last = len - 1;
    if len <= INSERTION_LEN_MAX {
        middle
    } else if len <= NINTHER_LEN_MIN {
        median(0, middle, last)
    } else {
        let step = len / 8;
        median(
            median(0, step, 2 * step),
            median(middle - step, middle, middle + step),
            median(last - 2 * step, last - step, last),
        )
    }
}

/// Swaps `count` elements from `a` on with those from `b` on, which do not overlap.
fn swap_ranges<T>(elements: &mut [T], a: usize, b: usize, count: usize) {
    for offset in 0..count {
        elements.swap(a + offset, b + offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_ones_are_those_of_a_full_sort(
            values in prop::collection::vec(0..50u32, 0..300),
            wanted in 0..320usize,
        ) {
            let mut expected = values.clone();
            expected.sort_unstable();
            let mut sorted = values.clone();
            sort_first(&mut sorted, wanted, u32::cmp);
            let wanted = wanted.min(values.len());
            prop_assert_eq!(&sorted[..wanted], &expected[..wanted]);
            sorted.sort_unstable();
            prop_assert_eq!(sorted, expected);
        }
    }
}
