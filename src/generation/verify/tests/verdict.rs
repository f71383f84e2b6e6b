//! When a verification passes.

use super::super::report::{EXAMPLES, Verification};

fn found(differing: u64, order_sensitive: u64) -> Verification {
    Verification {
        same_definition: true,
        compared: 100,
        differing,
        order_sensitive,
        ..Verification::default()
    }
}

#[test]
fn one_differing_row_fails_the_same_definition_i9() {
    assert!(found(0, 0).passes(true, None));
    assert!(!found(1, 0).passes(false, None));
    assert!(!found(1, 0).passes(false, Some(1.0)));
}

#[test]
fn order_sensitive_rows_fail_only_when_strict() {
    assert!(found(3, 3).passes(false, None));
    assert!(!found(3, 3).passes(true, None));
    assert!(!found(4, 3).passes(false, None));
}

#[test]
fn a_changed_definition_may_change_as_much_as_is_allowed() {
    let changed = Verification {
        same_definition: false,
        ..found(10, 0)
    };
    assert!(changed.passes(false, Some(0.1)));
    assert!(!changed.passes(false, Some(0.09)));
    assert!(!changed.passes(false, Some(0.0)));
    assert!(changed.passes(true, None));
    let empty = Verification::default();
    assert!(empty.passes(true, Some(0.0)));
}

#[test]
fn a_report_reads_back_as_it_was_written() {
    let report = found(2, 1);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Verification>(&json).unwrap(), report);
    assert_eq!(EXAMPLES, 20);
}
