"""Runs shared/peers/train_step.py with its own arguments, and says on stderr, a JSON object a line, how its memory grew and, if
DROPSTREAM_TURN_SECONDS is set, how many steps each of its turns had.

A turn lasts until the first step that begins after so many seconds. The process then waits for a line on stdin, as it does after its warm-up.
Memory: resident bytes before the first step, the most since then, and the most since the end of the warm-up (which in compiled mode holds the
compiler as well).

The script reads the clock twice outside of its steps: before the warm-up and after it. Both moments are taken from there. Each step reads it as
often as `READINGS` says, first when it begins.
"""
import json
import os
import runpy
import sys
import time

READINGS = {"train": 4, "forward": 2}
turn_seconds = float(os.environ.get("DROPSTREAM_TURN_SECONDS", "0"))
clock = time.perf_counter


def say(line):
    print(json.dumps(line), file=sys.stderr, flush=True)


def status(line):
    with open("/proc/self/status") as f:
        return next(int(row.split()[1]) * 1024 for row in f if row.startswith(line + ":"))


def forget_peak():
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")


class Turns:
    began, steps, readings = None, 0, 0

    def end(self):
        say({"turn": {"steps": self.steps, "seconds": clock() - self.began if self.steps else 0}})

    def reading(self, function):
        begins = self.readings % READINGS[function] == 0
        self.readings += 1
        if not begins:
            return
        if self.began is None or clock() - self.began >= turn_seconds:
            self.end()
            sys.stdin.readline()
            self.began, self.steps = clock(), 0
        self.steps += 1


seen = {}
turns = Turns()


def watched_clock():
    caller = sys._getframe(1).f_code
    if caller.co_filename == script:
        if caller.co_name == "main":
            if "before" not in seen:
                seen["before"] = status("VmRSS")
                forget_peak()
            elif "warm_peak" not in seen:
                seen["warm_peak"] = status("VmHWM")
                forget_peak()
        elif turn_seconds and "warm_peak" in seen:
            turns.reading(caller.co_name)
    return clock()


script = sys.argv[1]
sys.argv = sys.argv[1:]
time.perf_counter = watched_clock
runpy.run_path(script, run_name="__main__")
if turns.steps:
    turns.end()
if "warm_peak" in seen:
    after = status("VmHWM")
    say({"memory": {"before": seen["before"], "peak": max(seen["warm_peak"], after), "peakAfterWarmUp": after}})
