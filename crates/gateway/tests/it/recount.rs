//! A real draw, computed again from what a gateway publishes.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use chrono::TimeDelta;
use gateway::recount::{Disagreement, Noted, Published, Source};
use serde_json::{Value, json};
use testbed::Scratch;

use crate::test_app::{TestApp, said, until};

const MAIN: &str = "/api/v1/queues/main";

/// A draw among nine, of whom one is inside since. Gives the places of all, and the commitment that
/// was shown before.
async fn draw(app: &TestApp) -> (Vec<Value>, String) {
    let opens_at = chassis::time::rfc3339(app.clock.now() + TimeDelta::seconds(60));
    let rule = json!({ "order": "lottery", "opensAt": opens_at, "maxActive": 1 });
    app.rule(rule).await;
    let mut places = Vec::new();
    for _ in 0..9 {
        places.push(app.join().await);
    }
    let (_, before) = said(app.get(MAIN)).await;
    let commitment = before["lottery"]["commitment"].as_str().unwrap().to_owned();
    app.clock.advance(Duration::from_secs(61));
    until(async || {
        let (_, status) = said(app.get(MAIN)).await;
        status["lottery"]["seed"].is_string() && status["active"] == 1
    })
    .await;
    (places, commitment)
}

fn source(app: &TestApp) -> Source {
    format!("{}{MAIN}", app.url).parse().unwrap()
}

fn number(place: &Value) -> u64 {
    place["ticketNumber"].as_u64().unwrap()
}

fn command(arguments: &[&str]) -> Output {
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_gateway"));
    gateway.arg("recount").args(arguments).output().unwrap()
}

#[actix_web::test]
async fn everybody_can_compute_the_place_that_the_gateway_tells() {
    let app = TestApp::open().await;
    let (places, commitment) = draw(&app).await;
    let published = Published::read(&source(&app)).await.unwrap();
    let noted = Noted {
        commitment: Some(commitment),
        root: None,
    };
    let mut in_line = 0;
    for place in &places {
        let (_, told) = said(
            app.get(&format!("{MAIN}/tokens/me"))
                .bearer_auth(place["token"].as_str().unwrap()),
        )
        .await;
        let counted = published.recount(number(place), &noted);
        let counted = counted.unwrap().to_string();
        if told["state"] == "waiting" {
            in_line += 1;
            let place = format!("and place {}.", told["position"]);
            assert!(counted.ends_with(&place), "{counted} {told}");
        } else {
            assert!(counted.contains("is not in line; 0 of those"), "{counted}");
        }
    }
    assert_eq!(in_line, 8);
    let late = number(&app.join().await);
    let counted = published.recount(late, &noted).unwrap().to_string();
    assert!(
        counted.contains("came after the doors had opened"),
        "{counted}"
    );
    app.close().await;
}

#[actix_web::test]
async fn before_the_doors_open_there_is_nothing_to_compute() {
    let app = TestApp::open().await;
    let nothing = Published::read(&source(&app)).await.unwrap();
    assert_eq!(
        nothing.recount(1, &Noted::default()),
        Err(Disagreement::NoLottery)
    );
    let opens_at = chassis::time::rfc3339(app.clock.now() + TimeDelta::seconds(60));
    let rule = json!({ "order": "lottery", "opensAt": opens_at });
    app.rule(rule).await;
    let ticket = number(&app.join().await);
    let early = Published::read(&source(&app)).await.unwrap();
    let told = early.recount(ticket, &Noted::default());
    assert!(matches!(told, Err(Disagreement::NotDrawn(_))), "{told:?}");
    app.close().await;
}

#[actix_web::test]
async fn the_command_says_by_its_exit_code_whether_what_was_kept_agrees() {
    let app = TestApp::open().await;
    let (places, commitment) = draw(&app).await;
    let ticket = number(&places[0]).to_string();
    let (_, status) = said(app.get(MAIN)).await;
    let (_, list) = said(app.get(&format!("{MAIN}/lottery?limit=200"))).await;
    let scratch = Scratch::new().unwrap();
    let file = scratch.path().join("draw.json");
    fs::write(&file, format!("{status}\n{list}\n")).unwrap();
    let file = file.to_str().unwrap();
    let own = app.get(&format!("{MAIN}/lottery/proof"));
    let (status_of_proof, proof) = said(own.bearer_auth(crate::test_app::token(&places[0]))).await;
    assert_eq!(status_of_proof, 200, "{proof}");
    let entrants = app.get(&format!("{MAIN}/lottery/entrants")).send().await;
    let entrants = entrants.unwrap().text().await.unwrap();
    assert_eq!(entrants.lines().count(), 9);
    let kept = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let whole = kept("entrants.txt", &entrants);
    let own = kept("proof.json", &proof.to_string());
    let root = status["lottery"]["root"].as_str().unwrap();
    let agreed = command(&[
        file,
        &ticket,
        "--commitment",
        &commitment,
        "--root",
        root,
        "--entrants",
        &whole,
        "--proof",
        &own,
    ]);
    assert_eq!(agreed.status.code(), Some(0), "{agreed:?}");
    let told = String::from_utf8(agreed.stdout).unwrap();
    assert!(
        told.contains(&commitment) && told.contains(&ticket),
        "{told}"
    );

    assert!(
        told.contains("is complete") && told.contains("leads to the root"),
        "{told}"
    );
    let (_, fewer) = entrants.split_once('\n').unwrap();
    for odd in [
        fewer.to_owned(),
        format!("{entrants}1764\n"),
        entrants.replacen('1', "2", 1),
    ] {
        let odd = kept("odd.txt", &odd);
        let told = command(&[file, &ticket, "--entrants", &odd]);
        assert_eq!(told.status.code(), Some(1), "{told:?}");
    }
    let mut forged = proof.clone();
    forged["ticketNumber"] = 1.into();
    let forged = kept("forged.json", &forged.to_string());
    let told = command(&[file, &ticket, "--proof", &forged]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert_eq!(
        command(&[file, &ticket, "--root", "00"]).status.code(),
        Some(1)
    );

    what_was_changed_is_found(file, &ticket, &status, &list);
    app.close().await;
}

fn what_was_changed_is_found(file: &str, ticket: &str, status: &Value, list: &Value) {
    let other = command(&[file, ticket, "--commitment", "00"]);
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    let mut swapped = list.clone();
    swapped["items"].as_array_mut().unwrap().swap(0, 1);
    fs::write(file, format!("{status}{swapped}")).unwrap();
    let tampered = command(&[file, ticket]);
    assert_eq!(tampered.status.code(), Some(1), "{tampered:?}");
    let told = String::from_utf8(tampered.stderr).unwrap();
    assert!(told.contains("not listed in the order of lots"), "{told}");
    assert_eq!(command(&["no-such-file", ticket]).status.code(), Some(69));
    assert_eq!(command(&[file, "my ticket"]).status.code(), Some(64));
}
