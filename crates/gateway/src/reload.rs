//! Owns what SIGHUP does: the file of routes is read again, and takes the place of the one before if it
//! is sound. No request is lost by it: each has its route already.

use std::io;
use std::sync::{Arc, PoisonError};

use actix_web::web;
use tokio::signal::unix::{SignalKind, signal};

use crate::Gateway;

/// Reads the routes again at each SIGHUP, as long as the gateway lives.
///
/// # Errors
/// Signals cannot be received.
pub fn on_hangup(app: &web::Data<Gateway>) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let app = Arc::downgrade(&app.clone().into_inner());
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let Some(app) = app.upgrade() else {
                return;
            };
            again(&app);
        }
    });
    Ok(())
}

fn again(app: &Gateway) {
    match app.route_source.read() {
        Ok(routes) => {
            *app.routes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routes);
            log::info!("SIGHUP: the routes were read again");
        }
        Err(cause) => log::error!("SIGHUP: GATEWAY_ROUTES stays as it was:\n  {cause}"),
    }
}
