//! Python's texts.

use frostbert::Text;
use frostbert::head::Targets;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

/// A list of str, or of pairs of str.
pub(crate) fn texts(list: &Bound<'_, PyList>) -> PyResult<Vec<Text>> {
    list.iter().enumerate().map(|(row, item)| text(row, &item)).collect()
}

fn text(row: usize, item: &Bound<'_, PyAny>) -> PyResult<Text> {
    if let Ok(single) = item.cast::<PyString>() {
        return Ok(Text { first: string(row, single)?, second: None });
    }
    let pair = match (item.cast::<PyTuple>(), item.cast::<PyList>()) {
        (Ok(pair), _) if pair.len() == 2 => Some((pair.get_item(0)?, pair.get_item(1)?)),
        (_, Ok(pair)) if pair.len() == 2 => Some((pair.get_item(0)?, pair.get_item(1)?)),
        _ => None,
    };
    if let Some((first, second)) = pair
        && let (Ok(first), Ok(second)) = (first.cast::<PyString>(), second.cast::<PyString>())
    {
        return Ok(Text { first: string(row, first)?, second: Some(string(row, second)?) });
    }
    let kind = item.get_type().name()?;
    let hint = if item.is_none() || kind == "float" || kind == "NAType" {
        ": a missing value? Fill it, or leave the row out"
    } else {
        ""
    };
    let shown: String =
        item.repr().map(|repr| repr.to_string_lossy().chars().take(60).collect()).unwrap_or_default();
    Err(PyTypeError::new_err(format!(
        "text {row}: expected a str, or a pair of str, found {kind} {shown}{hint}"
    )))
}

fn string(row: usize, text: &Bound<'_, PyString>) -> PyResult<String> {
    text.to_str().map(str::to_owned).map_err(|_| {
        PyValueError::new_err(format!(
            "text {row}: half of a surrogate pair stands in it, which is no character; decode the text anew, or use \
             text.encode('utf-8', 'replace').decode()"
        ))
    })
}

/// What rows should give: `("classes", list of str)`, `("labels", list of lists of str)`, `("values", list of float, name)`,
/// or classes by number: `("encoded", list of int, names)`.
pub(crate) fn targets(given: &Bound<'_, PyTuple>) -> PyResult<Targets> {
    let kind: String = given.get_item(0)?.extract()?;
    let rows = given.get_item(1)?;
    Ok(match kind.as_str() {
        "classes" => Targets::classes(&rows.extract::<Vec<String>>()?),
        "labels" => Targets::multi_label(&rows.extract::<Vec<Vec<String>>>()?),
        // Places among names, of each row.
        "marked" => {
            let names: Vec<String> = given.get_item(2)?.extract()?;
            let rows = rows.extract::<Vec<Vec<usize>>>()?;
            let mut marks = vec![false; rows.len() * names.len()];
            for (at, row) in rows.iter().enumerate() {
                for &place in row {
                    let mark = marks.get_mut(at * names.len() + place).filter(|_| place < names.len());
                    *mark.ok_or_else(|| PyValueError::new_err("a label is none of the names"))? = true;
                }
            }
            Targets::MultiLabel { marks, names }
        }
        "values" => Targets::values(rows.extract()?, given.get_item(2)?.extract::<String>()?),
        "encoded" => Targets::Classes { labels: rows.extract()?, names: given.get_item(2)?.extract()? },
        other => return Err(PyValueError::new_err(format!("no such kind of targets: {other:?}"))),
    })
}
