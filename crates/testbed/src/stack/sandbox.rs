//! The payment provider of a sandbox: on which port it is, what bookings are told of it, and how it is started.

use std::io;
use std::time::Duration;

use super::StackOptions;
use super::start::local;
use crate::files::binary;
use crate::keys::Keys;
use crate::port::free_port;
use crate::program::{Program, ProgramOptions};

/// How far its port is above the first, past the most forwarders that there may be.
const OFFSET: u16 = 93;
const NAME: &str = "sandbox-pay";
const READY: Duration = Duration::from_secs(60);

/// Its name, and how far its port is above the first.
pub(super) fn service() -> (String, u16) {
    (NAME.to_owned(), OFFSET)
}

/// Its port, where it is wanted: chosen before booking starts, which has to know it.
pub(super) fn port(options: &StackOptions) -> Option<u16> {
    let chosen = || {
        options
            .first_port
            .map_or_else(free_port, |first| first + OFFSET)
    };
    options.sandbox.then(chosen)
}

/// What bookings are told of it.
pub(super) fn environment(port: u16, keys: &Keys) -> [(&'static str, String); 3] {
    [
        ("BOOKING_CHARGES", "provider".to_owned()),
        ("BOOKING_PROVIDER_URL", format!("http://{}", local(port))),
        ("BOOKING_PROVIDER_SECRET", keys.provider.clone()),
    ]
}

/// Starts it; it tells a booking at this address what has become of orders.
pub(super) fn start(
    options: &StackOptions,
    port: u16,
    booking_url: &str,
    keys: &Keys,
) -> io::Result<Program> {
    (options.progress)("starting a payment provider that moves no money")?;
    let environment = [
        ("BOOKING_SANDBOX_LISTEN", local(port)),
        (
            "BOOKING_SANDBOX_EVENTS_URL",
            format!("{booking_url}/api/v1/provider/events"),
        ),
        ("BOOKING_PROVIDER_SECRET", keys.provider.clone()),
    ];
    let started = ProgramOptions {
        binary: binary("booking", options.profile)?,
        arguments: vec![NAME.to_owned()],
        environment: environment
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        port,
        log: options.folder.join(format!("{NAME}.log")),
    };
    let mut program = Program::start(NAME, started)?;
    program.wait_ready(READY)?;
    Ok(program)
}
