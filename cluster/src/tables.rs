//! Tables that a query names by their place: a file, a folder, a pattern; on this machine or in an object store.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{DynamicFileCatalog, TableProvider, UrlTableFactory};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::datasource::listing::{
    ListingTable, ListingTableConfig, ListingTableConfigExt, ListingTableUrl,
};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion_session::SessionStore;
use futures::TryStreamExt;
use object_store::path::Path;
use url::Url;

use crate::stores;

/// Opens tables by their place. Beside what the engine's own does it takes patterns in object stores, folders that Spark wrote (`_SUCCESS` comes before the
/// parts), and says why a place in a store cannot be read.
#[derive(Debug)]
struct Tables {
    session: SessionStore,
}

/// Lets queries name tables by their place.
pub fn by_place(context: SessionContext) -> SessionContext {
    let catalogs = context.state().catalog_list().clone();
    let tables = Arc::new(Tables { session: SessionStore::new() });
    let session = context.session_id();
    let builder = context
        .into_state_builder()
        .with_session_id(session)
        .with_catalog_list(Arc::new(DynamicFileCatalog::new(catalogs, tables.clone())));
    let context = SessionContext::from(builder.build());
    tables.session.with_state(context.state_weak_ref());
    context
}

#[async_trait]
impl UrlTableFactory for Tables {
    async fn try_new(&self, place: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(state) = self.state() else { return plan_err!("the session has ended") };
        let Ok(url) = parse(place) else { return Ok(None) };
        match open(url.clone(), &state).await {
            Ok(table) => Ok(Some(Arc::new(table))),
            // A name that is no place may still be a table's.
            Err(_) if url.scheme() == "file" => Ok(None),
            Err(error) => Err(error.context(format!("the table {place}"))),
        }
    }
}

impl Tables {
    fn state(&self) -> Option<SessionState> {
        let session = self.session.get_session().upgrade()?;
        let session = session.read();
        session.as_any().downcast_ref::<SessionState>().cloned()
    }
}

/// A place, with a pattern where it has one. The engine's own takes patterns in paths alone.
fn parse(place: &str) -> Result<ListingTableUrl> {
    let is_pattern = |segment: &str| segment.contains(['*', '?', '[']);
    let store = place.split_once("://").filter(|(scheme, rest)| *scheme != "file" && is_pattern(rest));
    let Some((scheme, rest)) = store else { return ListingTableUrl::parse(place) };
    let first =
        rest.split('/').take_while(|segment| !is_pattern(segment)).map(|s| s.len() + 1).sum::<usize>();
    let folder = Url::parse(&format!("{scheme}://{}", &rest[..first]))
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
    ListingTableUrl::try_new(folder, None)?.with_glob(&rest[first..])
}

async fn open(url: ListingTableUrl, state: &SessionState) -> Result<ListingTable> {
    let Some(first) = first_of_data(&url, state).await? else {
        return plan_err!("there is no Parquet, CSV or JSON file");
    };
    let options = ListingTableConfig::new(first).infer_options(state).await?.options;
    let Some(options) = options else { return plan_err!("what kind of files there are is not known") };
    let config = ListingTableConfig::new(url).with_listing_options(options);
    ListingTable::try_new(config.infer_partitions_from_path(state).await?.infer_schema(state).await?)
}

/// The file that says what a place holds: the first by name of those whose ending is known. Names that begin with `_` or `.` are signs of those who
/// wrote it.
async fn first_of_data(url: &ListingTableUrl, state: &SessionState) -> Result<Option<ListingTableUrl>> {
    let store = state.runtime_env().object_store(url)?;
    let files: Vec<Path> = url
        .list_all_files(state, store.as_ref(), "")
        .await?
        .map_ok(|file| file.location)
        .try_collect()
        .await?;
    let is_data = |path: &&Path| {
        let name = path.filename().unwrap_or_default();
        let ending = ListingTableConfig::infer_file_extension_and_compression_type(name);
        let is_known = ending.is_ok_and(|(ending, _)| state.get_file_format_factory(&ending).is_some());
        // What is named itself is meant.
        is_known && (!name.starts_with(['_', '.']) || files.len() == 1)
    };
    files.iter().filter(is_data).min().map(|path| of_file(url, path)).transpose()
}

/// A file of a place.
fn of_file(place: &ListingTableUrl, file: &Path) -> Result<ListingTableUrl> {
    let store: &Url = place.as_ref();
    match stores::url_of(store, file) {
        Some(url) => ListingTableUrl::try_new(url, None),
        None => plan_err!("{} has no files", place.object_store().as_str()),
    }
}

/// The plan with the files that each pattern stands for now. A plan that is sent to a scheduler carries a table's places without their patterns: whole
/// folders would be read.
pub async fn without_patterns(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let mut tables: HashMap<usize, Arc<dyn TableProvider>> = HashMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
        {
            tables.insert(address(&provider), provider);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut named: HashMap<usize, Arc<dyn TableProvider>> = HashMap::new();
    for (address, provider) in tables {
        let table = provider.downcast_ref::<ListingTable>();
        if let Some(table) =
            table.filter(|table| table.table_paths().iter().any(|path| path.get_glob().is_some()))
        {
            named.insert(address, Arc::new(of_files(table, state).await?));
        }
    }
    if named.is_empty() {
        return Ok(plan);
    }
    let changed = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let provider = source_as_provider(&scan.source).ok();
        match provider.and_then(|provider| named.get(&address(&provider)).cloned()) {
            Some(table) => {
                scan.source = provider_as_source(table);
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
        }
    })?;
    Ok(changed.data)
}

/// Tells providers apart.
fn address(provider: &Arc<dyn TableProvider>) -> usize {
    Arc::as_ptr(provider).cast::<()>() as usize
}

/// The same table by its files.
async fn of_files(table: &ListingTable, state: &SessionState) -> Result<ListingTable> {
    let options = table.options().clone();
    if !options.table_partition_cols.is_empty() {
        return plan_err!(
            "a pattern of folders named COLUMN=VALUE cannot be sent to a cluster; name the folder, and filter by the column"
        );
    }
    let mut files = Vec::new();
    for path in table.table_paths() {
        let store = state.runtime_env().object_store(path)?;
        let mut found = path.list_all_files(state, store.as_ref(), &options.file_extension).await?;
        while let Some(file) = found.try_next().await? {
            files.push(of_file(path, &file.location)?);
        }
    }
    if files.is_empty() {
        return plan_err!("no file matches the pattern");
    }
    let config = ListingTableConfig::new_with_multi_paths(files);
    ListingTable::try_new(config.with_listing_options(options).with_schema(table.schema()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::parse;

    #[test]
    fn places_and_their_patterns() {
        let parts = |place: &str| {
            let url = parse(place).unwrap();
            (url.as_str().to_owned(), url.get_glob().as_ref().map(|glob| glob.as_str().to_owned()))
        };
        let with = |url: &str, glob: Option<&str>| (url.to_owned(), glob.map(str::to_owned));
        assert_eq!(parts("s3://texts/in/*.parquet"), with("s3://texts/in/", Some("*.parquet")));
        assert_eq!(parts("s3://texts/*/a?.csv"), with("s3://texts/", Some("*/a?.csv")));
        assert_eq!(parts("gs://texts/in/"), with("gs://texts/in/", None));
        assert_eq!(parts("s3://texts/in/one.parquet"), with("s3://texts/in/one.parquet", None));
        assert_eq!(parts("/in/a[0-9].json").1.as_deref(), Some("a[0-9].json"));
    }
}
