//! The demo shop of a stack: a front end beside booking, and the routes that lead to both.

use std::fs;
use std::io;

use super::StackOptions;
use super::start::{Service, local};
use crate::files::binary;
use crate::program::Program;

/// Past the sandbox.
const OFFSET: u16 = 94;

/// Its name and how far its port is above the first gateway's.
pub(super) fn service() -> (String, u16) {
    ("storefront".to_owned(), OFFSET)
}

/// Starts it.
pub(super) fn start(options: &StackOptions) -> io::Result<Program> {
    (options.progress)("starting the shop")?;
    let (name, offset) = service();
    let service = Service {
        name: &name,
        arguments: &[],
        binary: &binary("storefront", options.profile)?,
        offset,
        more: &[],
    };
    service.start(options, |port, _| vec![("STOREFRONT_LISTEN", local(port))])
}

/// Writes what leads where: the shop under `/shop/`, where choosing seats needs a place inside, and booking.
pub(super) fn routes(
    options: &StackOptions,
    shop: &Program,
    bookings: &[String],
) -> io::Result<String> {
    let addresses: Vec<_> = bookings.iter().map(|url| format!("\"{url}\"")).collect();
    let mut text = format!(
        "[upstreams.booking]\naddresses = [{}]\n\n[upstreams.shop]\naddresses = [\"{}\"]\n",
        addresses.join(", "),
        shop.url()
    );
    for (upstream, level, methods, path) in ROUTES {
        let methods = match methods {
            "" => String::new(),
            method => format!("methods = [\"{method}\"]\n"),
        };
        text += &format!(
            "\n[[routes]]\npath = \"{path}\"\n{methods}level = \"{level}\"\nupstream = \"{upstream}\"\n"
        );
    }
    let file = options.folder.join("routes.toml");
    fs::write(&file, text)?;
    Ok(file.display().to_string())
}

/// First fit first.
const ROUTES: [(&str, &str, &str, &str); 13] = [
    ("shop", "active", "GET", "/shop/concerts/{concert}"),
    ("shop", "public", "GET", "/shop/**"),
    ("shop", "public", "GET", "/"),
    ("booking", "public", "GET", "/api/v1/concerts"),
    ("booking", "public", "GET", "/api/v1/concerts/{id}"),
    ("booking", "public", "GET", "/api/v1/integrity"),
    ("booking", "public", "POST", "/api/v1/provider/events"),
    ("booking", "operator", "", "/api/v1/admin/**"),
    ("booking", "token", "", "/api/v1/users/**"),
    ("booking", "active", "POST", "/api/v1/reservations"),
    ("booking", "token", "", "/api/v1/reservations/**"),
    ("booking", "token", "", "/api/v1/payments/**"),
    ("booking", "active", "", "/**"),
];
