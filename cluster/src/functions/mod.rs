//! The SQL functions: texts in, vectors, answers, scores and counts out.

mod columns;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt32Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};
use frostbert::head::AnswerOptions;
use frostbert::text::{EncodeOptions, TextInput};
use frostbert::{Embeddings, Text};

use crate::lane::quoted;
use crate::models::{Models, Pin, Ready, Wanted};

/// Texts tokenised at a time where only their tokens are counted.
const COUNTED: usize = 1024;

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// `frostbert_embed(text[, model])`: a vector.
    Embed,
    /// `frostbert_predict(text[, head])`: what a head says.
    Predict,
    /// `frostbert_rank(query, text[, model])`: how relevant the text is to the query.
    Rank,
    /// `frostbert_tokens(text[, model])`: how many tokens the text has.
    Tokens,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Embed, Kind::Predict, Kind::Rank, Kind::Tokens];

    fn name(self) -> &'static str {
        match self {
            Kind::Embed => "frostbert_embed",
            Kind::Predict => "frostbert_predict",
            Kind::Rank => "frostbert_rank",
            Kind::Tokens => "frostbert_tokens",
        }
    }

    /// Arguments that are texts; after them come the name of a model or head, and a pin.
    fn texts(self) -> usize {
        if self == Kind::Rank { 2 } else { 1 }
    }

    fn wanted(self) -> Wanted {
        match self {
            Kind::Embed | Kind::Tokens => Wanted::Vectors,
            Kind::Predict => Wanted::Answers,
            Kind::Rank => Wanted::Scores,
        }
    }

    fn usage(self) -> &'static str {
        match self {
            Kind::Embed => "frostbert_embed(text) or frostbert_embed(text, 'model')",
            Kind::Predict => "frostbert_predict(text) or frostbert_predict(text, 'head')",
            Kind::Rank => "frostbert_rank(query, text) or frostbert_rank(query, text, 'model')",
            Kind::Tokens => "frostbert_tokens(text) or frostbert_tokens(text, 'model')",
        }
    }
}

/// The functions over these models.
pub fn all(models: &Arc<Models>) -> Vec<ScalarUDF> {
    let function = |kind| ScalarUDF::new_from_impl(Function::new(kind, models.clone()));
    Kind::ALL.into_iter().map(function).collect()
}

/// Whether a function of this name is ours.
pub fn is_ours(name: &str) -> bool {
    Kind::ALL.iter().any(|kind| kind.name() == name)
}

/// One of the functions. Two are equal by name: a process has one set of models.
#[derive(Clone, Debug)]
struct Function {
    kind: Kind,
    models: Arc<Models>,
    signature: Signature,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl Function {
    fn new(kind: Kind, models: Arc<Models>) -> Self {
        Function { kind, models, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// The pin of a call: the one it brings, or the one of the model that it names here.
    fn pin(&self, constants: &[Option<&ScalarValue>]) -> Result<Pin> {
        let after = constants.get(self.kind.texts()..).unwrap_or_default();
        let text = |at: usize, what: &str| match after.get(at) {
            None => Ok(None),
            Some(Some(value)) => match value.try_as_str().flatten() {
                Some(text) => Ok(Some(text)),
                None => plan_err!("{}: the {what} must be a text", self.kind.usage()),
            },
            Some(None) => plan_err!("{}: the {what} must be a constant", self.kind.usage()),
        };
        match text(1, "pin")? {
            Some(pin) => Pin::from_json(pin).map_err(external),
            None => self.models.pin(self.kind.wanted(), text(0, "name")?).map_err(external),
        }
    }

    fn compute(&self, texts: &[ArrayRef], pin: &Pin) -> Result<ArrayRef> {
        let ready = self.models.ready(&pin.to_json().map_err(external)?).map_err(external)?;
        let Some(column) = texts.last() else { return plan_err!("{}", self.kind.usage()) };
        let column = strings(column)?;
        match (self.kind, &*ready, pin) {
            (Kind::Embed, Ready::Vectors(lane), Pin::Model { dim, .. }) => {
                let embeddings = lane.embed(present(&column)).map_err(external)?;
                columns::vectors(&column, &embeddings, *dim)
            }
            (Kind::Tokens, Ready::Vectors(_), Pin::Model { name, .. }) => self.count(&column, name),
            (Kind::Predict, Ready::Answers(lane, classifier), Pin::Head { problem, names, .. }) => {
                let embeddings = lane.embed(present(&column)).map_err(external)?;
                let answers = if embeddings.is_empty() {
                    Vec::new()
                } else {
                    classifier.predict_embeddings(embeddings, &AnswerOptions::default()).map_err(external)?
                };
                columns::answers(&column, &answers, *problem, names)
            }
            (Kind::Rank, Ready::Scores { encoder, options }, _) => {
                let queries = strings(&texts[0])?;
                columns::scores(&queries, &column, |query, documents| {
                    encoder.rerank(query, documents, options).map_err(|error| {
                        let text = error.row().and_then(|row| documents.get(row));
                        let text = text.map(|document| Text::from((query, *document)));
                        external(quoted(error, text.as_ref()))
                    })
                })
            }
            _ => plan_err!("{}: the call was planned for another function", self.kind.name()),
        }
    }

    fn count(&self, column: &StringArray, model: &str) -> Result<ArrayRef> {
        let encoder = self.models.encoder_of(model).map_err(external)?;
        let texts = present(column);
        let mut counts = Vec::with_capacity(texts.len());
        for some in texts.chunks(COUNTED) {
            let inputs: Vec<TextInput<'_>> = some.iter().map(|text| TextInput::Single(&text.first)).collect();
            let encodings =
                encoder.tokenizer().encode_batch(&inputs, EncodeOptions::default()).map_err(external)?;
            counts.extend(encodings.iter().map(|encoding| encoding.tokens as u32));
        }
        let mut counts = counts.into_iter();
        let values = column.iter().map(|text| text.and_then(|_| counts.next()));
        Ok(Arc::new(values.collect::<UInt32Array>()))
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let texts = self.kind.texts();
        if types.len() < texts || types.len() > texts + 2 {
            return plan_err!("{}: found {} arguments", self.kind.usage(), types.len());
        }
        let coerce = |of: &DataType| match of {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(of.clone()),
            DataType::Null => Ok(DataType::Utf8),
            DataType::Dictionary(_, values) if values.is_string() => Ok(DataType::Utf8),
            other => plan_err!(
                "{}: found a column of {other} where a text is expected; cast it: CAST(column AS VARCHAR)",
                self.kind.usage()
            ),
        };
        types.iter().map(coerce).collect()
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("{} has a type that depends on its model", self.kind.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let of = match self.kind {
            Kind::Tokens => DataType::UInt32,
            Kind::Rank => columns::score_type(),
            Kind::Embed => match self.pin(args.scalar_arguments)? {
                Pin::Model { dim, .. } => columns::vector_type(dim)?,
                _ => return plan_err!("{}: the pin is of another function", self.kind.usage()),
            },
            Kind::Predict => match self.pin(args.scalar_arguments)? {
                Pin::Head { problem, names, .. } => columns::answer_type(problem, &names),
                _ => return plan_err!("{}: the pin is of another function", self.kind.usage()),
            },
        };
        Ok(Arc::new(Field::new(self.name(), of, true)))
    }

    /// Adds the pin to a call that has none: the plan that is sent to a cluster says what it was made with.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let texts = self.kind.texts();
        if args.len() > texts + 1 {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let constants: Vec<Option<&ScalarValue>> = args
            .iter()
            .map(|arg| match arg {
                Expr::Literal(value, _) => Some(value),
                _ => None,
            })
            .collect();
        let pin = self.pin(&constants)?;
        let name = match &pin {
            Pin::Model { name, .. } | Pin::Head { name, .. } | Pin::Ranker { name, .. } => name.clone(),
        };
        let mut pinned: Vec<Expr> = args.into_iter().take(texts).collect();
        pinned.push(lit(name));
        pinned.push(lit(pin.to_json().map_err(external)?));
        let function = Arc::new(ScalarUDF::new_from_impl(self.clone()));
        Ok(ExprSimplifyResult::Simplified(Expr::ScalarFunction(ScalarFunction::new_udf(function, pinned))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = self.kind.texts();
        let constants: Vec<Option<&ScalarValue>> = args
            .args
            .iter()
            .map(|arg| match arg {
                ColumnarValue::Scalar(value) => Some(value),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        let pin = self.pin(&constants)?;
        let columns = args.args.get(..texts).unwrap_or_default();
        let constant = columns.iter().all(|column| matches!(column, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = columns.iter().map(|column| column.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let values = blocking(|| self.compute(&columns, &pin))?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?)
        } else {
            ColumnarValue::Array(values)
        })
    }
}

/// An error of the library as one of the engine.
pub fn external(error: frostbert::Error) -> DataFusionError {
    DataFusionError::External(format!("{error:#}").into())
}

/// Says to the async runtime that this thread computes for a while, where there is one that can make up for it.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}

fn strings(column: &ArrayRef) -> Result<StringArray> {
    let column = match column.data_type() {
        DataType::Utf8 => column.clone(),
        _ => cast(column, &DataType::Utf8)?,
    };
    Ok(column.as_string::<i32>().clone())
}

/// The texts that are there.
fn present(column: &StringArray) -> Vec<Text> {
    column.iter().flatten().map(Text::from).collect()
}

/// One value for each row: of what was computed where there is a text, else nothing.
fn spread<'a>(
    column: &'a StringArray,
    embeddings: &'a Embeddings,
) -> impl Iterator<Item = Option<&'a [f32]>> {
    let mut rows = embeddings.rows();
    (0..column.len()).map(move |at| if column.is_null(at) { None } else { rows.next() })
}
