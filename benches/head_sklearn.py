"""Seconds that scikit-learn takes for the fits of benches/head.rs; called by it with a path stem and the columns."""
import sys
import time

import numpy as np
from sklearn.linear_model import LogisticRegression

stem, columns = sys.argv[1], int(sys.argv[2])
x = np.fromfile(stem + ".x", np.float32).reshape(-1, columns)
y = np.fromfile(stem + ".y", np.uint32)
w = np.eye(y.max() + 1)[y]
for c in (1.0, 100.0):
    for name, data in (("float32", x), ("float64", x.astype(np.float64))):
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            model = LogisticRegression(C=c, max_iter=5000).fit(data, y)
            seconds.append(time.perf_counter() - start)
        p = model.predict_proba(data)
        objective = -c * np.log(p[np.arange(len(y)), y]).sum() + 0.5 * (model.coef_**2).sum()
        print(f"scikit-learn, {y.max() + 1} classes, C = {c:g}, {name}: {min(seconds):.4f} s (best), "
              f"{sorted(seconds)[1]:.4f} s (median); {model.n_iter_[0]} iterations, objective {objective:.6f}", flush=True)
