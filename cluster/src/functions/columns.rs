//! What the functions give, as columns.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, ListBuilder, StringArray,
    StringBuilder, StructArray, UInt32Array,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{DataFusionError, Result, exec_err};
use frostbert::head::{Decision, Problem};
use frostbert::{Embeddings, Prediction, Ranked};

use super::spread;

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Float32, true))
}

/// A vector of so many columns.
pub fn vector_type(dim: usize) -> Result<DataType> {
    Ok(DataType::FixedSizeList(item(), width(dim)?))
}

fn width(dim: usize) -> Result<i32> {
    i32::try_from(dim).map_err(|_| DataFusionError::Plan(format!("a vector of {dim} columns is too wide")))
}

/// A vector for each text.
pub fn vectors(column: &StringArray, embeddings: &Embeddings, dim: usize) -> Result<ArrayRef> {
    let expected = column.len() - column.null_count();
    if embeddings.len() != expected || (expected > 0 && embeddings.dim != dim) {
        return exec_err!(
            "expected {expected} vectors of {dim} columns, found {} of {}",
            embeddings.len(),
            embeddings.dim
        );
    }
    let mut values = Vec::with_capacity(column.len() * dim);
    for row in spread(column, embeddings) {
        match row {
            Some(row) => values.extend_from_slice(row),
            None => values.resize(values.len() + dim, 0.0),
        }
    }
    let values = Arc::new(Float32Array::from(values));
    Ok(Arc::new(FixedSizeListArray::try_new(item(), width(dim)?, values, column.nulls().cloned())?))
}

fn probability_fields(names: &[String]) -> Fields {
    names.iter().map(|name| Field::new(name, DataType::Float64, true)).collect()
}

fn answer_fields(problem: Problem, names: &[String]) -> Fields {
    let probabilities = DataType::Struct(probability_fields(names));
    let decided = match problem {
        Problem::SingleLabel => vec![
            Field::new("label", DataType::Utf8, true),
            Field::new("probability", DataType::Float64, true),
            Field::new("probabilities", probabilities, true),
        ],
        Problem::MultiLabel => vec![
            Field::new("labels", DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))), true),
            Field::new("probabilities", probabilities, true),
        ],
        Problem::Regression => vec![Field::new("value", DataType::Float64, true)],
    };
    let counted =
        [Field::new("truncated", DataType::Boolean, true), Field::new("tokens", DataType::UInt32, true)];
    decided.into_iter().chain(counted).collect()
}

/// What a head with these classes or labels says of a text.
pub fn answer_type(problem: Problem, names: &[String]) -> DataType {
    DataType::Struct(answer_fields(problem, names))
}

/// A head's answer to each text. Of a class that it leaves undecided the label is null, and the probability is the likeliest's.
pub fn answers(
    column: &StringArray,
    answers: &[Prediction],
    problem: Problem,
    names: &[String],
) -> Result<ArrayRef> {
    let expected = column.len() - column.null_count();
    if answers.len() != expected
        || answers.iter().any(|found| found.answer.probabilities.len() != names.len())
    {
        return exec_err!("expected {expected} answers over {} names, found {}", names.len(), answers.len());
    }
    let mut given = answers.iter();
    let rows: Vec<Option<&Prediction>> = column.iter().map(|text| text.and_then(|_| given.next())).collect();
    let nulls = column.nulls().cloned();
    let each = |of: &dyn Fn(&Prediction) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row.and_then(of)).collect::<Float64Array>())
    };
    let probabilities = || -> Result<ArrayRef> {
        let columns =
            (0..names.len()).map(|class| each(&|found| found.answer.probabilities.get(class).copied()));
        let columns: Vec<ArrayRef> = columns.collect();
        Ok(Arc::new(StructArray::try_new_with_length(
            probability_fields(names),
            columns,
            nulls.clone(),
            column.len(),
        )?))
    };
    let mut columns: Vec<ArrayRef> = match problem {
        Problem::SingleLabel => {
            let labels = rows.iter().map(|row| row.and_then(|found| found.answer.label(names)));
            let labels = labels.collect::<StringArray>();
            vec![Arc::new(labels), each(&|found| found.answer.probability()), probabilities()?]
        }
        Problem::MultiLabel => vec![labels(&rows, names), probabilities()?],
        Problem::Regression => vec![each(&|found| match found.answer.decision {
            Decision::Value(value) => Some(value),
            _ => None,
        })],
    };
    columns
        .push(Arc::new(rows.iter().map(|row| row.map(|answer| answer.truncated)).collect::<BooleanArray>()));
    columns.push(Arc::new(rows.iter().map(|row| row.map(|answer| answer.tokens)).collect::<UInt32Array>()));
    Ok(Arc::new(StructArray::try_new(answer_fields(problem, names), columns, nulls)?))
}

fn labels(rows: &[Option<&Prediction>], names: &[String]) -> ArrayRef {
    let mut list = ListBuilder::new(StringBuilder::new());
    for row in rows {
        if let Some(Decision::Labels(labels)) = row.as_ref().map(|found| &found.answer.decision) {
            for label in labels {
                list.values().append_option(names.get(*label));
            }
        }
        list.append(row.is_some());
    }
    Arc::new(list.finish())
}

fn score_fields() -> Fields {
    Fields::from(vec![
        Field::new("score", DataType::Float32, true),
        Field::new("logit", DataType::Float64, true),
        Field::new("truncated", DataType::Boolean, true),
    ])
}

/// How relevant a text is to a query.
pub fn score_type() -> DataType {
    DataType::Struct(score_fields())
}

/// A score for each pair of which neither part is null; `rank` scores the documents of one query, in any order.
pub fn scores(
    queries: &StringArray,
    column: &StringArray,
    rank: impl Fn(&str, &[&str]) -> Result<Vec<Ranked>>,
) -> Result<ArrayRef> {
    let mut by_query: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut order = Vec::new();
    for (at, (query, text)) in queries.iter().zip(column).enumerate() {
        if let (Some(query), Some(_)) = (query, text) {
            by_query.entry(query).or_insert_with(|| {
                order.push(query);
                Vec::new()
            });
            by_query.entry(query).or_default().push(at);
        }
    }
    let mut rows: Vec<Option<Ranked>> = vec![None; column.len()];
    for query in order {
        let places = by_query.remove(query).unwrap_or_default();
        let documents: Vec<&str> = places.iter().map(|at| column.value(*at)).collect();
        for ranked in rank(query, &documents)? {
            if let Some(row) = places.get(ranked.index).and_then(|at| rows.get_mut(*at)) {
                *row = Some(ranked);
            }
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.map(|row| row.score)).collect::<Float32Array>()),
        Arc::new(rows.iter().map(|row| row.map(|row| row.logit)).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.map(|row| row.truncated)).collect::<BooleanArray>()),
    ];
    let nulls = NullBuffer::from(rows.iter().map(Option::is_some).collect::<Vec<bool>>());
    Ok(Arc::new(StructArray::try_new(score_fields(), columns, Some(nulls))?))
}
