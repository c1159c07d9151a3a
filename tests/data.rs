//! Tables of texts, good and bad, and files of embeddings, read back.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use frostbert::Error;
use frostbert::data::{
    EmbeddingFormat, EmbeddingWriter, Filter, Format, Label, LabelKind, ReadOptions, Row, Selection, Table,
    TextColumns,
};

fn rows(name: &str, bytes: impl AsRef<[u8]>, selection: &Selection) -> Result<Vec<Row>, Error> {
    Table::from_bytes(name, bytes.as_ref())?.rows(selection)?.collect()
}

fn texts(name: &str, bytes: impl AsRef<[u8]>) -> Vec<String> {
    rows(name, bytes, &Selection::default()).unwrap().into_iter().map(|row| row.text).collect()
}

fn labelled(labels: &[&str], label_kind: LabelKind) -> Selection {
    Selection {
        labels: labels.iter().map(|&label| label.into()).collect(),
        label_kind,
        ..Selection::default()
    }
}

fn named(label: &str) -> Option<Label> {
    Some(Label::Name(label.into()))
}

fn several(labels: &[&str]) -> Option<Label> {
    Some(Label::Names(labels.iter().map(|&label| label.into()).collect()))
}

/// The message of an input error; anything else fails the test.
#[track_caller]
fn input_error<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    let error = outcome.expect_err("bad input must be refused");
    assert!(error.is_input(), "{error:?}");
    error.to_string()
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

// Good tables.

#[test]
fn text_lines_keep_blank_ones_and_need_no_last_newline() {
    assert_eq!(texts("a.txt", "one\n\nthree\r\nfour"), ["one", "", "three", "four"]);
    assert_eq!(texts("a.txt", "one\n"), ["one"]);
    let rows = rows("a.txt", "one\n\nthree", &Selection::default()).unwrap();
    assert_eq!((rows[2].number, rows[2].line), (3, Some(3)));
}

#[test]
fn byte_order_marks_and_crlf_are_no_part_of_the_text() {
    assert_eq!(texts("a.txt", "\u{feff}one\r\ntwo\r\n"), ["one", "two"]);
    assert_eq!(
        texts("a.csv", "\u{feff}text,label\r\none,x\r\n\"two\r\nlines\",y\r\n"),
        ["one", "two\r\nlines"]
    );
    assert_eq!(
        texts("a.jsonl", "\u{feff}{\"text\": \"one\"}\r\n\r\n{\"text\": \"two\"}\r\n"),
        ["one", "two"]
    );
}

#[test]
fn quoted_cells_span_lines_and_lines_are_told_right() {
    let table = "id,text\n1,\"a, \"\"b\"\"\nc\"\n2,d\n";
    let rows = rows("a.csv", table, &Selection::default()).unwrap();
    assert_eq!(rows[0].text, "a, \"b\"\nc");
    assert_eq!((rows[1].number, rows[1].line), (2, Some(4)));
}

#[test]
fn separators_other_than_commas() {
    assert_eq!(texts("a.tsv", "text\tn\none, two; three\t1\n"), ["one, two; three"]);
    assert_eq!(texts("a.csv", "text;n\none, two;1\n"), ["one, two"]);
}

#[test]
fn quotes_can_be_plain_characters() {
    let options = ReadOptions { quotes: false, ..ReadOptions::default() };
    let table = Table::from_bytes_with("a.tsv", "text\tn\n\"one\t1\n\"two\t2\n", &options).unwrap();
    let rows: Vec<Row> = table.rows(&Selection::default()).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), ["\"one", "\"two"]);
}

#[test]
fn columns_go_by_name_or_number() {
    let by = |column: &str| Selection { text: vec![column.into()], ..Selection::default() };
    let table = "a,b,1\nA,B,C\n";
    assert_eq!(rows("t.csv", table, &by("b")).unwrap()[0].text, "B");
    assert_eq!(rows("t.csv", table, &by("2")).unwrap()[0].text, "B");
    // A name wins over a number.
    assert_eq!(rows("t.csv", table, &by("1")).unwrap()[0].text, "C");
    let options = ReadOptions { header: false, ..ReadOptions::default() };
    let headless = Table::from_bytes_with("t.csv", "A,B\nC,D\n", &options).unwrap();
    assert_eq!(headless.columns(), ["1", "2"]);
    let texts: Vec<String> = headless.rows(&by("2")).unwrap().map(|row| row.unwrap().text).collect();
    assert_eq!(texts, ["B", "D"]);
}

#[test]
fn several_text_columns_are_joined_or_a_pair() {
    let table = "title,body,n\nT,B,1\n";
    let text = vec!["title".to_owned(), "body".to_owned()];
    let joined = Selection { text: text.clone(), ..Selection::default() };
    assert_eq!(rows("t.csv", table, &joined).unwrap()[0].text, "T\nB");
    let joined = Selection { text_columns: TextColumns::Joined(". ".into()), ..joined };
    assert_eq!(rows("t.csv", table, &joined).unwrap()[0].text, "T. B");
    let pair = Selection { text_columns: TextColumns::Pair, ..joined };
    let row = rows("t.csv", table, &pair).unwrap().remove(0);
    assert_eq!((row.text.as_str(), row.pair.as_deref()), ("T", Some("B")));
    let one = Selection { text: vec!["title".into()], ..pair };
    assert_says(&input_error(rows("t.csv", table, &one)), &["two text columns", "found 1"]);
}

#[test]
fn filters_and_limits() {
    let table = "text,source,year\na,x,1\nb,y,1\nc,x,2\nd,x,1\n";
    let filter = |filters: &[&str], limit| Selection {
        filters: filters.iter().map(|filter| filter.parse::<Filter>().unwrap()).collect(),
        limit,
        ..Selection::default()
    };
    let numbers = |selection| {
        rows("t.csv", table, &selection).unwrap().iter().map(|row| row.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(filter(&["source=x"], None)), [1, 3, 4]);
    assert_eq!(numbers(filter(&["source=x", "year!=2"], None)), [1, 4]);
    assert_eq!(numbers(filter(&["source=x"], Some(2))), [1, 3]);
    let nothing = input_error(rows("t.csv", table, &filter(&["source=z"], None)));
    assert_says(&nothing, &["none of its 4 rows has source=z", "\"x\"", "\"y\""]);
    assert_says(&input_error(rows("t.csv", table, &filter(&[], Some(0)))), &["limit of 0"]);
    // JSON values compare as they are written.
    let json = "{\"text\":\"a\",\"n\":1,\"b\":true}\n{\"text\":\"b\",\"n\":2,\"b\":false}\n";
    let second = filter(&["n=2", "b=false"], None);
    assert_eq!(rows("t.jsonl", json, &second).unwrap()[0].text, "b");
}

#[test]
fn labels_of_every_kind() {
    let table = "text,label\na, pos \nb,1\n";
    let classes = rows("t.csv", table, &labelled(&["label"], LabelKind::Name)).unwrap();
    assert_eq!((&classes[0].label, &classes[1].label), (&named("pos"), &named("1")));

    let numbers = rows("t.csv", "text,y\na,-1.5e3\n", &labelled(&["y"], LabelKind::Number)).unwrap();
    assert_eq!(numbers[0].label, Some(Label::Number(-1500.0)));

    let list = || LabelKind::List { separator: ",".into() };
    let cells = "text,l\na,\"x, y,x\"\nb,\ng,\"[\"\"x\"\", \"\"z\"\"]\"\nd,\"['y', 'z']\"\ne,x\n";
    let lists = rows("t.csv", cells, &labelled(&["l"], list())).unwrap();
    let lists: Vec<_> = lists.into_iter().map(|row| row.label).collect();
    let expected =
        [several(&["x", "y"]), several(&[]), several(&["x", "z"]), several(&["y", "z"]), several(&["x"])];
    assert_eq!(lists, expected);
    let json = rows("t.jsonl", r#"{"text": "a", "l": ["x", 3]}"#, &labelled(&["l"], list())).unwrap();
    assert_eq!(json[0].label, several(&["x", "3"]));

    let columns = "text,angry,sad\na,1,0\nb,0,0\nc,True,yes\n";
    let indicators = rows("t.csv", columns, &labelled(&["angry", "sad"], LabelKind::Indicators)).unwrap();
    let indicators: Vec<_> = indicators.into_iter().map(|row| row.label).collect();
    assert_eq!(indicators, [several(&["angry"]), several(&[]), several(&["angry", "sad"])]);
}

#[test]
fn groups_and_weights() {
    let selection =
        Selection { group: Some("user".into()), weight: Some("w".into()), ..Selection::default() };
    let row = rows("t.csv", "text,user,w\na,u1,0.5\n", &selection).unwrap().remove(0);
    assert_eq!((row.group.as_deref(), row.weight), (Some("u1"), Some(0.5)));
    for bad in ["-1", "nan", "inf", ""] {
        let message = input_error(rows("t.csv", format!("text,user,w\na,u1,{bad}\n"), &selection));
        assert_says(&message, &["row 1 (line 2)", "\"w\"", "a finite number not below 0"]);
    }
    assert_says(
        &input_error(rows("t.csv", "text,user,w\na,,1\n", &selection)),
        &["row 1 (line 2)", "group is missing"],
    );
}

#[test]
fn huge_cells_are_fine() {
    let text = "word ".repeat(1 << 20);
    assert_eq!(texts("a.csv", format!("text,label\n\"{text}\",x\n"))[0], text);
    assert_eq!(texts("a.txt", format!("{text}\nb"))[0], text);
}

#[test]
fn folders_of_text_files_are_classes() {
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str, bytes: &[u8]| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    put("pos/2.txt", b"good\n");
    put("pos/1.txt", "\u{feff}fine".as_bytes());
    put("neg/deep/1.txt", b"bad\r\n");
    put("neg/.hidden", b"\0\0");
    let open = || Table::open(folder.path());
    assert_eq!(open().unwrap().columns(), ["text", "file", "label"]);
    let table = open().unwrap();
    let progress = table.progress();
    let rows: Vec<Row> =
        table.rows(&labelled(&["label"], LabelKind::Name)).unwrap().collect::<Result<_, _>>().unwrap();
    let found: Vec<_> = rows.iter().map(|row| (row.text.as_str(), row.label.clone())).collect();
    assert_eq!(found, [("bad", named("neg")), ("fine", named("pos")), ("good", named("pos"))]);
    assert_eq!(Some(progress.read()), progress.total());

    put("stray.txt", b"no class");
    assert_says(&input_error(open()), &["stray.txt", "no class"]);
    fs::remove_file(folder.path().join("stray.txt")).unwrap();
    put("neg/0.txt", b"\x89PNG\0");
    let binary = open().unwrap().rows(&Selection::default()).unwrap().collect::<Result<Vec<_>, _>>();
    assert_says(&input_error(binary), &["0.txt", "binary"]);
    put("neg/0.txt", b"caf\xe9");
    let latin = open().unwrap().rows(&Selection::default()).unwrap().collect::<Result<Vec<_>, _>>();
    assert_says(&input_error(latin), &["0.txt", "not UTF-8", "0xE9", "offset 3"]);
    let empty = tempfile::tempdir().unwrap();
    assert_says(&input_error(Table::open(empty.path())), &["holds no files"]);
}

#[test]
fn progress_reaches_the_end() {
    let text: String = (0..50_000).map(|row| format!("text {row},{}\n", row % 2)).collect();
    let table = Table::from_bytes("a.csv", format!("text,label\n{text}")).unwrap();
    let progress = table.progress();
    assert_eq!(progress.total(), Some(text.len() as u64 + 11));
    let mut rows = table.rows(&Selection::default()).unwrap();
    rows.next().unwrap().unwrap();
    assert!(progress.read() < text.len() as u64, "the table is read as rows are asked for");
    assert_eq!(rows.count(), 49_999);
    assert_eq!(Some(progress.read()), progress.total());
}

// Bad tables.

#[test]
fn unknown_columns_list_the_known_ones() {
    let selection = |text: &str| Selection { text: vec![text.into()], ..Selection::default() };
    let table = "title,body\na,b\n";
    for wanted in ["txet", "0", "3", "-1"] {
        let message = input_error(rows("t.csv", table, &selection(wanted)));
        assert_says(&message, &["t.csv", &format!("no column \"{wanted}\""), "\"title\", \"body\""]);
    }
    assert_says(
        &input_error(rows("t.csv", table, &Selection::default())),
        &["which column", "\"title\", \"body\""],
    );
    // Objects may have other keys than the first, so that a row is what lacks a column.
    let label = labelled(&["klass"], LabelKind::Name);
    assert_says(
        &input_error(rows("t.jsonl", "{\"text\": \"a\"}", &label)),
        &["row 1 (line 1)", "label is missing", "\"klass\""],
    );
}

#[test]
fn a_name_that_stands_twice_is_refused_only_when_chosen() {
    let table = "text,n,n\na,1,2\n";
    assert_eq!(texts("t.csv", table), ["a"]);
    let message = input_error(rows("t.csv", table, &labelled(&["n"], LabelKind::Name)));
    assert_says(&message, &["\"n\" stands twice", "2 and 3", "by number", "#2 or #3"]);
    for third in ["3", "#3"] {
        assert_eq!(rows("t.csv", table, &labelled(&[third], LabelKind::Name)).unwrap()[0].label, named("2"));
    }
    let twice = "{\"text\": \"a\", \"n\": 1, \"n\": 2}\n";
    assert_eq!(texts("t.jsonl", twice), ["a"]);
    let message = input_error(rows("t.jsonl", twice, &labelled(&["n"], LabelKind::Name)));
    assert_says(&message, &["row 1 (line 1)", "\"n\" stands twice"]);
}

#[test]
fn every_column_can_be_chosen() {
    // A name, then how it can be chosen, which is the cell below it. Each name must be choosable in some way.
    let header = [
        "",
        "text",
        " text ",
        "a b",
        "a,b",
        "2",
        "1",
        "a=b",
        "n",
        "n",
        "café",
        "#1",
        "say \"x\"",
        " spaced ",
    ];
    let quoted: Vec<String> =
        header.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let cells: Vec<String> = (1..=header.len()).map(|number| format!("cell {number}")).collect();
    let table = format!("{}\n{}\n", quoted.join(","), cells.join(","));
    let by = |column: &str| Selection { text: vec![column.into()], ..Selection::default() };
    let chosen = |column: &str| rows("t.csv", &table, &by(column)).map(|rows| rows[0].text.clone());
    for (at, name) in header.iter().enumerate() {
        if *name == "n" {
            assert_says(&input_error(chosen(name)), &["\"n\" stands twice", "9 and 10"]);
        } else {
            assert_eq!(chosen(name).unwrap(), cells[at], "{name:?}");
        }
        // `#1` is the name of another column.
        if at != 0 {
            assert_eq!(chosen(&format!("#{}", at + 1)).unwrap(), cells[at]);
        }
        let filter = Selection {
            text: vec!["a b".into()],
            filters: vec![format!("{name}={}", cells[at]).parse().unwrap()],
            ..Selection::default()
        };
        if *name != "n" {
            assert_eq!(rows("t.csv", &table, &filter).unwrap().len(), 1, "{name:?}");
        }
    }
    assert_eq!(chosen("spaced").unwrap(), "cell 14");
    assert_eq!(chosen("3").unwrap(), "cell 3");
}

/// Rows with the line each starts on, as counted by hand.
#[test]
fn lines_are_those_of_an_editor() {
    let table: &[(&str, &[u64])] = &[
        ("text,label\na,x\nb,y\n", &[2, 3]),
        ("text,label\r\na,x\r\nb,y\r\n", &[2, 3]),
        ("text,label\ra,x\rb,y\r", &[2, 3]),
        ("text,label\na,x\n\n\nb,y", &[2, 5]),
        ("text,label\r\n\r\na,x\r\n\r\n\r\nb,y\r\n\r\n", &[3, 6]),
        ("\n\ntext,label\na,x\n", &[4]),
        ("\r\ntext,label\r\na,x\r\n", &[3]),
        ("\u{feff}text,label\r\na,x\r\n", &[2]),
        ("text,label\n\"a\nb\n\nc\",x\nd,y\n", &[2, 6]),
        ("text,label\r\n\"a\r\nb\",x\r\n\r\n\"c\nd\re\",y\r\nf,z\r\n", &[2, 5, 8]),
        ("text,label\r\n\"\r\n\r\na\",x\r\nb,y\r\n", &[2, 5]),
    ];
    for (csv, lines) in table {
        for name in ["t.csv", "t.tsv"] {
            let bytes = if name == "t.tsv" { csv.replace(',', "\t") } else { (*csv).to_owned() };
            let found: Vec<Option<u64>> =
                rows(name, &bytes, &Selection::default()).unwrap().iter().map(|row| row.line).collect();
            assert_eq!(found, lines.iter().map(|line| Some(*line)).collect::<Vec<_>>(), "{bytes:?}");
        }
        // The same line in a message about a row that follows.
        if csv.ends_with(['\n', '\r']) {
            let ends = csv.replace("\r\n", "\n").matches(['\n', '\r']).count();
            let message =
                input_error(rows("t.csv", format!("{csv}b,nan"), &labelled(&["label"], LabelKind::Name)));
            assert_says(&message, &[&format!("row {} (line {})", lines.len() + 1, ends + 1)]);
        }
    }
    let without_header = ReadOptions { header: false, ..ReadOptions::default() };
    let table = Table::from_bytes_with("t.csv", "\r\na\r\n\r\nb\r\n", &without_header).unwrap();
    let lines: Vec<_> = table.rows(&Selection::default()).unwrap().map(|row| row.unwrap().line).collect();
    assert_eq!(lines, [Some(2), Some(4)]);
    let ragged = input_error(rows("t.csv", "text,label\r\na,b\r\n\r\nc\r\n", &Selection::default()));
    assert_says(&ragged, &["t.csv, line 4"]);
    let latin = input_error(rows("t.csv", b"text,label\r\n\r\ncaf\xe9,x\r\n", &Selection::default()));
    assert_says(&latin, &["line 3", "byte 14"]);
}

#[test]
fn without_quoting_a_quote_is_a_letter() {
    let without = ReadOptions { quotes: false, ..ReadOptions::default() };
    for (tsv, texts) in [
        (
            "text\tlabel\n\"great film\tx\ndull\ty\nend\" of it\tx\nb\ty\n",
            &["\"great film", "dull", "end\" of it", "b"][..],
        ),
        ("text\tlabel\n\"great film\tx\nb\ty\n", &["\"great film", "b"]),
        ("text\tlabel\n\"a\"\tx\n\"\"\ty\n", &["\"a\"", "\"\""]),
        ("text\n\"\n", &["\""]),
    ] {
        let table = Table::from_bytes_with("t.tsv", tsv, &without).unwrap();
        let found: Vec<String> =
            table.rows(&Selection::default()).unwrap().map(|row| row.unwrap().text).collect();
        assert_eq!(found, texts);
    }
    let swallowed = input_error(rows("t.tsv", "text\tlabel\n\"a\tx\nb\ty\n", &Selection::default()));
    assert_says(&swallowed, &["--quoting none"]);
}

#[test]
fn a_missing_text_is_an_error_at_its_row_and_never_guessed_over() {
    let text = Selection { text: vec!["text".into()], ..Selection::default() };
    let missing = ["row 1 (line 1)", "the text is missing (column \"text\" has no value)"];
    for (jsonl, at) in [
        ("{\"id\": 1}\n{\"id\": 2, \"text\": \"a\"}\n", 1),
        ("{\"id\": \"one\"}\n{\"id\": \"two\", \"text\": \"a\"}\n", 1),
        ("{\"text\": null}\n", 1),
        ("{}\n{\"text\": \"a\"}\n", 1),
        ("{\"text\": \"a\"}\n{\"id\": 1}\n", 2),
        ("{\"text\": \"a\"}\n{\"txet\": \"b\"}\n", 2),
        ("{\"text\": \"a\"}\n{\"text\": null}\n", 2),
    ] {
        let at = format!("row {at} (line {at})");
        assert_says(&input_error(rows("t.jsonl", jsonl, &text)), &[&at, missing[1]]);
        // Without a name no other column takes its place.
        let message = input_error(rows("t.jsonl", jsonl, &Selection::default()));
        assert!(
            message.contains("the text is missing") || message.contains("which column"),
            "{jsonl}: {message}"
        );
    }
    assert_says(&input_error(rows("t.jsonl", "{\"id\": 1}\n", &Selection::default())), &missing);
    // A column that the first object lacks is there all the same.
    let late = rows("t.jsonl", "{\"id\": 1, \"text\": \"a\"}\n{\"text\": \"b\", \"label\": \"x\"}\n", &text)
        .unwrap();
    assert_eq!(late[1].text, "b");
    // The only key of every object holds the texts.
    assert_eq!(texts("t.jsonl", "{\"body\": \"a\"}\n{\"body\": \"b\"}\n"), ["a", "b"]);
    // A filter on a column that no row has is a mistake, also where it lets every row pass.
    for filter in ["sorce=x", "sorce!=x"] {
        let selection = Selection { filters: vec![filter.parse().unwrap()], ..text.clone() };
        let message = input_error(rows("t.jsonl", "{\"text\": \"a\", \"source\": \"y\"}\n", &selection));
        assert_says(&message, &["sorce"]);
    }
}

const TABLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tables/");

fn opened(file: &str, selection: &Selection) -> Result<Vec<Row>, Error> {
    Table::open(format!("{TABLES}{file}"))?.rows(selection)?.collect()
}

/// pandas wrote the same rows three times (make.py).
#[test]
fn labels_have_one_name_in_every_format() {
    for (column, names) in [
        ("integer", ["0", "1", "-7", "9007199254740993"]),
        ("whole", ["0.0", "1.0", "1000.0", "-3.0"]),
        ("fraction", ["0.5", "0.1", "1.5e-07", "1e+16"]),
        ("code", ["01", "1e3", "1.0", "true"]),
    ] {
        for format in ["csv", "jsonl", "parquet"] {
            let file = format!("rows.{format}");
            let found = opened(&file, &labelled(&[column], LabelKind::Name)).unwrap();
            let found: Vec<_> = found.into_iter().map(|row| row.label.unwrap()).collect();
            assert_eq!(found, names.map(|name| Label::Name(name.into())), "{file}, {column}");
            for name in names {
                let filters = vec![format!("{column}={name}").parse::<Filter>().unwrap()];
                assert_eq!(opened(&file, &Selection { filters, ..Selection::default() }).unwrap().len(), 1);
            }
        }
    }
}

#[test]
fn labels_are_as_written() {
    let name = |file: &str, cell: &str| {
        let table = match file {
            "t.csv" => format!("text,label\na,{cell}\n"),
            _ => format!("{{\"text\": \"a\", \"label\": {cell}}}\n"),
        };
        rows(file, table, &labelled(&["label"], LabelKind::Name)).unwrap().remove(0).label.unwrap()
    };
    for cell in [
        "01",
        "1",
        "1.0",
        "1e3",
        "true",
        "True",
        "9007199254740993",
        "18446744073709551617",
        "0.10",
        "+1",
        "1_000",
    ] {
        assert_eq!(name("t.csv", cell), Label::Name(cell.into()));
        assert_eq!(name("t.jsonl", &format!("\"{cell}\"")), Label::Name(cell.into()));
    }
    for (json, label) in [
        ("1", "1"),
        ("1.0", "1.0"),
        ("1e3", "1000.0"),
        ("true", "true"),
        ("9007199254740993", "9007199254740993"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("0.1234567890123456789", "0.1234567890123456789"),
    ] {
        assert_eq!(name("t.jsonl", json), Label::Name(label.into()));
    }
    // One number is one label, one text another.
    let mixed = [r#"1"#, "1.0", "0", "0.0", r#""1.0""#, "1e0", "[1.0, 2]"];
    let table: String =
        mixed.iter().map(|cell| format!("{{\"text\": \"a\", \"label\": {cell}}}\n")).collect();
    let list = LabelKind::List { separator: ",".into() };
    let found = rows("t.jsonl", &table, &labelled(&["label"], list)).unwrap();
    let found: Vec<_> = found.into_iter().map(|row| row.label).collect();
    let expected = [&["1"][..], &["1"], &["0"], &["0"], &["1.0"], &["1"], &["1", "2"]];
    assert_eq!(found, expected.map(several));
}

/// What polars and pyarrow write (make.py).
#[cfg(feature = "parquet")]
#[test]
fn parquet_of_every_compression_and_type() {
    for codec in ["none", "snappy", "gzip", "lz4", "zstd", "brotli"] {
        for version in [1, 2] {
            let file = format!("{codec}-v{version}.parquet");
            let table = Table::open(format!("{TABLES}{file}")).unwrap();
            let selection = Selection {
                text: vec!["text".into(), "plain".into(), "labels".into()],
                labels: vec!["labels".into()],
                label_kind: LabelKind::List { separator: ",".into() },
                ..Selection::default()
            };
            let found: Vec<Row> = table.rows(&selection).unwrap().collect::<Result<_, _>>().unwrap();
            assert_eq!(found.len(), 60, "{file}");
            for (at, row) in found.iter().enumerate() {
                let labels: Vec<&str> = [(at % 2 == 0, "even"), (at % 3 == 0, "third")]
                    .iter()
                    .filter(|(is, _)| *is)
                    .map(|(_, name)| *name)
                    .collect();
                assert_eq!(
                    row.text,
                    format!("the same words again {}\nrow {at}\n{}", at % 3, labels.join("\n")),
                    "{file}"
                );
                assert_eq!(row.label, several(&labels));
            }
            let column = |column: &str| Selection { text: vec![column.into()], ..Selection::default() };
            assert_says(&input_error(opened(&file, &column("nothing"))), &["row 1", "text is missing"]);
            assert_says(&input_error(opened(&file, &column("number"))), &["row 1", "text is missing"]);
            // Damage is an error, not a panic.
            let bytes = fs::read(format!("{TABLES}{file}")).unwrap();
            for at in (0..bytes.len()).step_by(3) {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x55;
                let _ = rows_of(damaged, &selection);
            }
        }
    }
    let cells = |file: &str| -> Vec<Vec<Option<String>>> {
        Table::open(format!("{TABLES}{file}")).unwrap().cells().unwrap().collect::<Result<_, _>>().unwrap()
    };
    let expected =
        [Some("the first text"), Some("a second, longer text"), Some(""), None, Some("the first text")];
    let lists = [Some("a\nb"), Some("a"), Some(""), None, Some("b")];
    for (at, row) in cells("polars.parquet").into_iter().enumerate() {
        assert_eq!(row, [expected[at], lists[at]].map(|cell| cell.map(str::to_owned)));
    }
    for column in ["string", "large", "view", "binary", "dictionary"] {
        let only = Selection { text: vec![column.into()], limit: Some(3), ..Selection::default() };
        let found: Vec<_> =
            opened("types.parquet", &only).unwrap().into_iter().map(|row| Some(row.text)).collect();
        assert_eq!(
            found,
            expected[..3].iter().map(|cell| cell.map(str::to_owned)).collect::<Vec<_>>(),
            "{column}"
        );
        let all = Selection { limit: None, ..only };
        assert_says(&input_error(opened("types.parquet", &all)), &["row 4", "text is missing"]);
    }
    let list = LabelKind::List { separator: ",".into() };
    for column in ["list", "large_list", "list_of_dictionary"] {
        let selection =
            Selection { text: vec!["string".into()], limit: Some(3), ..labelled(&[column], list.clone()) };
        let found: Vec<_> =
            opened("types.parquet", &selection).unwrap().into_iter().map(|row| row.label).collect();
        assert_eq!(found, [several(&["a", "b"]), several(&["a"]), several(&[])], "{column}");
    }
    let nulls = Selection { text: vec!["string".into()], ..labelled(&["null_in_list"], list) };
    assert_says(&input_error(opened("types.parquet", &nulls)), &["null_in_list", "a null in it"]);
    let nothing = Selection { text: vec!["null".into()], ..Selection::default() };
    assert_says(&input_error(opened("types.parquet", &nothing)), &["row 1", "text is missing"]);
}

#[test]
fn empty_tables() {
    for name in ["a.txt", "a.csv", "a.tsv", "a.jsonl", "a.parquet"] {
        assert_says(&input_error(rows(name, "", &Selection::default())), &[name, "empty"]);
    }
    for blank in ["\n \r\n", "\u{feff}", "\u{feff}\n"] {
        assert_says(&input_error(rows("a.csv", blank, &Selection::default())), &["empty"]);
    }
    assert_says(
        &input_error(rows("a.csv", "text,label\n", &Selection::default())),
        &["a header and no rows"],
    );
}

#[test]
fn binary_files_say_what_they_are() {
    let message = |bytes: &[u8]| input_error(rows("a.csv", bytes, &Selection::default()));
    assert_says(&message(b"text\0,label\n"), &["binary", "byte 4 is zero"]);
    assert_says(&message(b"PK\x03\x04rest"), &["spreadsheet", "CSV (UTF-8)"]);
    assert_says(&message(b"\x1f\x8b\x08rest"), &["gzip"]);
    assert_says(&message(b"\xff\xfet\0e\0"), &["UTF-16"]);
    assert_says(&message(b"PAR1rest"), &["Parquet", ".parquet"]);
}

#[test]
fn text_that_is_not_utf8_is_located() {
    let lines = input_error(rows("a.txt", b"good\r\nalso\ncaf\xe9\n", &Selection::default()));
    assert_says(&lines, &["line 3", "0xE9", "offset 14", "UTF-8"]);
    let marked = input_error(rows("a.txt", b"\xef\xbb\xbfcaf\xe9\n", &Selection::default()));
    assert_says(&marked, &["line 1", "offset 6"]);
    let json =
        input_error(rows("a.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"caf\xe9\"}\n", &Selection::default()));
    assert_says(&json, &["line 2", "0xE9"]);
    let cells = input_error(rows("a.csv", b"text,label\na,b\ncaf\xe9,d\n", &Selection::default()));
    assert_says(&cells, &["line 3", "column \"text\"", "not UTF-8", "byte 15"]);
    let header = input_error(rows("a.csv", b"t\xe9xt,label\na,b\n", &Selection::default()));
    assert_says(&header, &["line 1", "not UTF-8"]);
}

#[test]
fn ragged_rows_are_located() {
    let message = input_error(rows("a.csv", "text,label\na,b\nc,d,e\n", &Selection::default()));
    assert_says(&message, &["a.csv, line 3", "3 cells", "have 2"]);
    let message = input_error(rows("a.tsv", "text\tlabel\na\tb\nc\n", &Selection::default()));
    assert_says(&message, &["a.tsv, line 3", "1 cells", "have 2"]);
}

#[test]
fn bad_labels_are_located() {
    let name = labelled(&["label"], LabelKind::Name);
    let number = labelled(&["label"], LabelKind::Number);
    let csv = |cell: &str| format!("text,label\na,1\nb,{cell}\n");
    for empty in ["", "  "] {
        for selection in [&name, &number] {
            let message = input_error(rows("t.csv", csv(empty), selection));
            assert_says(&message, &["t.csv, row 2 (line 3)", "label is missing", "\"label\""]);
        }
    }
    for cell in ["nan", "NaN", "inf", "1e999", "one"] {
        let message = input_error(rows("t.csv", csv(cell), &number));
        assert_says(&message, &["row 2 (line 3)", &format!("{cell:?}"), "a finite number"]);
    }
    assert_says(
        &input_error(rows("t.csv", csv("NaN"), &name)),
        &["row 2 (line 3)", "\"NaN\"", "missing value"],
    );
    let null = "{\"text\": \"a\", \"label\": \"x\"}\n\n{\"text\": \"b\", \"label\": null}\n";
    assert_says(&input_error(rows("t.jsonl", null, &name)), &["row 2 (line 3)", "label is missing"]);
    let absent = "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\"}\n";
    assert_says(&input_error(rows("t.jsonl", absent, &name)), &["row 2 (line 2)", "label is missing"]);
    let list = "{\"text\": \"a\", \"label\": [\"x\"]}\n";
    assert_says(&input_error(rows("t.jsonl", list, &name)), &["row 1", "a list", "one label a row"]);
    let flags = labelled(&["label"], LabelKind::Indicators);
    assert_says(&input_error(rows("t.csv", csv("2"), &flags)), &["row 2 (line 3)", "\"2\"", "1 or 0"]);
    let two = labelled(&["text", "label"], LabelKind::Name);
    assert_says(&input_error(rows("t.csv", csv("1"), &two)), &["2 label columns", "indicators"]);
}

#[test]
fn bad_json_is_located() {
    let message = |text: &str| input_error(rows("t.jsonl", text, &Selection::default()));
    assert_says(&message("{\"text\": \"a\"}\n{\"text\": }\n"), &["row 2 (line 2)", "not JSON", "column"]);
    assert_says(&message("[1, 2]\n"), &["row 1 (line 1)", "expected a JSON object", "a list"]);
    assert_says(&message("{\"text\": {\"a\": 1}}\n"), &["row 1 (line 1)", "\"text\"", "an object"]);
    assert_says(&message("{\"text\": null}\n"), &["row 1 (line 1)", "text is missing"]);
}

#[test]
fn an_error_ends_the_rows() {
    let table = Table::from_bytes("a.csv", "text,label\na,b\nc\nd,e\n").unwrap();
    let outcomes: Vec<bool> = table.rows(&Selection::default()).unwrap().map(|row| row.is_ok()).collect();
    assert_eq!(outcomes, [true, false]);
}

#[test]
fn files_that_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Table::open(folder.path().join("none.csv")).unwrap_err();
    assert!(missing.is_io(), "{missing:?}");
    assert_says(&missing.to_string(), &["cannot open", "none.csv"]);
    let unknown = folder.path().join("table.dat");
    fs::write(&unknown, "text\na\n").unwrap();
    assert_says(&input_error(Table::open(&unknown)), &["table.dat", ".csv", ".jsonl", ".parquet"]);
    let told = ReadOptions { format: Some(Format::Csv), ..ReadOptions::default() };
    assert_eq!(Table::open_with(&unknown, &told).unwrap().columns(), ["text"]);
    assert_says(&input_error("doc".parse::<Format>()), &["no such format: doc", "csv"]);
}

// Files of embeddings.

const TOKENS: [u32; 3] = [4, 512, 3];
const TRUNCATED: [bool; 3] = [false, true, false];

fn values() -> Vec<f32> {
    (0..6).map(|value| value as f32 / 3.0 - 0.9).collect()
}

/// Writes three vectors of two numbers, in two chunks.
fn write(path: &Path) {
    let values = values();
    let mut writer = EmbeddingWriter::create(path, 2).unwrap();
    writer.write(&values[..4], &TOKENS[..2], &TRUNCATED[..2]).unwrap();
    writer.write(&values[4..], &TOKENS[2..], &TRUNCATED[2..]).unwrap();
    assert!(!path.exists(), "the target appears when it is whole");
    assert_eq!(writer.finish().unwrap(), 3);
}

fn names_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn npy_is_what_numpy_expects() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.npy");
    write(&path);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!((10 + header) % 64, 0);
    let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
    assert!(
        text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }")
            && text.ends_with('\n')
    );
    assert_eq!(floats(&bytes[10 + header..]), values());
    assert_eq!(names_in(folder.path()), ["e.npy"]);
}

#[test]
fn safetensors_hold_tokens_and_truncation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.safetensors");
    write(&path);
    let bytes = fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let embeddings = tensors.tensor("embeddings").unwrap();
    assert_eq!((embeddings.shape(), embeddings.dtype()), (&[3, 2][..], safetensors::Dtype::F32));
    assert_eq!(floats(embeddings.data()), values());
    let tokens = tensors.tensor("tokens").unwrap();
    assert_eq!((tokens.shape(), tokens.dtype()), (&[3][..], safetensors::Dtype::I32));
    let tokens = tokens.data().chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
    assert_eq!(tokens.collect::<Vec<_>>(), TOKENS);
    assert_eq!(tensors.tensor("truncated").unwrap().data(), TRUNCATED.map(u8::from));
}

#[test]
fn text_formats_read_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.jsonl");
    write(&path);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let column = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    assert_eq!(serde_json::json!(column("tokens")), serde_json::json!(TOKENS));
    assert_eq!(serde_json::json!(column("truncated")), serde_json::json!(TRUNCATED));
    let numbers = |value: &serde_json::Value| serde_json::from_value::<Vec<f32>>(value.clone()).unwrap();
    assert_eq!(column("embedding").iter().flat_map(numbers).collect::<Vec<_>>(), values());

    let path = folder.path().join("e.csv");
    write(&path);
    let text = fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("tokens,truncated,e0,e1"));
    let cells: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!((cells[1][0], cells[1][1], cells.len()), ("512", "true", 3));
    let read: Vec<f32> = cells.iter().flat_map(|row| &row[2..]).map(|cell| cell.parse().unwrap()).collect();
    assert_eq!(read, values());
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_reads_back_through_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.parquet");
    write(&path);
    let table = Table::open(&path).unwrap();
    assert_eq!(table.columns(), ["tokens", "truncated", "embedding"]);
    let selection = Selection {
        text: vec!["embedding".into()],
        group: Some("tokens".into()),
        filters: vec!["truncated=true".parse().unwrap()],
        ..Selection::default()
    };
    let rows: Vec<Row> = table.rows(&selection).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].number, rows[0].group.as_deref()), (2, Some("512")));
    let read: Vec<f32> = rows[0].text.lines().map(|value| value.parse().unwrap()).collect();
    assert_eq!(read, values()[2..4]);

    // Damage is an error, not a panic, wherever it is.
    let bytes = fs::read(&path).unwrap();
    for cut in [5, bytes.len() / 2, bytes.len() - 1] {
        input_error(rows_of(bytes[..cut].to_vec(), &selection));
    }
    for at in 0..bytes.len() {
        for flip in [0x01, 0x55, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            // What it gives does not matter here, only that it gives something.
            let _ = rows_of(damaged, &selection);
        }
    }
}

#[cfg(feature = "parquet")]
fn rows_of(parquet: Vec<u8>, selection: &Selection) -> Result<Vec<Row>, Error> {
    Table::from_bytes("t.parquet", parquet)?.rows(selection)?.collect()
}

#[test]
fn an_unknown_ending_lists_the_known_ones() {
    let message = input_error(EmbeddingFormat::from_path("vectors.h5"));
    assert_says(&message, &["vectors.h5", ".npy", ".safetensors", ".jsonl", ".csv", ".parquet"]);
    assert_says(&input_error(EmbeddingWriter::create("vectors", 2)), &["the ending"]);
}

#[test]
fn an_unfinished_file_leaves_nothing_and_the_old_one_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["npy", "safetensors", "jsonl", "csv", "parquet"] {
        let path = folder.path().join(format!("e.{ending}"));
        fs::write(&path, "old").unwrap();
        let mut writer = EmbeddingWriter::create(&path, 1).unwrap();
        writer.write(&[1.0], &[3], &[false]).unwrap();
        drop(writer);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
    assert_eq!(names_in(folder.path()).len(), 5);
}

#[test]
fn rows_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EmbeddingWriter::create(folder.path().join("e.csv"), 2).unwrap();
    assert_says(
        &input_error(writer.write(&[1.0; 3], &[3, 4], &[false; 2])),
        &["2 rows of 2", "4 values", "and 3"],
    );
    writer.write(&[1.0; 2], &[3], &[false]).unwrap();
    for bad in [f32::NAN, f32::INFINITY] {
        let error = writer.write(&[1.0, 2.0, 3.0, bad], &[3, 4], &[false; 2]).unwrap_err();
        assert!(error.is_device(), "{error:?}");
        assert_says(&error.to_string(), &["row 3", "column 1", &bad.to_string()]);
    }
}

#[test]
fn targets_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let error = EmbeddingWriter::create(folder.path().join("no/such/e.npy"), 2).unwrap_err();
    assert!(error.is_io(), "{error:?}");
    assert_says(&error.to_string(), &["e.npy", "its folder does not exist"]);
    let taken = folder.path().join("e.npy");
    fs::create_dir(&taken).unwrap();
    assert_says(&input_error(EmbeddingWriter::create(&taken, 2)), &["it is a folder"]);
}

/// Runs one test of this file again in a process of its own, below a shell command, with `folder` in the environment.
#[cfg(unix)]
fn again(test: &str, shell: &str, folder: &Path) {
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$0\" --exact {test} --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{complained}");
}

/// Set in a process started by [`again`].
#[cfg(unix)]
const FOLDER: &str = "FROSTBERT_TEST_FOLDER";

#[cfg(target_os = "linux")]
#[test]
fn a_million_rows_need_the_memory_of_a_few() {
    const ROWS: usize = 1_000_000;
    if let Some(folder) = std::env::var_os(FOLDER) {
        for name in ["rows.csv", "rows.jsonl"] {
            let table = Table::open(Path::new(&folder).join(name)).unwrap();
            let rows = table.rows(&labelled(&["label"], LabelKind::Name)).unwrap();
            assert_eq!(rows.map(|row| row.unwrap().number).last(), Some(ROWS as u64));
        }
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak_kib < 40 << 10, "{peak_kib} KiB at the peak");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = "a text of some fifty letters, which is not very long";
    let rows = |row: fn(&str) -> String| row(text).repeat(ROWS);
    fs::write(
        folder.path().join("rows.csv"),
        format!("text,label\n{}", rows(|text| format!("\"{text}\",x\n"))),
    )
    .unwrap();
    let json = rows(|text| format!("{{\"text\": \"{text}\", \"label\": \"x\"}}\n"));
    fs::write(folder.path().join("rows.jsonl"), json).unwrap();
    again("a_million_rows_need_the_memory_of_a_few", "", folder.path());
}

/// A disk that fills up: a limit on the size of files, which the system reports in the same way.
#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        for ending in ["npy", "safetensors", "jsonl", "csv", "parquet"] {
            let mut writer =
                EmbeddingWriter::create(Path::new(&folder).join(format!("e.{ending}")), 1000).unwrap();
            let chunk = vec![0.123_456_7; 100_000];
            let written = (0..20).try_for_each(|_| writer.write(&chunk, &[1; 100], &[false; 100]));
            let error =
                written.and_then(|()| writer.finish().map(drop)).expect_err("8 MB do not fit into 1 MB");
            assert!(error.is_io(), "{error:?}");
            assert_says(&error.to_string(), &[ending, "disk is full", "nothing of it is left"]);
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Without the trap the signal would end the process before the error is seen. 2,048 blocks of 512 bytes.
    again("a_full_disk_is_told_and_leaves_nothing", "trap '' XFSZ; ulimit -f 2048 &&", folder.path());
    assert!(names_in(folder.path()).is_empty(), "{:?}", names_in(folder.path()));
}
