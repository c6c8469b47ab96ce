"""Golden values for libs/statistics, from SciPy: python golden.py > golden.json."""
import json, platform
import numpy as np, scipy
from scipy import stats

samples = {
    "three": [0.41, 0.39, 0.44],
    "five": [2.31, 2.28, 2.35, 2.22, 2.3],
    "signs": [-0.02, 0.03, 0.01, 0.05, 0.04, -0.01, 0.02],
    "ties": [0.5, 0.5, -0.5, 1.0, 1.5, 0.5],
    "twelve": [0.3, 0.1, 0.4, -0.1, 0.5, -0.9, 0.2, 0.6, 0.5, 0.3, -0.2, 0.8],
}
out = {"scipy": scipy.__version__, "t": [], "samples": {}}
for f in (1, 2, 3, 4, 9, 29, 199):
    for x in (0.0, 0.1, 0.7, 1.5, 2.7764451051977987, 6.0, 40.0):
        out["t"].append({"freedom": f, "t": x, "two_sided": float(2 * stats.t.sf(x, f)), "critical": float(stats.t.ppf(0.975, f))})
for name, d in samples.items():
    d = np.array(d)
    n = len(d)
    interval = stats.t.interval(0.95, n - 1, loc=d.mean(), scale=stats.sem(d))
    flip = stats.permutation_test((d,), lambda x, axis: np.abs(x.mean(axis=axis)), permutation_type="samples", vectorized=True, alternative="greater", n_resamples=10**6)
    boot = stats.bootstrap((d,), np.mean, n_resamples=200_000, method="percentile", random_state=1).confidence_interval
    out["samples"][name] = {"values": d.tolist(), "mean": float(d.mean()), "deviation": float(d.std(ddof=1)), "interval": [float(v) for v in interval],
        "paired_t": float(stats.ttest_1samp(d, 0).pvalue), "sign_flip": float(flip.pvalue), "bootstrap": [float(boot.low), float(boot.high)]}
print(json.dumps(out, indent=1))
