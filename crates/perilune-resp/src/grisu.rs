//! Shortest decimal digits of a double by Grisu2.
//!
//! Grisu2 (Florian Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with
//! Integers", 2010) works with 64-bit integers only. It scales the number and the borders of its
//! rounding interval by a cached power of ten, so that the binary exponent falls into a small
//! range, and generates digits of the upper border until what is left fits into the interval. The
//! digits always read back as the same double. In about one case in a thousand there would have
//! been shorter or closer ones: a correctly shortest printer (as in std) therefore writes other
//! text than Redis does, and this is why we do not use it.
//!
//! Takes finite numbers above zero only; signs, zero and the rest belong to the caller.

/// Decimal digits, usually at most 17, with room to spare.
pub(crate) struct Digits {
    bytes: [u8; Digits::CAPACITY],
    len: usize,
    /// The number is the digits, read as an integer, times ten to this power.
    pub(crate) exponent: i32,
}

impl Digits {
    const CAPACITY: usize = 32;

    /// The digits in ASCII, without leading zeros.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Appends a digit; a leading zero is dropped.
    fn push(&mut self, digit: u64) {
        if (digit != 0 || self.len != 0)
            && let Some(slot) = self.bytes.get_mut(self.len)
        {
            *slot = b'0' + digit as u8;
            self.len += 1;
        }
    }

    fn last_mut(&mut self) -> Option<&mut u8> {
        self.bytes.get_mut(..self.len)?.last_mut()
    }
}

/// `significand` times two to the `exponent`.
#[derive(Clone, Copy)]
struct Float {
    significand: u64,
    exponent: i32,
}

const HIDDEN_BIT: u64 = 1 << 52;
const FRACTION_MASK: u64 = HIDDEN_BIT - 1;
const EXPONENT_BIAS: i32 = 1023 + 52;

impl Float {
    fn of(value: f64) -> Self {
        let bits = value.to_bits();
        let biased = ((bits >> 52) & 0x7ff) as i32;
        let fraction = bits & FRACTION_MASK;
        if biased == 0 {
            Self { significand: fraction, exponent: 1 - EXPONENT_BIAS }
        } else {
            Self { significand: fraction | HIDDEN_BIT, exponent: biased - EXPONENT_BIAS }
        }
    }

    /// The same number with the top bit of the significand set.
    fn normalized(self) -> Self {
        let shift = self.significand.leading_zeros();
        Self { significand: self.significand << shift, exponent: self.exponent - shift as i32 }
    }

    /// The midpoints to the lower and upper neighbour, with the exponent of the normalized upper.
    fn boundaries(self) -> (Self, Self) {
        let upper = Self { significand: (self.significand << 1) + 1, exponent: self.exponent - 1 };
        let upper = upper.normalized();
        // Below a power of two the neighbours lie twice as dense.
        let shift = if self.significand == HIDDEN_BIT { 2 } else { 1 };
        let lower = (self.significand << shift) - 1;
        let lower_exponent = self.exponent - shift;
        let lower = lower << (lower_exponent - upper.exponent);
        (Self { significand: lower, exponent: upper.exponent }, upper)
    }

    /// The product's upper 64 bits, rounded.
    fn times(self, other: Self) -> Self {
        let product = u128::from(self.significand) * u128::from(other.significand);
        let rounded = product + (1 << 63);
        Self { significand: (rounded >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// The digits of `value`, which is finite and above zero.
pub(crate) fn shortest_digits(value: f64) -> Digits {
    let exact = Float::of(value);
    let (lower, upper) = exact.boundaries();
    let (power, power_exponent) = cached_power(upper.exponent);
    let exact = exact.normalized().times(power);
    let mut upper = upper.times(power);
    let mut lower = lower.times(power);
    // The products are off by at most one unit: stay inside the interval whatever happened.
    lower.significand += 1;
    upper.significand -= 1;
    generate(exact, lower, upper, -power_exponent)
}

fn generate(exact: Float, lower: Float, upper: Float, exponent: i32) -> Digits {
    let mut digits = Digits { bytes: [0; Digits::CAPACITY], len: 0, exponent };
    let distance = upper.significand.wrapping_sub(exact.significand);
    let mut delta = upper.significand.wrapping_sub(lower.significand);
    let shift = -upper.exponent as u32;
    let one = 1_u64 << shift;
    let mut integral = upper.significand >> shift;
    let mut fraction = upper.significand & (one - 1);

    let mut divisor = 1_000_000_000_u64;
    for kappa in (0..10).rev() {
        digits.push(integral / divisor);
        integral %= divisor;
        let remainder = (integral << shift) + fraction;
        if remainder <= delta {
            digits.exponent += kappa;
            round(&mut digits, delta, remainder, divisor << shift, distance);
            return digits;
        }
        divisor /= 10;
    }
    let mut unit = 1_u64;
    loop {
        fraction = fraction.wrapping_mul(10);
        delta = delta.wrapping_mul(10);
        unit = unit.wrapping_mul(10);
        digits.exponent -= 1;
        digits.push(fraction >> shift);
        fraction &= one - 1;
        if fraction < delta || digits.len == Digits::CAPACITY {
            round(&mut digits, delta, fraction, one, distance.wrapping_mul(unit));
            return digits;
        }
    }
}

/// Lowers the last digit while that comes closer to the exact number.
fn round(digits: &mut Digits, delta: u64, mut remainder: u64, step: u64, distance: u64) {
    let Some(last) = digits.last_mut() else { return };
    while remainder < distance
        && delta - remainder >= step
        && (remainder + step < distance || distance - remainder > remainder + step - distance)
    {
        *last -= 1;
        remainder += step;
    }
}

const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;

/// The cached power of ten that brings `exponent` into -60..=-32, and its decimal exponent.
fn cached_power(exponent: i32) -> (Float, i32) {
    const LOG10_OF_2: f64 = std::f64::consts::LOG10_2;
    let approximate = (f64::from(-(exponent + POWERS.len() as i32)) * LOG10_OF_2) as i32;
    let mut index = (approximate - FIRST_POWER) / POWER_STEP;
    loop {
        let decimal = FIRST_POWER + index * POWER_STEP;
        let scaled = exponent + binary_exponent(decimal) + 64;
        let significand = usize::try_from(index).ok().and_then(|index| POWERS.get(index));
        match significand {
            Some(_) if scaled < -60 => index += 1,
            Some(_) if scaled > -32 => index -= 1,
            Some(significand) => {
                let exponent = binary_exponent(decimal);
                return (Float { significand: *significand, exponent }, decimal);
            }
            // The table covers every exponent a double can have.
            None => index = index.clamp(0, POWERS.len() as i32 - 1),
        }
    }
}

/// The exponent of ten to the `decimal` as a normalized [`Float`]; 217706 / 65536 approximates the
/// binary logarithm of ten closely enough for the whole table.
fn binary_exponent(decimal: i32) -> i32 {
    ((decimal * 217_706) >> 16) - 63
}

/// Normalized significands of ten to the -348, -340, ..., 340, rounded.
#[rustfmt::skip]
const POWERS: [u64; 87] = [
    0xfa8f_d5a0_081c_0288, 0xbaae_e17f_a23e_bf76, 0x8b16_fb20_3055_ac76, 0xcf42_894a_5dce_35ea,
    0x9a6b_b0aa_5565_3b2d, 0xe61a_cf03_3d1a_45df, 0xab70_fe17_c79a_c6ca, 0xff77_b1fc_bebc_dc4f,
    0xbe56_91ef_416b_d60c, 0x8dd0_1fad_907f_fc3c, 0xd351_5c28_3155_9a83, 0x9d71_ac8f_ada6_c9b5,
    0xea9c_2277_23ee_8bcb, 0xaecc_4991_4078_536d, 0x823c_1279_5db6_ce57, 0xc210_9436_4dfb_5637,
    0x9096_ea6f_3848_984f, 0xd774_85cb_2582_3ac7, 0xa086_cfcd_97bf_97f4, 0xef34_0a98_172a_ace5,
    0xb238_67fb_2a35_b28e, 0x84c8_d4df_d2c6_3f3b, 0xc5dd_4427_1ad3_cdba, 0x936b_9fce_bb25_c996,
    0xdbac_6c24_7d62_a584, 0xa3ab_6658_0d5f_daf6, 0xf3e2_f893_dec3_f126, 0xb5b5_ada8_aaff_80b8,
    0x8762_5f05_6c7c_4a8b, 0xc9bc_ff60_34c1_3053, 0x964e_858c_91ba_2655, 0xdff9_7724_7029_7ebd,
    0xa6df_bd9f_b8e5_b88f, 0xf8a9_5fcf_8874_7d94, 0xb944_7093_8fa8_9bcf, 0x8a08_f0f8_bf0f_156b,
    0xcdb0_2555_6531_31b6, 0x993f_e2c6_d07b_7fac, 0xe45c_10c4_2a2b_3b06, 0xaa24_2499_6973_92d3,
    0xfd87_b5f2_8300_ca0e, 0xbce5_0864_9211_1aeb, 0x8cbc_cc09_6f50_88cc, 0xd1b7_1758_e219_652c,
    0x9c40_0000_0000_0000, 0xe8d4_a510_0000_0000, 0xad78_ebc5_ac62_0000, 0x813f_3978_f894_0984,
    0xc097_ce7b_c907_15b3, 0x8f7e_32ce_7bea_5c70, 0xd5d2_38a4_abe9_8068, 0x9f4f_2726_179a_2245,
    0xed63_a231_d4c4_fb27, 0xb0de_6538_8cc8_ada8, 0x83c7_088e_1aab_65db, 0xc45d_1df9_4271_1d9a,
    0x924d_692c_a61b_e758, 0xda01_ee64_1a70_8dea, 0xa26d_a399_9aef_774a, 0xf209_787b_b47d_6b85,
    0xb454_e4a1_79dd_1877, 0x865b_8692_5b9b_c5c2, 0xc835_53c5_c896_5d3d, 0x952a_b45c_fa97_a0b3,
    0xde46_9fbd_99a0_5fe3, 0xa59b_c234_db39_8c25, 0xf6c6_9a72_a398_9f5c, 0xb7dc_bf53_54e9_bece,
    0x88fc_f317_f222_41e2, 0xcc20_ce9b_d35c_78a5, 0x9816_5af3_7b21_53df, 0xe2a0_b5dc_971f_303a,
    0xa8d9_d153_5ce3_b396, 0xfb9b_7cd9_a4a7_443c, 0xbb76_4c4c_a7a4_4410, 0x8bab_8eef_b640_9c1a,
    0xd01f_ef10_a657_842c, 0x9b10_a4e5_e991_3129, 0xe710_9bfb_a19c_0c9d, 0xac28_20d9_623b_f429,
    0x8044_4b5e_7aa7_cf85, 0xbf21_e440_03ac_dd2d, 0x8e67_9c2f_5e44_ff8f, 0xd433_179d_9c8c_b841,
    0x9e19_db92_b4e3_1ba9, 0xeb96_bf6e_badf_77d9, 0xaf87_023b_9bf0_ee6b,
];
