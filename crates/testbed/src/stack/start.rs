//! One service of the stack: on which ports it starts, and how several are stopped.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::StackOptions;
use crate::port::{free_port, is_free, was_taken};
use crate::program::{Program, ProgramOptions};

const READY: Duration = Duration::from_secs(60);
/// The admin listener is this far above the public one when ports are given.
pub(super) const ADMIN_OFFSET: u16 = 1000;
/// How often other ports are tried when somebody else was faster.
const PORT_TRIES: u32 = 3;

/// What is started.
pub(super) struct Service<'a> {
    pub name: &'a str,
    pub arguments: &'a [&'a str],
    pub binary: &'a Path,
    /// How far its port is above the first one.
    pub offset: u16,
    /// More variables than its own; they win.
    pub more: &'a [(String, String)],
}

impl Service<'_> {
    /// Starts it with the variables that follow from its two ports, and waits until it is ready; on free ports it tries
    /// others when they were just taken.
    pub fn start(
        &self,
        options: &StackOptions,
        environment: impl Fn(u16, u16) -> Vec<(&'static str, String)>,
    ) -> io::Result<Program> {
        let mut tries_left = PORT_TRIES;
        loop {
            tries_left -= 1;
            let (port, admin_port) = match options.first_port {
                Some(first) => (first + self.offset, first + self.offset + ADMIN_OFFSET),
                None => (free_port(), free_port()),
            };
            let own = environment(port, admin_port)
                .into_iter()
                .map(|(variable, value)| (variable.to_owned(), value));
            let started = ProgramOptions {
                binary: self.binary.to_owned(),
                arguments: self.arguments.iter().map(|it| (*it).to_owned()).collect(),
                environment: own.chain(self.more.iter().cloned()).collect(),
                port,
                log: options.folder.join(format!("{}.log", self.name)),
            };
            let mut program = Program::start(self.name, started)?;
            program.set_admin_port(admin_port);
            match program.wait_ready(READY) {
                Ok(()) => return Ok(program),
                Err(error) => {
                    drop(program);
                    let taken = was_taken(port, &error) || !is_free(admin_port);
                    if options.first_port.is_some() || tries_left == 0 || !taken {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// Stops all of them at the same time.
pub(super) fn stop(programs: &mut [Program]) -> Vec<io::Result<()>> {
    programs.iter_mut().for_each(Program::ask_to_stop);
    programs.iter_mut().map(stopped).collect()
}

fn stopped(program: &mut Program) -> io::Result<()> {
    let code = program.wait_stopped()?;
    let what = format!("{} stopped with code {code}", program.name());
    if code == 0 {
        Ok(())
    } else {
        Err(program.supervised().error(&what))
    }
}

/// This port, as a listener is told.
pub(super) fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
