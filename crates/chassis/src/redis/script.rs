//! Owns how a script is called: by its digest, and with its text where it is not known.
//!
//! A server forgets scripts at a restart, and the new master after a failover, or another master of a
//! cluster, may never have heard of one. The text then goes where the call went, by the same keys, and
//! is remembered there. It is sent with the call, so nothing can be forgotten in between.

use redis::aio::ConnectionLike;
use redis::{Arg, Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, ToRedisArgs};

/// A script, with its digest.
#[derive(Debug)]
pub struct Script {
    text: &'static str,
    digest: String,
}

/// A call of a script. Keys and arguments are gathered as those of commands are: in one piece of memory each.
#[derive(Debug, Clone)]
pub struct Call<'script> {
    script: &'script Script,
    keys: Cmd,
    arguments: Cmd,
}

impl Script {
    /// The script with this text.
    pub fn new(text: &'static str) -> Self {
        let digest = redis::Script::new(text).get_hash().to_owned();
        Self { text, digest }
    }

    /// A call without keys and arguments yet.
    pub fn call(&self) -> Call<'_> {
        Call {
            script: self,
            keys: Cmd::new(),
            arguments: Cmd::new(),
        }
    }
}

impl Call<'_> {
    /// One more key, or several. On a cluster all of them must lie in one slot.
    pub fn key(&mut self, key: impl ToRedisArgs) -> &mut Self {
        key.write_redis_args(&mut self.keys);
        self
    }

    /// One more argument, or several.
    pub fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }

    /// Runs the script: one round trip, or two where its text must be sent.
    ///
    /// # Errors
    /// When Redis cannot be reached, or refuses; when the answer is none of `T`.
    pub async fn run<T: FromRedisValue>(&self, redis: &mut impl ConnectionLike) -> RedisResult<T> {
        let by_digest = self.command("EVALSHA", &self.script.digest);
        match by_digest.query_async(redis).await {
            Err(cause) if cause.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.command("EVAL", self.script.text)
                    .query_async(redis)
                    .await
            }
            answer => answer,
        }
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let (keys, arguments) = (self.keys.args_iter(), self.arguments.args_iter());
        let mut command = redis::cmd(name);
        command.arg(script).arg(keys.len());
        for text in keys.chain(arguments) {
            if let Arg::Simple(text) = text {
                command.arg(text);
            }
        }
        command
    }
}
