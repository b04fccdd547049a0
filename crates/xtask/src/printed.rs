//! Owns files of the checkout that are made of what the programs print: each is written anew, or only compared.

use std::fs;

use crate::failure::Failure;
use crate::{say, workspace};

/// Writes a file if it is not this text. With `check` it is never written, and another text is a failure that names the
/// command which writes it.
pub fn renew(file: &str, text: &str, check: bool, command: &str) -> Result<(), Failure> {
    let path = workspace::root().join(file);
    let is_current = fs::read_to_string(&path).is_ok_and(|committed| committed == text);
    if check && !is_current {
        return Err(Failure::Failed(format!(
            "{file} is not what the programs say; `cargo xtask {command}` writes it anew"
        )));
    }
    if !is_current {
        fs::write(&path, text)?;
    }
    let state = if is_current { "up to date" } else { "written" };
    say(&format!("{file}: {state}"));
    Ok(())
}
