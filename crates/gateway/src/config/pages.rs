//! Owns what the waiting page is told from outside: its look, its status, and where one signs in.

use std::fmt;
use std::str::FromStr;

use chassis::env::Env;

use crate::pages::address::encoded;
use crate::pages::folder::Look;
use crate::queue::QueueId;

/// The waiting page, and the cookie that it sets.
#[derive(Debug, Clone)]
pub struct Pages {
    /// `GATEWAY_PAGES`: the look of the waiting page.
    pub look: Look,
    /// `GATEWAY_QUEUEING_STATUS`: the status of the page for those who wait.
    pub status: QueueingStatus,
    /// `GATEWAY_DEFAULT_QUEUE`: the queue that a browser joins where a route names none.
    pub queue: QueueId,
    /// `GATEWAY_LOGIN_URL`: where one signs in before joining.
    pub login: Option<LoginUrl>,
}

impl Pages {
    pub(super) fn read(env: &mut Env<'_>) -> Self {
        let look = env
            .optional("GATEWAY_PAGES", PAGES_HELP)
            .unwrap_or_default();
        let status = env.or("GATEWAY_QUEUEING_STATUS", "200", STATUS_HELP);
        let queue = env.or("GATEWAY_DEFAULT_QUEUE", "main", QUEUE_HELP);
        let login = env.optional("GATEWAY_LOGIN_URL", LOGIN_HELP);
        Self {
            look,
            status,
            queue,
            login,
        }
    }
}

/// 200, 202 or 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueingStatus(pub u16);

/// Not a status for those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 200, 202 or 429")]
pub struct QueueingStatusInvalid;

impl FromStr for QueueingStatus {
    type Err = QueueingStatusInvalid;

    fn from_str(text: &str) -> Result<Self, QueueingStatusInvalid> {
        match text {
            "200" => Ok(Self(200)),
            "202" => Ok(Self(202)),
            "429" => Ok(Self(429)),
            _ => Err(QueueingStatusInvalid),
        }
    }
}

/// An address with `{return}` where the address to come back to belongs.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginUrl(String);

/// Not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must begin with https://, http:// or /, and should have {{return}} in it")]
pub struct LoginUrlInvalid;

impl LoginUrl {
    /// The address for somebody who wants to come back to `address`.
    pub fn back_to(&self, address: &str) -> String {
        self.0.replace("{return}", &encoded(address))
    }
}

impl FromStr for LoginUrl {
    type Err = LoginUrlInvalid;

    fn from_str(text: &str) -> Result<Self, LoginUrlInvalid> {
        let begins = ["https://", "http://", "/"]
            .iter()
            .any(|it| text.starts_with(it));
        if !begins || text.chars().any(|it| it.is_control() || it == ' ') {
            return Err(LoginUrlInvalid);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for LoginUrl {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

const PAGES_HELP: &str = "Folder of your own waiting page: waiting.html, a template with the variables of\n\
     docs/PAGES.md, and the files that it names. Without it the page that is built in is shown.";
const STATUS_HELP: &str = "Status of the waiting page for those who wait: 200, 202 or 429.";
const QUEUE_HELP: &str = "The queue that a browser joins where its path names none.";
const LOGIN_HELP: &str = "Where visitors sign in, with {return} where the address to come back to belongs.\n\
     The waiting page leads there when GATEWAY_IDENTITY is jwt.";
