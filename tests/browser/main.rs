//! What people see, in a real browser: Chromium, driven over WebDriver.
//!
//! A violation of the content security policy or an error on the console fails the test that made it.
//! Pictures of what was seen are kept under `target/usher/screens/`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod access;
mod base_path;
mod care;
mod client;
mod closing;
mod console;
mod console_customer;
mod console_dates;
mod driver;
mod elsewhere;
mod embedded;
mod fit;
mod language;
mod outage;
mod pictures;
mod relay;
mod script;
mod shop;
mod site;
mod waiting;
