"""Runs shared/peers/train_step.py with its own arguments and says, on the last line of stderr, how its memory grew: resident bytes before the
first step, the most since then, and the most since the end of the warm-up (which in compiled mode holds the compiler as well).

The script reads the clock twice outside of its steps: before the warm-up and after it. Both moments are taken from there.
"""
import json
import runpy
import sys
import time


def status(line):
    with open("/proc/self/status") as f:
        return next(int(row.split()[1]) * 1024 for row in f if row.startswith(line + ":"))


def forget_peak():
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")


seen = {}
clock = time.perf_counter


def watched_clock():
    caller = sys._getframe(1).f_code
    if caller.co_filename == script and caller.co_name == "main":
        if "before" not in seen:
            seen["before"] = status("VmRSS")
            forget_peak()
        elif "warm_peak" not in seen:
            seen["warm_peak"] = status("VmHWM")
            forget_peak()
    return clock()


script = sys.argv[1]
sys.argv = sys.argv[1:]
time.perf_counter = watched_clock
runpy.run_path(script, run_name="__main__")
if "warm_peak" in seen:
    after = status("VmHWM")
    print(json.dumps({"before": seen["before"], "peak": max(seen["warm_peak"], after), "peakAfterWarmUp": after}), file=sys.stderr)
