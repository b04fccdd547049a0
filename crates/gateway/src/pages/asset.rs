//! Owns the files that pages are made of: what is built in, and those of an operator's folder.
//!
//! All have one address with the digest of them all in it, so an answer can be kept for ever and
//! modules that name each other are always of one kind. Compressed once, at the start.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::language::Languages;

/// What is built in.
const FILES: [(&str, &str); 13] = [
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
    ("chart.js", include_str!("../../web/console/chart.js")),
    ("usher.js", include_str!("../../web/usher.js")),
    ("usher.d.ts", include_str!("../../web/usher.d.ts")),
];

/// Digits of the digest in an address.
const DIGITS: usize = 16;

/// A file, ready to be sent.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its media type.
    pub media_type: &'static str,
    /// As it is.
    pub plain: Bytes,
    /// Compressed, where that makes it smaller.
    pub gzip: Option<Bytes>,
    /// Names this very content.
    pub digest: String,
}

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
        let mut whole = Sha256::new();
        for (name, content) in &all {
            whole.update(name);
            whole.update([0]);
            whole.update(content);
        }
        let files = all.into_iter().map(|(name, content)| {
            let asset = Asset::of(&name, content);
            (name, asset)
        });
        Self {
            files: files.collect(),
            digest: digits(&whole.finalize()),
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

impl Asset {
    /// Content by the ending of its name.
    pub fn of(name: &str, content: Vec<u8>) -> Self {
        let gzip = gzip(&content, Compression::best());
        Self {
            media_type: media_type(name),
            gzip: Some(gzip)
                .filter(|it| it.len() < content.len())
                .map(Bytes::from),
            digest: digits(&Sha256::digest(&content)),
            plain: Bytes::from(content),
        }
    }
}

/// `content`, compressed.
pub fn gzip(content: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(content.len() / 2), level);
    let written = encoder.write_all(content).and_then(|()| encoder.finish());
    written.expect("memory takes every byte")
}

fn digits(digest: &[u8]) -> String {
    let mut text = String::with_capacity(DIGITS);
    for byte in &digest[..DIGITS / 2] {
        // A `String` takes every letter.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The media type that the ending of a name stands for.
pub fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some("avif") => "image/avif",
        Some("woff2") => "font/woff2",
        Some("ts" | "txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
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
