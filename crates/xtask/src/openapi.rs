//! `cargo xtask openapi`: the committed documents are what the services say of themselves.

use std::process::Command;
use std::sync::atomic::AtomicBool;

use testbed::{Profile, binary};

use crate::failure::Failure;
use crate::workspace::Services;
use crate::{printed, workspace};

/// Writes both documents, or only compares them.
pub fn run(check: bool) -> Result<(), Failure> {
    let services = Services {
        booking: true,
        stand_in: false,
    };
    workspace::build_services(false, services, &AtomicBool::new(false))?;
    for name in ["gateway", "booking"] {
        let file = format!("docs/openapi/{name}.json");
        printed::renew(&file, &document(name)?, check, "openapi")?;
    }
    Ok(())
}

/// What `NAME openapi` prints, with one newline at the end.
fn document(name: &str) -> Result<String, Failure> {
    let output = Command::new(binary(name, Profile::Debug)?)
        .arg("openapi")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && text.trim_start().starts_with('{') {
        return Ok(format!("{}\n", text.trim()));
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Failed(format!(
        "`{name} openapi` printed no document ({}):\n{words}",
        output.status
    )))
}
