//! The modules of a service know each other one way only, also by way of others.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::Visit;

use crate::tree::files;

/// The services, each with the imports that close a circle and stay all the same.
const STAY: [(&str, &[(&str, &str)]); 3] = [
    ("booking", &[]),
    ("storefront", &[]),
    (
        "gateway",
        &[
            // A refusal of the gate shows the place, as the routes do.
            ("admission", "api"),
            // What is passed on carries what the gate has granted.
            ("proxy", "admission"),
            // A route names its upstream, and the proxy finds the route of a path.
            ("proxy", "route"),
            // Scripts are timed where they are called, and the figures of a queue are read from the queue.
            ("queue", "metrics"),
        ],
    ),
];

/// The modules of a crate, each with those that it imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// What a file names behind `crate::`, in an import or in a path; its unit tests left out.
#[derive(Default)]
struct Named(BTreeSet<String>);

impl Named {
    fn of(path: &str, text: &str) -> BTreeSet<String> {
        let file = syn::parse_file(text).unwrap_or_else(|cause| panic!("{path}: {cause}"));
        let mut named = Self::default();
        named.visit_file(&file);
        named.0
    }

    fn add(&mut self, tree: &syn::UseTree) {
        let name = match tree {
            syn::UseTree::Path(path) => &path.ident,
            syn::UseTree::Name(name) => &name.ident,
            syn::UseTree::Rename(rename) => &rename.ident,
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.add(tree);
                }
                return;
            }
            syn::UseTree::Glob(_) => return,
        };
        self.0.insert(name.to_string());
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if let syn::UseTree::Path(path) = &item.tree
            && path.ident == "crate"
            && !is_for_tests(&item.attrs)
        {
            self.add(&path.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut names = path.segments.iter().map(|segment| &segment.ident);
        if let (Some(first), Some(second)) = (names.next(), names.next())
            && first == "crate"
        {
            self.0.insert(second.to_string());
        }
        syn::visit::visit_path(self, path);
    }
}

/// `#[cfg(test)]`, also together with other conditions.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        attribute.path().is_ident("cfg")
            && list.is_ok_and(|list| list.tokens.to_string().contains("test"))
    })
}

/// Which module at the top of a service imports which other one. The root and the program stand above all of them.
fn imports(service: &str) -> Imports {
    let folder = format!("crates/{service}/src/");
    let files = files(&folder, "rs");
    let module = |path: &str| {
        let first = path[folder.len()..].split('/').next().unwrap();
        first.trim_end_matches(".rs").to_owned()
    };
    let modules = files.iter().map(|(path, _)| module(path));
    let modules: BTreeSet<String> = modules.filter(|it| it != "lib" && it != "main").collect();
    let mut imports = Imports::new();
    for (path, text) in &files {
        let from = module(path);
        if modules.contains(&from) && !path.ends_with("/tests.rs") {
            let named = Named::of(path, text).into_iter();
            let others = named.filter(|to| *to != from && modules.contains(to));
            imports.entry(from.clone()).or_default().extend(others);
        }
    }
    imports
}

/// One of those that are left which the module imports.
fn onward<'a>(imports: &'a Imports, module: &str, left: &BTreeSet<&str>) -> Option<&'a str> {
    let mut others = imports.get(module)?.iter().map(String::as_str);
    others.find(|other| left.contains(*other))
}

/// One of those that are left which imports none of them, so that it is in no circle.
fn last<'a>(imports: &Imports, left: &BTreeSet<&'a str>) -> Option<&'a str> {
    let mut all = left.iter().copied();
    all.find(|it| onward(imports, it, left).is_none())
}

/// A way from a module back to itself, if there is one.
fn circle(imports: &Imports) -> Option<String> {
    let mut left: BTreeSet<&str> = imports.keys().map(String::as_str).collect();
    while let Some(last) = last(imports, &left) {
        left.remove(last);
    }
    let mut way = vec![left.first().copied()?];
    loop {
        let next = onward(imports, way[way.len() - 1], &left)?;
        let begun = way.iter().position(|it| *it == next);
        way.push(next);
        if let Some(begun) = begun {
            return Some(way.split_off(begun).join(" → "));
        }
    }
}

#[test]
fn no_modules_of_a_service_know_each_other_in_a_circle() {
    for (service, stay) in STAY {
        let mut imports = imports(service);
        for (from, to) in stay {
            let is_there = imports.get_mut(*from).is_some_and(|it| it.remove(*to));
            assert!(is_there, "{service}: {from} does not import {to} any more");
        }
        assert_eq!(circle(&imports), None, "{service}");
    }
}

#[test]
fn a_circle_is_found_whatever_leads_to_it() {
    let of = |pairs: &[(&str, &str)]| {
        let mut imports = Imports::new();
        for (from, to) in pairs {
            let others = imports.entry((*from).to_owned()).or_default();
            others.insert((*to).to_owned());
        }
        imports
    };
    assert_eq!(circle(&of(&[("a", "b"), ("b", "c"), ("c", "d")])), None);
    let round = of(&[("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]);
    assert_eq!(circle(&round).as_deref(), Some("b → c → b"));
}

#[test]
fn imports_and_paths_are_seen_and_those_of_unit_tests_are_not() {
    let text = "use crate::a; use crate::{b::{self, C}, d as e}; use std::crate_of;
        pub(crate) fn f(g: crate::g::G) { crate::h::i(g) }
        #[cfg(test)] mod tests { use crate::j; }";
    let named = Named::of("x.rs", text);
    assert_eq!(named.iter().collect::<Vec<_>>(), ["a", "b", "d", "g", "h"]);
}
