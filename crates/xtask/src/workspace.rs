//! Cargo as this workspace uses it.

use std::env;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use crate::failure::Failure;
use crate::stop;
pub use testbed::checkout as root;

/// The cargo that runs this program, in the checkout, without what `cargo run` put into the environment.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_MANIFEST_")
            || text == "CARGO_BIN_NAME"
        {
            command.env_remove(&name);
        }
    }
    command
}

/// Which programs a stack needs beside the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Services {
    pub booking: bool,
    pub stand_in: bool,
}

/// Builds what a stack needs; cargo's own output is shown. `stop` ends the build early.
pub fn build_services(release: bool, services: Services, stop: &AtomicBool) -> Result<(), Failure> {
    if release {
        return build_all(true, stop);
    }
    let mut arguments = vec!["build", "--bins", "-p", "gateway"];
    if services.booking {
        arguments.extend(["-p", "booking", "-p", "storefront"]);
    }
    if services.stand_in {
        arguments.extend(["-p", "kafka-stand-in"]);
    }
    build(&arguments, stop)
}

/// Builds every program. With optimisation this is the one build for all commands that want it: cargo chooses features
/// for all packages of a build together, so that another choice of packages would build much of it again.
pub fn build_all(release: bool, stop: &AtomicBool) -> Result<(), Failure> {
    let mut arguments = vec!["build", "--workspace", "--bins"];
    if release {
        arguments.push("--release");
    }
    build(&arguments, stop)
}

/// Builds the load tool alone, for servers that run already.
pub fn build_tool(release: bool, stop: &AtomicBool) -> Result<(), Failure> {
    let mut arguments = vec!["build", "-p", "loadtest", "--bins"];
    if release {
        arguments.push("--release");
    }
    build(&arguments, stop)
}

fn build(arguments: &[&str], stop: &AtomicBool) -> Result<(), Failure> {
    if stop::run(&mut cargo(arguments), stop)?.success() {
        return Ok(());
    }
    Err(Failure::Failed(
        "the build failed; cargo says above what to mend".into(),
    ))
}
