//! `cargo xtask openapi`: the committed documents are what the services say of themselves.

use std::fs;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use testbed::{Profile, binary};

use crate::failure::Failure;
use crate::workspace::Services;
use crate::{say, workspace};

/// Writes both documents, or only compares them.
pub fn run(check: bool) -> Result<(), Failure> {
    let services = Services {
        booking: true,
        stand_in: false,
    };
    workspace::build_services(false, services, &AtomicBool::new(false))?;
    let folder = workspace::root().join("docs/openapi");
    fs::create_dir_all(&folder)?;
    for name in ["gateway", "booking"] {
        let document = document(name)?;
        let path = folder.join(format!("{name}.json"));
        let is_current = fs::read_to_string(&path).is_ok_and(|committed| committed == document);
        let shown = format!("docs/openapi/{name}.json");
        if check && !is_current {
            return Err(Failure::Failed(format!(
                "{shown} is not what {name} says; `cargo xtask openapi` writes it anew"
            )));
        }
        if !is_current {
            fs::write(&path, document)?;
        }
        say(&format!(
            "{shown}: {}",
            if is_current { "up to date" } else { "written" }
        ));
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
