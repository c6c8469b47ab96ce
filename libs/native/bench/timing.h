// Measures the time of one kernel, and provides arrays for it.
#pragma once
#include <chrono>
#include <cstring>
#include <new>
#include <vector>

#include "kernels/kernels.h"

namespace dropstream::bench {

inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <class Body>
double best_seconds(Body body) {
  double best = 1e9;
  for (int round = 0; round < 7; round++) {
    double began = now();
    body();
    const int times = (int)(0.02 / (now() - began + 1e-9)) + 1;
    began = now();
    for (int i = 0; i < times; i++) body();
    const double each = (now() - began) / times;
    if (each < best) best = each;
  }
  return best;
}

// Memory that begins with a cache line, as the engine's does (vm/memory.h): a vector that straddles two lines takes two loads.
template <class T>
struct FromLine {
  typedef T value_type;
  FromLine() = default;
  template <class Other>
  FromLine(const FromLine<Other>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{64})); }
  void deallocate(T* memory, size_t) { ::operator delete (memory, std::align_val_t{64}); }
  template <class Other>
  bool operator==(const FromLine<Other>&) const {
    return true;
  }
  template <class Other>
  bool operator!=(const FromLine<Other>&) const {
    return false;
  }
};

struct Floats : std::vector<float, FromLine<float>> {
  explicit Floats(size_t n) : std::vector<float, FromLine<float>>(n) {
    for (size_t i = 0; i < n; i++) (*this)[i] = (float)(i * 2654435761u % 1000) / 1000 - 0.5f;
  }
  // If T is bf16, the same memory holds half as many values.
  template <class T>
  void narrow() {
    if (sizeof(T) == sizeof(float)) return;
    bf16* halves = reinterpret_cast<bf16*>(data());
    for (size_t i = 0; i < size(); i++) {
      uint32_t bits;
      memcpy(&bits, data() + i, sizeof bits);
      halves[i].bits = (uint16_t)(bits >> 16);
    }
  }
  operator float*() { return data(); }
  operator In() const { return data(); }
  operator Out() { return data(); }
};

// The same values, stored as either type.
struct Elements : Floats {
  Type type;
  Elements(size_t n, Type element) : Floats(n), type(element) {
    if (type == Type::bf16) narrow<bf16>();
  }
  operator In() const { return {data(), type}; }
  operator Out() { return {data(), type}; }
};

// Attention, whole and in windows (attention.cc).
void attentions(const KernelTable& kernels);
// The kernels on rows and elements (rows.cc) and on token maps (maps.cc).
void rows(const KernelTable& kernels);
void token_maps(const KernelTable& kernels);

}  // namespace dropstream::bench
