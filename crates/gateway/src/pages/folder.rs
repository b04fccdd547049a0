//! Owns the folder of an operator's own brand: a template, and files beside it.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::{fs, io};

use super::template::{Template, TemplateInvalid};
use super::view::NAMES;

/// The template in the folder.
const TEMPLATE: &str = "waiting.html";
/// Most files of a folder, and most bytes of all of them: they are kept in memory.
const MOST_FILES: usize = 64;
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// The look of the waiting page.
#[derive(Debug, Clone)]
pub struct Look {
    /// The page.
    pub template: Template,
    /// Files that the page names, by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LookInvalid {
    /// Something cannot be read.
    #[error("cannot read {0}: {1}")]
    Unreadable(String, io::Error),
    /// The template has a mistake.
    #[error("{TEMPLATE}: {0}")]
    Template(#[from] TemplateInvalid),
    /// More than memory is for.
    #[error("the folder has more than 64 files or 8 MiB")]
    Large,
}

impl Default for Look {
    /// # Panics
    /// When the template that is built in has a mistake, which a test prevents.
    fn default() -> Self {
        let built_in = include_str!("../../web/waiting.html");
        Self {
            template: Template::read(built_in, &NAMES).expect("the built-in template"),
            files: BTreeMap::new(),
        }
    }
}

impl FromStr for Look {
    type Err = LookInvalid;

    /// Reads the folder of this name. Files in folders inside it are left out.
    fn from_str(folder: &str) -> Result<Self, LookInvalid> {
        let unreadable = |path: &Path| {
            let path = path.display().to_string();
            move |cause| LookInvalid::Unreadable(path, cause)
        };
        let folder = Path::new(folder);
        let path = folder.join(TEMPLATE);
        let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
        let template = Template::read(&text, &NAMES)?;
        let (mut files, mut bytes) = (BTreeMap::new(), 0);
        for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
            let path = entry.map_err(unreadable(folder))?.path();
            let about = fs::metadata(&path).map_err(unreadable(&path))?;
            let name = path.file_name().and_then(|it| it.to_str());
            let Some(name) = name.filter(|it| about.is_file() && *it != TEMPLATE) else {
                continue;
            };
            bytes += about.len();
            if files.len() == MOST_FILES || bytes > MOST_BYTES {
                return Err(LookInvalid::Large);
            }
            let content = fs::read(&path).map_err(unreadable(&path))?;
            files.insert(name.to_owned(), content);
        }
        Ok(Self { template, files })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Look, LookInvalid};

    #[test]
    fn a_folder_is_checked_when_it_is_read() {
        let name = format!("usher-look-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(folder.join("inner")).expect("a folder");
        let path = folder.to_str().expect("a plain name").to_owned();
        assert!(matches!(
            path.parse::<Look>(),
            Err(LookInvalid::Unreadable(..))
        ));
        let page = folder.join("waiting.html");
        fs::write(&page, "<h1>{{titel}}</h1>").expect("a file");
        let mistake = path.parse::<Look>().expect_err("no such name");
        assert!(mistake.to_string().contains("titel"), "{mistake}");
        fs::write(&page, "<h1>{{title}}</h1>").expect("a file");
        fs::write(folder.join("own.css"), "h1{}").expect("a file");
        let look = path.parse::<Look>().expect("a look");
        assert_eq!(look.files.keys().collect::<Vec<_>>(), ["own.css"]);
        fs::remove_dir_all(&folder).expect("it was made here");
    }

    #[test]
    fn the_built_in_page_names_nothing_from_elsewhere_and_runs_no_script_of_its_own() {
        let page = include_str!("../../web/waiting.html");
        assert!(!page.contains("http://") && !page.contains("https://"));
        let scripts: Vec<&str> = page.split("<script").skip(1).collect();
        assert!(
            scripts
                .iter()
                .all(|it| it.contains("src=") && it.contains("></script>"))
        );
        assert!(
            !page.contains("style=") && !page.contains(" on"),
            "the policy forbids it"
        );
        let _ = Look::default();
    }
}
