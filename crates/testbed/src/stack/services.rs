//! The gateways and bookings of a stack: their names, their ports, and what each is told.

use std::io;

use super::events::Broker;
use super::shop::told;
use super::start::{Service, local};
use super::stores::Stores;
use super::{StackOptions, sandbox};
use crate::files::binary;
use crate::keys::Keys;
use crate::program::Program;

/// How far the second booking's port is above the first gateway's, past the most gateways that there may be and the way
/// of events.
const BOOKING_OFFSET: u16 = 53;

/// The name of a gateway and how far its port is above the first: booking sits between the first and the second.
pub(super) fn gateway(number: u16) -> (String, u16) {
    let offset = if number == 1 { 0 } else { number };
    (format!("gateway-{number}"), offset)
}

/// The same of a booking.
pub(super) fn booking(number: u16) -> (String, u16) {
    match number {
        1 => ("booking".to_owned(), 1),
        _ => (format!("booking-{number}"), BOOKING_OFFSET + number - 2),
    }
}

/// What gateways stand before.
pub(super) struct Behind {
    pub upstream: String,
    /// The file of routes, where there is more than one service.
    pub routes: Option<String>,
}

/// Starts as many as are wanted, one after the other.
pub(super) fn start_gateways(
    options: &StackOptions,
    stores: &Stores,
    behind: &Behind,
    keys: &Keys,
) -> io::Result<Vec<Program>> {
    let start = |number| {
        let (name, offset) = gateway(number);
        (options.progress)(&format!("starting {name}"))?;
        start_gateway((&name, offset), options, stores, behind, keys)
    };
    (1..=options.gateways.max(1)).map(start).collect()
}

/// Starts one of this name, on a port so far above the first.
pub(super) fn start_gateway(
    (name, offset): (&str, u16),
    options: &StackOptions,
    stores: &Stores,
    behind: &Behind,
    keys: &Keys,
) -> io::Result<Program> {
    let service = Service {
        name,
        arguments: &[],
        binary: &binary("gateway", options.profile)?,
        offset,
        more: &options.gateway_environment,
    };
    service.start(options, |port, admin_port| {
        let mut own = vec![
            ("GATEWAY_LISTEN", local(port)),
            ("GATEWAY_ADMIN_LISTEN", local(admin_port)),
            ("GATEWAY_REDIS_URL", stores.redis_url()),
            ("GATEWAY_UPSTREAM", behind.upstream.clone()),
            ("GATEWAY_TOKEN_KEYS", format!("dev:{}", keys.token)),
            ("GATEWAY_PASS_KEY", keys.pass.clone()),
            ("GATEWAY_OPERATOR_KEYS", format!("dev:{}", keys.operator)),
            // A caller that gives more variables may say another.
            ("GATEWAY_IDENTITY", identity(options).to_owned()),
        ];
        if needs_identity_key(options) {
            own.push(("GATEWAY_IDENTITY_SECRET", keys.identity.clone()));
        }
        own.extend(behind.routes.clone().map(|file| ("GATEWAY_ROUTES", file)));
        own
    })
}

/// Who is who at the gateways.
pub(super) fn identity<'a>(options: &'a StackOptions) -> &'a str {
    told(options, "GATEWAY_IDENTITY").unwrap_or("open")
}

/// Whether an identity provider is asked for and none is named: then it is whoever has our key.
pub(super) fn needs_identity_key(options: &StackOptions) -> bool {
    let named = ["GATEWAY_JWKS", "GATEWAY_IDENTITY_SECRET"];
    identity(options) == "jwt" && named.iter().all(|name| told(options, name).is_none())
}

/// Starts as many as are wanted, one after the other.
pub(super) fn start_bookings(
    options: &StackOptions,
    stores: &Stores,
    broker: Option<&Broker>,
    sandbox_port: Option<u16>,
    keys: &Keys,
) -> io::Result<Vec<Program>> {
    let binary = binary("booking", options.profile)?;
    (options.progress)("starting booking, which brings the database up to date")?;
    let start = |number| {
        let (name, offset) = booking(number);
        let service = Service {
            name: &name,
            arguments: &[],
            binary: &binary,
            offset,
            more: &options.booking_environment,
        };
        service.start(options, |port, admin_port| {
            let mut own = vec![
                ("BOOKING_LISTEN", local(port)),
                ("BOOKING_ADMIN_LISTEN", local(admin_port)),
                (
                    "BOOKING_MYSQL_URL",
                    stores.mysql_url(usize::from(number - 1)),
                ),
                ("BOOKING_REDIS_URL", stores.redis_url()),
                ("BOOKING_PASS_KEY", keys.pass.clone()),
            ];
            own.extend(broker.map(Broker::environment));
            let sandbox = sandbox_port.map(|port| sandbox::environment(port, keys));
            own.extend(sandbox.into_iter().flatten());
            own
        })
    };
    (1..=options.bookings.max(1)).map(start).collect()
}
