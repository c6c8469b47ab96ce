// How elements are stored, and pointers to elements whose type is known only when a program runs.
//
// Everything here is always inlined. Otherwise the linker could choose code of one instruction set for another.
#pragma once
#include <cstddef>
#include <cstdint>

#define DS_INLINE inline __attribute__((always_inline))

namespace dropstream {

// The upper half of an fp32. Arithmetic is done in fp32; simd.h loads and stores bf16 and rounds to nearest even.
struct bf16 {
  uint16_t bits;
};

// Two neighbours along k of a packed bf16 matrix in one 32-bit word, `first` in its lower half.
struct Pair {
  bf16 first, second;
};

enum class Type : uint8_t { fp32, bf16 };

DS_INLINE constexpr size_t ceil_div(size_t n, size_t divisor) { return (n + divisor - 1) / divisor; }

DS_INLINE constexpr size_t size_of(Type type) { return type == Type::fp32 ? 4 : 2; }

// Pointers to elements of either type, which a kernel reads (In) or writes (Out). Sizes and strides count elements.
struct In {
  const void* at = nullptr;
  Type type = Type::fp32;

  DS_INLINE In() {}
  DS_INLINE In(decltype(nullptr)) {}
  DS_INLINE In(const void* memory, Type element) : at(memory), type(element) {}
  DS_INLINE In(const float* memory) : at(memory) {}
  DS_INLINE In(const bf16* memory) : at(memory), type(Type::bf16) {}
  DS_INLINE explicit operator bool() const { return at; }
  DS_INLINE const float* floats() const { return static_cast<const float*>(at); }
  DS_INLINE const bf16* halves() const { return static_cast<const bf16*>(at); }
  DS_INLINE In operator+(size_t elements) const { return {static_cast<const char*>(at) + elements * size_of(type), type}; }
};

struct Out {
  void* at = nullptr;
  Type type = Type::fp32;

  DS_INLINE Out() {}
  DS_INLINE Out(decltype(nullptr)) {}
  DS_INLINE Out(void* memory, Type element) : at(memory), type(element) {}
  DS_INLINE Out(float* memory) : at(memory) {}
  DS_INLINE Out(bf16* memory) : at(memory), type(Type::bf16) {}
  DS_INLINE explicit operator bool() const { return at; }
  DS_INLINE operator In() const { return {at, type}; }
  DS_INLINE float* floats() const { return static_cast<float*>(at); }
  DS_INLINE bf16* halves() const { return static_cast<bf16*>(at); }
  DS_INLINE Out operator+(size_t elements) const { return {static_cast<char*>(at) + elements * size_of(type), type}; }
};

// Calls the last argument with the typed pointers of the arguments before it: with_types(x, y, [&](auto* x, auto* y) { … }). The body is
// compiled once per combination of types, so this should be called outside of loops.
template <class A, class Body>
DS_INLINE void with_types(A a, Body body) {
  if (a.type == Type::fp32)
    body(a.floats());
  else
    body(a.halves());
}
template <class A, class B, class Body>
DS_INLINE void with_types(A a, B b, Body body) {
  with_types(a, [&](auto* x) { with_types(b, [&](auto* y) { body(x, y); }); });
}
template <class A, class B, class C, class Body>
DS_INLINE void with_types(A a, B b, C c, Body body) {
  with_types(a, [&](auto* x) { with_types(b, c, [&](auto* y, auto* z) { body(x, y, z); }); });
}

}  // namespace dropstream
