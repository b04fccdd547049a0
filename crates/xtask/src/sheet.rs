//! What a developer wants to know once everything runs: on the screen, and for scripts in `up.env`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use testbed::Stack;

use crate::demo::Demo;

const FILE: &str = "up.env";
/// Who the printed lines join as.
const VISITOR: &str = "0197a000-0000-7000-8000-000000000001";

/// The addresses and keys of a running stack.
pub struct Sheet<'a> {
    pub stack: &'a Stack,
    pub demo: &'a Demo,
}

impl Sheet<'_> {
    /// Everything as lines for people; the curl lines work as they stand in any POSIX shell.
    pub fn text(&self) -> String {
        let Sheet { stack, demo } = self;
        let mut text = String::from("\n");
        for (url, admin) in stack.gateway_urls().iter().zip(stack.gateway_admin_urls()) {
            let _ = writeln!(text, "  gateway        {url}    metrics {admin}/metrics");
        }
        let _ = writeln!(
            text,
            "  booking        {}    metrics {}/metrics",
            stack.booking_url(),
            stack.booking_admin_url()
        );
        let gateway = stack.gateways[0].url();
        let _ = writeln!(text, "  Swagger UI     {gateway}/docs/");
        let _ = writeln!(text, "  operator key   {}", stack.operator_key());
        let _ = writeln!(text, "  demo concert   {}", demo.concert);
        let _ = writeln!(text, "  Redis          {}", stack.redis_url());
        let _ = writeln!(text, "  MariaDB        {}", stack.mysql_url());
        if let Some(events) = &stack.events {
            let _ = writeln!(
                text,
                "  forwarder      {0}    metrics {0}/metrics",
                events.forwarder.url()
            );
            let name = match events.kafka {
                Some(_) => "Kafka stand-in",
                None => "Kafka         ",
            };
            let _ = writeln!(text, "  {name} {}", events.brokers);
        }
        let _ = writeln!(
            text,
            "  data and logs  target/usher; the same as variables: . target/usher/{FILE}"
        );
        let _ = writeln!(
            text,
            "\nJoin the line, look at your place, see the seats:\n"
        );
        let _ = writeln!(
            text,
            "  TOKEN=$(curl -s {gateway}/api/v1/queues/main/tokens -H 'Content-Type: application/json' \
             -d '{{\"userId\":\"{VISITOR}\"}}' | sed 's/.*\"token\" *: *\"\\([^\"]*\\)\".*/\\1/')"
        );
        let _ = writeln!(
            text,
            "  curl -s {gateway}/api/v1/queues/main/tokens/me -H \"Authorization: Bearer $TOKEN\""
        );
        let _ = writeln!(
            text,
            "  curl -s {gateway}/api/v1/schedules/{}/seats -H \"Authorization: Bearer $TOKEN\"",
            demo.schedule
        );
        if stack.events.is_some() {
            text.push_str("\nSee each event arrive at the end of its way, signed and once:\n\n");
            text.push_str("  tail -f target/usher/receiver.log\n");
        }
        text.push_str("\nCtrl-C stops everything.");
        text
    }

    /// Writes the file that scripts read; its presence says that everything is ready.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let stack = self.stack;
        let mut lines = format!(
            "GATEWAY_URLS={}\nBOOKING_URL={}\nREDIS_URL={}\nMYSQL_URL={}\nOPERATOR_KEY={}\n",
            stack.gateway_urls().join(","),
            stack.booking_url(),
            stack.redis_url(),
            stack.mysql_url(),
            stack.operator_key()
        );
        if let Some(events) = &stack.events {
            let _ = writeln!(lines, "KAFKA_BROKERS={}", events.brokers);
        }
        let unfinished = folder.join("up.env.unfinished");
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(lines.as_bytes())?;
        fs::rename(unfinished, folder.join(FILE))
    }

    /// Takes the file away: nothing is ready any more.
    pub fn remove(folder: &Path) -> io::Result<()> {
        match fs::remove_file(folder.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
