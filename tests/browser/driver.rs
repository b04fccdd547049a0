//! A browser, as far as these tests need one (W3C WebDriver, and what each browser has beyond it).

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Client;
use serde_json::{Value, json};
use testbed::{BrowserDriver, BrowserKind, eventually, eventually_every};

/// Far longer than anything here takes, on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A look keeps the driver, the browser and the page busy, and what is waited for is often theirs to do.
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);

/// Keys, as WebDriver names them.
pub const TAB: &str = "\u{e004}";
/// The same.
pub const ENTER: &str = "\u{e007}";

/// The browser that all tests drive: `USHER_TEST_BROWSER`, else Chromium.
pub fn kind() -> BrowserKind {
    match env::var("USHER_TEST_BROWSER").as_deref() {
        Ok("firefox") => BrowserKind::Firefox,
        _ => BrowserKind::Chromium,
    }
}

/// The drivers of one test, below a folder.
pub struct Drivers {
    folder: PathBuf,
    all: Mutex<Vec<BrowserDriver>>,
}

impl Drivers {
    /// None runs yet.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            all: Mutex::default(),
        }
    }

    /// Where a new session is asked for: Firefox wants a driver for each.
    pub fn url(&self) -> String {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() || kind() == BrowserKind::Firefox {
            let folder = self.folder.join(all.len().to_string());
            all.push(BrowserDriver::start(kind(), &folder).unwrap());
        }
        all[all.len() - 1].url()
    }
}

/// One browser with a profile of its own.
pub struct Browser {
    client: Client,
    session: String,
    kind: BrowserKind,
}

fn capabilities(kind: BrowserKind) -> Value {
    if kind == BrowserKind::Firefox {
        return json!({
            "browserName": "firefox",
            "moz:firefoxOptions": {
                "args": ["-headless", "--width=900", "--height=1000"],
                // Nothing is asked of anybody who is no part of a test.
                // JSON is shown as it came.
                "prefs": { "network.captive-portal-service.enabled": false, "app.update.enabled": false,
                    "devtools.jsonview.enabled": false },
            },
        });
    }
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-background-networking",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--window-size=900,1000",
    ];
    json!({
        "browserName": "chrome",
        "goog:chromeOptions": { "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
    })
}

impl Browser {
    /// Starts one.
    pub async fn open(driver: &str) -> Self {
        let kind = kind();
        let wanted = json!({ "capabilities": { "alwaysMatch": capabilities(kind) } });
        let mut browser = Self {
            client: Client::new(),
            session: format!("{driver}/session"),
            kind,
        };
        let session = browser.ask("", &wanted).await;
        let id = session["sessionId"].as_str().unwrap();
        browser.session = format!("{driver}/session/{id}");
        browser
    }

    async fn ask(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.session));
        let answer = request.json(body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert!(
            answer["value"]["error"].is_null(),
            "{path}: {}",
            answer["value"]
        );
        answer["value"].clone()
    }

    /// A command of Chromium's own (DevTools protocol).
    pub async fn tell(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.ask("/goog/cdp/execute", &body).await
    }

    /// What a function body gives in Firefox itself, outside of any page.
    async fn run_inside(&self, script: &str) -> Value {
        self.ask("/moz/context", &json!({ "context": "chrome" }))
            .await;
        let given = self.run(script).await;
        self.ask("/moz/context", &json!({ "context": "content" }))
            .await;
        given
    }

    /// Goes to an address, and waits until it is loaded.
    pub async fn go(&self, address: &str) {
        self.ask("/url", &json!({ "url": address })).await;
    }

    /// What a function body gives, run in the page.
    pub async fn run(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.ask("/execute/sync", &body).await
    }

    /// Loads the page of the window or frame again, and waits until it is another.
    pub async fn reload(&self) {
        self.run("window.isOld = true; setTimeout(() => location.reload())")
            .await;
        self.sees("!window.isOld && document.readyState === 'complete'")
            .await;
    }

    /// Goes back to the page before.
    pub async fn back(&self) {
        self.run("setTimeout(() => history.back())").await;
    }

    /// Whether an expression is true in the page now; not while it is being loaded.
    async fn holds(&self, expression: &str) -> bool {
        let body = json!({ "script": format!("return Boolean({expression})"), "args": [] });
        let request = self.client.post(format!("{}/execute/sync", self.session));
        let answer: Value = request
            .json(&body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        answer["value"] == true
    }

    /// Waits until an expression is true in the page.
    pub async fn sees(&self, expression: &str) {
        let what = format!("the page to show {expression}");
        let shown = async || self.holds(expression).await.then_some(());
        let shown = eventually_every(BETWEEN_LOOKS, PATIENCE * 2, &what, shown);
        let end = tokio::time::timeout(PATIENCE, shown).await;
        if end.is_err() {
            let page = self.run("return document.body.innerText").await;
            panic!("{what}; it shows {page}, and said {:?}", self.said().await);
        }
    }

    /// The text of what a selector finds first.
    pub async fn text(&self, selector: &str) -> String {
        let script = format!(
            "return document.querySelector({})?.innerText",
            json!(selector)
        );
        self.run(&script)
            .await
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The waiting page's state.
    pub async fn waits_as(&self, state: &str) {
        self.sees(&format!(
            "document.documentElement.dataset.state === '{state}'"
        ))
        .await;
    }

    /// Presses what a selector finds, as a person does. A page that loads itself again between the look
    /// and the press is looked at again.
    pub async fn press(&self, selector: &str) {
        let what = format!("{selector} to be pressed");
        eventually(PATIENCE, &what, async || {
            let element = self.find(selector).await;
            let request = self.client.post(format!("{}{element}/click", self.session));
            let answer: Value = request
                .json(&json!({}))
                .send()
                .await
                .ok()?
                .json()
                .await
                .ok()?;
            let error = answer["value"]["error"].as_str().unwrap_or_default();
            assert!(
                error.is_empty() || error.starts_with("stale"),
                "{selector}: {}",
                answer["value"]
            );
            error.is_empty().then_some(())
        })
        .await;
    }

    /// Writes into the field that a selector finds, in place of what is there.
    pub async fn write(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.ask(&format!("{element}/clear"), &json!({})).await;
        let body = json!({ "text": text });
        self.ask(&format!("{element}/value"), &body).await;
    }

    async fn find(&self, selector: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.ask("/element", &wanted).await;
        let id = found.as_object().unwrap().values().next().unwrap();
        format!("/element/{}", id.as_str().unwrap())
    }

    /// Presses keys, one after the other.
    pub async fn keys(&self, keys: &[&str]) {
        let mut actions = Vec::new();
        for key in keys {
            actions.push(json!({ "type": "keyDown", "value": key }));
            actions.push(json!({ "type": "keyUp", "value": key }));
        }
        let body = json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] });
        self.ask("/actions", &body).await;
    }

    /// Touches a place so far from the middle of what a selector finds.
    pub async fn touch(&self, selector: &str, x: i32, y: i32) {
        self.point("touch", selector, &[(x, y)]).await;
    }

    /// Drags what a selector finds, by its middle and so far.
    pub async fn drag(&self, selector: &str, x: i32, y: i32) {
        self.point("mouse", selector, &[(0, 0), (x, y)]).await;
    }

    /// Presses at the first of these places, counted from the middle of what a selector finds, and lets go at the last.
    async fn point(&self, by: &str, selector: &str, places: &[(i32, i32)]) {
        let element = self.find(selector).await;
        let id = element.trim_start_matches("/element/");
        let origin = json!({ "element-6066-11e4-a52e-4f735466cecf": id });
        let mut actions: Vec<_> = places
            .iter()
            .map(|(x, y)| json!({ "type": "pointerMove", "origin": origin, "x": x, "y": y }))
            .collect();
        actions.insert(1, json!({ "type": "pointerDown", "button": 0 }));
        actions.push(json!({ "type": "pointerUp", "button": 0 }));
        let parameters = json!({ "pointerType": by });
        let pointer =
            json!({ "type": "pointer", "id": by, "parameters": parameters, "actions": actions });
        self.ask("/actions", &json!({ "actions": [pointer] })).await;
    }

    /// Goes on by the tabulator until a selector's element has the focus.
    pub async fn tab_to(&self, selector: &str) {
        let is_there = format!(
            "return document.activeElement?.matches({})",
            json!(selector)
        );
        for _ in 0..100 {
            if self.run(&is_there).await == true {
                return;
            }
            self.keys(&[TAB]).await;
        }
        panic!("the keyboard does not reach {selector}");
    }

    /// The tab that is driven now.
    pub async fn tab(&self) -> String {
        let request = self.client.get(format!("{}/window", self.session));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["value"].as_str().unwrap().to_owned()
    }

    /// Opens another tab and drives it.
    pub async fn new_tab(&self) -> String {
        let made = self.ask("/window/new", &json!({ "type": "tab" })).await;
        let tab = made["handle"].as_str().unwrap().to_owned();
        self.show_tab(&tab).await;
        tab
    }

    /// Drives a tab, which is not seen by that.
    pub async fn drive_tab(&self, tab: &str) {
        self.ask("/window", &json!({ "handle": tab })).await;
    }

    /// Drives a tab, and shows it.
    pub async fn show_tab(&self, tab: &str) {
        self.drive_tab(tab).await;
        if self.kind == BrowserKind::Chromium {
            self.tell("Page.bringToFront", json!({})).await;
        }
    }

    /// Drives the first frame of the page.
    pub async fn enter_frame(&self) {
        self.ask("/frame", &json!({ "id": 0 })).await;
    }

    /// A screen of this width and height, in CSS pixels.
    pub async fn size(&self, width: u32, height: u32, is_dark: bool) {
        if self.kind == BrowserKind::Firefox {
            return self.size_firefox(width, height, is_dark).await;
        }
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 2, "mobile": true });
        self.tell("Emulation.setDeviceMetricsOverride", size).await;
        self.colours(is_dark).await;
    }

    /// Whether the visitor wants it dark.
    pub async fn colours(&self, is_dark: bool) {
        if self.kind == BrowserKind::Firefox {
            let scheme = if is_dark { 0 } else { 1 };
            let name = "layout.css.prefers-color-scheme.content-override";
            self.run_inside(&format!("Services.prefs.setIntPref('{name}', {scheme})"))
                .await;
            return;
        }
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let media = json!({ "features": features });
        self.tell("Emulation.setEmulatedMedia", media).await;
    }

    /// The window around a page of this size. Firefox shows none of less than 450 pixels.
    async fn size_firefox(&self, width: u32, height: u32, is_dark: bool) {
        self.colours(is_dark).await;
        let around = "return [outerWidth - innerWidth, outerHeight - innerHeight]";
        let around = self.run(around).await;
        let around = |at: usize| around[at].as_u64().unwrap();
        let size = json!({
            "width": u64::from(width) + around(0),
            "height": u64::from(height) + around(1),
        });
        self.ask("/window/rect", &size).await;
    }

    /// A picture's size: one pixel for each of the page.
    pub async fn frame(&self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.tell("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// From now on the page believes that somebody looks elsewhere.
    pub async fn look_away(&self) {
        let away = "window.isAway = true; \
            Object.defineProperty(document, 'hidden', { get: () => isAway, configurable: true }); \
            document.dispatchEvent(new Event('visibilitychange'))";
        self.run(away).await;
    }

    /// The visitor looks again.
    pub async fn look_back(&self) {
        self.run("isAway = false; document.dispatchEvent(new Event('visibilitychange'))")
            .await;
    }

    /// The cookies of the page.
    pub async fn cookies(&self) -> Value {
        let request = self.client.get(format!("{}/cookie", self.session));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["value"].clone()
    }

    /// Takes cookies of another browser that was on the same site.
    pub async fn take_cookies(&self, cookies: Value) {
        for cookie in cookies.as_array().unwrap() {
            self.ask("/cookie", &json!({ "cookie": cookie })).await;
        }
    }

    /// Whether scripts of pages run from the next page on.
    pub async fn scripts(&self, are_on: bool) {
        if self.kind == BrowserKind::Firefox {
            let set = format!("Services.prefs.setBoolPref('javascript.enabled', {are_on})");
            self.run_inside(&set).await;
            return;
        }
        let off = json!({ "value": !are_on });
        self.tell("Emulation.setScriptExecutionDisabled", off).await;
    }

    /// Keeps a picture of the page, to look at after a test.
    pub async fn screen(&self, name: &str) {
        self.picture(&target("screens"), name).await;
    }

    /// Keeps a picture of the page in this folder.
    pub async fn picture(&self, folder: &Path, name: &str) {
        let request = self.client.get(format!("{}/screenshot", self.session));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let picture = answer["value"].as_str().unwrap();
        fs::create_dir_all(folder).unwrap();
        let picture = BASE64_STANDARD.decode(picture).unwrap();
        fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    /// What the page complained of since it was asked last.
    pub async fn said(&self) -> Vec<String> {
        if self.kind == BrowserKind::Firefox {
            return self.said_in_firefox().await;
        }
        let entries = self.ask("/se/log", &json!({ "type": "browser" })).await;
        let serious = entries.as_array().unwrap().iter();
        let serious = serious.filter(|entry| entry["level"] == "SEVERE");
        let words = serious.map(|entry| entry["message"].as_str().unwrap().to_owned());
        // What is behind the gateway has no icon, and a browser asks for one.
        words.filter(|it| !it.contains("favicon.ico")).collect()
    }

    /// Without the cookies that it rejects: a client of another origin keeps its token by itself.
    async fn said_in_firefox(&self) -> Vec<String> {
        let script = "const all = Services.console.getMessageArray(); Services.console.reset(); \
            return all.filter((it) => it instanceof Ci.nsIScriptError && !(it.flags & Ci.nsIScriptError.warningFlag) \
                && it.sourceName.startsWith('http') && !it.errorMessage.startsWith('Cookie ')).map((it) => `${it.errorMessage} ${it.sourceName}`)";
        let said = self.run_inside(script).await;
        let words = said.as_array().unwrap().iter();
        words.map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    /// Ends the browser. The console is empty, so nothing was forbidden and nothing failed.
    pub async fn close(self) {
        assert_eq!(self.said().await, Vec::<String>::new());
        self.end().await;
    }

    /// Ends the browser of a page that was refused something, or had nobody to ask; of nothing else it complains.
    pub async fn end(self) {
        let mut said = self.said().await;
        said.retain(|it| !it.contains("Failed to load resource"));
        assert_eq!(said, Vec::<String>::new());
        let _ = self.client.delete(&self.session).send().await;
    }
}

/// A folder for what is looked at afterwards.
pub fn target(folder: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("target/usher").join(folder)
}
