// Test support: arrays between inaccessible pages, random values by formula, and checks that count and report.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "ref/reference.h"

namespace dropstream::test {

// To nearest even, NaN kept: by way of the carry, unlike the kernels' vectors.
inline bf16 to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (std::isnan(x)) return {(uint16_t)(bits >> 16 | 0x40)};
  const uint32_t rest = bits & 0xffff, odd = bits >> 16 & 1;
  return {(uint16_t)((bits >> 16) + (rest > 0x8000 || (rest == 0x8000 && odd)))};
}
inline float from_bf16(bf16 x) {
  const uint32_t bits = (uint32_t)x.bits << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// Elements that begin and end at pages that must not be accessed, so that reading or writing one element too many crashes.
class Array {
 public:
  explicit Array(size_t count, Type type = Type::fp32) : count_(count), type_(type) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = count * size_of(type), body = (bytes + page - 1) / page * page;
    total_ = body + 2 * page;
    base_ = (char*)mmap(nullptr, total_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base_ == MAP_FAILED || mprotect(base_, page, PROT_NONE) || mprotect(base_ + page + body, page, PROT_NONE)) abort();
    data_ = base_ + page + body - bytes;
    fill(NAN);  // an element nobody wrote shows
  }
  ~Array() { munmap(base_, total_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  operator float*() { return data(); }
  operator In() const { return {data_, type_}; }
  operator Out() { return {data_, type_}; }
  float* data() {
    if (type_ != Type::fp32) abort();
    return (float*)data_;
  }
  size_t size() const { return count_; }
  Type type() const { return type_; }
  float get(size_t i) const { return type_ == Type::fp32 ? ((const float*)data_)[i] : from_bf16(((const bf16*)data_)[i]); }
  void put(size_t i, float x) {
    if (type_ == Type::fp32)
      ((float*)data_)[i] = x;
    else
      ((bf16*)data_)[i] = to_bf16(x);
  }
  ref::Values values() const {
    ref::Values all(count_);
    for (size_t i = 0; i < count_; i++) all[i] = get(i);
    return all;
  }
  void fill(float x) {
    for (size_t i = 0; i < count_; i++) put(i, x);
  }

 private:
  size_t count_, total_;
  Type type_;
  char *base_, *data_;
};

constexpr Type kTypes[] = {Type::fp32, Type::bf16};
inline const char* name_of(Type type) { return type == Type::fp32 ? " fp32" : " bf16"; }

// Uniform words and values by a counter: the same on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 1) {}
  uint64_t word() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  size_t upto(size_t least, size_t max) { return least + word() % (max - least + 1); }
  float value() { return (float)((double)(word() >> 11) / 9007199254740992.0 * 2 - 1); }
  void fill(Array& array, float scale = 1) {
    for (size_t i = 0; i < array.size(); i++) array.put(i, value() * scale);
  }

 private:
  uint64_t state_;
};

inline int& failures() {
  static int count = 0;
  return count;
}
inline int& checks() {
  static int count = 0;
  return count;
}

// The number of calls of operator new so far (main.cc).
extern std::atomic<size_t> allocations;

inline void check(bool ok, const std::string& what) {
  checks()++;
  if (ok) return;
  if (failures()++ < 20) printf("FAILED %s\n", what.c_str());
}

// |got − want| ≤ absolute + relative·|want| (+ per_element·magnitude) for all.
inline void check_close(const std::string& what, const float* got, const ref::Values& want, double absolute, double relative,
                        const ref::Values* magnitude = nullptr) {
  for (size_t i = 0; i < want.size(); i++) {
    const double bound = absolute + relative * (magnitude ? (*magnitude)[i] : std::fabs(want[i]));
    if (std::fabs(got[i] - want[i]) <= bound) continue;
    return check(false,
                 what + "[" + std::to_string(i) + "]: " + std::to_string(got[i]) + ", expected " + std::to_string(want[i]) + " ± " + std::to_string(bound));
  }
  check(true, what);
}

// The same for stored elements: if they are bf16, half a unit in the last of their 8 bits is allowed in addition.
inline void check_close(const std::string& what, const Array& got, const ref::Values& want, double absolute, double relative,
                        const ref::Values* magnitude = nullptr) {
  const double rounding = got.type() == Type::bf16 ? 1.002 / 256 : 0;
  for (size_t i = 0; i < want.size(); i++) {
    const double exact = absolute + relative * (magnitude ? (*magnitude)[i] : std::fabs(want[i])), bound = exact + rounding * (exact + std::fabs(want[i]));
    if (std::fabs(got.get(i) - want[i]) <= bound) continue;
    return check(false, what + name_of(got.type()) + "[" + std::to_string(i) + "]: " + std::to_string(got.get(i)) + ", expected " + std::to_string(want[i]) +
                            " ± " + std::to_string(bound));
  }
  check(true, what);
}

inline void check_same_bits(const std::string& what, const float* a, const float* b, size_t count) { check(memcmp(a, b, count * sizeof(float)) == 0, what); }
inline void check_same_bits(const std::string& what, const Array& a, const Array& b) {
  check(a.size() == b.size() && a.type() == b.type() && memcmp(In(a).at, In(b).at, a.size() * size_of(a.type())) == 0, what);
}

void test_products(const KernelTable& kernels);
void test_tiles();
void test_pool();
void test_functions(const KernelTable& kernels);
void test_attention(const KernelTable& kernels);
void test_rows(const KernelTable& kernels);
void test_layout(const KernelTable& kernels);
void test_maps(const KernelTable& kernels);
void test_windows(const KernelTable& kernels);
void test_optimizer(const KernelTable& kernels);
void test_program(const KernelTable& kernels);
void test_map_program(const KernelTable& kernels);

}  // namespace dropstream::test
