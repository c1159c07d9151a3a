//! Cells that hold several labels: JSON lists, what Python prints of lists, tuples and sets, and names between separators.

/// The labels of a cell, as they are written.
///
/// # Errors
/// What is wrong with a cell that begins like a list.
pub(super) fn split(text: &str, separator: &str) -> Result<Vec<String>, String> {
    let text = text.trim();
    match Parser::new(text).whole() {
        Some(Ok(items)) => Ok(items),
        Some(Err(why)) => Err(why),
        // `(none)` and `{x}` are names like others.
        None => Ok(text.split(separator).map(str::to_owned).collect()),
    }
}

/// Reads the literals that data frames write into cells.
///
/// Source: <https://docs.python.org/3/reference/lexical_analysis.html#string-and-bytes-literals>, and RFC 8259
struct Parser<'a> {
    rest: &'a str,
}

/// What stands around the items.
const BRACKETS: [(&str, &str); 6] =
    [("[", "]"), ("(", ")"), ("{", "}"), ("set(", ")"), ("frozenset(", ")"), ("array(", ")")];

impl<'a> Parser<'a> {
    fn new(rest: &'a str) -> Self {
        Parser { rest }
    }

    /// The whole cell as a list; none if it is not meant as one.
    fn whole(mut self) -> Option<Result<Vec<String>, String>> {
        let text = self.rest;
        let (open, close) = BRACKETS.into_iter().find(|(open, _)| text.starts_with(open))?;
        let inside = text[open.len()..].trim_start();
        // A square bracket always means a list. The others do so around quoted names and, for sets and tuples, around
        // numbers with a comma.
        let quoted = inside.starts_with(['\'', '"']) || inside.starts_with("np.") || inside.starts_with("u'");
        let nested = open.len() > 1 && inside.starts_with(['[', '(', '{', ')']);
        let empty = matches!(open, "(" | "{") && inside == close;
        if open != "[" && !quoted && !nested && !empty {
            let numbers = inside
                .strip_suffix(close)
                .is_some_and(|items| items.contains(',') && items.split(',').all(is_number_or_blank));
            if !numbers || open.len() > 1 {
                return None;
            }
        }
        if open == "{" && empty {
            return Some(Err("an empty dictionary or object".to_owned()));
        }
        self.rest = inside;
        let items = if nested {
            // set([..]), frozenset({..}), set().
            let Some(inner) = inside.strip_suffix(close) else {
                return Some(Err("a list whose bracket is not closed".to_owned()));
            };
            if inner.trim().is_empty() { Ok(Vec::new()) } else { Parser::new(inner.trim()).whole()? }
        } else {
            self.items(close).and_then(|items| {
                let rest = self.rest.trim();
                if rest.is_empty() { Ok(items) } else { Err(format!("a list with {rest:?} behind it")) }
            })
        };
        Some(items)
    }

    /// Items up to the closing bracket.
    fn items(&mut self, close: &str) -> Result<Vec<String>, String> {
        let mut items = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix(close) {
                self.rest = rest;
                return Ok(items);
            }
            if self.rest.is_empty() {
                return Err("a list whose bracket is not closed".to_owned());
            }
            items.push(self.item()?);
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
            } else if self.rest.starts_with(':') {
                return Err("a dictionary or object".to_owned());
            } else if !self.rest.starts_with(close) {
                return Err(if self.rest.is_empty() {
                    "a list whose bracket is not closed".to_owned()
                } else {
                    "a list without commas between its names, as NumPy prints arrays".to_owned()
                });
            }
        }
    }

    fn item(&mut self) -> Result<String, String> {
        // NumPy 2 prints its scalars so: np.str_('a'), np.int64(1).
        if let Some(call) = self.rest.strip_prefix("np.").or_else(|| self.rest.strip_prefix("numpy.")) {
            let Some(at) = call.find('(') else { return Err("a name without quotes".to_owned()) };
            self.rest = call[at + 1..].trim_start();
            let item = self.item()?;
            self.rest = self.rest.trim_start();
            let Some(rest) = self.rest.strip_prefix(')') else {
                return Err("a list whose bracket is not closed".to_owned());
            };
            self.rest = rest;
            return Ok(item);
        }
        let unprefixed = self.rest.strip_prefix('u').filter(|rest| rest.starts_with(['\'', '"']));
        self.rest = unprefixed.unwrap_or(self.rest);
        match self.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => self.string(quote),
            Some('[' | '(' | '{') => Err("a list in a list".to_owned()),
            _ => self.word(),
        }
    }

    /// A number, true or false, as it is written.
    fn word(&mut self) -> Result<String, String> {
        let end = self.rest.find([',', ']', ')', '}', ':']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let word = word.trim();
        self.rest = rest;
        match word {
            "true" | "false" | "True" | "False" => Ok(word.to_owned()),
            "null" | "None" => Err(format!("a list with a missing value ({word})")),
            "" => Err("a list with nothing between two commas".to_owned()),
            number if is_number(number) => Ok(number.to_owned()),
            name if name.split_whitespace().all(is_number) => {
                Err("a list without commas between its numbers, as NumPy prints arrays".to_owned())
            }
            name => Err(format!("a list with {name:?}, which needs quotes")),
        }
    }

    fn string(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut chars = self.rest[1..].chars();
        loop {
            match chars.next() {
                None => return Err("a list whose quote is not closed".to_owned()),
                Some('\\') => text.push_str(&escape(&mut chars)?),
                Some(end) if end == quote => break,
                Some(other) => text.push(other),
            }
        }
        self.rest = chars.as_str();
        Ok(text)
    }
}

/// What follows a backslash, in JSON and in Python.
fn escape(chars: &mut std::str::Chars<'_>) -> Result<String, String> {
    let bad = || "a list with an escape that stands for no character".to_owned();
    let kind = chars.next().ok_or_else(bad)?;
    let digits = match kind {
        'n' => return Ok("\n".to_owned()),
        't' => return Ok("\t".to_owned()),
        'r' => return Ok("\r".to_owned()),
        'b' => return Ok("\u{8}".to_owned()),
        'f' => return Ok("\u{c}".to_owned()),
        '\\' | '\'' | '"' | '/' => return Ok(kind.to_string()),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        // Python leaves a backslash before any other letter as it is.
        other => return Ok(format!("\\{other}")),
    };
    let code = hex(chars, digits).ok_or_else(bad)?;
    // JSON writes characters beyond 16 bits as two halves.
    if (0xD800..0xDC00).contains(&code) && chars.as_str().starts_with("\\u") {
        chars.nth(1);
        let low = hex(chars, 4).filter(|low| (0xDC00..0xE000).contains(low)).ok_or_else(bad)?;
        let code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        return char::from_u32(code).map(String::from).ok_or_else(bad);
    }
    char::from_u32(code).map(String::from).ok_or_else(bad)
}

fn hex(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<u32> {
    (0..digits).try_fold(0_u32, |code, _| Some(code.checked_mul(16)? + chars.next()?.to_digit(16)?))
}

fn is_number(word: &str) -> bool {
    word.parse::<f64>().is_ok()
}

fn is_number_or_blank(word: &str) -> bool {
    word.trim().is_empty() || is_number(word.trim())
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn lists_of_json_and_python() {
        // The Python column is what str() gives of the value, which is what pandas writes into a cell.
        let table: &[(&str, &[&str])] = &[
            (r#"["a", "b"]"#, &["a", "b"]),
            (r#"["a, b", "it's", "\u00e9\ud83d\ude00\/"]"#, &["a, b", "it's", "é😀/"]),
            ("['a', 'b']", &["a", "b"]),
            (r#"["it's", 'say "x"']"#, &["it's", "say \"x\""]),
            (r"['it\'s', 'a\\b', '\x41\t']", &["it's", "a\\b", "A\t"]),
            ("['a',]", &["a"]),
            ("[]", &[]),
            ("('a', 'b')", &["a", "b"]),
            ("('a',)", &["a"]),
            ("('a')", &["a"]),
            ("()", &[]),
            ("(1, 2.0)", &["1", "2.0"]),
            ("(1,)", &["1"]),
            ("{'a', 'b'}", &["a", "b"]),
            ("{1, 2}", &["1", "2"]),
            ("set()", &[]),
            ("frozenset({'a'})", &["a"]),
            ("set(['a', 'b'])", &["a", "b"]),
            ("array(['a', 'b'])", &["a", "b"]),
            ("[np.str_('a'), np.int64(3)]", &["a", "3"]),
            ("[u'a']", &["a"]),
            (
                "[1, 2.0, 1e3, 9007199254740993, True, false]",
                &["1", "2.0", "1e3", "9007199254740993", "True", "false"],
            ),
            ("a, b", &["a", " b"]),
            ("a", &["a"]),
            ("", &[""]),
            ("(none)", &["(none)"]),
            ("(sarcasm),joke", &["(sarcasm)", "joke"]),
            ("{x}", &["{x}"]),
            ("(1)", &["(1)"]),
            ("settle, order", &["settle", " order"]),
            ("it's, so", &["it's", " so"]),
        ];
        for (cell, labels) in table {
            assert_eq!(split(cell, ",").unwrap(), *labels, "{cell}");
        }
        assert_eq!(split("a, b|c", "|").unwrap(), ["a, b", "c"]);
    }

    #[test]
    fn what_only_looks_like_a_list_is_refused() {
        for (cell, why) in [
            ("['a' 'b']", "without commas"),
            ("[1 2 3]", "without commas"),
            ("['a', 'b'", "not closed"),
            ("['a", "not closed"),
            ("[", "not closed"),
            ("array(['a', 'b'], dtype=object)", "behind it"),
            ("['a'], 'b'", "behind it"),
            ("[['a'], ['b']]", "a list in a list"),
            ("['a', None]", "missing value"),
            ("[null]", "missing value"),
            ("[a, b]", "needs quotes"),
            ("['a',, 'b']", "nothing between"),
            ("{'a': 1}", "dictionary"),
            ("{\"a\": 1}", "dictionary"),
            ("{}", "dictionary"),
            ("['\\ud800']", "escape"),
            ("['\\xg1']", "escape"),
        ] {
            let found = split(cell, ",").unwrap_err();
            assert!(found.contains(why), "{cell}: {found}");
        }
    }
}
