//! How numbers and texts look, on the page and in the terminal.

use super::{Interval, TokenShare};

/// What stands for a number that could not be computed.
pub(super) const MISSING: &str = "–";

/// A score with three decimals.
pub(super) fn score(value: f64) -> String {
    match value {
        value if value.is_nan() => MISSING.into(),
        value if value.is_infinite() => if value > 0.0 { "∞" } else { "−∞" }.into(),
        value if value.abs() >= 1e6 => minus(format!("{value:.2e}")),
        value if value.abs() >= 100.0 => minus(format!("{value:.1}")),
        value => minus(format!("{value:.3}")),
    }
}

/// A score with its sign, for differences and shares.
pub(super) fn signed(value: f64) -> String {
    if value >= 0.0 { format!("+{}", score(value)) } else { score(value) }
}

/// The interval's ends, or nothing.
pub(super) fn ends(interval: Interval) -> Option<String> {
    interval.ends().map(|(low, high)| format!("{} to {}", score(low), score(high)))
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    if share.is_finite() { minus(format!("{:.1}%", 100.0 * share)) } else { MISSING.into() }
}

/// A count with thousands separated.
pub(super) fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count and its noun: `1 row`, `2 rows`.
pub(super) fn counted(value: usize, noun: &str) -> String {
    let plural = match noun {
        _ if value == 1 => "",
        noun if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {noun}{plural}", count(value))
}

// A hyphen is narrower than a digit: columns of numbers would not align. A value that rounds to zero has no sign.
fn minus(number: String) -> String {
    match number.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| matches!(c, '0' | '.' | '%')) => zero.into(),
        Some(rest) => format!("−{rest}"),
        None => number,
    }
}

/// Characters that no page and no terminal may get: a terminal would obey them, XML forbids them.
pub(super) fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// The text on one line, with forbidden characters replaced.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if is_forbidden(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

/// At most `chars` characters of the text, cut at a word where one ends near, and whether any are missing.
pub(super) fn shorten(text: &str, chars: usize) -> (String, bool) {
    let text = clean(text.trim());
    let Some((end, _)) = text.char_indices().nth(chars) else { return (text, false) };
    let head = &text[..end];
    let head = match head.rfind(' ') {
        Some(space) if space * 3 >= end * 2 => &head[..space],
        _ => head,
    };
    (format!("{}…", head.trim_end()), true)
}

/// One token as it reads in its text.
pub(super) struct Piece<'a> {
    /// Whether a space stands before it.
    pub spaced: bool,
    /// Its letters.
    pub text: &'a str,
    /// Its share of the logit.
    pub share: f64,
}

/// The tokens as they read in the text, without the tokenizer's marks: WordPiece glues `##`, SentencePiece and
/// byte-level BPE put `▁` or `Ġ` where a space was.
pub(super) fn pieces<'a>(shares: &'a [TokenShare]) -> Vec<Piece<'a>> {
    const SPACES: [char; 2] = ['▁', 'Ġ'];
    let marks_spaces = shares.iter().any(|share| share.token.starts_with(SPACES));
    let read = |token: &'a str| match token.strip_prefix("##") {
        _ if marks_spaces => {
            let rest = token.trim_start_matches(SPACES);
            (rest.len() < token.len() || is_special(token), rest)
        }
        Some(rest) if !rest.is_empty() => (false, rest),
        _ => (true, token),
    };
    let piece = |(at, share): (usize, &'a TokenShare)| {
        let (spaced, text) = read(&share.token);
        Piece { spaced: spaced && at > 0, text, share: share.share }
    };
    shares.iter().enumerate().map(piece).collect()
}

fn is_special(token: &str) -> bool {
    (token.starts_with('[') && token.ends_with(']')) || (token.starts_with('<') && token.ends_with('>'))
}

/// The largest absolute share: what full colour stands for.
pub(super) fn largest_share(shares: &[TokenShare]) -> f64 {
    shares.iter().map(|share| share.share.abs()).filter(|share| share.is_finite()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(score(0.76749), "0.767");
        assert_eq!(score(f64::NAN), "–");
        assert_eq!(score(f64::INFINITY), "∞");
        assert_eq!(score(-0.0001), "0.000");
        assert_eq!(score(-1.5), "−1.500");
        assert_eq!(signed(0.25), "+0.250");
        assert_eq!(percent(0.1234), "12.3%");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "class"), "1 class");
        assert_eq!(counted(2, "class"), "2 classes");
    }

    #[test]
    fn long_texts_are_cut_between_words_and_control_characters_go() {
        assert_eq!(shorten("a short text", 20), ("a short text".into(), false));
        assert_eq!(shorten("one two three four", 10), ("one two…".into(), true));
        assert_eq!(shorten(&"ä".repeat(30), 10), (format!("{}…", "ä".repeat(10)), true));
        assert_eq!(clean("a\u{1b}[2Jb\0\n"), "a\u{fffd}[2Jb\u{fffd} ");
    }

    #[test]
    fn tokens_join_as_their_tokenizer_says() {
        let read = |tokens: &[&str]| -> String {
            let shares: Vec<TokenShare> =
                tokens.iter().map(|&token| TokenShare { token: token.into(), share: 0.0 }).collect();
            let join = |piece: Piece<'_>| [if piece.spaced { " " } else { "" }, piece.text].concat();
            pieces(&shares).into_iter().map(join).collect()
        };
        assert_eq!(read(&["[CLS]", "play", "##ful", "film", "[SEP]"]), "[CLS] playful film [SEP]");
        assert_eq!(read(&["<s>", "▁play", "ful", "▁film", "</s>"]), "<s> playful film </s>");
        assert_eq!(read(&["<s>", "play", "ful", "Ġfilm"]), "<s>playful film");
        assert_eq!(read(&["c", "##"]), "c ##");
    }
}
