//! How a real broker is configured: one node in KRaft mode that is its own controller.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{HELD, KafkaLogin, KafkaOptions, LOG};
use crate::files::find_program;
use crate::keys::random_hex;
use crate::port::free_port;
use crate::supervised::{Ending, Launch};

/// How the line of its log ends that says that it serves.
pub(super) const STARTED: &str = "Kafka Server started";

/// A small heap, and only the first compiler: ready after 3 s, with 280 MB.
const JAVA: [&str; 8] = [
    "-Xms64m",
    "-Xmx256m",
    "-XX:MaxDirectMemorySize=64m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
];

/// One broker keeps one copy of everything; a group need not wait for members that might come.
const SETTINGS: [(&str, &str); 14] = [
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("inter.broker.listener.name", "BROKER"),
    ("auto.create.topics.enable", "false"),
    ("default.replication.factor", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("log.cleaner.dedupe.buffer.size", "4194304"),
    ("num.partitions", "4"),
    ("offsets.topic.num.partitions", "4"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
];

/// Users may do what they were allowed; brokers, who have no name among themselves, may do everything.
const RIGHTS: [(&str, &str); 2] = [
    (
        "authorizer.class.name",
        "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    ),
    ("super.users", "User:ANONYMOUS"),
];

/// Writes the configuration, formats the folder on first use, and says how the broker is started. It listens for clients at
/// the first of its ports, for brokers at the second.
pub(super) fn launch(
    folder: &Path,
    jars: &Path,
    ports: [u16; 2],
    options: &KafkaOptions,
) -> io::Result<Launch> {
    let java = find_program("java")?;
    let configuration = folder.join("server.properties");
    fs::write(&configuration, properties(folder, ports, options))?;
    let mut class_path = OsString::from(jars);
    class_path.push("/*");
    if !folder.join(HELD).join("meta.properties").exists() {
        format(&java, &class_path, &configuration, options)?;
    }
    let mut arguments: Vec<OsString> = JAVA.map(Into::into).to_vec();
    arguments.extend(["-cp".into(), class_path, "kafka.Kafka".into()]);
    arguments.push(configuration.into());
    Ok(Launch {
        name: "kafka".into(),
        program: java,
        arguments,
        hidden: Vec::new(),
        environment: Vec::new(),
        log: folder.join(LOG),
        ending: if options.durable {
            Ending::InOrder
        } else {
            Ending::AtOnce
        },
    })
}

fn properties(folder: &Path, [port, broker]: [u16; 2], options: &KafkaOptions) -> String {
    let controller = free_port();
    let protocol = match &options.login {
        None => "PLAINTEXT",
        Some(KafkaLogin { tls: None, .. }) => "SASL_PLAINTEXT",
        Some(KafkaLogin { tls: Some(_), .. }) => "SASL_SSL",
    };
    let listeners = format!("CLIENT://127.0.0.1:{port},BROKER://127.0.0.1:{broker}");
    let mut settings: Vec<_> = SETTINGS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut set = |name: &str, value: String| settings.push((name.to_owned(), value));
    set("log.dirs", folder.join(HELD).display().to_string());
    set(
        "controller.quorum.voters",
        format!("1@127.0.0.1:{controller}"),
    );
    set(
        "listeners",
        format!("{listeners},CONTROLLER://127.0.0.1:{controller}"),
    );
    set("advertised.listeners", listeners);
    set(
        "listener.security.protocol.map",
        format!("CLIENT:{protocol},BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"),
    );
    if let Some(login) = &options.login {
        for (name, value) in security(login) {
            set(&format!("listener.name.client.{name}"), value);
        }
        if login.has_rights {
            for (name, value) in RIGHTS {
                set(name, value.to_owned());
            }
        }
    }
    // Who says more knows better.
    settings.extend(options.settings.iter().cloned());
    let lines = settings
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"));
    lines.collect()
}

/// What the listener of clients asks for.
fn security(login: &KafkaLogin) -> Vec<(&'static str, String)> {
    const MODULES: &str = "org.apache.kafka.common.security";
    let KafkaLogin { users, tls, .. } = login;
    let known = users
        .iter()
        .map(|(user, password)| format!(" user_{user}=\"{password}\""));
    let known: String = known.collect();
    let plain = format!("{MODULES}.plain.PlainLoginModule required{known};");
    let scram = format!("{MODULES}.scram.ScramLoginModule required;");
    let bearer = format!(
        "{MODULES}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";"
    );
    let mechanisms = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER";
    let mut settings = vec![
        ("sasl.enabled.mechanisms", mechanisms.to_owned()),
        ("plain.sasl.jaas.config", plain),
        ("scram-sha-256.sasl.jaas.config", scram.clone()),
        ("scram-sha-512.sasl.jaas.config", scram),
        ("oauthbearer.sasl.jaas.config", bearer),
    ];
    if let Some(files) = tls {
        let pem = || "PEM".to_owned();
        settings.extend([
            ("ssl.keystore.type", pem()),
            (
                "ssl.keystore.location",
                key_store(&files.key).display().to_string(),
            ),
        ]);
    }
    settings
}

/// Where the key and the certificate stand together, as Kafka wants them.
fn key_store(key: &Path) -> PathBuf {
    key.with_extension("kafka.pem")
}

/// Gives the folder its identity, and each user a password for SCRAM.
fn format(
    java: &Path,
    class_path: &OsString,
    configuration: &Path,
    options: &KafkaOptions,
) -> io::Result<()> {
    // 16 bytes in base64: 21 letters of any kind, and one of four for the last two bits.
    let id = format!("{}A", &random_hex()?[..21]);
    let mut command = Command::new(java);
    command.args(JAVA).arg("-cp").arg(class_path);
    command.args(["kafka.tools.StorageTool", "format", "--cluster-id", &id]);
    command.arg("--config").arg(configuration);
    if let Some(KafkaLogin { users, tls, .. }) = &options.login {
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            for (user, password) in users {
                let user = format!("{mechanism}=[name={user},password={password}]");
                command.args(["--add-scram", &user]);
            }
        }
        if let Some(files) = tls {
            let both = [
                fs::read_to_string(&files.key)?,
                fs::read_to_string(&files.certificate)?,
            ];
            fs::write(key_store(&files.key), both.join("\n"))?;
        }
    }
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = format!(
        "Kafka could not format its folder ({}):\n{told}",
        output.status
    );
    Err(io::Error::other(words))
}
