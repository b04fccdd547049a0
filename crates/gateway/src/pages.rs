//! Owns what people see of the waiting room: the waiting page, the client, and the
//! operator's console.
//!
//! Everything is built in, or read once from the folder of an operator's own brand. The page is made
//! of what any client may know: a place, as it is answered everywhere. Knows no request and no store.

pub mod accent;
pub mod address;
pub mod asset;
pub mod folder;
pub mod language;
pub mod progress;
pub mod state;
pub mod template;
pub mod view;

use asset::Assets;
use chassis::asset::Asset;
use folder::Look;
use language::{Language, Languages};
use template::Template;
use view::Scene;

/// All that pages are made of.
pub struct Pages {
    languages: Languages,
    waiting: Template,
    console: Asset,
    assets: Assets,
    /// Where the files are, without the name.
    address: String,
}

impl Pages {
    /// Pages of this look, at a gateway that stands under `base`.
    pub fn new(look: Look, base: &str) -> Self {
        let assets = Assets::new(look.files);
        let address = format!("{base}/usher/{}", assets.digest());
        let console = include_str!("../web/console/console.html");
        let console = console
            .replace("{{assets}}", &address)
            .replace("{{base}}", base);
        Self {
            languages: Languages::default(),
            waiting: look.template,
            console: Asset::of("console.html", console.into_bytes()),
            assets,
            address,
        }
    }

    /// The files.
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// Address of the folder of all files, which changes with them.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The language of a visitor who chose one, or of whose browser this is accepted.
    pub fn language(&self, chosen: Option<&str>, accepted: &str) -> &Language {
        let chosen = chosen.and_then(|tag| self.languages.chosen(tag));
        chosen.unwrap_or_else(|| self.languages.accepted(accepted))
    }

    /// Whether there is a language of this tag.
    pub fn speaks(&self, tag: &str) -> bool {
        self.languages.chosen(tag).is_some()
    }

    /// The operator's console.
    pub fn console(&self) -> &Asset {
        &self.console
    }

    /// The waiting page.
    pub fn waiting(&self, scene: &Scene<'_>, language: &Language) -> String {
        self.waiting
            .render(&scene.values(language, &self.languages))
    }
}
