//! The values that results are held against were computed with scikit-learn 1.9.1 and scipy 1.17.1 on the same rows, in float64.

use super::*;
use crate::vectors::tests::random;

/// Sixty rows of whole numbers around three axes: row `i` is near axis `i % 3`.
fn three_kinds() -> Matrix<'static> {
    let mut values = vec![];
    for i in 0..60i64 {
        for j in 0..4i64 {
            let value = (i * 37 + j * 101 + (i * i * 13 + j * j * 7) % 17 * 29) % 41 - 20;
            values.push((value + if j == i % 3 { 80 } else { 0 }) as f32);
        }
    }
    Matrix::new(60, 4, values).unwrap()
}

fn kmeans_of(count: Option<usize>) -> ClusterOptions {
    ClusterOptions { count, ..ClusterOptions::default() }
}

fn hdbscan_of(min_size: usize, min_samples: Option<usize>) -> ClusterOptions {
    ClusterOptions { method: ClusterMethod::Hdbscan, min_size, min_samples, ..ClusterOptions::default() }
}

/// The groups of rows as numbers, those of no cluster as one more.
fn numbers(found: &Clusters) -> Vec<usize> {
    found.of_row.iter().map(|own| own.unwrap_or(found.clusters.len())).collect()
}

#[test]
fn kmeans_finds_the_kinds_and_chooses_their_number() {
    let rows = three_kinds();
    for count in [Some(3), None] {
        let found = clusters(&rows, &kmeans_of(count)).unwrap();
        assert_eq!(found.of_row, (0..60).map(|row| Some(row % 3)).collect::<Vec<_>>());
        // silhouette_score(metric="cosine").
        assert!((found.silhouette.unwrap() - 0.9240135110351931).abs() < 1e-6, "{:?}", found.silhouette);
        for (cluster, cohesion) in
            found.clusters.iter().zip([0.964311293133683, 0.9726455202565185, 0.969176640225367])
        {
            assert!((cluster.cohesion - cohesion).abs() < 1e-6);
            // The mean of unit rows is as long as their mean cosine with its direction.
            let similarity = |row: &usize| found.similarities[*row].unwrap();
            assert!(cluster.rows.is_sorted_by(|a, b| similarity(a) >= similarity(b)));
        }
    }
    let tried = clusters(&rows, &kmeans_of(None)).unwrap().candidates;
    assert_eq!(tried.iter().map(|one| one.count).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
    assert!(tried.iter().all(|one| one.silhouette <= tried[1].silhouette));
    // The largest cluster first; the same again for the same seed, and the same rows in a cluster for another one.
    let some = rows.select_rows(&(0..60).filter(|row| row % 3 == 2 || *row < 20).collect::<Vec<_>>());
    let found = clusters(&some, &kmeans_of(Some(3))).unwrap();
    assert_eq!(found.clusters.iter().map(|one| one.rows.len()).collect::<Vec<_>>(), [20, 7, 7]);
    assert_eq!(found, clusters(&some, &kmeans_of(Some(3))).unwrap());
    let other = ClusterOptions { seed: 9, ..kmeans_of(Some(3)) };
    assert_eq!(found.of_row, clusters(&some, &other).unwrap().of_row);
}

#[test]
fn the_silhouette_is_that_of_comparing_all_pairs() {
    let rows = random(40, 7, 11);
    let unit = UnitRows::new(&rows, "rows").unwrap();
    let of_row: Vec<Option<usize>> =
        (0..40).map(|row| [Some(0), Some(1), None, Some(2), Some(1)][row % 5]).collect();
    let distance = |a: usize, b: usize| 1.0 - f64::from(unit.cosine(a, b));
    let mean = |row: usize, cluster: usize| {
        let others: Vec<usize> =
            (0..40).filter(|other| of_row[*other] == Some(cluster) && *other != row).collect();
        others.iter().map(|other| distance(row, *other)).sum::<f64>() / others.len() as f64
    };
    let mut all = vec![];
    for row in (0..40).filter(|row| of_row[*row].is_some()) {
        let own = of_row[row].unwrap();
        let next = (0..3).filter(|other| *other != own && of_row.contains(&Some(*other)));
        let (a, b) = (mean(row, own), next.map(|other| mean(row, other)).fold(f64::INFINITY, f64::min));
        all.push((b - a) / a.max(b));
    }
    let expected = all.iter().sum::<f64>() / all.len() as f64;
    let found = count::silhouette(&unit, &of_row, 3).unwrap();
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    // One alone counts as zero; one cluster has none.
    let two = Matrix::new(2, 2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
    let two = UnitRows::new(&two, "rows").unwrap();
    assert_eq!(count::silhouette(&two, &[Some(0), Some(1)], 2), Some(0.0));
    assert_eq!(count::silhouette(&two, &[Some(0), Some(0)], 1), None);
}

/// `HDBSCAN(min_cluster_size=5, min_samples=3).fit_predict` of the rows scaled to unit length. The settings are some for which scikit-learn finds
/// the same in whatever order it gets the rows: with larger `min_samples`, distances here are equal and the order decides.
const SKLEARN_5_3: [i8; 60] = [
    0, 4, 3, 1, 5, 2, 0, 6, 3, 1, 5, 3, -1, 5, 3, -1, 5, 3, 1, 6, 2, 0, -1, 3, 1, 6, 2, 0, 5, 2, 0, 5, 2, 0,
    5, 2, -1, 4, 3, 0, 5, 2, -1, 4, 3, 0, 6, 3, 0, 6, 3, 0, 4, 3, 1, 5, 2, 0, 4, 3,
];

/// With `min_cluster_size=8`.
const SKLEARN_8_3: [i8; 60] = [
    0, 1, 3, 0, 1, 2, 0, 1, 3, 0, 1, 3, 0, 1, 3, 0, 1, 3, 0, 1, 2, 0, 1, 3, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1,
    2, 0, 1, 3, 0, 1, 2, 0, 1, 3, 0, 1, 3, 0, 1, 3, 0, 1, 3, 0, 1, 2, 0, 1, 3,
];

#[test]
fn hdbscan_finds_what_scikit_learn_finds() {
    let rows = three_kinds();
    for (expected, options) in [
        (SKLEARN_5_3, hdbscan_of(5, Some(3))),
        (SKLEARN_8_3, hdbscan_of(8, Some(3))),
        (std::array::from_fn(|row| (row % 3) as i8), hdbscan_of(15, None)),
    ] {
        let found = clusters(&rows, &options).unwrap();
        let outside: Vec<bool> = expected.iter().map(|label| *label < 0).collect();
        assert_eq!(found.of_row.iter().map(Option::is_none).collect::<Vec<_>>(), outside, "{options:?}");
        assert_eq!(found.outside(), outside.iter().filter(|outside| **outside).count());
        let labels: Vec<usize> = expected.iter().map(|label| (label + 1) as usize).collect();
        assert_eq!(agreement(&labels, &numbers(&found)).unwrap().adjusted_rand, 1.0, "{options:?}");
        assert!(found.clusters.is_sorted_by(|a, b| a.rows.len() >= b.rows.len()));
    }
}

#[test]
fn rows_that_are_the_same_are_no_trouble() {
    let same = Matrix::new(30, 3, [0.3f32, -0.2, 0.9].repeat(30)).unwrap();
    for options in [kmeans_of(None), kmeans_of(Some(4)), kmeans_of(Some(1)), kmeans_of(Some(30))] {
        let found = clusters(&same, &options).unwrap();
        assert_eq!((found.clusters.len(), found.silhouette, found.tree().len()), (1, None, 0), "{options:?}");
        assert!((found.clusters[0].cohesion - 1.0).abs() < 1e-6);
    }
    // HDBSCAN sees one place, and what is everywhere is no cluster.
    assert!(clusters(&same, &hdbscan_of(5, None)).unwrap().clusters.is_empty());
    // Many copies each of two texts, and others far from both.
    let base = random(40, 16, 2);
    let copies: Vec<u32> = [0, 1].into_iter().flat_map(|row| [row; 25]).chain(2..40).collect();
    let found = clusters(&base.select_rows(&copies), &hdbscan_of(10, None)).unwrap();
    let (first, second) = (found.of_row[0], found.of_row[25]);
    assert!(first.is_some() && second.is_some() && first != second);
    assert!((0..25).all(|row| found.of_row[row] == first && found.of_row[row + 25] == second));
}

#[test]
fn wrong_input_is_told() {
    let rows = three_kinds();
    let fails = |options: &ClusterOptions, says: &str| {
        let error = clusters(&rows, options).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(says), "{error}");
    };
    fails(&kmeans_of(Some(0)), "from 1 to 60 clusters");
    fails(&kmeans_of(Some(61)), "there are no more texts than that");
    fails(&hdbscan_of(1, None), "of 2 to 60 texts, found 1");
    fails(&hdbscan_of(61, None), "found 61");
    fails(&hdbscan_of(5, Some(0)), "min_samples");
    fails(&hdbscan_of(5, Some(61)), "min_samples");
    fails(&ClusterOptions { count: Some(3), ..hdbscan_of(5, None) }, "leave the count out");
    let error = hdbscan_of(5, None).check(20_001).unwrap_err();
    assert!(error.is_limit() && error.to_string().contains("at most 20000"), "{error}");
    let error = kmeans_of(Some(5_001)).check(1_000_000).unwrap_err();
    assert!(error.to_string().contains("from 1 to 5000"), "{error}");
    for few in [0, 1] {
        let error = clusters(&rows.select_rows(&vec![0; few]), &kmeans_of(None)).unwrap_err();
        assert!(error.is_input() && error.to_string().contains("at least two"), "{error}");
    }
    let zero = Matrix::new(2, 2, vec![1.0, 0.0, 0.0, 0.0]).unwrap();
    let error = clusters(&zero, &kmeans_of(None)).unwrap_err();
    assert!(error.to_string().contains("row 2 of the texts is all zeros"), "{error}");
    assert_eq!("hdbscan".parse::<ClusterMethod>().unwrap(), ClusterMethod::Hdbscan);
    assert!("dbscan".parse::<ClusterMethod>().unwrap_err().to_string().contains("kmeans"));
}

#[test]
fn the_tree_is_that_of_scipy() {
    // linkage(pdist(rows, "cosine"), "average").
    let centres = [[1.0f32, 0.0], [0.9, 0.3], [0.0, 1.0], [0.1, 2.0], [-1.0, 0.2]];
    let rows = Matrix::new(5, 2, centres.concat()).unwrap();
    let found = clusters(&rows, &kmeans_of(Some(5))).unwrap();
    // Each alone, in the order of the rows.
    assert_eq!(found.of_row, (0..5).map(Some).collect::<Vec<_>>());
    let expected = [
        (2, 3, 0.0012476611221552414, 2),
        (0, 1, 0.05131670194948612, 2),
        (5, 6, 0.8176566032431806, 4),
        (4, 7, 1.3764510240453718, 5),
    ];
    let tree = found.tree();
    assert_eq!(tree.len(), 4);
    for (merge, (left, right, distance, size)) in tree.iter().zip(expected) {
        assert_eq!((merge.left, merge.right, merge.clusters), (left, right, size));
        assert!((merge.distance - distance).abs() < 1e-6, "{merge:?}");
    }
}

#[test]
fn agreement_is_that_of_scikit_learn() {
    let of = |a: &[usize], b: &[usize]| {
        let found = agreement(a, b).unwrap();
        assert_eq!(found, agreement(b, a).unwrap());
        (found.adjusted_rand, found.normalized_mutual_information)
    };
    // adjusted_rand_score and normalized_mutual_info_score.
    let (rand, information) =
        of(&[0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 0, 1], &[5, 5, 1, 1, 1, 1, 0, 0, 5, 0, 5, 0]);
    assert!((rand - 0.3125).abs() < 1e-12 && (information - 0.48814049285708533).abs() < 1e-12);
    for (a, b, rand, information) in [
        (&[0, 1, 2, 3][..], &[0; 4][..], 0.0, 0.0),
        (&[0; 3], &[1; 3], 1.0, 1.0),
        (&[0, 1, 2], &[2, 1, 0], 1.0, 1.0),
        (&[0, 0, 1, 1], &[0, 1, 0, 1], -0.5, 0.0),
        (&[0], &[4], 1.0, 1.0),
    ] {
        let found = of(a, b);
        assert!(
            (found.0 - rand).abs() < 1e-12 && (found.1 - information).abs() < 1e-12,
            "{a:?} {b:?} {found:?}"
        );
    }
    assert!(agreement(&[], &[]).unwrap_err().is_input());
    assert!(agreement(&[1], &[1, 2]).unwrap_err().is_input());
}

#[test]
fn words_tell_clusters_apart() {
    let texts = [
        "the cat sat on the mat, the cat slept",
        "a cat and a kitten",
        "The DOG barked at the cat",
        "dog and puppy, dog and bone",
        "the market fell",
        "the market rose and the bank fell",
        "one thing alone",
    ];
    // The last text is in no cluster.
    let of_text = [Some(0), Some(0), Some(1), Some(1), Some(2), Some(2), None];
    let found = distinguishing_words(&texts, &of_text, 3, 9).unwrap();
    let words: Vec<Vec<&str>> =
        found.iter().map(|words| words.iter().map(|one| one.word.as_str()).collect()).collect();
    // Words of one text only are left out where others are; "the" is in both market texts and two of five others.
    assert_eq!(words, [&["cat"][..], &["dog"], &["fell", "market", "the"]]);
    // The formula, computed with numpy.
    for (word, score, share, elsewhere) in [
        (&found[0][0], 0.264588099213, 1.0, 0.2),
        (&found[1][0], 0.361729745734, 1.0, 0.0),
        (&found[2][2], 0.239083192272, 1.0, 0.4),
    ] {
        assert!((word.score - score).abs() < 1e-11, "{word:?}");
        assert!((word.share - share).abs() < 1e-12 && (word.elsewhere - elsewhere).abs() < 1e-12);
    }
    // A cluster without a common word is named by those of its texts; numbers are no words; scripts without spaces have words.
    let texts = ["ale 12", "beer 12", "12 13", "13 15", "猫が好き", "猫と犬"];
    let of_text = [Some(0), Some(0), Some(1), Some(1), Some(2), Some(2)];
    let found = distinguishing_words(&texts, &of_text, 3, 2).unwrap();
    assert_eq!(found[0].iter().map(|one| one.word.as_str()).collect::<Vec<_>>(), ["ale", "beer"]);
    assert!(found[1].is_empty());
    assert_eq!(found[2][0].word, "猫");
    assert!(distinguishing_words(&texts, &of_text[1..], 3, 2).unwrap_err().is_input());
    assert!(distinguishing_words(&texts, &of_text, 2, 2).unwrap_err().is_input());
    assert_eq!(distinguishing_words::<&str>(&[], &[], 0, 2).unwrap(), Vec::<Vec<ClusterWord>>::new());
}
