//! The training report: every section, hostile texts, odd data. The page is left at
//! `target/tmp/report.html` to be looked at.
#![cfg(feature = "report")]

#[path = "report/sample.rs"]
mod sample;

use frostbert::report;
use frostbert::report::*;
use quick_xml::events::Event;
use serde_json::Value;
use std::path::Path;

/// Every drawing on the page.
fn drawings(page: &str) -> Vec<&str> {
    let ends = page.match_indices("</svg>").map(|(at, end)| at + end.len());
    page.match_indices("<svg").zip(ends).map(|((start, _), end)| &page[start..end]).collect()
}

/// Fails unless every drawing is XML whose coordinates are numbers.
fn check_drawings(page: &str) -> usize {
    let drawings = drawings(page);
    for svg in &drawings {
        let mut reader = quick_xml::Reader::from_str(svg);
        loop {
            match reader.read_event().unwrap_or_else(|error| panic!("{error} in {svg:.200}")) {
                Event::Start(tag) | Event::Empty(tag) => {
                    for attribute in tag.attributes() {
                        let attribute = attribute.unwrap_or_else(|error| panic!("{error} in {svg:.200}"));
                        let is_place =
                            matches!(attribute.key.as_ref(), "d" | "points" | "x" | "y" | "viewBox");
                        let value = attribute.value;
                        assert!(!is_place || !value.contains("NaN") && !value.contains("inf"), "{value}");
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
    }
    drawings.len()
}

/// The data with every leaf of its JSON changed.
fn changed(data: &ReportData, change: &dyn Fn(&mut Value)) -> ReportData {
    fn walk(value: &mut Value, change: &dyn Fn(&mut Value)) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, change)),
            Value::Object(fields) => fields.values_mut().for_each(|field| walk(field, change)),
            leaf => change(leaf),
        }
    }
    let mut json = serde_json::to_value(data).expect("plain data");
    walk(&mut json, change);
    serde_json::from_value(json).expect("changed leaves keep their types")
}

/// What a reader sees: the page without its style and script.
fn visible(page: &str) -> String {
    let (head, rest) = page.split_once("<style>").expect("a style");
    let (_, rest) = rest.split_once("</style>").expect("its end");
    let (body, _) = rest.split_once("<script>").expect("a script");
    format!("{head}{body}")
}

#[test]
fn the_page_has_every_section_and_can_be_looked_at() {
    let data = sample::report();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report.html");
    report::write(&path, &data).unwrap();
    let page = std::fs::read_to_string(&path).unwrap();
    assert_eq!(page, report::render(&data).unwrap(), "two renderings differ");

    let mut from = 0;
    for id in [
        "metrics",
        "classes",
        "confusion",
        "calibration",
        "coverage",
        "curves",
        "learning",
        "layers",
        "long",
        "words",
        "kinds",
        "clusters",
        "map",
        "mistakes",
        "labels",
        "tokens",
        "provenance",
        "use",
    ] {
        let section = format!("<section id=\"{id}\">");
        let at = page[from..].find(&section).unwrap_or_else(|| panic!("no {id} after the one before"));
        from += at;
        assert!(page.contains(&format!("href=\"#{id}\"")), "{id} is not in the contents");
    }
    assert_eq!(page.matches("<h1").count(), 1);
    // Seven plots and the samples of their legends; all points of both maps, each with its text.
    assert!(check_drawings(&page) > 6);
    assert_eq!(page.matches("<path class=\"point k").count() - 2 * 10, 2 * 1257);
    assert!(page.contains("0.489") && page.contains("0.470 to 0.508"));
}

#[test]
fn the_page_loads_nothing() {
    let page = report::render(&sample::report()).unwrap();
    assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
    for loading in ["http:", "https:", " src=", "<link", "@import", "url(", "@font-face"] {
        assert!(!page.contains(loading), "{loading}");
    }
}

#[test]
fn no_text_becomes_markup() {
    let hostile = "</title></svg></script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&\u{0}\u{1b}\u{ffff}";
    let data = changed(&sample::report(), &|leaf| {
        if leaf.is_string() {
            *leaf = hostile.into();
        }
    });
    let page = report::render(&data).unwrap();
    assert_eq!(page.matches("<script").count(), 1, "only the page's own");
    assert_eq!(page.matches("</script").count(), 1);
    assert!(!page.contains("<img"));
    assert!(page.contains("&lt;img src=x"));
    assert!(!page.contains(['\u{0}', '\u{1b}', '\u{ffff}']));
    check_drawings(&page);
}

#[test]
fn what_is_not_a_number_is_a_dash() {
    let data = changed(&sample::report(), &|leaf| {
        if leaf.is_f64() {
            *leaf = Value::Null;
        }
    });
    assert!(data.metrics.as_ref().unwrap().rows[0].values[0].mean.is_nan());
    let page = report::render(&data).unwrap();
    let seen = visible(&page);
    assert!(!seen.contains("NaN") && !seen.contains("inf%"));
    assert!(seen.matches('–').count() > 30);
    check_drawings(&page);
}

#[test]
fn json_brings_everything_back() {
    let data = sample::report();
    let back: ReportData = serde_json::from_str(&serde_json::to_string(&data).unwrap()).unwrap();
    // NaN is not equal to itself: compare what is shown.
    assert_eq!(report::render(&back).unwrap(), report::render(&data).unwrap());
    let small: ReportData = serde_json::from_str(r#"{"title": "Only a title"}"#).unwrap();
    assert_eq!(small, ReportData { title: "Only a title".into(), ..ReportData::default() });
}

#[test]
fn every_section_stands_alone() {
    let empty = report::render(&ReportData::default()).unwrap();
    assert!(empty.contains("Nothing was reported.") && !empty.contains("<section"));

    let Value::Object(all) = serde_json::to_value(sample::report()).unwrap() else { panic!("an object") };
    let mut sections = 0;
    for (name, value) in &all {
        let one = serde_json::json!({ name.as_str(): value });
        let data: ReportData = serde_json::from_value(one).unwrap();
        let page = report::render(&data).unwrap_or_else(|error| panic!("{name}: {error}"));
        let count = page.matches("<section").count();
        assert!(count <= 1, "{name} alone made {count} sections");
        sections += count;
        check_drawings(&page);
    }
    // Model, data, settings and command share a section and make it four times here.
    assert_eq!(sections, 18 + 3);
}

#[test]
fn empty_parts_leave_no_empty_sections() {
    let data = ReportData {
        metrics: Some(MetricTable::default()),
        confusion: Some(Confusion::default()),
        reliability: Some(Reliability::default()),
        learning_curve: Some(LearningCurve::default()),
        layers: Some(CandidateTable::default()),
        long: Some(CandidateTable::default()),
        words: Some(CandidateTable::default()),
        kinds: Some(CandidateTable::default()),
        clusters: Some(ClusterReport::default()),
        maps: vec![Map::default()],
        ..ReportData::default()
    };
    assert!(!report::render(&data).unwrap().contains("<section"));
}

#[test]
fn a_regression_is_drawn() {
    let point = |at: usize| RegressionPoint {
        truth: at as f64,
        predicted: at as f64 * 0.9 + 0.3,
        text: format!("text {at} <b>"),
    };
    let data = ReportData { regression: (0..50).map(point).collect(), ..ReportData::default() };
    let page = report::render(&data).unwrap();
    assert_eq!(page.matches("class=\"point c0\"").count(), 50);
    assert!(page.contains("text 7 &lt;b&gt;"));
    check_drawings(&page);
}

#[test]
fn long_texts_are_folded_or_cut_and_nothing_is_lost() {
    let words: Vec<String> = (0..400).map(|at| format!("word{at}")).collect();
    let shares = words.iter().map(|word| TokenShare { token: word.clone(), share: 0.1 }).collect();
    let mistake = |shares| Mistake {
        text: words.join(" "),
        truth: "a".into(),
        predicted: "b".into(),
        probability: 0.9,
        shares,
    };
    let data = ReportData { mistakes: vec![mistake(shares), mistake(vec![])], ..ReportData::default() };
    let page = report::render(&data).unwrap();
    assert!(page.contains("<summary>… 320 more tokens</summary>"));
    assert_eq!(page.matches(">word399</span>").count(), 1, "the last token is folded away, not gone");
    assert_eq!(page.matches("…</span>").count(), 1, "the text without shares is cut");
    assert_eq!(page.matches("word398 word399\"").count(), 1, "its title has the whole");
}

#[test]
fn many_classes_and_many_rows_stay_readable() {
    let classes = 150;
    let labels: Vec<String> = (0..classes).map(|class| format!("intent {class}")).collect();
    let count = |truth: usize, predicted: usize| match (truth * 7 + predicted * 13) % 29 {
        _ if truth == predicted => 40,
        3 => 1 + (truth + predicted) % 5,
        _ => 0,
    };
    let counts =
        (0..classes).map(|truth| (0..classes).map(|predicted| count(truth, predicted)).collect()).collect();
    let point = |at: usize| MapPoint {
        x: (at % 97) as f64,
        y: (at % 89) as f64,
        class: at % classes,
        predicted: None,
        text: format!("row {at}"),
    };
    let curve = |class: &String| ClassCurves {
        class: class.clone(),
        roc: vec![[0.0, 0.0], [0.1, 0.8], [1.0, 1.0]],
        pr: vec![[0.0, 1.0], [1.0, 0.2]],
        roc_auc: Some(0.85),
        average_precision: None,
    };
    let data = ReportData {
        curves: labels.iter().map(curve).collect(),
        confusion: Some(Confusion { labels: labels.clone(), counts }),
        maps: vec![Map {
            labels,
            points: (0..8000).map(point).collect(),
            sampled_from: Some(9500),
            ..Map::default()
        }],
        ..ReportData::default()
    };
    let page = report::render(&data).unwrap();
    assert!(page.contains("With 150 classes the matrix would not fit a page"));
    assert!(page.contains("Drawn are the first 7 of 150 classes"));
    assert!(page.contains("Drawn are 3,000 of 9,500 rows (31.6%), picked at random."));
    assert!(page.contains("136 other classes"));
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    check_drawings(&page);
}

/// Clusters that come together one after another, as far apart as they are many.
fn chain(clusters: usize) -> ClusterReport {
    let summary = |at: usize| ClusterSummary {
        name: format!("name {at} <b>"),
        texts: clusters - at,
        cohesion: 0.5,
        ..ClusterSummary::default()
    };
    let merge = |at: usize| ClusterMerge {
        left: if at == 0 { 0 } else { clusters + at - 1 },
        right: at + 1,
        distance: at as f64 / clusters as f64,
    };
    ClusterReport {
        clusters: (0..clusters).map(summary).collect(),
        merges: (0..clusters.saturating_sub(1)).map(merge).collect(),
        ..ClusterReport::default()
    }
}

#[test]
fn a_tree_of_clusters_is_drawn_as_far_as_it_can_be_read() {
    let page = |clusters: usize| {
        let data = ReportData { clusters: Some(chain(clusters)), ..ReportData::default() };
        let page = report::render(&data).unwrap();
        check_drawings(&page);
        page
    };
    assert!(!page(1).contains("<svg"), "one cluster has no tree");
    let small = page(5);
    assert!(
        small.contains("Tree of 5 clusters: name 0 &lt;b&gt; with name 1 &lt;b&gt; at distance"),
        "{small}"
    );
    assert_eq!(small.matches("<path class=\"line joint\"").count(), 4);
    assert_eq!(small.matches("<tspan").count(), 5);
    // As on the map; with more clusters the marks there are not one each.
    assert!(small.contains("class=\"mark c4\"") && !page(20).contains("class=\"mark c4\""));
    let large = page(300);
    assert_eq!(large.matches("<tspan").count(), 60);
    assert_eq!(large.matches("<path class=\"line joint\"").count(), 59);
    assert!(large.contains("Drawn are the upper 60 of 300 branches."));
    assert!(large.contains("name 0 &lt;b&gt; and 240 others"), "the folded ones are counted");
    assert!(page(2_000).len() < 2_000_000);
}

#[test]
fn contradictions_are_errors_that_name_them() {
    let confusion = Confusion { labels: vec!["a".into(), "b".into()], counts: vec![vec![1, 2]] };
    let data = ReportData { confusion: Some(confusion), ..ReportData::default() };
    let error = report::render(&data).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("expected 2 rows of 2 counts"), "{error}");

    let point = MapPoint { x: 0.0, y: 0.0, class: 2, predicted: None, text: String::new() };
    let map = Map { method: "PCA".into(), labels: vec!["a".into()], points: vec![point], sampled_from: None };
    let data = ReportData { maps: vec![map], ..ReportData::default() };
    let error = report::render(&data).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("there are 1 labels"), "{error}");

    for (left, right) in [(0, 3), (1, 1), (0, usize::MAX)] {
        let mut wrong = chain(3);
        (wrong.merges[0].left, wrong.merges[0].right) = (left, right);
        let data = ReportData { clusters: Some(wrong), ..ReportData::default() };
        let error = report::render(&data).unwrap_err();
        assert!(error.is_input() && error.to_string().contains("already taken"), "{error}");
    }
}

#[test]
fn a_report_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let data = ReportData { title: "First".into(), ..ReportData::default() };
    report::write(&path, &data).unwrap();
    let first = std::fs::read_to_string(&path).unwrap();

    let wrong = Confusion { labels: vec!["a".into()], counts: vec![] };
    report::write(&path, &ReportData { confusion: Some(wrong), ..data.clone() }).unwrap_err();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), first, "a failed report replaced the old one");

    report::write(&path, &ReportData { title: "Second".into(), ..data.clone() }).unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().contains("Second"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");

    let error = report::write(folder.path().join("no/such/folder.html"), &data).unwrap_err();
    assert!(error.is_io() && error.to_string().contains("folder.html"), "{error:?}");
}
