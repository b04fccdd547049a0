//! Owns the files of the checkout, for tests that read sources and pages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of the checkout.
pub fn checkout() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Every file below a folder of the checkout, in order. What cargo and git keep there is left out.
///
/// # Errors
/// When a folder cannot be read.
pub fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" && name != ".git" {
            found.extend(files_below(&path)?);
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Those of them with this ending, such as `rs`, each with its text.
///
/// # Errors
/// When a folder or a file cannot be read.
pub fn texts_below(folder: &Path, ending: &str) -> io::Result<Vec<(PathBuf, String)>> {
    let mut found = files_below(folder)?;
    found.retain(|path| path.extension().is_some_and(|it| it == ending));
    let with_text = |path: PathBuf| {
        let text = fs::read_to_string(&path)?;
        Ok((path, text))
    };
    found.into_iter().map(with_text).collect()
}

/// The points of booking at which it can end as with `kill -9`, as far as their names begin so. `BOOKING_CRASH_AT` takes one.
///
/// # Errors
/// When a source cannot be read.
pub fn crash_points(start: &str) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for (_, text) in texts_below(&checkout().join("crates/booking/src"), "rs")? {
        let rests = text.split("crash::point(\"").skip(1);
        let names = rests.filter_map(|rest| rest.split('"').next());
        found.extend(names.filter(|it| it.starts_with(start)).map(str::to_owned));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{crash_points, texts_below};
    use crate::files::Scratch;

    #[test]
    fn sources_are_found_in_every_folder_but_those_of_cargo_and_git() {
        let scratch = Scratch::new().expect("a folder");
        for name in ["b/c/d.rs", "a.rs", "b/e.md", "target/f.rs", "b/.git/g.rs"] {
            let path = scratch.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
            fs::write(path, name).expect("it is written");
        }
        let found = texts_below(scratch.path(), "rs").expect("they are read");
        let texts: Vec<_> = found.into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["a.rs", "b/c/d.rs"]);
    }

    #[test]
    fn points_of_one_verb_are_found_once_each() {
        let found = crash_points("charge.").expect("the sources");
        assert!(found.len() >= 3, "{found:?}");
        assert!(found.iter().all(|it| it.starts_with("charge.")));
        assert!(found.is_sorted_by(|one, next| one < next), "{found:?}");
    }
}
