"""The order of an epoch, written from docs/epoch-order.md alone, in plain Python 3.

Reads plans as JSON from stdin, one a line, and answers each with a line: the batches of one rank in one epoch, each a list of
[sample, padding].
"""

import json
import math
import sys

WORD = 0xFFFFFFFF


def philox(key, counter):
    """Philox 4x32-10."""
    k0, k1 = key
    c0, c1, c2, c3 = counter
    for _ in range(10):
        p0 = 0xD2511F53 * c0
        p1 = 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & WORD, (p0 >> 32) ^ c3 ^ k1, p0 & WORD
        k0 = (k0 + 0x9E3779B9) & WORD
        k1 = (k1 + 0xBB67AE85) & WORD
    return c0, c1, c2, c3


def fnv1a32(text):
    value = 0x811C9DC5
    for byte in text.encode("utf-8"):
        value = ((value ^ byte) * 0x01000193) & WORD
    return value


def purpose_key(seed, purpose):
    words = philox((seed & WORD, seed >> 32), (fnv1a32(purpose), len(purpose), 0x70757270, 0x64726F70))
    return words[0], words[1]


def permute(key, epoch, part, count, position):
    a = math.isqrt(count - 1) + 1
    b = -(-count // a)
    cell = position
    while True:
        x, y = divmod(cell, b)
        for step in range(0, 16, 2):
            x = (x + philox(key, (y, step, epoch, part))[0]) % a
            y = (y + philox(key, (x, step + 1, epoch, part))[0]) % b
        cell = x * b + y
        if cell < count:
            return cell


def taking_part(samples, stride, offset, invert):
    if stride == 0:
        return list(range(samples))
    return [sample for sample in range(samples) if (sample % stride == offset) != invert]


def number_at(plan, name, n, position):
    seed, epoch = int(plan["seed"]), plan["epoch"]
    if plan["order"] == "sequential":
        return position
    if plan["order"] == "padded":
        return position % n
    if plan["order"] == "shuffled":
        return permute(purpose_key(seed, "order/" + name), epoch, 0, n, position)
    block, mixed = plan["blockSamples"], plan["blocksMixed"]
    turn = philox(purpose_key(seed, "order-turn/" + name), (0, 0, epoch, 0))[0] % n
    blocks = n // block
    last = max(0, -(-blocks // mixed) - 1)
    window = min(position // (mixed * block), last)
    start = window * mixed * block
    inside = min(mixed, blocks - window * mixed) * block
    size = n - start if window == last else inside
    place = permute(purpose_key(seed, "order-window/" + name), epoch, window, size, position - start)
    if place < inside:
        at = permute(purpose_key(seed, "order-blocks/" + name), epoch, 0, blocks, window * mixed + place // block)
        turned = at * block + place % block
    else:
        turned = blocks * block + place - inside
    return (turned + turn) % n


def batches(plan):
    numbers = taking_part(plan["samples"], plan["stride"], plan["offset"], plan["invert"])
    n, size, world, rank = len(numbers), plan["batchSize"], plan["worldSize"], plan["rank"]
    name = "%s/%d/%d/%d" % (plan["manifest"], plan["stride"], plan["offset"], plan["invert"])
    if plan["order"] in ("shuffled", "blocks"):
        count = n // (size * world)
    elif plan["order"] == "padded":
        count = -(-n // (size * world))
    else:
        count = max(0, -(-(-(-n // size) - rank) // world))
    answer = []
    for index in range(count):
        first = (index * world + rank) * size
        end = min(first + size, n) if plan["order"] == "sequential" else first + size
        answer.append([[numbers[number_at(plan, name, n, p)], p >= n] for p in range(first, end)])
    return answer


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(batches(json.loads(line))), flush=True)
