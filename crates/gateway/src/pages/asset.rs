//! Owns the files that pages are made of: what is built in, and those of an operator's folder.
//!
//! All have one address with the digest of them all in it, so an answer can be kept for ever and
//! modules that name each other are always of one kind.

use std::collections::BTreeMap;

use chassis::asset::{Asset, digest};

use super::language::Languages;

/// What is built in.
const FILES: [(&str, &str); 25] = [
    ("tokens.css", include_str!("../../web/tokens.css")),
    ("waiting.css", include_str!("../../web/waiting.css")),
    ("waiting.js", include_str!("../../web/waiting.js")),
    ("phrases.js", include_str!("../../web/phrases.js")),
    ("icon-line.svg", include_str!("../../web/icon-line.svg")),
    ("icon-paused.svg", include_str!("../../web/icon-paused.svg")),
    ("icon-turn.svg", include_str!("../../web/icon-turn.svg")),
    ("icon-over.svg", include_str!("../../web/icon-over.svg")),
    ("console.css", include_str!("../../web/console/console.css")),
    ("console.js", include_str!("../../web/console/console.js")),
    ("api.js", include_str!("../../web/console/api.js")),
    ("cancel.js", include_str!("../../web/console/cancel.js")),
    ("chart.js", include_str!("../../web/console/chart.js")),
    ("customer.js", include_str!("../../web/console/customer.js")),
    ("dates.js", include_str!("../../web/console/dates.js")),
    ("dom.js", include_str!("../../web/console/dom.js")),
    ("edit.js", include_str!("../../web/console/edit.js")),
    ("hold.js", include_str!("../../web/console/hold.js")),
    ("lists.js", include_str!("../../web/console/lists.js")),
    ("refund.js", include_str!("../../web/console/refund.js")),
    ("report.js", include_str!("../../web/console/report.js")),
    ("sale.js", include_str!("../../web/console/sale.js")),
    ("sure.js", include_str!("../../web/console/sure.js")),
    ("usher.js", include_str!("../../web/usher.js")),
    ("usher.d.ts", include_str!("../../web/usher.d.ts")),
];

/// All files by their names.
pub struct Assets {
    files: BTreeMap<String, Asset>,
    digest: String,
}

impl Assets {
    /// The files that are built in, with those of a folder in place of or beside them.
    pub fn new(folder: BTreeMap<String, Vec<u8>>) -> Self {
        let built_in = FILES.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
        let texts = Languages::files().map(|(name, text)| (name, text.as_bytes().to_vec()));
        let mut all: BTreeMap<String, Vec<u8>> = built_in.into_iter().chain(texts).collect();
        all.extend(folder);
        let parts = all
            .iter()
            .flat_map(|(name, content)| [name.as_bytes(), &[0], content]);
        let digest = digest(parts);
        let files = all.into_iter().map(|(name, content)| {
            let asset = Asset::of(&name, content);
            (name, asset)
        });
        Self {
            files: files.collect(),
            digest,
        }
    }

    /// The file of this name.
    pub fn get(&self, name: &str) -> Option<&Asset> {
        self.files.get(name)
    }

    /// Of all files; part of their address.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Assets;

    /// All that a first visit loads, compressed, in bytes.
    const BUDGET: usize = 30 * 1024;

    #[test]
    fn the_waiting_page_with_everything_is_small() {
        let assets = Assets::new(BTreeMap::new());
        let loaded = [
            "tokens.css",
            "waiting.css",
            "waiting.js",
            "usher.js",
            "phrases.js",
            "text/ar.json",
        ];
        let sizes = loaded.map(|name| {
            let asset = assets.get(name).expect("a file");
            asset.gzip.as_ref().expect("text becomes smaller").len()
        });
        let page = 4 * 1024;
        assert!(sizes.iter().sum::<usize>() + page <= BUDGET, "{sizes:?}");
    }

    #[test]
    fn another_content_has_another_address() {
        let plain = Assets::new(BTreeMap::new());
        let own = BTreeMap::from([("logo.svg".to_owned(), b"<svg/>".to_vec())]);
        let branded = Assets::new(own);
        assert_ne!(plain.digest(), branded.digest());
        let logo = branded.get("logo.svg").expect("the file of the folder");
        assert_eq!(logo.media_type, "image/svg+xml");
        assert!(logo.gzip.is_none(), "nothing is gained");
    }
}
