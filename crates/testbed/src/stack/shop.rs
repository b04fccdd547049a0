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
    let base = told(options, "GATEWAY_BASE_PATH").unwrap_or_default();
    let service = Service {
        name: &name,
        arguments: &[],
        binary: &binary("storefront", options.profile)?,
        offset,
        more: &[],
    };
    service.start(options, |port, _| {
        vec![
            ("STOREFRONT_LISTEN", local(port)),
            ("STOREFRONT_GATEWAY_PATH", base.to_owned()),
        ]
    })
}

/// Writes what leads where, beside a shop: its pages under `/shop/`, and booking. `None` without a shop, and where somebody
/// brings routes of their own.
pub(super) fn routes(
    options: &StackOptions,
    shop: Option<&Program>,
    bookings: &[String],
) -> io::Result<Option<String>> {
    let is_given = ["GATEWAY_ROUTES", "GATEWAY_ACCESS"].map(|name| told(options, name).is_some());
    let Some(shop) = shop.filter(|_| !is_given.contains(&true)) else {
        return Ok(None);
    };
    let addresses: Vec<_> = bookings.iter().map(|url| format!("\"{url}\"")).collect();
    let mut text = format!(
        "[upstreams.booking]\naddresses = [{}]\n\n[upstreams.shop]\naddresses = [\"{}\"]\n",
        addresses.join(", "),
        shop.url()
    );
    for (upstream, level, method, path) in ROUTES {
        let methods = match method {
            "" => String::new(),
            method => format!("methods = [\"{method}\"]\n"),
        };
        text += &format!(
            "\n[[routes]]\npath = \"{path}\"\n{methods}level = \"{level}\"\nupstream = \"{upstream}\"\n"
        );
    }
    let file = options.folder.join("routes.toml");
    fs::write(&file, text)?;
    Ok(Some(file.display().to_string()))
}

/// What the gateways are told of this variable.
pub(super) fn told<'a>(options: &'a StackOptions, name: &str) -> Option<&'a str> {
    let given = options.gateway_environment.iter().rev();
    let mut given = given.filter(|(variable, _)| variable == name);
    given.next().map(|(_, value)| value.as_str())
}

/// First fit first. Where seats are chosen the path names the queue; what is one's own opens in every state of a visit.
const ROUTES: [(&str, &str, &str, &str); 13] = [
    (
        "shop",
        "active",
        "GET",
        "/shop/queues/{queue}/concerts/{concert}",
    ),
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
