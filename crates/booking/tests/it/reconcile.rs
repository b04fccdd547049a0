//! `booking reconcile`: what it says of books that agree, and of each way in which they may not.

use std::process::{Command, Output};

use crate::fixture::Fixture;

fn reconcile(url: &str) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_booking"))
        .env_clear()
        .arg("reconcile")
        .env("BOOKING_MYSQL_URL", url)
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!told.contains("panicked"), "{told}");
    (
        status.code(),
        String::from_utf8_lossy(&stdout).into_owned() + &told,
    )
}

#[tokio::test]
async fn books_that_agree_are_one_line_and_exit_code_0() {
    let fixture = Fixture::open().await;
    fixture.paid(&[1, 2]).await;
    let (code, told) = reconcile(&fixture.url);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(
        told,
        "the books agree: 2 seats sold for 300000 KRW, 700000 KRW in wallets\n"
    );
}

#[tokio::test]
async fn one_unit_of_difference_is_exit_code_1_and_names_the_row() {
    let fixture = Fixture::open().await;
    let (held, payment) = fixture.paid(&[1]).await;
    for (damage, repair, row, words) in [
        (
            "UPDATE wallets SET balance = balance + 1",
            "UPDATE wallets SET balance = balance - 1",
            held.user_id,
            "balance: expected 850000, found 850001",
        ),
        (
            "UPDATE reservations SET amount = amount - 1",
            "UPDATE reservations SET amount = amount + 1",
            held.id,
            "the sum of its seats: expected 149999, found 150000",
        ),
        (
            "UPDATE seats SET state = 'available', reservation_id = NULL, holder_id = NULL WHERE number = 1",
            &format!(
                "UPDATE seats SET state = 'sold', reservation_id = x'{}', holder_id = x'{}' WHERE number = 1",
                held.id.simple(),
                held.user_id.simple()
            ),
            held.id,
            "sold to it: expected 1, found 0",
        ),
        (
            "UPDATE payments SET amount = amount + 1",
            "UPDATE payments SET amount = amount - 1",
            payment.id,
            "the ledger says of them: expected 150001, found 150000",
        ),
    ] {
        fixture.raw(damage).await.unwrap();
        let (code, told) = reconcile(&fixture.url);
        assert_eq!(code, Some(1), "{told}");
        let line = told.lines().find(|line| line.contains(words));
        let line = line.unwrap_or_else(|| panic!("{words}: {told}"));
        assert!(line.ends_with(&format!("({row})")), "{line}");
        fixture.raw(repair).await.unwrap();
    }
    assert_eq!(reconcile(&fixture.url).0, Some(0));
}

#[test]
fn a_database_without_books_is_exit_code_69() {
    let (code, told) = reconcile(&testbed::mariadb().create_database());
    assert_eq!(code, Some(69), "{told}");
    assert!(told.contains("MySQL cannot be used"), "{told}");
}
