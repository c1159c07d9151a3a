//! scikit-learn's linear models, by way of numpy's .npz.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use npyz::{Deserialize, NpyFile, Order, TypeChar};

use super::LinearHeadParts;
use crate::error::{Error, Result};
use crate::model::ProblemType;

/// How to make the file, for messages.
const HOW: &str = "np.savez(\"head.npz\", coef_=model.coef_, intercept_=model.intercept_, \
                   classes_=np.asarray(model.classes_, dtype=str))";

/// Largest array taken, unpacked: a zip of a few kilobytes can unpack to gigabytes.
const ARRAY_LIMIT_BYTES: u64 = 1 << 30;

/// One array of the archive.
struct Array {
    shape: Vec<usize>,
    values: Values,
}

enum Values {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

/// Reads a linear head from an .npz of scikit-learn's coefficients:
///
/// ```python
/// np.savez("head.npz", coef_=model.coef_, intercept_=model.intercept_, classes_=model.classes_,
///          mean_=scaler.mean_, scale_=scaler.scale_)
/// ```
///
/// `coef_` is `[rows, features]` or `[features]`; `intercept_` `[rows]` or one number. Optional:
///
/// - `classes_`: texts, numbers or booleans, not Python objects. Without them labels are 0, 1, ....
/// - `mean_` and `scale_` of a `StandardScaler`, with `with_mean` and `with_std`: a scaler made with `with_mean=False` has a mean
///   all the same, and does not take it away.
/// - `problem_type`: a text named as in transformers, or `ovr`. Without it, two classes or a two-dimensional `coef_` are a
///   single-label classifier, a one-dimensional `coef_` without classes is a regression.
/// - `multi_class` of a `LogisticRegression`: `ovr`, `multinomial` or `auto`.
///
/// | of scikit-learn | labels | probabilities |
/// |---|---|---|
/// | `LogisticRegression`, `LogisticRegressionCV` | the same | the same |
/// | the same with `multi_class="ovr"` or `solver="liblinear"`, `SGDClassifier(loss="log_loss")`, `OneVsRestClassifier`, of three or more classes | the same | the same with `problem_type="ovr"`; otherwise a softmax of the margins |
/// | `SGDClassifier` with another loss, `LinearSVC`, `RidgeClassifier`, `Perceptron` | the same | scikit-learn has none, or others |
/// | `Ridge`, `LinearRegression`, `Lasso`, `ElasticNet` of one number | the same value | |
/// | `Pipeline(StandardScaler, ...)` of these | as the model | as the model |
///
/// Other arrays are left alone, but for those of steps and models that would be lost: other scalers, decompositions,
/// `MLPClassifier`, `CalibratedClassifierCV`. Numbers may be f32, f64 or integers, of either byte order.
///
/// # Errors
/// [`is_input`](Error::is_input): not an .npz; an array is missing, pickled, of another type or shape, holds NaN, or is of a model
/// or step that a linear head cannot express.
pub fn import_sklearn(bytes: &[u8]) -> Result<LinearHeadParts> {
    let mut archive = Archive::open(bytes)?;
    archive.refuse_others()?;
    let (Some(coef), Some(intercept)) = (archive.take("coef_")?, archive.take("intercept_")?) else {
        return Err(wrong(format!(
            "expected the arrays coef_ and intercept_, found {}; save it with {HOW}",
            archive.names()
        )));
    };
    let classes = archive.take("classes_")?.map(Array::texts);
    let (rows, problem) = match coef.shape[..] {
        // RidgeClassifier's coef_ of two classes has one dimension.
        [_] if classes.as_ref().is_some_and(|classes| classes.len() > 1) => (1, ProblemType::SingleLabel),
        [_] => (1, ProblemType::Regression),
        [rows, _] => (rows, ProblemType::SingleLabel),
        _ => return Err(wrong(format!("coef_ must be [rows, features], found {:?}", coef.shape))),
    };
    let weights = coef.numbers("coef_")?;
    let mut bias = intercept.numbers("intercept_")?;
    // fit_intercept=False leaves one zero for all rows.
    if bias.len() == 1 && rows > 1 {
        bias = vec![bias[0]; rows];
    }
    if bias.len() != rows {
        return Err(wrong(format!("coef_ has {rows} rows, intercept_ {} numbers", bias.len())));
    }
    let (problem, mut one_vs_rest) = match archive.take("problem_type")? {
        Some(array) => problem_type(&array.texts())?,
        None => (problem, false),
    };
    let mut temperature = None;
    if let Some(given) = archive.take("multi_class")? {
        match given.texts().join(" ").as_str() {
            "ovr" => one_vs_rest = true,
            // Of two classes it has logits of -z and z.
            "multinomial" if rows == 1 => temperature = Some(0.5),
            "multinomial" | "auto" | "deprecated" => {}
            other => {
                return Err(wrong(format!("multi_class must be ovr, multinomial or auto, found {other:?}")));
            }
        }
    }
    if one_vs_rest && problem != ProblemType::SingleLabel {
        return Err(wrong("one-versus-rest probabilities are those of a classifier; this is none".into()));
    }
    // Of two classes both are one sigmoid.
    one_vs_rest &= rows > 1;
    let labels = match classes {
        Some(classes) => classes,
        None if rows == 1 && problem == ProblemType::SingleLabel => vec!["0".to_owned(), "1".to_owned()],
        None => (0..rows).map(|row| row.to_string()).collect(),
    };
    let mut numbers = |name: &str| archive.take(name)?.map(|array| array.numbers(name)).transpose();
    let (mut mean, mut scale) = (numbers("mean_")?, numbers("scale_")?);
    if archive.flag("with_mean")? == Some(false) {
        mean = None;
    }
    if archive.flag("with_std")? == Some(false) {
        scale = None;
    }
    let parts = LinearHeadParts { weights, bias, mean, scale, labels, temperature, problem, one_vs_rest };
    parts.check().map_err(|error| error.context("cannot read the .npz"))?;
    Ok(parts)
}

fn wrong(problem: String) -> Error {
    Error::input(format!("cannot read the .npz: {problem}"))
}

/// And whether probabilities are one-versus-rest.
fn problem_type(texts: &[String]) -> Result<(ProblemType, bool)> {
    if texts == ["ovr"] {
        return Ok((ProblemType::SingleLabel, true));
    }
    let all = [ProblemType::SingleLabel, ProblemType::MultiLabel, ProblemType::Regression];
    let named = |problem: &ProblemType| texts == [problem.name()];
    all.into_iter().find(named).map(|problem| (problem, false)).ok_or_else(|| {
        wrong(format!(
            "problem_type must be one of {:?} or \"ovr\", found {texts:?}",
            all.map(ProblemType::name)
        ))
    })
}

/// Arrays of what a linear head cannot express, and what that is.
const OTHERS: [(&str, &str); 14] = [
    ("coefs_", "a multilayer perceptron (MLPClassifier, MLPRegressor); train one with --head mlp"),
    ("intercepts_", "a multilayer perceptron (MLPClassifier, MLPRegressor); train one with --head mlp"),
    (
        "calibrated_classifiers_",
        "a CalibratedClassifierCV; import its estimator, or train a head with --calibrate",
    ),
    ("calibrators", "a CalibratedClassifierCV; import its estimator, or train a head with --calibrate"),
    ("best_threshold_", "a TunedThresholdClassifierCV, whose threshold would be lost; import its estimator_"),
    ("dual_coef_", "a kernel machine"),
    ("support_vectors_", "a kernel machine"),
    ("feature_log_prob_", "a naive Bayes classifier"),
    ("components_", "a decomposition before the model; multiply it into coef_"),
    ("center_", "a RobustScaler; save its center_ as mean_"),
    ("min_", "a MinMaxScaler; save mean_=-scaler.min_ / scaler.scale_, scale_=1 / scaler.scale_"),
    ("max_abs_", "a MaxAbsScaler; leave max_abs_ out, its scale_ is all that counts"),
    ("lambdas_", "a PowerTransformer, which is not linear"),
    ("quantiles_", "a QuantileTransformer, which is not linear"),
];

struct Archive<'a> {
    zip: zip::ZipArchive<Cursor<&'a [u8]>>,
    /// Array name to place in the archive.
    arrays: BTreeMap<String, usize>,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self> {
        let zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| {
            let what = if bytes.starts_with(b"\x93NUMPY") { "a single .npy array" } else { "no zip archive" };
            wrong(format!("found {what}; save it with {HOW}")).with_source(error)
        })?;
        let array_name =
            |at| npyz::npz::array_name_from_file_name(&zip.name_for_index(at)?.ok()?).map(str::to_owned);
        let arrays = (0..zip.len()).filter_map(|at| Some((array_name(at)?, at))).collect();
        Ok(Archive { zip, arrays })
    }

    fn refuse_others(&self) -> Result<()> {
        match OTHERS.iter().find(|(name, _)| self.arrays.contains_key(*name)) {
            Some((name, what)) => Err(wrong(format!("{name} is of {what}"))),
            None => Ok(()),
        }
    }

    /// A setting that is true or false.
    fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        let Some(array) = self.take(name)? else { return Ok(None) };
        match array.texts().join(" ").as_str() {
            "True" | "1" => Ok(Some(true)),
            "False" | "0" => Ok(Some(false)),
            other => Err(wrong(format!("{name} must be True or False, found {other:?}"))),
        }
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
        if names.is_empty() { "no arrays".to_owned() } else { names.join(", ") }
    }

    fn take(&mut self, name: &str) -> Result<Option<Array>> {
        let Some(&at) = self.arrays.get(name) else { return Ok(None) };
        let damaged = |error: &dyn std::fmt::Display| wrong(format!("the array {name} is damaged ({error})"));
        let mut bytes = Vec::new();
        let file = self.zip.by_index(at).map_err(|error| damaged(&error))?;
        file.take(ARRAY_LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
        if bytes.len() as u64 > ARRAY_LIMIT_BYTES {
            return Err(Error::limit(format!(
                "cannot read the .npz: {name} is larger than {ARRAY_LIMIT_BYTES} bytes"
            )));
        }
        check_npy_shape(&bytes)
            .map_err(|error| error.context(format!("cannot read the .npz: the array {name} is damaged")))?;
        let array = NpyFile::new(&bytes[..]).map_err(|error| damaged(&error))?;
        let shape: Vec<usize> = array.shape().iter().map(|len| *len as usize).collect();
        // The header is checked against the bytes that are there before anything is allocated by it.
        // Empty texts have no bytes, and still no file has more of them than it has bytes.
        let item_bytes = array.dtype().num_bytes().unwrap_or(0).max(1);
        let expected = shape.iter().try_fold(item_bytes, |all, len| all.checked_mul(*len));
        if !array.uses_pickled_array() && expected.is_none_or(|expected| expected > bytes.len()) {
            return Err(damaged(&format!(
                "its header calls for the shape {shape:?}, the file has {} bytes",
                bytes.len()
            )));
        }
        Ok(Some(Array { values: values(name, array, &shape)?, shape }))
    }
}

/// Holds the shape that an `.npy` file's header claims against the bytes that are there, before anybody computes with it: it may
/// claim 2^64 of anything.
///
/// # Errors
/// An input error if the file cannot hold so much.
pub fn check_npy_shape(bytes: &[u8]) -> Result<()> {
    // A header is text of a few dozen bytes, shape included; of names of columns it may be longer, which come before the shape.
    const LONGEST: usize = 1 << 16;
    // Whoever reads the file makes room for as much header as it claims to have: 2 bytes say it in version 1, 4 in later ones.
    let claimed = match bytes.get(6..12) {
        Some([1, _, low, high, ..]) => Some(10 + u64::from(u16::from_le_bytes([*low, *high]))),
        Some([_, _, a, b, c, d]) => Some(12 + u64::from(u32::from_le_bytes([*a, *b, *c, *d]))),
        _ => None,
    };
    if let Some(claimed) = claimed.filter(|claimed| *claimed > bytes.len() as u64) {
        return Err(Error::input(format!(
            "its header says that it ends at byte {claimed}, and the file has {} bytes",
            bytes.len()
        )));
    }
    let header = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
    let shape = header
        .split_once("'shape':")
        .and_then(|(_, rest)| rest.split_once('('))
        .and_then(|(_, rest)| rest.split_once(')'));
    let Some((shape, _)) = shape else { return Ok(()) };
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    // Python 2 wrote 3L.
    let items =
        sizes.map(|size| size.trim_end_matches('L').parse::<u64>().ok()).try_fold(1_u64, |all, size| {
            // One of them may be 0, and the others claim what they like.
            all.checked_mul(size?.max(1))
        });
    if items.is_none_or(|items| items > bytes.len() as u64) {
        return Err(Error::input(format!(
            "its header says that its shape is ({shape}), and the file has {} bytes",
            bytes.len()
        )));
    }
    Ok(())
}

/// The elements in row-major order.
fn values(name: &str, array: NpyFile<&[u8]>, shape: &[usize]) -> Result<Values> {
    let dtype = array.dtype();
    let npyz::DType::Plain(item) = &dtype else {
        return Err(wrong(format!(
            "{name} is a structured array ({}); save plain numbers or texts",
            dtype.descr()
        )));
    };
    let columns_first = array.order() == Order::Fortran;
    let numbers = |numbers: Result<Vec<f64>>| {
        numbers.map(|values| Values::Numbers(rows_first(values, shape, columns_first)))
    };
    match (item.type_char(), item.size_field()) {
        (TypeChar::Float, 8) => numbers(read::<f64, _>(name, array, |value| value)),
        (TypeChar::Float, 4) => numbers(read::<f32, _>(name, array, f64::from)),
        (TypeChar::Int, 8) => numbers(read::<i64, _>(name, array, |value| value as f64)),
        (TypeChar::Int, 4) => numbers(read::<i32, _>(name, array, f64::from)),
        (TypeChar::Int, 2) => numbers(read::<i16, _>(name, array, f64::from)),
        (TypeChar::Int, 1) => numbers(read::<i8, _>(name, array, f64::from)),
        (TypeChar::Uint, 8) => numbers(read::<u64, _>(name, array, |value| value as f64)),
        (TypeChar::Uint, 4) => numbers(read::<u32, _>(name, array, f64::from)),
        (TypeChar::Uint, 2) => numbers(read::<u16, _>(name, array, f64::from)),
        (TypeChar::Uint, 1) => numbers(read::<u8, _>(name, array, f64::from)),
        (TypeChar::Bool, _) => {
            let text = |value: bool| if value { "True" } else { "False" }.to_owned();
            Ok(Values::Texts(read::<bool, _>(name, array, text)?))
        }
        (TypeChar::UnicodeStr, _) => Ok(Values::Texts(read::<String, _>(name, array, |text| text)?)),
        (TypeChar::Object, _) => Err(wrong(format!(
            "{name} holds Python objects (a pickle), which are not loaded because they can run code; save it as texts or \
             numbers: {HOW}. Leave out what is None"
        ))),
        _ => Err(wrong(format!(
            "{name} is of type {}; expected floats, integers, booleans or texts",
            dtype.descr()
        ))),
    }
}

fn read<T: Deserialize, U>(name: &str, array: NpyFile<&[u8]>, convert: impl Fn(T) -> U) -> Result<Vec<U>> {
    let items =
        array.into_vec::<T>().map_err(|error| wrong(format!("the array {name} is damaged ({error})")))?;
    Ok(items.into_iter().map(convert).collect())
}

/// A matrix stored column after column, row after row.
fn rows_first(values: Vec<f64>, shape: &[usize], columns_first: bool) -> Vec<f64> {
    match shape {
        [rows, columns] if columns_first => {
            (0..rows * columns).map(|at| values[at % columns * rows + at / columns]).collect()
        }
        _ => values,
    }
}

impl Array {
    fn numbers(self, name: &str) -> Result<Vec<f64>> {
        match self.values {
            Values::Numbers(numbers) => Ok(numbers),
            Values::Texts(_) => Err(wrong(format!("{name} must be numbers"))),
        }
    }

    /// As names: 3 and 3.0 become `3`.
    fn texts(self) -> Vec<String> {
        match self.values {
            Values::Texts(texts) => texts,
            Values::Numbers(numbers) => numbers.iter().map(f64::to_string).collect(),
        }
    }
}
