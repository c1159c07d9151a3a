//! Texts to measure with: English words that are one token each, so many a text.

use clap::ValueEnum;
use frostbert::RandomModel;
use frostbert::Text;

/// How long the texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// 8 to 48 tokens, evenly: sentences.
    Short,
    /// 8 tokens to the longest that the model takes, evenly on a logarithmic scale: paragraphs and pages.
    Mixed,
    /// As long as the model takes.
    Long,
}

const SHORTEST: usize = 8;
const LONGEST_OF_SHORT: usize = 48;

impl Mix {
    pub const ALL: [Mix; 3] = [Mix::Short, Mix::Mixed, Mix::Long];

    pub fn name(self) -> &'static str {
        match self {
            Mix::Short => "short",
            Mix::Mixed => "mixed",
            Mix::Long => "long",
        }
    }

    /// So many texts of at most `longest` tokens; the same every time.
    pub fn texts(self, count: usize, longest: usize) -> Vec<Text> {
        let words: Vec<&str> = RandomModel::words().collect();
        let text = |number: usize| {
            // Spread evenly over 0..1 without repeating: multiples of the golden ratio.
            let at = (number as f64 * 0.618_033_988_749_895).fract();
            let tokens = match self {
                Mix::Short => SHORTEST + (at * (LONGEST_OF_SHORT - SHORTEST + 1) as f64) as usize,
                Mix::Mixed => {
                    let ratio = longest.max(SHORTEST) as f64 / SHORTEST as f64;
                    (SHORTEST as f64 * ratio.powf(at)).round() as usize
                }
                Mix::Long => longest,
            };
            // Two tokens are [CLS] and [SEP].
            let len = tokens.min(longest).saturating_sub(2).max(1);
            let word = |place: usize| words[(number * 31 + place * 17 + place * place) % words.len()];
            Text::from((0..len).map(word).collect::<Vec<_>>().join(" "))
        };
        (0..count).map(text).collect()
    }
}
