//! The embedding cache under what happens to caches: several processes, kills, full disks, damage.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frostbert::cache::{BestEffort, Cache, Entry, Key, KeySpace};

const DIM: usize = 96;

fn key(encoder: &str, row: usize) -> Key {
    KeySpace::new(encoder, "f32", &"request").unwrap().key(&format!("text {row}"), None)
}

fn entry(row: usize) -> Entry {
    let vector = (0..DIM).map(|column| ((row * DIM + column) as f32).sin()).collect();
    Entry { vector, tokens: row as u32, truncated: row.is_multiple_of(3) }
}

fn rows(encoder: &str, rows: std::ops::Range<usize>) -> Vec<(Key, Entry)> {
    rows.map(|row| (key(encoder, row), entry(row))).collect()
}

fn keys(encoder: &str, rows: std::ops::Range<usize>) -> Vec<Key> {
    rows.map(|row| key(encoder, row)).collect()
}

/// How many of the rows are there; each that is there must be right.
fn present(cache: &Cache, encoder: &str, range: std::ops::Range<usize>) -> usize {
    let found = cache.get_many(&keys(encoder, range.clone())).unwrap();
    assert_eq!(found.len(), range.len());
    let right =
        |(row, found): (usize, Option<Entry>)| found.map(|found| assert_eq!(found, entry(row), "row {row}"));
    range.zip(found).filter_map(right).count()
}

#[test]
fn finds_what_was_stored_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    assert_eq!(present(&cache, "a", 0..10), 0, "a new cache is empty");
    cache.put_many(&rows("a", 0..500)).unwrap();
    cache.put_many(&rows("b", 250..300)).unwrap();
    // Any order, encoders mixed, repeats: each answer stands where its key stood.
    let asked: Vec<(&str, usize)> = (0..600)
        .rev()
        .map(|row| (["a", "b", "c"][row % 3], row * 7 % 600))
        .chain([("a", 3), ("a", 3)])
        .collect();
    let found =
        cache.get_many(&asked.iter().map(|(encoder, row)| key(encoder, *row)).collect::<Vec<_>>()).unwrap();
    for ((encoder, row), found) in asked.into_iter().zip(found) {
        let stored = match encoder {
            "a" => row < 500,
            "b" => (250..300).contains(&row),
            _ => false,
        };
        assert_eq!(found, stored.then(|| entry(row)), "{encoder} {row}");
    }
    // The last of equal keys stays, within a call and between calls.
    cache.put_many(&[(key("a", 0), entry(1)), (key("a", 0), entry(2))]).unwrap();
    assert_eq!(cache.get_many(&[key("a", 0)]).unwrap(), [Some(entry(2))]);
    cache.put_many(&[]).unwrap();
    drop(cache);
    let cache = Cache::open(folder.path()).unwrap();
    assert_eq!(present(&cache, "a", 1..500), 499, "all of it is there after opening again");
    assert!(cache.take_notes().is_empty());
}

#[test]
fn tells_what_is_in_it_and_clears_by_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    assert_eq!((cache.info().unwrap().entries, cache.info().unwrap().encoders.len()), (0, 0));
    for (encoder, count) in [("ab12", 3000), ("ab34", 20), ("cd", 5)] {
        cache.put_many(&rows(encoder, 0..count)).unwrap();
    }
    let info = cache.info().unwrap();
    let counts: Vec<_> = info.encoders.iter().map(|e| (e.fingerprint.as_str(), e.entries)).collect();
    assert_eq!(counts, [("ab12", 3000), ("ab34", 20), ("cd", 5)]);
    assert_eq!(info.entries, 3025);
    assert_eq!(info.bytes, std::fs::metadata(&info.path).unwrap().len());
    assert!(info.bytes > 3025 * 4 * DIM as u64);

    assert_eq!(cache.clear(Some("zz")).unwrap().entries, 0);
    assert_eq!(cache.clear(Some("ab12")).unwrap().entries, 3000);
    assert!(cache.info().unwrap().bytes < info.bytes / 4, "the space goes back to the disk");
    assert_eq!(present(&cache, "ab12", 0..10), 0);
    assert_eq!((present(&cache, "ab34", 0..20), present(&cache, "cd", 0..5)), (20, 5));
    std::fs::write(folder.path().join("embeddings.redb.damaged"), "old").unwrap();
    assert_eq!(cache.clear(None).unwrap().entries, 25);
    assert_eq!(cache.info().unwrap().encoders, []);
    assert!(!folder.path().join("embeddings.redb.damaged").exists());
    cache.put_many(&rows("ab12", 0..10)).unwrap();
    assert_eq!(present(&cache, "ab12", 0..10), 10, "it works on after being cleared");
}

#[test]
fn two_handles_of_one_process_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Cache::open(folder.path()).unwrap(), Cache::open(folder.path()).unwrap());
    for round in 0..20 {
        let (writer, reader) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
        writer.put_many(&rows("a", round * 50..round * 50 + 50)).unwrap();
        assert_eq!(present(reader, "a", 0..1000), (round + 1) * 50);
    }
    let write = |from: usize, cache: &Cache| {
        (from..from + 400).step_by(20).for_each(|row| cache.put_many(&rows("b", row..row + 20)).unwrap());
    };
    std::thread::scope(|scope| {
        for (from, cache) in [(0, &one), (400, &one), (800, &two)] {
            scope.spawn(move || write(from, cache));
        }
    });
    assert_eq!(present(&one, "b", 0..1200), 1200);
}

// ---- other processes: this test binary, started again with a part to play ----

const PART: &str = "FROSTBERT_TEST_PART";
const FOLDER: &str = "FROSTBERT_TEST_FOLDER";
const FROM: &str = "FROSTBERT_TEST_FROM";

/// This binary, playing `part` on `folder`; prints what it did, a line a step.
fn player(part: &str, folder: &Path, from: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "play", "--nocapture", "--test-threads=1"]);
    command.env(PART, part).env(FOLDER, folder).env(FROM, from.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok)
}

fn value(line: &str, name: &str) -> Option<usize> {
    // The harness prints the test's name without a line end before what the test prints.
    line.split_once(&format!("{name}=")).map(|(_, value)| value.trim().parse().unwrap())
}

#[test]
#[ignore = "a part played for other tests, in a process of its own"]
fn play() {
    let Ok(part) = std::env::var(PART) else { return };
    let folder = std::env::var_os(FOLDER).unwrap();
    let from: usize = std::env::var(FROM).unwrap().parse().unwrap();
    let mut out = std::io::stdout();
    let mut say = |name: &str, value: usize| {
        writeln!(out, "{name}={value}").unwrap();
        out.flush().unwrap();
    };
    match part.as_str() {
        // 20 transactions of 25 rows.
        "write" => {
            let cache = Cache::open(folder).unwrap();
            for at in (from..from + 500).step_by(25) {
                cache.put_many(&rows("a", at..at + 25)).unwrap();
                say("stored", at + 25);
            }
        }
        // Without end, until killed.
        "write on" => {
            let cache = Cache::open(folder).unwrap();
            for at in (from..).step_by(40) {
                cache.put_many(&rows("a", at..at + 40)).unwrap();
                say("stored", at + 40);
            }
        }
        // As training does: nothing may stop it.
        "fill" => {
            let warnings = Arc::new(Mutex::new(Vec::new()));
            let heard = warnings.clone();
            let cache =
                BestEffort::new(Cache::open(folder), move |text| heard.lock().unwrap().push(text.to_owned()));
            let mut kept = 0;
            for at in (0..20_000).step_by(250) {
                cache.put_many(&rows("a", at..at + 250));
                if warnings.lock().unwrap().is_empty() {
                    kept = at + 250;
                    say("stored", kept);
                }
            }
            let found = cache.get_many(&keys("a", 0..kept));
            for (row, found) in found.iter().enumerate() {
                assert_eq!(found.as_ref(), Some(&entry(row)), "row {row} after the disk was full");
            }
            for warning in warnings.lock().unwrap().iter() {
                println!("warning: {warning}");
            }
            say("readable", found.len());
            say("warnings", warnings.lock().unwrap().len());
        }
        "open" => {
            let cache = Cache::open(folder).unwrap();
            cache.put_many(&rows("a", from..from + 25)).unwrap();
            assert_eq!(present(&cache, "a", from..from + 25), 25);
            say("notes", cache.take_notes().len());
        }
        other => panic!("no such part: {other}"),
    }
}

fn finish(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[test]
fn processes_write_while_others_read() {
    let folder = tempfile::tempdir().unwrap();
    let reader = Cache::open(folder.path()).unwrap();
    let mut writers: Vec<Child> =
        (0..3).map(|at| player("write", folder.path(), at * 500).spawn().unwrap()).collect();
    let mut seen = 0;
    while writers.iter_mut().any(|writer| writer.try_wait().unwrap().is_none()) {
        let now = present(&reader, "a", 0..1500);
        assert!(
            now >= seen && now.is_multiple_of(25),
            "{now} rows after {seen}: transactions are whole and stay"
        );
        seen = now;
        reader.put_many(&rows("b", 0..5)).unwrap();
    }
    writers.into_iter().for_each(|writer| drop(finish(writer)));
    assert_eq!(present(&reader, "a", 0..1500), 1500);
    assert!(reader.take_notes().is_empty());
}

#[test]
fn killed_while_writing_nothing_stored_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    // A second process that stays, on every other round: the survivor must not be disturbed, nor repair be needed.
    let mut stored = 0;
    for round in 0..24_u64 {
        let stayer = (round % 2 == 1).then(|| Cache::open(folder.path()).unwrap());
        let mut child = player("write on", folder.path(), stored).spawn().unwrap();
        let mut steps = lines(&mut child).filter_map(|line| value(&line, "stored"));
        stored = steps.next().expect("the first transaction");
        std::thread::sleep(Duration::from_micros(round * 1_700));
        child.kill().unwrap();
        child.wait().unwrap();
        stored = steps.last().unwrap_or(stored);

        let check = |cache: &Cache| {
            let there = present(cache, "a", 0..stored + 80);
            assert!(there >= stored, "round {round}: {stored} rows were reported stored, {there} are there");
            // One more transaction may have been committed and not reported.
            assert!(
                there == stored || there == stored + 40,
                "round {round}: {there} rows, {stored} reported"
            );
            assert!(cache.take_notes().is_empty());
        };
        stayer.iter().for_each(check);
        check(&Cache::open(folder.path()).unwrap());
    }
}

/// Runs the part "fill" in a shell that first runs `limit`.
#[cfg(target_os = "linux")]
fn fill(limit: &str, folder: &Path) -> std::process::Output {
    let inner = player("fill", folder, 0);
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("{limit} && exec \"$0\" \"$@\""))
        .arg(inner.get_program())
        .args(inner.get_args());
    shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.output().unwrap()
}

#[cfg(target_os = "linux")]
fn check_filled(output: &std::process::Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let all = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{all}");
    let number = |name| text.lines().filter_map(|line| value(line, name)).next_back();
    assert_eq!(number("warnings"), Some(1), "{all}");
    assert_eq!(number("readable"), number("stored"), "{all}");
    assert!(number("stored") >= Some(250), "some of it fitted: {all}");
    assert!(text.contains("going on without storing"), "{all}");
}

/// A limit on the file's size stands in for a full disk where no file system can be mounted.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_grow_costs_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    // Blocks of 512 bytes. With the signal ignored the write fails with an error, as on a full disk.
    let output = fill("trap '' XFSZ && ulimit -f 6000", folder.path());
    check_filled(&output);
    let cache = Cache::open(folder.path()).unwrap();
    assert!(present(&cache, "a", 0..20_000) >= 250);
    cache.put_many(&rows("a", 19_000..20_000)).unwrap();
    assert_eq!(present(&cache, "a", 19_000..20_000), 1000, "with room again it stores again");
    assert!(cache.take_notes().is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_costs_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    let quoted = folder.path().display();
    let mount = format!("mount -t tmpfs -o size=3m none '{quoted}'");
    let namespaces = ["unshare --mount --", "unshare --user --map-root-user --mount --"];
    let usable = |namespace: &&&str| {
        Command::new("sh")
            .args(["-c", &format!("{namespace} sh -c \"{mount}\"")])
            .output()
            .is_ok_and(|o| o.status.success())
    };
    let Some(namespace) = namespaces.iter().find(usable) else {
        eprintln!(
            "SKIPPED: no file system of limited size can be mounted here; the limit on file size stands in for it"
        );
        return;
    };
    // The shell mounts in its own namespace and goes on as the player.
    let inner = player("fill", folder.path(), 0);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!(
        "exec {namespace} sh -c '{} && exec \"$0\" \"$@\"' \"$0\" \"$@\"",
        mount.replace('\'', "")
    ));
    shell.arg(inner.get_program()).args(inner.get_args());
    shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    check_filled(&shell.output().unwrap());
}

// ---- damage ----

fn healthy(folder: &Path) -> Vec<u8> {
    let cache = Cache::open(folder).unwrap();
    cache.put_many(&rows("a", 0..400)).unwrap();
    let path = cache.path().to_owned();
    drop(cache);
    std::fs::read(path).unwrap()
}

/// Whatever the file holds, the cache opens, gives no wrong row, and stores.
fn survives(folder: &Path, what: &str) -> usize {
    let cache = Cache::open(folder).unwrap_or_else(|error| panic!("{what}: {error:#}"));
    let there = present(&cache, "a", 0..400);
    cache.put_many(&rows("a", 0..450)).unwrap_or_else(|error| panic!("{what}: {error:#}"));
    assert_eq!(present(&cache, "a", 0..450), 450, "{what}");
    let moved = folder.join("embeddings.redb.damaged").exists();
    let notes = cache.take_notes();
    assert_eq!(notes.len(), usize::from(moved), "{what}: said once if moved aside: {notes:?}");
    assert!(notes.iter().all(|note| note.contains("embeddings.redb.damaged")), "{notes:?}");
    drop(cache);
    let again = Cache::open(folder).unwrap();
    assert_eq!(present(&again, "a", 0..450), 450, "{what}");
    assert!(again.take_notes().is_empty(), "{what}: not said twice");
    there
}

#[test]
fn a_file_that_is_no_cache_is_moved_aside() {
    for content in ["no database".as_bytes(), &[0; 4096], &[0xff; 100_000], b"redb"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("embeddings.redb"), content).unwrap();
        assert_eq!(survives(folder.path(), "foreign bytes"), 0);
        assert_eq!(std::fs::read(folder.path().join("embeddings.redb.damaged")).unwrap(), content);
    }
}

#[test]
fn a_cut_file_gives_no_wrong_row() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = healthy(folder.path());
    for part in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let len = bytes.len() * part / 12 + part;
        std::fs::write(folder.path().join("embeddings.redb"), &bytes[..len]).unwrap();
        survives(folder.path(), &format!("cut to {len} of {} bytes", bytes.len()));
    }
}

#[test]
fn damaged_pages_give_no_wrong_row() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = healthy(folder.path());
    let mut kept = 0;
    for (round, at) in (0..bytes.len()).step_by(bytes.len() / 40).enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("embeddings.redb");
        std::fs::write(&path, &bytes).unwrap();
        let mut file = std::fs::File::options().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        let damage: &[u8] = [&[0; 4096][..], &[0xff; 4096], &[0x5a; 700], &[1]][round % 4];
        file.write_all(&damage[..damage.len().min(bytes.len() - at)]).unwrap();
        drop(file);
        kept += usize::from(survives(folder.path(), &format!("{} bytes at {at}", damage.len())) > 0);
    }
    assert!(kept > 0, "small damage need not cost the whole cache");
}

#[test]
fn of_several_processes_that_meet_damage_one_moves_the_file() {
    for damage in [&b"no database"[..], &[0; 60_000]] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("embeddings.redb"), damage).unwrap();
        let children: Vec<Child> =
            (0..4).map(|at| player("open", folder.path(), at * 25).spawn().unwrap()).collect();
        let notes = children.into_iter().map(|child| {
            let text = finish(child);
            text.lines().find_map(|line| value(line, "notes")).expect("a count of notes")
        });
        assert_eq!(notes.sum::<usize>(), 1, "one moved it aside, the others found the fresh one");
        assert_eq!(present(&Cache::open(folder.path()).unwrap(), "a", 0..100), 100);
    }
}

#[test]
fn a_file_deleted_in_use_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    cache.put_many(&rows("a", 0..10)).unwrap();
    // Windows refuses to delete what is open, which is as good.
    if std::fs::remove_file(cache.path()).is_ok() {
        cache.put_many(&rows("a", 10..20)).unwrap();
        let fresh = Cache::open(folder.path()).unwrap();
        assert_eq!(present(&fresh, "a", 0..20), 0);
        fresh.put_many(&rows("a", 0..5)).unwrap();
        assert_eq!(present(&fresh, "a", 0..20), 5);
        cache.info().unwrap();
    }
}

#[test]
fn without_a_cache_work_goes_on_after_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file where a folder should be");
    std::fs::write(&file, "").unwrap();
    let error = Cache::open(&file).unwrap_err();
    assert!(error.is_io() && error.to_string().contains("a file where"), "{error:#}");

    let warnings = Arc::new(Mutex::new(Vec::<String>::new()));
    let heard = warnings.clone();
    let cache = BestEffort::new(Err(error), move |text| heard.lock().unwrap().push(text.to_owned()));
    for _ in 0..3 {
        cache.put_many(&rows("a", 0..5));
        assert_eq!(cache.get_many(&keys("a", 0..5)), vec![None; 5]);
    }
    assert!(!cache.is_on());
    assert_eq!((cache.hits(), cache.misses()), (0, 15));
    let warnings = warnings.lock().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("going on without the embedding cache"), "{warnings:?}");
}

#[test]
fn counts_hits_and_tells_of_damage_through_the_same_warning() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("embeddings.redb"), "no database").unwrap();
    let warnings = Arc::new(Mutex::new(Vec::<String>::new()));
    let heard = warnings.clone();
    let cache =
        BestEffort::new(Cache::open(folder.path()), move |text| heard.lock().unwrap().push(text.to_owned()));
    cache.put_many(&rows("a", 0..8));
    assert_eq!(cache.get_many(&keys("a", 4..12)).iter().flatten().count(), 4);
    assert_eq!((cache.hits(), cache.misses(), cache.is_on()), (4, 4, true));
    assert_eq!(warnings.lock().unwrap().len(), 1);

    let off = BestEffort::off();
    off.put_many(&rows("a", 0..8));
    assert_eq!(off.get_many(&keys("a", 0..2)), [None, None]);
    assert!(!off.is_on());
}

#[test]
fn the_folder_is_the_users_choice() {
    // In processes of their own: the environment belongs to all threads.
    let ask = |vars: &[(&str, &str)]| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "print_folder", "--nocapture"]).envs(vars.iter().copied());
        for name in ["FROSTBERT_CACHE", "XDG_CACHE_HOME"] {
            if !vars.iter().any(|(var, _)| *var == name) {
                command.env_remove(name);
            }
        }
        let mut text = String::new();
        command.stdout(Stdio::piped()).spawn().unwrap().stdout.unwrap().read_to_string(&mut text).unwrap();
        text
    };
    assert!(ask(&[("FROSTBERT_CACHE", "/x/y"), ("XDG_CACHE_HOME", "/z")]).contains("folder=/x/y\n"));
    if cfg!(unix) {
        assert!(ask(&[("FROSTBERT_CACHE", ""), ("XDG_CACHE_HOME", "/z")]).contains("folder=/z/frostbert\n"));
        assert!(ask(&[("HOME", "/h")]).contains("folder=/h/.cache/frostbert\n"));
    }
}

#[test]
#[ignore = "a part played for the_folder_is_the_users_choice"]
fn print_folder() {
    println!("folder={}", Cache::default_folder().unwrap().display());
}
