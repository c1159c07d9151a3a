//! Object stores: S3 and what speaks its language, Google's, Azure's, and files behind HTTP. Each is opened when a query first names it, in every
//! process that meets it, with what that process's environment says (`AWS_...`, `GOOGLE_...`, `AZURE_...`).

use std::path::Path;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use object_store::{ObjectStore, parse_url_opts};
use url::Url;

/// Stores that are known, and those that a query names.
#[derive(Debug, Default)]
struct Stores {
    known: DefaultObjectStoreRegistry,
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.known.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        self.known.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if let Ok(known) = self.known.get_store(url) {
            return Ok(known);
        }
        let store = open(url)?;
        self.known.register_store(url, store.clone());
        Ok(store)
    }
}

fn open(url: &Url) -> Result<Arc<dyn ObjectStore>> {
    let settings = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    match parse_url_opts(url, settings) {
        Ok((store, _)) => Ok(Arc::from(store)),
        Err(error) => Err(DataFusionError::Execution(format!(
            "cannot open {url}: {error}; stores are s3://bucket, gs://bucket, az://container and https://host, with the settings of their own \
             tools in the environment (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, ...) of the client, the scheduler and every executor"
        ))),
    }
}

/// What queries run in. `temporary` is where what does not fit into memory goes.
///
/// # Errors
/// The folder cannot be used.
pub fn runtime(temporary: Option<&Path>) -> Result<Arc<RuntimeEnv>> {
    let builder = RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(Stores::default()));
    let builder = match temporary {
        Some(folder) => builder.with_temp_file_path(folder),
        None => builder,
    };
    Ok(Arc::new(builder.build()?))
}
