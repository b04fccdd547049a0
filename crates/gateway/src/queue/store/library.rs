//! Owns how a script is put together: what all share, the functions that the verb needs, the verb.
//!
//! Redis runs a script from its first line on every call, and each function that is made there costs as
//! much as half a command. So functions that a verb does not reach are left out of its script.

use std::collections::HashSet;

/// How a function of the library begins, and the line with which it ends.
const BEGIN: &str = "local function ";
const END: &str = "end";

/// A piece of the library: a function, or what stands between two of them.
struct Piece<'a> {
    name: Option<&'a str>,
    text: String,
}

/// The script of `verb`: the library, in its order, but for functions that are not reached, and the verb.
pub(super) fn assembled(library: &[&'static str], verb: &str) -> String {
    let pieces: Vec<_> = library.iter().flat_map(|file| pieces(file)).collect();
    let mut reached = HashSet::new();
    let mut open: Vec<&str> = vec![verb];
    // What stands between functions may name them too; it is always there.
    open.extend(
        pieces
            .iter()
            .filter(|it| it.name.is_none())
            .map(|it| it.text.as_str()),
    );
    while let Some(text) = open.pop() {
        let named: HashSet<&str> = words(text).collect();
        for piece in &pieces {
            let Some(name) = piece.name else { continue };
            if named.contains(name) && reached.insert(name) {
                open.push(&piece.text);
            }
        }
    }
    let kept = pieces
        .iter()
        .filter(|piece| piece.name.is_none_or(|name| reached.contains(name)));
    let mut script: String = kept.map(|piece| piece.text.as_str()).collect();
    script.push_str(verb);
    script
}

fn pieces(file: &'static str) -> Vec<Piece<'static>> {
    let mut pieces: Vec<Piece<'static>> = Vec::new();
    let mut inside = false;
    for line in file.lines() {
        let begun = line
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.split('(').next());
        if begun.is_some() || !inside {
            let is_next_of_none =
                begun.is_none() && pieces.last().is_some_and(|it| it.name.is_none());
            if !is_next_of_none {
                pieces.push(Piece {
                    name: begun,
                    text: String::new(),
                });
            }
            inside = begun.is_some();
        }
        if let Some(piece) = pieces.last_mut() {
            piece.text.push_str(line);
            piece.text.push('\n');
        }
        inside = inside && line != END;
    }
    pieces
}

/// Names in the code; words of comments are no names.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("--").next().unwrap_or(line))
        .flat_map(|line| line.split(|it: char| !it.is_ascii_alphanumeric() && it != '_'))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::assembled;

    const LIBRARY: &str = "\
local A = 1
-- about one
local function one()
  return A
end

local B = 2
local function two()
  if B then
    return one()
  end
end

local function three()
  return 3
end
";

    #[test]
    fn only_functions_that_are_reached_are_in_a_script() {
        let script = assembled(&[LIBRARY], "return two() -- not three()\n");
        assert!(script.contains("function one") && script.contains("function two"));
        assert!(!script.contains("three()\n  return 3"), "{script}");
        assert!(script.contains("local A = 1") && script.contains("local B = 2"));
        assert!(script.ends_with("return two() -- not three()\n"));
    }

    #[test]
    fn the_order_of_the_library_is_kept() {
        let script = assembled(&[LIBRARY], "return two()\n");
        let at = |text| script.find(text).expect("is there");
        assert!(at("local A") < at("function one") && at("function one") < at("local B"));
        assert!(at("local B") < at("function two"));
    }
}
