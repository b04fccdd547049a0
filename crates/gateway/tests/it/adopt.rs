//! The pieces of `docs/ADOPT.md` by which services check a pass: each is run where its language is there.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chassis::time::Clock;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use testbed::{Scratch, find_program};

use crate::http_proxy::pass_text;
use crate::test_app::{PASS_SECRET, SECRET, TestApp};

/// As the page shows it.
#[path = "../../../../docs/adopt/pass.rs"]
mod pass_in_rust;

/// A language: its piece, what runs it, and what is put behind the piece so that it prints the claims.
struct Language {
    name: &'static str,
    piece: &'static str,
    /// The first that is not there lets it be skipped.
    programs: &'static [&'static str],
    run: &'static [&'static str],
    last: &'static str,
}

const LANGUAGES: [Language; 3] = [
    Language {
        name: "Node",
        piece: "pass.js",
        programs: &["node"],
        run: &["node"],
        last: "console.log(JSON.stringify(checkPass(process.argv[2], process.argv[3])));",
    },
    Language {
        name: "Python",
        piece: "pass.py",
        programs: &["python3"],
        run: &["python3"],
        last: "import sys\nprint(json.dumps(check_pass(sys.argv[1], sys.argv[2])))",
    },
    Language {
        name: "Java",
        piece: "Pass.java",
        // The compiler, which a bare runtime lacks.
        programs: &["java", "javac"],
        run: &["java"],
        last: "",
    },
];

fn page(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

/// What a service would run, with a main program.
fn program(language: &Language, folder: &Path) -> PathBuf {
    let piece = page(&format!("adopt/{}", language.piece));
    let text = match language.name {
        // A file of Java is run by its first class.
        "Java" => {
            let (imports, class) = piece.split_once("class Pass").unwrap();
            format!(
                "{imports}class Run {{\n  public static void main(String[] words) throws Exception {{\n    \
                 System.out.println(Pass.check(words[0], words[1]));\n  }}\n}}\n\nclass Pass{class}"
            )
        }
        _ => format!("{piece}\n{}\n", language.last),
    };
    let path = folder.join(language.piece);
    fs::write(&path, text).unwrap();
    path
}

/// Says it even where what tests print is kept back.
fn told(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The claims that it prints; `None` when it refuses.
fn run(language: &Language, path: &Path, pass: &str, key: &str) -> Option<Value> {
    let mut command = Command::new(language.run[0]);
    command.args(&language.run[1..]).arg(path).args([pass, key]);
    let output = command.stderr(Stdio::null()).output().unwrap();
    output
        .status
        .success()
        .then(|| serde_json::from_slice(&output.stdout).unwrap())
}

#[actix_web::test]
async fn what_the_page_shows_takes_a_pass_and_nothing_else() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let pass = pass_text(&app.visit(&place, "/api/v1/seats").await.1);
    let (head, signature) = pass.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let user = &place["userId"];

    let claims = pass_in_rust::check_pass(&pass, PASS_SECRET).unwrap();
    assert_eq!((json!(claims.sub), &*claims.queue), (user.clone(), "main"));
    assert!(claims.exp > 0);
    assert!(pass_in_rust::check_pass(&pass, SECRET).is_none());
    assert!(pass_in_rust::check_pass(&forged, PASS_SECRET).is_none());

    let scratch = Scratch::new().unwrap();
    let mut ready = Vec::new();
    for language in &LANGUAGES {
        let missing = language
            .programs
            .iter()
            .find(|it| find_program(it).is_err());
        if let Some(missing) = missing {
            told(&format!(
                "skipped: {} ({missing} is not there)",
                language.name
            ));
            continue;
        }
        let path = program(language, scratch.path());
        let said = run(language, &path, &pass, PASS_SECRET);
        let said = said.unwrap_or_else(|| panic!("{} refuses it", language.name));
        assert_eq!(
            (&said["sub"], &said["queue"]),
            (user, &json!("main")),
            "{}",
            language.name
        );
        for (text, key) in [
            (&pass, SECRET),
            (&forged, PASS_SECRET),
            (&"x".to_owned(), PASS_SECRET),
        ] {
            assert_eq!(run(language, &path, text, key), None, "{}", language.name);
        }
        ready.push((language, path));
    }
    let pass = old_pass();
    for (language, path) in ready {
        assert_eq!(
            run(language, &path, &pass, PASS_SECRET),
            None,
            "{}: it is old",
            language.name
        );
    }
    assert!(pass_in_rust::check_pass(&pass, PASS_SECRET).is_none());
    app.close().await;
}

/// A pass of a minute ago.
fn old_pass() -> String {
    let claims = json!({
        "sub": "somebody",
        "queue": "main",
        "exp": Clock::system().now().timestamp() - 60,
    });
    let secret = BASE64_URL_SAFE_NO_PAD.decode(PASS_SECRET).unwrap();
    let key = EncodingKey::from_secret(&secret);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

#[test]
fn the_page_shows_what_is_run() {
    let adopt = page("ADOPT.md");
    for piece in ["pass.js", "pass.py", "Pass.java", "pass.rs"] {
        let text = page(&format!("adopt/{piece}"));
        assert!(
            adopt.contains(text.trim_end()),
            "{piece} is not what the page shows"
        );
    }
}
