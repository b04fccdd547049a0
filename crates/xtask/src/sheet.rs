//! What a developer wants to know once everything runs: on the screen, and for scripts in `up.env`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use testbed::{Program, Stack};

use crate::demo::Demo;

const FILE: &str = "up.env";
/// Who the printed lines join as.
const VISITOR: &str = "0197a000-0000-7000-8000-000000000001";
/// With it the lines can be pasted again.
const SECRET: &str = "for-the-demo-alone";

/// The addresses and keys of a running stack.
pub struct Sheet<'a> {
    pub stack: &'a Stack,
    /// None where nothing is sold.
    pub demo: Option<&'a Demo>,
}

impl Sheet<'_> {
    /// Everything as lines for people; the curl lines work as they stand in any POSIX shell.
    pub fn text(&self) -> String {
        let stack = self.stack;
        let mut text = String::from("\n");
        let mut line = |name: &str, told: &str| {
            let _ = writeln!(text, "  {name:<14} {told}");
        };
        let gateway = stack.gateways[0].url();
        if stack.shop.is_some() {
            line("shop", &format!("{gateway}/shop/"));
        }
        line("console", &format!("{}/console/", stack.own_url()));
        for service in &stack.gateways {
            line("gateway", &with_metrics(service));
        }
        for service in &stack.bookings {
            line("booking", &with_metrics(service));
        }
        line("Swagger UI", &format!("{}/docs/", stack.own_url()));
        line("operator key", stack.operator_key());
        line("identity", &identity_told(stack.identity()));
        if let Some(key) = stack.identity_key() {
            line("identity key", &format!("{key} (base64url, HS256)"));
        }
        if let Some(demo) = self.demo {
            line("demo concert", &demo.concert);
        }
        line("Redis", &stack.redis_url());
        if stack.sells() {
            line("MariaDB", &stack.mysql_url());
        }
        if let Some(events) = &stack.events {
            for service in &events.forwarders {
                line("forwarder", &with_metrics(service));
            }
            let name = match &events.kafka {
                Some(kafka) if !kafka.is_real() => "Kafka stand-in",
                _ => "Kafka",
            };
            line(name, &events.brokers);
        }
        let file = format!("target/usher; the same as variables: . target/usher/{FILE}");
        line("data and logs", &file);
        text + &self.lines_to_try()
    }

    fn lines_to_try(&self) -> String {
        let (gateway, own) = (self.stack.gateways[0].url(), self.stack.own_url());
        let who = who_joins(self.stack.identity());
        let mut text = format!(
            "\nJoin the line, look at your place:\n\n  \
             TOKEN=$(curl -s {own}/api/v1/queues/main/tokens -H 'Content-Type: application/json' \
             {who} | sed 's/.*\"token\" *: *\"\\([^\"]*\\)\".*/\\1/')\n  \
             curl -s {own}/api/v1/queues/main/tokens/me -H \"Authorization: Bearer $TOKEN\"\n"
        );
        if let Some(demo) = self.demo {
            let _ = writeln!(
                text,
                "\nSee the seats:\n\n  curl -s {gateway}/api/v1/schedules/{}/seats -H \"Authorization: Bearer $TOKEN\"",
                demo.schedule
            );
        }
        if let Some(events) = &self.stack.events {
            text.push_str("\nSee each event arrive at the end of its way, signed and once:\n\n");
            text.push_str("  tail -f target/usher/receiver.log\n");
            if events.kafka.as_ref().is_some_and(|it| !it.is_real()) {
                text.push_str(
                    "\nApache Kafka in place of the stand-in: cargo xtask up --kafka real\n",
                );
            }
        }
        text.push_str("\nCtrl-C stops everything.");
        text
    }

    /// Writes the file that scripts read; its presence says that everything is ready.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let stack = self.stack;
        let mut lines = format!(
            "GATEWAY_URLS={}\nREDIS_URL={}\nOPERATOR_KEY={}\n",
            stack.gateway_urls().join(","),
            stack.redis_url(),
            stack.operator_key()
        );
        if stack.sells() {
            let urls: Vec<_> = stack.bookings.iter().map(Program::url).collect();
            let _ = writeln!(lines, "BOOKING_URL={}", urls[0]);
            let _ = writeln!(lines, "BOOKING_URLS={}", urls.join(","));
            let _ = writeln!(lines, "MYSQL_URL={}", stack.mysql_url());
        }
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

/// Who is who, in a line.
fn identity_told(identity: &str) -> String {
    let told = match identity {
        "open" => {
            "open: whoever names a user is that user, for demonstrations; \
             GATEWAY_IDENTITY=jwt cargo xtask up wants tokens of an identity provider"
        }
        "anonymous" => "anonymous: the gateway makes the user's id",
        "jwt" => "jwt: whoever shows a token of the identity provider",
        other => other,
    };
    told.to_owned()
}

/// What curl sends to join.
fn who_joins(identity: &str) -> String {
    match identity {
        "open" => format!("-d '{{\"userId\":\"{VISITOR}\",\"secret\":\"{SECRET}\"}}'"),
        "jwt" => "-d '{}' -H \"Authorization: Bearer $TOKEN_OF_THE_PROVIDER\"".to_owned(),
        _ => "-d '{}'".to_owned(),
    }
}

fn with_metrics(service: &Program) -> String {
    format!(
        "{}    metrics {}/metrics",
        service.url(),
        service.admin_url()
    )
}

#[cfg(test)]
mod tests {
    use super::{SECRET, VISITOR, identity_told, who_joins};

    #[test]
    fn it_is_told_who_is_who_and_how_to_have_it_otherwise() {
        let open = identity_told("open");
        assert!(open.starts_with("open: "), "{open}");
        assert!(
            open.contains("GATEWAY_IDENTITY=jwt cargo xtask up"),
            "{open}"
        );
        assert!(!open.contains('\n'), "a line");
        for other in ["anonymous", "jwt"] {
            assert!(identity_told(other).starts_with(&format!("{other}: ")));
        }
    }

    #[test]
    fn the_line_that_joins_sends_what_the_identity_takes() {
        let open = who_joins("open");
        assert!(open.contains(VISITOR) && open.contains(SECRET), "{open}");
        assert_eq!(who_joins("anonymous"), "-d '{}'");
        assert!(who_joins("jwt").contains("Authorization: Bearer"));
    }
}
