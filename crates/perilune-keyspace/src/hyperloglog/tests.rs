//! Both encodings against each other, against all registers in a plain vector, and against damage.

use super::*;
use crate::Rng;
use proptest::prelude::*;

const SPARSE_MAX: usize = 3000;

fn with_elements(range: std::ops::Range<u32>, sparse_max: usize) -> Vec<u8> {
    let mut content = empty();
    let mut hll = HllMut::new(&mut content).expect("an empty one is one");
    for element in range {
        hll.add(element.to_string().as_bytes(), sparse_max).expect("it is not damaged");
    }
    content
}

#[test]
fn an_empty_structure_is_that_of_redis() {
    assert_eq!(empty(), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
    assert_eq!(Hll::new(&empty()).map(|hll| hll.count()), Ok(Ok(0)));
}

#[test]
fn elements_change_the_bytes_that_they_change_in_redis() {
    let mut content = empty();
    let mut hll = HllMut::new(&mut content).expect("an empty one is one");
    for element in ["a", "b", "c", "d", "e", "f", "g"] {
        assert_eq!(hll.add(element.as_bytes(), SPARSE_MAX), Ok(true));
    }
    assert_eq!(hll.add(b"a", SPARSE_MAX), Ok(false));
    assert_eq!(hll.view().cached_count(), None);
    assert_eq!(hll.view().count(), Ok(7));
    hll.cache_count(7);
    assert_eq!(hll.view().cached_count(), Some(7));
}

#[test]
fn a_long_structure_becomes_dense_and_keeps_its_count() {
    for (elements, sparse_max) in [(100, 50), (5000, SPARSE_MAX), (1, 0)] {
        let content = with_elements(0..elements, sparse_max);
        let dense = Hll::new(&content).expect("it is one");
        assert!(dense.is_dense());
        let sparse = with_elements(0..elements, usize::MAX);
        let sparse = Hll::new(&sparse).expect("it is one");
        assert_eq!(dense.count(), sparse.count());
    }
}

#[test]
fn strings_that_are_none_are_refused() {
    let mut short_dense = vec![0; DENSE_LEN - 1];
    short_dense[..4].copy_from_slice(MAGIC);
    let mut unknown = empty();
    unknown[ENCODING_AT] = 2;
    for content in [&b""[..], b"HYLL", b"HYLl\x01\0\0\0\0\0\0\0\0\0\0\0", &short_dense, &unknown] {
        assert_eq!(Hll::new(content).map(|_| ()), Err(HllError::NotHll));
    }
}

#[test]
fn runs_that_do_not_cover_the_registers_are_damaged() {
    let mut content = empty();
    content[HEADER_LEN + 1] = 0xfe;
    let hll = Hll::new(&content).expect("the header is one");
    assert_eq!(hll.count(), Err(HllError::Corrupt));
    assert_eq!(Registers::default().merge(hll), Err(HllError::Corrupt));
    assert_eq!(HllMut::new(&mut content).and_then(|mut hll| hll.make_dense()), {
        Err(HllError::Corrupt)
    });
}

#[test]
fn impossible_registers_count_as_in_redis() {
    let mut content = vec![0xff; DENSE_LEN];
    content[..5].copy_from_slice(b"HYLL\0");
    assert_eq!(Hll::new(&content).map(|hll| hll.count()), Ok(Ok(1 << 63)));
}

#[test]
fn the_self_test_passes() {
    assert_eq!(self_test(&mut Rng::new(7), SPARSE_MAX), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_encodings_hold_the_same(
        elements in prop::collection::vec(any::<u32>(), 0..1500),
        sparse_max in 0..4000usize,
    ) {
        let (mut dense, mut sparse) = (empty(), empty());
        let mut model = vec![0u8; REGISTERS];
        let mut dense = HllMut::new(&mut dense).expect("an empty one is one");
        let mut sparse = HllMut::new(&mut sparse).expect("an empty one is one");
        dense.make_dense().expect("it is not damaged");
        for element in &elements {
            let element = element.to_le_bytes();
            let (register, value) = estimate::register_of(&element);
            let raises = value > model[register];
            model[register] = model[register].max(value);
            prop_assert_eq!(dense.add(&element, sparse_max), Ok(raises));
            prop_assert_eq!(sparse.add(&element, sparse_max), Ok(raises));
        }
        prop_assert!(sparse.view().is_dense() || sparse.0.len() <= sparse_max.max(empty().len()));
        prop_assert_eq!(dense.view().count(), sparse.view().count());
        let mut registers = Registers::default();
        prop_assert_eq!(registers.merge(sparse.view()), Ok(()));
        prop_assert_eq!(registers.values(), &model[..]);
        prop_assert_eq!(Ok(registers.count()), dense.view().count());
        sparse.make_dense().expect("it is not damaged");
        prop_assert_eq!(&sparse.0[HEADER_LEN..], &dense.0[HEADER_LEN..]);
    }

    #[test]
    fn merging_is_adding_all_elements(split in 0..3000u32, end in 0..3000u32) {
        let (low, high) = (split.min(end), split.max(end));
        let mut merged = Registers::default();
        for part in [with_elements(0..high, SPARSE_MAX), with_elements(low..high + 10, SPARSE_MAX)] {
            let merge = Hll::new(&part).and_then(|hll| merged.merge(hll));
            prop_assert_eq!(merge, Ok(()));
        }
        let whole = with_elements(0..high + 10, SPARSE_MAX);
        prop_assert_eq!(Hll::new(&whole).and_then(Hll::count), Ok(merged.count()));
        let mut built = empty();
        let mut hll = HllMut::new(&mut built).expect("an empty one is one");
        prop_assert_eq!(hll.raise_all(&merged, SPARSE_MAX), Ok(()));
        prop_assert_eq!(hll.view().count(), Ok(merged.count()));
    }

    #[test]
    fn garbage_does_no_harm(
        encoding in 0..3u8,
        registers in prop::collection::vec(any::<u8>(), 0..200),
        element: u64,
    ) {
        let mut content = empty();
        content.truncate(HEADER_LEN);
        content[ENCODING_AT] = encoding;
        content.extend_from_slice(&registers);
        if let Ok(mut hll) = HllMut::new(&mut content) {
            let _ = hll.view().count();
            let _ = Registers::default().merge(hll.view());
            let _ = hll.view().runs().count();
            let _ = hll.add(&element.to_le_bytes(), SPARSE_MAX);
            let _ = hll.make_dense();
        }
    }
}
