// Runs every kernel test on every instruction set that this build contains and this CPU can run, products in tiles on their model, and the
// tests of the thread pool. The exit code is 1 if one fails.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "dispatch.h"
#include "test/harness.h"
#include "threads/thread-mode.h"

// Counts the allocations of the whole process, to test that a program allocates all its memory before its second step.
namespace dropstream::test {
std::atomic<size_t> allocations{0};
}
void* operator new(size_t bytes) {
  dropstream::test::allocations++;
  if (void* memory = malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }

// Without an argument, tests every path of this CPU, the tiles and the pool. Arguments choose paths; --list only prints those of this CPU.
int main(int count, char** arguments) {
  using namespace dropstream;
  const std::vector<std::string> asked(arguments + 1, arguments + count);
  enter_compute_mode("kernel-tests");
  for (const KernelTable* kernels : available_kernels()) {
    if (!asked.empty() && asked[0] == "--list") {
      puts(kernels->isa);
      continue;
    }
    if (!asked.empty() && std::find(asked.begin(), asked.end(), kernels->isa) == asked.end()) continue;
    const int before = test::failures(), ran = test::checks();
    test::test_functions(*kernels);
    test::test_products(*kernels);
    test::test_attention(*kernels);
    test::test_rows(*kernels);
    test::test_layout(*kernels);
    test::test_maps(*kernels);
    test::test_windows(*kernels);
    test::test_optimizer(*kernels);
    test::test_program(*kernels);
    test::test_map_program(*kernels);
    printf("%s: %d checks, %d failed\n", kernels->isa, test::checks() - ran, test::failures() - before);
  }
  if (asked.empty()) {
    test::test_tiles();
    test::test_pool();
  }
  leave_compute_mode();
  return test::failures() ? 1 : 0;
}
