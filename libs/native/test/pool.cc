// What the pool guarantees: every job runs once, on an existing thread, and all are done when a region returns; a thread that is busy does
// not delay its share.
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "test/harness.h"
#include "threads/pieces.h"
#include "threads/pool.h"

namespace dropstream::test {

namespace {

void every_job_once() {
  Random random(71);
  for (const unsigned threads : {1u, 2u, 3u, 5u}) {
    Pool pool(threads);
    bool once = true, known = true;
    for (int region = 0; region < 2000; region++) {
      const size_t jobs = random.upto(0, region % 2 ? 3 : 40);
      const auto runs = std::make_unique<std::atomic<int>[]>(jobs);
      std::atomic<unsigned> highest{0};
      pool.run(jobs, [&](size_t job, unsigned thread) {
        runs[job]++;
        unsigned seen = highest.load();
        while (thread > seen && !highest.compare_exchange_weak(seen, thread)) continue;
      });
      for (size_t job = 0; job < jobs; job++) once = once && runs[job] == 1;
      known = known && highest < threads;
    }
    const std::string what = "pool of " + std::to_string(threads);
    check(once, what + ": every job runs once");
    check(known, what + ": on its own threads");
  }
}

// The first job of the caller's share lasts until all others are done, so the other thread must take the rest of that share.
void shares_are_taken_over() {
  Pool pool(2);
  constexpr size_t kJobs = 16;
  std::atomic<size_t> done{0};
  bool taken = true;
  pool.run(kJobs, [&](size_t job, unsigned) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (job == 0 && done < kJobs - 1 && (taken = std::chrono::steady_clock::now() < end)) std::this_thread::yield();
    done++;
  });
  check(taken, "pool: a thread that is held up keeps no jobs from the others");
}

void pieces_are_even() {
  Random random(72);
  bool right = true;
  for (int round = 0; round < 5000; round++) {
    const size_t n = random.upto(1, 5000), step = random.upto(1, 32), max = random.upto(1, 40);
    const Pieces pieces(n, step, max);
    const size_t each = pieces.steps / pieces.count * step;
    right = right && pieces.count >= 1 && pieces.count <= max && pieces.begin(0) == 0 && pieces.begin(pieces.count) == n;
    for (size_t i = 0; i < pieces.count; i++) {
      const size_t begin = pieces.begin(i), size = pieces.begin(i + 1) - begin;
      const bool last = i + 1 == pieces.count;
      right = right && begin % step == 0 && size > 0 && size <= each + step && (last || size >= each);
    }
  }
  check(right, "pieces: they cover everything, begin at steps, and differ by a step at most");
}

}  // namespace

void test_pool() {
  every_job_once();
  shares_are_taken_over();
  pieces_are_even();
}

}  // namespace dropstream::test
