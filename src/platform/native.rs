//! A native program: rayon's threads, files, and whoever waits blocks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use rayon::prelude::*;

use crate::error::{Error, Result};

/// `work(0), .., work(count - 1)` on every core, in order of the index whatever the order of the work.
pub(crate) fn map<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    on_own_threads(|| (0..count).into_par_iter().map(work).collect())
}

/// Calls `work(i, chunk i)` for each piece of `len` elements of `data` (the last may be shorter).
pub(crate) fn for_chunks<T: Send>(data: &mut [T], len: usize, work: impl Fn(usize, &mut [T]) + Sync + Send) {
    on_own_threads(|| data.par_chunks_mut(len).enumerate().for_each(|(index, chunk)| work(index, chunk)));
}

/// Runs `work` where rayon has threads of this process. Threads do not survive a fork (Python's `multiprocessing`), and rayon's own
/// pool would wait for them forever: a forked process gets a pool of its own.
fn on_own_threads<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    /// The first process that came here.
    static HOME: AtomicU32 = AtomicU32::new(0);
    /// The pool of a forked process; never freed.
    static FORKED: AtomicPtr<(u32, rayon::ThreadPool)> = AtomicPtr::new(std::ptr::null_mut());
    let own = std::process::id();
    let home = HOME
        .compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed)
        .map_or_else(|known| known, |_| own);
    if home == own || rayon::current_thread_index().is_some() {
        return work();
    }
    // SAFETY: what is stored came from Box::leak and is never freed.
    let known = unsafe { FORKED.load(Ordering::Acquire).as_ref() };
    if let Some((_, pool)) = known.filter(|(process, _)| *process == own) {
        return pool.install(work);
    }
    match rayon::ThreadPoolBuilder::new().build() {
        Ok(pool) => {
            let made: &'static _ = Box::leak(Box::new((own, pool)));
            FORKED.store(std::ptr::from_ref(made).cast_mut(), Ordering::Release);
            made.1.install(work)
        }
        // No thread to be had: rayon's own way, which says so.
        Err(_) => work(),
    }
}

/// A moment for others between two batches. Nothing to do: whoever else has work has a thread.
pub(crate) async fn pause() {}

/// The folder for what may be deleted at any time: `$FROSTBERT_CACHE`, or `frostbert` in the user's cache folder.
///
/// # Errors
/// There is no home folder to be found.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    use etcetera::BaseStrategy;
    if let Some(folder) = std::env::var_os("FROSTBERT_CACHE").filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let strategy = etcetera::choose_base_strategy().map_err(|error| {
        Error::io("cannot find the user's cache folder: set FROSTBERT_CACHE to a folder").with_source(error)
    })?;
    Ok(strategy.cache_dir().join("frostbert"))
}

/// Files that are read and written whole.
pub(crate) mod disk {
    use std::fs;
    use std::io;
    use std::path::Path;

    pub(crate) use crate::platform::whole_file::write;

    /// The file's bytes.
    pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    /// Removes a file that may not be there.
    pub(crate) fn remove(path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Declares entries of the public API: of `&self`, `&mut self`, `self`, or constructors. Here they block the calling thread until the
/// result is there; in a browser (web.rs) the same entries are async. One body, `$inner`, serves both.
macro_rules! entry {
    ($(
        $(#[$meta:meta])*
        pub fn $name:ident(&$self:ident $(, $arg:ident: $type:ty)* $(,)?) -> $result:ty = $inner:ident;
    )*) => {$(
        $(#[$meta])*
        pub fn $name(&$self $(, $arg: $type)*) -> $result {
            pollster::block_on($self.$inner($($arg),*))
        }
    )*};
    ($(
        $(#[$meta:meta])*
        pub fn $name:ident(&mut $self:ident $(, $arg:ident: $type:ty)* $(,)?) -> $result:ty = $inner:ident;
    )*) => {$(
        $(#[$meta])*
        pub fn $name(&mut $self $(, $arg: $type)*) -> $result {
            pollster::block_on($self.$inner($($arg),*))
        }
    )*};
    ($(#[$meta:meta])* pub fn $name:ident($self:ident) -> $result:ty = $inner:ident;) => {
        $(#[$meta])*
        pub fn $name($self) -> $result {
            pollster::block_on($self.$inner())
        }
    };
    ($(
        $(#[$meta:meta])*
        pub fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty = $inner:ident;
    )*) => {$(
        $(#[$meta])*
        pub fn $name($($arg: $type),*) -> $result {
            pollster::block_on(Self::$inner($($arg),*))
        }
    )*};
}
pub(crate) use entry;
