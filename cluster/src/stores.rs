//! Object stores: S3 and what speaks its language, Google's, Azure's, and files behind HTTP. Each is opened when a query first names it, in every
//! process that meets it, with what that process's environment says (`AWS_...`, `GOOGLE_...`, `AZURE_...`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use object_store::{ObjectStore, ObjectStoreScheme, parse_url_opts};
use url::{Position, Url};

/// Settings of the environment that stores are told of; others, such as `TOKEN`, belong to other programs.
const SETTINGS: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];

/// This machine's files, and stores that a query names.
#[derive(Debug, Default)]
struct Stores {
    local: DefaultObjectStoreRegistry,
    /// By all that stands before the path: of Azure's, a container and an account.
    named: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.insert(url[..Position::BeforePath].to_owned(), store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let place = &url[..Position::BeforePath];
        if let Some(known) = named.get(place) {
            return Ok(known.clone());
        }
        if url.scheme() == "file" {
            return self.local.get_store(url);
        }
        let store = open(url)?;
        named.insert(place.to_owned(), store.clone());
        Ok(store)
    }
}

fn open(url: &Url) -> Result<Arc<dyn ObjectStore>> {
    let refused = |why: &dyn std::fmt::Display| {
        DataFusionError::Execution(format!(
            "cannot open {url}: {why}; stores are s3://bucket, gs://bucket, az://container, abfss://container@account.dfs.core.windows.net and \
             https://host, with the settings of their own tools in the environment (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, ...) of the \
             client, the scheduler and every executor"
        ))
    };
    let scheme = ObjectStoreScheme::parse(url).map_err(|error| refused(&error))?.0;
    let is_web = matches!(url.scheme(), "http" | "https");
    if is_web && scheme != ObjectStoreScheme::Http {
        return Err(refused(&"name a bucket or container by its store's own scheme"));
    }
    let of_environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| SETTINGS.iter().any(|start| name.starts_with(start)));
    // Whoever names a place without TLS wants it.
    let plain = (url.scheme() == "http").then(|| ("allow_http".to_owned(), "true".to_owned()));
    let (store, _) = parse_url_opts(url, of_environment.chain(plain)).map_err(|error| refused(&error))?;
    Ok(Arc::from(store))
}

/// Where an object of a store is; none where a store's address is no place that has others below it.
pub fn url_of(store: &Url, object: &object_store::path::Path) -> Option<Url> {
    let mut url = store.clone();
    // Part by part: a name may hold what a URL writes in another way.
    url.path_segments_mut().ok()?.clear().extend(object.parts().map(|part| part.as_ref().to_owned()));
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

/// What queries run in. `temporary` is where what does not fit into memory goes.
///
/// # Errors
/// The folder cannot be used.
pub fn runtime(temporary: Option<&Path>) -> Result<Arc<RuntimeEnv>> {
    // The engine's caches know files by their path alone: of two buckets they would take one for the other, and a folder that a statement wrote for
    // what it was before.
    let caches = CacheManagerConfig::default()
        .with_list_files_cache_limit(0)
        .with_metadata_cache_limit(0)
        .with_file_statistics_cache_limit(0);
    let builder = RuntimeEnvBuilder::new()
        .with_object_store_registry(Arc::new(Stores::default()))
        .with_cache_manager(caches);
    let builder = match temporary {
        Some(folder) => builder.with_temp_file_path(folder),
        None => builder,
    };
    Ok(Arc::new(builder.build()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_told_apart_and_strange_places_refused() {
        let stores = Stores::default();
        let get = |url: &str| stores.get_store(&Url::parse(url).unwrap());
        let raw = get("https://host.example/raw/").unwrap();
        assert!(Arc::ptr_eq(&raw, &get("https://host.example/other").unwrap()));
        assert!(!Arc::ptr_eq(&raw, &get("https://me@host.example/raw/").unwrap()), "another account");
        assert!(get("file:///tmp/").is_ok());
        for (wrong, why) in [
            ("ftp://host/texts/", "s3://bucket"),
            ("https://account.blob.core.windows.net/container/texts/", "own scheme"),
            ("https://s3.eu-west-1.amazonaws.com/bucket/texts/", "own scheme"),
        ] {
            let error = get(wrong).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
