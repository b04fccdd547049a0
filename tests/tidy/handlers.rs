//! Counts the lines of handlers.

use syn::spanned::Spanned as _;

/// Most lines of a handler between its braces: take, call one verb, answer.
const LONGEST: usize = 12;
/// What makes a function a handler: its last word.
const MARKS: [&str; 7] = ["path", "get", "post", "put", "patch", "delete", "head"];

/// The handlers of a file that are longer.
pub fn long(path: &str, text: &str) -> Vec<String> {
    let file = syn::parse_file(text).unwrap_or_else(|cause| panic!("{path}: {cause}"));
    let handlers = file.items.into_iter().filter_map(|item| match item {
        syn::Item::Fn(function) if function.attrs.iter().any(is_mark) => Some(function),
        _ => None,
    });
    let long = handlers.filter_map(|function| {
        let span = function.block.span();
        let lines = (span.end().line - span.start().line).saturating_sub(1);
        let name = &function.sig.ident;
        (lines > LONGEST).then(|| format!("{path}: {name} has {lines} lines"))
    });
    long.collect()
}

/// `utoipa::path`, or the method of a route; `#[path = …]` stands on modules only.
fn is_mark(attribute: &syn::Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|last| MARKS.iter().any(|mark| last.ident == mark))
}

#[test]
fn a_handler_of_thirteen_lines_is_one_too_many() {
    let of = |lines: usize| {
        let body = "    a();\n".repeat(lines);
        format!("#[utoipa::path(get)]\nasync fn b() {{\n{body}}}\nfn c() {{\n{body}}}\n")
    };
    assert_eq!(long("x.rs", &of(12)), [""; 0]);
    assert_eq!(long("x.rs", &of(13)), ["x.rs: b has 13 lines"]);
}
