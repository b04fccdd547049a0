//! What has one place in the code.

/// Each text that only some files may hold, with those files.
pub const ONLY_IN: [(&str, &[&str]); 14] = [
    // A code is declared with its status and meaning before it is answered: `codes!` of each service.
    ("Problem::new(", &["crates/chassis/"]),
    // HTTP stays at the edge of a service.
    (
        "actix_web",
        &[
            "crates/chassis/",
            "crates/gateway/src/lib.rs",
            "crates/gateway/src/main.rs",
            "crates/gateway/src/api",
            "crates/gateway/src/admission",
            "crates/gateway/src/cors.rs",
            "crates/gateway/src/credential.rs",
            "crates/gateway/src/reload.rs",
            "crates/gateway/src/proxy",
            "crates/booking/src/lib.rs",
            "crates/booking/src/main.rs",
            "crates/booking/src/api",
            "crates/booking/src/forwarder/webhook.rs",
            // Programs of their own, which stand in for somebody else's.
            "crates/booking/src/receiver.rs",
            "crates/booking/src/sandbox.rs",
            "crates/storefront/",
            "crates/bench/src/limit.rs",
        ],
    ),
    (
        "HttpResponse",
        &[
            "crates/chassis/",
            "crates/gateway/src/api",
            "crates/gateway/src/cors.rs",
            "crates/gateway/src/proxy",
            "crates/booking/src/api",
            "crates/booking/src/receiver.rs",
            "crates/booking/src/sandbox.rs",
            "crates/storefront/",
            "crates/bench/src/limit.rs",
        ],
    ),
    // Verbs never look back at the routes.
    (
        "crate::api",
        &[
            "crates/gateway/src/lib.rs",
            "crates/gateway/src/api",
            "crates/gateway/src/admission",
            "crates/booking/src/lib.rs",
            "crates/booking/src/api",
        ],
    ),
    // Blocking has one door to MySQL, and one to what librdkafka can only do so.
    (
        "spawn_blocking",
        &["crates/booking/src/db.rs", "crates/booking/src/kafka.rs"],
    ),
    ("block_in_place", &[]),
    // Only clocks read the clock; a duration is measured with Instant.
    (
        "Utc::now",
        &["crates/chassis/src/time.rs", "crates/loadtest/src/main.rs"],
    ),
    ("SystemTime::now", &["crates/xtask/"]),
    (
        "now_v7",
        &[
            "crates/chassis/src/request_id.rs",
            "crates/bench/src/bench/sale/replay.rs",
        ],
    ),
    // Repeated jobs die after a stall; cron lines recover.
    ("new_repeated", &[]),
    // The framework's own extractor also takes an array for an object.
    ("Json<", &["crates/chassis/src/json.rs"]),
    // What the kernel shows as files is read by a crate, and in the testbed, which depends on none, in one module.
    ("\"/proc", &["crates/testbed/src/kernel.rs"]),
    // Keys of Redis are born in one place of each service.
    (
        "\"q:",
        &[
            "crates/gateway/src/queue/store/keys.rs",
            "crates/bench/src/line.rs",
        ],
    ),
    ("\"seat:", &["crates/booking/src/seat_lock.rs"]),
];
