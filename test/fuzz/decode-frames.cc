// Renders what it is told on standard input and answers one line each, so that a sanitizer watches the decoders without Node around them.
// A frame: four uint32 (numbers in the record, bytes, palette bytes, output side), then the record (float64, see plan-record.h), the bytes, the
// palette. An answer: the processor's milliseconds, then "ok", or "refused " and the reason. Numbers are of this machine.
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <vector>

#include "plan-record.h"
#include "render.h"

namespace {

using namespace dropstream::pixels;

bool read_exactly(void* out, size_t bytes) { return bytes == 0 || std::fread(out, 1, bytes, stdin) == bytes; }

// Memory of exactly that size: a byte beyond it is the sanitizer's.
std::unique_ptr<uint8_t[]> exactly(size_t bytes) { return std::unique_ptr<uint8_t[]>(new uint8_t[bytes]); }

double milliseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

}  // namespace

int main() {
  RenderScratch scratch;
  uint32_t head[4];
  while (read_exactly(head, sizeof head)) {
    std::vector<double> numbers(head[0]);
    const auto bytes = exactly(head[1]), palette = exactly(head[2]);
    if (!read_exactly(numbers.data(), 8 * numbers.size()) || !read_exactly(bytes.get(), head[1]) || !read_exactly(palette.get(), head[2])) return 2;
    const int size = static_cast<int>(head[3]);
    const auto out = exactly(3 * static_cast<size_t>(size) * static_cast<size_t>(size));
    const double began = milliseconds();
    std::string refused;
    try {
      RecordReader reader(numbers.data(), numbers.size());
      RenderRecord job = read_render_record(reader);
      job.source.bytes = {bytes.get(), head[1]};
      if (head[2] > 0) job.source.palette = {palette.get(), head[2]};
      render(job.source, job.plan, size, scratch, out.get());
      scratch.trim();
    } catch (const PixelError& error) {
      refused = error.what();
      if (refused.empty()) refused = "(no reason)";
    }
    std::printf("%.3f %s%s\n", milliseconds() - began, refused.empty() ? "ok" : "refused ", refused.c_str());
    std::fflush(stdout);
  }
  return 0;
}
