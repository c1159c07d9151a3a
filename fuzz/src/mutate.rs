//! Mutations: of bytes, and of JSON by its structure, which alone gets past a parser's first line.

use serde_json::{Map, Number, Value};

/// Random numbers (SplitMix64) that are the same everywhere.
pub struct Random(u64);

impl Random {
    /// The numbers of one input.
    pub fn new(seed: u64, input: u64) -> Self {
        let mut random =
            Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ input.wrapping_mul(0xd1b5_4a32_d192_ed03));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 for an empty range.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())) }
    }
}

/// Good inputs of one target, parsed once where they are JSON.
pub struct Seeds {
    bytes: Vec<Vec<u8>>,
    json: Vec<Option<Value>>,
}

/// Numbers at which sizes, counts and conversions break.
const NUMBERS: [&str; 30] = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "127",
    "128",
    "255",
    "256",
    "1000",
    "20000",
    "32768",
    "65536",
    "16777216",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "0.5",
    "-0.0",
    "1e-320",
    "1e308",
    "-1e308",
    "1e400",
];

/// Texts at which names, paths and messages break.
const TEXTS: [&str; 22] = [
    "",
    " ",
    "..",
    "../../x",
    "/etc/passwd",
    "C:\\x",
    "a\0b",
    "\u{1b}[31m",
    "\u{202e}abc",
    "NaN",
    "inf",
    "-inf",
    "null",
    "true",
    "\u{feff}",
    "é漢\u{1f600}",
    "a,b;c\td",
    "\"",
    "%s%n",
    "\r\n",
    "{}",
    "999999999999999999999",
];

impl Seeds {
    /// The inputs to start from.
    pub fn new(bytes: Vec<Vec<u8>>) -> Self {
        let json = bytes.iter().map(|bytes| serde_json::from_slice(bytes).ok()).collect();
        Seeds { bytes, json }
    }

    /// Input number `input` under `seed`. The first ones are the good inputs themselves.
    pub fn input(&self, seed: u64, input: u64) -> Vec<u8> {
        if let Some(good) = usize::try_from(input).ok().and_then(|input| self.bytes.get(input)) {
            return good.clone();
        }
        let mut random = Random::new(seed, input);
        let at = random.below(self.bytes.len());
        match self.json.get(at) {
            Some(Some(value)) if !random.chance(5) => self.mutated_json(value, &mut random),
            _ => {
                let mut bytes = self.bytes.get(at).cloned().unwrap_or_default();
                for _ in 0..=random.below(6) {
                    self.mutate_bytes(&mut bytes, &mut random);
                }
                bytes
            }
        }
    }

    fn mutate_bytes(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        let len = bytes.len();
        // Headers come first, and are where damage goes deep.
        let near = if random.chance(2) { len.min(64) } else { len };
        let at = random.below(near);
        match random.below(11) {
            0 if len > 0 => bytes[at] ^= 1 << random.below(8),
            1 if len > 0 => {
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b',', b'\n', b'{', b'['][random.below(10)]
            }
            2 if len > 0 => bytes[at] = random.next() as u8,
            3 => bytes.truncate(at),
            4 => {
                let end = (at + 1 + random.below(32)).min(len);
                bytes.drain(at.min(end)..end);
            }
            5 => {
                let end = (at + 1 + random.below(64)).min(len);
                let part = bytes[at.min(end)..end].repeat(1 + random.below(4));
                bytes.splice(at..at, part);
            }
            6 => {
                let part: Vec<u8> = (0..=random.below(16)).map(|_| random.next() as u8).collect();
                bytes.splice(at..at, part);
            }
            7 => {
                let other = random.pick(&self.bytes).cloned().unwrap_or_default();
                let from = random.below(other.len());
                let to = (from + 1 + random.below(256)).min(other.len());
                bytes.splice(at..at, other[from.min(to)..to].iter().copied());
            }
            8 => {
                let number: u64 =
                    [0, 1, 0x7fff_ffff, 0xffff_ffff, 1 << 32, u64::MAX >> 1, u64::MAX][random.below(7)];
                let wide = if random.chance(2) { 8 } else { 4 };
                for (place, byte) in bytes[at..].iter_mut().zip(&number.to_le_bytes()[..wide]) {
                    *place = *byte;
                }
            }
            9 => {
                // A number in the text.
                let digit = |byte: &u8| byte.is_ascii_digit();
                if let Some(from) = bytes[at..].iter().position(digit).map(|from| at + from) {
                    let to = bytes[from..].iter().position(|byte| !digit(byte)).map_or(len, |to| from + to);
                    let number = NUMBERS[random.below(NUMBERS.len())];
                    bytes.splice(from..to, number.bytes());
                }
            }
            _ => {
                let text = TEXTS[random.below(TEXTS.len())];
                bytes.splice(at..at, text.bytes());
            }
        }
    }

    fn mutated_json(&self, value: &Value, random: &mut Random) -> Vec<u8> {
        let mut value = value.clone();
        for _ in 0..=random.below(4) {
            let other = self.json.get(random.below(self.json.len())).and_then(Option::as_ref);
            let target = random.below(count(&value));
            change(&mut value, target, other, random);
        }
        let mut text = value.to_string();
        // What serde_json's own values cannot hold.
        match random.below(40) {
            0 => {
                if let Value::Object(map) = &value
                    && let Some((key, again)) = map.iter().nth(random.below(map.len()))
                {
                    text.insert_str(1, &format!("{}:{again},", Value::String(key.clone())));
                }
            }
            1 => {
                let deep = [100, 200, 20_000][random.below(3)];
                let place = text.find(':').map_or(0, |at| at + 1);
                text.insert_str(place, &"[".repeat(deep));
            }
            2 => text = text.replacen(['0', '1', '2'], NUMBERS[random.below(NUMBERS.len())], 1),
            3 => text = text.replacen('"', "\"\\ud800", 1),
            4 => text.push_str("{}"),
            _ => {}
        }
        text.into_bytes()
    }
}

/// Values in a value, itself counted.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the value that stands at a place in reading order.
fn change(value: &mut Value, place: usize, other: Option<&Value>, random: &mut Random) {
    if place == 0 {
        return replace(value, other, random);
    }
    let mut left = place - 1;
    let inside: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(map) => map.values_mut().collect(),
        _ => vec![],
    };
    for inner in inside {
        let within = count(inner);
        if left < within {
            return change(inner, left, other, random);
        }
        left -= within;
    }
}

fn number(random: &mut Random) -> Value {
    let text = NUMBERS[random.below(NUMBERS.len())];
    serde_json::from_str(text).unwrap_or(Value::Null)
}

fn replace(value: &mut Value, other: Option<&Value>, random: &mut Random) {
    if random.chance(4) {
        // Another type.
        *value = match random.below(9) {
            0 => Value::Null,
            1 => Value::Bool(random.chance(2)),
            2 => Value::Array(vec![]),
            3 => Value::Object(Map::new()),
            4 => Value::Array(vec![value.take(); 3]),
            5 => Value::String("x".repeat([300, 70_000][random.below(2)])),
            6 => other.map_or(Value::Null, |other| nth(other, random.below(count(other))).clone()),
            7 => Value::String(TEXTS[random.below(TEXTS.len())].to_owned()),
            _ => number(random),
        };
        return;
    }
    match value {
        Value::Null => *value = number(random),
        Value::Bool(flag) => *flag = !*flag,
        Value::Number(old) => {
            let near = old.as_i64().map(|old| old.wrapping_add([1, -1][random.below(2)]));
            *value = match near {
                Some(near) if random.chance(4) => Value::Number(Number::from(near)),
                _ => number(random),
            };
        }
        Value::String(text) => match random.below(4) {
            0 => *text = TEXTS[random.below(TEXTS.len())].to_owned(),
            1 => text.push_str(TEXTS[random.below(TEXTS.len())]),
            2 => text.truncate(text.char_indices().nth(random.below(text.len())).map_or(0, |(at, _)| at)),
            _ => {
                if let Some(Value::String(other)) = other.map(|other| nth(other, random.below(count(other))))
                {
                    text.clone_from(other);
                }
            }
        },
        Value::Array(items) => {
            let at = random.below(items.len());
            match random.below(5) {
                0 if !items.is_empty() => drop(items.remove(at)),
                1 if !items.is_empty() => items.insert(at, items[at].clone()),
                2 if items.len() > 1 => {
                    let to = random.below(items.len());
                    items.swap(at, to);
                }
                3 if !items.is_empty() && items.len() < 64 => {
                    let one = items[at].clone();
                    items.extend(std::iter::repeat_n(one, 500));
                }
                _ => items.push(number(random)),
            }
        }
        Value::Object(map) => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let Some(key) = random.pick(&keys) else {
                map.insert("key".to_owned(), number(random));
                return;
            };
            match random.below(4) {
                0 | 1 => drop(map.shift_remove(key)),
                2 => {
                    let old = map.shift_remove(key).unwrap_or_default();
                    let new = random.pick(&keys).cloned().unwrap_or_default();
                    map.insert(format!("{new}{}", ["", "_", ".0"][random.below(3)]), old);
                }
                _ => {
                    let from = random.pick(&keys).and_then(|from| map.get(from)).cloned().unwrap_or_default();
                    map.insert(key.clone(), from);
                }
            }
        }
    }
}

/// The value at a place in reading order.
fn nth(value: &Value, place: usize) -> &Value {
    if place == 0 {
        return value;
    }
    let mut left = place - 1;
    let inside: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => vec![],
    };
    for inner in inside {
        let within = count(inner);
        if left < within {
            return nth(inner, left);
        }
        left -= within;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_repeatable_and_differ() {
        let seeds =
            Seeds::new(vec![br#"{"a": [1, "b", {"c": null}], "d": 7}"#.to_vec(), b"a,b\n1,2\n".to_vec()]);
        assert_eq!(seeds.input(1, 1), b"a,b\n1,2\n");
        let inputs: Vec<Vec<u8>> = (2..2000).map(|input| seeds.input(1, input)).collect();
        assert_eq!(inputs, (2..2000).map(|input| seeds.input(1, input)).collect::<Vec<_>>());
        assert_ne!(inputs, (2..2000).map(|input| seeds.input(2, input)).collect::<Vec<_>>());
        let different: std::collections::BTreeSet<&Vec<u8>> = inputs.iter().collect();
        assert!(different.len() > 1500, "{}", different.len());
        let json = inputs.iter().filter(|input| serde_json::from_slice::<Value>(input).is_ok()).count();
        assert!(json > 500, "{json}");
    }
}
