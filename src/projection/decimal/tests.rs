use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn d(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}

/// The same number, by the crate alone.
fn oracle(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

/// Numbers around the border between the two forms, and plain ones.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,4}(\\.[0-9]{1,3})?",
        "-?[0-9]{15,22}(\\.[0-9]{0,20})?0{0,3}",
        "-?[0-9]{30,60}(\\.[0-9]{1,60})?",
        "-?0\\.0{0,40}[0-9]{1,4}",
        Just(format!("{}", i128::MAX)),
        Just(format!("{}", i128::MIN)),
    ]
    .prop_map(|text| text.trim_end_matches('.').to_owned())
}

proptest! {
    #[test]
    fn arithmetic_agrees_with_big_numbers(a in texts(), b in texts(), scale in 0u16..50) {
        let (x, y) = (d(&a), d(&b));
        let (p, q) = (oracle(&a), oracle(&b));
        let plain = |big: BigDecimal| {
            if big.is_zero() { "0".to_owned() } else { big.normalized().to_plain_string() }
        };
        prop_assert_eq!(x.to_string(), plain(p.clone()));
        prop_assert_eq!(x.plus(&y).to_string(), plain(&p + &q));
        prop_assert_eq!(x.checked_sub(&y).unwrap().to_string(), plain(&p - &q));
        prop_assert_eq!(x.checked_mul(&y).unwrap().to_string(), plain(&p * &q));
        prop_assert_eq!(x.cmp(&y), p.cmp(&q));
        prop_assert_eq!(x == y, p == q);
        prop_assert_eq!(x.neg().to_string(), plain(-p.clone()));
        let rounded = p.with_scale_round(i64::from(scale), RoundingMode::HalfUp);
        prop_assert_eq!(x.round(scale).to_string(), plain(rounded.clone()));
        prop_assert_eq!(x.with_scale_exact(scale).is_some(), rounded == p);
        if let Some(product) = x.checked_mul(&y) && !y.is_zero() {
            prop_assert_eq!(product.div(&y).unwrap(), x.clone());
        }
        if !y.is_zero() {
            // What is left after rounding is at most half a unit of the last digit.
            let quotient = oracle(&x.div_rounded(&y, scale).unwrap().to_string());
            let rest = (quotient * &q - &p).abs() * BigDecimal::from(2);
            let unit = BigDecimal::new(BigInt::from(1), i64::from(scale));
            prop_assert!(rest <= q.abs() * unit);
        }
    }

    #[test]
    fn equal_numbers_hash_alike(text in texts(), zeros in 0u16..30) {
        let number = d(&text);
        let padded = number.with_scale_exact(number.scale() + zeros).unwrap();
        prop_assert_eq!(&padded, &number);
        let set = HashSet::from([number.clone()]);
        prop_assert!(set.contains(&padded));
        prop_assert_eq!(padded.to_string(), number.to_string());
        prop_assert_eq!(padded.to_text(padded.scale()), format!("{padded:?}"));
    }
}

#[test]
fn a_number_is_read_as_it_is_written() {
    for (text, canonical) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.00", "0"),
        ("+1", "1"),
        ("007", "7"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1.50", "1.5"),
        ("-0.010", "-0.01"),
        ("1e3", "1000"),
        ("1E+3", "1000"),
        ("15e-1", "1.5"),
        ("100e-2", "1"),
        ("0e999999999", "0"),
        ("0.000e-999999999999999999999", "0"),
        ("9007199254740993", "9007199254740993"),
        ("123456789012345678.9", "123456789012345678.9"),
    ] {
        assert_eq!(d(text).to_string(), canonical, "{text}");
    }
    for wrong in [
        "", "-", ".", "+.", "1.2.3", "1e", "e1", "1e1.5", " 1", "1 ", "1_000", "0x1", "NaN", "inf",
        "--1", "-+1", "١", "1e+-1", "1,5",
    ] {
        assert!(Decimal::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn more_digits_than_the_limit_are_refused_before_anything_is_built() {
    let nines = "9".repeat(1000);
    let most = d(&format!("{nines}.{nines}"));
    assert!(most.is_within_limits());
    assert_eq!(most.checked_add(&d("1")), None);
    assert_eq!(most.checked_mul(&d("0.1")), None);
    assert!(!most.plus(&d("1")).is_within_limits());
    assert_eq!(most.plus(&d("1")).plus(&d("-1")), most);
    assert_eq!(d(&nines).checked_mul(&d("10")), None);
    assert!(Decimal::parse("1e999").is_ok());
    assert!(Decimal::parse("1e-1000").is_ok());
    for wrong in [
        "1e1000",
        "1e-1001",
        "1e999999999",
        "1e-999999999",
        "1e99999999999999999999999999",
        "-1e-99999999999999999999999999",
        &format!("{nines}0"),
        &format!("0.{nines}0"),
    ] {
        assert!(Decimal::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_quotient_is_exact_or_not_at_all() {
    assert_eq!(d("1").div(&d("8")), Some(d("0.125")));
    assert_eq!(d("10").div(&d("0.5")), Some(d("20")));
    assert_eq!(d("-1").div(&d("1024")), Some(d("-0.0009765625")));
    assert_eq!(d("1").div(&d("3")), None);
    assert_eq!(d("1").div(&d("0")), None);
    assert_eq!(d("0").div(&d("7")), Some(Decimal::zero()));
    assert_eq!(d("1").div_rounded(&d("0"), 2), None);
    for (a, b, rounded) in [
        ("2", "3", "0.67"),
        ("1", "3", "0.33"),
        ("1", "200", "0.01"),
        ("-1", "200", "-0.01"),
        ("1", "-200", "-0.01"),
        ("-1", "-200", "0.01"),
        ("1", "201", "0"),
    ] {
        let quotient = d(a).div_rounded(&d(b), 2).unwrap();
        assert_eq!(quotient.to_string(), rounded, "{a} / {b}");
    }
}

#[test]
fn halves_round_away_from_zero() {
    for (text, scale, rounded) in [
        ("0.5", 0, "1"),
        ("-0.5", 0, "-1"),
        ("0.49", 0, "0"),
        ("2.345", 2, "2.35"),
        ("-2.345", 2, "-2.35"),
        ("2.3449", 2, "2.34"),
        ("1e-50", 2, "0"),
        ("99.999", 2, "100"),
        (
            "170141183460469231731687303715884105727.5",
            0,
            "170141183460469231731687303715884105728",
        ),
    ] {
        assert_eq!(d(text).round(scale).to_string(), rounded, "{text}");
    }
    assert_eq!(d("5").to_text(2), "5.00");
    assert_eq!(d("-0.5").to_text(3), "-0.500");
    assert_eq!(d("0").to_text(2), "0.00");
    assert_eq!(d("1.005").to_text(2), "1.01");
}

#[test]
fn a_column_holds_what_fits() {
    assert!(d("99.99").fits(4, 2));
    assert!(d("-99.990").fits(4, 2));
    assert!(!d("100").fits(4, 2));
    assert!(!d("0.001").fits(4, 2));
    assert!(d("0.01").fits(2, 2));
    assert!(!d("1").fits(2, 2));
    assert!(d("0").fits(1, 1));
    assert_eq!(d("2.0").to_i64(), Some(2));
    assert_eq!(d("2.5").to_i64(), None);
    assert_eq!(d("9223372036854775807").to_i64(), Some(i64::MAX));
    assert_eq!(d("9223372036854775808").to_i64(), None);
    assert_eq!(d("-9223372036854775808.00").to_i64(), Some(i64::MIN));
    assert_eq!(d("1e300").to_i64(), None);
    assert_eq!(d("0.1").to_f64(), 0.1);
}
