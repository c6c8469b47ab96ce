#include "vm/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

namespace dropstream {

Memory::Memory(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data_ == MAP_FAILED) {
    data_ = nullptr;
    throw std::bad_alloc();
  }
#ifdef MADV_HUGEPAGE
  if (bytes >= (4u << 20)) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
}

// In parts, because on a kernel without preemption one call that returns gigabytes occupies its core, and may hold up every page fault of the process,
// until it is done.
Memory::~Memory() {
  constexpr size_t kPart = 64u << 20;
  for (size_t done = 0; done < bytes_; done += kPart) munmap(as<char>() + done, std::min(kPart, bytes_ - done));
}

Memory::Memory(Memory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace dropstream
