//! Text on its way to a terminal. Texts, labels, names of files and columns come from anywhere, and a terminal obeys what it is
//! sent: control characters are shown, not sent. JSON and files stay exact.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::fmt::Write as _;
use std::io::Write as _;

/// One cell or name: every control character shown, line ends and tabs too.
pub fn cell(text: &str) -> Cow<'_, str> {
    shown(text, |c| match c {
        '\n' => Some("\\n"),
        '\r' => Some("\\r"),
        '\t' => Some("\\t"),
        _ => None,
    })
}

/// Lines of text laid out by this program: line ends and tabs stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    shown(text, |c| match c {
        '\n' => Some("\n"),
        '\t' => Some("\t"),
        '\r' => Some("\\r"),
        _ => None,
    })
}

/// What `eprintln!` stands for in this program (main.rs): one line on stderr.
pub fn say_line(message: Arguments<'_>) {
    say(format_args!("{}\n", cell(&message.to_string())));
}

/// What `eprint!` stands for: lines on stderr.
pub fn say(message: Arguments<'_>) {
    // Whoever closed stderr does not want to know.
    let _ = std::io::stderr().lock().write_all(lines(&message.to_string()).as_bytes());
}

fn shown(text: &str, kept: impl Fn(char) -> Option<&'static str>) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match kept(c) {
            Some(kept) => out.push_str(kept),
            None if commands(c) || (joins(c) && !between_letters(before, chars.peek())) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            None => out.push(c),
        }
        before = Some(c);
    }
    Cow::Owned(out)
}

/// Whether a terminal obeys the character, or hides it or what is around it.
fn commands(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Joiners: needed inside words of some scripts and inside emoji, and invisible elsewhere.
fn joins(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

fn between_letters(before: Option<char>, after: Option<&char>) -> bool {
    let visible = |c: char| !c.is_ascii() && !c.is_whitespace() && !commands(c) && !joins(c);
    before.is_some_and(visible) && after.is_some_and(|after| visible(*after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_letters_stay() {
        assert_eq!(cell("\u{1b}[31mred\u{7}"), "\\u{1b}[31mred\\u{7}");
        assert_eq!(cell("a\nb\tc\rd"), "a\\nb\\tc\\rd");
        assert_eq!(lines("a\nb\tc\rd"), "a\nb\tc\\rd");
        assert_eq!(cell("\u{7f}\u{9b}31m\u{85}"), "\\u{7f}\\u{9b}31m\\u{85}");
        assert_eq!(cell("a\u{202e}b\u{2066}c\u{200f}d\u{feff}"), "a\\u{202e}b\\u{2066}c\\u{200f}d\\u{feff}");
        for plain in [
            "plain",
            "naïve café",
            "映画 is fun",
            "👩\u{200d}🚀 flies",
            "می\u{200c}خواهم",
            "C:\\new",
            "e\u{301}",
        ] {
            assert_eq!(cell(plain), plain);
        }
        assert_eq!(cell("go\u{200d}od"), "go\\u{200d}od");
        assert_eq!(cell("\u{200d}"), "\\u{200d}");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let every: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        assert!(!cell(&every).chars().any(commands));
        assert!(!lines(&every).chars().any(|c| commands(c) && !matches!(c, '\n' | '\t')));
    }
}
