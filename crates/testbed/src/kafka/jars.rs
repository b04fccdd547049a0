//! The jars of Kafka, fetched once for a checkout by Maven as `docker/kafka/pom.xml` says.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::checkout::checkout;
use crate::files::find_program;

/// The folder of the jars, which are fetched if they are not those that the POM names.
pub(super) fn fetch() -> io::Result<PathBuf> {
    let root = checkout();
    let pom = fs::read_to_string(root.join("docker/kafka/pom.xml"))?;
    let folder = root.join("target/usher/kafka");
    fs::create_dir_all(&folder)?;
    // Two test binaries may want them at the same time.
    let lock = File::create(folder.join("jars.lock"))?;
    lock.lock()?;
    let (jars, unfinished) = (folder.join("jars"), folder.join("jars.unfinished"));
    let fetched = jars.join("pom.xml");
    if fs::read_to_string(&fetched).is_ok_and(|of_jars| of_jars == pom) {
        return Ok(jars);
    }
    for old in [&jars, &unfinished] {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    let maven = find_program("mvn")?;
    fs::create_dir_all(&unfinished)?;
    fs::write(unfinished.join("pom.xml"), &pom)?;
    let output = Command::new(maven)
        .args(["--batch-mode", "--quiet", "dependency:copy-dependencies"])
        .arg(format!("-DoutputDirectory={}", unfinished.display()))
        .current_dir(&unfinished)
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = format!("Maven could not fetch Kafka ({}):\n{told}", output.status);
        return Err(io::Error::other(words));
    }
    fs::rename(unfinished, &jars)?;
    Ok(jars)
}
