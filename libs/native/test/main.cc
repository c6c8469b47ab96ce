// Runs every kernel test on every instruction set of this build that this CPU has. Exit code 1 where one fails.
#include "dispatch.h"
#include "test/harness.h"
#include "threads/thread-mode.h"

int main() {
  using namespace dropstream;
  enter_compute_mode("kernel-tests");
  for (const KernelTable* kernels : available_kernels()) {
    const int before = test::failures(), ran = test::checks();
    test::test_functions(*kernels);
    test::test_products(*kernels);
    test::test_attention(*kernels);
    test::test_rows(*kernels);
    test::test_layout(*kernels);
    test::test_optimizer(*kernels);
    test::test_program(*kernels);
    printf("%s: %d checks, %d failed\n", kernels->isa, test::checks() - ran, test::failures() - before);
  }
  return test::failures() ? 1 : 0;
}
